"""How two evaluations on maths are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Any

from waltzjax.evaluation.compare import Kind, Run, unalike
from waltzjax.report.measures import Measure, maths_measures
from waltzjax.rlvr.predictions import PREDICTIONS
from waltzjax.rlvr.rates import TABLE, by_level, by_subject
from waltzjax.rlvr.side_by_side import side_by_side, solved
from waltzjax.types import Group

WIDTH = 160  # characters of a text on the screen: a problem's first, an answer's last


def samples(groups: Sequence[Group]) -> int:
    """How many samples each problem has; the smallest number where they differ."""
    return min(len(g.attempts) for g in groups)


def _described(group: Group) -> str:
    p = group.problem
    return f"problem {p.id}, {p.text!r:.60}, answer {p.answer!r:.30}"


def _measures(a: Sequence[Group], b: Sequence[Group]) -> list[tuple[str, str, Measure]]:
    """The measures; pass@k only where both have as many samples a problem, and more than one."""
    several = samples(a) if samples(a) == samples(b) else 1
    return [(m.key, m.name, m) for m in maths_measures(several)]


def _other_samples(runs: Mapping[str, Run]) -> list[str]:
    return unalike(
        {letter: {"samples a problem": samples(run.items)} for letter, run in runs.items()}
    )


def _screen(pair: Mapping[str, Any]) -> list[str]:
    lines = [f"  problem  {shorten(pair['problem'], WIDTH)}", f"  label    {pair['answer']}"]
    for letter, sample in pair["said"].items():
        text = " ".join(sample["text"].split())
        lines.append(f"  {letter}        {text if len(text) <= WIDTH else f'... {text[-WIDTH:]}'}")
    return lines


MATHS = Kind(
    form=PREDICTIONS,
    table=TABLE,
    described=_described,
    remedy="evaluate both on the same file",
    over=lambda groups: "problems",
    measures=_measures,
    beside=lambda a, b: [],
    parts={"By subject": by_subject, "By level": by_level},
    good=solved,
    changes=("Only {} solves", "Only A solves"),
    unlike=_other_samples,
    page=side_by_side,
    screen=_screen,
)
