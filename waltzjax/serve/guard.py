"""The guard as a library: both agents, flags and rules behind one call."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import threading
from collections.abc import AsyncIterator, Coroutine, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

from ml_collections import ConfigDict

from waltzjax.config.defaults import default
from waltzjax.data.chat import AgentPrompt
from waltzjax.judge.patterns.read import read_rules
from waltzjax.judge.patterns.rules import ANSWER, PROMPT
from waltzjax.serve import flow
from waltzjax.serve.breaker import Breaker
from waltzjax.serve.flags import Flags, FlagSource
from waltzjax.serve.loops import CLOSED_GUARD, Loop, Newest
from waltzjax.serve.models import Models, agent_prompts, load_models
from waltzjax.serve.records import (
    AGENTS,
    BLOCK,
    HOLD,
    OFF,
    PATTERNS,
    SPECULATIVE,
    Agent,
    AgentFailed,
    Answer,
    Ask,
    Delta,
    Messages,
    Report,
)
from waltzjax.serve.review import check_messages
from waltzjax.serve.reviewer import Reviewer
from waltzjax.serve.run_directory import served_config

T = TypeVar("T")
TAKEN_BACK = "the agent ended a thought that it had not begun; part of the thought was streamed"
LONG = 10_000  # characters: 1 ms of pattern rules
_PIECE = re.compile(r"\s*\S+\s*")  # of a held answer that is streamed: a word


class Status(NamedTuple):
    """How a service stands.

    ready: requests are answered. stage: the one that decides for a user who is in the roll-out.
    degraded: why that is not what the flags ask for; "": it is.
    """

    ready: bool
    stage: int
    degraded: str
    models: tuple[str, ...]
    active: int  # rows being decoded
    waiting: int  # requests without a row
    breaker: str  # "closed" | "open" | "half-open"


class Guard:
    """Two agents that answer, review and revise; safe to call from many threads and tasks.

    Args:
      conversation, feedback: a model's directory or hub name, or any ``Agent``; "": as ``config``
        has it. A conversation agent of yours, or an upstream, gets no system prompt from here.
      config: with its section ``serve``; None: the package's default.
      workdir: a run's directory: its agents, prompts and sampling; see ``served_config``.
      environ: the variables that flags are read from; None: the process's.
      flags: hold as they are, whatever config, environment and file say; None: those decide.

    Raises:
      ValueError, OSError, ImportError: flags, rules, prompts or keys cannot be read. A model that
        cannot be loaded is no error: stage 1 decides then.
    """

    def __init__(
        self,
        conversation: str | Path | Agent = "",
        feedback: str | Path | Agent = "",
        *,
        config: ConfigDict | None = None,
        workdir: str | Path = "",
        environ: Mapping[str, str] | None = None,
        flags: Flags | None = None,
    ):
        config = ConfigDict((config or default()).to_dict())
        if workdir:
            config = served_config(config, Path(workdir), ())
        given: dict[str, Agent] = {}
        for role, agent in (("conversation", conversation), ("feedback", feedback)):
            if isinstance(agent, str | Path):
                config.serve[role] = str(agent) or config.serve[role]
            else:
                given[role] = agent
        self.config, serve = config, config.serve
        environ = os.environ if environ is None else environ
        self._rules = read_rules(Path(serve.patterns) if serve.patterns else None)
        self._source = FlagSource(serve, environ, self._rules.categories)
        self._flags = flags
        self._breaker = Breaker(serve.breaker_failures, serve.breaker_s)
        asking, reviewing = agent_prompts(config)
        if serve.upstream.url or "conversation" in given:  # it has a prompt of its own
            asking = AgentPrompt("", asking.message)
        self._models: Models = load_models(config, given)
        reviewer = None
        if self._models.feedback is not None:
            reviewer = Reviewer(
                self._models.feedback,
                reviewing,
                self._breaker,
                max_tokens=config.rollout.max_new_tokens,
                timeout_s=serve.feedback_timeout_s,
            )
        self._parts = flow.Parts(
            conversation=self._models.conversation,
            feedback=reviewer,
            missing=self._models.missing,
            prompt=asking,
            categories=self._categories,
            t_max=config.rollout.t_max,
            refusal=serve.refusal,
            deadline_s=serve.deadline_s,
        )
        self._private: Loop | None = None
        self._lock = threading.Lock()
        self._ended = False
        if self._models.worker:
            self._models.worker.start(warm_up=serve.warm_up)

    @property
    def flags(self) -> Flags:
        """The flags that hold now."""
        return self._flags if self._flags is not None else self._source.current()

    async def arespond(
        self, messages: Messages, *, user: str = "", ask: Ask | None = None
    ) -> Answer:
        """The answer to ``messages``, whose last one is the user's.

        Args:
          user: who asks; the roll-out keeps a user in or out.
          ask: how the conversation agent draws; None: as the config says, by a random seed.

        Raises:
          ValueError: the messages are none that can be answered. PromptTooLong: nor do they fit.
          AgentBusy, AgentFailed, DeadlineExceeded: there is no answer; try again later.
        """
        self._check_open()
        check_messages(messages, ("user",))
        return await flow.answer(self._parts, self.flags, messages, ask or self.asks(), user)

    async def acheck(self, messages: Messages, *, user: str = "") -> Report:
        """What the guard makes of an exchange; nothing is generated but a review. Where the last
        message is the user's, the pattern rules look at the prompt alone."""
        self._check_open()
        check_messages(messages, ("user", "assistant"))
        last = messages[-1]
        asked, reply = messages, None
        if last["role"] == "assistant":
            asked, reply = messages[:-1], last["content"]
        return await flow.check(self._parts, self.flags, asked, reply, user)

    async def astream(
        self, messages: Messages, *, user: str = "", ask: Ask | None = None, mode: str = HOLD
    ) -> AsyncIterator[Delta]:
        """``arespond`` as news. HOLD: nothing of an answer that the guard may still change is
        given out. SPECULATIVE: the first answer is given out as it is drawn, and withdrawn where
        the guard changes it. An answer that the guard cannot change is given out at once.

        Raises:
          AgentFailed: see ``arespond``; and, HOLD: what was given out turned out to be a thought.
        """
        self._check_open()
        check_messages(messages, ("user",))
        flags = self.flags
        at_once = mode == SPECULATIVE or not _may_change(flags, user)
        newest = Newest()
        first = newest.put if at_once else None
        work = asyncio.ensure_future(
            flow.answer(self._parts, flags, messages, ask or self.asks(), user, first)
        )
        try:
            sent = ""
            async for text in newest.until(work):
                if text.startswith(sent) and len(text) > len(sent):
                    yield Delta(text[len(sent) :])
                    sent = text
            answer = work.result()
            if not answer.text.startswith(sent):
                if mode == HOLD:  # no client of this mode can take anything back
                    raise AgentFailed(TAKEN_BACK)
                yield Delta("", withdrawn=True)
                sent = ""
            for piece in _PIECE.findall(answer.text[len(sent) :]) or [answer.text[len(sent) :]]:
                yield Delta(piece)
            yield Delta("", answer=answer)
        finally:
            work.cancel()  # the client has gone

    def respond(self, messages: Messages, *, user: str = "", ask: Ask | None = None) -> Answer:
        """``arespond``, for callers without an event loop."""
        return self._run(self.arespond(messages, user=user, ask=ask))

    def check(self, messages: Messages, *, user: str = "") -> Report:
        """``acheck``, for callers without an event loop."""
        return self._run(self.acheck(messages, user=user))

    def asks(self) -> Ask:
        """How the conversation agent draws where a request says nothing; the seed is random."""
        rollout, temperature = self.config.rollout, self.config.serve.temperature
        return Ask(rollout.max_new_tokens, temperature, rollout.top_p, seed=secrets.randbits(32))

    def status(self) -> Status:
        flags, worker = self.flags, self._models.worker
        stage = flags.stage if flags.enable else OFF
        degraded = ""
        if stage == AGENTS:
            if self._models.missing:
                degraded = self._models.missing
            elif self._breaker.state == "open":
                degraded = "the feedback agent has failed again and again"
        return Status(
            ready=not self._ended and (worker is None or worker.alive),
            stage=PATTERNS if degraded else stage,
            degraded=degraded,
            models=tuple(
                agent.name
                for agent in (self._models.conversation, self._models.feedback)
                if agent is not None
            ),
            active=worker.active if worker else 0,
            waiting=worker.waiting if worker else 0,
            breaker=self._breaker.state,
        )

    def close(self, drain_s: float = 0.0) -> None:
        """End the engine, after what runs has ended or ``drain_s`` seconds."""
        self._ended = True
        if self._models.worker:
            self._models.worker.stop(drain_s)
        self._models.close()
        with self._lock:
            if self._private:
                self._private.close()
                self._private = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _categories(self, asked: str, answered: str) -> tuple[str, ...]:
        """The categories that match, in order, once each. A long text is matched on a thread, so
        that others need not wait."""
        if len(asked) + len(answered) > LONG:
            return await asyncio.to_thread(self._matched, asked, answered)
        return self._matched(asked, answered)

    def _matched(self, asked: str, answered: str) -> tuple[str, ...]:
        matches = [*self._rules.match(asked, PROMPT), *self._rules.match(answered, ANSWER)]
        return tuple(dict.fromkeys(match.category for match in matches))

    def _check_open(self) -> None:
        if self._ended:
            raise AgentFailed(CLOSED_GUARD)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        with self._lock:
            if self._ended:
                work.close()
                raise AgentFailed(CLOSED_GUARD)
            self._private = self._private or Loop()
            loop = self._private
        return loop.run(work)


def _may_change(flags: Flags, user: str) -> bool:
    """Whether the guard may put another text in the place of a first answer."""
    blocks = flags.blocking or BLOCK in flags.policy.values()
    stage = flags.stage_of(user)
    return stage != OFF and (blocks or (stage == AGENTS and not flags.feedback_only))
