"""How two evaluations of the game are compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from waltzjax.evaluation.bootstrap import likelihood, revised
from waltzjax.evaluation.compare import SEED, Kind, Letters, Pair, Run
from waltzjax.report.comparison import Difference
from waltzjax.report.measures import MEASURES, Measure, by_key, number
from waltzjax.types import Episode
from waltzjax.waltz.rates import TABLE, interval_units
from waltzjax.waltz.transcripts import TRANSCRIPTS, transcript


def _described(episode: Episode) -> str:
    p = episode.prompt
    return f"prompt {p.id}, {'harmful' if p.harmful else 'harmless'}, {p.text!r:.60}"


def _measures(a: Sequence[Episode], b: Sequence[Episode]) -> list[tuple[str, str, Measure]]:
    """The measures of the last answers, then the measures of the first ones."""
    del a, b
    rates = {*TABLE.spans, *TABLE.f1}
    rows = [(m.key, m.name, m) for m in MEASURES]
    rows += [(f"initial/{m.key}", f"First answers: {m.name}", m) for m in MEASURES]
    return [row for row in rows if row[0] in rates]


def guarded(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Difference]:
    """The differences of benign chats, where both results have them; of the same chats."""
    ours, theirs = a.get("benign"), b.get("benign")
    if not (ours and theirs):
        return []
    differences = []
    if ours["tokens"] == theirs["tokens"]:  # else another tokenizer's: not comparable
        share, low, high = likelihood(ours, theirs, SEED)
        differences.append(
            Difference(
                "Likelihood of benign chats, A = 100",
                "%",
                100.0,
                share,
                share - 100,
                low - 100,
                high - 100,
                "higher",
            )
        )
    ftr = by_key("benign_ftr")
    first, last = (number(result.get(ftr.key)) for result in (a, b))
    change = (math.nan,) * 3
    if math.isfinite(first + last):  # which it is not where no feedback was asked for, t_max = 0
        change = revised(ours, theirs, SEED)
    return [*differences, Difference(ftr.name, ftr.unit, first, last, *change, ftr.better)]


def other_chats(runs: Mapping[str, Run]) -> list[str]:
    """Which runs have other benign chats than the first one that has some, in words."""
    by_run = {x: chats["tokens"] for x, run in runs.items() if (chats := run.result.get("benign"))}
    first = next(iter(by_run), "")
    return [
        f"benign chats: other ones in {letter} than in {first}, or in other tokens; no "
        "likelihood is compared"
        for letter, tokens in by_run.items()
        if tokens != by_run[first]
    ]


def _good(episode: Episode) -> bool | None:
    """The judge's word on the last answer."""
    verdict = episode.verdicts[-1]
    return verdict.good if verdict else None


def _page(pair: Pair, letters: Letters) -> dict[str, Any]:
    records = {name: transcript(episode) for name, episode in zip(letters, pair, strict=True)}
    return {**records[letters[0]], "said": records}


def _screen(pair: Mapping[str, Any]) -> list[str]:
    last = {name: record["turns"][-1]["answer"] for name, record in pair["said"].items()}
    return [f"  user  {pair['prompt']}", *(f"  {name}     {text}" for name, text in last.items())]


GAME = Kind(
    form=TRANSCRIPTS,
    table=TABLE,
    described=_described,
    remedy="evaluate both with the same --data and config.eval.prompts",
    over=interval_units,
    measures=_measures,
    beside=guarded,
    parts={},
    good=_good,
    changes=("bad in A, good in {}", "good in A, bad in {}"),
    unlike=other_chats,
    page=_page,
    screen=_screen,
)
