"""The eleven checks of a run, of two agents, or of a running service: measured and decided."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from waltzjax.config.defaults import default
from waltzjax.judge.patterns.rules import import_re2
from waltzjax.model import sharding
from waltzjax.model.hf import config as hf_config
from waltzjax.run.recorded import recorded_config
from waltzjax.run.runtime import result_settings
from waltzjax.support import console
from waltzjax.types import CONVERSATION, FEEDBACK, Prompt
from waltzjax.validation import agents as pair
from waltzjax.validation import guarded, load, over_http
from waltzjax.validation.checks import Figure
from waltzjax.validation.endpoint import Endpoint
from waltzjax.validation.flags_file import STRICT
from waltzjax.validation.request import Request
from waltzjax.validation.scores import agents_figures
from waltzjax.validation.served import served_episodes, withheld
from waltzjax.validation.stoppable import run_stoppable
from waltzjax.validation.switches import FALLBACKS
from waltzjax.waltz.evaluate import SETTINGS, result


class Measured(NamedTuple):
    """The figures of one subject.

    subject: what was measured, in words. source: where the agents' measures are from.
    settings: what these depend on, besides agents and prompts.
    result: of ``waltz.evaluate``, of the episodes that these measures are of.
    figures: by their checks' names. added_ms: by the guard to each request that agents decided.
    """

    subject: str
    source: str
    settings: Mapping[str, Any]
    result: Mapping[str, Any]
    figures: Mapping[str, Figure]
    added_ms: Sequence[float]


def measure(request: Request, config: ConfigDict | None, output: Path) -> Measured:
    """The figures of what ``request`` names.

    Args:
      config: as --config gives it; None: the run's own, or the defaults.
      output: beside it lie transcripts of what is played.

    Raises:
      OSError, ValueError, JudgeError: something cannot be read, or does not answer.
      ModuleNotFoundError: the extra serve is not installed; before any work.
      Stopped: by a signal.
    """
    if request.workdir or request.has_agents:
        import_re2()  # the guard needs it, after what may be hours of playing
    if request.workdir:
        return _of_run(Path(request.workdir), request.fresh, output)
    if request.endpoint:
        return _of_service(request, config or default(), output)
    assert config is not None  # request.problem
    return _of_agents(request, config, output)


def _of_run(workdir: Path, fresh: bool, output: Path) -> Measured:
    agents = pair.agents_of(workdir)
    config = recorded_config(workdir, "--workdir")
    played = None if fresh else pair.played_in(workdir, config.stages[-1], agents)
    how = "playing both agents" if played is None else f"reading {played.source}"
    console.say(f"phase 1 of 3: {how}")
    if played is None:
        played = pair.play(config, agents, pair.data_of(config, workdir), output)
    return _guarded(f"the run {workdir}", config, agents, played)


def _of_agents(request: Request, config: ConfigDict, output: Path) -> Measured:
    agents = _agents(request)
    console.say("phase 1 of 3: playing both agents")
    played = pair.play(config, agents, Path(request.data), output)
    return _guarded(" and ".join(map(str, agents.values())), config, agents, played)


def _guarded(
    subject: str, config: ConfigDict, agents: Mapping[str, Path], played: pair.Played
) -> Measured:
    """The checks of agents that were ``played``, with those of a guard around them."""
    console.say("phase 2 of 3: both agents behind the guard")
    held_out = dict(enumerate(episode.prompt for episode in played.episodes))
    sent = dict(enumerate(load.under_load(held_out).values()))
    done = _behind_guard(config, agents, sent, held_out[0], "phase 2 of 3")
    figures = {**agents_figures(played.episodes, config.seed), **done.figures}
    settings = {**result_settings(config, SETTINGS), "flags": {"guard": STRICT}}
    return Measured(subject, played.source, settings, played.result, figures, done.added_ms)


def _of_service(request: Request, config: ConfigDict, output: Path) -> Measured:
    temperature = config.eval.temperature if request.config_given else None
    prompts = dict(enumerate(pair.held_out(config, Path(request.data))))
    served = _asked(request, prompts, temperature)
    console.say("phase 2 of 3: judging the answers, and checking the guard itself")
    episodes = served_episodes(prompts, served.answers, served.firsts)
    if not episodes:
        raise ValueError(
            f"--endpoint: {request.endpoint} withholds every answer, so its agents cannot be "
            "judged; give --flags_file, the file that it reads its flags from"
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    pair.score(config, sharding.make_mesh(config.mesh), output.parent, episodes)
    loaded = [*served.loaded.values()]
    unseen = [prompts[number] for number in withheld(served.answers)]
    figures = {
        **agents_figures(episodes, config.seed, unseen),
        "blocking_rate": load.blocking_rate(prompts, served.loaded),
        "added_latency": load.with_retried(
            load.added_latency(loaded), served.retried, len(served.answers)
        ),
        "stage_switching": served.switching,
        "fallback": over_http.NO_AGENTS,
    }
    if request.has_agents:
        figures |= _in_the_services_place(config, request, prompts[0])
    settings = {
        "judge.name": config.judge.name,
        "judge.model": config.judge.model,
        "temperature": "the service's" if temperature is None else temperature,
        "flags": served.flags or "the service's",
    }
    of_served = {**result(config, episodes), "settings": settings}
    return Measured(request.endpoint, pair.NOW, settings, of_served, figures, load.added_ms(loaded))


def _in_the_services_place(
    config: ConfigDict, request: Request, asked: Prompt
) -> dict[str, Figure]:
    """The operational checks that a client cannot make, of a guard in this process."""
    agents, label = _agents(request), "phase 2 of 3"
    if not request.flags_file:
        return _behind_guard(config, agents, {}, asked, label).figures
    with _counted(FALLBACKS, label) as on_answer:
        work = guarded.fallback_figure(config, agents[CONVERSATION], asked, on_answer)
        return {"fallback": run_stoppable(work)}


def _asked(
    request: Request, prompts: Mapping[int, Prompt], temperature: float | None
) -> over_http.Served:
    console.say(f"phase 1 of 3: asking {request.endpoint}")
    endpoint = Endpoint(request.endpoint, request.key_env)
    total = over_http.requests_of(prompts, request.flags_file)
    with _counted(total, "phase 1 of 3") as on_answer:
        return run_stoppable(
            over_http.ask_service(endpoint, prompts, temperature, request.flags_file, on_answer)
        )


def _behind_guard(
    config: ConfigDict,
    agents: Mapping[str, Path],
    prompts: Mapping[int, Prompt],
    asked: Prompt,
    label: str,
) -> guarded.Guarded:
    with _counted(guarded.requests_of(prompts), label) as on_answer:
        return run_stoppable(guarded.guard_figures(config, agents, prompts, asked, on_answer))


def _agents(request: Request) -> dict[str, Path]:
    given = {CONVERSATION: request.conversation, FEEDBACK: request.feedback}
    return {role: hf_config.resolve(name) for role, name in given.items()}


@contextmanager
def _counted(total: int, label: str) -> Iterator[Callable[[], None]]:
    """A progress bar of ``total`` requests; what it yields is called after each."""
    with console.Progress(total, label, unit="request") as bar:
        done = itertools.count(1)
        yield lambda: bar.update(next(done))
