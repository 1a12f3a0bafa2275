"""The list of faults stays true to the code; its runner kills what a test sees and no more."""

import ast
import os
import sys
from collections import Counter
from unittest.mock import ANY

import pytest
from mutations import MUTATIONS
from mutations.mutation import Mutation
from support import REPO

sys.path.insert(0, str(REPO / "scripts"))
import check_mutations

NAMES = [mutation.name for mutation in MUTATIONS]
ROOMS = {
    "core", "training", "stages", "waltz", "rlvr", "engine", "model", "data", "run", "judge",
    "preference", "evaluation", "config",
}  # fmt: skip


def test_names_are_unique_and_every_room_has_a_fault():
    assert [name for name, n in Counter(NAMES).items() if n > 1] == []
    assert {mutation.file.split("/")[1] for mutation in MUTATIONS} >= ROOMS


@pytest.mark.parametrize("mutation", MUTATIONS, ids=NAMES)
def test_a_fault_applies_and_its_tests_are_there(mutation):
    """Where this fails, code or tests have moved: bring tests/mutations up to date."""
    text = (REPO / mutation.file).read_text()
    assert text.count(mutation.old) == 1
    faulty = ast.parse(text.replace(mutation.old, mutation.new))
    assert ast.dump(faulty) != ast.dump(ast.parse(text))
    assert mutation.tests and all((REPO / path).exists() for path in mutation.tests)
    assert mutation.why


TREE = {
    "pyproject.toml": "[tool.pytest.ini_options]\npythonpath = ['.']\n",
    "waltzjax/__init__.py": "",
    "waltzjax/sums.py": "def add(a, b):\n    return a + b\n\ndef unseen(a):\n    return a\n",
    "tests/conftest.py": "",
    "tests/test_sums.py": "from waltzjax.sums import add\ndef test_add(): assert add(2, 1) == 3",
}


def fault(name, old, new, test="tests/test_sums.py"):
    return Mutation(name, "waltzjax/sums.py", old, new, (test,), "a reason")


KILLED = fault("minus", "a + b", "a - b")
SURVIVES = fault("negative", "return a\n", "return -a\n")
HANGS = fault("endless", "return a + b", "return next(x for x in iter(int, 1) if x) ")
LOST = fault("lost", "a + b", "b + a", test="tests/test_absent.py")


@pytest.fixture
def tree(tmp_path):
    for name, text in TREE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def check(tree, *mutations, timeout_s=60, suite="named"):
    found = check_mutations.checked(mutations, tree, tree / "runs/m.jsonl", suite, timeout_s)
    assert {name: (tree / name).read_text() for name in TREE} == TREE  # never the tree itself
    return [(outcome.outcome, outcome.by) for outcome in found]


def test_a_fault_is_killed_by_a_test_that_passes_without_it(tree):
    assert check(tree, KILLED, SURVIVES, LOST) == [
        ("killed", "tests/test_sums.py::test_add"), ("survived", ""), ("error", ANY),
    ]  # fmt: skip


def test_all_tests_may_see_a_fault_but_not_the_one_that_reads_the_list(tree):
    """It would kill every fault: the old text is not there."""
    (tree / check_mutations.OF_THE_LIST).parent.mkdir()
    (tree / check_mutations.OF_THE_LIST).write_text("def test_list():\n    assert False\n")
    killed = ("killed", "tests/test_sums.py::test_add")
    assert check(tree, LOST, SURVIVES, KILLED, suite="all") == [
        ("survived", ""), ("survived", ""), killed,
    ]  # fmt: skip


def test_a_fault_that_hangs_is_ended(tree):
    assert check(tree, HANGS, timeout_s=5) == [("timeout", "")]


def test_two_faults_of_one_length_and_second_are_two(tree, monkeypatch):
    """Python's bytecode is kept by size and seconds: it would be the first fault's."""
    run_tests = check_mutations.run_tests

    def at_once(copy, *rest):
        os.utime(copy / "waltzjax/sums.py", (1e9, 1e9))
        return run_tests(copy, *rest)

    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setattr(check_mutations, "run_tests", at_once)
    same = fault("reversed", "a + b", "b + a")
    assert [outcome for outcome, _ in check(tree, KILLED, same)] == ["killed", "survived"]


def test_a_test_that_fails_without_a_fault_proves_nothing(tree):
    (tree / "tests/test_sums.py").write_text("def test_add():\n    assert False\n")
    with pytest.raises(ValueError, match="test_add fails without any fault"):
        check_mutations.checked([KILLED], tree, tree / "m.jsonl", "named", 60)


def test_a_fault_whose_place_has_changed_is_named(tree):
    with pytest.raises(ValueError, match="gone: its old text stands 0 times in"):
        check(tree, fault("gone", "a * b", "a / b"))


def test_what_is_known_is_not_run_again_until_code_or_tests_change(tree, monkeypatch):
    first = check(tree, KILLED)
    with (tree / "runs/m.jsonl").open("a") as file:
        file.write('{"name": "torn')  # by a kill
    monkeypatch.setattr(check_mutations, "run_tests", None)
    with pytest.raises(TypeError):
        check(tree, SURVIVES)
    assert check(tree, KILLED) == first
    (tree / "waltzjax/__init__.py").write_text("NEW = 1\n")
    with pytest.raises(TypeError):
        check_mutations.checked([KILLED], tree, tree / "runs/m.jsonl", "named", 60)


def test_another_package_in_the_place_of_the_copy_is_refused(tmp_path):
    with pytest.raises(RuntimeError, match=f"not from {tmp_path}"):
        check_mutations.check_imports(tmp_path, check_mutations.environment(REPO, tmp_path))
