r"""Grade reference solutions, which are right, and right and wrong answers made from their labels.

    python scripts/check_grading.py [--data=data] [--workers=2] [--limit=0]

GSM8K: the field ``answer`` against its own ``#### n``. MATH500: ``solution`` against ``answer``.
Each label is also written in other forms and changed in ways that change its value
(``grading_right``, ``grading_wrong``), put in the solution's place and graded against the label.
Prints a table by kind of form: how many there are, how many are graded wrongly (a right one not
accepted, a wrong one accepted), could be read, timed out, and answers/s; the last line but one, of
those for which a process is needed. Exits 1 unless all solutions are right, at least 99 % of the
right forms are accepted, no wrong one is, and 300 answers/s are graded over all.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from absl import app, flags
from grading_right import every, right_forms
from grading_wrong import wrong_forms

from waltzjax.rlvr.grading.answer import boxes, final_answer
from waltzjax.rlvr.grading.equality import compare_plain
from waltzjax.rlvr.grading.verifier import Verifier
from waltzjax.rlvr.problem_files import read_problems

FILES = ("gsm8k/train.jsonl", "gsm8k/test.jsonl", "math500/test.jsonl")
ACCEPTED, PER_SECOND = 0.99, 300
SHARE = (
    40  # of the forms of one of GSM8K's labels, all integers: each form comes often all the same
)

flags.DEFINE_string("data", "data", "Directory with gsm8k/ and math500/.")
flags.DEFINE_integer("workers", 2, "Processes that compare by algebra.", lower_bound=1)
flags.DEFINE_float("timeout_s", 5.0, "Of one comparison.", lower_bound=0.001)
flags.DEFINE_integer("limit", 0, "Only so many problems of each file; 0: all.", lower_bound=0)
flags.DEFINE_boolean("show", False, "Print each answer that is graded as it should not be.")


class Case(NamedTuple):
    right: bool
    kind: str
    response: str
    label: str


class Tally(NamedTuple):
    answers: int
    mistakes: int
    seconds: float


def cases(path: Path, limit: int) -> Iterator[Case]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for index, (row, problem) in enumerate(zip(rows, read_problems(path), strict=True)):
        if limit and index >= limit:
            return
        solution, label = row.get("solution", row["answer"]), problem.answer
        yield Case(True, f"solutions: {path.parent.name}/{path.stem}", solution, label)
        if boxed := [box for box in boxes(solution) if box.content is not None]:
            before, after = solution[: boxed[-1].start], solution[boxed[-1].end :]
        else:
            before, after = solution.rpartition("####")[0], ""
        for right, forms in ((True, right_forms), (False, wrong_forms)):
            made = every(forms, label)
            few = slice(index % SHARE, None, SHARE) if "gsm8k" in str(path) else slice(None)
            for kind, answer in made[few]:
                name = f"{'right' if right else 'wrong'}: {kind}"
                yield Case(right, name, rf"{before}\boxed{{{answer}}}{after}", label)


def needs_worker(case: Case) -> bool:
    answer = final_answer(case.response)
    return answer is not None and compare_plain(answer, case.label) is None


def grade(name: str, chosen: list[Case], verifier: Verifier) -> Tally:
    """Prints a line of the table."""
    started = time.perf_counter()
    graded = verifier.grade([(case.response, case.label) for case in chosen])
    seconds = time.perf_counter() - started
    mistakes = [(c, v) for c, v in zip(chosen, graded, strict=True) if v.right != c.right]
    parsed, late = sum(v.parsed for v in graded), sum(v.timed_out for v in graded)
    count = max(len(chosen), 1)
    print(
        f"{name:30} {len(chosen):7} {len(mistakes):8} {100 * parsed / count:9.2f} {late:5} "
        f"{count / seconds:10.0f}"
    )
    for case, v in mistakes if flags.FLAGS.show else ():
        print(f"    {final_answer(case.response)!r} against {case.label!r}: {v}")
    return Tally(len(chosen), len(mistakes), seconds)


def main(_) -> None:
    f = flags.FLAGS
    made = [case for name in FILES for case in cases(Path(f.data) / name, f.limit)]
    kinds = sorted({case.kind for case in made}, key=lambda kind: (kind[0] != "s", kind))
    print(f"{'answers':30} {'n':>7} {'mistakes':>8} {'parsed %':>9} {'late':>5} {'answers/s':>10}")
    with Verifier(f.workers, f.timeout_s) as verifier:
        tallies = {k: grade(k, [c for c in made if c.kind == k], verifier) for k in kinds}
    with Verifier(f.workers, f.timeout_s) as verifier:
        verifier.grade([(r"\boxed{\sqrt{2}}", "1")] * f.workers)  # the processes' start
        grade("by processes, again", [case for case in made if needs_worker(case)], verifier)
    sys.exit(bool(report(tallies)))


def report(tallies: dict[str, Tally]) -> list[str]:
    """Prints the sums, and returns and prints which bars are missed."""
    sums = {}
    for start in ("solutions", "right", "wrong"):
        chosen = [tally for kind, tally in tallies.items() if kind.startswith(start)]
        sums[start] = sum(t.answers for t in chosen), sum(t.mistakes for t in chosen)
    answers, seconds = sum(n for n, _ in sums.values()), sum(t.seconds for t in tallies.values())
    print(
        f"{answers} answers in {seconds:.1f} s: {answers / seconds:.0f}/s; missed: "
        f"{sums['solutions'][1]} of {sums['solutions'][0]} solutions, {sums['right'][1]} of "
        f"{sums['right'][0]} right forms; accepted: {sums['wrong'][1]} of {sums['wrong'][0]} wrong "
        "forms"
    )
    missed = []
    if sums["solutions"][1]:
        missed.append("a reference solution is not right")
    if sums["right"][1] > (1 - ACCEPTED) * sums["right"][0]:
        missed.append(f"less than {ACCEPTED:.0%} of the right forms are accepted")
    if sums["wrong"][1]:
        missed.append("a wrong form is accepted")
    if answers < PER_SECOND * seconds:
        missed.append(f"{answers / seconds:.0f} answers/s, the bar is {PER_SECOND}")
    for line in missed:
        print("missed:", line)
    return missed


if __name__ == "__main__":
    app.run(main)
