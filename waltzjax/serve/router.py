"""One conversation agent made of several: a function picks who answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from waltzjax.serve.records import Agent, Ask, Messages, Reply


class Routed(NamedTuple):
    """An ``Agent`` that hands each conversation to one of ``agents``.

    pick: messages -> the name of an agent; KeyError's text names those there are where it is none.
    """

    agents: Mapping[str, Agent]
    pick: Callable[[Messages], str]
    name: str = "router"

    async def reply(self, messages: Messages, ask: Ask) -> Reply:
        """The picked agent's reply; see ``Agent``."""
        picked = self.pick(messages)
        if picked not in self.agents:
            raise KeyError(f"the router picked {picked!r}; there are {', '.join(self.agents)}")
        return await self.agents[picked].reply(messages, ask)
