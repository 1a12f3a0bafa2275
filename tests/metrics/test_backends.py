"""Backends: their files, read back by readers that are not ours."""

import json
import math
import sqlite3
import struct
import time

import pytest

from waltzjax.metrics import weights_and_biases
from waltzjax.metrics.events import Events
from waltzjax.metrics.prometheus import exposition
from waltzjax.metrics.run_info import RunInfo
from waltzjax.metrics.writer import MetricWriter

HOSTILE = '<script>alert("1")</script> ``` # no heading'


def write(workdir, name, resume_step, steps):
    """A stage's scalars, a text and its config; what was said of it."""
    said = []
    run = RunInfo(workdir, "stage2", resume_step, "project", workdir / "metrics.prom")
    writer = MetricWriter(run, [name], said.append)
    writer.write_hparams({"config.seed": 3, "code.version": "1", "config.stages": ("stage2",)})
    for step in steps:
        writer.write_scalars(step, {"loss/policy": step / 4, "orr": math.nan})
    writer.write_texts(steps[-1], {"rollout": HOSTILE})
    writer.close()
    return said


def events_of(directory):
    """The events of TensorBoard's files in the order in which they were written: their framing is
    two lengths and two checksums around each."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(directory.iterdir(), key=lambda p: int(p.name.rsplit(".", 1)[1])):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            found.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return found


def test_tensorboard_has_scalars_texts_config_and_forgets_what_comes_again(tmp_path):
    assert write(tmp_path, "tensorboard", 0, [1, 2, 3]) == []
    assert write(tmp_path, "tensorboard", 1, [2, 3]) == []
    events = events_of(tmp_path / "tensorboard/stage2")
    scalars = [(e.step, v.tag, v.simple_value) for e in events for v in e.summary.value
               if v.WhichOneof("value") == "simple_value"]  # fmt: skip
    tag = "loss/policy"
    assert scalars == [(s, tag, s / 4) for s in (1, 2, 3, 2, 3)]  # and nothing that is not finite
    # From this step on TensorBoard drops what is older.
    assert [e.step for e in events if e.HasField("session_log")] == [1, 2]
    texts = [(v.tag, v.tensor.string_val[0].decode()) for e in events for v in e.summary.value
             if v.WhichOneof("value") == "tensor"]  # fmt: skip
    assert ("rollout/text_summary", f"    {HOSTILE}") in texts
    assert '"config.seed": 3' in dict(texts)["hparams/text_summary"]


def test_tensorboard_says_that_the_disk_is_full(tmp_path, monkeypatch):
    from tensorboardX import record_writer

    monkeypatch.setattr(record_writer, "open_file", lambda path: open("/dev/full", "wb"))  # noqa: SIM115
    [told] = write(tmp_path, "tensorboard", 0, [1, 2])
    assert "tensorboard of config.metrics.writers fails (OSError: [Errno 28] No space left" in told
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2


PROM = r"""# HELP waltzjax_step step
# TYPE waltzjax_step gauge
waltzjax_step{run="a\"b\\c\nd",stage="stage2"} 7.0
# HELP waltzjax_reward_policy reward/policy
# TYPE waltzjax_reward_policy gauge
waltzjax_reward_policy{run="a\"b\\c\nd",stage="stage2"} -1e-07
"""


def test_prometheus_text_to_the_letter():
    labels = {"run": 'a"b\\c\nd', "stage": "stage2"}
    assert exposition({"step": 7, "reward/policy": -1e-7, "reward_policy": 2.0}, labels) == PROM


def test_prometheus_reads_it(tmp_path):
    parser = pytest.importorskip("prometheus_client.parser")
    assert write(tmp_path, "prometheus", 0, [1, 2, 3]) == []
    families = list(parser.text_string_to_metric_families((tmp_path / "metrics.prom").read_text()))
    values = {s.name: s.value for f in families for s in f.samples}
    assert values["waltzjax_step"] == 3 and values["waltzjax_loss_policy"] == 0.75
    assert set(values) == {"waltzjax_step", "waltzjax_loss_policy", "waltzjax_wall_time_seconds"}
    labels = {"run": tmp_path.name, "stage": "stage2"}
    assert all(s.labels == labels for f in families for s in f.samples)
    assert not list(tmp_path.glob(".*.tmp"))


def wandb_records(data):
    """The records of a wandb file: LevelDB's log in blocks of 32 KiB, after a header of 7 bytes; a
    part of a record has a checksum, its length and its kind before it: whole, first, middle, last.
    """
    at, whole = 7, b""
    while at + 7 <= len(data):
        if 2**15 - at % 2**15 < 7:  # no room for a part's header: the next block
            at += 2**15 - at % 2**15
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield whole
            whole = b""


def test_wandb_offline_needs_no_account(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2

    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    Events(tmp_path).add("launch")
    assert write(tmp_path, "wandb", 0, [1, 2]) == []
    [path] = tmp_path.glob("wandb/offline-run-*/*.wandb")
    parsed = wandb_internal_pb2.Record.FromString
    records: list = []
    until = time.monotonic() + 20  # its process writes the file a moment after it has said so
    while not any(record.HasField("exit") for record in records):
        assert time.monotonic() < until
        records = [parsed(data) for data in wandb_records(path.read_bytes())]
    rows, config, runs = [], {}, []
    for record in records:
        if record.HasField("history"):
            row = {i.key or "/".join(i.nested_key): json.loads(i.value_json)
                   for i in record.history.item}  # fmt: skip
            rows.append((row["_step"], row.get("loss/policy")))
        if record.HasField("run"):
            runs.append(record.run)
            config |= {u.key: u.value_json for u in record.run.config.update}
        if record.HasField("config"):
            config |= {u.key or u.nested_key[0]: u.value_json for u in record.config.update}
    assert [row for row in rows if row[1] is not None] == [(1, 0.25), (2, 0.5)]
    assert config["config.seed"] == "3"
    run = RunInfo(tmp_path, "stage2", 0, "project", tmp_path)
    assert runs[0].run_id == f"{run.key}-stage2" and runs[0].project == "project"


def test_a_run_keeps_its_key_and_a_new_one_has_another(tmp_path):
    run = RunInfo(tmp_path, "stage2", 0, "project", tmp_path)
    Events(tmp_path).add("launch")
    first = run.key
    Events(tmp_path).add("launch")
    assert run.key == first
    (tmp_path / "events.jsonl").unlink()
    Events(tmp_path).add("launch")
    assert run.key != first


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, "offline"), ({"WANDB_API_KEY": "k"}, "online"),
        ({"WANDB_API_KEY": "k", "WANDB_MODE": "offline"}, "offline"),
        ({"WANDB_MODE": "disabled"}, "disabled"), ({"WANDB_BASE_URL": "https://own:80"}, "online"),
    ],
)  # fmt: skip
def test_wandb_is_online_where_it_has_a_key(environment, wanted, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine own login user password secret\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert weights_and_biases.mode(environment) == wanted


def test_trackio_needs_no_network(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))  # read as it is imported
    pytest.importorskip("trackio")
    assert write(tmp_path, "trackio", 0, [1, 2]) == []
    with sqlite3.connect(tmp_path / "trackio/project.db") as database:
        rows = database.execute("SELECT step, metrics FROM metrics ORDER BY id").fetchall()
        [[config]] = database.execute("SELECT config FROM configs").fetchall()
    found = [(step, json.loads(text)) for step, text in rows]
    assert [(step, m["loss/policy"]) for step, m in found if "loss/policy" in m] == [
        (1, 0.25), (2, 0.5),
    ]  # fmt: skip
    assert any(step == 2 and HOSTILE in str(m.get("rollout")) for step, m in found)
    assert json.loads(config)["config.seed"] == 3
