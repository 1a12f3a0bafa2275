"""Plan: what a run needs of each device, from compiling its programs without any weights, and how
long it is predicted to take.

    python -m waltzjax.plan --config=configs/stage2.py --model=configs/models/llama-3.1-8b
    python -m waltzjax.plan --doctor --config=configs/stage2.py:tiny
    python -m waltzjax.plan --check=runs/demo

The memory is the compiler's for emulated CPU devices, see waltzjax/plan/compile.py; the time is
arithmetic, see waltzjax/plan/forecast.py.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import jax
from absl import flags
from ml_collections import config_flags

from waltzjax.config.key import COLLECT_READS
from waltzjax.model import sharding
from waltzjax.model.hf import config as hf_config
from waltzjax.plan import check, doctor
from waltzjax.plan.compile import make_plan
from waltzjax.plan.forecast import H100, PROMPTS, Device
from waltzjax.plan.tables import show
from waltzjax.recipes import readers, validate
from waltzjax.run import cli
from waltzjax.support import console

MOST_DEVICES = 4096  # emulated


def main() -> None:
    f = flags.FLAGS
    if f.doctor:
        reads = (lambda _: COLLECT_READS) if f.collect else readers
        config = cli.chosen_config(reads) if f.config else None
        sys.exit(doctor.command(config, Path(f.workdir), collects=f.collect, as_json=f.json))
    if f.check:
        sys.exit(check.command(Path(f.check), as_json=f.json))
    if not f.config:
        cli.usage("--config is missing; only --doctor and --check do without")
    config = cli.chosen_config(readers)
    validate(config, training=True)
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", f.devices)
    device = Device(f.peak_tflops, f.bandwidth_gbs, f.mfu, f.bandwidth_share, f.price)
    directory = Path(f.model) if f.model else hf_config.resolve(config.model.base)
    mesh = sharding.make_mesh(config.mesh)
    plan = make_plan(config, directory, mesh, f.prompt_tokens, device, f.prompts)
    show(plan)
    if f.json:
        console.say(json.dumps(dataclasses.asdict(plan)))


if __name__ == "__main__":
    config_flags.DEFINE_config_file("config", None, "A file of configs/, with overrides.")
    flags.DEFINE_string(
        "model",
        "",
        "Directory with the model's config.json; weights are not needed. Default: "
        "config.model.base.",
    )
    flags.DEFINE_integer("devices", 8, "How many devices to compile for.", 1, MOST_DEVICES)
    flags.DEFINE_integer(
        "prompt_tokens",
        1024,
        "Tokens of the longest prompt an agent reads; the feedback agent's "
        "holds the user's and an answer, a revision's the feedback too.",
    )
    flags.DEFINE_integer("prompts", PROMPTS, "What the stage trains on; chats, or pairs.", 1)
    flags.DEFINE_float(
        "peak_tflops",
        H100.peak_tflops,
        "TFLOP/s of one device in config.model.dtype, dense. Default: an H100's.",
    )
    flags.DEFINE_float("bandwidth_gbs", H100.bandwidth_gbs, "GB/s of one device's memory.")
    flags.DEFINE_float(
        "mfu",
        H100.mfu,
        "Share of the peak that is reached, of all FLOPs that are executed: "
        "config.model.remat's too.",
    )
    flags.DEFINE_float("bandwidth_share", H100.bandwidth_share, "Share of the bandwidth.")
    flags.DEFINE_float("price", H100.price, "Dollars an hour and device.")
    flags.DEFINE_bool("json", False, "Also print the plan as one line of JSON, in bytes.")
    flags.DEFINE_bool(
        "doctor",
        False,
        "Look at this machine, and at what --config needs, instead: a line each, ok or what to do; "
        "exit status 1 where something is to mend.",
    )
    flags.DEFINE_bool("collect", False, "Plan the answers of waltzjax.collect, not the training.")
    flags.DEFINE_string("workdir", "runs", "--doctor: where the run would write.")
    flags.DEFINE_string(
        "check", "", "Compare the run in this directory with its prediction instead."
    )
    cli.run(main)
