"""Splitting maths at what stands outside of all brackets."""

from __future__ import annotations

import re

from waltzjax.rewards.maths_tree import Unreadable

_BRACKETS = re.compile(
    r"\\\{|\\\}|\\langle(?![A-Za-z])|\\rangle(?![A-Za-z])|[(\[{}\])]|\\begin|\\end"
)
_CLOSING = (")", "]", "}", "\\}", "\\rangle", "\\end")
_COMMAND = re.compile(r"\\(?:text *\{[^{}]*\}|[A-Za-z]+|.)")


def split(text: str, pattern: re.Pattern[str]) -> tuple[list[str], list[re.Match[str]]]:
    """The parts of ``text`` between what ``pattern`` finds outside of all brackets."""
    depth, place, start = 0, 0, 0
    parts: list[str] = []
    found: list[re.Match[str]] = []
    while place < len(text):
        if bracket := _BRACKETS.match(text, place):
            depth += -1 if bracket[0] in _CLOSING else 1
            if depth < 0:
                raise Unreadable(text)
            place = bracket.end()
        elif not depth and (between := pattern.match(text, place)):
            parts.append(text[start:place].strip())
            found.append(between)
            start = place = between.end()
        elif command := _COMMAND.match(text, place):
            place = command.end()
        else:
            place += 1
    if depth:
        raise Unreadable(text)
    return [*parts, text[start:].strip()], found
