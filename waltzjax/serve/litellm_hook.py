"""The guard as a guardrail of LiteLLM's proxy: one method, ``apply_guardrail``.

A proxy's own class joins the two, and its config names that class::

    class Waltz(GuardrailHook, CustomGuardrail):
        def __init__(self, **kwargs):
            CustomGuardrail.__init__(self, **kwargs)
            GuardrailHook.__init__(self, Guard(feedback="runs/two/feedback"))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from waltzjax.serve.guard import Guard
from waltzjax.serve.records import BLOCK, Report
from waltzjax.serve.review import SPEAKERS


class Blocked(Exception):
    """An exchange that the guard withholds. ``status_code`` and ``blocked_content`` are what
    LiteLLM reads of a guardrail's error."""

    status_code = 400
    blocked_content = True

    def __init__(self, report: Report):
        why = ", ".join(report.categories) or "unsafe"
        if report.failure:
            why = f"{report.failure.component} failed: {report.failure.reason}"
        super().__init__(f"withheld by the guard ({why})")
        self.report = report


class GuardrailHook:
    """LiteLLM's ``apply_guardrail`` over a ``Guard``."""

    def __init__(self, guard: Guard):
        self._guard = guard

    async def apply_guardrail(
        self,
        inputs: dict[str, Any],
        request_data: Mapping[str, Any],
        input_type: str,
        logging_obj: Any = None,
    ) -> dict[str, Any]:
        """``inputs`` as they are, where nothing is to be withheld.

        Args:
          inputs: "texts": of the request or of the response; "structured_messages": the request's.
          request_data: the request's body, "messages" among it.
          input_type: "request": the pattern rules look at the prompt; "response": the feedback
            agent reviews each text as an answer to the request.
          logging_obj: not read.

        Raises:
          Blocked: an exchange is to be withheld, and why.
          ValueError: the request holds no text of a user.
        """
        given = inputs.get("structured_messages") or request_data.get("messages") or ()
        messages = plain_messages(given)
        answers = [*inputs.get("texts", ())] if input_type == "response" else []
        user = str(request_data.get("user") or "")
        for exchange in _exchanges(messages, answers):
            report = await self._guard.acheck(exchange, user=user)
            if report.action == BLOCK:
                raise Blocked(report)
        return inputs


def _exchanges(
    messages: list[dict[str, str]], answers: Sequence[str]
) -> list[list[dict[str, str]]]:
    if not answers:
        return [messages]
    return [[*messages, {"role": "assistant", "content": text}] for text in answers]


def plain_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The texts of an OpenAI request's messages; images, tools' calls and their results, which no
    agent here reads, are left out."""
    plain = []
    for message in messages:
        role = {"developer": "system"}.get(message.get("role", ""), message.get("role", ""))
        text = _text(message.get("content"))
        if role in ("system", *SPEAKERS) and text:
            plain.append({"role": role, "content": text})
    return plain


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(p.get("text", "") for p in parts if p.get("type") == "text")
