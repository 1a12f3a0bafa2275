"""Preferences: JSON Lines of a question and two answers to it, ``chosen`` and ``rejected``.

The stage "dpo" reads them here, shows them as in a rollout, and takes them as tokens.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

from ml_collections import ConfigDict

from waltzjax.data.fields import one_text, records
from waltzjax.data.packing import chat_tokens
from waltzjax.data.tables import read_objects
from waltzjax.data.text import broken_text, has_lone_surrogate
from waltzjax.preference.batch import PairTokens
from waltzjax.rlvr.problem_files import with_instruction
from waltzjax.run.runtime import Runtime, check_rows
from waltzjax.support import console
from waltzjax.support.errors import dataset_error
from waltzjax.support.files import write_text
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
    """A digest that tells these pairs, in this order, from others, by what is trained on alone."""
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


def training_pairs(config: ConfigDict) -> list[Preference]:
    """The pairs of ``config.dpo.data``; FileNotFoundError and DatasetError name it."""
    path = Path(config.dpo.data)
    if not path.exists():
        raise FileNotFoundError(
            f"config.dpo.data: no file {path}; python -m waltzjax.collect makes one, and any JSON "
            "Lines of question, chosen and rejected will do"
        )
    return read_preferences(path)


def pair_tokens(
    config: ConfigDict, runtime: Runtime, pairs: Sequence[Preference]
) -> list[PairTokens]:
    """The pairs as the policy is shown questions, each with ``config.problems.instruction``, and
    draws answers, up to the token that ends its turn in the chat template
    (``data.packing.chat_tokens``); without that where an answer was cut off.

    Raises:
      DatasetError: lines whose answers are the same tokens, or that have an answer without any,
        once the template has left out control tokens and space: nothing can be learned of them but
        rounding.
      ValueError: some are longer than ``config.dpo.max_tokens``, or than the model's positions; or
        the template ends no turn, or the model has no row for a token.
    """
    most, room = config.dpo.max_tokens, runtime.cfg.max_positions
    if most > room:
        raise ValueError(
            f"config.dpo.max_tokens: got {most}, allowed is <= {room}, the model's positions"
        )
    with console.phase(f"reading {len(pairs)} pairs"):
        tokenized = [_tokens(config, runtime, pair) for pair in pairs]
    check_rows(runtime.cfg, runtime.chat, _texts(tokenized))
    if bad := [*_not_told_apart(config, runtime, pairs, tokenized)]:
        raise dataset_error(config.dpo.data, [bad])
    if long := [i for i, pair in enumerate(tokenized) if _longest(pair) > most]:
        raise ValueError(
            f"config.dpo.max_tokens: got {most}, but {len(long)} of the {len(tokenized)} pairs of "
            f"{config.dpo.data} are longer, the first ones "
            f"{[(i + 1, _longest(tokenized[i])) for i in long[:5]]} (number, tokens): raise it or "
            "leave them out"
        )
    return tokenized


def _tokens(config: ConfigDict, runtime: Runtime, pair: Preference) -> PairTokens:
    question = with_instruction(pair.question, config.problems.instruction)
    shown, chosen = _prompt_and_answer_ids(runtime, question, pair.chosen)
    rejected = _prompt_and_answer_ids(runtime, question, pair.rejected)[1]
    return PairTokens(shown, chosen, rejected[:-1] if pair.rejected_cut_off else rejected)


def _not_told_apart(
    config: ConfigDict,
    runtime: Runtime,
    pairs: Sequence[Preference],
    tokenized: Sequence[PairTokens],
) -> Iterator[str]:
    """One problem for each line whose answers are no two, apart from the end of a turn."""
    for line, (pair, tokens) in enumerate(zip(pairs, tokenized, strict=True), start=1):
        rejected = tokens.rejected_ids if pair.rejected_cut_off else tokens.rejected_ids[:-1]
        answers = {"chosen": tokens.chosen_ids[:-1], "rejected": rejected}
        empty = [name for name, ids in answers.items() if not runtime.chat.decode(ids)]
        shown = f"chosen {pair.chosen!r:.60}, rejected {pair.rejected!r:.60}"
        if empty:
            yield (
                f"{config.dpo.data}:{line}: {' and '.join(empty)}: no text is left without the "
                f"model's control tokens ({shown}); remove the line"
            )
        elif answers["chosen"] == rejected:
            yield (
                f"{config.dpo.data}:{line}: chosen and rejected are the same {len(rejected)} "
                f"tokens to the model, which sees no control tokens in them ({shown}); remove the "
                "line"
            )


def _prompt_and_answer_ids(
    runtime: Runtime, question: str, answer: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The tokens of a question as it is shown, and of an answer."""
    message = {"role": "assistant", "content": answer}
    chat = chat_tokens(
        runtime.chat, [*runtime.chat.problem_messages(question), message], runtime.engine.stop_ids
    )
    start, end = chat.trained.index(True), len(chat.trained) - chat.trained[::-1].index(True)
    return chat.token_ids[:start], chat.token_ids[start:end]


def _texts(pairs: Sequence[PairTokens]) -> Iterator[tuple[int, ...]]:
    for pair in pairs:
        yield from (pair.prompt_ids, pair.chosen_ids, pair.rejected_ids)


def _longest(pair: PairTokens) -> int:
    """Tokens of the longer of its two rows."""
    return len(pair.prompt_ids) + max(len(pair.chosen_ids), len(pair.rejected_ids))
