"""Answers to problems as they end: verified beside generation, and scored by every signal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future

import numpy as np
from ml_collections import ConfigDict

from waltzjax.data.chat import Chat
from waltzjax.rlvr.grading.verifier import Verification, Verifier
from waltzjax.rlvr.signals.format import FORMS, overlong_punishment
from waltzjax.rlvr.signals.reflect import reflect_score
from waltzjax.stages.rollout import Speakers
from waltzjax.support.processes import from_first, writes
from waltzjax.types import POLICY, Attempt, Completion, Group, Problem


class Attempts:
    """``samples`` answers to each of ``problems``, in whatever order they end."""

    def __init__(
        self, config: ConfigDict, verifier: Verifier, problems: Sequence[Problem], samples: int
    ):
        self._most = config.rollout.max_new_tokens
        self._buffer = config.reward.overlong_buffer
        self._format = FORMS[config.problems.form]
        self._needs = config.reward.needs.to_dict()
        self._verifier, self._problems, self._samples = verifier, problems, samples
        self._answers: dict[int, Completion] = {}
        self._verified: dict[int, Future[Verification]] = {}

    def add(self, index: int, answer: Completion) -> None:
        """Have an answer verified; ``index`` is problem * samples + sample."""
        self._answers[index] = answer
        if writes():
            label = self._problems[index // self._samples].answer
            self._verified[index] = self._verifier.submit(answer.text, label)

    def finish(self) -> list[Group]:
        """The groups in the problems' order, once all is verified."""
        k, count = self._samples, len(self._answers)
        flags = np.zeros((count, len(Verification._fields)), np.int8)
        for index, future in self._verified.items():
            flags[index] = future.result()
        # An answer may take too long for one process and not for another: all go by the first.
        verified = [Verification(*map(bool, row)) for row in from_first(flags)]
        return [
            Group(problem, tuple(self._scored(i, verified[i]) for i in range(n * k, n * k + k)))
            for n, problem in enumerate(self._problems)
        ]

    def _scored(self, index: int, verified: Verification) -> Attempt:
        answer, text = self._answers[index], self._answers[index].text
        problem = self._problems[index // self._samples].text
        asked = {name: problem if need == "problem" else None for name, need in self._needs.items()}
        signals = {
            "verify": float(verified.right),
            "format": self._format(text, answer.finish_reason == "stop", asked["format"]),
            "reflect": reflect_score(text, asked["reflect"]),
            "overlong": overlong_punishment(len(answer.token_ids), self._most, self._buffer),
        }
        if not verified.right:
            signals |= {name: 0.0 for name, need in self._needs.items() if need == "verify"}
        return Attempt(answer, signals, verified.parsed, verified.timed_out)


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
    for index, reply in speakers.replies():
        if reply is None:
            problem = problems[index // samples]
            raise ValueError(f"problem {problem.id} ({problem.text!r:.60}): too long for the model")
        yield index, reply
