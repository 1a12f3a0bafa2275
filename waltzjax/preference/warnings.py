"""Warnings about a set of preference pairs, in words, from its summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from waltzjax.preference.pairing import OVER_SHARE
from waltzjax.preference.summary import ALL_RIGHT, MIXED, NONE_RIGHT, OF_A_QUESTION
from waltzjax.types import COHERENCE, CORRECTNESS

USUAL = 0.7, 0.8  # share of correctness [source]
MOST_RATIO = 1.5  # of the words of chosen and rejected answers, either way [ours]
FEWEST_ARMS = 2
SAME = 1e-9  # scores that differ by less are one
CONSTANT = {
    "s_end": "as many arms agree on every question; look at what is read as their answers",
    "s_path": "the texts are everywhere as alike; look at the arms' temperatures and personas",
    "s_cf": "the counterfactual agrees with the probes always, or never; look at its persona, and "
    "whether its answers can be read",
    "quality": "no answer is more concise or better aligned than another; look at the texts",
    "reward": "no answer is better than another; look at the texts",
}


def warnings(summary: Mapping[str, Any]) -> list[str]:
    """The warnings of a ``preference.summary``: scores that are constant; a type of pairs that is
    missing, or has not its usual share, and why; a mix for which most pairs were left out; too few
    arms with answers; chosen answers that are longer or shorter than rejected ones."""
    return [
        *_constant(summary),
        *_mix(summary),
        *_thinned(summary),
        *_arms(summary),
        *_lengths(summary),
    ]


def _constant(summary: Mapping[str, Any]) -> Iterator[str]:
    for name, stats in summary["scores"].items():
        if stats and stats["n"] > 1 and stats["max"] - stats["min"] < SAME:
            what = "questions" if name in OF_A_QUESTION else "trajectories"
            yield (
                f"{name} is constant, {stats['mean']:.4g} of all {stats['n']} {what}, and tells "
                f"none from another: {CONSTANT[name]}"
            )


def _mix(summary: Mapping[str, Any]) -> Iterator[str]:
    types, share, settings = (summary[k] for k in ("pair_types", "correctness_share", "settings"))
    missing = [kind for kind, n in types.items() if not n]
    if share is None:
        return
    if missing:
        (there,) = types.keys() - {*missing}
        yield (
            f"all {summary['pairs']} pairs are of {there}, none of {missing[0]}: "
            f"{_why_missing(missing[0], summary)}"
        )
    elif not USUAL[0] <= share <= USUAL[1]:
        wanted = settings["correctness_share"]
        if not wanted:
            why = (
                "config.pairs.correctness_share = 0 takes the types as they come; at 0.75 the one "
                "that has more is thinned"
            )
        elif not USUAL[0] <= wanted <= USUAL[1]:
            why = f"config.pairs.correctness_share asks for {wanted:g}"
        else:
            why = (
                f"with {types[CORRECTNESS]} and {types[COHERENCE]} pairs no share is closer to "
                f"{wanted:g}; collect more questions"
            )
        yield (
            f"{100 * share:.1f} % of the pairs are of correctness, usual are {100 * USUAL[0]:g} to "
            f"{100 * USUAL[1]:g} %: {why}"
        )


def _why_missing(kind: str, summary: Mapping[str, Any]) -> str:
    settings = summary["settings"]
    if not settings[f"{kind}_per_question"]:
        return f"config.pairs.{kind}_per_question = 0 asks for none"
    if kind == COHERENCE and settings["correctness_share"] == 1:
        return "config.pairs.correctness_share = 1 leaves none of them"
    return _why_few(kind, summary)


def _why_few(kind: str, summary: Mapping[str, Any]) -> str:
    answered, n = summary["answered"], summary["questions"]
    if kind == CORRECTNESS:
        return (
            f"{answered[MIXED]} of {n} questions have right and wrong answers, "
            f"{answered[ALL_RIGHT]} right ones alone, {answered[NONE_RIGHT]} none that is right; "
            "ask harder or easier questions, more of them, or at higher temperatures"
        )
    return (
        "it takes two right answers to a question whose rewards differ by more than "
        f"config.pairs.min_reward_gap = {summary['settings']['min_reward_gap']:g}, and "
        f"{answered[ALL_RIGHT] + answered[MIXED]} of {n} questions have a right answer"
    )


def _thinned(summary: Mapping[str, Any]) -> Iterator[str]:
    for kind, few in ((CORRECTNESS, COHERENCE), (COHERENCE, CORRECTNESS)):
        left_out, wanted = summary["left_out"].get(OVER_SHARE[kind], 0), summary["settings"]
        if left_out > summary["pairs"] and summary["pair_types"][few]:
            yield (
                f"{left_out} pairs of {kind} were left out for a share of "
                f"{wanted['correctness_share']:g} (config.pairs.correctness_share; 0 keeps them), "
                f"more than all {summary['pairs']} that stay: there are only "
                f"{summary['pair_types'][few]} of {few}: {_why_few(few, summary)}"
            )


def _arms(summary: Mapping[str, Any]) -> Iterator[str]:
    answered = [name for name, rates in summary["arms"].items() if rates["format_rate"]]
    if len(answered) < FEWEST_ARMS:
        yield (
            f"{len(answered)} of {len(summary['arms'])} arms gave answers that can be read"
            f"{': ' * bool(answered)}{', '.join(answered)}; how answers cohere shows in "
            f"{FEWEST_ARMS} or more; look at the texts of the others, and at their personas"
        )


def _lengths(summary: Mapping[str, Any]) -> Iterator[str]:
    for kind, words in summary["words"].items():
        ratio = words["ratio"]
        if not 1 / MOST_RATIO <= ratio <= MOST_RATIO:
            yield (
                f"chosen answers of {kind} have {ratio:.2f} times the words of the rejected ones "
                f"(median), outside {1 / MOST_RATIO:.2f} to {MOST_RATIO:g}: what is learnt may be "
                f"to be {'long' if ratio > 1 else 'short'}"
            )
