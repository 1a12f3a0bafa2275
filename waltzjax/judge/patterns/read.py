"""Reads rules from a TOML file, and refuses what would match nothing, everything or not at all."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
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
        try:
            rule = _rule(entry, words)
        except ValueError as error:
            name = entry.get("id") if isinstance(entry, dict) else None
            raise ValueError(f"rule {number} ({name or 'without id'}): {error}") from None
        if rule.id in (other.id for other in rules):
            raise ValueError(f"rule {number} ({rule.id}): id: an earlier rule has it")
        rules.append(rule)
    return rules


def _words(given: Any) -> dict[str, str]:
    if not isinstance(given, dict):
        raise ValueError(f"words: got {given!r}, wanted a table [words]")
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


def _rule(entry: Any, words: Mapping[str, str]) -> Rule:
    if not isinstance(entry, dict):
        raise ValueError(f"got {entry!r}, wanted a table [[rules]]")
    for name in entry:
        if name not in Rule._fields:
            raise ValueError(f"got {name!r}, allowed are {', '.join(Rule._fields)}")
    for name in NEEDED:
        if not isinstance(entry.get(name), str) or not entry[name].strip():
            raise ValueError(f"{name}: got {entry.get(name)!r}, wanted a text that is not empty")
    for name, allowed in ALLOWED.items():
        if entry[name] not in allowed:
            raise ValueError(f"{name}: got {entry[name]!r}, allowed are {', '.join(allowed)}")
    unless = entry.get("unless", [])
    if not isinstance(unless, list) or not all(isinstance(p, str) and p for p in unless):
        raise ValueError(f"unless: got {unless!r}, wanted a list of patterns")
    rule = Rule(
        **{name: entry[name] for name in NEEDED if name != "pattern"},
        pattern=_filled("pattern", entry["pattern"], words),
        unless=tuple(_filled("unless", pattern, words) for pattern in unless),
    )
    _check_patterns(rule)
    return rule


def _check_patterns(rule: Rule) -> None:
    search = _search("pattern", rule.pattern)
    excuses = [_search("unless", pattern) for pattern in rule.unless]
    for text in HARMLESS:
        if search(text):
            raise ValueError(f"pattern: it matches {text!r}, and with it nearly every text")
    shown = forms(rule.example)
    if not any(search(form) and not any(excuse(form) for excuse in excuses) for form in shown):
        raise ValueError(
            f"example: the rule does not match {rule.example!r}; patterns see lower case, one "
            f"space between words, no accents: {shown[0]!r}"
        )


def _search(name: str, pattern: str) -> Any:
    """The search of one pattern; ValueError with RE2's message where it is none."""
    re2 = import_re2()
    try:
        return re2.compile(pattern, options()).search
    except re2.error as error:
        [message] = error.args
        raise ValueError(
            f"{name}: {message.decode('utf-8', 'replace')}; patterns are RE2's (no look-around, no "
            "back-references)"
        ) from None
