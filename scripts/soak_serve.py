"""Mixed load on a service for minutes, while its agents are killed and its flags changed.

    python scripts/soak_serve.py --minutes=30
    python scripts/soak_serve.py --minutes=30 --workdir=runs/demo

Without ``--workdir`` both agents are scripted endpoints (``echo_endpoint.py``) that are killed and
revived: an answer holds its request's nonce, and a review is right about its exchange. With
``--workdir`` the run's agents answer; each answer must be one that the prompt got when it was asked
alone. Clients stream, read slowly, leave midway, send too much, nonsense, wrong keys and patterns'
bombs. Exit status 3 where one of the checks fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags
from serve_load import Process, client, echo_endpoint, free_port, service
from soak_checks import BUSY, LAST, Memory, Tally, counted, verdict
from soak_clients import Client, Watch
from soak_questions import KEY, alone_questions, headers, scripted_questions

from waltzjax.run import cli
from waltzjax.support.console import phase, say, table
from waltzjax.support.files import write_json, write_text

EXIT_FAILED = 3
LEAST_TURN_S = 1.0  # the service looks at its flags twice a second
SHOWN = 5  # examples of what was wrong
KEYS_VARIABLE = "SOAK_API_KEYS"
LIMITS = ["max_body_bytes=65536", "max_requests=24", "feedback_timeout_s=2.0", "breaker_s=2.0",
          "speculative=True", f"key_env={KEYS_VARIABLE}"]  # fmt: skip


class Turn(NamedTuple):
    """What holds for a while. flags: what the file says; a text is no JSON: the last good flags
    hold. killed: the scripted agent that is dead meanwhile."""

    flags: Mapping[str, Any] | str
    killed: str = ""


# A review that fails is let through under the first policy of these, and withheld under the second.
TURNS = (
    Turn({"stage": 2, "feedback_only": False}),
    Turn({"stage": 2, "feedback_only": True}),
    Turn("{broken"),
    Turn({"stage": 2, "policy": {"unsafe": "block", "default": "flag"}}, "reviewer"),
    Turn({"stage": 2, "policy": {"unsafe": "block"}}, "reviewer"),
    Turn({"stage": 2, "feedback_only": False}),
    Turn({"stage": 2, "feedback_only": True, "blocking": True}),
    Turn({"stage": 1}),
    Turn({"stage": 2, "feedback_only": False, "rollout_pct": 50}),
    Turn({"enable": False}, "upstream"),
    Turn({"enable": False}),
)


class Agents:
    """The scripted endpoints of a soak, to be killed and revived; each keeps its port."""

    def __init__(self, stack: contextlib.ExitStack, pause_s: float):
        self._stack, self._pause_s = stack, pause_s
        self._ports = {"upstream": free_port(), "reviewer": free_port()}
        self._running: dict[str, Process] = {}
        self._lock = threading.Lock()
        for name in self._ports:
            self._start(name)

    def only_dead(self, name: str) -> None:
        """Kill the agent ``name``, revive the others."""
        with self._lock:
            for other, process in self._running.items():
                dead = process.popen.poll() is not None
                if other == name and not dead:
                    process.kill()
                elif other != name and dead:
                    self._start(other)

    def _start(self, name: str) -> None:
        endpoint = echo_endpoint(self._ports[name], pause_s=self._pause_s)
        self._running[name] = self._stack.enter_context(endpoint)

    def arguments(self) -> list[str]:
        models = {"upstream": "echo", "reviewer": "reviewer"}
        return [
            argument
            for name, model in models.items()
            for argument in (
                f"--config.serve.{name}.url={self._running[name].url}",
                f"--config.serve.{name}.model={model}",
            )
        ]


async def take_turns(file: Path, agents: Agents | None, watch: Watch, turn_s: float) -> None:
    """Change the flags and kill agents, one turn after the other; all agents live at the end."""
    good = TURNS[0].flags
    try:
        for turn in itertools.islice(itertools.cycle(TURNS), 1, None):
            if isinstance(turn.flags, str):
                write_text(file, turn.flags)
            else:
                good = turn.flags
                write_json(file, good)
            if agents:
                await asyncio.to_thread(agents.only_dead, turn.killed)
            await asyncio.sleep(turn_s)
            await watch.compare_flags(good)
    finally:
        if agents:
            await asyncio.to_thread(agents.only_dead, "")


async def load(
    process: Process, clients: list[Client], agents: Agents | None, file: Path, watch: Watch,
    seconds: float,
) -> Memory:  # fmt: skip
    """All clients, and all that goes wrong meanwhile, for ``seconds``."""
    memory = Memory(process.popen.pid, seconds)
    turn_s = max(LEAST_TURN_S, min(5.0, seconds / 40))
    trouble = [take_turns(file, agents, watch, turn_s), memory.watch(), watch.breaker()]
    tasks = [asyncio.create_task(coroutine) for coroutine in trouble]
    until = time.monotonic() + seconds
    try:
        await asyncio.gather(*(c.run(until) for c in clients))
        for task in tasks:
            if task.done():
                task.result()  # what went wrong was not to
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return memory


async def soak(process: Process, agents: Agents | None, file: Path) -> list[list[object]]:
    """The rows of the verdict."""
    f, tally = flags.FLAGS, Tally()
    questions = (
        scripted_questions()
        if agents
        else await alone_questions(process.url, Path(f.workdir), file, f.seed)
    )
    async with contextlib.AsyncExitStack() as stack:
        https = [await stack.enter_async_context(client(2)) for _ in range(f.clients)]
        watcher = await stack.enter_async_context(client(LAST + 3, headers=headers(KEY)))
        clients = [
            Client(process.url, http, questions, tally, np.random.default_rng([f.seed, number]))
            for number, http in enumerate(https)
        ]
        before = await counted(watcher, process.url)
        watch = Watch(process.url, watcher, tally)
        memory = await load(process, clients, agents, file, watch, 60 * f.minutes)
        last = Client(process.url, watcher, questions, tally, np.random.default_rng(f.seed))
        rows = await verdict(
            process, watcher, tally, memory, before, last.plain, scripted=agents is not None
        )
    for text in (*tally.wrong[:SHOWN], *map(str, tally.faults.most_common(SHOWN))):
        say(f"  {text}")
    outcomes = ", ".join(f"{name} {n:,}" for name, n in sorted(tally.outcomes.items()))
    busy = sum(tally.statuses[status] for status in BUSY)
    say(f"{tally.statuses.total():,} requests, {busy:,} declared 429 and 503; {outcomes}")
    return rows


def main() -> None:
    f = flags.FLAGS
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        file = scratch / "flags.json"
        write_json(file, TURNS[0].flags)
        agents = None if f.workdir else Agents(stack, f.pause_s)
        named = agents.arguments() if agents else [f"--workdir={f.workdir}"]
        limits = [f"--config.serve.{limit}" for limit in (*LIMITS, f"flags_file={file}")]
        with phase("starting the service"):
            process = stack.enter_context(
                service(
                    ["--config=serve:tiny", *named, *limits],
                    environ={KEYS_VARIABLE: f"other-{KEY},{KEY}"},
                    log=Path(f.log) if f.log else scratch / "service.log",
                )
            )
        rows = asyncio.run(soak(process, agents, file))
    say(
        table(
            f"{f.minutes:g} minutes, {f.clients} clients",
            ["check", "value", "allowed", "passed"],
            rows,
        )
    )
    sys.exit(0 if all(row[-1] for row in rows) else EXIT_FAILED)


if __name__ == "__main__":
    flags.DEFINE_float("minutes", 1.0, "How long the load lasts.", lower_bound=0.05)
    flags.DEFINE_string("workdir", "", "A finished run whose agents answer; '': scripted ones.")
    flags.DEFINE_integer("clients", 32, "Clients, each with a request under way.", lower_bound=1)
    flags.DEFINE_float("pause_s", 0.01, "Before each word of scripted agents.", lower_bound=0.0)
    flags.DEFINE_integer("seed", 0, "Of what the clients do.", lower_bound=0)
    flags.DEFINE_string("log", "", "File for the service's output; default: thrown away.")
    cli.run(main)
