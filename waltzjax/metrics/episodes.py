"""Episodes: the steps from where a rule begins to hold to where its figure is well again.

One noisy batch is no anomaly, and a figure that stays out of bounds is one anomaly, not one a
step. So a rule judges the exponentially weighted mean m of a figure, with its standard error SE

    d = x - m;  m <- m + a d;  v <- (1 - a)(v + a d^2);  q <- (1 - a)^2 q + a^2
    SE^2 = v q / (1 - q)

(q: sum of the squared weights; a = 2 / (span + 1), and 1/n while there are fewer records n).

An episode of a rule begins where m is past the threshold by more than ``sure`` SE, at ``patience``
records in a row; it ends where m has been clear of the threshold by a tenth of it, at as many. Of a
rule that waits, m is taken anew once the wait is over: it does not lag behind what improves. A rule
that is relative to its figure's recent average has the threshold

    b + max((factor - 1) b, 3 s)

with mean b and spread s of the records before, over ``RECENT`` of them, and each record by itself
must be past it too. While the rule holds b and s stand still, so that a loss that stays high does
not become what is usual.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from waltzjax.metrics.rules import Rule

WILD = 3.0  # spreads of recent figures that a relative rule leaves as room
MARGIN = 0.1  # of the threshold
RECENT = 64  # records of which a relative rule takes the average
SHOWN = 20  # last values that an episode tells
BAD = 1e9  # what a figure that is not finite counts as, on the side that breaks the rule


class Episode(NamedTuple):
    """A rule that began to hold at ``step`` of ``stage``.

    value, threshold: the averaged figure and the threshold there.
    history: the last (step, averaged figure) pairs, oldest first, ``value`` included.
    """

    rule: Rule
    metric: str
    stage: str
    step: int
    value: float
    threshold: float
    history: tuple[tuple[int, float], ...]


class Change(NamedTuple):
    """An episode that began at ``step``, or ended there."""

    step: int
    ended: bool
    episode: Episode


class Episodes:
    """The episodes of one run, of which it is fed the records in order. A record has "stage", ""
    where a log knows none, "step", and figures.

    totals: steps of each stage where known; of others no share can have passed, and a rule that
      waits for a share does not wait.
    grace: that share of a stage's steps.
    standing: the episodes that have not ended, by rule and figure.
    """

    def __init__(self, rules: Sequence[Rule], totals: Mapping[str, int], grace: float) -> None:
        self.rules, self.totals, self.grace = tuple(rules), totals, grace
        self.restart()

    def restart(self) -> None:
        """Forget all that was fed."""
        self.standing: dict[tuple[str, str], Episode] = {}
        self._stage, self._step = "", -1
        self._figures: dict[tuple[str, str], _Figure] = {}
        self._by_name: dict[str, list[Rule]] = {}

    def feed(self, records: Sequence[Mapping[str, Any]]) -> list[Change]:
        """Judge the records; the changes, in the order of steps. Episodes end with their stage, and
        where the steps go back."""
        changes: list[Change] = []
        for segment in self._segments(records):
            steps = [record["step"] for record in segment]
            of_segment: list[Change] = []
            for name in _names(segment):
                for rule in self._rules_of(name):
                    of_segment += self._judge(rule, name, segment, steps)
            of_segment.sort(key=lambda change: (change.step, change.ended))
            for change in of_segment:  # now: the next segment begins with none that stands
                key = change.episode.rule.name, change.episode.metric
                if change.ended:
                    self.standing.pop(key, None)
                else:
                    self.standing[key] = change.episode
            changes += of_segment
        return changes

    def _segments(self, records: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[Mapping]]:
        """Runs of records of one stage whose steps go on."""
        first = 0
        for i, record in enumerate(records):
            stage, step = record.get("stage", ""), record["step"]
            if step < self._step or stage != self._stage:
                if i > first:
                    yield records[first:i]
                first = i
                self.standing.clear()
                self._figures.clear()
                self._stage = stage
            self._step = step
        if len(records) > first:
            yield records[first:]

    def _rules_of(self, name: str) -> list[Rule]:
        if name not in self._by_name:
            self._by_name[name] = [
                rule for rule in self.rules if f"{name}/".startswith(f"{rule.metric}/")
            ]
        return self._by_name[name]

    def _judge(
        self, rule: Rule, name: str, segment: Sequence[Mapping], steps: Sequence[int]
    ) -> list[Change]:
        figure = self._figures.setdefault((rule.name, name), _Figure())
        try:
            values = [*map(itemgetter(name), segment)]
        except KeyError:
            values = [record.get(name) for record in segment]
        if not _all_finite(values):
            steps, values = _numbers(steps, values, BAD if rule.above else -BAD)
        total = self.totals.get(self._stage, 0)
        waits_until = self.grace * total if rule.waits else 0
        judge = _judge_relative if rule.relative else _judge_threshold
        means: list[float] = []
        changes = []
        for at, began, threshold in judge(figure, rule, steps, values, waits_until, means):
            if began:
                new = [*zip(steps[: at + 1], means[: at + 1], strict=True)]
                figure.episode = Episode(
                    rule,
                    name,
                    self._stage,
                    steps[at],
                    means[at],
                    threshold,
                    tuple([*figure.recent, *new][-SHOWN:]),
                )
            assert figure.episode
            changes.append(Change(steps[at], not began, figure.episode))
        new = [*zip(steps[-SHOWN:], means[-SHOWN:], strict=True)]
        figure.recent = [*figure.recent, *new][-SHOWN:]
        return changes


def _names(records: Sequence[Mapping[str, Any]]) -> set[str]:
    """The names of all figures; those of one record are mostly those of the one before."""
    names: set[str] = set()
    before: tuple[str, ...] = ()
    for record in records:
        if (now := tuple(record)) != before:
            names.update(now)
            before = now
    return names


def _all_finite(values: Sequence[Any]) -> bool:
    try:
        return math.isfinite(sum(values))
    except TypeError:  # something is no number, or not there
        return False


def _numbers(steps: Sequence[int], values: Sequence[Any], bad: float) -> tuple[list, list]:
    """Those that are numbers, with their steps; ``bad`` where one is not finite."""
    pairs = [
        (step, x if math.isfinite(x) else bad)
        for step, x in zip(steps, values, strict=True)
        if type(x) is float or type(x) is int
    ]
    return [step for step, _ in pairs], [x for _, x in pairs]


Began = tuple[int, bool, float]  # index of a value, whether an episode began or ended, threshold


class _Figure:
    """The state of one figure under one rule."""

    __slots__ = (
        "base",
        "base_var",
        "clear",
        "episode",
        "held",
        "mean",
        "n",
        "open",
        "recent",
        "squares",
        "var",
        "waits",
    )

    def __init__(self) -> None:
        self.n, self.mean, self.var, self.squares = 0, 0.0, 0.0, 1.0
        self.base, self.base_var = 0.0, 0.0
        self.held, self.clear, self.open, self.waits = 0, 0, False, True
        self.episode: Episode | None = None
        self.recent: list[tuple[int, float]] = []  # (step, mean)


def _judge_threshold(
    figure: _Figure,
    rule: Rule,
    steps: Sequence[int],
    values: Sequence[float],
    waits_until: float,
    means: list[float],
) -> list[Began]:
    """Judge the values; append the mean after each to ``means``."""
    sign, limit = (1.0 if rule.above else -1.0), rule.threshold
    least, patience, margin = max(rule.span // 2, 2), rule.patience, MARGIN * abs(rule.threshold)
    usual, sure = 2 / (rule.span + 1), rule.sure * rule.sure
    a, keep, settled = usual, 1 - usual, 20 * rule.span  # records after which q no longer changes
    n, mean, var, squares = figure.n, figure.mean, figure.var, figure.squares
    held, clear, is_open = figure.held, figure.clear, figure.open
    waits, changes = figure.waits and waits_until > 0, []
    if values and n >= settled and not is_open and not waits:
        for x in values:
            d = x - mean
            mean += a * d
            var = keep * (var + a * d * d)
            means.append(mean)
        if sign * ((max(means) if rule.above else min(means)) - limit) <= 0:
            figure.mean, figure.var, figure.held, figure.waits = mean, var, 0, False
            return []  # nothing is past: most parts of most runs
        mean, var = figure.mean, figure.var
        means.clear()
    for i, x in enumerate(values):
        if waits and steps[i] >= waits_until:  # what the base model did is no longer of interest
            n, var, squares, held, waits = 0, 0.0, 1.0, 0, False
        if n < settled:
            n += 1
            a = usual if n * usual > 1 else 1 / n
            keep = 1 - a
            squares = keep * keep * squares + a * a
        d = x - mean
        mean += a * d
        var = keep * (var + a * d * d)
        means.append(mean)
        past = sign * (mean - limit)
        if is_open:
            clear = clear + 1 if past <= -margin else 0
            if clear >= patience:
                is_open, clear = False, 0
                changes.append((i, False, limit))
        elif past > 0 and n >= least and past * past * (1 - squares) > sure * var * squares:
            held += 1
            if held >= patience and not waits:
                is_open, held = True, 0
                changes.append((i, True, limit))
        else:
            held = 0
            if past < -margin and n >= least:
                waits = False
    figure.waits = waits
    figure.n, figure.mean, figure.var, figure.squares = n, mean, var, squares
    figure.held, figure.clear, figure.open = held, clear, is_open
    return changes


def _judge_relative(
    figure: _Figure,
    rule: Rule,
    steps: Sequence[int],
    values: Sequence[float],
    waits_until: float,
    means: list[float],
) -> list[Began]:
    """As ``_judge_threshold``, of a rule whose threshold is a factor of the recent average, which
    the figure must not be above."""
    del steps, waits_until
    factor, patience, sqrt = rule.threshold - 1, rule.patience, math.sqrt
    fast, slow, least = 2 / (rule.span + 1), 2 / (RECENT + 1), RECENT // 4
    quick, a, settled = fast, slow, RECENT
    n, mean, base, var = figure.n, figure.mean, figure.base, figure.base_var
    held, clear, is_open = figure.held, figure.clear, figure.open
    changes = []
    for i, x in enumerate(values):
        if n < settled:
            n += 1
            quick, a = max(fast, 1 / n), max(slow, 1 / n)
        mean += quick * (x - mean)
        means.append(mean)
        room, spread = factor * base, WILD * sqrt(var)
        if room < spread:
            room = spread
        limit = base + room
        if is_open:
            clear = clear + 1 if mean - limit <= -MARGIN * room else 0
            if clear >= patience:
                is_open, clear = False, 0
                changes.append((i, False, limit))
        elif mean > limit and x > limit and room > 0 and n > least:
            held += 1  # x too: a wild batch leaves the mean high for some records
            if held >= patience:
                is_open, held = True, 0
                changes.append((i, True, limit))
        else:
            held = 0
            if n > least and room > 0:  # one wild batch must not hide what follows
                x = limit if x > limit else max(x, base - room)
            d = x - base
            base += a * d
            var = (1 - a) * (var + a * d * d)
    figure.n, figure.mean, figure.base, figure.base_var = n, mean, base, var
    figure.held, figure.clear, figure.open = held, clear, is_open
    return changes
