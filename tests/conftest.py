"""Eight emulated CPU devices, and programs compiled quickly and once a session; before jax is first
imported.

Runs are tested by running them again and again, a few steps each: most of the time would be
compilation. So XLA's optimisations are off, unless TEST_OPTIMIZATION=3 says otherwise: ``make
slow-test`` does, for what promises numbers.
"""

import atexit
import os
import shutil
import tempfile

LONGEST = ("test_distributed.py", "test_waltz.py")  # begun first, so that all workers end together

os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=8 "
    f"--xla_backend_optimization_level={os.environ.get('TEST_OPTIMIZATION', 0)}"
)
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # workers share that of who started them
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="waltzjax-tests-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONGEST)
