"""WaltzRL's rewards (arXiv 2510.08240, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

from waltzjax.rewards.judges import Judge
from waltzjax.types import Episode


def score(episodes: Sequence[Episode], judge: Judge) -> None:
    """Fill in ``verdicts`` of every answer of every episode, in one call of the judge."""
    flat = [(e, a.text) for e in episodes for a in e.answers]
    verdicts = iter(judge([e.prompt for e, _ in flat], [text for _, text in flat]))
    for episode in episodes:
        episode.verdicts = [next(verdicts) for _ in episode.answers]


def conversation_reward(episode: Episode, turn: int) -> float:
    """R_c(c_t): 1 if neither judge label is set, else 0."""
    return float(episode.verdicts[turn].good)


def improvement(episode: Episode, turn: int) -> float:
    """R_DIR(f_t) = R_c(c_{t+1}) - R_c(c_t) in {-1, 0, 1}; 0 when c_{t+1} does not exist."""
    if turn + 1 >= len(episode.answers):
        return 0.0
    return conversation_reward(episode, turn + 1) - conversation_reward(episode, turn)


def labels_right(episode: Episode, turn: int) -> bool:
    """R_label: the feedback's label pair equals the judge's; an unparsed feedback has none."""
    parsed = episode.parsed[turn]
    return parsed is not None and parsed.labels == tuple(episode.verdicts[turn])


def feedback_reward(
    episode: Episode, turn: int, *, alpha: float, lam: float, gamma: float
) -> float:
    """R_f = alpha * R_DIR * R_label + lam * R_label + gamma * R_format."""
    right = float(labels_right(episode, turn))
    parsed = float(episode.parsed[turn] is not None)
    return alpha * improvement(episode, turn) * right + lam * right + gamma * parsed

