"""What a soak has seen, and whether it was allowed."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
from serve_load import Process

IDLE_S = 10.0
LAST = 8  # requests under way at the end
LEAST_ANSWERED = 0.5  # part of the questions; the others get declared back-pressure
BOMB_S = 5.0  # that a pattern's bomb may take, among the other requests
STOPPED = 128 + signal.SIGTERM  # exit status
FLAT = 0.05
WARM_UP = 0.25  # of the time, before memory counts
NO_ANSWER, LEFT, UNSENT = 0, -1, -2  # in a status's place: cut off | the client left, after or
# before the request was sent
# What a client did -> the statuses that it may get besides declared back-pressure.
ALLOWED = {"oversize": {413}, "malformed": {400, 413, 422}, "bad_key": {401}, "bomb": {200, 400},
           "leave": {200, LEFT, UNSENT}}  # fmt: skip
BUSY = {429, 503}  # with Retry-After
QUESTIONS = ("plain", "streamed", "speculative", "slow")  # their answers are compared
# What scripted agents and their outages must have led to; without it a soak has not tested it.
TESTED = (
    "stage 0", "stage 1", "stage 2", "triggered", "revised", "flagged", "withheld", "failed open",
    "failed closed",
)  # fmt: skip
GAUGE = re.compile(r"^waltzjax_(in_flight|rows)(?:\{.*\})? (\S+)$", re.MULTILINE)
LINE = re.compile(r"^waltzjax_requests_total\{(.*)\} (\S+)$", re.MULTILINE)


class Seen(NamedTuple):
    """What a client got. wrong: how an answer is not its own; fault: how the service failed."""

    status: int
    retry_after: str = ""
    wrong: str = ""
    fault: str = ""
    report: Mapping[str, Any] | None = None


class Tally:
    """Counts of what all clients got."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.outcomes: Counter[str] = Counter()  # of the guard
        self.faults: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.asked = self.compared = 0  # questions, and those whose answers could be compared
        self.bombs_s: list[float] = []  # seconds that each pattern's bomb took
        self.flags: Counter[bool] = Counter()  # whether a turn's flags held at its end
        self.breaker: list[str] = []  # its states, one after the other

    def add(self, kind: str, seen: Seen, seconds: float) -> None:
        self.statuses[seen.status] += 1
        if seen.wrong:
            self.wrong.append(f"{kind}: {seen.wrong}")
        if fault := seen.fault or _broken_promise(kind, seen):
            self.faults[f"{kind}: {fault}"] += 1
        self.asked += kind in QUESTIONS
        if kind == "bomb" and seen.status in ALLOWED["bomb"]:
            self.bombs_s.append(seconds)
        if seen.report:
            self.compared += 1
            self.outcomes.update(_outcomes(seen.report))

    def sent(self) -> Counter[int]:
        """Requests by status, of those that the service has seen."""
        return Counter({s: n for s, n in self.statuses.items() if s != UNSENT})


def _broken_promise(kind: str, seen: Seen) -> str:
    """How a status is none that the request may get; "": it is one."""
    if seen.status in BUSY:
        return "" if seen.retry_after else f"{seen.status} without Retry-After"
    return "" if seen.status in ALLOWED.get(kind, {200}) else f"status {seen.status}"


def _outcomes(report: Mapping[str, Any]) -> Iterator[str]:
    yield f"stage {report['stage']}"
    yield from (name for name in ("triggered", "revised") if report[name])
    if report["failure"]:
        yield f"failed {report['failure']['policy']}"
    elif report["action"] != "pass":
        yield "withheld" if report["action"] == "block" else "flagged"


class Memory:
    """Resident memory of a process while it is watched."""

    def __init__(self, pid: int, seconds: float):
        self._file, self._every_s = Path(f"/proc/{pid}/status"), min(2.0, seconds / 60)
        self.mib: list[float] = []

    async def watch(self) -> None:
        while True:
            line = next(s for s in self._file.read_text().splitlines() if s.startswith("VmRSS"))
            self.mib.append(int(line.split()[1]) / 1024)
            await asyncio.sleep(self._every_s)

    def growth(self) -> float:
        """From the first third after the warm-up to the last third, by medians."""
        warm = self.mib[int(WARM_UP * len(self.mib)) :]
        third = max(1, len(warm) // 3)
        return float(np.median(warm[-third:]) / np.median(warm[:third]) - 1)


async def counted(http: httpx.AsyncClient, url: str) -> Counter[int]:
    """The service's own counts of requests to /v1, by status."""
    page = await http.get(f"{url.removesuffix('/v1')}/metrics")
    counts: Counter[int] = Counter()
    for labels, value in LINE.findall(page.text):
        if 'path="/v1/' in labels:
            [status] = re.findall(r'status="(\d+)"', labels)
            counts[int(status)] += round(float(value))
    return counts


def unaccounted(service: Counter[int], clients: Counter[int]) -> int:
    """Requests by which the two counts differ. Who has left does not know with which status."""
    known = {status: n for status, n in clients.items() if status != LEFT}
    missing = sum(max(0, n - service[status]) for status, n in known.items())
    more = sum((service - Counter(known)).values())
    return missing + abs(more - clients[LEFT])


async def idle(http: httpx.AsyncClient, url: str) -> str:
    """What is still under way once all clients have ended and ``IDLE_S`` have passed; "0": none."""
    until = time.monotonic() + IDLE_S
    while True:
        left = await gauges(http, url)
        if missing := {"in_flight", "rows"} - left.keys():
            return f"no gauge {', '.join(sorted(missing))}"
        if not left.total() or time.monotonic() > until:
            return f"{left.total():.0f}"
        await asyncio.sleep(0.1)


async def gauges(http: httpx.AsyncClient, url: str) -> Counter[str]:
    """Gauge of what is under way -> its value, over all its labels."""
    page = await http.get(f"{url.removesuffix('/v1')}/metrics")
    values: Counter[str] = Counter()
    for name, value in GAUGE.findall(page.text):
        values[name] += int(float(value))
    return values


async def graceful_stop(
    process: Process, http: httpx.AsyncClient, ask: Callable[[], Awaitable[Seen]]
) -> tuple[str, bool]:
    """SIGTERM while requests are under way: each of these is answered, those that came too late get
    a declared 503, and the exit status is that of a signal."""
    tasks = [asyncio.create_task(ask()) for _ in range(LAST)]
    under_way = 0
    while under_way < LAST and not any(task.done() for task in tasks):
        await asyncio.sleep(0.01)
        under_way = (await gauges(http, process.url))["in_flight"]
    process.popen.send_signal(signal.SIGTERM)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    status = await asyncio.to_thread(process.popen.wait, 60)
    seen = [r for r in results if isinstance(r, Seen) and not r.wrong]
    answered = sum(r.status == httpx.codes.OK for r in seen)
    well = [r for r in seen if not _broken_promise("", r)]
    held = len(well) == LAST and answered >= max(1, under_way) and status == STOPPED
    return f"{answered} of {under_way} under way answered, exit status {status}", held


def recovered(states: Sequence[str]) -> bool:
    """Whether the breaker opened, and closed again."""
    return "open" in states and "closed" in states[states.index("open") :]


def _counts(statuses: Counter[int]) -> str:
    return " ".join(f"{status}:{count}" for status, count in sorted(statuses.items()))


async def verdict(
    process: Process, http: httpx.AsyncClient, tally: Tally, memory: Memory, before: Counter[int],
    ask: Callable[[], Awaitable[Seen]], *, scripted: bool,
) -> list[list[object]]:  # fmt: skip
    """A row a check: what, value, allowed, whether it passed. The service is stopped."""
    left = await idle(http, process.url)
    service, clients = await counted(http, process.url) - before, tally.sent()
    differ = unaccounted(service, clients)
    stopped = await graceful_stop(process, http, ask)
    growth = memory.growth()
    return [
        *seen_by_clients(tally),
        *(of_scripted_agents(tally) if scripted else ()),
        ["memory, first to last third", f"{100 * growth:+.1f} %", "±5 %", abs(growth) <= FLAT],
        [
            "requests that /metrics and clients count otherwise",
            f"{differ}: {_counts(service)}, {_counts(clients)}" if differ else "0",
            "0",
            differ == 0,
        ],
        ["under way at the end", left, "0", left == "0"],
        ["stop", *stopped[:1], f"all, {STOPPED}", stopped[1]],
    ]


def seen_by_clients(tally: Tally) -> list[list[object]]:
    """The rows of the verdict that hold for any agents."""
    faults, flags, slowest_s = (
        sum(tally.faults.values()),
        tally.flags,
        max(tally.bombs_s, default=0),
    )
    answered = tally.compared / max(1, tally.asked)
    return [
        [
            "questions answered, and compared",
            f"{tally.compared:,} of {tally.asked:,}",
            f"at least {100 * LEAST_ANSWERED:.0f} %",
            answered >= LEAST_ANSWERED,
        ],
        ["answers to the wrong user", len(tally.wrong), "0", not tally.wrong],
        ["faults: 5xx but declared ones, wrong statuses", faults, "0", faults == 0],
        [
            "flags in force as the file says",
            f"{flags[True]} of {flags.total()} turns",
            "all",
            flags[True] == flags.total() > 0,
        ],
        [
            "slowest of the patterns' bombs",
            f"{slowest_s:.2f} s of {len(tally.bombs_s)}",
            f"{BOMB_S:g} s",
            0 < slowest_s <= BOMB_S,
        ],
    ]


def of_scripted_agents(tally: Tally) -> list[list[object]]:
    """The rows of the verdict that agents who are known, and are killed, allow."""
    missing, breaker = [name for name in TESTED if not tally.outcomes[name]], tally.breaker
    return [
        ["outcomes that did not occur", ", ".join(missing) or "none", "none", not missing],
        [
            "breaker",
            f"opened {breaker.count('open')} times, now {breaker[-1] if breaker else 'unknown'}",
            "opens, closes",
            recovered(breaker),
        ],
    ]
