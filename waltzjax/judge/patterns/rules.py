"""Stage-1 rules: patterns of unsafe requests and answers, matched in linear time.

All patterns of a side go into one set of RE2, an engine without backtracking: one pass over a
text tells which of them match, however the text or the patterns are made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import NamedTuple

from waltzjax.judge.patterns.normal import forms

PROMPT, ANSWER, BOTH = "prompt", "answer", "both"
SEVERITIES = ("low", "medium", "high")
MEMORY = 64 << 20  # bytes of one set: its program, and the states of its automaton
_SENTENCE = re.compile(r"[.?!]+(?: |$)")


class Rule(NamedTuple):
    """One rule.

    pattern: RE2 syntax, matched against the forms of ``normal.forms``: lower case, no accents.
    unless: a pattern that takes the match back where it is in the same sentence; "": none.
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
    unless: str = ""


class Match(NamedTuple):
    """A rule that a text matches."""

    category: str
    severity: str
    rule: str  # its id


class Rules:
    """Rules, compiled.

    Raises:
      ImportError: google-re2 is not installed; it says what to install.
      ValueError: the rules are too many for one set.
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
    """The rules for prompts, or for answers, in one set of RE2."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self._set = import_re2().Set.SearchSet(options(MEMORY))
        # An empty pattern matches every text: where it does not, the engine gave up in silence.
        self._alive = self._set.Add("")
        self._index: Mapping[str, int] = {rule.id: self._set.Add(rule.pattern) for rule in rules}
        self._unless = {rule.id: self._set.Add(rule.unless) for rule in rules if rule.unless}
        try:
            self._set.Compile()
        except import_re2().error as error:
            raise ValueError(
                f"{len(rules)} rules: got patterns too large together, allowed are {MEMORY >> 20} "
                "MiB when compiled; shorten words that many rules share"
            ) from error

    def hits(self, form: str) -> set[str]:
        """The ids of the rules that ``form`` matches."""
        indices = self._indices(form)
        hits = {name for name, index in self._index.items() if index in indices}
        excused = {name for name in hits if self._unless.get(name) in indices}
        sentences = [self._indices(part) for part in _SENTENCE.split(form)] if excused else []
        return (hits - excused) | {
            name
            for name in excused
            for indices in sentences
            if self._index[name] in indices and self._unless[name] not in indices
        }

    def _indices(self, form: str) -> frozenset[int]:
        indices = frozenset(self._set.Match(form.encode("utf-8", "replace")) or ())
        if self._alive not in indices:
            raise RuntimeError(f"RE2 ran out of {MEMORY >> 20} MiB on a text of {len(form)} letters")
        return indices


def options(memory: int) -> object:
    """Options of RE2: patterns may use ``memory`` bytes, and errors are raised, not printed."""
    made = import_re2().Options()
    made.log_errors, made.never_capture, made.max_mem = False, True, memory
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
