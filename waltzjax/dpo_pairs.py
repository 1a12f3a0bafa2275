"""Preferences as the stage "dpo" learns from them: read, shown as in a rollout, as tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from waltzjax import console
from waltzjax.data.dataset_check import dataset_error
from waltzjax.data.packing import chat_tokens
from waltzjax.data.pair_batching import PairTokens
from waltzjax.data.preferences import read_preferences
from waltzjax.data.problems import with_instruction
from waltzjax.runtime import Runtime, check_rows
from waltzjax.types import Preference


def training_pairs(config: ConfigDict) -> list[Preference]:
    """Those of ``config.dpo.data``; FileNotFoundError and DatasetError name it."""
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
        found = [_tokens(config, runtime, pair) for pair in pairs]
    check_rows(runtime.cfg, runtime.chat, _texts(found))
    if bad := [*_not_told_apart(config, runtime, pairs, found)]:
        raise dataset_error(config.dpo.data, [bad])
    if long := [i for i, pair in enumerate(found) if _longest(pair) > most]:
        raise ValueError(
            f"config.dpo.max_tokens: got {most}, but {len(long)} of the {len(found)} pairs of "
            f"{config.dpo.data} are longer, the first ones "
            f"{[(i + 1, _longest(found[i])) for i in long[:5]]} (number, tokens): raise it or "
            "leave them out"
        )
    return found


def _tokens(config: ConfigDict, runtime: Runtime, pair: Preference) -> PairTokens:
    question = with_instruction(pair.question, config.problems.instruction)
    shown, chosen = _said(runtime, question, pair.chosen)
    rejected = _said(runtime, question, pair.rejected)[1]
    return PairTokens(shown, chosen, rejected[:-1] if pair.rejected_cut_off else rejected)


def _not_told_apart(
    config: ConfigDict, runtime: Runtime, pairs: Sequence[Preference], found: Sequence[PairTokens]
) -> Iterator[str]:
    """One problem for each line whose answers are no two, apart from the end of a turn."""
    for line, (pair, tokens) in enumerate(zip(pairs, found, strict=True), start=1):
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


def _said(runtime: Runtime, question: str, answer: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The tokens of a question as it is shown, and of an answer."""
    said = {"role": "assistant", "content": answer}
    chat = chat_tokens(
        runtime.chat, [*runtime.chat.problem_messages(question), said], runtime.engine.stop_ids
    )
    start, end = chat.trained.index(True), len(chat.trained) - chat.trained[::-1].index(True)
    return chat.token_ids[:start], chat.token_ids[start:end]


def _texts(pairs: Sequence[PairTokens]) -> Iterator[tuple[int, ...]]:
    for pair in pairs:
        yield from (pair.prompt_ids, pair.chosen_ids, pair.rejected_ids)


def _longest(pair: PairTokens) -> int:
    """Tokens of the longer of its two rows."""
    return len(pair.prompt_ids) + max(len(pair.chosen_ids), len(pair.rejected_ids))
