"""The task of WaltzRL's game: prepare the base, run its stages, evaluate both agents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax.config.key import EMBEDDED
from waltzjax.data.chats import Messages
from waltzjax.data.source import steps_per_run
from waltzjax.dataset.dataset import read_prompts, verify
from waltzjax.dataset.splits import SPLITS, of_each_category
from waltzjax.evaluation.likelihood import held_out_nll
from waltzjax.judge.build import check_judge, open_judge
from waltzjax.judge.judge import Judge
from waltzjax.model.hf import config as hf_config
from waltzjax.run.runtime import Runtime, prompt_files
from waltzjax.run.trainable import check_starts
from waltzjax.stages.recipe import Recipe
from waltzjax.stages.reinforce import reinforce, stage_steps
from waltzjax.stages.run_stages import PlannedStage, run_stages
from waltzjax.stages.stage import Job, Stage, StageInputs, StageSpec
from waltzjax.stages.supervised import supervise
from waltzjax.toy import safety
from waltzjax.types import CONVERSATION, FEEDBACK, Prompt
from waltzjax.waltz import results
from waltzjax.waltz.benign import read_benign
from waltzjax.waltz.evaluate import evaluate, guard, result
from waltzjax.waltz.rollout import roll_game
from waltzjax.waltz.runtime import check_room, game_runtime
from waltzjax.waltz.sft_data import check_unseen, sft_chats, sft_rows
from waltzjax.waltz.transcripts import transcript


def waltz_job(
    config: ConfigDict, workdir: Path, mesh: Mesh, stages: Mapping[str, StageSpec]
) -> Job:
    """The run of stages of WaltzRL's game, all in the table ``stages``; what can be found wrong
    with config, data, model or judge before any work is."""
    embedded_model = config.model.base == EMBEDDED
    base = workdir / "base" if embedded_model else hf_config.resolve(config.model.base)
    roles = (CONVERSATION, FEEDBACK)
    starts = {r: hf_config.resolve(config.model[r]) for r in roles if config.model[r]}
    ready = None if embedded_model else game_runtime(config, base, mesh)
    if ready:
        check_starts(config, ready, base, starts)
    embedded_data = config.data.directory == EMBEDDED
    data = workdir / "data" if embedded_data else Path(config.data.directory)
    if not embedded_data:
        verify(data, expected=None)
    supervised = any(stages[name].recipe is None for name in config.stages)
    chats = sft_chats(config) if supervised else {}
    texts = [path.read_text(encoding="utf-8") for path in prompt_files(config)]
    record = {**dict(zip(roles, texts, strict=True)), **check_judge(config)}

    def run() -> dict[str, Any]:
        with open_judge(config, mesh, workdir) as judge:  # first: it may be what cannot be
            if embedded_data:
                safety.embedded_data(config, data)
            if chats:
                check_unseen(config, chats["train"], read_prompts(data / "validation.jsonl"))
            if embedded_model:
                safety.embedded_base(config, mesh, base)
            runtime = ready
            if runtime is None:
                runtime = game_runtime(config, base, mesh)
                check_starts(config, runtime, base, starts)
            _run(config, workdir, stages, runtime, base, starts, data, chats, judge)
        return results.collect(config, workdir)

    return Job(record, run, partial(results.write, config, workdir))


def game_stage(
    config: ConfigDict,
    name: str,
    recipe: Recipe,
    runtime: Runtime,
    prompts: Sequence[Prompt],
    judge: Judge,
    inputs: StageInputs,
) -> Stage:
    """A stage of reinforcement in which episodes of the game are played; see ``reinforce``."""
    return reinforce(
        config,
        name,
        recipe,
        runtime,
        inputs,
        prompts,
        lambda _: partial(roll_game, config, runtime, recipe, judge),
    )


def _run(
    config: ConfigDict,
    workdir: Path,
    stages: Mapping[str, StageSpec],
    runtime: Runtime,
    base: Path,
    starts: Mapping[str, Path],
    data: Path,
    chats: Mapping[str, Sequence[Messages]],
    judge: Judge,
) -> None:
    train_prompts = read_prompts(data / "train.jsonl")
    held_out = of_each_category(read_prompts(data / "validation.jsonl"), config.eval.prompts)
    rows, unseen = (
        sft_rows(config, runtime, split, chats[split]) if chats else [] for split in SPLITS
    )
    benign = read_benign(data, config, runtime)
    asked = benign.prompts if benign else ()
    check_room(runtime, config, [*train_prompts, *held_out, *asked])
    planned = []
    for name in config.stages:
        spec, build = stages[name], partial(supervise, config, runtime, rows)
        if spec.recipe:
            total = stage_steps(config, name, len(train_prompts))
            recipe = spec.recipe(config)
            build = partial(game_stage, config, name, recipe, runtime, train_prompts, judge)
        else:
            total = steps_per_run(len(rows), config.sft.batch, config.sft.epochs)
        planned.append(PlannedStage(name, total, spec.roles(config), build))

    def measure(agents: Mapping[str, Any], label: str) -> dict[str, Any]:
        episodes = evaluate(config, runtime, agents, held_out, judge, label)
        more, others = guard(config, runtime, agents, benign, judge, label)
        if unseen:
            more["sft_nll"] = held_out_nll(config, runtime, agents[config.sft.role], unseen)
        spoken = {"transcripts": episodes, "benign_transcripts": others}
        return {
            "result": result(config, episodes, more),
            **{name: [transcript(e) for e in group] for name, group in spoken.items()},
        }

    run_stages(
        config,
        workdir,
        runtime,
        base,
        (CONVERSATION, FEEDBACK),
        planned,
        measure,
        starts=starts,
        interrupted=judge.stop,
    )
