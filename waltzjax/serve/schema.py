"""Requests and responses, in the form of OpenAI's chat completions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    WithJsonSchema,
    model_validator,
)

from waltzjax.types import LEAST_MASS

MOST_CHOICES = 8
MOST_STOPS = 4
FINISH_REASONS = ["stop", "length", "content_filter"]
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_PART = {
    "type": "object",
    "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
    "required": ["type", "text"],
}
_CONTENT = {"anyOf": [{"type": "string"}, {"type": "array", "items": _PART}, {"type": "null"}]}

_STOP_TEXT = {"type": "string", "minLength": 1}
_STOP = {"anyOf": [_STOP_TEXT, {"type": "array", "items": _STOP_TEXT, "maxItems": MOST_STOPS}]}


def text_of(content: object) -> str | None:
    """The text of a message's content: a text, or a list of {"type": "text", "text": ...}."""
    if content is None:
        return None
    if isinstance(content, list):
        content = "".join(map(_part_text, content))
    if not isinstance(content, str):
        raise ValueError("a text or a list of parts of the type 'text' is allowed")
    plain(content)
    return content


def _part_text(part: object) -> str:
    if not isinstance(part, dict) or part.get("type") != "text":
        kind = part.get("type") if isinstance(part, dict) else None
        got = repr(kind[:40]) if isinstance(kind, str) else "no text"
        raise ValueError(f"the type of a part is {got}; 'text' is allowed")
    if not isinstance(part.get("text"), str):
        raise ValueError("the part has no text")
    return part["text"]


def plain(text: object) -> object:
    """``text``, which must not hold the character NUL."""
    if isinstance(text, str) and "\0" in text:
        raise ValueError("the character NUL is not allowed")
    return text


def stops_of(stop: object) -> object:
    """The texts at which an answer ends: one, or a list of at most ``MOST_STOPS``."""
    stops = [stop] if isinstance(stop, str) else stop
    if isinstance(stops, list) and len(stops) > MOST_STOPS:
        raise ValueError(f"got {len(stops)} texts, allowed are {MOST_STOPS}")
    if not isinstance(stops, list) or not all(isinstance(s, str) and s for s in stops):
        raise ValueError("a text or a list of texts is allowed, none of them empty")
    return [plain(text) for text in stops]


class Given(BaseModel):
    """A request's object: types are strict, what is not known stays for who looks at it. Nothing in
    it may cost more than one error: a body has room for hundreds of thousands."""

    model_config = ConfigDict(strict=True, extra="allow")


class Message(Given):
    """content None: allowed of the assistant alone, who may have a ``refusal`` in its place."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str | None, BeforeValidator(text_of), WithJsonSchema(_CONTENT)] = None
    refusal: Annotated[str | None, BeforeValidator(plain)] = None


class StreamOptions(Given):
    include_usage: bool | None = None


class Extension(Given):
    """How a stream begins: see Streaming in the README."""

    model_config = ConfigDict(strict=True, extra="forbid")
    stream: Literal["hold", "speculative"] = "hold"

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: object) -> object:
        if isinstance(value, dict):
            for name in value:
                if name not in cls.model_fields:
                    allowed = ", ".join(map(repr, cls.model_fields))
                    raise ValueError(f"got the key {name[:40]!r}, allowed is {allowed}")
        return value


Text = Annotated[str, BeforeValidator(plain)]
Messages = Annotated[list[Message], Field(min_length=1), FailFast()]


class ChatRequest(Given):
    """A request for an answer. Parameters that are not listed here are refused where they would
    change the answer and cannot be honoured, else ignored."""

    model: str
    messages: Messages
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=LEAST_MASS, le=1)] | None = None
    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] | None = None
    stop: Annotated[list[str], BeforeValidator(stops_of), WithJsonSchema(_STOP)] | None = None
    seed: int | None = None
    user: Text | None = None
    safety_identifier: Text | None = None
    waltzjax: Extension | None = None


class CheckRequest(Given):
    """An exchange to be judged: the last message is the assistant's; where it is the user's, the
    pattern rules look at the prompt alone."""

    messages: Messages
    user: Text | None = None


class Told(BaseModel):
    """A response's object, whose fields another version may add to."""

    model_config = ConfigDict(extra="allow")


class LabelsBody(BaseModel):
    unsafe: bool
    overrefuse: bool


class FailureBody(BaseModel):
    component: str
    reason: str
    policy: Literal["open", "closed"]
    category: str


class ReportBody(Told):
    """What the guard did: ``records.Report``."""

    stage: int
    triggered: bool
    labels: LabelsBody | None
    categories: list[str]
    action: Literal["pass", "flag", "block"]
    revised: bool
    rounds: int
    failure: FailureBody | None
    timings_ms: dict[str, float]


class AnswerMessage(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class Choice(BaseModel):
    index: int
    message: AnswerMessage
    finish_reason: Annotated[str, Field(json_schema_extra={"enum": FINISH_REASONS})]
    logprobs: None = None
    waltzjax: ReportBody


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(BaseModel):
    """An answer; ``waltzjax`` is the first choice's."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    waltzjax: ReportBody


class CheckResult(BaseModel):
    id: str
    object: Literal["guard.check"] = "guard.check"
    labels: LabelsBody | None
    categories: list[str]
    action: Literal["pass", "flag", "block"]
    waltzjax: ReportBody


class Agents(BaseModel):
    agents: list[str]


class Model(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "waltzjax"
    waltzjax: Agents


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


class FlagsBody(BaseModel):
    enable: bool
    stage: int
    rollout_pct: int
    blocking: bool
    feedback_only: bool
    policy: dict[str, str]  # category -> "block" | "flag"


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """How the service stands: ``guard.Status``; draining: it is about to end."""

    ready: bool = False
    draining: bool
    stage: int = 0
    degraded: str
    breaker: str = "closed"
    active: int = 0
    waiting: int = 0


class ErrorDetail(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    error: ErrorDetail


class Chunk(BaseModel):
    """A piece of a streamed answer."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: Usage | None = None
    waltzjax: dict[str, Any] | None = None
