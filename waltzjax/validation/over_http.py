"""The checks of a running service, by its answers and reports alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from waltzjax.serve.records import Answer
from waltzjax.types import Prompt
from waltzjax.validation import load
from waltzjax.validation.checks import Figure, unmeasured
from waltzjax.validation.endpoint import Endpoint
from waltzjax.validation.flags_file import FlagsFile
from waltzjax.validation.served import replaced
from waltzjax.validation.switches import SWITCHES, switch_stages

SETTLE_S = 1.0  # until a changed file of flags is read; a service looks twice a second
NO_FLAGS = unmeasured(
    "a client cannot change a service's flags: give --flags_file, the file that the service reads "
    "(config.serve.flags_file), or --conversation, --feedback and --config, to check the guard of "
    "this installation with them"
)
NO_AGENTS = unmeasured(
    "a client cannot take a service's models away: give --conversation, --feedback and --config, "
    "to check the guard of this installation with them"
)


class Served(NamedTuple):
    """Answers by their prompts' numbers: as users get them, and the ``firsts`` in the place of
    those that were replaced, if flags could be changed; and what switching stages came to."""

    answers: dict[int, Answer]
    firsts: dict[int, Answer]
    switching: Figure


def requests_of(prompts: Mapping[int, Prompt], flags_file: str) -> int:
    """How many requests ``ask_service`` counts at least; first answers are not among them."""
    switches = len(SWITCHES) if flags_file else 0
    return len(load.first_wave(prompts)) + len(prompts) + switches


async def ask_service(
    endpoint: Endpoint,
    prompts: Mapping[int, Prompt],
    temperature: float | None,
    flags_file: str,
    on_answer: Callable[[], object],
) -> Served:
    """Send ``prompts``, as the service is set up or, with its ``flags_file``, as STRICT has it; the
    file is put back. ``temperature``: see ``Endpoint.responder``.

    Raises:
      OSError, ValueError: the service does not answer, or is none of ours.
    """
    try:
        respond = endpoint.responder(await endpoint.model(), temperature)
        with FlagsFile(Path(flags_file)) if flags_file else nullcontext() as flags:
            if flags:
                flags.set()
                await asyncio.sleep(SETTLE_S)
            await load.ask_all(respond, load.first_wave(prompts), on_answer)
            answers = await load.ask_all(respond, prompts, on_answer)
            if not flags:
                return Served(answers, {}, NO_FLAGS)
            flags.set(feedback_only=True, blocking=False)
            await asyncio.sleep(SETTLE_S)
            others = {number: prompts[number] for number in replaced(answers)}
            firsts = await load.ask_all(respond, others, lambda: None)
            asked = next(iter(prompts.values()))
            return Served(answers, firsts, await switch_stages(respond, flags, asked, on_answer))
    finally:
        await endpoint.aclose()
