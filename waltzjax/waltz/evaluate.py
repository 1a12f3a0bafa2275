"""Two agents on held-out prompts: every prompt played, judged and rated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ml_collections import ConfigDict

from waltzjax.judge.judge import Judge
from waltzjax.run.runtime import Runtime, result_settings
from waltzjax.stages.rollout import evaluation_draw
from waltzjax.types import Episode, Prompt
from waltzjax.waltz.episode import play
from waltzjax.waltz.ordinary import Ordinary, ordinary_result
from waltzjax.waltz.rates import by_category, confusion, interval_units, intervals, summary
from waltzjax.waltz.rollout import play_scored
from waltzjax.waltz.variants import make_variant

BASE = "base"  # its parameters, beside the agents'
# What else than the agents and the prompts a result depends on, of the config.
SETTINGS = (
    "judge.name", "judge.model", "eval.temperature", "rollout.t_max", "rollout.variant",
    "rollout.max_new_tokens",
)  # fmt: skip


def evaluate(
    config: ConfigDict, runtime: Runtime, params: Mapping[str, Any], prompts: Sequence[Prompt],
    judge: Judge, label: str,
) -> list[Episode]:  # fmt: skip
    """Play every prompt, and have the judge score what was said."""
    collect = partial(play, t_max=config.rollout.t_max, variant=make_variant(config, judge))
    with evaluation_draw(config, len(prompts), label, "prompt") as draw:
        return play_scored(config, runtime, judge, params, prompts, collect, draw)[0]


def guard(
    config: ConfigDict, runtime: Runtime, params: Mapping[str, Any], ordinary: Ordinary | None,
    judge: Judge, label: str,
) -> tuple[dict[str, Any], list[Episode]]:  # fmt: skip
    """The measures of a dataset's ordinary chats, for ``result``, and how their prompts were
    played: up to ``config.eval.prompts`` of them; the likelihood is that of all chats. Nothing
    without such chats."""
    if ordinary is None:
        return {}, []
    asked = ordinary.prompts[: config.eval.prompts or None]
    episodes = evaluate(config, runtime, params, asked, judge, f"{label}, ordinary prompts")
    return ordinary_result(config, runtime, params, ordinary.chats, episodes), episodes


def result(
    config: ConfigDict, episodes: Sequence[Episode], *more: Mapping[str, Any]
) -> dict[str, Any]:
    """What stands in ``final_validation_results.json``: see ``waltz.rates.summary``. Rates of the
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
        "categories": {name: _measured(of, config.seed) for name, of in groups.items()},
        "confusion": confusion(episodes),
    }


def _measured(episodes: Sequence[Episode], seed: int) -> dict[str, Any]:
    rates, ranges = summary(episodes), intervals(episodes, seed=seed)

    def part(first: bool) -> dict[str, Any]:
        keys = {k.removeprefix("initial/"): k for k in rates if k.startswith("initial/") == first}
        edges = {name: list(ranges[key]) for name, key in keys.items()}
        return {**{name: rates[key] for name, key in keys.items()}, "intervals": edges}

    return {**part(False), "n": len(episodes), "initial": part(True)}
