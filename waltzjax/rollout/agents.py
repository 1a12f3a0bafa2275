"""The two agents of an episode as requests to the generation engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from waltzjax.data.chat import Chat
from waltzjax.data.thoughts import without_thought
from waltzjax.rollout.episodes import request_seed
from waltzjax.rollout.requests import Request, Sampling, Tokens
from waltzjax.rollout.session import Session, Stats
from waltzjax.types import Completion


class Agents:
    """The two agents as ``rollout.episodes`` asks them, each with its own parameters.

    Each request's seed is a function of ``seed``, ``step``, role, turn and index. ``watch`` is told
    how generation goes.
    """

    def __init__(
        self, chat: Chat, session: Session, how: Sampling, *, seed: int, step: int,
        watch: Callable[[Stats], None] = lambda _: None,
    ):  # fmt: skip
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


def completion(chat: Chat, prompt: tuple[int, ...], done: Tokens) -> Completion:
    """What a request came to, with what it says and what it thought before.

    Raises:
      FloatingPointError: the logits are not finite.
    """
    if done.finish_reason == "error":
        raise FloatingPointError(f"generation: {done.error}")
    written = chat.decode(done.token_ids)
    spoken = without_thought(written, opened=chat.in_thought(prompt))
    text = spoken or ""
    return Completion(
        prompt, done.token_ids, done.logprobs, text, done.finish_reason, done.reach,
        thought=written.removesuffix(text).strip(), unfinished=spoken is None,
    )  # fmt: skip
