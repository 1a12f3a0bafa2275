"""How commands end: what is said, and the exit status."""

import ctypes
import os
import subprocess
import sys

import forked
import pytest
from support import REPO, small_data

END = """
import jax
from waltzjax.run import cli
from waltzjax.support import errors

def main():
    raise {error}

cli.run(main)
"""


@pytest.mark.parametrize(
    ("error", "says", "traceback"),
    [
        ("ValueError('config.x: got 1')", "error: config.x: got 1\n", False),
        ("MemoryError('no 5 GiB')", "error: no 5 GiB\n", False),
        ("errors.RequestRefused('HTTP 401')", "error: HTTP 401\n", False),
        ("ModuleNotFoundError('pip install it')", "error: pip install it\n", False),
        (
            "jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: out of memory\\nmore')",
            "error: RESOURCE_EXHAUSTED: out of memory\nA device's memory is full: ",
            False,
        ),
        (
            "OSError(28, 'No space left on device')",
            "error: [Errno 28] No space left on device\nThe disk is full, ",
            False,
        ),
        ("jax.errors.JaxRuntimeError('INTERNAL: NCCL')", "INTERNAL: NCCL", True),
        ("KeyError('x')", "KeyError: 'x'", True),
    ],
    ids=["value", "host memory", "judge", "package", "device memory", "disk", "device", "bug"],
)
def test_an_error_is_said_and_ends_it(error, says, traceback):
    done = forked.run("-c", END.format(error=error))
    assert done.returncode == 1 and not done.stdout
    assert says in done.stderr and ("Traceback" in done.stderr) == traceback


def test_a_judge_that_cannot_be_is_one_line_before_anything_is_trained(tmp_path):
    (tmp_path / "cache").write_text("id,reply\n" * 200)
    judge = {"name": "openai", "model": "m", "url": "http://127.0.0.1:9/v1",
             "cache": tmp_path / "cache"}  # fmt: skip
    done = forked.run(
        "-m", "waltzjax.train", "--config=configs/stage1.py:tiny",
        *(f"--config.judge.{key}={value}" for key, value in judge.items()),
        f"--config.data.directory={small_data()}", f"--workdir={tmp_path / 'run'}",
    )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"error: {tmp_path / 'cache'}: not a cache of verdicts" in done.stderr
    assert not (tmp_path / "run/base").exists()


KEEP = """
import numpy as np
from pathlib import Path
from waltzjax.run import cli

STATM = Path("/proc/self/statm")  # Linux has it

def resident_mib():
    return int(STATM.read_text().split()[1]) * 4096 / 2**20 if STATM.exists() else 0

def main():
    kept = []
    before = resident_mib()
    for _ in range(3):
        blocks = [np.ones(2**21) for _ in range(8)]  # of 16 MiB
        kept.append(bytearray(100_000))  # above them
        del blocks
    print(resident_mib() - before)

cli.run(main) if {ours} else main()
"""


def test_freed_memory_goes_back():
    left = [
        float(subprocess.check_output([sys.executable, "-c", KEEP.format(ours=ours)], cwd=REPO))
        for ours in (True, False)
    ]
    # Less than a block. By itself glibc keeps some; other libraries have no such setting.
    assert left[0] < 16 and (left[1] > 16 or not hasattr(ctypes.CDLL(None), "mallopt"))


REUSE = """
import contextlib, resource
from pathlib import Path
from waltzjax.run import cli
from waltzjax.support import memory

STATM = Path("/proc/self/statm")  # Linux has it

def resident_mib():
    return int(STATM.read_text().split()[1]) * 4096 / 2**20 if STATM.exists() else 0

def main():
    before = resident_mib()
    with {how}:
        b"x" * 2**26
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(4):
            b"x" * 2**26
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults)
    print(resident_mib() - before)

cli.run(main)
"""


def test_a_loop_reuses_what_it_freed_and_all_goes_back():
    """Faults of pages are the clearing that is saved: 64 MiB are 16,384 pages of 4 KiB."""
    (faults, left), (others, _) = (
        map(float, subprocess.check_output([sys.executable, "-c", text], cwd=REPO).split())
        for text in (
            REUSE.format(how=how) for how in ("memory.reuse_freed()", "contextlib.nullcontext()")
        )
    )
    glibc = hasattr(ctypes.CDLL(None), "mallopt")
    assert left < 16 and ((faults < 1000 and others > 4 * 16000) or not glibc)


HEAPS = """
import ctypes, os, tempfile, threading
from waltzjax.run import cli

LIBC = ctypes.CDLL(None)

def main():
    together = threading.Barrier(4)
    def allocate():
        together.wait()
        blocks = [bytes(1000) for _ in range(100)]
        together.wait()
    threads = [threading.Thread(target=allocate) for _ in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    if not hasattr(LIBC, "mallopt"):
        print(1)
        return
    LIBC.fopen.restype = ctypes.c_void_p
    with tempfile.NamedTemporaryFile() as file:
        stream = ctypes.c_void_p(LIBC.fopen(file.name.encode(), b"w"))
        LIBC.malloc_info(0, stream)
        LIBC.fclose(stream)
        print(file.read().count(b"<heap nr"))

cli.run(main)
"""


def test_threads_share_a_heap():
    count = [
        int(subprocess.check_output([sys.executable, "-c", HEAPS], cwd=REPO, env=os.environ | more))
        for more in ({}, {"MALLOC_ARENA_MAX": "4"})
    ]
    assert count[0] == 1 and (count[1] > 1 or not hasattr(ctypes.CDLL(None), "mallopt"))


SETTINGS = """
import os, jax
from waltzjax.run import cli
names = ("XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION")
cli.run(lambda: print(*map(os.environ.get, names), jax.config.jax_default_matmul_precision))
"""


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "0.92 None highest"),
        ({"XLA_CLIENT_MEM_FRACTION": "0.5"}, "0.5 None highest"),
        ({"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.5"}, "None 0.5 highest"),
        ({"JAX_DEFAULT_MATMUL_PRECISION": "default"}, "0.92 None default"),
    ],
)
def test_settings_yield_to_the_users(given, says):
    done = subprocess.run(
        [sys.executable, "-c", SETTINGS], cwd=REPO, env=os.environ | given,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() == says, done.stderr


@pytest.mark.parametrize("content", ["def get_config(:", "import no_such_module"])
def test_a_config_file_that_does_not_load_is_one_line(content, tmp_path):
    (tmp_path / "mine.py").write_text(content)
    done = forked.run("-m", "waltzjax.plan", f"--config={tmp_path / 'mine.py'}")
    assert done.returncode == 2
    assert "mine.py" in done.stderr and "Traceback" not in done.stderr


def test_a_config_is_found_by_its_name_from_anywhere(tmp_path):
    """As a package that is installed finds it: no checkout is at hand."""
    done = subprocess.run(
        [sys.executable, "-m", "waltzjax", "train", "--config=stage1:tiny", "--dry_run"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(REPO)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "config.train.steps.stage1 = 140\n" in done.stdout
    assert not list(tmp_path.iterdir())


def test_the_name_of_no_config_is_refused_with_those_there_are():
    done = forked.run("-m", "waltzjax.train", "--config=stage9:tiny", "--dry_run")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "--config: no file 'stage9', and no config of that name" in done.stderr
    assert ", single, stage1, stage2" in done.stderr


@pytest.mark.parametrize(
    ("flag", "says"),
    [
        ("--config.rl.is_cap=2.0", "--config.rl.is_cap: there is no such key; it is config.rl.tis"),
        ("--config.rollout.group=4", "config.rollout.group: got 4, but nothing that runs reads it"),
        ("--config.train.steps.single=4", "config.train.steps.single: got 4, but nothing that"),
        ("--config.train.steps.singel=4", "train.steps.singel"),
    ],
)  # fmt: skip
def test_a_key_that_changes_nothing_is_refused(flag, says, tmp_path):
    done = forked.run("-m", "waltzjax.train", "--config=stage2:tiny", flag, "--dry_run")
    assert done.returncode in (1, 2) and says in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "config", "override"),
    [
        ("train", "stage2:tiny", "--config.stages=('single',)"),
        ("train", "stage2:tiny", "--config.stages=('stage1',)"),
        ("train", "sft:lora", "--config.lora.rank=0"),
        ("train", "stage1:lora", "--config.lora.rank=0"),
    ],
)
def test_what_a_file_has_for_others_is_dropped_where_the_command_line_chooses(
    command, config, override, tmp_path
):
    more = [f"--config.data.directory={small_data()}", "--config.model.base=embedded",
            "--config.rollout.max_new_tokens=8", "--config.model.param_dtype=float32"]  # fmt: skip
    done = forked.run("-m", f"waltzjax.{command}", f"--config={config}", override, *more,
                      f"--config.sft.data={tmp_path}" if "sft" in config else "--config.seed=1",
                      "--dry_run")  # fmt: skip
    assert "reads it" not in done.stderr and "read only where" not in done.stderr, done.stderr
