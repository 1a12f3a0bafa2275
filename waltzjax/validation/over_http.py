"""The checks of a running service, by its answers and reports alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from waltzjax.serve.records import Answer
from waltzjax.types import Prompt
from waltzjax.validation import load
from waltzjax.validation.checks import Figure, unmeasured
from waltzjax.validation.endpoint import Endpoint
from waltzjax.validation.flags_file import REVISING, STRICT, FlagsFile
from waltzjax.validation.served import revised, withheld
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
    """Answers by their prompts' numbers, and what switching stages came to.

    answers: what the agents say; without a file of flags, what users get.
    firsts: the first answers in the place of those that were revised, if flags could be changed.
    loaded: what users get of the strictest service.
    flags: that held for ``answers``, and for ``loaded``; {}: as the service is set up.
    retried: see ``Endpoint``.
    """

    answers: dict[int, Answer]
    firsts: dict[int, Answer]
    loaded: dict[int, Answer]
    switching: Figure
    flags: dict[str, dict[str, Any]]
    retried: Mapping[int, int] = {}


def requests_of(prompts: Mapping[int, Prompt], flags_file: str) -> int:
    """How many requests ``ask_service`` counts at least; first answers are not among them."""
    by_flags = len(load.under_load(prompts)) + len(SWITCHES) if flags_file else 0
    return len(load.first_wave(prompts)) + len(prompts) + by_flags


async def ask_service(
    endpoint: Endpoint,
    prompts: Mapping[int, Prompt],
    temperature: float | None,
    flags_file: str,
    on_answer: Callable[[], object],
) -> Served:
    """Send ``prompts``, as the service is set up; or, with its ``flags_file``, under STRICT for
    what it withholds, and under REVISING for what its agents say; the file is put back.
    ``temperature``: see ``Endpoint.responder``.

    Raises:
      OSError, ValueError: the service does not answer, or is none of ours.
    """
    try:
        respond = endpoint.responder(await endpoint.model(), temperature)
        if flags_file:
            with FlagsFile(Path(flags_file)) as flags:
                served = await _by_flags(respond, flags, prompts, on_answer)
                return served._replace(retried=endpoint.retried)
        await load.ask_all(respond, load.first_wave(prompts), on_answer)
        answers = await load.ask_all(respond, prompts, on_answer)
        return Served(answers, {}, answers, NO_FLAGS, {}, endpoint.retried)
    finally:
        await endpoint.aclose()


async def _by_flags(
    respond: load.Respond,
    flags: FlagsFile,
    prompts: Mapping[int, Prompt],
    on_answer: Callable[[], object],
) -> Served:
    await _settled(flags, STRICT)
    await load.ask_all(respond, load.first_wave(prompts), on_answer)
    loaded = await load.ask_all(respond, load.under_load(prompts), on_answer)
    await _settled(flags, REVISING)
    answers = await load.ask_all(respond, prompts, on_answer)
    await _settled(flags, {**REVISING, "feedback_only": True})
    others = {number: prompts[number] for number in revised(answers)}
    again = await load.ask_all(respond, others, lambda: None)
    changed = {*revised(again), *withheld(again)}  # by a service that does not read this file
    firsts = {number: a for number, a in again.items() if number not in changed}
    asked = next(iter(prompts.values()))
    switching = await switch_stages(respond, flags, asked, on_answer)
    return Served(answers, firsts, loaded, switching, {"agents": REVISING, "guard": STRICT})


async def _settled(flags: FlagsFile, wanted: Mapping[str, Any]) -> None:
    flags.set(**wanted)
    await asyncio.sleep(SETTLE_S)
