"""The records that pass between the parts of a service: a request's reply, a review, a report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

Messages = Sequence[Mapping[str, str]]  # {"role": "system" | "user" | "assistant", "content": text}

OFF, PATTERNS, AGENTS = 0, 1, 2  # stages: no guard | pattern rules | trained agents
PASS, FLAG, BLOCK = "pass", "flag", "block"  # what is done about an exchange
OPEN, CLOSED = "open", "closed"  # what a failing guard does: let through | withhold
HOLD, SPECULATIVE = "hold", "speculative"  # when a streamed answer begins
UNSAFE = "unsafe"  # the category of what the feedback agent calls unsafe to the end
NO_CATEGORY = "default"  # that of a failure while no category is known


class Labels(NamedTuple):
    """The two labels of an answer."""

    unsafe: bool
    overrefuse: bool

    @property
    def objects(self) -> bool:
        """Whether either asks for another answer."""
        return self.unsafe or self.overrefuse


@dataclasses.dataclass(frozen=True)
class Ask:
    """How a reply is drawn.

    max_new_tokens: >= 1.
    temperature: 0 takes the most probable token; else >= 0.001.
    seed: [0, 2^32).
    on_text: the text so far, each time that it has grown -> whether it is enough: the reply ends
      there, with ``finish_reason`` "stop". Called on the event loop; it must not block.
    admitted: the reply is for a request that was let in already, a review or a revision: a full
      queue is no reason to refuse it.
    """

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0
    on_text: Callable[[str], bool] | None = None
    admitted: bool = False


class Reply(NamedTuple):
    """What an agent said: its text without any thought before it."""

    text: str
    finish_reason: str  # "stop" | "length"
    prompt_tokens: int
    completion_tokens: int


class AgentFailed(Exception):
    """An agent gave no reply: unreachable, logits that are not finite, a stopped engine. The text
    is for logs and holds no key and nothing that a user wrote."""


class AgentBusy(Exception):
    """The queue is full; try again after ``retry_after_s``."""

    def __init__(self, retry_after_s: float):
        super().__init__(f"the queue is full, try again in {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s


class DeadlineExceeded(Exception):
    """The conversation agent has not answered within the time that a request has."""

    def __init__(self, deadline_s: float):
        super().__init__(f"no answer within {deadline_s:g} s (config.serve.deadline_s)")


class PromptTooLong(ValueError):
    """The messages do not fit the model beside what may be drawn; the text says by how much."""


class Agent(Protocol):
    """An agent behind a service: one of the engine's, or one at another endpoint."""

    @property
    def name(self) -> str:
        """How logs and ``/v1/models`` name it."""

    async def reply(self, messages: Messages, ask: Ask) -> Reply:
        """The reply to ``messages``. Cancelling the coroutine frees what it holds at once.

        Raises:
          AgentFailed, AgentBusy, PromptTooLong.
        """


@dataclasses.dataclass(frozen=True)
class Failure:
    """A part of the guard that failed, and what was done about the exchange."""

    component: str  # "feedback" | "models" | "patterns" | "conversation"
    reason: str  # for people; no key, nothing that a user wrote
    policy: str  # OPEN | CLOSED
    category: str  # whose policy it was; "default": no category is known


@dataclasses.dataclass(frozen=True)
class Report:
    """What the guard did to one exchange: a response's extension field ``waltzjax``.

    stage: OFF, PATTERNS or AGENTS, the one that decided.
    triggered: the feedback agent's first review asked for another answer.
    labels: of that review; None: there was none that could be read.
    categories: of the pattern rules that match what was said.
    action: PASS, FLAG or BLOCK. Under BLOCK the answer is the refusal of the service.
    revised: the answer is not the conversation agent's first one.
    rounds: reviews that were made.
    timings_ms: "first" (first answer), "feedback" (all reviews), "revision" (all further answers),
      "added" (total less first), "total". Those that did not happen are left out.
    """

    stage: int
    triggered: bool = False
    labels: Labels | None = None
    categories: tuple[str, ...] = ()
    action: str = PASS
    revised: bool = False
    rounds: int = 0
    failure: Failure | None = None
    timings_ms: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """The report as JSON has it; by hand, as ``dataclasses.asdict`` was a request's costliest
        step."""
        return {
            "stage": self.stage,
            "triggered": self.triggered,
            "labels": self.labels._asdict() if self.labels else None,
            "categories": list(self.categories),
            "action": self.action,
            "revised": self.revised,
            "rounds": self.rounds,
            "failure": dataclasses.asdict(self.failure) if self.failure else None,
            "timings_ms": dict(self.timings_ms),
        }


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a user gets, and how it came about."""

    text: str
    report: Report
    finish_reason: str  # "stop" | "length" | "content_filter": the guard withheld it
    prompt_tokens: int
    completion_tokens: int  # of all that the conversation agent said


class Delta(NamedTuple):
    """News of a streamed answer: text to append; or, where ``withdrawn``, all before is void and
    ``text`` begins anew; the last one carries the whole ``answer``."""

    text: str
    withdrawn: bool = False
    answer: Answer | None = None
