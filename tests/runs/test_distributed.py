"""Two processes on this machine against one with as many devices."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from runpy import run_path

import forked
import numpy as np
import pytest
from safetensors.numpy import load_file
from support import REPO
from workdirs import records

from waltzjax.config.check import only_read
from waltzjax.recipes import readers
from waltzjax.train import train

OVERRIDES = {
    "mesh": (1, 4, 1), "stages": ("stage1",),
    "embedded.width": 16, "embedded.mlp_width": 32, "embedded.layers": 1, "embedded.batch": 8,
    "embedded.card_steps": 2, "embedded.demo_steps": 2,
    "rollout.batch": 8, "rollout.max_new_tokens": 4, "rl.microbatches": 2,
    "rollout.max_num_seqs": 8, "rollout.cache_tokens": 4096, "eval.prompts": 6,
    "train.steps.stage1": 8, "rl.entropy_bonus": 0.05,
}  # fmt: skip
# The order of sums over devices differs, and Adam divides tiny gradients by tiny moments.
WEIGHT_ATOL, METRIC_RTOL, METRIC_ATOL = 1e-4, 1e-3, 1e-5
LIMIT_S = 300  # of a run on a busy machine
CONFIG = "--config=configs/stage2.py:tiny"
COMMAND = [sys.executable, "-m", "waltzjax.train", CONFIG]
EVALUATE = [sys.executable, "-m", "waltzjax.evaluate", CONFIG]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run in one process with four devices."""
    config = run_path(str(REPO / "configs/stage2.py"))["get_config"]("tiny")
    config.update_from_flattened_dict(OVERRIDES)
    config = only_read(config, readers(config))
    workdir = tmp_path_factory.mktemp("runs") / "alone"
    train(config, workdir)
    return workdir


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_two(command, *arguments, **overrides):
    """Two processes of one run, two devices each."""
    settings = {**OVERRIDES, **overrides}
    flags = [f"--config.{key}={value}" for key, value in settings.items()]
    who = ["--distributed", f"--coordinator=127.0.0.1:{free_port()}", "--processes=2"]
    devices = {"XLA_FLAGS": os.environ["XLA_FLAGS"].replace("count=8", "count=2")}
    return [
        subprocess.Popen(
            [*command, *flags, *arguments, *who, f"--process={index}"],
            cwd=REPO, env=os.environ | devices, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for index in range(2)
    ]  # fmt: skip


def ended(processes):
    """(exit statuses, what they said, their errors)."""
    try:
        said = [p.communicate(timeout=LIMIT_S) for p in processes]
    finally:
        for process in processes:
            process.kill()
    return [p.returncode for p in processes], [out for out, _ in said], [err for _, err in said]


def test_stopped_through_one_resumed_and_equal_to_one_process(alone, tmp_path):
    """The two write the data themselves, and have the base model of the one."""
    two = tmp_path / "two"
    two.mkdir()
    shutil.copytree(alone / "base", two / "base")
    shutil.copy(alone / "config.json", two)

    processes = start_two(COMMAND, f"--workdir={two}")
    metrics, patience = two / "metrics.jsonl", time.monotonic() + LIMIT_S
    while not (metrics.exists() and metrics.read_text()) and time.monotonic() < patience:
        assert all(p.poll() is None for p in processes), ended(processes)
        time.sleep(0.05)
    processes[1].send_signal(signal.SIGTERM)
    statuses, said, _ = ended(processes)
    assert statuses == [128 + signal.SIGTERM] * 2, said
    assert "stopped by SIGTERM" in said[0]
    done = len(records(two))
    assert 0 < done < OVERRIDES["train.steps.stage1"]
    assert not (two / "feedback").exists()

    statuses, said, errors = ended(start_two(COMMAND, f"--workdir={two}"))
    assert statuses == [0, 0], errors
    assert f"resumed after step {done}" in said[0]
    assert "waltzjax" not in said[1]  # process 1 is silent

    for role in ("conversation", "feedback"):
        ours, theirs = (load_file(w / role / "model.safetensors") for w in (two, alone))
        assert ours.keys() == theirs.keys()
        for name in ours:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=0, atol=WEIGHT_ATOL)
    for ours, theirs in zip(records(two), records(alone), strict=True):
        assert ours.keys() == theirs.keys()
        for key in ours.keys() - {"stage"}:
            assert ours[key] == pytest.approx(theirs[key], rel=METRIC_RTOL, abs=METRIC_ATOL), key
    ours, theirs = (
        json.loads((w / "final_validation_results.json").read_text()) for w in (two, alone)
    )
    assert ours == theirs


def test_evaluation_by_two_equals_the_runs_own(alone, tmp_path):
    output = tmp_path / "result.json"
    agents = [f"--{role}={alone / role}" for role in ("conversation", "feedback")]
    command = [*EVALUATE, f"--data={alone / 'data'}", f"--output={output}"]
    statuses, said, errors = ended(start_two(command, *agents))
    assert statuses == [0, 0], errors
    assert str(output) in said[0] and "loading" not in said[1]  # the other one is silent
    theirs = json.loads((alone / "final_validation_results.json").read_text())
    del theirs["intervals"]["benign_likelihood"]  # which compares with the base's
    ours = json.loads(output.read_text())
    assert ours == {key: theirs[key] for key in ours}
    assert len(output.with_suffix(".transcripts.jsonl").read_text().splitlines()) == ours["n"]


def test_a_mistake_is_said_once_and_ends_both(alone):
    before = (alone / "config.json").read_bytes()
    statuses, _, errors = ended(start_two(COMMAND, f"--workdir={alone}", seed=5))
    assert all(statuses)
    assert "holds another run's config (config.seed" in errors[0]
    assert (alone / "config.json").read_bytes() == before


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--coordinator=127.0.0.1:1"], "--coordinator needs --distributed"),
        (["--distributed", "--processes=2"], "give all three"),
        (["--distributed", "--coordinator=127.0.0.1:1", "--processes=2", "--process=2"], "0 to 1"),
        (["--distributed"], "give --coordinator, --processes and --process"),
    ],
)
def test_flags_that_name_no_run(flags, says, tmp_path):
    done = forked.run(*COMMAND[1:], f"--workdir={tmp_path / 'run'}", *flags)
    assert done.returncode in (1, 2) and says in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "run").exists()
