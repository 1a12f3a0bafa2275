"""What is to be done about each category of harm, as a user writes it: "weapons=block"."""

from __future__ import annotations

import re
from collections.abc import Iterable

ACTIONS = ("block", "flag")
FORM = "'CATEGORY=block' or 'CATEGORY=flag', each category once"
_RULE = re.compile(r"\s*(?P<category>\w[\w./-]*)\s*=\s*(?P<action>block|flag)\s*")


def is_category(name: str) -> bool:
    """Whether a policy can name it: letters, digits and any of ``_ . / -``."""
    return bool(re.fullmatch(r"\w[\w./-]*", name))


def parse_policy(texts: Iterable[object]) -> dict[str, str]:
    """Category -> action, in the order of ``texts``.

    Raises:
      ValueError: a text is no rule, or names a category again; says what one looks like.
    """
    policy: dict[str, str] = {}
    for text in texts:
        match = _RULE.fullmatch(text) if isinstance(text, str) else None
        if not match or match["category"] in policy:
            raise ValueError(f"got {text!r}, allowed is {FORM}")
        policy[match["category"]] = match["action"]
    return policy
