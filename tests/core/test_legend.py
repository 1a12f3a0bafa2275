"""Every letter that an array's name ends in stands in the legend of ``waltzjax.types``."""

import ast
import re

import pytest
from support import REPO

from waltzjax import types

SUFFIX = re.compile(r"[a-z]\w*_([A-Z]+)\d*$")
LEGEND = set(re.findall(r"(?<=  )([A-Z])(?= [a-z])", types.__doc__.split("A role is")[0]))
ROOMS = ("core", "model", "engine", "training", "stages")


def letters(text: str) -> dict[str, str]:
    """Each letter in the suffix of a name, with one such name."""
    tree = ast.parse(text)
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    names |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    names |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    return {c: name for name in names if (m := SUFFIX.match(name)) for c in m[1]}


def test_the_legend_has_letters():
    assert {*"BTVDLHCIO"} <= LEGEND and "A" not in LEGEND


@pytest.mark.parametrize("room", ROOMS)
def test_every_dimension_stands_in_the_legend(room):
    found = {}
    for path in sorted((REPO / "waltzjax" / room).rglob("*.py")):
        found |= {c: f"{path.name}: {name}" for c, name in letters(path.read_text()).items()}
    assert found and {c: at for c, at in found.items() if c not in LEGEND} == {}


def test_a_letter_without_a_meaning_is_seen():
    assert set(letters("def f(x_BT): y_BZ = x_BT.z_Q + SIZE_X")) == {*"BTZQ"}
