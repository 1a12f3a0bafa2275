"""A thinking model's thought, and the answer behind it."""

from __future__ import annotations

import re

# Tags that models put around their thoughts: R1, Qwen3 and most others, some with a prefix (Seed's)
# or other brackets (Kimi's, Magistral's); OpenThinker; Command A.
_NAME = r"(?:seed:)?(?:think|thinking|thought|reasoning)"
_OPENER = (
    rf"<\s{{0,4}}{_NAME}\s{{0,4}}>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|START_THINKING\|>"
)
_CLOSER = (
    rf"<\s{{0,4}}/\s{{0,4}}{_NAME}\s{{0,4}}>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>"
    r"|<\|END_THINKING\|>"
)
_OPENED = re.compile(rf"^[^\S\n]*(?:{_OPENER})", re.I | re.M)  # \s: quadratic in blank lines
_CLOSED = re.compile(_CLOSER, re.I)
_TAG = re.compile(rf"(?P<opener>{_OPENER})|{_CLOSER}", re.I)
_BEGUN = re.compile(r"[<\[◁][\s/|]*[\w:]*[\s|]*\Z")  # of a tag, so far
LONGEST_TAG = 32  # characters of a tag
_OPENS = re.compile(rf"(?:{_OPENER})\s*\Z", re.I)
_ENDS = re.compile(rf"(?:{_CLOSER})\s*\Z", re.I)
JOINED = 8  # levels of thoughts whose removal joins what is around them into a tag


def without_thought(text: str, *, opened: bool = False) -> str | None:
    """The part of ``text`` behind its thoughts, stripped; None: a thought never ended, so there is
    no answer.

    A thought stands between ``<think>`` and ``</think>`` (or another of such pairs). A template may
    have opened it already, in the prompt: a text that begins inside ends it with the last closing
    tag. An opening tag within a line that nothing closes is taken as a word of the answer.

    Args:
      opened: the prompt ended within a thought, so that a text that closes none is all thought.
    """
    if opened and not closes_thought(text):
        return None
    text, _ = _outside(text)
    return None if _OPENED.search(text) else text.strip()


def outside_thought(text: str) -> tuple[str, bool]:
    """The part of ``without_thought`` that stays where ``text`` goes on, unless it ends a thought
    that it has not begun: what is before the first opening tag that nothing has closed yet, white
    space and all. And whether there is such a tag."""
    text, opened_at = _outside(text)
    return text[:opened_at], opened_at < len(text)


def _outside(text: str) -> tuple[str, int]:
    """``text`` less what closing tags end, and where the first opening tag is that is left."""
    shorter, opened_at = _one_pass(text)
    levels = 1
    while shorter != text and levels < JOINED:
        text = shorter
        shorter, opened_at = _one_pass(text)
        levels += 1
    return shorter, opened_at


def _one_pass(text: str) -> tuple[str, int]:
    """``_outside``, but for tags that a removal joins."""
    pieces: list[str] = []
    openers: list[int] = []  # places in ``pieces``
    at = 0
    for tag in _TAG.finditer(text):
        pieces.append(text[at : tag.start()])
        at = tag.end()
        if tag["opener"]:
            openers.append(len(pieces))
            pieces.append(tag[0])
        else:
            del pieces[openers.pop() if openers else 0 :]
    pieces.append(text[at:])
    before = pieces[: openers[0]] if openers else pieces
    return "".join(pieces), sum(map(len, before))


def closes_thought(text: str) -> bool:
    """Whether a tag in ``text`` ends a thought."""
    return bool(_CLOSED.search(text))


def names_thought(text: str) -> bool:
    """Whether a tag in ``text`` begins or ends a thought."""
    return bool(_TAG.search(text))


def is_thought_tag(token: str) -> bool:
    """Whether a token of a vocabulary begins or ends a thought."""
    return bool(_TAG.fullmatch(token.strip()))


def opens_thought(prompt: str) -> bool:
    """Whether a prompt ends with an opening tag: what continues it begins within a thought."""
    return bool(_OPENS.search(prompt))


def ends_thought(prompt: str) -> bool:
    """Whether a prompt ends with a closing tag."""
    return bool(_ENDS.search(prompt))


def begins_tag(text: str) -> int:
    """The length of the end of ``text`` that may go on as a tag of a thought; 0: there is none."""
    begun = _BEGUN.search(text[-LONGEST_TAG:])
    return len(begun[0]) if begun else 0
