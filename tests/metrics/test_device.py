"""Memory and utilisation: what devices report, what stands for it on CPUs, and no driver."""

import os
import sys
import threading
import types

import jax
import numpy as np
import pytest

from waltzjax.metrics import device
from waltzjax.metrics.device import Utilization, handles, memory


class Device:
    platform = "gpu"

    def __init__(self, number=0, **stats):
        self.local_hardware_id, self._stats = number, stats

    def memory_stats(self):
        return self._stats or None


def test_the_fullest_device_is_what_counts(monkeypatch):
    two = [Device(bytes_in_use=1, peak_bytes_in_use=peak * 2**30, bytes_limit=8 * 2**30)
           for peak in (2, 6)]  # fmt: skip
    monkeypatch.setattr(jax, "local_devices", lambda: two)
    assert memory() == {"device/memory_gib": 6.0, "device/memory_share": 0.75}


def test_on_cpus_it_is_the_process():
    before = memory()["device/memory_gib"]
    with open("/proc/self/statm") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    assert before >= 0.9 * resident / 2**30
    assert 0 < memory()["device/memory_share"] <= 1
    held = np.ones(2**25)  # 256 MiB
    assert memory()["device/memory_gib"] >= before
    del held


def test_without_a_device_of_nvidia_there_is_no_utilization():
    threads = threading.active_count()
    with Utilization() as utilization:
        assert utilization.figures() == {} and threading.active_count() == threads


class Driver(types.ModuleType):
    """nvidia-ml-py, whose devices are busy as ``shares`` say, in per cent; then it fails."""

    class NVMLError(Exception):
        pass

    def __init__(self, *shares):
        self.shares, self.asked = [*shares], threading.Event()

    def nvmlInit(self):
        pass

    def nvmlDeviceGetHandleByIndex(self, number):
        return number

    def nvmlDeviceGetHandleByUUID(self, name):
        return name

    def nvmlDeviceGetUtilizationRates(self, handle):
        if not self.shares:
            self.asked.set()
            raise self.NVMLError("gone")
        return types.SimpleNamespace(gpu=self.shares.pop(0))


def test_utilization_is_the_mean_of_devices_and_readings_since_the_last_step(monkeypatch):
    driver = Driver(100, 50, 80, 10)
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    monkeypatch.setattr(jax, "local_devices", lambda: [Device(0), Device(1)])
    monkeypatch.setattr(device, "SAMPLE_S", 0.001)
    with Utilization() as utilization:
        assert driver.asked.wait(10)  # and a driver that fails ends the readings, not the run
        assert utilization.figures() == {"device/utilization": pytest.approx(0.6)}
        assert utilization.figures() == {}


@pytest.mark.parametrize(
    ("visible", "wanted"),
    [("", [0, 1]), ("3,5", [3, 5]), ("GPU-a, GPU-b", ["GPU-a", "GPU-b"])],
)
def test_the_drivers_numbers_are_not_those_of_cuda(visible, wanted):
    environment = {"CUDA_VISIBLE_DEVICES": visible} if visible else {}
    assert handles(Driver(), [0, 1], environment) == wanted
