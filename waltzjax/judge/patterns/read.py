"""Reads rules from a TOML file, and refuses what would match nothing, everything or not at all."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from waltzjax.judge.patterns.normal import forms
from waltzjax.judge.patterns.rules import (
    ANSWER,
    BOTH,
    PROMPT,
    SEVERITIES,
    Rule,
    Rules,
    import_re2,
    options,
)

OWN = Path(str(files("waltzjax") / "judge" / "patterns" / "rules.toml"))
ALLOWED = {"severity": SEVERITIES, "applies": (PROMPT, ANSWER, BOTH)}
NEEDED = tuple(name for name in Rule._fields if name not in Rule._field_defaults)
HARMLESS = ("", "hello")  # what matches one of them would match nearly everything
RULE_MEMORY = 8 << 20  # bytes of one compiled pattern
_BREAK = re.compile(r"[ \t]*\n[ \t]*(?:\n[ \t]*)*")
_NAME = re.compile(r"\{\{(\w+)\}\}")


def read_rules(path: Path | None = None) -> Rules:
    """The rules of a TOML file of the form of rules.toml; None: the package's own.

    A file has ``[words]``, names of parts of patterns, which stand in patterns, and in later words,
    as ``{{name}}``; and ``[[rules]]``, see ``rules.Rule``, of which ``unless`` may be left out.

    Raises:
      ValueError: the file is no such file; which line or rule, what was got, what is allowed.
      OSError: the file cannot be read.
      ImportError: google-re2 is not installed.
    """
    path = path or OWN
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from None
    try:
        return Rules(_rules(table))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _rules(table: Mapping[str, Any]) -> list[Rule]:
    if unknown := {*table} - {"words", "rules"}:
        raise ValueError(f"got {', '.join(sorted(unknown))}, allowed are words, rules")
    entries = table.get("rules")
    if not isinstance(entries, list) or not entries:
        raise ValueError("rules: got none, wanted at least one table [[rules]]")
    words = _words(table.get("words", {}))
    rules: list[Rule] = []
    for number, entry in enumerate(entries, 1):
        where = f"rule {number} ({entry.get('id', 'without id')})"
        try:
            rule = _rule(entry, words)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        same = [n for n, other in enumerate(rules, 1) if other.id == rule.id]
        if same:
            raise ValueError(f"{where}: id: rule {same[0]} has it too; each needs its own")
        rules.append(rule)
    return rules


def _words(given: Mapping[str, Any]) -> dict[str, str]:
    words: dict[str, str] = {}
    for name, text in given.items():
        if not isinstance(text, str):
            raise ValueError(f"words.{name}: got {text!r}, wanted a text")
        words[name] = f"(?:{_filled(f'words.{name}', text, words)})"
    return words


def _filled(where: str, pattern: str, words: Mapping[str, str]) -> str:
    """``pattern`` in one line, with words in the place of their names."""
    pattern = _BREAK.sub("", pattern)
    for name in _NAME.findall(pattern):
        if name not in words:
            known = ", ".join(words) or "none"
            raise ValueError(f"{where}: got {{{{{name}}}}}, known before it are {known}")
    return _NAME.sub(lambda m: words[m[1]], pattern)


def _rule(entry: Mapping[str, Any], words: Mapping[str, str]) -> Rule:
    for name in entry:
        if name not in Rule._fields:
            raise ValueError(f"got {name!r}, allowed are {', '.join(Rule._fields)}")
    for name in NEEDED:
        if not isinstance(entry.get(name), str) or not entry[name].strip():
            raise ValueError(f"{name}: got {entry.get(name)!r}, wanted a text that is not empty")
    for name, allowed in ALLOWED.items():
        if entry[name] not in allowed:
            raise ValueError(f"{name}: got {entry[name]!r}, allowed are {', '.join(allowed)}")
    patterns = {
        name: _filled(name, entry[name], words) for name in ("pattern", "unless") if name in entry
    }
    rule = Rule(**{**entry, **patterns})
    _check_patterns(rule)
    return rule


def _check_patterns(rule: Rule) -> None:
    search = _search("pattern", rule.pattern)
    unless = _search("unless", rule.unless) if rule.unless else None
    for text in HARMLESS:
        if search(text):
            raise ValueError(f"pattern: it matches {text!r}, and with it nearly every text")
    if not any(search(form) and not (unless and unless(form)) for form in forms(rule.example)):
        raise ValueError(
            f"example: the rule does not match {rule.example!r}; patterns see lower case, one "
            f"space between words, no accents: {forms(rule.example)[0]!r}"
        )


def _search(name: str, pattern: str) -> Any:
    """The search of one pattern; ValueError with RE2's message where it is none."""
    re2 = import_re2()
    try:
        return re2.compile(pattern, options(RULE_MEMORY)).search
    except re2.error as error:
        [message] = error.args
        raise ValueError(
            f"{name}: {message.decode('utf-8', 'replace')}; patterns are RE2's (no look-around, no "
            "back-references)"
        ) from None
