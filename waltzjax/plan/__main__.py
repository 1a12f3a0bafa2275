"""Plan: what a run needs of each device, from compiling its programs without any weights, how long
it is predicted to take, and what it costs.

    python -m waltzjax.plan --config=configs/stage2.py --model=configs/models/llama-3.1-8b
    python -m waltzjax.plan ... --devices=8,16,32,64,128,256   # growth
    python -m waltzjax.plan --doctor --config=configs/stage2.py:tiny
    python -m waltzjax.plan --check=runs/demo

The memory is the compiler's for emulated CPU devices, see waltzjax/plan/compile.py; the time is
arithmetic, see waltzjax/plan/forecast.py; devices and prices are those of devices.toml and
providers.toml.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
from absl import flags
from ml_collections import ConfigDict, config_flags

from waltzjax.config.key import COLLECT_READS, EMBEDDED, MATHS, WALTZ
from waltzjax.model.hf import config as hf_config
from waltzjax.plan import check, doctor
from waltzjax.plan import providers as plan_providers
from waltzjax.plan.forecast import COLLECT, Load
from waltzjax.plan.generator import generator_config
from waltzjax.plan.growth import grow, growth_json
from waltzjax.plan.report import make_report, to_json
from waltzjax.plan.show import show_growth, show_report
from waltzjax.recipes import readers, validate
from waltzjax.run import cli
from waltzjax.run import devices as run_devices
from waltzjax.support import console
from waltzjax.toy.base_model import embedded_model

MOST_DEVICES = 1024  # emulated


def main() -> None:
    f = flags.FLAGS
    if f.check:
        tokens = f.prompt_tokens if f["prompt_tokens"].present else 0
        sys.exit(check.command(Path(f.check), tokens, as_json=f.json))
    reads = (lambda _: COLLECT_READS) if f.collect else readers
    if f.doctor:
        given = cli.chosen_config(reads) if f.config else None
        sys.exit(doctor.command(given, Path(f.workdir), collects=f.collect, as_json=f.json))
    if not f.config:
        cli.usage("--config is missing; only --doctor and --check do without")
    config = cli.chosen_config(reads)
    validate(config, training=not f.collect, reads=reads(config))
    counts = device_counts(f.devices)
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", MOST_DEVICES)
    known = run_devices.read_devices(Path(f.devices_file))
    device = known.device(f.device, mfu=f.mfu, bandwidth_share=f.bandwidth_share)
    providers = plan_providers.read_providers(Path(f.providers_file))
    with tempfile.TemporaryDirectory() as scratch:
        chosen = Path(f.model) if f.model else None
        directory = chosen or model_directory(config, Path(scratch), reads(config))
        tokens = f.prompt_tokens
        if not f["prompt_tokens"].present:
            tokens = usual_prompt(config, directory, reads(config), tokens)
        load = Load(tokens, f.prompts, f.collect)
        result = _planned(config, directory, load, device, counts, providers, known.links)
    if f.json:
        console.say(json.dumps(result))


def _planned(
    config: ConfigDict,
    directory: Path,
    load: Load,
    device: run_devices.Device,
    counts: list[int],
    providers: plan_providers.Providers,
    links: dict[str, run_devices.Link],
) -> dict[str, Any]:
    """The plan on the screen, and as an object."""
    f = flags.FLAGS
    if len(counts) > 1:
        sizes = grow(config, directory, load, device, counts, f.compile_seconds)
        stage = COLLECT if f.collect else config.stages[-1]
        show_growth(sizes, directory, stage, device.name)
        result = growth_json(sizes, config, load, providers)
    else:
        report = make_report(
            config,
            directory,
            load,
            device,
            counts[0],
            providers,
            links,
            as_given=not f.search,
        )
        show_report(report)
        result = to_json(report)
    return result


def model_directory(config: ConfigDict, scratch: Path, reads: frozenset[str]) -> Path:
    """The directory of the base's architecture, written to ``scratch`` where the run would build
    its model itself."""
    if config.model.base != EMBEDDED:
        return hf_config.resolve(config.model.base)
    cfg = embedded_model(config, "embedded" if WALTZ in reads else "embedded_maths")
    directory = scratch / EMBEDDED
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(hf_config.config_json(cfg, "float32")))
    return directory


def usual_prompt(config: ConfigDict, directory: Path, reads: frozenset[str], tokens: int) -> int:
    """``tokens`` of a prompt, or as many as the model has positions for, or a problem may have."""
    room = generator_config(config, directory).max_positions - config.rollout.max_new_tokens
    room = min(room, config.problems.max_tokens) if MATHS in reads else room
    return min(tokens, max(room, 1))


def device_counts(given: list[str]) -> list[int]:
    """--devices as numbers; a wrong one ends the command."""
    counts = [int(text) if text.strip().isdecimal() else 0 for text in given]
    if not counts or not all(1 <= n <= MOST_DEVICES for n in counts) or counts != sorted({*counts}):
        cli.usage(
            f"--devices: got {','.join(given)!r}, allowed is a number from 1 to {MOST_DEVICES}, or "
            "several, each larger than the one before"
        )
    return counts


def define_flags() -> None:
    config_flags.DEFINE_config_file("config", None, "A file of configs/, with overrides.")
    flags.DEFINE_string(
        "model",
        "",
        "Directory with the model's config.json; weights are not needed. Default: "
        "config.model.base; of 'embedded' its architecture.",
    )
    flags.DEFINE_list("devices", ["8"], "How many devices; several: a table of growth.")
    flags.DEFINE_bool(
        "search", True, "Search the best mesh, microbatches and remat; else plan the config's own."
    )
    flags.DEFINE_bool("collect", False, "Plan the answers of waltzjax.collect, not the training.")
    flags.DEFINE_integer(
        "prompt_tokens",
        1024,
        "Tokens of the longest prompt an agent reads; the feedback agent's "
        "holds the user's and an answer, a revision's the feedback too. The default "
        "is at most what the model has room for.",
        1,
    )
    flags.DEFINE_integer(
        "prompts", 0, "What the stage trains on; chats, pairs or questions. 0: its usual number.", 0
    )
    flags.DEFINE_string("device", "", "A device of the devices' file. Default: the file's own.")
    flags.DEFINE_float("mfu", None, "Share of its TFLOP/s that is reached, of executed FLOPs.")
    flags.DEFINE_float("bandwidth_share", None, "Share of its memory's bandwidth.")
    flags.DEFINE_string("devices_file", str(run_devices.TABLE), "Devices and links, as TOML.")
    flags.DEFINE_string("providers_file", str(plan_providers.TABLE), "Providers, as TOML.")
    flags.DEFINE_float("compile_seconds", 200.0, "Of growth: how long programs are compiled.", 0.0)
    flags.DEFINE_bool("json", False, "Also print the plan as one line of JSON, the last.")
    flags.DEFINE_bool(
        "doctor",
        False,
        "Look at this machine, and at what --config needs, instead: a line each, ok or what to do; "
        "exit status 1 where something is to fix.",
    )
    flags.DEFINE_string("workdir", "runs", "--doctor: where the run would write.")
    flags.DEFINE_string(
        "check", "", "Compare the run in this directory with its prediction instead."
    )


if __name__ == "__main__":
    define_flags()
    cli.run(main)
