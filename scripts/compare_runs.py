"""Compare runs on the same maths problems with the first: table, parts, configs, answers, curves.

    python scripts/compare_runs.py runs/naive runs/multi [runs/beta0 ...] --output=compare.html

Each is a run's directory (the evaluation after its last stage), a file of its ``evaluations/``, a
result with its predictions beside it, or a file of predictions (.jsonl). The first is A.
Differences have paired 95 % bootstrap intervals over problems; a problem is solved where one of its
samples is right. The page holds the training curves of all run directories, one over the other.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten

from waltzjax.report.comparison import Difference, Section, write_maths_comparison
from waltzjax.rlvr.compare import (
    Against,
    against_first,
    evaluated_unalike,
    read_runs,
    trained_unalike,
)
from waltzjax.rlvr.side_by_side import side_by_side
from waltzjax.support.console import say, table

LISTED = 3  # problems that one alone solves, on the screen, of each way
WIDTH = 160  # characters of a text on the screen: a problem's first, an answer's last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first", metavar="A", type=Path, help="what the others are compared with")
    parser.add_argument("others", metavar="B", type=Path, nargs="+", help="up to five more")
    parser.add_argument("--output", type=Path, help="HTML file to write; does not exist yet")
    args = parser.parse_args()
    try:
        compare([args.first, *args.others], args.output)
    except (ValueError, OSError) as error:
        say(f"error: {error}", stream=sys.stderr)
        sys.exit(1)


def compare(paths: Sequence[Path], output: Path | None) -> None:
    if output and output.exists():
        raise FileExistsError(f"--output: {output} is there already; name another file")
    runs = read_runs(paths)
    found, n = against_first(runs), len(runs["A"].groups)
    evaluated, trained = evaluated_unalike(runs), trained_unalike(runs)
    say("".join(f"{letter}: {run.name}\n" for letter, run in runs.items()))
    for text in evaluated:
        say(f"not evaluated alike: {text}")
    for text in trained:
        say(f"configs differ: {text}")
    for one in found:
        show(one, n)
    if output:
        sections = [
            Section(
                one.letter, one.differences, one.parts,
                {
                    what: [side_by_side(pair, ("A", one.letter)) for pair in pairs]
                    for what, pairs in one.only.items()
                },
            )
            for one in found
        ]  # fmt: skip
        write_maths_comparison(
            output, runs={letter: run.name for letter, run in runs.items()}, n=n,
            evaluated=evaluated, trained=trained, sections=sections,
            metrics={letter: run.metrics for letter, run in runs.items() if run.metrics},
        )  # fmt: skip
        say(f"\nwritten to {output}")


def show(one: Against, n: int) -> None:
    header = ["measure", "A", one.letter, f"{one.letter} - A", "95 % interval", f"{one.letter} is"]
    say(
        table(
            f"\n{n} problems, the same in both; intervals over problems",
            header,
            [_row(d) for d in one.differences],
        )
    )
    for what, found in one.parts.items():
        say(table(f"\n{what}, accuracy", header, [_row(d) for d in found]))
    for what, pairs in one.only.items():
        say(f"\n{what}: {len(pairs)} of {n} problems" + (":" if pairs else ""))
        for pair in pairs[:LISTED]:
            shown = side_by_side(pair, ("A", one.letter))
            say(f"  problem  {shorten(shown['problem'], WIDTH)}\n  label    {shown['answer']}")
            for letter, said in shown["said"].items():
                text = " ".join(said["text"].split())
                say(f"  {letter}        {text if len(text) <= WIDTH else f'... {text[-WIDTH:]}'}")
            say("")


def _row(d: Difference) -> list[str]:
    def text(value: float, sign: str = "") -> str:
        return "-" if value != value else format(value, f"{sign}z.{2 if d.unit else 3}f")

    return [
        f"{d.name}, {d.unit}" if d.unit else d.name, text(d.a), text(d.b), text(d.difference, "+"),
        f"{text(d.low, '+')} to {text(d.high, '+')}", d.reading,
    ]  # fmt: skip


if __name__ == "__main__":
    main()
