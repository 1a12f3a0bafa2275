"""Checkpoints through Orbax: written in the background, whole or not at all, checked on load."""

from __future__ import annotations

import contextlib
import gc
import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

from waltzjax.support.processes import wait, writes
from waltzjax.types import AgentState


@jax.jit
def _finite(tree: Any) -> Any:
    """Whether all numbers of an array are finite, for each array of ``tree``."""
    return jax.tree.map(lambda x: jnp.isfinite(x).all(), tree)


def not_finite(agents: Any) -> list[str]:
    """The names of the arrays that hold NaN or infinity, as "policy.params.embed"."""
    leaves = jax.tree_util.tree_leaves_with_path(jax.device_get(_finite(agents)))
    return [
        jax.tree_util.keystr(path, simple=True, separator=".") for path, good in leaves if not good
    ]


@contextlib.contextmanager
def _without_reports() -> Iterator[None]:
    """Where one read of Orbax's fails it abandons the others, each of which is then reported on
    stderr with a traceback, by asyncio or as an exception that nobody could catch."""
    logger, hook = logging.getLogger("asyncio"), sys.unraisablehook
    was = logger.disabled
    logger.disabled, sys.unraisablehook = True, lambda _: None
    try:
        yield
    except BaseException as error:
        error.__traceback__ = None  # it holds what has been abandoned
        gc.collect()
        raise
    finally:
        logger.disabled, sys.unraisablehook = was, hook


class Checkpoints:
    """The checkpoints of one stage: trained agents, and the host's state as JSON."""

    def __init__(
        self,
        directory: Path,
        keep: int,
        say: Callable[[str], None] = print,
        *,
        read_only: bool = False,
    ):
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep, create=not read_only, read_only=read_only
        )
        self._read_only = read_only
        self._say, self._directory = say, directory.absolute()
        self._manager = ocp.CheckpointManager(self._directory, options=options)

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

        Arrays come back in the shardings of ``like``, whose leaves are abstract. Damaged
        checkpoints, and such with numbers that are not finite, are passed over, with a word, and
        moved aside, so that their steps can be written again; of another run's directory nothing
        is moved.

        Raises:
          ValueError: there are checkpoints and none can be read; they are left where they are.
        """
        args = ocp.args.Composite(
            agents=ocp.args.StandardRestore(like), host=ocp.args.JsonRestore()
        )
        damaged: dict[int, str] = {}
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                with _without_reports():
                    restored = self._manager.restore(step, args=args)
            except (MemoryError, jax.errors.JaxRuntimeError):  # the files are not to blame
                raise
            except Exception as error:  # Orbax's are of any kind for files that it cannot read
                damaged[step] = (str(error).splitlines() or [type(error).__name__])[0][:200]
                continue
            if bad_arrays := not_finite(restored["agents"]):
                damaged[step] = f"NaN or infinite numbers in {', '.join(bad_arrays[:3])}"
                continue
            if not restored["host"] or type(restored["host"]) is not dict:
                damaged[step] = (
                    f"the host's state is {restored['host']!r:.60}, no object with fields"
                )
                continue
            for bad, reason in damaged.items():
                end = "passed over" if self._read_only else "moved aside"
                self._say(f"checkpoint {bad} cannot be read ({reason}): {end}")
                if not self._read_only:
                    self._move_aside(bad)
            return step, dict(restored["agents"]), restored["host"]
        if damaged:
            listed = "; ".join(f"step {step}: {reason}" for step, reason in damaged.items())
            raise ValueError(
                f"{self._directory}: no checkpoint can be read ({listed}); nothing was touched; "
                "remove the directory to start the stage anew"
            )
        return None

    def _move_aside(self, step: int) -> None:
        if writes():
            target = self._directory / f"unreadable-{step}"
            shutil.rmtree(target, ignore_errors=True)
            (self._directory / str(step)).rename(target)
        wait(f"moved checkpoint {step}")
        self._manager.reload()

    def close(self) -> None:
        self._manager.close()
