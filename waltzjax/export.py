"""Export: an adapter merged into its base, or a model in another type, as a Hugging Face directory.

python -m waltzjax.export --agent=runs/lora/feedback --output=feedback-merged
python -m waltzjax.export --agent=runs/full/feedback --output=feedback-bf16 --dtype=bfloat16
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from waltzjax.data.chat import stop_ids
from waltzjax.model import sharding
from waltzjax.model.hf import config, files, peft, weights
from waltzjax.model.hf.tokenizer import generation_settings
from waltzjax.model.lora import merge
from waltzjax.run import cli
from waltzjax.run.runtime import load_tokenizer
from waltzjax.run.trainable import model_directory, note_misread
from waltzjax.support import console

DTYPES = tuple(files.DTYPES.values())


def export(agent: Path, output: Path, dtype: str) -> None:
    """Write an agent's weights as ``dtype`` ("": as its model's files have them); an adapter's are
    W + scale A B, added in float32.

    Raises:
      ValueError: ``agent`` is no adapter and no ``dtype`` is given, or it does not fit its base.
      FileExistsError: ``output`` is there already.
    """
    adapts = peft.is_adapter(agent)
    if not (adapts or dtype):
        raise ValueError(
            f"--agent: {agent} is a whole model (no adapter_config.json), there is nothing to "
            f"merge; give --dtype ({', '.join(DTYPES)}) to write it in another type"
        )
    if output.exists():
        raise FileExistsError(f"--output: {output} is there already; name another directory")
    base = model_directory(agent)
    dtype = dtype or files.stored_dtype(base)
    cfg = config.read_config(base, param_dtype=dtype)
    mesh = sharding.make_mesh((1, -1, 1))
    tokenizer = load_tokenizer(base)
    with console.phase(f"loading {base}" + f" and {agent}" * adapts):
        params = weights.load_params(base, cfg, mesh)
        if adapts:
            adapter, form = peft.load_adapter(agent, cfg, mesh)
            params = merge(params, adapter, form.scale)
    generation = generation_settings(base, stop_ids(tokenizer, base))
    with console.phase(f"writing {output}, {dtype}"):
        weights.save(output, cfg, params, tokenizer, generation=generation)
    note_misread(output)


if __name__ == "__main__":
    flags.DEFINE_string("agent", None, "PEFT directory, or a whole model's with --dtype.")
    flags.DEFINE_string("output", None, "Directory to write; does not exist yet.")
    flags.DEFINE_enum(
        "dtype", "", ["", *DTYPES], "What to write; default: as the base's files have it."
    )
    flags.mark_flags_as_required(["agent", "output"])
    cli.run(lambda: export(Path(flags.FLAGS.agent), Path(flags.FLAGS.output), flags.FLAGS.dtype))
