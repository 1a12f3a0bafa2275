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
)
from waltzjax.serve.review import Review, content_with, read_review, review_messages

FAIR = 0.5  # part of its time after which an agent that has not answered is to blame


class Unreviewed(Exception):
    """A review that was not to be had; the text says why, for people. ``by_user``: what a user
    sends, or how much of it, can be the cause."""

    def __init__(self, why: str, *, by_user: bool):
        super().__init__(why)
        self.by_user = by_user


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
            raise Unreviewed("the feedback agent keeps failing, and is not asked", by_user=False)
        began, verdict = time.monotonic(), self.breaker.abandoned
        shown = review_messages(self.prompt, messages, answer)
        ask = Ask(self.max_tokens, on_text=content_with, admitted=True)
        try:
            async with asyncio.timeout(min(self.timeout_s, left_s)):
                reply = await self.agent.reply(shown, ask)
            verdict = self.breaker.succeeded
        except AgentBusy as error:
            raise Unreviewed(f"the feedback agent: {error}", by_user=True) from error
        except TimeoutError:
            # A request that comes late leaves the agent too little time to blame it.
            if time.monotonic() - began >= FAIR * self.timeout_s:
                verdict = self.breaker.failed
            why = "no review in time (config.serve.feedback_timeout_s)"
            raise Unreviewed(why, by_user=True) from None
        except PromptTooLong as error:
            verdict = self.breaker.succeeded
            why = f"the exchange does not fit the feedback agent: {error}"
            raise Unreviewed(why, by_user=True) from error
        except (AgentFailed, ValueError) as error:
            verdict = self.breaker.failed
            raise Unreviewed(f"the feedback agent: {error}", by_user=False) from error
        finally:
            verdict()
        review = read_review(reply.text)
        if review is None:
            why = "the review cannot be read: it is not the JSON object asked for"
            raise Unreviewed(why, by_user=True)
        return review
