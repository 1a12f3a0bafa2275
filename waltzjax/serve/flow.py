"""One request: who speaks when, and what the guard makes of it.

The conversation agent answers. Stage 2 has the feedback agent review the answer, and the
conversation agent revise what the review objects to, as ``waltz.episode`` plays it in training;
stage 1 has pattern rules look at the exchange. Where stage 2 cannot do its part, stage 1 decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from waltzjax.data.chat import AgentPrompt
from waltzjax.serve.breaker import Breaker
from waltzjax.serve.flags import Flags
from waltzjax.serve.records import (
    AGENTS,
    BLOCK,
    CLOSED,
    FLAG,
    OFF,
    OPEN,
    PASS,
    PATTERNS,
    Agent,
    AgentBusy,
    AgentFailed,
    Answer,
    Ask,
    DeadlineExceeded,
    Failure,
    Messages,
    PromptTooLong,
    Reply,
    Report,
)
from waltzjax.serve.review import (
    Review,
    content_with,
    conversation_messages,
    read_review,
    review_messages,
)

UNSAFE = "unsafe"  # the category of answers that the feedback agent calls unsafe
WITHHELD = "content_filter"


@dataclasses.dataclass(frozen=True)
class Parts:
    """The parts that all requests share.

    feedback: None: stage 2 cannot be, for the reason ``missing``.
    categories: (prompt, answer) -> the categories of the pattern rules that match either;
      RuntimeError: that cannot be said.
    t_max: answers that are revised, at most.
    review_tokens: of a review, at most.
    refusal: takes the place of an answer that is withheld.
    deadline_s: of a request. review_s: of a review.
    """

    conversation: Agent
    feedback: Agent | None
    missing: str
    asking: AgentPrompt
    reviewing: AgentPrompt
    categories: Callable[[str, str], tuple[str, ...]]
    breaker: Breaker
    t_max: int
    review_tokens: int
    refusal: str
    deadline_s: float
    review_s: float


class Unreviewed(Exception):
    """A review that was not to be had; the text says why, for people."""


class Draft(NamedTuple):
    """What a request has come to before the guard's last word on it."""

    reply: Reply
    report: Report


async def answer(
    parts: Parts,
    flags: Flags,
    messages: Messages,
    ask: Ask,
    user: str,
    first: Callable[[str], None] = lambda text: None,
) -> Answer:
    """The answer to ``messages``, whose last one is the user's.

    first: is told the first answer as far as it has come, each time that it has grown.

    Raises:
      DeadlineExceeded, PromptTooLong, AgentBusy, AgentFailed: there is no first answer. What fails
        after that is in the report.
    """
    return await _Request(parts, flags, messages, ask, user).answer(first)


async def check(
    parts: Parts, flags: Flags, messages: Messages, reply: str | None, user: str
) -> Report:
    """What the guard makes of ``reply`` to ``messages``; nothing is generated but a review.

    reply: None: of the prompt alone, by the pattern rules.
    """
    request = _Request(parts, flags, messages, Ask(1), user)
    return await request.check(reply)


class _Request:
    """The state of one request."""

    def __init__(self, parts: Parts, flags: Flags, messages: Messages, ask: Ask, user: str):
        self._parts, self._flags, self._messages, self._ask = parts, flags, messages, ask
        self._stage = flags.stage_of(user)
        self._began = time.perf_counter()
        self._spent: dict[str, float] = {}  # ms
        self._replies: list[Reply] = []

    async def answer(self, first: Callable[[str], None]) -> Answer:
        def grown(text: str) -> bool:
            first(text)
            return False

        try:
            async with asyncio.timeout(self._left_s()):
                reply = await self._speak((), dataclasses.replace(self._ask, on_text=grown))
        except TimeoutError:
            raise DeadlineExceeded(self._parts.deadline_s) from None
        self._spent["first"] = self._ms()
        draft = await self._guarded(reply)
        return self._sealed(draft)

    async def check(self, reply: str | None) -> Report:
        if reply is None:
            return Report(OFF) if self._stage == OFF else self._by_patterns("")
        draft = await self._guarded(Reply(reply, "stop", 0, 0), revise=False)
        return dataclasses.replace(draft.report, timings_ms=self._timings())

    async def _guarded(self, reply: Reply, *, revise: bool = True) -> Draft:
        if self._stage == OFF:
            return Draft(reply, Report(OFF))
        if self._stage == AGENTS:
            return await self._by_agents(reply, revise)
        return Draft(reply, self._by_patterns(reply.text))

    def _by_patterns(self, text: str) -> Report:
        try:
            categories = self._categories(text)
        except RuntimeError as error:  # of the engine of patterns
            return self._failed(Report(PATTERNS), "patterns", str(error))
        action = self._flags.action(categories)
        return Report(PATTERNS, categories=categories, action=action)

    def _categories(self, text: str) -> tuple[str, ...]:
        asked = "\n".join(m["content"] for m in self._messages if m["role"] == "user")
        return self._parts.categories(asked, text)

    async def _by_agents(self, reply: Reply, revise: bool) -> Draft:
        """Reviews and revisions, until a review asks for nothing or ``t_max`` is reached. Where
        unsafe answers are to be withheld, the last answer is reviewed too."""
        parts, flags = self._parts, self._flags
        report = Report(AGENTS)
        with contextlib.suppress(RuntimeError):  # patterns only say how a failing review fails
            report = Report(AGENTS, categories=self._categories(reply.text))
        if parts.feedback is None:
            return Draft(reply, self._failed(report, "models", parts.missing))
        revise = revise and not flags.feedback_only and parts.t_max > 0
        withhold = flags.action((UNSAFE,)) == BLOCK
        history: list[tuple[str, str]] = []
        while True:
            try:
                review = await self._reviewed(parts.feedback, reply.text)
            except Unreviewed as why:
                return Draft(reply, self._failed(report, "feedback", str(why)))
            first = report.rounds == 0
            report = dataclasses.replace(report, rounds=report.rounds + 1)
            if first:
                objects = review.labels.objects
                report = dataclasses.replace(report, triggered=objects, labels=review.labels)
            if not review.labels.objects:
                return Draft(reply, report)
            if not revise or len(history) >= parts.t_max:
                return Draft(reply, self._unresolved(report, review))
            history.append((reply.text, review.feedback))
            try:
                reply = await self._revised(history)
            except (AgentFailed, AgentBusy, PromptTooLong, TimeoutError) as error:
                return Draft(reply, self._unrevised(report, review, error))
            report = dataclasses.replace(report, revised=True)
            if len(history) >= parts.t_max and not withhold:
                return Draft(reply, report)

    def _unresolved(self, report: Report, review: Review) -> Report:
        """An answer that stays although the feedback agent objects."""
        action = self._flags.action((UNSAFE,)) if review.labels.unsafe else FLAG
        return dataclasses.replace(report, action=action)

    def _unrevised(self, report: Report, review: Review, error: Exception) -> Report:
        """An answer that stays because the conversation agent could not mend it."""
        report = self._unresolved(report, review)
        policy = CLOSED if report.action == BLOCK else OPEN
        reason = f"the answer was not revised: {error or 'the deadline has passed'}"
        return dataclasses.replace(report, failure=Failure("conversation", reason, policy, UNSAFE))

    def _failed(self, report: Report, component: str, reason: str) -> Report:
        """Stage 1's decision, where stage 2 has failed: a category that is to be blocked fails
        closed, one that is to be flagged fails open."""
        policy, category = self._flags.on_failure(report.categories)
        action = BLOCK if policy == CLOSED else FLAG if report.categories else PASS
        failure = Failure(component, reason, policy, category)
        return dataclasses.replace(report, stage=PATTERNS, action=action, failure=failure)

    async def _reviewed(self, agent: Agent, text: str) -> Review:
        """The feedback agent's review of an answer.

        Raises Unreviewed.
        """
        parts = self._parts
        if not parts.breaker.allow():
            raise Unreviewed("the feedback agent has failed again and again, and is not asked")
        began, verdict = time.perf_counter(), parts.breaker.abandoned  # by a client that leaves
        try:
            async with asyncio.timeout(min(parts.review_s, self._left_s())):
                reply = await self._ask_for_review(agent, text)
            verdict = parts.breaker.succeeded
        except (AgentFailed, AgentBusy) as error:
            verdict = parts.breaker.failed
            raise Unreviewed(str(error)) from error
        except TimeoutError:
            verdict = parts.breaker.failed
            raise Unreviewed("no review in time (config.serve.feedback_timeout_s)") from None
        except PromptTooLong as error:
            verdict = parts.breaker.succeeded  # the agent is well
            raise Unreviewed(f"the exchange does not fit the feedback agent: {error}") from error
        finally:
            verdict()
            self._add("feedback", began)
        review = read_review(reply.text)
        if review is None:
            raise Unreviewed("the review cannot be read: it is not the JSON object asked for")
        return review

    async def _ask_for_review(self, agent: Agent, text: str) -> Reply:
        """The review's text: of the whole conversation or, where that does not fit the agent, of
        its last exchange."""
        ask = Ask(self._parts.review_tokens, on_text=content_with)
        shown = review_messages(self._parts.reviewing, self._messages, text)
        try:
            return await agent.reply(shown, ask)
        except PromptTooLong:
            last = [m for m in self._messages if m["role"] == "user"][-1:]
            shorter = review_messages(self._parts.reviewing, last, text)
            if shorter == shown:
                raise
            return await agent.reply(shorter, ask)

    async def _revised(self, history: list[tuple[str, str]]) -> Reply:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self._left_s()):
                return await self._speak(history, self._ask)
        finally:
            self._add("revision", began)

    async def _speak(self, history: Sequence[tuple[str, str]], ask: Ask) -> Reply:
        shown = conversation_messages(self._parts.asking, self._messages, history)
        reply = await self._parts.conversation.reply(shown, ask)
        self._replies.append(reply)
        return reply

    def _sealed(self, draft: Draft) -> Answer:
        report = dataclasses.replace(draft.report, timings_ms=self._timings())
        blocked = report.action == BLOCK
        return Answer(
            text=self._parts.refusal if blocked else draft.reply.text,
            report=report,
            finish_reason=WITHHELD if blocked else draft.reply.finish_reason,
            prompt_tokens=self._replies[0].prompt_tokens,
            completion_tokens=sum(reply.completion_tokens for reply in self._replies),
        )

    def _timings(self) -> dict[str, float]:
        spent = dict(self._spent)
        spent["total"] = self._ms()
        spent["added"] = spent["total"] - spent.get("first", 0.0)
        return {name: round(value, 3) for name, value in spent.items()}

    def _add(self, name: str, began: float) -> None:
        took = 1000 * (time.perf_counter() - began)
        self._spent[name] = self._spent.get(name, 0.0) + took

    def _ms(self) -> float:
        return 1000 * (time.perf_counter() - self._began)

    def _left_s(self) -> float:
        """The time that the request still has, in seconds."""
        return max(0.0, self._parts.deadline_s - (time.perf_counter() - self._began))
