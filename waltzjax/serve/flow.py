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
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import NamedTuple

from waltzjax.data.chat import AgentPrompt
from waltzjax.serve.flags import Flags
from waltzjax.serve.records import (
    AGENTS,
    BLOCK,
    CLOSED,
    FLAG,
    NO_CATEGORY,
    OFF,
    OPEN,
    PASS,
    PATTERNS,
    UNSAFE,
    Agent,
    AgentBusy,
    AgentFailed,
    Answer,
    Ask,
    DeadlineExceeded,
    Failure,
    Labels,
    Messages,
    Reply,
    Report,
)
from waltzjax.serve.review import conversation_messages
from waltzjax.serve.reviewer import Reviewer, Unreviewed

WITHHELD = "content_filter"


@dataclasses.dataclass(frozen=True)
class Parts:
    """The parts that all requests share.

    feedback: None: stage 2 cannot be, for the reason ``missing``.
    prompt: what the conversation agent is shown besides the conversation.
    categories: (prompt, answer) -> the categories of the pattern rules that match either;
      RuntimeError: that cannot be said.
    t_max: answers that are revised, at most.
    refusal: takes the place of an answer that is withheld.
    deadline_s: of a request.
    """

    conversation: Agent
    feedback: Reviewer | None
    missing: str
    prompt: AgentPrompt
    categories: Callable[[str, str], Awaitable[tuple[str, ...]]]
    t_max: int
    refusal: str
    deadline_s: float


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
    first: Callable[[str], None] | None = None,
) -> Answer:
    """The answer to ``messages``, whose last one is the user's.

    ask: whose ``on_text`` is not called: an answer ends by itself.
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
        self._parts, self._flags, self._messages = parts, flags, messages
        self._ask = dataclasses.replace(ask, on_text=None)
        self._stage = flags.stage_of(user)
        self._began = time.perf_counter()
        self._spent: dict[str, float] = {}  # ms
        self._replies: list[Reply] = []

    async def answer(self, first: Callable[[str], None] | None) -> Answer:
        ask = dataclasses.replace(self._ask, on_text=_teller(first)) if first else self._ask
        try:
            with self._timed("first"):
                reply = await self._speak((), ask)
        except TimeoutError:
            raise DeadlineExceeded(self._parts.deadline_s) from None
        return self._sealed(await self._guarded(reply, self._parts.t_max))

    async def check(self, reply: str | None) -> Report:
        if reply is None:
            return Report(OFF) if self._stage == OFF else await self._by_patterns("")
        draft = await self._guarded(Reply(reply, "stop", 0, 0), 0)
        return dataclasses.replace(draft.report, timings_ms=self._timings())

    async def _guarded(self, reply: Reply, most: int) -> Draft:
        """The reply, revised ``most`` times at most."""
        if self._stage == OFF:
            return Draft(reply, Report(OFF))
        if self._stage == PATTERNS:
            return Draft(reply, await self._by_patterns(reply.text))
        if self._parts.feedback is None:
            report = Report(AGENTS, categories=await self._categories(reply.text))
            return Draft(reply, self._failed(report, "models", self._parts.missing))
        most = 0 if self._flags.feedback_only else most
        return await self._by_agents(self._parts.feedback, reply, most)

    async def _by_patterns(self, text: str) -> Report:
        try:
            categories = await self._matches(text)
        except RuntimeError as error:  # any category may be in the text
            closed = self._flags.blocking or BLOCK in self._flags.policy.values()
            policy = CLOSED if closed else OPEN
            failure = Failure("patterns", str(error), policy, NO_CATEGORY)
            return Report(PATTERNS, action=BLOCK if closed else PASS, failure=failure)
        return Report(PATTERNS, categories=categories, action=self._flags.action(categories))

    async def _by_agents(self, feedback: Reviewer, reply: Reply, most: int) -> Draft:
        """Reviews and revisions, until a review asks for nothing or ``most`` is reached. Where the
        last answer would be withheld if it were called unsafe, it is reviewed too."""
        report, history = Report(AGENTS), list[tuple[str, str]]()
        while True:
            categories = await self._categories(reply.text)
            report = dataclasses.replace(report, categories=categories, revised=bool(history))
            withhold = self._flags.action((UNSAFE, *categories)) == BLOCK
            if history and len(history) >= most and not withhold:
                return Draft(reply, report)
            try:
                with self._timed("feedback"):
                    review = await feedback.review(self._messages, reply.text, self._left_s())
            except Unreviewed as why:
                return Draft(reply, self._unreviewed(report, why))
            report = _reviewed(report, review.labels)
            if not review.labels.objects:
                return Draft(reply, report)
            if len(history) >= most:
                return Draft(reply, self._unresolved(report, review.labels))
            history.append((reply.text, review.feedback))
            try:
                with self._timed("revision"):
                    ask = dataclasses.replace(self._ask, admitted=True)
                    reply = await self._speak(history, ask)
            except (AgentFailed, AgentBusy, ValueError, TimeoutError) as error:
                return Draft(reply, self._unrevised(report, review.labels, error))

    def _unresolved(self, report: Report, labels: Labels) -> Report:
        """An answer that stays although the feedback agent objects."""
        action = FLAG
        if labels.unsafe:
            action = self._flags.action((UNSAFE, *report.categories))
        return dataclasses.replace(report, action=action)

    def _unrevised(self, report: Report, labels: Labels, error: Exception) -> Report:
        """An answer that stays because the conversation agent could not mend it."""
        report = self._unresolved(report, labels)
        policy = CLOSED if report.action == BLOCK else OPEN
        reason = f"the answer was not revised: {error or 'the deadline has passed'}"
        category = UNSAFE if labels.unsafe else NO_CATEGORY
        failure = Failure("conversation", reason, policy, category)
        return dataclasses.replace(report, failure=failure)

    def _unreviewed(self, report: Report, why: Unreviewed) -> Report:
        """Stage 1's decision, where a review has failed. Where unsafe answers are to be withheld,
        nobody gets one out by making its review fail, nor an answer in the place of one."""
        report = self._failed(report, "feedback", str(why))
        withheld = self._flags.policy.get(UNSAFE) == BLOCK
        suspect = why.by_user or (report.labels is not None and report.labels.unsafe)
        if suspect and self._flags.action((UNSAFE,)) == BLOCK:
            withheld = True
        if not withheld or NO_CATEGORY in self._flags.policy or report.action == BLOCK:
            return report
        failure = Failure("feedback", str(why), CLOSED, UNSAFE)
        return dataclasses.replace(report, action=BLOCK, failure=failure)

    def _failed(self, report: Report, component: str, reason: str) -> Report:
        """Stage 1's decision, where stage 2 has failed: a category that is to be blocked fails
        closed, one that is to be flagged fails open."""
        policy, category = self._flags.on_failure(report.categories)
        action = BLOCK if policy == CLOSED else FLAG if report.categories else PASS
        failure = Failure(component, reason, policy, category)
        return dataclasses.replace(report, stage=PATTERNS, action=action, failure=failure)

    async def _categories(self, text: str) -> tuple[str, ...]:
        """Of stage 2, where the rules only say how a failure is met; (): that cannot be said."""
        try:
            return await self._matches(text)
        except RuntimeError:
            return ()

    async def _matches(self, text: str) -> tuple[str, ...]:
        asked = "\n".join(m["content"] for m in self._messages if m["role"] == "user")
        return await self._parts.categories(asked, text)

    async def _speak(self, history: Sequence[tuple[str, str]], ask: Ask) -> Reply:
        """The conversation agent's next answer; TimeoutError: the deadline has passed."""
        shown = conversation_messages(self._parts.prompt, self._messages, history)
        async with asyncio.timeout(self._left_s()):
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
        total = 1000 * (time.perf_counter() - self._began)
        spent = {**self._spent, "total": total, "added": total - self._spent.get("first", 0.0)}
        return {name: round(value, 3) for name, value in spent.items()}

    @contextlib.contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        """A block whose time is counted under ``name``."""
        began = time.perf_counter()
        try:
            yield
        finally:
            took = 1000 * (time.perf_counter() - began)
            self._spent[name] = self._spent.get(name, 0.0) + took

    def _left_s(self) -> float:
        """The time that the request still has, in seconds."""
        return max(0.0, self._parts.deadline_s - (time.perf_counter() - self._began))


def _teller(first: Callable[[str], None]) -> Callable[[str], bool]:
    def grown(text: str) -> bool:
        first(text)
        return False

    return grown


def _reviewed(report: Report, labels: Labels) -> Report:
    """The report after one more review; what it says of labels is the first one's."""
    rounds = report.rounds + 1
    if report.rounds:
        return dataclasses.replace(report, rounds=rounds)
    return dataclasses.replace(report, rounds=rounds, triggered=labels.objects, labels=labels)
