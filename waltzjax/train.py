"""Train: prepare the base, run the stages, evaluate, write what a person and a program want.

    python -m waltzjax.train --config=configs/stage2.py:tiny --workdir=runs/demo

Run the same command again after an interruption: it goes on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from clu.parameter_overview import count_parameters
from ml_collections import ConfigDict, config_flags

from waltzjax import commands, config_check, console, outcome, prepare
from waltzjax.config import EMBEDDED, SFT
from waltzjax.data.chats import Messages
from waltzjax.data.dataset import read_prompts, verify
from waltzjax.data.splits import SPLITS
from waltzjax.evaluate import evaluate, guard, result, stratified
from waltzjax.files import own_workdir, write_json
from waltzjax.finetune import check_unseen, sft_chats, sft_rows, supervise
from waltzjax.iteration import reinforce, stage_steps
from waltzjax.judge_keys import MAY_CHANGE
from waltzjax.judging import check_judge, open_judge
from waltzjax.likelihood import held_out_nll
from waltzjax.loop import run_stage
from waltzjax.model import hf, hf_config, sharding
from waltzjax.ordinary import read_ordinary
from waltzjax.processes import largest, wait, writes, writing
from waltzjax.recipes import trained_roles
from waltzjax.rewards.judges import Judge
from waltzjax.runtime import (
    Runtime,
    check_room,
    devices_line,
    make_runtime,
    prompt_files,
)
from waltzjax.transcripts import transcript
from waltzjax.tuning import check_starts, joined, make_tuning
from waltzjax.types import CONVERSATION, FEEDBACK


def train(config: ConfigDict, workdir: Path) -> dict[str, Any]:
    """The whole run; the final results. See README for the files it leaves in ``workdir``.

    Raises:
      ValueError, OSError, ImportError: bad config, data, model, judge or workdir; found before any
        training.
      JudgeError: the judge cannot go on; the same command does, once what it says is mended.
      Stopped: SIGTERM or Ctrl-C during a stage; a checkpoint is written.
      FloatingPointError: the training diverged; the checkpoints before that stay.
    """
    config_check.validate(config, training=True)
    mesh = sharding.make_mesh(config.mesh)
    embedded_model = config.model.base == EMBEDDED
    base = workdir / "base" if embedded_model else hf_config.resolve(config.model.base)
    roles = (CONVERSATION, FEEDBACK)
    starts = {r: hf_config.resolve(config.model[r]) for r in roles if config.model[r]}
    runtime = None if embedded_model else make_runtime(config, base, mesh)
    if runtime:
        check_starts(config, runtime, base, starts)
    embedded_data = config.data.directory == EMBEDDED
    data = workdir / "data" if embedded_data else Path(config.data.directory)
    if not embedded_data:
        verify(data, expected=None)
    chats = sft_chats(config) if SFT in config.stages else {}
    # The prompts of agents and judge are as much of a run as its numbers are.
    texts = [path.read_text(encoding="utf-8") for path in prompt_files(config)]
    prompt_texts = {**dict(zip(roles, texts, strict=True)), **check_judge(config)}
    record = {**config.to_dict(), "prompt_texts": prompt_texts}
    with writing(lambda: own_workdir(workdir, record, MAY_CHANGE)):
        wait("run directory")
        started = time.perf_counter()
        console.say(f"waltzjax on {devices_line()}, mesh {dict(mesh.shape)}, files in {workdir}")
        with open_judge(config, mesh, workdir) as judge:  # first: it may be what cannot be
            if embedded_data:
                prepare.embedded_data(config, data)
            if chats:
                check_unseen(config, chats["train"], read_prompts(data / "validation.jsonl"))
            if embedded_model:
                prepare.embedded_base(config, mesh, base)
            if runtime is None:
                runtime = make_runtime(config, base, mesh)
                check_starts(config, runtime, base, starts)
            final = _stages(config, workdir, runtime, base, starts, data, chats, judge)
        if writes():
            outcome.write(config, workdir, final, time.perf_counter() - started)
    return final


def _stages(
    config: ConfigDict,
    workdir: Path,
    runtime: Runtime,
    base: Path,
    starts: Mapping[str, Path],
    data: Path,
    chats: Mapping[str, Sequence[Messages]],
    judge: Judge,
) -> dict[str, Any]:
    train_prompts = read_prompts(data / "train.jsonl")
    held_out = stratified(read_prompts(data / "validation.jsonl"), config.eval.prompts)
    rows, unseen = (
        sft_rows(config, runtime, split, chats[split]) if chats else [] for split in SPLITS
    )
    ordinary = read_ordinary(data, config, runtime)
    asked = ordinary.prompts if ordinary else ()
    check_room(runtime, config, [*train_prompts, *held_out, *asked])
    for stage in config.stages:
        if stage != SFT:
            stage_steps(config, stage, len(train_prompts))
    with console.phase(f"loading {base}"):
        params = hf.load_params(base, runtime.cfg, runtime.mesh)
        tuning = make_tuning(config, runtime, base)
        trained: Mapping[str, Any] = {
            role: tuning.start(params, config.seed * 10 + i)
            for i, role in enumerate((CONVERSATION, FEEDBACK))
        }
    console.say(
        f"{count_parameters(params):,} parameters an agent, "
        f"{count_parameters(trained[FEEDBACK]):,} of them trained"
    )

    def measure(name: str, label: str, trained: Mapping[str, Any]) -> None:
        path = workdir / "evaluations" / f"{name}.json"
        if path.exists():
            return
        path.parent.mkdir(exist_ok=True)
        agents = joined(tuning, params, trained)
        episodes = evaluate(config, runtime, agents, held_out, judge, label)
        more, others = guard(config, runtime, agents, ordinary, judge, label)
        if unseen:
            more["sft_nll"] = held_out_nll(config, runtime, agents[config.sft.role], unseen)
        found = result(config, episodes, more)
        if writes():
            spoken = {"transcripts": episodes, "ordinary_transcripts": others}
            texts = {name: [transcript(e) for e in of] for name, of in spoken.items()}
            write_json(path, {"result": found, **texts})

    measure(outcome.BASE, "the base model", trained)
    if starts:
        trained = {**trained, **{role: tuning.load(where) for role, where in starts.items()}}
        measure(outcome.START, "the agents it begins at", trained)
    for stage in config.stages:
        last = stage == config.stages[-1]
        directory = workdir if last else workdir / stage
        roles = trained_roles(config, stage)
        done = [directory / role for role in roles]
        if all(d.exists() for d in done):
            trained = {**trained, **{d.name: tuning.load(d) for d in done}}
            console.say(f"{stage}: done before; loaded {', '.join(map(str, done))}")
        else:

            def validate(step: int, now: Mapping[str, Any], stage: str = stage) -> None:
                measure(f"{stage}_{step}", f"{stage} {step}", now)

            made = (
                supervise(config, runtime, tuning, params, rows)
                if stage == SFT
                else reinforce(
                    config, stage, runtime, tuning, params, trained, train_prompts, judge
                )
            )
            trained = run_stage(config, made, runtime.mesh, trained, workdir, judge.stop, validate)
        for role in trained if last else roles:
            # Agreed on by all processes: the first may have written it before another one looks.
            if largest(not (directory / role).exists()):
                tuning.save(directory / role, trained[role])
        measure(stage, stage.replace("stage", "stage "), trained)
    wait("evaluations")
    return outcome.collect(config, workdir)


if __name__ == "__main__":
    config_flags.DEFINE_config_file(
        "config", None, "A file of configs/; add :tiny for a self-contained run on a laptop, and "
        "--config.KEY=VALUE for overrides (keys: waltzjax/config.py)."
    )  # fmt: skip
    flags.DEFINE_string("workdir", None, "Directory of the run; the same one again resumes it.")
    flags.mark_flags_as_required(["config", "workdir"])
    commands.define_processes()
    flags.adopt_module_key_flags(commands)  # --help shows them
    commands.run(lambda: train(flags.FLAGS.config, Path(flags.FLAGS.workdir)))
