"""Two agents on held-out prompts: every prompt played, judged and rated."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from waltzjax.evaluation.drift import drift
from waltzjax.evaluation.files import write_items
from waltzjax.judge.build import open_judge
from waltzjax.judge.judge import Judge
from waltzjax.run.results import BASE
from waltzjax.run.runtime import Runtime, result_settings
from waltzjax.run.trainable import load_agents
from waltzjax.stages.rollout import evaluation_draw
from waltzjax.support import console
from waltzjax.support.processes import writes
from waltzjax.types import Episode, Prompt
from waltzjax.waltz.benign import Benign, benign_result
from waltzjax.waltz.episode import play
from waltzjax.waltz.rates import by_category, confusion, interval_units, intervals, summary
from waltzjax.waltz.rollout import play_scored
from waltzjax.waltz.transcripts import BENIGN, TRANSCRIPTS
from waltzjax.waltz.variants import make_variant

# Keys of the config that a result depends on, besides the agents and the prompts.
SETTINGS = (
    "judge.name", "judge.model", "eval.temperature", "rollout.t_max", "rollout.variant",
    "rollout.max_new_tokens",
)  # fmt: skip


def evaluate(
    config: ConfigDict,
    runtime: Runtime,
    params: Mapping[str, Any],
    prompts: Sequence[Prompt],
    judge: Judge,
    label: str,
) -> list[Episode]:
    """Play every prompt, and have the judge score what was said."""
    collect = partial(play, t_max=config.rollout.t_max, variant=make_variant(config, judge))
    with evaluation_draw(config, len(prompts), label, "prompt") as draw:
        return play_scored(config, runtime, judge, params, prompts, collect, draw)[0]


def guard(
    config: ConfigDict,
    runtime: Runtime,
    params: Mapping[str, Any],
    benign: Benign | None,
    judge: Judge,
    label: str,
) -> tuple[dict[str, Any], list[Episode]]:
    """The measures of a dataset's benign chats, for ``result``, and how their prompts were
    played: up to ``config.eval.prompts`` of them; the likelihood is that of all chats. Nothing
    without such chats."""
    if benign is None:
        return {}, []
    asked = benign.prompts[: config.eval.prompts or None]
    episodes = evaluate(config, runtime, params, asked, judge, f"{label}, benign prompts")
    return benign_result(config, runtime, params, benign.chats, episodes), episodes


def evaluate_saved(
    config: ConfigDict,
    runtime: Runtime,
    directories: Mapping[str, Path],
    prompts: Sequence[Prompt],
    benign: Benign | None,
    label: str,
    logs: Path,
    output: Path,
    moved: Collection[str],
) -> tuple[dict[str, Any], list[Episode]]:
    """The ``result`` of the agents in ``directories``, by role, and the episodes; the transcripts
    are written beside the file ``output``.

    Args:
      directories: with that of ``BASE``, if any are ``moved``.
      logs: directory of the judge's files.
      moved: roles whose KL divergence from the base is measured.
    """
    with console.phase(f"loading {label}"):
        params = load_agents(directories, runtime)
    base = params.pop(BASE, None)
    with open_judge(config, runtime.mesh, logs) as judge:
        episodes = evaluate(config, runtime, params, prompts, judge, label)
        more, others = guard(config, runtime, params, benign, judge, label)
    moved_params = {role: params[role] for role in moved}
    drifted = drift(config, runtime, moved_params, base, episodes) if moved else {}
    if writes():
        write_items(TRANSCRIPTS.beside(output), TRANSCRIPTS, episodes)
        if others:
            write_items(TRANSCRIPTS.beside(output, BENIGN), TRANSCRIPTS, others)
    return result(config, episodes, more, drifted), episodes


def result(
    config: ConfigDict, episodes: Sequence[Episode], *more: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of ``final_validation_results.json``: see ``waltz.rates.summary``. Rates of the
    last answers, those of the first ones under ``initial``, of each category under ``categories``,
    all with 95 % ``intervals``, which are over ``interval_units``; the feedback's labels against
    the judge's; and ``more``, as of ``guard`` and ``drift``."""
    groups = by_category(episodes)
    parts = [_measured(episodes, config.seed), *more]
    return {
        **{key: value for part in parts for key, value in part.items()},
        "intervals": {k: v for part in parts for k, v in part.get("intervals", {}).items()},
        "interval_units": interval_units(episodes),
        "seed": config.seed,
        "settings": result_settings(config, SETTINGS),
        "categories": {name: _measured(group, config.seed) for name, group in groups.items()},
        "confusion": confusion(episodes),
    }


def _measured(episodes: Sequence[Episode], seed: int) -> dict[str, Any]:
    rates, ranges = summary(episodes), intervals(episodes, seed=seed)

    def part(first: bool) -> dict[str, Any]:
        keys = {k.removeprefix("initial/"): k for k in rates if k.startswith("initial/") == first}
        edges = {name: list(ranges[key]) for name, key in keys.items()}
        return {**{name: rates[key] for name, key in keys.items()}, "intervals": edges}

    return {**part(False), "n": len(episodes), "initial": part(True)}
