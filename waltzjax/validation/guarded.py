"""The guard of ``waltzjax.serve`` around two agents, in this process: how it stands under load,
when its flags change, and without its feedback agent."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ml_collections import ConfigDict

from waltzjax.serve.records import (
    Agent,
    AgentBusy,
    AgentFailed,
    Answer,
    Ask,
    DeadlineExceeded,
)
from waltzjax.support import console
from waltzjax.types import CONVERSATION, FEEDBACK, Prompt
from waltzjax.validation import load
from waltzjax.validation.checks import Figure
from waltzjax.validation.flags_file import FlagsFile
from waltzjax.validation.load import Respond
from waltzjax.validation.switches import FALLBACKS, SWITCHES, fallback, switch_stages

if TYPE_CHECKING:
    from waltzjax.serve.guard import Guard

Agents = Mapping[str, str | Path | Agent]  # by role: a model's directory, or the agent itself


class Guarded(NamedTuple):
    """Figures by their checks' names, and the latency that was added to each request, ms."""

    figures: dict[str, Figure]
    added_ms: list[float]


def requests_of(prompts: Mapping[int, Prompt]) -> int:
    """How many requests ``guard_figures`` counts."""
    return len(load.first_wave(prompts)) + len(prompts) + len(SWITCHES) + FALLBACKS


async def guard_figures(
    config: ConfigDict,
    agents: Agents,
    prompts: Mapping[int, Prompt],
    asked: Prompt,
    on_answer: Callable[[], object],
) -> Guarded:
    """The operational checks of ``agents``, which are loaded here.

    Args:
      prompts: are sent under load; {}: then "blocking_rate" and "added_latency" are not measured.
      asked: is sent again and again while flags change, and to the guard without feedback agent.
      on_answer: is called at each step of the progress, ``requests_of`` times.

    Raises:
      OSError, ValueError: a request had no answer.
    """
    figures: dict[str, Figure] = {}
    added: list[float] = []
    with tempfile.TemporaryDirectory() as directory, FlagsFile(Path(directory) / "flags") as flags:
        flags.set()
        guard = open_guard(config, agents[CONVERSATION], agents[FEEDBACK], flags.path)
        with guard:
            respond = responder(guard, config)
            if prompts:
                await load.ask_all(respond, load.first_wave(prompts), on_answer)
                answers = await load.ask_all(respond, prompts, on_answer)
                figures["blocking_rate"] = load.blocking_rate(prompts, answers)
                figures["added_latency"] = load.added_latency([*answers.values()])
                added = load.added_ms([*answers.values()])
            figures["stage_switching"] = await switch_stages(respond, flags, asked, on_answer)
    figures["fallback"] = await fallback_figure(config, agents[CONVERSATION], asked, on_answer)
    return Guarded(figures, added)


async def fallback_figure(
    config: ConfigDict,
    conversation: str | Path | Agent,
    asked: Prompt,
    on_answer: Callable[[], object],
) -> Figure:
    """The check of a guard at stage 2 whose feedback agent is missing; ``on_answer`` is called
    FALLBACKS times. Raises as ``guard_figures``."""
    with tempfile.TemporaryDirectory() as directory, FlagsFile(Path(directory) / "flags") as flags:
        flags.set()
        console.say("a guard whose feedback agent is missing; its warning is wanted:")
        missing = Path(directory) / "no-feedback-agent"
        with open_guard(config, conversation, missing, flags.path) as guard:
            asks = dict.fromkeys(range(FALLBACKS), asked)
            answers = await load.ask_all(responder(guard, config), asks, on_answer)
            return fallback([*answers.values()], guard.status().degraded)


def open_guard(
    config: ConfigDict, conversation: str | Path | Agent, feedback: str | Path | Agent, flags: Path
) -> Guard:
    """A guard that reads the file ``flags``; variables of the environment do not count."""
    from waltzjax.serve.guard import Guard  # needs the extra serve, which playing does not

    config = ConfigDict(config.to_dict())
    config.serve.flags_file = str(flags)
    return Guard(conversation, feedback, config=config, environ={})


def responder(guard: Guard, config: ConfigDict) -> Respond:
    """How ``load.ask_all`` asks a guard; answers are drawn as an evaluation draws them."""
    rollout, temperature = config.rollout, config.eval.temperature

    async def respond(text: str, seed: int) -> Answer:
        ask = Ask(rollout.max_new_tokens, temperature, rollout.top_p, seed=seed)
        try:
            return await guard.arespond([{"role": "user", "content": text}], ask=ask)
        except (AgentBusy, AgentFailed, DeadlineExceeded) as error:
            raise OSError(f"request {seed}: the guard gave no answer: {error}") from error

    return respond
