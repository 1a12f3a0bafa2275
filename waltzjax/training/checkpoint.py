"""Checkpoints through Orbax: written in the background, whole or not at all, checked on load."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from waltzjax.types import AgentState


class Checkpoints:
    """The checkpoints of one stage: trained agents, and the host's state as JSON."""

    def __init__(self, directory: Path, keep: int, say: Callable[[str], None] = print):
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
        self._say = say
        self._manager = ocp.CheckpointManager(directory.absolute(), options=options)

    def save(self, step: int, agents: dict[str, AgentState], host: dict[str, Any]) -> None:
        """Start writing; returns once the arrays are copied. A step already there is left alone."""
        if step in self._manager.all_steps():
            return
        args = ocp.args.Composite(
            agents=ocp.args.StandardSave(agents), host=ocp.args.JsonSave(host)
        )
        self._manager.save(step, args=args)

    def restore(
        self, like: dict[str, AgentState]
    ) -> tuple[int, dict[str, AgentState], dict] | None:
        """The newest checkpoint that can be read: (step, agents, host); None if there is none.

        Arrays come back in the shardings of ``like``. A damaged checkpoint is passed over, with a
        word, for the one before it, and removed so that its step can be written again.
        """
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        args = ocp.args.Composite(
            agents=ocp.args.StandardRestore(abstract), host=ocp.args.JsonRestore()
        )
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                found = self._manager.restore(step, args=args)
            except Exception as error:  # whatever a damaged file makes Orbax raise
                reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
                self._say(f"checkpoint {step} cannot be read ({reason}); trying the one before it")
                self._manager.delete(step)
                continue
            return step, dict(found["agents"]), found["host"]
        return None

    def wait(self) -> None:
        self._manager.wait_until_finished()

    def close(self) -> None:
        self._manager.close()
