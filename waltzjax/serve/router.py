"""One conversation agent made of several: a function picks who answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from waltzjax.serve.records import Agent, AgentFailed, Ask, Messages, Reply


class Routed(NamedTuple):
    """An ``Agent`` that hands each conversation to one of ``agents``.

    pick: messages -> the name of an agent.
    """

    agents: Mapping[str, Agent]
    pick: Callable[[Messages], str]
    name: str = "router"

    async def reply(self, messages: Messages, ask: Ask) -> Reply:
        """The picked agent's reply; see ``Agent``. AgentFailed, too, where there is none."""
        picked = self.pick(messages)
        if picked not in self.agents:
            names = ", ".join(self.agents)
            raise AgentFailed(f"the router picked {picked!r:.60}; there are {names}")
        return await self.agents[picked].reply(messages, ask)
