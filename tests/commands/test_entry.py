"""The commands by one name."""

import importlib.util

import forked
import pytest
from support import REPO

from waltzjax.__main__ import COMMANDS


def test_help_has_a_line_for_each_command():
    done = forked.run("-m", "waltzjax", "--help")
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()[1:-1]]
    assert done.returncode == 0 and dict(lines) == COMMANDS
    assert all(importlib.util.find_spec(f"waltzjax.{name}") for name in COMMANDS)


def test_every_command_is_there():
    """A file of the root that ends in a main of its own, or a room that has one."""
    root = REPO / "waltzjax"
    files = [path for path in (*root.glob("*.py"), *root.glob("*/__main__.py"))]
    mains = {path for path in files if "__name__ ==" in path.read_text()} - {root / "__main__.py"}
    names = {path.parent.name if path.name == "__main__.py" else path.stem for path in mains}
    assert names == set(COMMANDS)


@pytest.mark.parametrize("arguments", [[], ["trian"], ["--config=x"]])
def test_what_is_no_command_is_refused_with_those_there_are(arguments):
    done = forked.run("-m", "waltzjax", *arguments)
    assert done.returncode == 2 and not done.stdout
    assert "error: no command" in done.stderr and "  collect " in done.stderr


@pytest.mark.parametrize(
    "arguments", [["compare", "--a=nowhere", "--b=nowhere"], ["export", "--agent=nowhere"]]
)
def test_a_command_is_its_module(arguments):
    """To the text of its error, and its exit status."""
    name, *flags = arguments
    by_name, by_module = (
        forked.run("-m", "waltzjax", *arguments),
        forked.run("-m", f"waltzjax.{name}", *flags),
    )
    assert by_name.returncode == by_module.returncode != 0
    assert by_name.stderr == by_module.stderr and "nowhere" in by_name.stderr + " ".join(flags)
