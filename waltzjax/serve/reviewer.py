"""The feedback agent as a service asks it: within a time, and not while it keeps failing."""

from __future__ import annotations

import asyncio
import dataclasses
import time

from waltzjax.data.chat import AgentPrompt
from waltzjax.serve.breaker import Breaker
from waltzjax.serve.records import (
    Agent,
    AgentBusy,
    AgentFailed,
    Ask,
    Messages,
    PromptTooLong,
    Reply,
)
from waltzjax.serve.review import Review, content_with, read_review, review_messages


class Unreviewed(Exception):
    """A review that was not to be had; the text says why, for people."""


@dataclasses.dataclass(frozen=True)
class Reviewer:
    """The feedback agent, and how it is asked.

    prompt: what it is shown.
    breaker: whether it is asked at all.
    max_tokens: of a review.
    timeout_s: of a review.
    """

    agent: Agent
    prompt: AgentPrompt
    breaker: Breaker
    max_tokens: int
    timeout_s: float

    async def review(self, messages: Messages, answer: str, left_s: float) -> Review:
        """The review of an answer to ``messages``, from a request that has ``left_s`` seconds more.

        Only what is the agent's own fault counts against it: no full queue, no late request, no
        text that does not fit, no client that leaves.

        Raises:
          Unreviewed.
        """
        if not self.breaker.allow():
            raise Unreviewed("the feedback agent has failed again and again, and is not asked")
        began, verdict = time.monotonic(), self.breaker.abandoned
        try:
            async with asyncio.timeout(min(self.timeout_s, left_s)):
                reply = await self._ask(messages, answer)
            verdict = self.breaker.succeeded
        except AgentFailed as error:
            verdict = self.breaker.failed
            raise Unreviewed(str(error)) from error
        except AgentBusy as error:
            raise Unreviewed(f"the feedback agent: {error}") from error
        except TimeoutError:
            if time.monotonic() - began >= self.timeout_s:
                verdict = self.breaker.failed
            raise Unreviewed("no review in time (config.serve.feedback_timeout_s)") from None
        except PromptTooLong as error:
            verdict = self.breaker.succeeded
            raise Unreviewed(f"the exchange does not fit the feedback agent: {error}") from error
        finally:
            verdict()
        review = read_review(reply.text)
        if review is None:
            raise Unreviewed("the review cannot be read: it is not the JSON object asked for")
        return review

    async def _ask(self, messages: Messages, answer: str) -> Reply:
        """The review's text: of the whole conversation or, where that does not fit the agent, of
        its last exchange."""
        ask = Ask(self.max_tokens, on_text=content_with)
        shown = review_messages(self.prompt, messages, answer)
        try:
            return await self.agent.reply(shown, ask)
        except PromptTooLong:
            last = [m for m in messages if m["role"] == "user"][-1:]
            shorter = review_messages(self.prompt, last, answer)
            if shorter == shown:
                raise
            return await self.agent.reply(shorter, ask)
