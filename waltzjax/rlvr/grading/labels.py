r"""Labels that no response can be graded against, however it is written.

A reader of answers takes numbers, a word or a short phrase, and expressions. Of anything else only
the very same characters count as right: a sentence, half an expression, ``\text{}``, a language
that no reader knows. A problem with such a label teaches nothing and counts as wrong for good.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from waltzjax.rlvr.grading.equality import compare_plain
from waltzjax.rlvr.grading.verifier import Verifier

LONGEST_PHRASE = 5  # words; "does not exist" has 3, more is a sentence [ours]
NUMBER, PHRASE = "0", "none of these"  # labels that a number, and a phrase, is compared with

_COMMANDS = re.compile(r"\\(?:begin|end) *\{[^{}]*\}|\\[A-Za-z]+")
_WORDS = re.compile(r"[^\W\d_]{2,}")
_JOINS = ("and", "or")  # of several values


def unreadable(labels: Sequence[str], verifier: Verifier) -> list[bool]:
    """Whether each of the labels is one that only its own characters match. Raises as
    ``Verifier.grade``."""
    readable = {label: _plain(label) for label in labels}
    asked = [label for label, plain in readable.items() if not plain and not _prose(label)]
    # Is its own box read as it, and is that more than the same characters?
    own = verifier.grade((rf"\boxed{{{label}}}", label) for label in asked)
    other = verifier.grade((rf"\boxed{{{label}}}", NUMBER) for label in asked)
    for label, same, parsed in zip(asked, own, other, strict=True):
        readable[label] = same.right and parsed.parsed
    return [not readable[label] for label in labels]


def _plain(label: str) -> bool:
    """A number, or a phrase of a few words: known without algebra."""
    compared = (compare_plain(label, other) for other in (NUMBER, PHRASE))
    known = any(comparison.parsed for comparison in compared if comparison)
    return known and len(_words(label)) <= LONGEST_PHRASE


def _prose(label: str) -> bool:
    """Words beside what is no word, or too many of them: an expression's reader would take them for
    names of unknowns."""
    return len([word for word in _words(label) if word.casefold() not in _JOINS]) > 1


def _words(label: str) -> list[str]:
    return _WORDS.findall(_COMMANDS.sub(" ", label))
