"""How a run stands at each check, from nothing to its end."""

import json
import time

import pytest
from watched import START, STEP_S, begin, event, record, resume, write

from waltzjax.monitor.sources import Log, RunDirectory, named
from waltzjax.monitor.watch import Watch, duration

NORMAL = [record(i) for i in range(1, 41)]


def watch(path):
    [only] = named([RunDirectory(path)])
    return Watch(only)


def at(step):
    """A second after the record of that step."""
    return START + STEP_S * step + 1


def test_a_run_from_nothing_to_its_end(tmp_path):
    workdir = tmp_path / "demo"
    workdir.mkdir()
    watched = watch(workdir)
    status, alerts = watched.check(START)
    assert (status.state, status.step, alerts) == ("not begun", 0, [])
    assert "neither config.json" in status.text
    workdir.rmdir()
    begin(workdir)
    assert watched.check(START + 60)[0].state == "starting"
    assert watched.check(START + 3600)[0].state == "stalled"
    write(workdir, NORMAL)
    status, _ = watched.check(at(40))
    assert (status.run, status.state, status.stage, status.step, status.total, status.records) == (
        "demo", "running", "stage2", 40, 100, 40,
    )  # fmt: skip
    assert (status.step_s, status.left_s, status.low_s, status.high_s) == (10, 600, 600, 600)
    status, _ = watched.check(at(40) + 98)
    assert status.state == "running"
    status, _ = watched.check(at(40) + 102)
    assert status.state == "stalled" and "nothing written for 1 min 43 s" in status.text
    write(workdir, [record(i) for i in range(41, 101)])
    event(workdir, "end", at(100))
    status, _ = watched.check(at(100) + 10**6)
    assert (status.state, status.step, status.left_s) == ("finished", 100, 0)


def test_a_run_that_was_stopped_says_why_and_one_that_goes_on_runs(tmp_path):
    workdir = begin(tmp_path / "demo")
    write(workdir, NORMAL)
    event(workdir, "stop", at(40), "Stopped: stopped by SIGTERM")
    watched = watch(workdir)
    status, _ = watched.check(at(1000))
    assert (status.state, status.text) == ("stopped", "Stopped: stopped by SIGTERM")
    event(workdir, "resume", at(1000))
    status, _ = watched.check(at(1001))
    assert status.state == "running"  # compiling: it has half an hour


def test_while_an_evaluation_is_due_no_record_is_no_fault(tmp_path):
    workdir = begin(tmp_path / "demo", train={"steps": {"stage2": 100}, "validate_every": 40})
    write(workdir, NORMAL)
    watched = watch(workdir)
    assert watched.check(at(40))[0].state == "running"
    assert watched.check(at(40) + 600)[0].state == "evaluating"
    assert watched.check(at(40) + 1900)[0].state == "stalled"


def test_stages_are_counted_and_later_ones_are_in_the_time_of_the_run(tmp_path):
    workdir = begin(tmp_path / "demo", ("stage1", "stage2", "stage3"))
    write(workdir, [record(i, "stage1") for i in range(1, 101)])
    write(workdir, [record(100 + i, "stage2") | {"step": i} for i in range(1, 31)])
    status, _ = watch(workdir).check(at(130))
    assert (status.stage, status.number, status.stages, status.step) == ("stage2", 2, 3, 30)
    assert (status.left_s, status.run_left_s) == (700, 1700)


BAD = [record(i, **{"kl/feedback": 0.5}) for i in range(41, 61)]


def test_an_episode_is_one_alert_and_stands_until_it_ends(tmp_path):
    workdir = begin(tmp_path / "demo")
    write(workdir, NORMAL)
    watched = watch(workdir)
    assert watched.check(at(40))[1] == []
    told = []
    for bad in BAD:
        write(workdir, [bad])
        status, alerts = watched.check(at(bad["step"]))
        told += alerts
    [alert] = told
    assert alert[:6] == ("demo", "kl", True, "stage2", alert.step, "kl/feedback")
    assert 43 <= alert.step <= 52 and alert.above and alert.threshold == 0.2 < alert.value
    assert alert.history[-1] == (alert.step, alert.value) and len(alert.history) == 20
    assert status.critical and [e.metric for e in status.standing] == ["kl/feedback"]
    write(workdir, [record(i) for i in range(61, 80)])
    status, alerts = watched.check(at(79))
    assert not status.standing and not status.critical and alerts == [] and status.alerts == 1


def test_a_resume_that_goes_back_rewinds_what_is_known(tmp_path):
    workdir = begin(tmp_path / "demo")
    write(workdir, [*NORMAL, *BAD])
    watched = watch(workdir)
    status, alerts = watched.check(at(60))
    assert status.critical and len(alerts) == 1 and status.step == 60
    resume(workdir, 40)
    event(workdir, "resume", at(100))
    status, alerts = watched.check(at(100))
    assert (status.step, status.records, status.standing, alerts) == (40, 40, (), [])
    assert [r["step"] for r in watched.history] == [*range(1, 41)]
    # The time between is no step.
    write(workdir, [record(i) | {"wall_time": at(100 + i)} for i in range(41, 51)])
    assert watched.check(at(151))[0].step_s == 10


def test_thresholds_are_those_of_the_run_and_change_with_it(tmp_path):
    workdir = begin(tmp_path / "demo", monitor={"kl": {"threshold": 0.6}})
    write(workdir, [*NORMAL, *BAD])
    watched = watch(workdir)
    assert not watched.check(at(60))[0].standing
    config = json.loads((workdir / "config.json").read_text())
    config["monitor"] = {"rules": ["entropy < 0.1"], "kl": {"critical": False}}
    (workdir / "config.json").write_text(json.dumps(config))
    status, _ = watched.check(at(60))
    assert len(status.standing) == 1 and not status.critical
    assert watched.rules[-1].name == "entropy"


def test_the_history_is_of_a_thousand_records(tmp_path):
    workdir = begin(tmp_path / "demo")
    write(workdir, [record(i) for i in range(1, 3001)])
    watched = watch(workdir)
    status, _ = watched.check(at(3000))
    assert status.records == 3000 and len(watched.history) == 1000
    assert watched.history[0]["step"] == 2001


def test_a_run_of_before_there_were_events_is_finished_with_its_results(tmp_path):
    workdir = begin(tmp_path / "demo")
    (workdir / "events.jsonl").unlink()
    write(workdir, [{"stage": "stage2", "step": i, "time_s": 2.0} for i in range(1, 101)])
    watched = watch(workdir)
    status, _ = watched.check((workdir / "metrics.jsonl").stat().st_mtime)
    assert (status.state, status.total, status.step_s) == ("running", 100, 2.0)
    (workdir / "final_validation_results.json").write_text("{}")
    assert watched.check(START)[0].state == "finished"


def test_a_plain_log(tmp_path):
    log = tmp_path / "train.log"
    log.write_text("".join(f"Step {i}/500 | loss: 0.5 | KL: 0.01\n" for i in range(1, 31)))
    [only] = named([Log(log, 0)])
    watched = Watch(only)
    status, alerts = watched.check(log.stat().st_mtime)
    assert (status.run, status.state, status.step, status.total) == (
        "train.log",
        "running",
        30,
        500,
    )
    assert alerts == []
    with log.open("a") as file:
        file.write("".join(f"Step {i}/500 | loss: 0.5 | KL: 0.6\n" for i in range(31, 51)))
    status, [alert] = watched.check(log.stat().st_mtime)
    assert (alert.rule, alert.stage, alert.metric) == ("kl", "", "kl") and status.critical


def test_runs_of_one_name_are_known_by_their_paths(tmp_path):
    paths = [tmp_path / "a/demo", tmp_path / "b/demo", tmp_path / "c"]
    names = [w.name for w in named([RunDirectory(p) for p in paths])]
    assert names == [str(paths[0]), str(paths[1]), "c"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "-"), (0.84, "0.8 s"), (9.99, "10 s"), (59.4, "59 s"), (60, "1 min"),
        (185, "3 min 5 s"), (3600, "1 h"), (56940, "15 h 49 min"), (3599.9, "60 min"),
        (187200, "2 d 4 h"),
    ],
)  # fmt: skip
def test_durations_in_words(seconds, words):
    assert duration(seconds) == words


@pytest.mark.slow
def test_two_hundred_thousand_records_are_read_and_judged_in_two_seconds(tmp_path):
    """Of the processor's time; records of 60 figures, 1.6 kB, as WaltzRL's are."""
    workdir = begin(tmp_path / "demo")
    more = {f"figure/{i}": 0.123456789012345 * i for i in range(42)}
    more |= dict.fromkeys(("orr", "dir", "loss/feedback", "loss/conversation"), 0.1234567890123)
    with (workdir / "metrics.jsonl").open("w") as file:
        for i in range(1, 200_001):
            rows = record(i, **{"kl/conversation": 0.04}, **more)
            file.write(json.dumps(rows) + "\n")
    seconds = []
    for _ in range(3):
        watched, started = watch(workdir), time.process_time()
        assert watched.check(at(200_000))[0].records == 200_000
        seconds.append(time.process_time() - started)
    assert min(seconds) <= 2.0
