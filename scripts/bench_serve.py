"""Latency and throughput of a service under load, with and without its guard.

    python scripts/bench_serve.py --workdir=runs/demo --output=configs/results/serve.json
    python scripts/bench_serve.py --proxy                  # the service alone: no model behind it
    python scripts/bench_serve.py --url=http://127.0.0.1:8000/v1 --prompts=FILE

With ``--workdir`` the script starts one service with that run's agents and switches its guard by
the flags file: the arms "off", "patterns" (stage 1), "review" (stage 2, the feedback agent reads
every answer) and "revise" (and has those it objects to written anew) take turns within each round,
the first one alternating, so that a machine that slows down slows down all. All requests stream, at
temperature 1 with a seed of its prompt. ``--proxy`` puts the service in
front of ``echo_endpoint.py``, which answers at once: what it takes longer than that endpoint alone
(arm "direct") is its own.

No prompt is sent twice, neither in another round nor to another arm: what the service has kept of
it, a prefix or a guess at its review, would make the second time quicker than a user's. A first
pass over ``--warm_up`` prompts warms up. Every turn loads ``--requests`` prompts as they come;
answers are told apart afterwards, by whether their reports say that the feedback agent objected.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from serve_figures import HEADER, draw, rows
from serve_load import SWITCH_S, Process, echo_endpoint, free_port, service
from serve_measure import Arm, Load, measure, run_turn, split

from waltzjax.run import cli
from waltzjax.support.console import say, table
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


def read_prompts(count: int) -> list[str]:
    """``count`` prompts of the file, none twice, in an order of ``--seed``; of no file: short ones.

    Raises:
      ValueError: the file has fewer.
    """
    f = flags.FLAGS
    file = f.prompts or (f"{f.workdir}/data/validation.jsonl" if f.workdir else "")
    if not file:
        return [f"nonce{i} How do I clean my window?" for i in range(count)]
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    distinct = [*dict.fromkeys(json.loads(line)["prompt"] for line in lines)]
    if len(distinct) < count:
        raise ValueError(
            f"{file}: has {len(distinct):,} prompts, {count:,} are needed, as none is sent twice; "
            "lower --requests, --rounds or --warm_up, or give a longer file by --prompts"
        )
    order = np.random.default_rng(f.seed).permutation(len(distinct))[:count]
    return [distinct[i] for i in order]


def warm_up(arm: Arm, prompts: Sequence[str]) -> str:
    """Send each prompt once by 16 clients; how many triggered the guard.

    Raises:
      ValueError: one had no answer.
    """
    arm.prepare()
    turn = asyncio.run(run_turn(arm, Load(16), prompts, 0))
    if wrong := Counter(o.fault for o in turn.outcomes if o.fault):
        raise ValueError(f"{arm.url}: {len(prompts)} requests by 16 clients, failed: {dict(wrong)}")
    return f"{len(split([turn]).get('triggered', ()))} of {len(prompts)} prompts of the warm-up"


def bench() -> dict[str, Any]:
    f = flags.FLAGS
    loads = [*(Load(int(n)) for n in f.clients), *(Load(0, float(r)) for r in f.rates)]
    count = 1 if f.url else len(PROXY_ARMS if f.proxy else f.arms)
    prompts = read_prompts(f.warm_up + len(loads) * count * f.rounds * f.requests)
    with chosen_arms() as arms:
        triggered = warm_up(arms[-1], prompts[: f.warm_up])
        fresh = iter(prompts[f.warm_up :])
        records = measure(arms, loads, fresh, f.requests, f.rounds, f.seed)
    commit = ["git", "rev-parse", "--short=7", "HEAD"]
    return {
        "command": shlex.join(["python", "scripts/bench_serve.py", *sys.argv[1:]]),
        "commit": subprocess.run(commit, capture_output=True, text=True).stdout.strip(),
        "date": datetime.date.today().isoformat(),
        "hardware": f.hardware,
        "versions": {name: version(name) for name in PACKAGES},
        "seed": f.seed,
        "rounds": f.rounds,
        "distinct_prompts": len(prompts),
        "triggered": triggered,
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
    flags.DEFINE_integer("warm_up", 200, "Prompts of the first pass.", lower_bound=1)
    flags.DEFINE_integer("requests", 128, "Requests of a turn, each its own prompt.", lower_bound=1)
    flags.DEFINE_integer("rounds", 2, "Turns of each arm under each load.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Of the choice of prompts and of arrivals.", lower_bound=0)
    flags.DEFINE_string("hardware", "", "What it ran on, in words.")
    flags.DEFINE_string("output", "", "JSON file of all figures.")
    flags.DEFINE_string("plot", "", "SVG file: time against clients.")
    cli.run(main)
