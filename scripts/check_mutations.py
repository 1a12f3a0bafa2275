"""Put each fault of tests/mutations into a copy of the tree, and tell whether the tests see it.

    python scripts/check_mutations.py [--only=NAME,...] [--suite=named|all] [--results=FILE]

Each fault is put into a scratch copy of the working tree, never into the tree itself, and the tests
it names (``--suite=all``: all of them) are run there until one fails: the fault is killed. In the
end the tests that failed are run without any fault, and must pass. A line of ``--results`` (JSON
Lines) keeps each outcome; one that is there already of the same code, fault and tests is not
computed again, so a command that was stopped goes on where it was. Exit status 1: a fault survived,
or its tests could not say. Some fifteen seconds a fault on a free core, with the tests it names.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from absl import app, flags

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from mutations import MUTATIONS  # noqa: E402
from mutations.mutation import Mutation  # noqa: E402

SUITES = ("named", "all")
SOURCES = ("waltzjax", "configs", "pyproject.toml")
SHARED = ("tests/conftest.py", "tests/helpers", "tests/reference")  # by all tests
CACHES = {"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
BUILT = {".git", ".venv", "build", "dist", *CACHES}
# Sees every fault, as it reads the list and not what the code does.
OF_THE_LIST = "tests/commands/test_check_mutations.py"
OUTCOMES = {0: "survived", 1: "killed"}  # of pytest's exit status; any other one: error
CLEAN = "(none)"  # the name of the outcome of tests without a fault
FAILED = re.compile(r"^(?:FAILED|ERROR) ([^\s\[]+)", re.MULTILINE)  # without its parameters

flags.DEFINE_list("only", [], "Names of mutations; none: all.")
flags.DEFINE_enum("suite", "named", SUITES, "The tests that each mutation names, or all tests.")
flags.DEFINE_string("results", str(ROOT / "runs/mutations.jsonl"), "Where outcomes are kept.")
flags.DEFINE_integer("timeout_s", 900, "Seconds for the tests of one mutation.", lower_bound=1)


class Outcome(NamedTuple):
    """name: of the mutation; key: of all that the outcome depends on; outcome: "killed",
    "survived", "timeout" or "error"; by: the test that failed; time_s: on the clock."""

    name: str
    suite: str
    key: str
    outcome: str
    by: str
    time_s: float


def tests_of(mutation: Mutation, suite: str) -> Sequence[str]:
    """The tests that pytest is given."""
    return ["tests"] if suite == "all" else mutation.tests


def key_of(root: Path, tests: Sequence[str], *more: str) -> str:
    """SHA-256 of the code, of the tests that are run on it, and of ``more``."""
    digest = hashlib.sha256(json.dumps(more).encode())
    for name in (*SOURCES, *SHARED, *tests):
        path = root / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


@contextlib.contextmanager
def scratch_copy(root: Path) -> Iterator[Path]:
    """A copy of the working tree without what is built or run there, deleted at the end."""

    def left_out(directory: str, names: list[str]) -> set[str]:
        return {*names} & (BUILT | ({"runs"} if Path(directory) == root else set()))

    with tempfile.TemporaryDirectory(prefix="waltzjax-mutations-") as directory:
        copy = Path(directory).resolve() / "tree"
        shutil.copytree(root, copy, ignore=left_out)
        yield copy


@contextlib.contextmanager
def applied(mutation: Mutation, tree: Path) -> Iterator[None]:
    """The fault within ``tree``, whose file is put back at the end."""
    file = tree / mutation.file
    before = file.read_text()
    if before.count(mutation.old) != 1:
        raise ValueError(
            f"{mutation.name}: its old text stands {before.count(mutation.old)} times in "
            f"{mutation.file}, wanted is once: bring it up to date in tests/mutations"
        )
    _write(file, before.replace(mutation.old, mutation.new))
    try:
        yield
    finally:
        _write(file, before)


def _write(file: Path, text: str) -> None:
    """Without the bytecode that Python has kept of the file: it goes by size and whole seconds, and
    of two faults of one length the second would run as the first."""
    file.write_text(text)
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
        compiled.unlink()


def environment(tree: Path, cache: Path) -> dict[str, str]:
    """Python imports from ``tree``; programs are compiled once for all faults."""
    return os.environ | {"PYTHONPATH": str(tree), "JAX_COMPILATION_CACHE_DIR": str(cache)}


def check_imports(tree: Path, env: dict[str, str]) -> None:
    """Raise RuntimeError unless the package is that of ``tree``, not an installed one."""
    code = "import waltzjax; print(waltzjax.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tree, env=env, capture_output=True, text=True, check=True
    )
    if not Path(done.stdout.strip()).resolve().is_relative_to(tree):
        raise RuntimeError(f"waltzjax is imported from {done.stdout.strip()}, not from {tree}")


def run_tests(
    tree: Path, env: dict[str, str], tests: Sequence[str], timeout_s: float
) -> tuple[str, str]:
    """(outcome, the test that failed or the end of the output)."""
    options = ["-x", "-rfE", "-p", "no:cacheprovider", f"--ignore={OF_THE_LIST}"]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    process = subprocess.Popen(
        command,
        cwd=tree,
        env=env,
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return "timeout", ""
    finally:  # with all that the tests have started
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    outcome = OUTCOMES.get(process.returncode, "error")
    failed = FAILED.search(output)
    if outcome == "error":
        return outcome, " ".join(output.split())[-300:]
    return outcome, failed[1] if failed else ""


def read_outcomes(path: Path) -> dict[tuple[str, str], Outcome]:
    """The newest outcome by name and key; a last line cut off by a kill is left out."""
    outcomes = {}
    for line in path.read_text().split("\n")[:-1] if path.exists() else []:
        outcome = Outcome(**json.loads(line))
        outcomes[outcome.name, outcome.key] = outcome
    return outcomes


def checked(
    mutations: Sequence[Mutation], root: Path, results: Path, suite: str, timeout_s: float
) -> list[Outcome]:
    """The outcome of each mutation, computed where ``results`` does not have it.

    Raises:
      ValueError: a mutation does not apply; a test that failed does so without any.
    """
    known, outcomes = read_outcomes(results), []
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text("".join(json.dumps(o._asdict()) + "\n" for o in known.values()))
    with scratch_copy(root) as tree, results.open("a") as record:
        cache = tree.parent / "cache"
        env = environment(tree, cache)
        check_imports(tree, env)

        def outcome_of(name: str, key: str, tests: Sequence[str], limit_s: float) -> Outcome:
            outcome = known.get((name, key))
            if outcome is None or outcome.outcome == "error":
                started = time.perf_counter()
                what, by = run_tests(tree, env, tests, limit_s)
                outcome = Outcome(name, suite, key, what, by, round(time.perf_counter() - started))
                record.write(json.dumps(outcome._asdict()) + "\n")
                record.flush()
            print(f"{outcome.outcome:9}{outcome.time_s:5.0f} s  {name}  {outcome.by}", flush=True)
            return outcome

        for mutation in mutations:
            tests = tests_of(mutation, suite)
            key = key_of(tree, tests, *mutation[1:4])
            with applied(mutation, tree):
                outcomes.append(outcome_of(mutation.name, key, tests, timeout_s))
        if by := sorted({o.by for o in outcomes if o.outcome == "killed"}):
            clean = outcome_of(CLEAN, key_of(tree, ["tests"], *by), by, len(by) * timeout_s)
            if clean.outcome != "survived":
                raise ValueError(f"{clean.by} fails without any fault: mend that first")
    return outcomes


def main(argv: Sequence[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments {argv[1:]}")
    only, known = flags.FLAGS.only, {mutation.name: mutation for mutation in MUTATIONS}
    if unknown := [name for name in only if name not in known]:
        raise app.UsageError(f"--only: got {unknown}, allowed are {', '.join(known)}")
    chosen = [known[name] for name in only] or list(MUTATIONS)
    f = flags.FLAGS
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and nothing is left behind
    try:
        outcomes = checked(chosen, ROOT, Path(f.results), f.suite, f.timeout_s)
    except ValueError as error:
        sys.exit(f"check_mutations: {error}")
    seen = [o for o in outcomes if o.outcome in ("killed", "timeout")]
    print(
        f"{len(seen)} of {len(outcomes)} killed, in {sum(o.time_s for o in outcomes) / 60:.0f} min"
    )
    for outcome in outcomes:
        if outcome not in seen:
            print(f"{outcome.outcome}: {outcome.name}: {known[outcome.name].why} {outcome.by}")
    sys.exit(len(seen) < len(outcomes))


if __name__ == "__main__":
    app.run(main)
