"""A backend that is slow, fails or hangs: no step waits, nothing of metrics.jsonl is lost."""

import threading
import time

import pytest

from waltzjax.metrics.background import Background
from waltzjax.metrics.records import read_metrics
from waltzjax.metrics.run_info import RunInfo
from waltzjax.metrics.writer import BACKENDS, BackendEntry, MetricWriter, check_installed


class Kept:
    """A backend that keeps what it is told; ``act`` is done before each call."""

    def __init__(self, act=lambda method: None):
        self.calls, self._act = [], act

    def __getattr__(self, method):
        def call(*args):
            self._act(method)
            self.calls.append((method, *args))

        return call


def background(backend, said, **more):
    return Background("wandb", lambda: backend, said.append, retry_s=(0.0, 0.0), **more)


def scalars(step):
    return ("write_scalars", step, {"loss": float(step)})


def test_calls_arrive_in_order_and_all_before_the_end():
    kept, said = Kept(), []
    one = background(kept, said)
    for step in range(50):
        one.call(*scalars(step))
    one.close()
    assert kept.calls == [*map(scalars, range(50)), ("close",)] and not said


def test_a_slow_backend_stalls_nobody_and_says_so_once():
    go_on = threading.Event()
    kept, said = Kept(lambda _: go_on.wait(10)), []
    one = background(kept, said, room=3)
    one.call(*scalars(0))
    while one._calls:  # until it is under way
        pass
    before = time.monotonic()
    for step in range(1, 10):
        one.call(*scalars(step))
    assert time.monotonic() - before < 0.1
    assert one.left_out == 6 and len(said) == 1 and "too slow: 3 records wait" in said[0]
    go_on.set()
    one.close()
    assert kept.calls == [*map(scalars, range(4)), ("close",)]


def test_a_passing_failure_loses_nothing():
    errors, said = [OSError("no route"), OSError("no route")], []

    def act(_):
        if errors:
            raise errors.pop()

    kept = Kept(act)
    one = background(kept, said)
    for step in range(3):
        one.call(*scalars(step))
    one.close()
    assert kept.calls == [*map(scalars, range(3)), ("close",)]
    assert not said and one.failures == 2 and one.left_out == 0


def test_a_lasting_failure_is_told_once_counted_and_the_backend_is_left_alone():
    tries, said = [], []

    def begin():
        tries.append(True)
        raise OSError(28, "No space left on device")

    one = Background("tensorboard", begin, said.append, retry_s=(0.0, 0.0))
    for step in range(5):
        one.call(*scalars(step))
    one.close()
    one.call(*scalars(9))
    assert len(tries) == one.failures == 3 and one.given_up
    assert one.left_out == 6 and len(said) == 1
    assert "tensorboard of config.metrics.writers fails (OSError: [Errno 28] No space" in said[0]
    assert "metrics.jsonl has every record" in said[0]


def test_the_end_waits_for_a_hanging_backend_no_longer_than_it_may():
    never, said = threading.Event(), []
    one = background(Kept(lambda _: never.wait(30)), said)
    for step in range(3):
        one.call(*scalars(step))
    before = time.monotonic()
    one.close(timeout_s=0.2)
    assert 0.2 <= time.monotonic() - before < 2
    assert len(said) == 1 and "did not end within 0.2 s" in said[0]
    never.set()


def run_info(workdir, resume_step=0):
    return RunInfo(workdir, "stage2", resume_step, "waltzjax", workdir / "metrics.prom")


def test_metrics_jsonl_has_every_record_whatever_becomes_of_the_others(tmp_path, monkeypatch):
    """A backend that hangs for good, one that fails, and one that is as it should be."""
    never, kept = threading.Event(), Kept()

    def broken(run):
        raise RuntimeError("no such server")

    backends = {"hangs": lambda run: Kept(lambda _: never.wait(30)), "broken": broken,
                "good": lambda run: kept}  # fmt: skip
    for name, begin in backends.items():
        monkeypatch.setitem(BACKENDS, name, BackendEntry("prometheus", name))
        monkeypatch.setattr(f"waltzjax.metrics.prometheus.{name}", begin, raising=False)
    said = []
    writer = MetricWriter(run_info(tmp_path), [*backends], said.append)
    before = time.monotonic()
    for step in range(1, 201):
        writer.write_scalars(step, {"loss": step / 4})
        assert len(read_metrics(tmp_path / "metrics.jsonl")) == step  # at once, not at the end
    assert time.monotonic() - before < 5
    writer.close(timeout_s=1)
    never.set()
    records = read_metrics(tmp_path / "metrics.jsonl")
    assert [(r["step"], r["loss"]) for r in records] == [(s, s / 4) for s in range(1, 201)]
    assert kept.calls == [
        *(("write_scalars", s, {"loss": s / 4}) for s in range(1, 201)), ("close",)
    ]  # fmt: skip


def test_a_full_disk_ends_the_run_as_its_records_are_its_memory(tmp_path):
    writer = MetricWriter(run_info(tmp_path), [], print)
    writer._file._file.close()
    writer._file._file = open("/dev/full", "w")  # noqa: SIM115
    with pytest.raises(OSError, match="No space left"):
        writer.write_scalars(1, {"loss": 1.0})


def test_a_writer_that_is_not_installed_is_refused_with_its_extra(monkeypatch):
    monkeypatch.setattr("waltzjax.metrics.writer.find_spec", lambda name: None)
    check_installed(["prometheus"])
    for name, wanted in {"wandb": r"waltzjax\[wandb\]", "trackio": r"waltzjax\[trackio\]"}.items():
        with pytest.raises(ImportError, match=rf"config\.metrics\.writers: got '{name}'.*{wanted}"):
            check_installed([name])


def test_a_folder_of_its_name_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "somewhere").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(BACKENDS, "x", BackendEntry("prometheus", "X", "somewhere", "some"))
    with pytest.raises(ImportError, match="somewhere is not installed"):
        check_installed(["x"])
