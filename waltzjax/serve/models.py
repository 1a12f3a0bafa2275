"""The agents that ``config.serve`` names, and what stands in for those that are missing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from waltzjax.data.chat import AgentPrompt, read_agent_prompt
from waltzjax.model import sharding
from waltzjax.model.hf import config as hf_config
from waltzjax.run.runtime import Runtime, check_same_shape, prompt_files
from waltzjax.run.trainable import load_agents, model_directory
from waltzjax.serve.drafts import Drafts
from waltzjax.serve.endpoint_agent import EndpointAgent
from waltzjax.serve.engine_agent import EngineAgent
from waltzjax.serve.records import Agent, Ask, Messages, Reply
from waltzjax.serve.worker import Worker
from waltzjax.support import console
from waltzjax.types import CONVERSATION, FEEDBACK
from waltzjax.waltz.runtime import game_runtime

UNLOADED = (ValueError, OSError, ImportError)  # how a model that cannot be loaded says so


class Unavailable(NamedTuple):
    """The conversation agent of a service that has none: the text that it always answers."""

    text: str
    name: str = "unavailable"

    async def reply(self, messages: Messages, ask: Ask) -> Reply:
        return Reply(self.text, "stop", 0, 0)


class Models(NamedTuple):
    """The agents of a service.

    feedback: None: stage 2 cannot be, for the reason ``missing``, which names no path: clients see
      it.
    worker: the engine of those that are here; None: all are elsewhere, or there is none.
    endpoints: those that are elsewhere.
    """

    conversation: Agent
    feedback: Agent | None
    missing: str
    worker: Worker | None
    endpoints: Collection[EndpointAgent]

    def close(self) -> None:
        """Close the connections to endpoints."""
        for endpoint in self.endpoints:
            endpoint.close()


def agent_prompts(config: ConfigDict) -> tuple[AgentPrompt, AgentPrompt]:
    """The prompts of the conversation agent and of the feedback agent."""
    conversation, feedback = prompt_files(config)
    return (
        read_agent_prompt(conversation, ["feedback"]),
        read_agent_prompt(feedback, ["prompt", "answer"]),
    )


def load_models(config: ConfigDict, given: Mapping[str, Agent]) -> Models:
    """Load the agents of ``config.serve``, but for those ``given`` by role. A model that cannot be
    loaded is told of once, and the service does without: see ``_stand_in``. Where no conversation
    agent is named at all, exchanges of others are reviewed.

    Raises:
      ValueError: an endpoint's key is not in its environment variable.
    """
    serve = config.serve
    endpoints = {
        role: _endpoint(group, name)
        for role, name, group in (
            (CONVERSATION, "upstream", serve.upstream),
            (FEEDBACK, "reviewer", serve.reviewer),
        )
        if group.url and role not in given
    }
    agents: dict[str, Agent] = {**endpoints, **given}
    if CONVERSATION not in agents and not (serve.conversation or serve.base):
        # Exchanges of others can be reviewed all the same.
        agents[CONVERSATION] = Unavailable(serve.unavailable)
    named = {role: serve[role] for role in (CONVERSATION, FEEDBACK) if role not in agents}
    missing: dict[str, str] = {
        role: f"config.serve.{role} names no model" for role, name in named.items() if not name
    }
    wanted = {role: name for role, name in named.items() if name}
    local, reasons = _load(config, wanted)
    missing |= reasons
    agents |= local.agents
    if missing:
        details = "; ".join(missing.values())
        console.say(f"warning: stage 1 decides, as stage 2 cannot be: {details}")
    worker = local.worker
    if CONVERSATION not in agents:
        agents[CONVERSATION], worker = _stand_in(config)
    feedback = None if missing else agents[FEEDBACK]
    why = " and ".join(f"the {role} agent" for role in missing)
    missing_text = f"no model of {why}" if why else ""
    return Models(agents[CONVERSATION], feedback, missing_text, worker, endpoints.values())


def _endpoint(group: ConfigDict, name: str) -> EndpointAgent:
    return EndpointAgent(
        group.url,
        group.model,
        key_env=group.key_env,
        timeout_s=group.timeout_s,
        name=name,
        setting=f"config.serve.{name}",
    )


class _Local(NamedTuple):
    """Agents of one engine."""

    agents: Mapping[str, Agent]
    worker: Worker | None


def _load(config: ConfigDict, names: Mapping[str, str]) -> tuple[_Local, dict[str, str]]:
    """The agents of directories by role, in one engine; and why others are not there. All have the
    architecture of the first that can be read."""
    mesh = sharding.make_mesh(config.mesh)
    missing: dict[str, str] = {}
    runtime: Runtime | None = None
    directories: dict[str, Path] = {}
    for role, name in names.items():
        try:
            directory = hf_config.resolve(name)
            if runtime is None:
                runtime = game_runtime(config, model_directory(directory), mesh)
            else:
                check_same_shape(runtime, config, model_directory(directory))
            directories[role] = directory
        except UNLOADED as error:
            missing[role] = f"config.serve.{role}: {error}"
    if runtime is None:
        return _Local({}, None), missing
    params, broken = _weights(runtime, directories)
    missing |= {role: f"config.serve.{role}: {why}" for role, why in broken.items()}
    if not params:
        return _Local({}, None), missing
    worker = Worker(runtime, params, max_waiting=2 * config.serve.max_requests)
    drafts = {FEEDBACK: Drafts()}  # reviews are much alike
    agents = {
        role: EngineAgent(
            worker,
            role,
            runtime.chat,
            Path(names[role]).name,
            drafts.get(role),
            top_k=config.rollout.top_k,
            min_p=config.rollout.min_p,
        )
        for role in params
    }
    return _Local(agents, worker), missing


def _weights(
    runtime: Runtime, directories: Mapping[str, Path]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The parameters by role, and why others cannot be loaded. All at once, so that adapters share
    their base; one by one only where that fails."""
    try:
        with console.phase(f"loading {', '.join(map(str, directories.values()))}"):
            return load_agents(directories, runtime), {}
    except UNLOADED:
        pass
    params: dict[str, Any] = {}
    broken: dict[str, str] = {}
    for role, directory in directories.items():
        try:
            params |= load_agents({role: directory}, runtime)
        except UNLOADED as error:
            broken[role] = str(error)
    return params, broken


def _stand_in(config: ConfigDict) -> tuple[Agent, Worker | None]:
    """The conversation agent where its model is missing: the base, or a text that says so."""
    base = config.serve.base
    if base:
        local, why = _load(config, {CONVERSATION: base})
        if local.agents:
            return local.agents[CONVERSATION], local.worker
        console.say(f"warning: the base cannot answer either: {why[CONVERSATION]}")
    return Unavailable(config.serve.unavailable), None
