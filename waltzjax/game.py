"""The task of WaltzRL's game: prepare the base, run its stages, evaluate both agents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from clu.parameter_overview import count_parameters
from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax import console, outcome, prepare
from waltzjax.config import EMBEDDED, SFT
from waltzjax.data.chats import Messages
from waltzjax.data.dataset import read_prompts, verify
from waltzjax.data.splits import SPLITS, of_each_category
from waltzjax.evaluate import evaluate, guard, result
from waltzjax.files import write_json
from waltzjax.finetune import check_unseen, sft_chats, sft_rows, supervise
from waltzjax.iteration import reinforce, stage_steps
from waltzjax.judging import check_judge, open_judge
from waltzjax.likelihood import held_out_nll
from waltzjax.loop import run_stage
from waltzjax.model import hf, hf_config
from waltzjax.ordinary import read_ordinary
from waltzjax.processes import largest, wait, writes
from waltzjax.recipes import RECIPES, trained_roles
from waltzjax.rewards.judges import Judge
from waltzjax.rolling import roll_game
from waltzjax.runtime import Runtime, check_room, make_runtime, prompt_files
from waltzjax.stage import Stage
from waltzjax.task import Task
from waltzjax.transcripts import transcript
from waltzjax.tuning import Tuning, check_starts, joined, make_tuning
from waltzjax.types import CONVERSATION, FEEDBACK, Prompt


def game(config: ConfigDict, workdir: Path, mesh: Mesh) -> Task:
    """The run; what can be found wrong with config, data, model or judge before any work is."""
    embedded_model = config.model.base == EMBEDDED
    base = workdir / "base" if embedded_model else hf_config.resolve(config.model.base)
    roles = (CONVERSATION, FEEDBACK)
    starts = {r: hf_config.resolve(config.model[r]) for r in roles if config.model[r]}
    ready = None if embedded_model else make_runtime(config, base, mesh)
    if ready:
        check_starts(config, ready, base, starts)
    embedded_data = config.data.directory == EMBEDDED
    data = workdir / "data" if embedded_data else Path(config.data.directory)
    if not embedded_data:
        verify(data, expected=None)
    chats = sft_chats(config) if SFT in config.stages else {}
    texts = [path.read_text(encoding="utf-8") for path in prompt_files(config)]
    record = {**dict(zip(roles, texts, strict=True)), **check_judge(config)}

    def run() -> dict[str, Any]:
        with open_judge(config, mesh, workdir) as judge:  # first: it may be what cannot be
            if embedded_data:
                prepare.embedded_data(config, data)
            if chats:
                check_unseen(config, chats["train"], read_prompts(data / "validation.jsonl"))
            if embedded_model:
                prepare.embedded_base(config, mesh, base)
            runtime = ready
            if runtime is None:
                runtime = make_runtime(config, base, mesh)
                check_starts(config, runtime, base, starts)
            return _stages(config, workdir, runtime, base, starts, data, chats, judge)

    return Task(record, run, partial(outcome.write, config, workdir))


def game_stage(
    config: ConfigDict, name: str, runtime: Runtime, tuning: Tuning, base: Any,
    start: Mapping[str, Any], prompts: Sequence[Prompt], judge: Judge,
) -> Stage:  # fmt: skip
    """A stage of reinforcement in which episodes of the game are played; see ``reinforce``."""
    recipe = RECIPES[name](config)
    return reinforce(
        config, name, recipe, runtime, tuning, base, start, prompts,
        lambda _: partial(roll_game, config, runtime, recipe, judge),
    )  # fmt: skip


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
    held_out = of_each_category(read_prompts(data / "validation.jsonl"), config.eval.prompts)
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
                else game_stage(
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
