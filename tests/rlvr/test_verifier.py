"""Verification in processes: answers that hang it, processes that are killed, none that is lost."""

import concurrent.futures
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from waltzjax.rlvr.grading import process
from waltzjax.rlvr.grading.verifier import Verification, Verifier
from waltzjax.rlvr.problem_files import read_problems
from waltzjax.support.errors import VerifierError

REPO = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("WALTZJAX_DATA", REPO.parent / "shared/data"))
RIGHT, WRONG = Verification(True, True, False), Verification(False, True, False)
UNREAD, LATE = Verification(False, False, False), Verification(False, False, True)
HANGS = [
    r"\prod_{k=1}^{10^{7}} (k^2+1)",
    r"\sum_{k=1}^{3000000} \frac{1}{k^2+1}",
    r"\int_0^1 \frac{x^{100}\sin(x^3)}{\ln(1+x^7)} dx",
    r"\int_0^1 x^{x^x} dx",
]


def boxed(answer):
    return rf"Therefore $\boxed{{{answer}}}$."


def algebra(n):
    """A (response, label) pair that needs a process; right if n is even."""
    return boxed(f"{n} - 3 + 3"), str(n + n % 2)


def workers(pool):
    return [worker._process.pid for worker in pool._all]


def wait_until(true, seconds=180):
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").exists() and " Z " in Path(f"/proc/{pid}/stat").read_text()


def test_plain_answers_start_no_process():
    with Verifier(2, 1.0) as pool:
        graded = pool.grade([
            (boxed("12.8"), "12.8"), (boxed("12.7"), "12.8"), ("12.8", "12.8"), (boxed(""), "12.8"),
            ("#### 1,200", "1200"), (boxed("9" * 301), ""), ("Answer: 12.8", "12.8"),
        ])  # fmt: skip
        assert graded[:5] == [RIGHT, WRONG, UNREAD, UNREAD, RIGHT] and graded[6] == RIGHT
        assert not any(pid for pid in workers(pool)[1:])


def test_a_thousand_in_flight_with_a_killed_process_and_answers_that_hang():
    pairs = [algebra(n) for n in range(2, 1002)]
    expected = [WRONG if n % 2 else RIGHT for n in range(2, 1002)]
    for place, answer in ((300, HANGS[0]), (500, HANGS[1])):
        pairs[place], expected[place] = (boxed(answer), "5 + x"), LATE
    with Verifier(2, 0.5) as pool:
        futures = [pool.submit(*pair) for pair in pairs]
        wait_until(lambda: sum(f.done() for f in futures) > 150)
        for pid in workers(pool):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: sum(f.done() for f in futures) > 400)
        os.kill(workers(pool)[0], signal.SIGKILL)
        assert [future.result() for future in futures] == expected
        left = workers(pool)
    assert left and all(map(gone, left))


def test_what_hangs_is_tried_once():
    with Verifier(2, 0.3) as pool:
        assert pool.grade([(boxed(answer), "5") for answer in HANGS]) == [LATE] * len(HANGS)
        started = time.monotonic()
        assert pool.grade([(boxed(answer), "5") for answer in HANGS] * 50) == [LATE] * 200
        assert time.monotonic() - started < 0.5


def test_the_start_of_a_process_is_not_in_the_limit(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "")
    with Verifier(1, 0.4) as pool:  # importing sympy takes longer
        started = time.monotonic()
        assert pool.grade([algebra(2)]) == [RIGHT]
        assert time.monotonic() - started > 0.4


def test_idle_processes_may_die():
    with Verifier(2, 5.0) as pool:
        assert pool.grade([algebra(2), algebra(3)]) == [RIGHT, WRONG]
        for pid in workers(pool):
            os.kill(pid, signal.SIGKILL)
        assert pool.grade([algebra(4), algebra(5), algebra(6)]) == [RIGHT, WRONG, RIGHT]


def replaced(monkeypatch, tmp_path, code):
    """Have workers run ``code`` in place of the real module."""
    (tmp_path / "stand_in.py").write_text(code)
    monkeypatch.setattr(process, "_MODULE", "stand_in")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_a_process_that_does_nothing_is_not_waited_for(monkeypatch, tmp_path):
    replaced(monkeypatch, tmp_path, "import time\nprint('ready', flush=True)\ntime.sleep(600)")
    with Verifier(1, 0.1) as pool:
        assert pool.grade([algebra(2)]) == [LATE]


def test_a_busy_machine_changes_no_grade():
    with Verifier(1, 1.0) as pool:
        assert pool.grade([algebra(2)]) == [RIGHT]
        os.kill(workers(pool)[0], signal.SIGSTOP)
        future = pool.submit(*algebra(4))
        time.sleep(1.5)
        assert not future.done()
        os.kill(workers(pool)[0], signal.SIGCONT)
        assert future.result() == RIGHT


def test_an_answer_that_kills_two_processes_is_unreadable(monkeypatch, tmp_path):
    code = (
        "import os\nprint('ready', flush=True)\nfor line in open(0):\n    os.kill(os.getpid(), 9)"
    )
    replaced(monkeypatch, tmp_path, code)
    with Verifier(1, 5.0) as pool:
        assert pool.grade([algebra(2)]) == [UNREAD]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import no_such_package", "exit status 1: .*no_such_package"),
        ("print('hello')", "in place of 'ready'"),
        ("import os\nos.kill(os.getpid(), 9)", "exit status -9"),
    ],
)
def test_processes_that_cannot_start_are_one_error(monkeypatch, tmp_path, code, why):
    replaced(monkeypatch, tmp_path, f"open({str(tmp_path / 'n')!r}, 'a').write('x')\n{code}")
    with Verifier(2, 5.0) as pool:
        futures = [pool.submit(*algebra(n)) for n in range(2, 52)]
        for future in futures:
            with pytest.raises(VerifierError, match=f"(?s)no process .* starts: .*{why}"):
                future.result(timeout=60)
        assert pool.grade([(boxed("1"), "1")]) == [RIGHT]  # what needs none goes on
    assert len((tmp_path / "n").read_text()) <= 6  # two threads, three starts


def test_memory_is_bounded(monkeypatch, tmp_path):
    code = """
import sys
from waltzjax.rlvr.grading import worker
def eat(answer, label):
    if answer == "eat":
        return len(bytearray(3 << 30)), True
    return True, True
worker.compare_symbolic = eat
worker.main()
"""
    replaced(monkeypatch, tmp_path, code)
    with Verifier(1, 20.0) as pool:
        assert pool.grade([(boxed("eat"), "x + y"), algebra(3)]) == [UNREAD, RIGHT]
        assert len(workers(pool)) == 1


def test_close_waits_for_nothing():
    pool = Verifier(1, 600.0)
    with pytest.raises(RuntimeError, match="of the run"), pool:
        hanging, waiting = pool.submit(boxed(HANGS[0]), "5"), pool.submit(*algebra(2))
        wait_until(lambda: workers(pool) and hanging.running())
        started, pids = time.monotonic(), workers(pool)
        raise RuntimeError("of the run")
    assert time.monotonic() - started < 10
    assert all(map(gone, pids))
    for future in (hanging, waiting):
        with pytest.raises(concurrent.futures.CancelledError):
            future.result(timeout=0)
    with pytest.raises(ValueError, match="closed"):
        pool.submit(*algebra(2))
    pool.close()


def test_no_process_outlives_its_parent():
    code = f"""
import time
from waltzjax.rlvr.grading.verifier import Verifier
pool = Verifier(2, 1.0)
idle = pool.grade([{algebra(2)!r}])
pool.submit({boxed(HANGS[0])!r}, "5")
pool.submit({boxed(HANGS[1])!r}, "5")
while len(pool._all) < 2 or pool._idle:
    time.sleep(0.01)
time.sleep(0.3)
print(*[worker._process.pid for worker in pool._all], flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=REPO
    ) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(pids) == 2
    wait_until(lambda: all(map(gone, pids)))  # they keep the limit themselves


@pytest.mark.parametrize(("workers", "timeout_s"), [(0, 1.0), (1, 0.0), (1, float("inf"))])
def test_arguments_are_checked(workers, timeout_s):
    with pytest.raises(ValueError, match="workers: got 0" if not workers else "timeout_s: got"):
        Verifier(workers, timeout_s)


def test_real_solutions_are_right_and_changed_ones_wrong():
    files = [DATA / "gsm8k/test.jsonl", DATA / "math500/test.jsonl"]
    if missing := [str(file) for file in files if not file.exists()]:
        pytest.skip(f"no {', '.join(missing)}: set WALTZJAX_DATA to the directory of the data")
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    problems = [problem for file in files for problem in read_problems(file)]
    pairs = [
        (row.get("solution", row["answer"]), problem.answer)
        for row, problem in zip(rows, problems, strict=True)
    ][::20]
    others = [label for _, label in pairs[1:] + pairs[:1]]
    with Verifier(2, 5.0) as pool:
        assert pool.grade(pairs) == [RIGHT] * len(pairs)
        for (response, label), other, got in zip(
            pairs, others, pool.grade([(r, o) for (r, _), o in zip(pairs, others, strict=True)]),
            strict=True,
        ):  # fmt: skip
            assert got.right is (label == other), (response[-80:], other)
