"""Latency and throughput of a service under load, with and without its guard.

    python scripts/bench_serve.py --workdir=runs/demo --output=configs/results/serve.json
    python scripts/bench_serve.py --proxy                  # the service alone: no model behind it
    python scripts/bench_serve.py --url=http://127.0.0.1:8000/v1 --prompts=FILE

With ``--workdir`` the script starts one service with that run's agents and switches its guard by
the flags file: the arms "off", "patterns" (stage 1), "review" (stage 2, the feedback agent reads
every answer) and "revise" (and has those it objects to written anew) take turns within each round,
the first one alternating, so that a machine that slows down slows down all. All requests stream
and are greedy. ``--proxy`` puts the service in front of ``echo_endpoint.py``, which answers at
once: what it takes longer than that endpoint alone (arm "direct") is its own.

A first pass over ``--pool`` prompts with the guard on warms up, and tells those whose first answer
the feedback agent objects to: the sets "triggered" and "untriggered", of ``--requests`` prompts at
most, are loaded apart. Where none triggers, the set "all" is loaded.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
from absl import flags
from serve_figures import HEADER, draw, rows
from serve_load import (
    SWITCH_S,
    Outcome,
    Process,
    ask,
    client,
    closed_loop,
    echo_endpoint,
    free_port,
    open_loop,
    quantiles,
    service,
)

from waltzjax.run import cli
from waltzjax.support.console import Progress, say, table
from waltzjax.support.files import write_json

PACKAGES = ("jax", "fastapi", "uvicorn", "httpx")
# Arm -> what the flags file of the service says.
ARMS = {
    "off": {"enable": False},
    "patterns": {"stage": 1},
    "review": {"stage": 2, "feedback_only": True},
    "revise": {"stage": 2, "feedback_only": False},
}  # fmt: skip
PROXY_ARMS = ("direct", "off", "patterns")


class Arm(NamedTuple):
    name: str
    url: str
    model: str
    prepare: Callable[[], None]  # before each of its turns


class Load(NamedTuple):
    """One turn's load: closed with ``clients``, or open at ``rate`` a second."""

    clients: int
    rate: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.rate:g}/s" if self.rate else f"{self.clients} clients"


class Turn(NamedTuple):
    outcomes: Sequence[Outcome]
    seconds: float

    def answered(self) -> list[Outcome]:
        """Those with an answer: a refused request is quick, and no throughput."""
        return [o for o in self.outcomes if o.status == httpx.codes.OK]

    def per_s(self) -> float:
        return len(self.answered()) / self.seconds


async def run_turn(arm: Arm, load: Load, prompts: Sequence[str], seed: int) -> Turn:
    """All of ``prompts`` once."""
    connections = load.clients or len(prompts)
    async with client(connections) as http:
        send = partial(ask, http, arm.url, arm.model)
        begun = time.perf_counter()
        if load.rate:
            outcomes = await open_loop(send, prompts, load.rate, seed)
        else:
            outcomes = await closed_loop(send, prompts, load.clients)
        return Turn(outcomes, time.perf_counter() - begun)


def triggered(outcome: Outcome) -> bool:
    return bool(outcome.report and outcome.report["triggered"])


def timing(outcomes: Sequence[Outcome], name: str) -> list[float]:
    """A timing of the extension field, in seconds, of those that have it."""
    reports = [o.report for o in outcomes if o.report]
    return [r["timings_ms"][name] / 1e3 for r in reports if name in r.get("timings_ms", {})]


def cell(turns: Sequence[Turn]) -> dict[str, Any]:
    """The figures of an arm under a load."""
    answered = [o for turn in turns for o in turn.answered()]
    counts = Counter(str(o.status) for turn in turns for o in turn.outcomes)
    return {
        "n": len(answered),
        "statuses": dict(sorted(counts.items())),
        "requests_per_s": [round(t.per_s(), 2) for t in turns],
        "tokens_per_s": [round(sum(o.tokens for o in t.answered()) / t.seconds, 1) for t in turns],
        "first_ms": quantiles([o.first_s for o in answered if o.first_s is not None]),
        "total_ms": quantiles([o.total_s for o in answered]),
        "added_ms": quantiles(timing(answered, "added")),
    }


def against(baseline: Sequence[Turn], other: Sequence[Turn]) -> dict[str, Any]:
    """What ``other`` costs, seen from outside: the median over the rounds of the quotient of
    throughputs, and quantiles over the prompts of the difference of mean total times."""
    ratio = [b.per_s() / a.per_s() for a, b in zip(baseline, other, strict=True)]
    means = [_mean_totals(turns) for turns in (baseline, other)]
    differences = [means[1][p] - means[0][p] for p in means[0].keys() & means[1].keys()]
    return {
        "throughput_ratio": round(float(np.median(ratio)), 3),
        "throughput_ratio_range": [round(min(ratio), 3), round(max(ratio), 3)],
        "outside_added_ms": quantiles(differences),
    }


def _mean_totals(turns: Sequence[Turn]) -> dict[str, float]:
    """Prompt -> seconds."""
    totals: dict[str, list[float]] = {}
    for outcome in (o for turn in turns for o in turn.answered()):
        totals.setdefault(outcome.prompt, []).append(outcome.total_s)
    return {prompt: float(np.mean(values)) for prompt, values in totals.items()}


def measure(
    arms: Sequence[Arm], loads: Sequence[Load], sets: Mapping[str, Sequence[str]],
    rounds: int, seed: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """A record for each set, load and arm."""
    records, done = [], 0
    with Progress(len(loads) * len(sets) * rounds, "load", unit="round") as progress:
        for load in loads:
            for set_name, prompts in sets.items():
                turns: dict[str, list[Turn]] = {arm.name: [] for arm in arms}
                for number in range(rounds):
                    for arm in arms if number % 2 == 0 else reversed(arms):
                        arm.prepare()
                        turn = asyncio.run(run_turn(arm, load, prompts, seed + number))
                        turns[arm.name].append(turn)
                    done += 1
                    progress.update(done, load=load.name, prompts=set_name)
                records += [
                    {
                        "arm": name,
                        "load": load.name,
                        **load._asdict(),
                        "prompts": set_name,
                        **cell(those),
                        **(against(turns[arms[0].name], those) if name != arms[0].name else {}),
                    }
                    for name, those in turns.items()
                ]
    return records


@contextlib.contextmanager
def guarded_arms(names: Sequence[str], arguments: Sequence[str]) -> Iterator[list[Arm]]:
    """A service and the arms that its flags file makes of it."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "flags.json"
        write_json(file, ARMS[names[0]])
        with service([*arguments, f"--config.serve.flags_file={file}"]) as process:
            yield [_arm(name, process, file) for name in names]


def _arm(name: str, process: Process, file: Path) -> Arm:
    def prepare() -> None:
        write_json(file, ARMS[name])
        time.sleep(SWITCH_S)

    return Arm(name, process.url, "waltzrl", prepare)


@contextlib.contextmanager
def chosen_arms() -> Iterator[list[Arm]]:
    """The arms that the flags of the command line ask for."""
    f = flags.FLAGS
    if f.url:
        yield [Arm("endpoint", f.url, f.model, lambda: None)]
    elif f.proxy:
        with echo_endpoint(free_port()) as echo:
            upstream = [
                f"--config.serve.upstream.url={echo.url}", "--config.serve.upstream.model=echo",
            ]  # fmt: skip
            with guarded_arms(PROXY_ARMS[1:], ["--config=serve", *upstream]) as arms:
                yield [Arm(PROXY_ARMS[0], echo.url, "echo", lambda: None), *arms]
    else:
        with guarded_arms(f.arms, ["--config=serve", f"--workdir={f.workdir}"]) as arms:
            yield arms


def read_prompts() -> list[str]:
    """``--pool`` prompts of the file in an order of ``--seed``; of no file: short ones."""
    f = flags.FLAGS
    file = f.prompts or (f"{f.workdir}/data/validation.jsonl" if f.workdir else "")
    if not file:
        return [f"nonce{i} How do I clean my window?" for i in range(f.pool)]
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    order = np.random.default_rng(f.seed).permutation(len(lines))[: f.pool]
    return [json.loads(lines[i])["prompt"] for i in order]


def scout(arm: Arm, prompts: Sequence[str]) -> set[str]:
    """The prompts whose answers trigger the guard, by a pass at 16 clients."""
    arm.prepare()
    turn = asyncio.run(run_turn(arm, Load(16), prompts, 0))
    wrong = Counter(o.status for o in turn.outcomes if o.status != 200)
    if wrong:
        raise ValueError(f"{arm.url}: {wrong} of {len(prompts)} requests by 16 clients failed")
    return {o.prompt for o in turn.outcomes if triggered(o)}


def bench() -> dict[str, Any]:
    f = flags.FLAGS
    prompts = list(dict.fromkeys(read_prompts()))
    loads = [*(Load(int(n)) for n in f.clients), *(Load(0, float(r)) for r in f.rates)]
    with chosen_arms() as arms:
        caught = scout(arms[-1], prompts)
        sets = {
            "untriggered" if caught else "all": [p for p in prompts if p not in caught],
            "triggered": [p for p in prompts if p in caught],
        }
        chosen = {name: those[: f.requests] for name, those in sets.items() if those}
        records = measure(arms, loads, chosen, f.rounds, f.seed)
    commit = ["git", "rev-parse", "--short=7", "HEAD"]
    return {
        "commit": subprocess.run(commit, capture_output=True, text=True).stdout.strip(),
        "date": datetime.date.today().isoformat(),
        "hardware": f.hardware,
        "versions": {name: version(name) for name in PACKAGES},
        "seed": f.seed,
        "rounds": f.rounds,
        "triggered": f"{len(caught)} of {len(prompts)} prompts",
        "records": records,
    }


def main() -> None:
    f = flags.FLAGS
    if sum(map(bool, (f.url, f.proxy, f.workdir))) != 1:
        cli.usage("give one of --workdir, --proxy and --url")
    if unknown := set(f.arms) - ARMS.keys():
        cli.usage(f"--arms: got {sorted(unknown)}, allowed are {', '.join(ARMS)}")
    result = bench()
    say(table("times in milliseconds", HEADER, rows(result["records"])))
    say(f"triggered: {result['triggered']}")
    if f.output:
        write_json(Path(f.output), result)
    if f.plot:
        draw(result["records"], Path(f.plot))


if __name__ == "__main__":
    flags.DEFINE_string("workdir", "", "A finished run of two agents, to serve and to load.")
    flags.DEFINE_bool("proxy", False, "Serve a scripted endpoint instead: the service alone.")
    flags.DEFINE_string("url", "", "A running endpoint, with its /v1.")
    flags.DEFINE_string("model", "waltzrl", "Its model's name.")
    flags.DEFINE_list("arms", ["off", "revise"], "Of off, patterns, review, revise; 1st: baseline.")
    flags.DEFINE_list("clients", ["1", "8", "16", "32"], "Closed loops of so many clients.")
    flags.DEFINE_list("rates", [], "Open loops of so many arrivals a second.")
    flags.DEFINE_string("prompts", "", "JSON lines with a prompt; default: the run's validation.")
    flags.DEFINE_integer("pool", 1000, "Prompts of the first pass.", lower_bound=1)
    flags.DEFINE_integer("requests", 128, "Prompts of a turn, at most.", lower_bound=1)
    flags.DEFINE_integer("rounds", 2, "Turns of each arm under each load.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Of the choice of prompts and of arrivals.", lower_bound=0)
    flags.DEFINE_string("hardware", "", "What it ran on, in words.")
    flags.DEFINE_string("output", "", "JSON file of all figures.")
    flags.DEFINE_string("plot", "", "SVG file: time against clients.")
    cli.run(main)
