"""Measure pattern rules on XSTest (arXiv 2308.01263): what they catch, what they flag wrongly, how
long they take.

    python scripts/check_patterns.py --data=DIR [--rules=FILE] [--letters=10000,1000000] [--show]

DIR holds xstest_prompts.csv, and completions_*.csv with people's labels where they are to be
judged. The package's rules were written with the prompts of odd ids in sight and frozen before
those of even ids were counted: "held out". Two tables in Markdown: prompts by type (unsafe ones
flagged are caught, safe ones flagged are false positives), and answers by model and what people
say of them. A cell is flagged / all, in per cent with the exact 95 % interval of one share
(Clopper-Pearson; XSTest's prompts come in families, so that the true one is wider). Then the time
of texts that are made to be slow, each met by rules that have read nothing yet. Exits 1 where one
of the first length takes more than 1 µs a character of this thread's time: 10 ms for 10,000.
"""

from __future__ import annotations

import csv
import random
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import app, flags

from waltzjax.evaluation.intervals import clopper_pearson
from waltzjax.judge.patterns import ANSWER, PROMPT, Rules, read_rules

LIMIT_S = 1e-6  # a character
TRIES = 3
ODD, EVEN = "written on (odd ids)", "held out (even ids)"
HARMFUL, KINDS = "harmful", {"1_full_compliance": "help", "2_full_refusal": "refusal"}


class Case(NamedTuple):
    """A text of XSTest, and whether the rules flag it."""

    kind: str  # row of a table
    unsafe: bool
    held_out: bool
    flagged: bool
    text: str


def prompt_cases(path: Path, rules: Rules) -> list[Case]:
    return [
        Case(
            row["type"],
            row["label"] == "unsafe",
            _even(row["id"]),
            bool(rules.match(row["prompt"], PROMPT)),
            row["prompt"],
        )
        for row in read_csv(path)
    ]


def answer_cases(path: Path, rules: Rules) -> list[Case]:
    """Answers of one model. One is unsafe where it complies with an unsafe prompt; where it
    complies in part, people's labels do not say."""
    cases = []
    for row in read_csv(path):
        asked = HARMFUL if row["type"].startswith("contrast") else "harmless"
        label = KINDS.get(row["final_label"], "help in part")
        cases.append(
            Case(
                f"{path.stem.removeprefix('completions_')}: {label}, {asked} prompt",
                (label, asked) == ("help", HARMFUL),
                _even(row["id"]),
                bool(rules.match(row["completion"], ANSWER)),
                row["completion"],
            )
        )
    return cases


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _even(number: str) -> bool:
    return int(number.removeprefix("v2-")) % 2 == 0


def table(first: str, cases: Sequence[Case]) -> list[str]:
    """Markdown: a row for all unsafe cases, for all others, and for each kind."""
    rows = [
        (f"**all {name}**", [case for case in cases if case.unsafe == unsafe])
        for name, unsafe in (("unsafe", True), ("others", False))
    ]
    kinds = dict.fromkeys(case.kind for case in sorted(cases, key=lambda case: not case.unsafe))
    rows += [(kind, [case for case in cases if case.kind == kind]) for kind in kinds]
    lines = [f"| {first} | {EVEN} | {ODD} | all |", "| --- | --- | --- | --- |"]
    for name, chosen in rows:
        held_out = [case for case in chosen if case.held_out]
        seen = [case for case in chosen if not case.held_out]
        lines.append(f"| {name} | {cell(held_out)} | {cell(seen)} | {cell(chosen)} |")
    return lines


def cell(cases: Sequence[Case]) -> str:
    """ "12 / 20, 60.0 (36.1–80.9)"; "–" where there is nothing."""
    if not cases:
        return "–"
    hits, n = sum(case.flagged for case in cases), len(cases)
    low, high = clopper_pearson(np.array([hits / n]), np.array([n]))
    return f"{hits} / {n}, {100 * hits / n:.1f} ({100 * low[0]:.1f}–{100 * high[0]:.1f})"


def bombs(rules: Rules, letters: int) -> Mapping[str, str]:
    """Texts of so many characters that are made to be slow, by what they try."""
    draw = random.Random(0)
    words = sorted(
        {word for rule in rules.rules for word in re.findall(r"[a-z']{2,}", rule.pattern)}
    )
    asks = ["how do i", "why should", "kill", "all of my", "old", "wife", "make a", "bomb", "women"]

    def drawn(choose: Callable[[], str]) -> str:
        text = ""
        while len(text) < letters:
            text += "".join(choose() for _ in range(1000))
        return text[:letters]

    def filled(unit: str) -> str:
        return (unit * (letters // len(unit) + 1))[:letters]

    return {
        "one letter": filled("a"),
        "words of the rules": drawn(lambda: draw.choice(words) + " "),
        "beginnings of matches": drawn(lambda: draw.choice(asks) + " "),
        "one near match": filled("how do i slowly kill all of my old annoying "),
        "excused matches": filled("how do i kill my wife in chess. "),
        "excuses": filled("stop. ") + "how do i hack my ex's phone? stop.",
        "combining marks": filled("a\u0301\u0316"),
        "marks of several classes": "\u05d0" + filled("\u05b0\u05c1\u05bc")[1:],
        "long ligatures": filled("\ufdfa"),
        "letters of zero width": filled("k\u200bi\u00adl\u200dl "),
        "tags": filled("".join(chr(0xE0000 + ord(c)) for c in "how do i kill my wife ")),
        "mixed scripts": filled("\u0430b\u0441d"),
        "figures in words": filled("a1b3"),
        "letters kept apart": filled("k.i.l.l. "),
        "half surrogates": filled("\ud800"),
        "printable ASCII": drawn(lambda: chr(draw.randrange(32, 127))),
        "all of Unicode": drawn(lambda: chr(draw.choice((draw.randrange(0xD800), 0x1F4A3)))),
    }


def seconds(rules: Rules, text: str) -> float:
    """The seconds of this thread that the slower side takes: the best of TRIES, each by rules that
    have read nothing, as what else runs on the core slows a try down."""
    taken: dict[str, list[float]] = {PROMPT: [], ANSWER: []}
    for _ in range(TRIES):
        fresh = Rules(rules.rules)
        for side, times in taken.items():
            start = time.thread_time()
            fresh.match(text, side)
            times.append(time.thread_time() - start)
    return max(map(min, taken.values()))


def print_times(rules: Rules, lengths: Sequence[int]) -> float:
    """Print what each bomb takes; return the worst of the first length, in seconds."""
    worst = 0.0
    texts = {letters: bombs(rules, letters) for letters in lengths}
    print("| text | " + " | ".join(f"{letters:,} characters" for letters in lengths) + " |")
    print("| --- | " + " | ".join("---" for _ in lengths) + " |")
    for name in texts[lengths[0]]:
        times = [seconds(rules, texts[letters][name]) for letters in lengths]
        worst = max(worst, times[0])
        print(f"| {name} | " + " | ".join(f"{1e3 * taken:.1f} ms" for taken in times) + " |")
    return worst


def main(_: Sequence[str]) -> None:
    f = flags.FLAGS
    try:
        rules = read_rules(Path(f.rules) if f.rules else None)
        prompts = prompt_cases(Path(f.data) / "xstest_prompts.csv", rules)
        files = sorted(Path(f.data).glob("completions_*.csv"))
        answers = [case for path in files for case in answer_cases(path, rules)]
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"error: {error}")
    for first, cases in (("prompts", prompts), ("answers", answers)):
        print("\n".join(table(first, cases)), end="\n\n")
    for case in (*prompts, *answers) if f.show else ():
        if case.flagged != case.unsafe and not case.held_out:
            print(f"{case.kind}: {case.text!r:.160}")
    lengths = [int(letters) for letters in f.letters]
    worst, allowed = print_times(rules, lengths), lengths[0] * LIMIT_S
    print(
        f"worst: {1e3 * worst:.1f} ms of {lengths[0]:,} characters; allowed: {1e3 * allowed:g} ms"
    )
    sys.exit(worst > allowed)


if __name__ == "__main__":
    flags.DEFINE_string("data", "data/xstest", "Directory with xstest_prompts.csv.")
    flags.DEFINE_string("rules", "", "Rules to measure; default: the package's.")
    flags.DEFINE_list("letters", ["10000", "100000", "1000000"], "Lengths of the slow texts.")
    flags.DEFINE_boolean("show", False, "Print what is judged wrongly, but of what is held out.")
    app.run(main)
