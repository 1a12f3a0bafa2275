"""Flags as the environment and a JSON file have them: read strictly, or refused by name."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from waltzjax.config.defaults import KEYS
from waltzjax.config.policy_text import ACTIONS, is_category, parse_policy
from waltzjax.serve.records import NO_CATEGORY, UNSAFE

NAMES = ("enable", "stage", "rollout_pct", "blocking", "feedback_only", "policy")
_BOOLS = {"true": True, "false": False, "1": True, "0": False}


def from_environment(environ: Mapping[str, str], categories: Collection[str]) -> dict[str, Any]:
    """The flags that variables set; ``WALTZRL_POLICY`` takes the place of the whole policy.

    Raises:
      ValueError: the variable, what was got, what is allowed.
    """
    flags: dict[str, Any] = {}
    for name in NAMES:
        variable = f"WALTZRL_{name.upper()}"
        if variable in environ:
            try:
                flags[name] = _from_text(name, environ[variable])
                if name == "policy":
                    _check_categories(flags[name], categories)
            except ValueError as error:
                raise ValueError(f"{variable}: {error}") from None
    return flags


def _from_text(name: str, text: str) -> Any:
    text = text.strip()
    if name == "policy":
        return parse_policy(text.split(",") if text else [])
    if isinstance(KEYS[f"serve.{name}"].default, bool):
        if text.lower() not in _BOOLS:
            raise ValueError(f"got {text!r}, allowed are {', '.join(_BOOLS)}")
        return _BOOLS[text.lower()]
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None
    return _checked(name, number, got=text)


def from_json(content: bytes, categories: Collection[str]) -> dict[str, Any]:
    """The flags of a file: an object with some of ``NAMES``; its policy is an object too.

    Raises:
      ValueError: no such object, or the key, what was got, what is allowed.
    """
    try:
        values = json.loads(content, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON, or half of it: {error}") from None
    except UnicodeDecodeError:
        raise ValueError("no JSON: the bytes are no UTF-8") from None
    except RecursionError:
        raise ValueError("no flags: lists within lists") from None
    if not isinstance(values, dict):
        raise ValueError("allowed is one object, {...}")
    for name, value in values.items():
        if name not in NAMES:
            raise ValueError(f"got the key {_short(name)}, allowed are {', '.join(NAMES)}")
        try:
            if name == "policy":
                _check_policy(value, categories)
            else:
                _checked(name, value, got=value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return values


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ValueError(f"got the key {_short(name)} twice")
        values[name] = value
    return values


def _checked(name: str, value: object, got: object) -> Any:
    """``value``, if it has the type of the flag's key and is within its bound."""
    key = KEYS[f"serve.{name}"]
    kind = type(key.default)
    if type(value) is kind and key.bound.holds(value):
        return value
    allowed = "are true and false" if kind is bool else f"{key.bound.words}, whole numbers"
    raise ValueError(f"got {_short(got)}, allowed {allowed}")


def _check_policy(policy: object, categories: Collection[str]) -> None:
    if not isinstance(policy, dict):
        raise ValueError(f'got {_short(policy)}, allowed is an object, {{"CATEGORY": "block"}}')
    for category, action in policy.items():
        if not is_category(category) or action not in ACTIONS:
            raise ValueError(
                f"got {_short(category)}: {_short(action)}, allowed is a category with "
                f"{' or '.join(map(repr, ACTIONS))}"
            )
    _check_categories(policy, categories)


def _check_categories(policy: Mapping[str, str], categories: Collection[str]) -> None:
    if problem := unknown_category(policy, categories):
        raise ValueError(problem)


def unknown_category(policy: Iterable[str], categories: Collection[str]) -> str:
    """Why a policy is none for ``categories``: what it says of another one, which nothing finds,
    would never be done. "": it is one; ``categories`` () are not known, and any may be named."""
    known = [*sorted(categories), UNSAFE, NO_CATEGORY]
    unknown = [category for category in policy if category not in known]
    if not (categories and unknown):
        return ""
    return f"got {_short(unknown[0])}, no rule has this category; allowed are {', '.join(known)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
