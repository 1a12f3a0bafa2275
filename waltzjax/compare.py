"""Compare evaluations of the same questions with the first one: differences, what changed, curves.

    python -m waltzjax.compare --a=runs/demo/evaluations/base.json --b=runs/demo \\
        --output=compare.html
    python -m waltzjax.compare --a=runs/naive --b=runs/multi --b=runs/beta0

Each is a run's directory (the evaluation after its last stage), a file of its ``evaluations/``, a
result of ``waltzjax.evaluate`` or a row of ``scripts/reproduce_table.py`` (``rows/base.json``) with
its transcripts or predictions beside it, or a file of these (.jsonl); all of agents, or all of
policies on maths. Differences have paired 95 % bootstrap intervals. The page holds the training
curves of all run directories, one over the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from waltzjax.evaluation.compare import (
    Kind,
    against_first,
    evaluated_unalike,
    read_runs,
    trained_unalike,
)
from waltzjax.report.comparison import Difference, Section, write_comparison
from waltzjax.report.trust import note, warnings
from waltzjax.rlvr.compare import MATHS
from waltzjax.run import cli
from waltzjax.support import console
from waltzjax.waltz.compare import GAME

LISTED = 3  # changed questions on the screen, of each way


def compare(paths: Sequence[Path], output: Path | None) -> None:
    """Say how the evaluations differ from the first, and write the page ``output``.

    Raises:
      FileExistsError: that is there already.
      FileNotFoundError, ValueError: there are no such evaluations, or not of the same questions.
    """
    if output and output.exists():
        raise FileExistsError(f"--output: {output} is there already; name another file")
    kind, runs = read_runs((GAME, MATHS), paths)
    sections, first = against_first(kind, runs), runs["A"]
    evaluated, trained = evaluated_unalike(kind, runs), trained_unalike(runs)
    n, over = len(first.items), kind.over(first.items)
    console.say("".join(f"{letter}: {run.name}\n" for letter, run in runs.items()))
    for text in evaluated:
        console.say(f"not evaluated alike: {text}")
    for text in trained:
        console.say(f"configs differ: {text}")
    for one in sections:
        show(kind, one, n, over)
    warned = [f"{letter}: {text}" for letter, run in runs.items() for text in warnings(run.result)]
    judged = next(filter(None, (note(run.result) for run in runs.values())), "")
    for line in filter(None, (*warned, judged)):
        console.say(line)
    if output:
        write_comparison(
            output,
            what=kind.table.what,
            runs={x: run.name for x, run in runs.items()},
            n=n,
            over=over,
            evaluated=evaluated,
            trained=trained,
            warnings=warned,
            note=judged,
            sections=sections,
            metrics={letter: run.metrics for letter, run in runs.items() if run.metrics},
        )
        console.say(f"\nwritten to {output}")


def show(kind: Kind, one: Section, n: int, over: str) -> None:
    """Tables of a run against A, and some of what changed."""
    what = kind.table.what
    header = ["measure", "A", one.letter, f"{one.letter} - A", "95 % interval", f"{one.letter} is"]
    title = f"\n{n} {what}, the same in both; intervals over {over}"
    console.say(console.table(title, header, [_row(d) for d in one.differences]))
    for part, differences in one.parts.items():
        console.say(console.table(f"\n{part}, accuracy", header, [_row(d) for d in differences]))
    if one.unknown:
        console.say(f"\n{one.unknown} {what} have no usable verdict in A or {one.letter}")
    for title, pairs in one.changed.items():
        console.say(f"\n{title}: {len(pairs)} of {n} {what}" + (":" if pairs else ""))
        for pair in pairs[:LISTED]:
            console.say("\n".join([*kind.screen(pair), ""]))


def _row(d: Difference) -> list[str]:
    def text(value: float, sign: str = "") -> str:
        return "-" if value != value else format(value, f"{sign}z.{2 if d.unit else 3}f")

    return [
        f"{d.name}, {d.unit}" if d.unit else d.name,
        text(d.a),
        text(d.b),
        text(d.difference, "+"),
        f"{text(d.low, '+')} to {text(d.high, '+')}",
        d.reading,
    ]


def main() -> None:
    f = flags.FLAGS
    compare([Path(f.a), *map(Path, f.b)], Path(f.output) if f.output else None)


if __name__ == "__main__":
    flags.DEFINE_string("a", None, "An evaluation: a result, or a run's directory.")
    flags.DEFINE_multi_string("b", None, "Another one of the same questions; up to five of them.")
    flags.DEFINE_string("output", "", "HTML file to write; does not exist yet. Default: none.")
    flags.mark_flags_as_required(["a", "b"])
    cli.run(main)
