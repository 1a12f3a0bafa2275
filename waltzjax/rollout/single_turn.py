"""One policy, one turn: several answers to each problem."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from waltzjax.data.chat import Chat
from waltzjax.rollout.episodes import Speakers
from waltzjax.types import POLICY, Completion, Problem


def answer(
    problems: Sequence[Problem], chat: Chat, speakers: Speakers, *, samples: int, turn: int = 0
) -> Iterator[tuple[int, Completion]]:
    """``samples`` answers to each problem; (index, answer) as they end, ``index`` being
    problem * samples + sample.

    ``turn`` tells several such calls of one step apart: each has random streams of its own.

    Raises:
      ValueError: a problem leaves no room for an answer.
    """
    states = chat.encode([chat.problem_text(problem.text) for problem in problems])
    for number, state in enumerate(states):
        for sample in range(samples):
            speakers.ask(POLICY, turn, number * samples + sample, state)
    for index, said in speakers.replies():
        if said is None:
            problem = problems[index // samples]
            raise ValueError(f"problem {problem.id} ({problem.text!r:.60}): too long for the model")
        yield index, said
