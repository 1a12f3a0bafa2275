"""Export: an adapter merged into its base, as one Hugging Face directory that anything loads.

python -m waltzjax.export --agent=runs/lora/feedback --output=feedback-merged
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from waltzjax import commands, console
from waltzjax.data.chat import stop_ids
from waltzjax.model import hf, hf_config, peft, sharding
from waltzjax.model.lora import merge
from waltzjax.runtime import load_tokenizer
from waltzjax.tuning import model_directory

DTYPES = ("float32", "bfloat16")


def merged(agent: Path, output: Path, dtype: str) -> None:
    """Write W + scale A B, added in float32, as ``dtype`` ("": the base's own).

    Raises:
      ValueError: ``agent`` is no adapter, or does not fit the base it names.
      FileExistsError: ``output`` is there already.
    """
    if not peft.is_adapter(agent):
        raise ValueError(
            f"--agent: {agent} is no adapter (no adapter_config.json): nothing to merge"
        )
    if output.exists():
        raise FileExistsError(f"--output: {output} is there already; name another directory")
    base = model_directory(agent)
    stored = hf_config.stored_dtype(base)
    dtype = dtype or stored
    if dtype not in DTYPES:
        raise ValueError(f"--dtype: got {dtype!r}, allowed are {DTYPES}")
    cfg = hf_config.read_config(base, param_dtype=dtype)
    mesh = sharding.make_mesh((1, -1, 1))
    tokenizer = load_tokenizer(base)
    with console.phase(f"loading {base} and {agent}"):
        adapter, form = peft.load_adapter(agent, cfg, mesh)
        params = merge(hf.load_params(base, cfg, mesh), adapter, form.scale)
    generation = {"do_sample": True, "eos_token_id": list(stop_ids(tokenizer, base))}
    with console.phase(f"writing {output}, {dtype}"):
        hf.save(output, cfg, params, tokenizer, generation=generation)


if __name__ == "__main__":
    flags.DEFINE_string("agent", None, "PEFT directory; its base is where its config says.")
    flags.DEFINE_string("output", None, "Directory to write; does not exist yet.")
    flags.DEFINE_string("dtype", "", "float32 or bfloat16; default: as the base is stored.")
    flags.mark_flags_as_required(["agent", "output"])
    commands.run(
        lambda: merged(Path(flags.FLAGS.agent), Path(flags.FLAGS.output), flags.FLAGS.dtype)
    )
