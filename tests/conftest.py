"""Eight emulated CPU devices, and programs compiled quickly and once a machine; before jax is first
imported.

Runs are tested by running them again and again, a few steps each: most of the time would be
compilation. So XLA's optimisations are off, unless TEST_OPTIMIZATION=3 says otherwise: ``make
slow-test`` does, for what promises numbers. What was compiled is kept in the user's cache, by the
program's text and the compiler's version: a later session, of another checkout too, reads it.
"""

import atexit
import os
import shutil
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

# Begun first, so that all workers end together: files of minutes, then what trains or compiles.
LONGEST = ("test_distributed.py", "test_waltz.py", "test_dpo.py", "test_collect.py", "test_rlvr.py")
HEAVY = ("runs", "training", "engine", "stages", "commands", "model", "preference", "toy")
KEPT_BYTES = 2**30  # of compiled programs; a whole suite makes a fraction of it


def kept_programs() -> Path:
    """The directory of compiled programs, without the oldest beyond ``KEPT_BYTES``."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = home / "waltzjax-tests"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        files = [(file.stat(), file.path) for file in os.scandir(directory)]
        total = 0
        for stat, path in sorted(files, key=lambda f: -max(f[0].st_atime, f[0].st_mtime)):
            total += stat.st_size
            if total > KEPT_BYTES:
                os.remove(path)
    except OSError:  # no home to write to, or another session removes the same files
        directory = Path(tempfile.mkdtemp(prefix="waltzjax-tests-"))
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


level = os.environ.get("TEST_OPTIMIZATION", "0")
flags = ["--xla_force_host_platform_device_count=8", f"--xla_backend_optimization_level={level}"]
if level == "0" and version("jaxlib").startswith("0.10."):
    flags.append("--xla_cpu_use_fusion_emitters=false")  # half the time; newer XLA has no such flag
os.environ["XLA_FLAGS"] = " ".join(flags)
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.05"
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # workers share that of who started them
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(kept_programs())

if find_spec("torch") is None:  # make test-newest
    collect_ignore_glob = ["*/test_torch_*.py"]


def pytest_collection_modifyitems(items):
    def begins(item):
        name, room = item.path.name, item.path.parent.name
        return (
            LONGEST.index(name) if name in LONGEST else len(LONGEST),
            HEAVY.index(room) if room in HEAVY else len(HEAVY),
        )

    items.sort(key=begins)
