"""Preferences: JSON Lines of a question and two answers to it, ``chosen`` and ``rejected``."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import NoneType
from typing import Any

from waltzjax.data.fields import one_text, records
from waltzjax.data.tables import read_objects
from waltzjax.data.text import broken_text, has_lone_surrogate
from waltzjax.files import write_text
from waltzjax.types import Preference

TEXTS = ("question", "prompt")
ANSWERS = ("chosen", "rejected")
NAMES = ("pair_type", "chosen_arm", "rejected_arm")  # "" where they are not given
REWARDS = ("chosen_reward", "rejected_reward")  # None where they are not given
CUT_OFF = "rejected_cut_off"  # false where it is not given


def read_preferences(path: Path) -> list[Preference]:
    """The pairs of one file, in order: what ``write_preferences`` wrote, or a file of yours.

    A line has ``chosen``, ``rejected`` and one of ``question`` and ``prompt``, all of them texts:
    chats as lists of messages are not read. It may have ``pair_type``, rewards, arms and
    ``rejected_cut_off`` as ``Preference`` does; other keys are ignored.

    Raises DatasetError with every bad line (the text shows the first 20 and the total; the
    attribute ``problems`` has all), and FileNotFoundError.
    """
    return records(path, read_objects(path), _preference, "pair")


def write_preferences(path: Path, pairs: Sequence[Preference]) -> None:
    """The pairs as ``read_preferences`` reads them; the file is whole or not there."""
    lines = (json.dumps(dataclasses.asdict(pair), ensure_ascii=False) + "\n" for pair in pairs)
    write_text(path, "".join(lines))


def digest(pairs: Sequence[Preference]) -> str:
    """What tells these pairs, in this order, from others: of what is trained on alone."""
    texts = [(p.question, p.chosen, p.rejected, p.rejected_cut_off) for p in pairs]
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def _preference(record: Any) -> Preference:
    """Raises ValueError with everything that is wrong with the record."""
    question, reasons = one_text(record, TEXTS)
    broken = [f"{key}: {why}" for key in ANSWERS if (why := broken_text(record.get(key)))]
    if not broken and record["chosen"].strip() == record["rejected"].strip():
        broken = [
            f"chosen and rejected are the same text, {record['chosen']!r:.60}; remove the line"
        ]
    reasons += broken
    for key in NAMES:
        value = record.get(key)
        if type(value) not in (str, NoneType) or has_lone_surrogate(value or ""):
            reasons.append(f"{key}: got {value!r:.60}, wanted a text or null")
    for key in REWARDS:
        value = record.get(key)
        if type(value) not in (int, float, NoneType) or not abs(value or 0) <= sys.float_info.max:
            reasons.append(f"{key}: got {value!r:.60}, wanted a finite number or null")
    if type(record.get(CUT_OFF)) not in (bool, NoneType):
        reasons.append(f"{CUT_OFF}: got {record[CUT_OFF]!r:.60}, wanted true, false or null")
    if reasons:
        raise ValueError("; ".join(reasons))
    extra: dict[str, Any] = {key: record.get(key) or "" for key in NAMES}
    for key in REWARDS:
        extra[key] = None if record.get(key) is None else float(record[key])
    extra[CUT_OFF] = bool(record.get(CUT_OFF))
    return Preference(question, record["chosen"], record["rejected"], **extra)
