"""Two agents on held-out prompts: every prompt played, judged and rated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from waltzjax.judge.judge import Judge, Scorer
from waltzjax.run.runtime import Runtime, sampling, template_settings
from waltzjax.stages.rollout import Agents
from waltzjax.support import console
from waltzjax.types import Episode, Prompt
from waltzjax.waltz.episode import play
from waltzjax.waltz.ordinary import Ordinary, ordinary_result
from waltzjax.waltz.rates import by_category, confusion, interval_units, intervals, summary
from waltzjax.waltz.variants import make_variant

BASE = "base"  # its parameters, beside the agents'
EVAL_STREAM = 3  # apart from the training stages' random streams


def evaluate(
    config: ConfigDict, runtime: Runtime, params: Mapping[str, Any], prompts: Sequence[Prompt],
    judge: Judge, label: str,
) -> list[Episode]:  # fmt: skip
    """Play every prompt, and have the judge score what was said."""
    found: dict[int, Episode] = {}
    with (
        Scorer(judge, max_unparsed=config.judge.max_unparsed) as scorer,
        runtime.engine.session(params) as session,
        console.Progress(len(prompts), f"evaluating {label}", unit="prompt") as bar,
    ):
        how = sampling(config, config.eval.temperature)
        agents = Agents(
            runtime.chat, session, how, seed=config.seed * 10 + EVAL_STREAM, step=0,
            watch=lambda stats: bar.update(len(found), **stats.shown()),
        )  # fmt: skip
        for index, episode in play(
            prompts, runtime.chat, agents, t_max=config.rollout.t_max,
            variant=make_variant(config, judge),
        ):  # fmt: skip
            scorer.add(episode)
            found[index] = episode
        bar.update(len(found), **session.stats().shown())
        session.close()  # the judge may be a model that needs the room
        scorer.finish()
    return [found[index] for index in range(len(prompts))]


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
        "settings": settings(config),
        "categories": {name: _measured(of, config.seed) for name, of in groups.items()},
        "confusion": confusion(episodes),
    }


def settings(config: ConfigDict) -> dict[str, Any]:
    """What else than the agents and the prompts a result depends on."""
    return {
        "judge.name": config.judge.name,
        "judge.model": config.judge.model,
        "eval.temperature": config.eval.temperature,
        "rollout.t_max": config.rollout.t_max,
        "rollout.variant": config.rollout.variant,
        "rollout.max_new_tokens": config.rollout.max_new_tokens,
        **template_settings(config),
    }


def _measured(episodes: Sequence[Episode], seed: int) -> dict[str, Any]:
    rates, ranges = summary(episodes), intervals(episodes, seed=seed)

    def part(first: bool) -> dict[str, Any]:
        keys = {k.removeprefix("initial/"): k for k in rates if k.startswith("initial/") == first}
        edges = {name: list(ranges[key]) for name, key in keys.items()}
        return {**{name: rates[key] for name, key in keys.items()}, "intervals": edges}

    return {**part(False), "n": len(episodes), "initial": part(True)}
