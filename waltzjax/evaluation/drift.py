"""How far agents went from their base, in what they say themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from waltzjax.data.packing import ChatTokens
from waltzjax.evaluation.bootstrap import gain
from waltzjax.evaluation.intervals import cluster_ids
from waltzjax.evaluation.likelihood import chat_nll
from waltzjax.run.runtime import Runtime
from waltzjax.types import CONVERSATION, Completion, Episode


def drift(
    config: ConfigDict,
    runtime: Runtime,
    agents: Mapping[str, Any],
    base: Any,
    episodes: Sequence[Episode],
) -> dict[str, Any]:
    """``kl_ROLE`` of each of ``agents`` that said anything, and ``intervals``: the mean over its
    tokens of log p_agent - log p_base, nats, both at temperature 1, with a 95 % bootstrap interval
    over the prompts, or their frames where they have some.

    Of texts sampled at temperature 1 an unbiased estimate of the KL divergence from the base, a
    token; of greedy ones only a log-ratio.
    """
    result: dict[str, Any] = {"intervals": {}}
    for role, policy in agents.items():
        completions = [(e, c) for e in episodes for c in _completions(e, role) if c.token_ids]
        texts = [_text(c) for _, c in completions]
        if texts:
            clusters = cluster_ids([e.prompt.frame or id(e) for e, _ in completions])
            before, after = (_likely(config, runtime, p, texts) for p in (base, policy))
            result[f"kl_{role}"], *edges = gain(before, after, clusters, config.seed)
            result["intervals"][f"kl_{role}"] = edges
    return result


def _completions(episode: Episode, role: str) -> Sequence[Completion]:
    return episode.answers if role == CONVERSATION else episode.feedbacks


def _text(completion: Completion) -> ChatTokens:
    own = (False,) * len(completion.prompt_ids) + (True,) * len(completion.token_ids)
    return ChatTokens(completion.prompt_ids + completion.token_ids, own)


def _likely(
    config: ConfigDict, runtime: Runtime, policy: Any, texts: Sequence[ChatTokens]
) -> dict[str, Sequence[float]]:
    nll, tokens = chat_nll(config, runtime, policy, texts)
    return {"nll": nll.tolist(), "tokens": tokens.tolist()}
