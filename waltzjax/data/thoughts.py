"""A thinking model's thought, and the answer behind it."""

from __future__ import annotations

import re

# Tags that models put around their thoughts: R1, Qwen3 and most others, some with a prefix (Seed's)
# or other brackets (Kimi's, Magistral's); OpenThinker; Command A.
_NAME = r"(?:seed:)?(?:think|thinking|thought|reasoning)"
_OPENER = rf"<\s*{_NAME}\s*>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|START_THINKING\|>"
_CLOSER = rf"<\s*/\s*{_NAME}\s*>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|END_THINKING\|>"
_THOUGHT = re.compile(rf"(?:{_OPENER})(?:(?!{_OPENER}|{_CLOSER}).)*(?:{_CLOSER})", re.I | re.S)
_OPENED = re.compile(rf"^[^\S\n]*(?:{_OPENER})", re.I | re.M)  # \s: quadratic in blank lines
_CLOSED = re.compile(_CLOSER, re.I)
_TAG = re.compile(rf"(?:{_OPENER}|{_CLOSER})", re.I)
_BEGUN = re.compile(r"[<\[◁][\s/|]*[\w:]*[\s|]*\Z")  # of a tag, so far
LONGEST_TAG = 32  # characters of a tag
_OPENS = re.compile(rf"(?:{_OPENER})\s*\Z", re.I)


def without_thought(text: str, *, opened: bool = False) -> str | None:
    """The part of ``text`` behind its thoughts, stripped; None: a thought never ended, so there is
    no answer.

    A thought stands between ``<think>`` and ``</think>`` (or another of such pairs). A template may
    have opened it already, in the prompt: a text that begins inside ends it with the last closing
    tag. An opening tag within a line that nothing closes is taken as a word of the answer.

    Args:
      opened: the prompt ended within a thought, so that a text that closes none is all thought.
    """
    if opened and not _CLOSED.search(text):
        return None
    while (shorter := _THOUGHT.sub("", text)) != text:  # thoughts within thoughts
        text = shorter
    if closed := [*_CLOSED.finditer(text)]:
        text = text[closed[-1].end() :]
    return None if _OPENED.search(text) else text.strip()


def is_thought_tag(token: str) -> bool:
    """Whether a token of a vocabulary begins or ends a thought."""
    return bool(_TAG.fullmatch(token.strip()))


def has_tag(text: str) -> bool:
    """Whether a thought begins or ends in ``text``."""
    return bool(_TAG.search(text))


def opens_thought(prompt: str) -> bool:
    """Whether a prompt ends with an opening tag: what continues it begins within a thought."""
    return bool(_OPENS.search(prompt))


def begins_tag(text: str) -> int:
    """The length of the end of ``text`` that may go on as a tag of a thought; 0: there is none."""
    begun = _BEGUN.search(text[-LONGEST_TAG:])
    return len(begun[0]) if begun else 0
