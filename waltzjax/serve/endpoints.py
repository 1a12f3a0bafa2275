"""The endpoints: what each does with a request that was let in."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
import uuid
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Receive

from waltzjax.serve import sse
from waltzjax.serve.errors import GONE, UNAVAILABLE_S, RequestError, request_error
from waltzjax.serve.meters import Meters
from waltzjax.serve.parameters import Wanted, read_messages, read_request
from waltzjax.serve.records import Answer, Report
from waltzjax.serve.schema import (
    Agents,
    AnswerMessage,
    ChatRequest,
    CheckRequest,
    CheckResult,
    Choice,
    Completion,
    FlagsBody,
    Health,
    Model,
    ModelList,
    Ready,
    ReportBody,
)
from waltzjax.serve.service import GuardLike, Outcome, Settings, Traffic, exchange_of

T = TypeVar("T")
JSON = "application/json"
LOADING = "the agents are being loaded"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


@dataclasses.dataclass
class Service:
    """The parts that all endpoints share.

    loaded: the guard; None: its agents are still being loaded.
    created: when the service began, in Unix seconds.
    """

    loaded: GuardLike | None
    settings: Settings
    meters: Meters
    traffic: Traffic
    created: int

    @property
    def guard(self) -> GuardLike:
        """The guard.

        Raises:
          RequestError: 503, it is not there yet.
        """
        if self.loaded is None:
            raise RequestError(503, f"{LOADING}; ask again later", None, "loading", UNAVAILABLE_S)
        return self.loaded


def service_of(request: Request) -> Service:
    return request.app.state.service


async def chat(body: ChatRequest, request: Request) -> Response:
    """Answer a conversation."""
    service, exchange = service_of(request), exchange_of(request.scope)
    wanted = read_request(body, service.settings)
    exchange.user, exchange.messages = wanted.user, wanted.messages
    completion_id, created = f"chatcmpl-{uuid.uuid4().hex}", int(time.time())
    if wanted.streamed:
        response = await _stream(service, wanted, request, completion_id, created)
    else:
        with _guard_errors():
            answers = await unless_gone(request.receive, _answers(service.guard, wanted))
        for answer in answers:
            exchange.add(answer)
        response = _json(_completion(completion_id, created, service.settings.model_name, answers))
        response.headers.update(server_timing(answers[0].report))
    if wanted.ignored:
        response.headers["X-Waltzjax-Ignored"] = ", ".join(wanted.ignored[:10])
    return response


async def check(body: CheckRequest, request: Request) -> Response:
    """Judge an exchange; nothing is generated but a review."""
    service, exchange = service_of(request), exchange_of(request.scope)
    messages = read_messages(body.messages)
    exchange.user, exchange.messages = body.user or "", messages
    with _guard_errors():
        report = await unless_gone(
            request.receive, service.guard.acheck(messages, user=exchange.user)
        )
    exchange.outcomes.append(Outcome(report))
    shown = _report(report)
    result = CheckResult(
        id=f"check-{uuid.uuid4().hex}",
        labels=shown.labels,
        categories=shown.categories,
        action=shown.action,
        waltzjax=shown,
    )
    response = _json(result)
    response.headers.update(server_timing(report))
    return response


async def flags(request: Request) -> Response:
    """The flags that hold now."""
    now = service_of(request).guard.flags
    return _json(
        FlagsBody(
            enable=now.enable,
            stage=now.stage,
            rollout_pct=now.rollout_pct,
            blocking=now.blocking,
            feedback_only=now.feedback_only,
            policy=dict(now.policy),
        )
    )


async def models(request: Request) -> Response:
    """The one model that can be asked for, and the agents behind it."""
    return _json(ModelList(data=[_model(service_of(request))]))


async def model(name: str, request: Request) -> Response:
    """The model ``name``."""
    service = service_of(request)
    if name != service.settings.model_name:
        raise RequestError(
            404,
            f"there is no model {name[:80]!r}; allowed is {service.settings.model_name!r}",
            "model",
            "model_not_found",
        )
    return _json(_model(service))


async def health() -> Response:
    """The process lives."""
    return _json(Health())


async def ready(request: Request) -> Response:
    """Whether requests are answered: 503 until the agents are warm, and while the service ends."""
    service = service_of(request)
    draining = service.traffic.draining
    if service.loaded is None:
        loading = Ready(draining=draining, degraded=LOADING)
        return _json(loading, 503)
    now = service.loaded.status()
    body = Ready(
        ready=now.ready and not draining,
        draining=draining,
        stage=now.stage,
        degraded=now.degraded,
        breaker=now.breaker,
        active=now.active,
        waiting=now.waiting,
    )
    return _json(body, 200 if body.ready else 503)


async def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    service = service_of(request)
    page = service.meters.page(
        service.guard.status(), service.guard.flags, service.traffic.under_way
    )
    return Response(page, headers={"Content-Type": PROMETHEUS})


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which is cancelled when the client leaves.

    Raises:
      RequestError: 499, it left.
    """
    answer = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise RequestError(GONE, "the client left", None, "client_closed_request")
        return answer.result()
    finally:
        gone.cancel()
        if not answer.done():
            answer.cancel()
            await asyncio.wait({answer})  # what it holds is free before its place is


def server_timing(report: Report) -> dict[str, str]:
    """The header Server-Timing: the timings of a report, in milliseconds; {}: there are none."""
    timings = ", ".join(f"{name};dur={value:g}" for name, value in report.timings_ms.items())
    return {"Server-Timing": timings} if timings else {}


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _answers(guard: GuardLike, wanted: Wanted) -> list[Answer]:
    """An answer for each choice, drawn side by side; where one fails, so does the request."""
    if len(wanted.asks) == 1:
        return [await guard.arespond(wanted.messages, user=wanted.user, ask=wanted.asks[0])]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(guard.arespond(wanted.messages, user=wanted.user, ask=ask))
                for ask in wanted.asks
            ]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


async def _stream(
    service: Service, wanted: Wanted, request: Request, completion_id: str, created: int
) -> Response:
    """The response that streams; its status waits for the first news a little while."""
    news = sse.News(
        [
            service.guard.astream(wanted.messages, user=wanted.user, ask=ask, mode=wanted.mode)
            for ask in wanted.asks
        ]
    )
    try:
        await unless_gone(request.receive, news.begin(service.settings.commit_s))
    except BaseException:
        news.close()
        raise
    writer = sse.Writer(completion_id, created, service.settings.model_name, wanted.include_usage)
    stream = sse.events(
        news, len(wanted.asks), writer, wanted.include_usage, exchange_of(request.scope)
    )
    return sse.respond(stream, service.settings)


@contextlib.contextmanager
def _guard_errors() -> Iterator[None]:
    """A block in which what the guard raises becomes a refusal."""
    try:
        yield
    except Exception as error:  # a fault of our own is told, and answered with 500
        raise request_error(error) from error


def _completion(completion_id: str, created: int, name: str, answers: list[Answer]) -> Completion:
    choices = [
        Choice(
            index=index,
            message=AnswerMessage(content=answer.text),
            finish_reason=answer.finish_reason,
            waltzjax=_report(answer.report),
        )
        for index, answer in enumerate(answers)
    ]
    return Completion(
        id=completion_id,
        created=created,
        model=name,
        choices=choices,
        usage=sse.usage_of(answers),
        waltzjax=choices[0].waltzjax,
    )


def _report(report: Report) -> ReportBody:
    return ReportBody.model_validate(report.as_json())


def _model(service: Service) -> Model:
    names = [Path(name) for name in service.guard.status().models]
    agents = Agents(agents=[name.name if name.is_absolute() else str(name) for name in names])
    return Model(id=service.settings.model_name, created=service.created, waltzjax=agents)


def _json(body: BaseModel, status: int = 200) -> Response:
    return Response(body.model_dump_json(), status, media_type=JSON)
