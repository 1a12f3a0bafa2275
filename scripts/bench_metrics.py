"""The cost of measuring and writing a step's figures: the same step with and without, in pairs.

    python scripts/bench_metrics.py --config=configs/stage2.py:tiny \\
        --config.model.base=runs/demo/base

A step of the config's last stage, on the base that it names (an embedded one has learned nothing,
and says all that it may), is done again and again from the same state: once with the clock, all
writers that are installed, memory and utilisation, once without any; who is first alternates.
Printed: the median of the pairs' ratio with its 95 % interval, by bootstrap, and the time that the
measuring thread and the writers' threads spend, which is what the ratio would be on an idle
machine.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from ml_collections import ConfigDict, config_flags

from waltzjax.config.key import EMBEDDED
from waltzjax.dataset.dataset import read_prompts
from waltzjax.judge.build import open_judge
from waltzjax.metrics import background
from waltzjax.metrics.clock import Clock
from waltzjax.metrics.device import Utilization, memory
from waltzjax.metrics.run_info import RunInfo
from waltzjax.metrics.writer import BACKENDS, MetricWriter
from waltzjax.model import sharding
from waltzjax.model.hf import weights
from waltzjax.recipes import STAGES
from waltzjax.run import cli
from waltzjax.run.trainable import make_trainable
from waltzjax.stages.stage import Stage, StageInputs
from waltzjax.stages.step_work import rates
from waltzjax.support.console import say
from waltzjax.toy import safety
from waltzjax.training.learner import init_state
from waltzjax.types import CONVERSATION, FEEDBACK
from waltzjax.waltz.runtime import game_runtime
from waltzjax.waltz.task import game_stage


def made_stage(
    config: ConfigDict, workdir: Path, stack: ExitStack
) -> tuple[Stage, Callable[[], Any]]:
    """The last stage of ``config``, and what gives its agents as they are at first."""
    mesh, name = sharding.make_mesh(config.mesh), config.stages[-1]
    safety.embedded_data(config, workdir / "data")
    base = Path(config.model.base)
    if config.model.base == EMBEDDED:
        base, config.embedded.card_steps, config.embedded.demo_steps = workdir / "base", 2, 2
        safety.embedded_base(config, mesh, base)
    runtime = game_runtime(config, base, mesh)
    params = weights.load_params(base, runtime.cfg, mesh)
    trainable = make_trainable(config, runtime, base)
    start = {role: trainable.start(params, 0) for role in (CONVERSATION, FEEDBACK)}
    recipe = STAGES[name].recipe
    assert recipe
    stage = game_stage(
        config,
        name,
        recipe(config),
        runtime,
        read_prompts(workdir / "data/train.jsonl"),
        stack.enter_context(open_judge(config, mesh, workdir)),
        StageInputs(trainable, params, start),
    )

    def agents() -> Any:
        return {
            role: init_state(jax.tree.map(jnp.copy, start[role]), optimizer, mesh, stage.kl_coef)
            for role, optimizer in stage.optimizers.items()
        }

    return stage, agents


def thread_seconds(spent: dict[str, float]) -> None:
    """Have writers' threads add the processor time of each call to ``spent``."""
    usual = background.Background._try

    def timed(self: Any, method: str, args: tuple[Any, ...]) -> None:
        begun = time.thread_time()
        usual(self, method, args)
        name = threading.current_thread().name
        spent[name] = spent.get(name, 0.0) + time.thread_time() - begun

    background.Background._try = timed  # type: ignore[method-assign]


def main() -> None:
    f = flags.FLAGS
    spent: dict[str, float] = {}
    thread_seconds(spent)
    with ExitStack() as stack:
        workdir = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stage, agents = made_stage(f.config, workdir, stack)
        os.environ["TRACKIO_DIR"] = str(workdir / "trackio")  # read as it is imported
        names = [name for name, b in BACKENDS.items() if not b.package or find_spec(b.package)]
        run = RunInfo(workdir, "bench", 0, "bench", workdir / "metrics.prom")
        writer = stack.enter_context(closing(MetricWriter(run, names, say)))
        writer.write_hparams(f.config.to_dict())
        utilization = stack.enter_context(Utilization())
        chosen, own, pairs = next(stage.batches), [], []

        def plain() -> float:
            state = jax.block_until_ready(agents())
            begun = time.perf_counter()
            stage.step(state, chosen, 0, lambda _: None)
            return time.perf_counter() - begun

        def measured(step: int) -> float:
            state = jax.block_until_ready(agents())
            with Clock() as clock:
                begun = time.perf_counter()
                _, metrics, texts = stage.step(state, chosen, 0, lambda _: None)
                done = time.perf_counter()
                _write(writer, step, clock, metrics, texts, utilization)
                own.append(time.perf_counter() - done)
                return time.perf_counter() - begun

        plain(), measured(1)  # compile; open what is written to
        time.sleep(5)
        spent.clear(), own.clear()
        until = time.monotonic() + f.seconds
        for number in range(f.pairs):
            if time.monotonic() > until and number > 1:
                break
            without = plain() if number % 2 else None
            with_all = measured(number + 2)
            pairs.append((without or plain(), with_all))
    off, on = np.array(pairs).T
    ratio, rng = on / off - 1, np.random.default_rng(0)
    drawn = np.median(rng.choice(ratio, (10_000, len(ratio))), axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    threads = sum(spent.values()) / len(pairs)
    say(f"step without {np.median(off):.3f} s; writers jsonl, {', '.join(names)}")
    say(
        f"ratio, median of {len(pairs)} pairs: {100 * np.median(ratio):+.2f} % "
        f"({100 * low:+.2f} to {100 * high:+.2f})"
    )
    say(
        f"own time a step: {1e3 * np.median(own):.2f} ms of the step's thread, "
        f"{1e3 * threads:.2f} ms of the writers' threads; together "
        f"{100 * (np.median(own) + threads) / np.median(off):.2f} %"
    )
    say(", ".join(f"{name} {1e3 * s / len(pairs):.2f} ms" for name, s in spent.items()))


def _write(
    writer: MetricWriter,
    step: int,
    clock: Clock,
    metrics: Mapping[str, float],
    texts: Mapping[str, str],
    utilization: Utilization,
) -> None:
    """As ``stages.loop`` does at the end of each step, with a text at every one."""
    lap = clock.lap()
    parts = {f"time/{name}": seconds for name, seconds in lap.parts.items()}
    times = {"time_s": lap.seconds, **parts, **rates(metrics, lap.seconds)}
    writer.write_scalars(step, {**metrics, **times, **memory(), **utilization.figures()})
    writer.write_texts(step, texts)


if __name__ == "__main__":
    config_flags.DEFINE_config_file("config", None, "A config whose last stage plays the game.")
    flags.DEFINE_integer("pairs", 20, "Pairs of steps, at most.")
    flags.DEFINE_float("seconds", 150, "No pair begins after so many.")
    flags.mark_flags_as_required(["config"])
    cli.run(main)
