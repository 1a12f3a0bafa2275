"""Normal forms of texts to compare, and checks for text that no file in UTF-8 can hold."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Any, Literal

_HALF_SURROGATE = re.compile("[\ud800-\udfff]")
# Marks are brought into order by insertion, quadratic in a run of them: a run is cut into pieces.
_RUN = re.compile("((?:[^\\w\\s]|[\uff9e\uff9f]){64})")
LONE_SURROGATE = "not UTF-8: a lone surrogate (\\ud800-\\udfff); remove or repair it"


def has_lone_surrogate(text: str) -> bool:
    """JSON can escape half of a surrogate pair, which no tokenizer can encode."""
    return bool(_HALF_SURROGATE.search(text))


def broken_text(value: object) -> str:
    """Why ``value`` is no text that a model can be shown; "": it is one."""
    if type(value) is not str or not value.strip():
        return f"got {value!r:.60}, wanted a text that is not empty"
    return LONE_SURROGATE if has_lone_surrogate(value) else ""


def normalised(text: str) -> str:
    """The form that prompts share where they differ only in case, width, or white space."""
    return " ".join(compatible(text, "NFKC").casefold().split())


def compatible(text: str, form: Literal["NFKC", "NFKD"]) -> str:
    """``unicodedata.normalize`` in linear time: 64 marks in a row are a text of their own."""
    if text.isascii():
        return text
    return "".join(unicodedata.normalize(form, piece) for piece in _RUN.split(text))


def described(data: bytes) -> dict[str, Any]:
    """A file's entry in a manifest."""
    return {
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "lines": len(data.removesuffix(b"\n").split(b"\n")) if data else 0,
    }
