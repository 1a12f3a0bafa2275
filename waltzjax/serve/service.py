"""The parts that all requests to the HTTP service share, and the record of one request."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple, Protocol

from waltzjax.serve.records import Answer, Ask, Delta, Messages, Report

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of the HTTP service; ``config.serve`` says what each is.

    max_new_tokens: the most that an answer may have, whatever a request asks for.
    body_s: seconds within which a request's body has to be there; later: 408.
    ping_s: seconds between two comments of a stream that has nothing to tell.
    commit_s: seconds for which a stream waits for its first news. What fails until then is told by
      the response's status, later by an event.
    send_s: seconds in which a client has to take the next piece of a stream.
    """

    model_name: str = "waltzrl"
    host: str = "127.0.0.1"
    max_requests: int = 256
    max_body_bytes: int = 1_048_576
    max_messages: int = 128
    max_new_tokens: int = 512
    temperature: float = 1.0
    top_p: float = 1.0
    speculative: bool = False
    cors: tuple[str, ...] = ()
    audit: str = ""
    audit_text: bool = False
    body_s: float = 10.0
    ping_s: float = 5.0
    commit_s: float = 1.0
    send_s: float = 30.0

    @property
    def on_loopback(self) -> bool:
        return self.host in LOOPBACK


class StatusLike(Protocol):
    """How a guard stands; ``guard.Status`` says what each field is."""

    @property
    def ready(self) -> bool: ...
    @property
    def stage(self) -> int: ...
    @property
    def degraded(self) -> str: ...
    @property
    def models(self) -> tuple[str, ...]: ...
    @property
    def active(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def breaker(self) -> str: ...


class FlagsLike(Protocol):
    """A guard's flags; ``flags.Flags`` says what each is."""

    @property
    def enable(self) -> bool: ...
    @property
    def stage(self) -> int: ...
    @property
    def rollout_pct(self) -> int: ...
    @property
    def blocking(self) -> bool: ...
    @property
    def feedback_only(self) -> bool: ...
    @property
    def policy(self) -> Mapping[str, str]: ...


class GuardLike(Protocol):
    """The calls of ``guard.Guard`` that the HTTP service makes."""

    @property
    def flags(self) -> FlagsLike: ...
    def status(self) -> StatusLike: ...
    async def arespond(self, messages: Messages, *, user: str, ask: Ask) -> Answer: ...
    async def acheck(self, messages: Messages, *, user: str) -> Report: ...
    def astream(
        self, messages: Messages, *, user: str, ask: Ask, mode: str
    ) -> AsyncIterator[Delta]: ...
    def close(self, drain_s: float = 0.0) -> None: ...


@dataclasses.dataclass
class Traffic:
    """How many requests are under way, and whether the service is about to end."""

    under_way: int = 0
    draining: bool = False


class Outcome(NamedTuple):
    """What the guard did to one exchange of a request; text None: it generated nothing."""

    report: Report
    text: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclasses.dataclass
class Exchange:
    """One HTTP request as meters and the audit see it.

    status: of the response; 0: none has begun; 499: the client left.
    error: the code of the error that was answered; "": none.
    key: hash of the API key; "": none was needed.
    """

    request_id: str
    method: str
    path: str
    began: float = dataclasses.field(default_factory=time.monotonic)
    status: int = 0
    error: str = ""
    key: str = ""
    user: str = ""
    messages: Messages = ()
    outcomes: list[Outcome] = dataclasses.field(default_factory=list)

    def add(self, answer: Answer) -> None:
        """Note an answer that was given out."""
        self.outcomes.append(
            Outcome(answer.report, answer.text, answer.prompt_tokens, answer.completion_tokens)
        )

    @property
    def took_s(self) -> float:
        return time.monotonic() - self.began


def exchange_of(scope: Mapping[str, Any]) -> Exchange:
    """The record of the request with this ASGI scope."""
    return scope["state"]["exchange"]
