"""The feedback agent's JSON: four fields of the right types, or it does not count."""

from __future__ import annotations

import json

from waltzjax.data.text import has_lone_surrogate
from waltzjax.data.thoughts import without_thought
from waltzjax.types import Feedback

FIELDS = {"reasoning": str, "unsafe": bool, "overrefuse": bool, "feedback": str}


def parse_feedback(text: str) -> Feedback | None:
    """The feedback, or None unless ``text`` is one JSON object with all four fields.

    A thought before it is no part of it; one that never ended leaves none.
    Surrounding whitespace is allowed, surrounding text is not; a repeated key is not one object
    that anyone could read the same way, so it does not parse. Other fields are ignored.
    Half of a surrogate pair ("\\ud83d" alone) is no text: a tokenizer could not read it back.
    """
    spoken = without_thought(text)
    if spoken is None:
        return None
    try:
        value = json.loads(spoken, object_pairs_hook=_no_repeats)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    if any(type(value.get(name)) is not kind for name, kind in FIELDS.items()):
        return None
    if any(has_lone_surrogate(value[name]) for name, kind in FIELDS.items() if kind is str):
        return None
    return Feedback(**{name: value[name] for name in FIELDS})


def _no_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key occurs twice")
    return value
