"""Stage-1 rules: patterns of unsafe requests and answers, matched in linear time.

They are matched by RE2, an engine without backtracking, a few patterns in one pass over a text: the
time is linear in the text, however it or the patterns are made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import NamedTuple

from waltzjax.judge.patterns.normal import forms

PROMPT, ANSWER, BOTH = "prompt", "answer", "both"
SEVERITIES = ("low", "medium", "high")
TOGETHER = 4  # patterns of one set: more are read faster, and worse where all of them half match
PIECES = 64  # of a text, at most, in which excuses are looked for: it bounds the time
MEMORY = 8 << 20  # bytes of one set: its program, and the states of its automaton
_SENTENCE = re.compile(r"[.?!]+(?: |$)")


class Rule(NamedTuple):
    """One rule.

    pattern: RE2 syntax, matched against the forms of ``normal.forms``: lower case, no accents.
    unless: patterns that take the match back, where one of them is in the same sentence.
    applies: PROMPT, ANSWER or BOTH.
    source: whose idea the category is. meaning: what the rule is after.
    example: a text that it must match.
    """

    id: str
    category: str
    severity: str  # of SEVERITIES
    applies: str
    source: str
    meaning: str
    example: str
    pattern: str
    unless: tuple[str, ...] = ()


class Match(NamedTuple):
    """A rule that a text matches."""

    category: str
    severity: str
    rule: str  # its id


class Rules:
    """Rules, compiled.

    Raises:
      ImportError: google-re2 is not installed; it says what to install.
      ValueError: patterns are too large for a set.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self._sides = {
            side: _Side([rule for rule in rules if rule.applies in (side, BOTH)])
            for side in (PROMPT, ANSWER)
        }

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories, in the rules' order."""
        return tuple(dict.fromkeys(rule.category for rule in self.rules))

    def match(self, text: str, side: str = PROMPT) -> tuple[Match, ...]:
        """The rules for ``side``, PROMPT or ANSWER, that ``text`` matches, in their order.

        Raises:
          RuntimeError: the engine ran out of memory, so that nothing is known of ``text``.
        """
        hits = {hit for form in forms(text) for hit in self._sides[side].hits(form)}
        rules = (rule for rule in self._sides[side].rules if rule.id in hits)
        return tuple(Match(rule.category, rule.severity, rule.id) for rule in rules)


class _Side:
    """The rules for prompts, or for answers."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self._sets = [
            _Set({rule.id: rule.pattern for rule in rules[start : start + TOGETHER]})
            for start in range(0, len(rules), TOGETHER)
        ]
        self._unless = {rule.id: rule.unless for rule in rules}
        excuses = {pattern for rule in rules for pattern in rule.unless}
        self._excuses = {pattern: _Set({pattern: pattern}) for pattern in excuses}

    def hits(self, form: str) -> set[str]:
        """The ids of the rules that ``form`` matches, in a sentence without an excuse."""
        hits = self._matching(form)
        excused = {name for name in hits if self._excused(name, form)}
        alone = {
            name
            for piece in (_pieces(form) if excused else ())
            for name in self._matching(piece) & excused
            if not self._excused(name, piece)
        }
        return (hits - excused) | alone

    def _matching(self, text: str) -> set[str]:
        return {name for group in self._sets for name in group.matching(text)}

    def _excused(self, name: str, text: str) -> bool:
        return any(self._excuses[pattern].matching(text) for pattern in self._unless[name])


def _pieces(form: str) -> list[str]:
    """The sentences of ``form``; where they are more than PIECES, several together."""
    pieces = [""]
    for sentence in _SENTENCE.split(form):
        if len(pieces[-1]) * PIECES >= len(form):
            pieces.append("")
        pieces[-1] += f"{sentence}. "
    return pieces


class _Set:
    """Patterns by name, matched in one pass."""

    def __init__(self, patterns: Mapping[str, str]) -> None:
        re2 = import_re2()
        self._set = re2.Set.SearchSet(options())
        # An empty pattern matches every text: where it does not, the engine gave up in silence.
        self._names = ["", *patterns]
        for pattern in ("", *patterns.values()):
            self._set.Add(pattern)
        try:
            self._set.Compile()
        except re2.error as error:
            raise ValueError(
                f"rules {', '.join(patterns)}: got patterns of more than {MEMORY >> 20} MiB "
                "together when compiled; use fewer alternatives and repetitions"
            ) from error

    def matching(self, text: str) -> set[str]:
        """The names of the patterns that ``text`` matches."""
        names = {self._names[i] for i in self._set.Match(text.encode("utf-8", "replace")) or ()}
        if "" not in names:
            raise RuntimeError(f"RE2 ran out of {MEMORY >> 20} MiB on {len(text)} letters")
        return names - {""}


def options() -> object:
    """Options of RE2: a set or pattern has ``MEMORY`` bytes; errors are raised, not printed."""
    made = import_re2().Options()
    made.log_errors, made.never_capture, made.max_mem = False, True, MEMORY
    return made


def import_re2() -> ModuleType:
    """The package google-re2, or ModuleNotFoundError with what to install."""
    try:
        import re2
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "pattern rules need google-re2, which is not installed: pip install 'waltzjax[serve]'"
        ) from error
    return re2
