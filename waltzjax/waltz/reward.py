"""WaltzRL's rewards (arXiv 2510.08240, section 3.2); None where the judge left one open."""

from __future__ import annotations

from waltzjax.types import Episode


def conversation_reward(episode: Episode, turn: int) -> float | None:
    """R_c(c_t): 1 if neither judge label is set and the answer says something, else 0."""
    verdict = episode.verdicts[turn]
    return None if verdict is None else float(verdict.good)


def improvement(episode: Episode, turn: int) -> float | None:
    """R_DIR(f_t) = R_c(c_{t+1}) - R_c(c_t) in {-1, 0, 1}; 0 when c_{t+1} does not exist."""
    if turn + 1 >= len(episode.answers):
        return 0.0
    before, after = (conversation_reward(episode, t) for t in (turn, turn + 1))
    return None if before is None or after is None else after - before


def labels_right(episode: Episode, turn: int) -> bool | None:
    """R_label: the feedback's label pair equals the judge's; an unparsed feedback has none."""
    parsed, verdict = episode.parsed[turn], episode.verdicts[turn]
    if verdict is None:
        return None
    return parsed is not None and parsed.labels == verdict.labels


def feedback_reward(
    episode: Episode, turn: int, *, alpha: float, lam: float, gamma: float, conditioned: bool = True
) -> float | None:
    """R_f = alpha * R_DIR * R_label + lam * R_label + gamma * R_format.

    Not ``conditioned``: alpha * R_DIR alone, of feedbacks that parse: a row of the ablation.
    """
    right, gain = labels_right(episode, turn), improvement(episode, turn)
    if right is None or gain is None:
        return None
    parsed = float(episode.parsed[turn] is not None)
    earns = float(right) if conditioned else parsed
    return alpha * gain * earns + lam * float(right) + gamma * parsed
