"""Which flags stand together; where the results lie."""

from pathlib import Path

import forked
import pytest

from waltzjax.validation import suite
from waltzjax.validation.request import Request, problem, problem_without_suite

NOTHING = Request("", "", "", "", "", "", "", "", False, False)
AGENTS = {"conversation": "a", "feedback": "b"}
SERVICE = {"endpoint": "http://127.0.0.1:8000/v1", "data": "d"}


@pytest.mark.parametrize(
    "given",
    [
        {"workdir": "runs/one"},
        {"workdir": "runs/one", "fresh": True, "output": "a.json"},
        {**AGENTS, "data": "d", "config_given": True},
        SERVICE,
        {**SERVICE, "key_env": "KEY", "flags_file": "flags.json", "config_given": True},
        {**SERVICE, **AGENTS, "config_given": True},
    ],
)
def test_what_can_be(given):
    assert problem(NOTHING._replace(**given)) == ""


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "wanted is one of --workdir"),
        ({"data": "d"}, "wanted is one of --workdir"),
        ({"workdir": "w", **AGENTS}, "--workdir, a run with its own agents"),
        ({"workdir": "w", "data": "d"}, "--workdir, a run with its own agents"),
        ({"workdir": "w", "endpoint": "e"}, "--workdir, a run with its own agents"),
        ({"workdir": "w", "flags_file": "f"}, "--workdir, a run with its own agents"),
        ({"workdir": "w", "config_given": True}, "leave --config out"),
        ({"conversation": "a"}, "wanted are both agents"),
        ({"feedback": "b", **SERVICE}, "wanted are both agents"),
        ({**AGENTS, "data": "d"}, "--config: wanted"),
        ({**AGENTS, **SERVICE}, "--config: wanted"),
        ({**AGENTS, "config_given": True}, "--data: wanted"),
        ({"endpoint": "e"}, "--data: wanted"),
        ({**SERVICE, "fresh": True}, "--fresh goes with --workdir"),
        ({**AGENTS, "data": "d", "config_given": True, "key_env": "K"}, "go with --endpoint"),
    ],
)
def test_what_cannot_be(given, says):
    assert says in problem(NOTHING._replace(**given))


def test_without_the_suite():
    plain = NOTHING._replace(config_given=True, data="d", output="o")
    assert problem_without_suite(plain) == ""
    assert "--workdir, --fresh: go" in problem_without_suite(
        plain._replace(workdir="w", fresh=True)
    )
    assert problem_without_suite(NOTHING).startswith("--config and --data and --output: missing")


def test_where_results_lie():
    results = "final_validation_results.json"
    assert NOTHING._replace(workdir="runs/one").results() == Path("runs/one") / results
    assert NOTHING._replace(**SERVICE).results() == Path(results)
    assert NOTHING._replace(workdir="w", output="a/b.json").results() == Path("a/b.json")


@pytest.mark.parametrize(
    ("given", "status", "says"),
    [
        (("--suite=validation",), 2, "wanted is one of --workdir"),
        (("--suite=other",), 2, "value should be one of <none|validation>"),
        (("--suite=validation", "--workdir=w", "--model=m"), 2, "goes without --model"),
        (("--workdir=w",), 2, "--workdir: goes with --suite=validation"),
        (("--suite=validation", "--workdir=nowhere"), 1, "nowhere is no run's directory"),
        ((), 2, "--config and --data and --output: missing"),
    ],
)
def test_the_command_line(given, status, says, tmp_path):
    done = forked.run("-m", "waltzjax.evaluate", *given)
    assert done.returncode == status and says in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not done.stdout


@pytest.mark.parametrize("given", [{"workdir": "nowhere"}, {**SERVICE, **AGENTS}])
def test_what_is_not_installed_is_told_before_any_work(given, monkeypatch):
    def missing():
        raise ModuleNotFoundError("pip install waltzjax[serve]")

    monkeypatch.setattr(suite, "import_re2", missing)
    with pytest.raises(ModuleNotFoundError, match=r"waltzjax\[serve\]"):
        suite.measure(NOTHING._replace(**given), None, Path("a.json"))
