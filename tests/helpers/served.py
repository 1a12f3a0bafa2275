"""Agents for tests of the service: their replies are scripts."""

import asyncio
import dataclasses
import json
from collections.abc import Callable, Sequence

from waltzjax.data.chat import AgentPrompt
from waltzjax.serve.breaker import Breaker
from waltzjax.serve.flow import Parts
from waltzjax.serve.records import Ask, Messages, Reply
from waltzjax.serve.reviewer import Reviewer

ASKING = AgentPrompt("You answer.", "{feedback}")
REVIEWING = AgentPrompt("You review.", "Request:\n{prompt}\n\nAnswer:\n{answer}")


def review(unsafe: bool = False, overrefuse: bool = False, feedback: str = "Mend it.") -> str:
    fields = {"reasoning": "r", "unsafe": unsafe, "overrefuse": overrefuse, "feedback": feedback}
    return json.dumps(fields)


FINE = review()


@dataclasses.dataclass
class Scripted:
    """An agent that says one line of ``script`` after another, the last one for ever; an exception
    is raised. It speaks ``step`` letters at a time, with ``pause_s`` before each."""

    script: Sequence[str | Exception] | Callable[[Messages], str]
    name: str = "scripted"
    pause_s: float = 0.0
    step: int = 8
    asked: list[Messages] = dataclasses.field(default_factory=list)
    asks: list[Ask] = dataclasses.field(default_factory=list)
    spoken: list[str] = dataclasses.field(default_factory=list)
    cancelled: int = 0

    async def reply(self, messages: Messages, ask: Ask) -> Reply:
        self.asked.append(messages)
        self.asks.append(ask)
        line = self._line(messages)
        if isinstance(line, Exception):
            raise line
        text = ""
        try:
            for start in range(0, len(line), self.step):
                await asyncio.sleep(self.pause_s)
                text = line[: start + self.step]
                if ask.on_text and ask.on_text(text):
                    break
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.spoken.append(text)
        return Reply(text, "stop", len(str(messages)), len(text))

    def _line(self, messages: Messages) -> str | Exception:
        if callable(self.script):
            return self.script(messages)
        return self.script[min(len(self.asked), len(self.script)) - 1]


def parts(conversation: Scripted, feedback: Scripted | None, **changes: object) -> Parts:
    """The parts of a service whose only pattern is the word "bomb", category "weapons"."""

    async def categories(asked: str, answered: str) -> tuple[str, ...]:
        return ("weapons",) if "bomb" in f"{asked} {answered}" else ()

    timeout_s = changes.pop("review_s", 2.0)
    reviewer = feedback and Reviewer(feedback, REVIEWING, Breaker(3, 60.0), 64, timeout_s)
    return dataclasses.replace(
        Parts(
            conversation=conversation,
            feedback=reviewer,
            missing="" if feedback else "no model of the feedback agent",
            prompt=ASKING,
            categories=categories,
            t_max=1,
            refusal="No.",
            deadline_s=5.0,
        ),
        **changes,
    )


def user(*texts: str) -> list[dict[str, str]]:
    """A conversation: the user's and the assistant's texts in turn."""
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
