r"""Grade reference solutions, which are right, and answers made wrong from them.

    python scripts/check_grading.py [--data=data] [--workers=2] [--limit=0]

GSM8K: the field ``answer`` against its own ``#### n``. MATH500: ``solution`` against ``answer``.
Each label is also changed in several ways that change its value (the next number, the other sign,
a digit in another place, another letter, an interval's other bracket, ...), put in the solution's
place and graded against the true label; and right ones are written in another form (``\dfrac``,
spaces, decimals, text around), as equal texts would show little. Prints a table: how many are
graded right, could be read, timed out, and answers/s; the second time, of those for which a
process is needed. Exits 1 unless at least 99.5 % of the solutions and of the other forms are right,
no wrong answer is, and 300 answers/s are graded over all.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from absl import app, flags

from waltzjax.data.problems import read_problems
from waltzjax.rewards.maths_answer import final_answer
from waltzjax.rewards.maths_equal import compare_plain
from waltzjax.rewards.maths_number import read_number, tidy
from waltzjax.rewards.maths_text import boxes
from waltzjax.rewards.verifier import Verifier

FILES = ("gsm8k/train.jsonl", "gsm8k/test.jsonl", "math500/test.jsonl")
RIGHT, PER_SECOND = 0.995, 300

flags.DEFINE_string("data", "data", "Directory with gsm8k/ and math500/.")
flags.DEFINE_integer("workers", 2, "Processes that compare by algebra.", lower_bound=1)
flags.DEFINE_float("timeout_s", 5.0, "Of one comparison.", lower_bound=0.001)
flags.DEFINE_integer("limit", 0, "Only so many problems of each file; 0: all.", lower_bound=0)
flags.DEFINE_boolean("show", False, "Print each answer that is graded as it should not be.")


class Case(NamedTuple):
    kind: str  # "solution", "other form" or "wrong"
    response: str
    label: str


def wrong_answers(label: str) -> list[str]:
    """Answers whose value surely is another than the label's."""
    number = read_number(tidy(label))
    if number and not (number.base or number.percent) and number.value.denominator == 1:
        return wrong_integers(int(number.value))
    wrong = ["", "?", f"{label} or 7919", f"{label}, {label} + 1"]
    numbers = list(re.finditer(r"\d+", label))
    for found in numbers[:1] + numbers[-1:]:
        wrong.append(f"{label[: found.start()]}{int(found[0]) + 1}{label[found.end() :]}")
    if number:
        wrong += [str(v) for v in (number.value + 1, -number.value, number.value * 10)]
    if word := re.fullmatch(r"\\text\{\(?(\w+)\)?\}", label):
        other = "B" if word[1] == "A" else "A"
        wrong += [rf"\text{{({other})}}", rf"\text{{not {word[1]}}}", f"{word[1]}{word[1]}"]
    if pair := re.fullmatch(r"([(\[])([^,]*),([^,]*)([)\]])", tidy(label)):
        wrong.append(f"({pair[3]},{pair[2]})")
        if pair[4] == "]":  # an interval: its ends belong to it or not
            wrong.append(f"{pair[1]}{pair[2]},{pair[3]})")
        elif "\\infty" in pair[3]:
            wrong.append(f"[{pair[2]},{pair[3]})")
    for old, new in ((r"\cot", r"\tan"), (r"\pi", "e"), (" + ", " - "), ("+", "-"), (r"\sqrt", "")):
        if old in label:
            wrong.append(label.replace(old, new, 1))
    return [w for w in wrong if tidy(w) != tidy(label)]


def wrong_integers(n: int) -> list[str]:
    digits, sign = str(abs(n)), -1 if n < 0 else 1
    wrong = {n + 1, n - 1, -n, 10 * n, n + 10 ** (len(digits) - 1), n * n + 7}
    for i, (a, b) in enumerate(itertools.pairwise(digits)):
        wrong.add(int(digits[:i] + b + a + digits[i + 2 :]) * sign)
    texts = [str(w) for w in sorted(wrong - {n})]
    texts += [
        f"{n}.5",
        f"{n} or {n + 1}",
        f"{n + 1}, {n}",
        f"{n + 1} = {n}",
        rf"{n + 1} \approx {n}",
    ]
    return [*texts, f"{n} {n}", f"{n}x + 1", rf"\sqrt{{{n * n + 1}}}", rf"{n + 1}\%", ""]


def other_forms(label: str) -> list[str]:
    """The label's value, written otherwise."""
    forms = [f"${label}$", label.replace(r"\frac", r"\dfrac"), f" {label}."]
    if re.fullmatch(r"-?\d+", label):
        n = int(label)
        forms += [f"{n}.0", f"{n:,}", rf"\${n}", f"x = {n}", rf"\frac{{{2 * n}}}{{2}}"]
        return [
            *forms,
            rf"{n}\text{{ apples}}",
            rf"{n - 3} + 3",
            rf"\sqrt{{{n * n}}} - {abs(n) - n}",
        ]
    if "pmatrix" in label:
        return [*forms, label.replace("pmatrix", "bmatrix")]
    if not re.search(r"[,_=$]|text|mbox|\\in|\\cup|\\circ|\\pm", label):  # one value, no unit
        forms += [rf"\left({label}\right)", f"{label} + 1 - 1", rf"\frac{{2({label})}}{{2}}"]
    return forms


def cases(path: Path, limit: int) -> Iterator[Case]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for index, (row, problem) in enumerate(zip(rows, read_problems(path), strict=True)):
        if limit and index >= limit:
            return
        solution, label = row.get("solution", row["answer"]), problem.answer
        yield Case("solution", solution, label)
        if found := [box for box in boxes(solution) if box.content is not None]:
            before, after = solution[: found[-1].start], solution[found[-1].end :]
        else:
            before, after = solution.rpartition("####")[0], ""
        for kind, answers in (("other form", other_forms(label)), ("wrong", wrong_answers(label))):
            # Of GSM8K's labels, all integers, a few each, so that every form comes often.
            few = slice(index % 5, None, 5) if "gsm8k" in str(path) else slice(None)
            for answer in answers[few]:
                yield Case(kind, rf"{before}\boxed{{{answer}}}{after}", label)


def needs_worker(case: Case) -> bool:
    answer = final_answer(case.response)
    return answer is not None and compare_plain(answer, case.label) is None


def grade(name: str, kind: str, chosen: list[Case], verifier: Verifier) -> tuple[float, float]:
    """Prints a line of the table; how many were graded right, and in how many seconds."""
    started = time.perf_counter()
    graded = verifier.grade([(case.response, case.label) for case in chosen])
    seconds = time.perf_counter() - started
    right = sum(v.right for v in graded)
    rates = (right, sum(v.parsed for v in graded), sum(v.timed_out for v in graded))
    percent = "".join(f"{100 * n / max(len(chosen), 1):9.2f}" for n in rates[:2])
    print(
        f"{name:18} {kind:20} {len(chosen):7}{percent} {rates[2]:6} {len(chosen) / seconds:10.0f}"
    )
    for case, v in zip(chosen, graded, strict=True) if flags.FLAGS.show else ():
        if v.right == (case.kind == "wrong"):
            print(f"    {final_answer(case.response)!r} against {case.label!r}: {v}")
    return right, seconds


def main(_) -> None:
    f = flags.FLAGS
    files = {name: list(cases(Path(f.data) / name, f.limit)) for name in FILES}
    total, missed, answers = 0.0, [], 0
    print(
        f"{'file':18} {'answers':20} {'n':>7} {'right %':>8} {'parsed %':>8} {'late':>6} ", end=""
    )
    print(f"{'answers/s':>10}")
    with Verifier(f.workers, f.timeout_s) as verifier:
        for name, all_cases in files.items():
            for kind in ("solution", "other form", "wrong"):
                chosen = [case for case in all_cases if case.kind == kind]
                right, seconds = grade(name, kind, chosen, verifier)
                total, answers = total + seconds, answers + len(chosen)
                if right > 0 if kind == "wrong" else right < RIGHT * len(chosen):
                    missed.append(f"{name}: {kind}: {right:g} of {len(chosen)} graded right")
    hard = [case for all_cases in files.values() for case in all_cases if needs_worker(case)]
    with Verifier(f.workers, f.timeout_s) as verifier:
        verifier.grade([(r"\boxed{\sqrt{2}}", "1")] * f.workers)  # the processes' start
        grade("all", "by processes, again", hard, verifier)
    print(f"{answers} answers in {total:.1f} s: {answers / total:.0f}/s over all")
    if answers < PER_SECOND * total:
        missed.append(f"{answers / total:.0f} answers/s, the bar is {PER_SECOND}")
    for line in missed:
        print("missed:", line)
    sys.exit(bool(missed))


if __name__ == "__main__":
    app.run(main)
