"""Benign chats, which training should leave as they were: as likely as before, left in peace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from waltzjax.data.chats import asked_first, read_chats
from waltzjax.data.packing import ChatTokens
from waltzjax.dataset.dataset import benign_file
from waltzjax.evaluation.bootstrap import mean_nll
from waltzjax.evaluation.likelihood import chat_nll, tokenised
from waltzjax.run.runtime import Runtime
from waltzjax.types import CONVERSATION, Episode, Prompt
from waltzjax.waltz.rates import intervals, summary

RATES = ("ftr", "orr")  # what is reported of their prompts, as ``benign_ftr``, ``benign_orr``


class Benign(NamedTuple):
    """Chats without anything harmful: what their users ask for first, and all of them as tokens."""

    prompts: tuple[Prompt, ...]
    chats: tuple[ChatTokens, ...]


def read_benign(directory: Path, config: ConfigDict, runtime: Runtime) -> Benign | None:
    """The benign chats of a dataset; None if it has none.

    Raises:
      DatasetError, ValueError: lines that are no chats, or too long for ``config.sft.length``; or
        an older version wrote the dataset.
    """
    if (path := benign_file(directory)) is None:
        return None
    chats = read_chats(path)
    prompts = [Prompt(i, asked_first(chat), False, "benign") for i, chat in enumerate(chats)]
    return Benign(tuple(prompts), tuple(tokenised(path, chats, runtime, config.sft.length)))


def benign_result(
    config: ConfigDict,
    runtime: Runtime,
    params: Mapping[str, Any],
    chats: Sequence[ChatTokens],
    episodes: Sequence[Episode],
) -> dict[str, Any]:
    """``benign_nll``: of the chats' replies under the conversation agent, nats a token. The rates
    of their prompts as played; ``intervals``; by chat, under ``benign``, what
    ``evaluation.bootstrap`` compares."""
    rates, ranges = summary(episodes), intervals(episodes, seed=config.seed)
    nll, tokens = chat_nll(config, runtime, params[CONVERSATION], chats)
    kept = {
        "nll": nll.tolist(),
        "tokens": tokens.tolist(),
        "revised": [int(len(e.answers) > 1) for e in episodes],
    }
    mean, *edges = mean_nll(kept, config.seed)
    return {
        "benign_nll": mean,
        **{f"benign_{name}": rates[name] for name in RATES},
        "intervals": {
            "benign_nll": edges,
            **{f"benign_{name}": list(ranges[name]) for name in RATES},
        },
        "benign": kept,
    }
