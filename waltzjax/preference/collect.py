"""Questions and what every arm says to them: drawn, answered, verified meanwhile, written."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from waltzjax.config.preferences import read_arms
from waltzjax.preference.arms import answers
from waltzjax.preference.coherence import scored
from waltzjax.preference.trajectories import append_record, drop_torn_line, read_collected, record
from waltzjax.rlvr.grading.answer import final_answer
from waltzjax.rlvr.grading.verifier import Verification, Verifier
from waltzjax.run.runtime import Runtime
from waltzjax.support import console
from waltzjax.support.processes import from_first, largest, writes
from waltzjax.support.signals import StopSignals
from waltzjax.types import POLICY, Arm, Collected, Completion, Problem, Trajectory

UNVERIFIED = 64  # questions that may wait for the verifier before generation waits, too


def different(problems: Sequence[Problem]) -> list[Problem]:
    """The problems without repeated texts, to which an arm says the same; the first one stays."""
    first: dict[str, Problem] = {}
    for problem in problems:
        first.setdefault(problem.text, problem)
    return list(first.values())


def missing(config: ConfigDict, questions: Sequence[Problem], path: Path) -> list[Problem]:
    """Those of the questions that ``path`` has no record of; what a kill left of a last one is
    removed from it. All processes take part, the first one looks.

    Raises:
      ValueError: the file holds other questions, or what other arms said.
    """
    left = np.ones(len(questions), bool)
    if writes() and path.exists():
        if dropped := drop_torn_line(path):
            console.say(f"{path}: its last line was cut off; these {dropped} bytes are dropped")
        there = {q.problem: q for q in read_collected(path)} if path.stat().st_size else {}
        known = {*questions}
        arms = [(arm.name, arm.role) for arm in read_arms(config.collect.arms)]
        for question in there.values():
            recorded = [(t.arm, t.role) for t in question.trajectories]
            if recorded != arms or question.problem not in known:
                raise ValueError(
                    f"{path}: question {question.problem.id} is not of this run: it is not in "
                    "config.problems.train, or other arms answered it; name another --workdir"
                )
        left[:] = [problem not in there for problem in questions]
    return [p for p, wanted in zip(questions, from_first(left), strict=True) if wanted]


def collect(
    config: ConfigDict,
    runtime: Runtime,
    params: Any,
    verifier: Verifier,
    questions: Sequence[Problem],
    path: Path,
    *,
    total: int,
) -> None:
    """Have every arm of ``config.collect.arms`` answer each of ``questions``, and append a record
    of each to ``path`` once its last answer is verified.

    An answer is a function of model, persona, question, temperature and seed: it is the same alone
    and among others, but for rounding (``engine.requests.Request``). ``total`` questions there are
    with those that are done, for the progress.

    Raises:
      Stopped: SIGTERM or Ctrl-C; what had ended is written.
      FloatingPointError: the model's logits are not finite.
    """
    arms = read_arms(config.collect.arms)
    asked, ended, done = 0, (total - len(questions)) * len(arms), total - len(questions)
    records = Records(arms, verifier, path)
    with (
        runtime.engine.session({POLICY: params}) as session,
        StopSignals() as stop,
        console.Progress(total * len(arms), "collecting", unit="answer", initial=ended) as bar,
    ):

        def watch(more: int) -> None:
            nonlocal ended
            ended += more
            bar.update(ended, **records.shown(), **session.stats().shown())

        for problem, completions in answers(config, runtime, session, questions, watch):
            done += 1
            if writes():
                records.add(problem, completions)
            if asked := largest(stop.received):  # one process stops when all do
                break
        records.finish()
        stop.check(asked, f"{done} of {total} questions are in {path}; the same command goes on")


class Records:
    """Answered questions on their way into a file: each is written once its answers are verified,
    in the order they came in."""

    def __init__(self, arms: Sequence[Arm], verifier: Verifier, path: Path):
        self._arms, self._verifier, self._path = arms, verifier, path
        self._waiting: deque[tuple[Problem, list[Completion], list[Future[Verification]]]] = deque()
        self._correct = self._written = 0  # answers

    def add(self, problem: Problem, completions: list[Completion]) -> None:
        verified = [self._verifier.submit(answer.text, problem.answer) for answer in completions]
        self._waiting.append((problem, completions, verified))
        while self._waiting and (
            len(self._waiting) > UNVERIFIED or all(future.done() for future in self._waiting[0][2])
        ):
            self._write()

    def finish(self) -> None:
        """Write all that came in."""
        while self._waiting:
            self._write()

    def shown(self) -> dict[str, str]:
        """The figure that a person watches: how many of the answers written are correct."""
        share = f"{100 * self._correct / self._written:.1f} %" if self._written else "-"
        return {"correct": share}

    def _write(self) -> None:
        problem, completions, verified = self._waiting.popleft()
        collected = Collected(
            problem,
            tuple(
                _trajectory(arm, answer, future.result())
                for arm, answer, future in zip(self._arms, completions, verified, strict=True)
            ),
        )
        append_record(self._path, record(collected, scored(collected)))
        self._correct += sum(t.correct for t in collected.trajectories)
        self._written += len(completions)


def _trajectory(arm: Arm, completion: Completion, verified: Verification) -> Trajectory:
    answer = final_answer(completion.text) if verified.parsed else None
    return Trajectory(
        arm.name,
        arm.role,
        completion.text,
        answer,
        verified.right,
        len(completion.token_ids),
        sum(completion.logprobs),
        completion.finish_reason,
    )
