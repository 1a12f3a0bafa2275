"""One agent written elsewhere: copied as it is, merged into its base, or in another type."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NamedTuple

from waltzjax.data.chat import stop_ids
from waltzjax.export.contents import of_an_agent
from waltzjax.model import sharding
from waltzjax.model.hf import config, files, peft, weights
from waltzjax.model.hf.tokenizer import (
    CONFIG,
    FILE,
    generation_settings,
    write_beside_weights,
)
from waltzjax.model.lora import merge
from waltzjax.run.runtime import load_tokenizer
from waltzjax.run.trainable import model_directory, note_misread
from waltzjax.support import console
from waltzjax.support.files import new_directory

DTYPES = tuple(files.DTYPES.values())
MODEL, ADAPTER = "model", "adapter"
BASE = "base"  # the directory beside the agents, where adapters need one


class Written(NamedTuple):
    """An agent as it was written.

    kind: MODEL, which stands alone, or ADAPTER, which needs its base.
    dtype: of its weights in the files.
    rounded: whether the weights are not those of the run's files to the bit: merged, or in another
      type.
    """

    kind: str
    dtype: str
    rounded: bool


def export_agent(agent: Path, output: Path, dtype: str) -> None:
    """Write an agent's weights as ``dtype`` ("": as its model's files have them); an adapter's are
    W + scale A B, added in float32.

    Raises:
      ValueError: ``agent`` is no adapter and no ``dtype`` is given, or it does not fit its base.
      FileExistsError: ``output`` is there already.
    """
    if not (peft.is_adapter(agent) or dtype):
        raise ValueError(
            f"--agent: {agent} is a whole model (no adapter_config.json), there is nothing to "
            f"merge; give --dtype ({', '.join(DTYPES)}) to write it in another type"
        )
    if output.exists():
        raise FileExistsError(f"--output: {output} is there already; name another directory")
    _rewrite(agent, model_directory(agent), output, dtype)


def write_agent(agent: Path, base: Path, output: Path, dtype: str, *, merges: bool) -> Written:
    """Write the agent of a run to ``output``: an adapter as it is unless ``merges``, a whole model
    as ``dtype`` ("": as its files have it). Raises as ``export_agent``."""
    adapts = peft.is_adapter(agent)
    if adapts and not merges:
        _copy_adapter(agent, base, output)
        return Written(ADAPTER, "float32", False)
    stored = files.stored_dtype(base if adapts else agent)
    dtype = dtype or stored
    rounded = adapts or dtype != stored
    if rounded:
        _rewrite(agent, base if adapts else agent, output, dtype)
    else:
        with new_directory(output) as temporary:
            copy_files(of_an_agent(agent), temporary)
    return Written(MODEL, dtype, rounded)


def copy_files(paths: list[Path], directory: Path) -> None:
    """Copy what is in the files, not their modes: an older run's weights are their owner's only."""
    for path in paths:
        shutil.copyfile(path, directory / path.name)


def needs_base(agent: Path) -> bool:
    """Whether an agent is an adapter of a base that only a directory of this machine holds."""
    if not peft.is_adapter(agent):
        return False
    return Path(str(config.read_json(agent / peft.CONFIG)["base_model_name_or_path"])).is_absolute()


def _copy_adapter(agent: Path, base: Path, output: Path) -> None:
    """Copy an adapter; one whose base is a directory is told to look for it beside itself."""
    with new_directory(output) as temporary:
        copy_files(of_an_agent(agent), temporary)
        if not any((temporary / name).is_file() for name in (FILE, CONFIG)):  # of an older run
            tokenizer = load_tokenizer(base)
            settings = generation_settings(base, stop_ids(tokenizer, base))
            write_beside_weights(temporary, tokenizer, settings)
        if needs_base(agent):
            path = temporary / peft.CONFIG
            form = config.read_json(path) | {"base_model_name_or_path": f"../{BASE}"}
            path.write_text(json.dumps(form, indent=2) + "\n")


def _rewrite(agent: Path, base: Path, output: Path, dtype: str) -> None:
    adapts = peft.is_adapter(agent)
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
    with console.phase(f"writing {output.name}, {dtype}"):
        weights.save(output, cfg, params, tokenizer, generation=generation)
    note_misread(output)
