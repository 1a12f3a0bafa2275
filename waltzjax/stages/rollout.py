"""Rollouts: agents as requests to the generation engine, and what a rollout comes to."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np
from ml_collections import ConfigDict

from waltzjax.data.chat import Chat
from waltzjax.data.thoughts import without_thought
from waltzjax.engine.requests import Request, Sampling, Tokens
from waltzjax.engine.session import Session, Stats
from waltzjax.run.runtime import sampling
from waltzjax.support import console
from waltzjax.types import Completion, Sample


class Speakers(Protocol):
    """Agents that answer in any order. Each episode has one question open at a time."""

    def ask(self, role: str, turn: int, index: int, prompt: tuple[int, ...]) -> None:
        """Have ``role`` continue ``prompt``, its turn number ``turn`` of episode ``index``."""

    def replies(self) -> Iterator[tuple[int, Completion | None]]:
        """(index, what was said, or None where the prompt is too long) until no question is open;
        more may be asked meanwhile."""


def request_seed(seed: int, step: int, role: str, turn: int, index: int) -> int:
    """A seed in [0, 2^32) for one request, independent of the batch it is served in."""
    entropy = [seed, step, zlib.crc32(role.encode()), turn, index]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


class Agents:
    """The two agents as ``waltz.episode`` asks them, each with its own parameters.

    Each request's seed is a function of ``seed``, ``step``, role, turn and index. ``watch`` is told
    how generation goes.
    """

    def __init__(
        self,
        chat: Chat,
        session: Session,
        how: Sampling,
        *,
        seed: int,
        step: int,
        watch: Callable[[Stats], None] = lambda _: None,
    ):
        self._chat, self._session, self._how = chat, session, how
        self._room = session.longest - how.max_new_tokens
        self._seed, self._step, self._watch = seed, step, watch
        self._prompts: dict[int, tuple[int, ...]] = {}
        self._too_long: list[int] = []

    def ask(self, role: str, turn: int, index: int, prompt: tuple[int, ...]) -> None:
        if len(prompt) > self._room:
            self._too_long.append(index)
            return
        self._prompts[index] = prompt
        seed = request_seed(self._seed, self._step, role, turn, index)
        self._session.submit(Request(index, role, prompt, self._how, seed))

    def replies(self) -> Iterator[tuple[int, Completion | None]]:
        """See ``Speakers``.

        Raises:
          FloatingPointError: an agent's logits are not finite.
        """
        while self._prompts or self._too_long:
            while self._too_long:
                yield self._too_long.pop(), None
            for index, _, done in self._session.stream():
                self._watch(self._session.stats())
                if done:
                    yield index, completion(self._chat, self._prompts.pop(index), done)


Watch = Callable[[Stats], None]
# (items, chat, agents) -> (index, what is to be scored), as they end
Collect = Callable[..., Iterable[tuple[int, Any]]]
EVAL_STREAM = 3  # apart from the training stages' random streams


class Draw(NamedTuple):
    """How the turns of one rollout are drawn.

    how: by which distribution, and how long they may be.
    seed, step: of the random streams, see ``request_seed``.
    watch: (how many items have ended, the session's statistics) -> None, as generation goes on.
    """

    how: Sampling
    seed: int
    step: int
    watch: Callable[[int, Stats], None]


def training_draw(config: ConfigDict, stream: int, step: int, watch: Watch) -> Draw:
    """The draw of a training step."""
    how = sampling(config, config.rollout.temperature)
    return Draw(how, stream, step, lambda _, stats: watch(stats))


@contextmanager
def evaluation_draw(config: ConfigDict, total: int, label: str, unit: str) -> Iterator[Draw]:
    """The draw of an evaluation, whose ``total`` items a progress bar counts."""
    with console.Progress(total, f"evaluating {label}", unit=unit) as bar:
        yield Draw(
            sampling(config, config.eval.temperature),
            config.seed * 10 + EVAL_STREAM,
            0,
            lambda ended, stats: bar.update(ended, **stats.shown()),
        )


def roll_out(
    chat: Chat,
    session: Session,
    collect: Collect,
    items: Sequence[Any],
    draw: Draw,
    add: Callable[[int, Any], None],
) -> Stats:
    """Have the agents of ``session`` do what ``collect`` asks of them for each of ``items``; what
    comes of it goes to ``add``, with its index, as it ends."""
    ended = 0
    agents = Agents(
        chat,
        session,
        draw.how,
        seed=draw.seed,
        step=draw.step,
        watch=lambda stats: draw.watch(ended, stats),
    )
    for index, outcome in collect(items, chat, agents):
        add(index, outcome)
        ended += 1
    drawn = session.stats()
    draw.watch(ended, drawn)
    return drawn


def completion(chat: Chat, prompt: tuple[int, ...], done: Tokens) -> Completion:
    """The outcome of a request, with what it says and what it thought before.

    Raises:
      FloatingPointError: the logits are not finite.
    """
    if done.finish_reason == "error":
        raise FloatingPointError(f"generation: {done.error}")
    written = chat.decode(done.token_ids)
    spoken = without_thought(written, opened=chat.in_thought(prompt))
    text = spoken or ""
    return Completion(
        prompt,
        done.token_ids,
        done.logprobs,
        text,
        done.finish_reason,
        done.cutoff_gap,
        thought=written.removesuffix(text).strip(),
        unfinished=spoken is None,
    )


class Rolled(NamedTuple):
    """The outcome of a rollout: the rows of each role that is trained, the step's metrics, how
    generation went, and one of what was rolled out as text for people, "" where there is none."""

    rows: dict[str, list[Sample]]
    metrics: dict[str, float]
    stats: Stats
    example: str = ""


# (parameters by role, prompts, random stream, step, watch) -> what it came to
Roll = Callable[[Mapping[str, Any], Sequence[Any], int, int, Watch], Rolled]


def make_sample(completion: Completion, reward: float, advantage: float) -> Sample:
    """The training sample of an answer, which earned ``reward``."""
    c = completion
    return Sample(c.prompt_ids, c.token_ids, c.logprobs, advantage, c.cutoff_gap, reward)
