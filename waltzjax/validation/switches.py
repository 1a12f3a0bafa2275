"""The operational checks: flags that change the stage, and stage 1 where stage 2 cannot be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from waltzjax.serve.records import AGENTS, OFF, PATTERNS, Answer, Report
from waltzjax.types import Prompt
from waltzjax.validation.checks import Figure
from waltzjax.validation.flags_file import FlagsFile
from waltzjax.validation.load import Respond

# Flags, and the stage that is to decide the next request: rules, agents, nobody, agents again.
SWITCHES: tuple[tuple[dict[str, Any], int], ...] = (
    ({"stage": 1}, PATTERNS), ({"stage": 2}, AGENTS), ({"enable": False}, OFF), ({}, AGENTS),
)  # fmt: skip
FALLBACKS = 4  # requests to a guard without its feedback agent
EFFECT_S = 5.0  # within which a change takes effect; a service looks twice a second [ours]
LOOK_S = 0.2


async def switch_stages(
    respond: Respond, flags: FlagsFile, prompt: Prompt, on_switch: Callable[[], object]
) -> Figure:
    """The share of SWITCHES after which the very request is decided by the stage that the flags
    ask for, without a restart; which were not is in ``why``."""
    missed = []
    for changes, stage in SWITCHES:
        flags.set(**changes)
        report = await _decided_by(respond, prompt, stage)
        if not _by_flags(report, stage):
            reason = f" ({report.failure.reason})" if report.failure else ""
            flag = changes or "all flags as they were"
            missed.append(f"{flag}: stage {report.stage} decided{reason}")
        on_switch()
    share = 1 - len(missed) / len(SWITCHES)
    why = f"no effect within {EFFECT_S:g} s of {'; '.join(missed)}" if missed else ""
    return Figure(share, len(SWITCHES), why=why)


async def _decided_by(respond: Respond, prompt: Prompt, stage: int) -> Report:
    """The report on ``prompt``: asked until ``stage`` decides, for EFFECT_S seconds, or until the
    agents that are to decide fail, which waiting does not mend."""
    ends = time.monotonic() + EFFECT_S
    while True:
        report = (await respond(prompt.text, 0)).report
        failing = stage == AGENTS and report.failure is not None
        if _by_flags(report, stage) or failing or time.monotonic() > ends:
            return report
        await asyncio.sleep(LOOK_S)


def _by_flags(report: Report, stage: int) -> bool:
    """Whether ``stage`` decided as the flags ask for, not in the place of one that failed."""
    return report.stage == stage and report.failure is None


def fallback(answers: Sequence[Answer], degraded: str) -> Figure:
    """The share of ``answers`` of a guard without stage-2 models that stage 1 decided and whose
    report states the failure; ``degraded``: what that guard's status says is missing."""
    right = sum(
        a.report.stage == PATTERNS and a.report.failure is not None and bool(a.text)
        for a in answers
    )
    share, why = right / len(answers), ""
    if share < 1:
        why = f"{len(answers) - right} of {len(answers)} answers are not stage 1's, or hide it"
    elif not degraded:
        share, why = 0.0, "the guard's status does not say which stage-2 model is missing"
    return Figure(share, len(answers), why=why)
