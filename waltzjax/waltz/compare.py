"""Two evaluations of the same prompts compared: differences with intervals, what changed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from waltzjax.evaluation.bootstrap import likelihood, revised
from waltzjax.report.comparison import Difference
from waltzjax.report.measures import MEASURES, by_key, number
from waltzjax.support import console
from waltzjax.types import Episode
from waltzjax.waltz.rates import difference_intervals, summary

SEED = 0  # of the resamples
LISTED = 3  # changed prompts on the screen, of each way
Changed = Mapping[str, Sequence[tuple[Episode, Episode]]]


def paired(a: Sequence[Episode], b: Sequence[Episode]) -> list[Episode]:
    """``b`` in the order of ``a``.

    Raises:
      ValueError: they are not of the same prompts, each of them once, with the same labels.
    """
    of_a, of_b = ({_asked(e): e for e in episodes} for episodes in (a, b))
    for name, found, episodes in (("--a", of_a, a), ("--b", of_b, b)):
        if len(found) < len(episodes):
            raise ValueError(f"{name}: {len(episodes) - len(found)} prompts occur again; "
                             "each must be there once")  # fmt: skip
    alone = [(name, [e.prompt for key, e in ours.items() if key not in theirs])
             for name, ours, theirs in (("--a", of_a, of_b), ("--b", of_b, of_a))]  # fmt: skip
    if any(prompts for _, prompts in alone):
        said = [
            f"{len(prompts)} of {len(of)} in {name} are not in the other (first: prompt "
            f"{prompts[0].id}, {'harmful' if prompts[0].harmful else 'harmless'}, "
            f"{prompts[0].text!r:.60})"
            for (name, prompts), of in zip(alone, (of_a, of_b), strict=True)
            if prompts
        ]
        raise ValueError(
            f"the prompts differ: {'; '.join(said)}; evaluate both with the same --data and "
            "config.eval.prompts"
        )
    return [of_b[_asked(e)] for e in a]


def _asked(episode: Episode) -> tuple[str, bool]:
    return episode.prompt.text, episode.prompt.harmful


def differences(a: Sequence[Episode], b: Sequence[Episode]) -> list[Difference]:
    """Each measure of ``a``, of ``b``, and b - a; both are of the same prompts in one order."""
    ours, theirs = summary(a), summary(b)
    ranges = difference_intervals(a, b, seed=SEED)
    rows = [(m.key, m.name, m) for m in MEASURES if m.key in ours]
    rows += [
        (f"initial/{m.key}", f"First answers: {m.name}", m)
        for m in MEASURES
        if f"initial/{m.key}" in ours
    ]
    return [
        Difference(name, m.unit, ours[k], theirs[k], theirs[k] - ours[k], *ranges[k], m.better)
        for k, name, m in rows
    ]


def guarded(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Difference]:
    """The same of ordinary chats, where both results have them; of the same chats."""
    ours, theirs = a.get("ordinary"), b.get("ordinary")
    if not (ours and theirs):
        return []
    found = []
    if ours["tokens"] == theirs["tokens"]:  # else another tokenizer's: not comparable
        share, low, high = likelihood(ours, theirs, SEED)
        found.append(
            Difference("Likelihood of ordinary chats, A = 100", "%", 100.0, share, share - 100,
                       low - 100, high - 100, "higher")
        )  # fmt: skip
    ftr = by_key("ordinary_ftr")
    first, last = (number(result.get(ftr.key)) for result in (a, b))
    change = (math.nan,) * 3
    if math.isfinite(first + last):  # which it is not where no feedback was asked for, t_max = 0
        change = revised(ours, theirs, SEED)
    return [*found, Difference(ftr.name, ftr.unit, first, last, *change, ftr.better)]


def other_settings(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """What the two were not evaluated alike in, as texts: then a difference may be of that."""
    ours, theirs = a.get("settings", {}), b.get("settings", {})
    found = [
        f"config.{key}: {ours.get(key)!r} in A, {theirs.get(key)!r} in B"
        for key in dict.fromkeys([*ours, *theirs])
        if ours.get(key) != theirs.get(key)
    ]
    tokens = [result["ordinary"]["tokens"] for result in (a, b) if result.get("ordinary")]
    if len(tokens) == 2 and tokens[0] != tokens[1]:
        found.append("ordinary chats: other ones, or in other tokens; no likelihood is compared")
    return found


def changed(a: Sequence[Episode], b: Sequence[Episode]) -> tuple[Changed, int]:
    """Pairs whose last answer is good in one of the two only, by which; and how many have no
    verdict of it in one of them."""
    better: list[tuple[Episode, Episode]] = []
    worse: list[tuple[Episode, Episode]] = []
    unjudged = 0
    for pair in zip(a, b, strict=True):
        first, second = (episode.verdicts[-1] for episode in pair)
        if first is None or second is None:
            unjudged += 1
        elif first.good != second.good:
            (better if second.good else worse).append(pair)
    return {"bad in A, good in B": better, "good in A, bad in B": worse}, unjudged


def show(
    found: Sequence[Difference], what: Changed, unjudged: int, n: int, over: str,
    settings: Sequence[str],
) -> None:  # fmt: skip
    """``over``: what the intervals are over, as ``rates.interval_units`` says it."""

    def text(value: float, d: Difference, sign: str = "") -> str:
        return "-" if value != value else format(value, f"{sign}.{2 if d.unit else 3}f")

    rows = [
        [
            f"{d.name}, {d.unit}" if d.unit else d.name, text(d.a, d), text(d.b, d),
            text(d.difference, d, "+"),
            f"{text(d.low, d, '+')} to {text(d.high, d, '+')}", d.reading,
        ]
        for d in found
    ]  # fmt: skip
    header = ["measure", "A", "B", "B - A", "95 % interval", "B is"]
    title = f"{n} prompts, the same in both; intervals over {over}"
    console.say(console.table(title, header, rows))
    for setting in settings:
        console.say(f"not evaluated alike: {setting}")
    if unjudged:
        console.say(f"\n{unjudged} prompts have no usable verdict in A or B")
    for name, pairs in what.items():
        console.say(f"\n{name}: {len(pairs)} of {n} prompts" + (":" if pairs else ""))
        for first, second in pairs[:LISTED]:
            console.say(f"  user  {first.prompt.text}")
            console.say(f"  A     {first.answers[-1].text}\n  B     {second.answers[-1].text}\n")
