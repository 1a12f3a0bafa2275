"""Commands of the READMEs: each is in the table of tests/commands/README.md, and what it names is
there: make targets, modules, scripts, their flags, configs with their variants, keys."""

import re
import shlex
from datetime import date

import pytest
from support import REPO

from waltzjax.config.defaults import KEYS
from waltzjax.run.cli import CONFIGS

README = REPO / "tests/commands/README.md"
READMES = [
    REPO / "README.md", REPO / "CONTRIBUTING.md", REPO / "configs/README.md",
    *sorted((REPO / "waltzjax").rglob("README.md")),
]  # fmt: skip
PROGRAM = re.compile(r"(?:\S*bin/)?(?:python3?|waltzjax|make|pre-commit|pip)\b")
LINE = re.compile(r"`((?:python|waltzjax|make) [^`]*)`", re.DOTALL)


def commands(text: str) -> list[str]:
    """Those of code blocks and between backticks, without comments, in one line each."""
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    found = [line.partition("#")[0] for line in lines if PROGRAM.match(line)]
    return [" ".join(line.split()) for line in (*found, *LINE.findall(text))]


def table() -> dict[str, str]:
    """Command -> what runs it."""
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \|$", README.read_text(), re.MULTILINE)
    assert len(rows) == len(dict(rows))
    return dict(rows)


@pytest.mark.parametrize("readme", READMES, ids=lambda p: str(p.relative_to(REPO)))
def test_every_command_of_a_readme_is_in_the_table(readme):
    assert [c for c in commands(readme.read_text()) if c not in table()] == []


def test_the_table_has_no_command_of_no_readme():
    there = {c for readme in READMES for c in commands(readme.read_text())}
    assert {*table()} - there == set()


@pytest.mark.parametrize("command", table())
def test_a_command_is_run_by_a_test_or_was_run_on_a_day(command):
    how = table()[command]
    if tests := re.findall(r"`(tests/\S+?)`", how):
        for test in tests:
            path, _, name = test.partition("::")
            assert f"def {name}" in (REPO / path).read_text() if name else (REPO / path).is_file()
    else:
        day, *_ = re.findall(r"\d{4}-\d\d-\d\d", how) or [""]
        assert how.startswith("not run: ") or date.fromisoformat(day) <= date.today()


@pytest.mark.parametrize("command", table())
def test_what_a_command_names_is_there(command):
    words = shlex.split(command.partition("&&")[0].replace("[", " ").replace("]", " "))
    program, *rest = words
    if program == "make":
        targets = set(re.findall(r"^([a-z-]+):", (REPO / "Makefile").read_text(), re.MULTILINE))
        assert {word for word in rest if "=" not in word} <= targets
        return
    if "waltzjax" not in command and "scripts/" not in command:
        return  # pip, pre-commit
    name = rest[1].removeprefix("waltzjax.") if rest[0] == "-m" else rest[0]
    files = [REPO / name, REPO / f"waltzjax/{name}.py", REPO / f"waltzjax/{name}/__main__.py"]
    [source] = [path.read_text() for path in files if path.is_file()]
    known = set(re.findall(r'(?:DEFINE_\w+|add_argument)\(\s*"(?:--)?(\w+)"', source)) | {"config"}
    for flag in (word for word in rest if word.startswith("--")):
        name, _, value = flag[2:].partition("=")
        if name.startswith("config."):
            assert name.removeprefix("config.") in KEYS, flag
        else:
            assert name in known, flag
        if name == "config" and value != "...":
            config, _, variant = value.partition(":")
            path = CONFIGS / f"{config.removeprefix('configs/').removesuffix('.py')}.py"
            assert path.is_file(), flag
            assert not variant or f"{variant}" in path.read_text(), flag
