"""Train: prepare the base, run the stages, evaluate, write what a person and a program want.

    python -m waltzjax.train --config=configs/stage2.py:tiny --workdir=runs/demo

Run the same command again after an interruption: it goes on where it stopped.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags
from ml_collections import ConfigDict, config_flags

from waltzjax import config as config_lib
from waltzjax import console, outcome, prepare
from waltzjax.data.dataset import read_prompts, verify
from waltzjax.evaluate import evaluate, result, stratified, transcript
from waltzjax.files import own_workdir, write_json
from waltzjax.loop import Stopped, run_stage
from waltzjax.model import hf, hf_config, sharding
from waltzjax.recipes import TRAINED
from waltzjax.runtime import devices_line, make_runtime, quiet_libraries
from waltzjax.types import CONVERSATION, FEEDBACK

EXIT_TERMINATED = 143


def train(config: ConfigDict, workdir: Path) -> dict[str, Any]:
    """The whole run; the final results. See README for the files it leaves in ``workdir``.

    Raises:
      ValueError, OSError: bad config, data, model or workdir; found before any training.
      Stopped: SIGTERM; the checkpoint is written.
    """
    config_lib.validate(config)
    mesh = sharding.make_mesh(config.mesh)
    embedded_model = config.model.base == config_lib.EMBEDDED
    base = workdir / "base" if embedded_model else hf_config.resolve(config.model.base)
    start = hf_config.resolve(config.model.feedback) if config.model.feedback else base
    embedded_data = config.data.directory == config_lib.EMBEDDED
    data = workdir / "data" if embedded_data else Path(config.data.directory)
    if not embedded_data:
        verify(data, expected=None)
    with own_workdir(workdir, config.to_dict()):
        started = time.perf_counter()
        console.say(f"waltzjax on {devices_line()}, mesh {dict(mesh.shape)}, files in {workdir}")
        if embedded_data:
            prepare.embedded_data(config, data)
        if embedded_model:
            prepare.embedded_base(config, mesh, base)
        final = _stages(config, workdir, mesh, base, start, data)
        outcome.write(config, workdir, final, time.perf_counter() - started)
    return final


def _stages(
    config: ConfigDict, workdir: Path, mesh, base: Path, start: Path, data: Path
) -> dict[str, Any]:
    runtime = make_runtime(config, base, mesh)
    train_prompts = read_prompts(data / "train.jsonl")
    held_out = stratified(read_prompts(data / "validation.jsonl"), config.eval.prompts)
    with console.phase(f"loading {base}"):
        base_params = hf.load_params(base, runtime.cfg, mesh)
        params: Mapping[str, Any] = {
            CONVERSATION: base_params,
            FEEDBACK: hf.load_params(start, runtime.cfg, mesh) if start != base else base_params,
        }
    reference = dict(params)

    def measure(name: str, label: str, params: Mapping[str, Any]) -> None:
        path = workdir / "evaluations" / f"{name}.json"
        if path.exists():
            return
        path.parent.mkdir(exist_ok=True)
        rates, episodes = evaluate(config, runtime, params, held_out, label)
        found = result(config, rates, len(held_out))
        write_json(path, {"result": found, "transcripts": [transcript(e) for e in episodes]})

    measure("base", "the base model", params)
    for stage in config.stages:
        last = stage == config.stages[-1]
        directory = workdir if last else workdir / stage
        done = [directory / role for role in TRAINED[stage]]
        if all(d.exists() for d in done):
            loaded = {d.name: hf.load_params(d, runtime.cfg, mesh) for d in done}
            params = {**params, **loaded}
            console.say(f"{stage}: done before; loaded {', '.join(map(str, done))}")
        else:

            def validate(step: int, now: Mapping[str, Any], stage: str = stage) -> None:
                measure(f"{stage}_{step}", f"{stage} {step}", now)

            params = run_stage(
                config, stage, runtime, params, reference, train_prompts, workdir,
                validate,
            )  # fmt: skip
        for role in params if last else TRAINED[stage]:
            if not (directory / role).exists():
                directory.mkdir(exist_ok=True)
                hf.save(
                    directory / role, runtime.cfg, params[role], runtime.chat.tokenizer,
                    generation={"do_sample": True},
                )  # fmt: skip
        measure(stage, stage.replace("stage", "stage "), params)
    return outcome.collect(config, workdir)


def main(argv: Sequence[str]) -> None:
    if len(argv) > 1:
        sys.exit(f"error: unexpected argument {argv[1]!r}; try --help")
    try:
        with quiet_libraries():
            train(flags.FLAGS.config, Path(flags.FLAGS.workdir))
    except Stopped as stopped:
        console.say(str(stopped))
        sys.exit(EXIT_TERMINATED)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    config_flags.DEFINE_config_file(
        "config", None, "A file of configs/; add :tiny for a self-contained run on a laptop, and "
        "--config.KEY=VALUE for overrides (keys: waltzjax/config.py)."
    )  # fmt: skip
    flags.DEFINE_string("workdir", None, "Directory of the run; the same one again resumes it.")
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(main)
