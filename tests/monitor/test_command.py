"""The command: exit statuses, several runs, requests to stop, a terminal."""

import io
import json
import os

import forked
import pytest
from rich.console import Console
from watched import begin, event, record, write

from waltzjax.monitor import __main__ as command
from waltzjax.monitor.desk import Desk
from waltzjax.monitor.sources import RunDirectory


def monitor(*arguments):
    return forked.run("-m", "waltzjax.monitor", *map(str, arguments))


def bad(first=1, last=60):
    return [record(i, **{"kl/feedback": 0.5}) for i in range(first, last + 1)]


def test_once_is_0_on_a_good_run_and_3_where_a_critical_rule_stands(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    good, wrong = begin(tmp_path / "good"), begin(tmp_path / "wrong")
    write(good, [record(i) for i in range(1, 61)])
    write(wrong, bad())
    done = monitor(f"--workdir={good}", empty, "--once")
    lines = done.stdout.splitlines()
    assert (done.returncode, len(lines), done.stderr) == (0, 2, "")
    assert lines[1].startswith("empty  not begun  no run has begun here")
    assert not any(empty.iterdir())  # the trainer takes no directory that holds other files
    alert = "critical: kl/feedback of run wrong is 0.5, above 0.2, at step 4 of stage2 (rule kl)"
    for told in (True, False):  # an alert is told once, the exit status stays
        done = monitor(f"--workdir={good}", f"--workdir={wrong}", "--once")
        assert done.returncode == 3 and (alert in done.stdout) is told
    assert json.loads((wrong / "monitor/status.json").read_text())["critical"]
    assert len((wrong / "monitor/alerts.jsonl").read_text().splitlines()) == 1
    uncritical = monitor(f"--workdir={wrong}", "--once", "--rule=kl: kl > 0.2")
    assert uncritical.returncode == 0 and "WARNING kl/feedback above 0.2" in uncritical.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--workdir: name a run's directory, or a log with --log_file"),
        (["--workdir=nowhere"], "--workdir: no such directory: nowhere"),
        (["--workdir=.", "nowhere"], "--workdir: no such directory: nowhere"),
        (["--log-file=nowhere"], "--log_file: no such file: nowhere"),
        (["nowhere"], "unexpected argument 'nowhere'"),
        (["--workdir=.", "--interval=0"], "--interval: got 0, allowed is > 0"),
        (["--workdir=.", "--rule=kl"], "--rule: got 'kl', allowed is '[NAME:] METRIC > NUMBER"),
        (["--workdir=.", "--stop-on=klx"], "--stop_on: got klx, allowed are dir, asr"),
        (["--workdir=.", "--serve=0"], "--serve: shows one run while it is watched; give one"),
        (
            ["--workdir=.", "--alert=ada@example.org"],
            "--alert=ada@example.org: it may be",
        ),
        (["--test_alert"], "--test_alert: needs at least one --alert"),
        (["--log_file=LICENSE", "--stop_on=kl"], "--stop_on: a plain log has no trainer"),
        (["--workdir=.", "--once", "--serve=0"], "--serve: shows one run while it is watched"),
        (["--workdir=.", "--serve=70000"], "flag --serve=70000"),
        (["--test_alert"], "--test_alert: needs at least one --alert"),
        (["--workdir=.", "--alert=pigeon:x"], "--alert"),
    ],
)
def test_wrong_usage_is_2_and_one_line(arguments, said):
    done = monitor(*arguments, "--once")
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.startswith(f"error: {said}") and len(done.stderr.splitlines()) == 2


def test_a_plain_log_by_the_sources_flag(tmp_path):
    log = tmp_path / "train.log"
    log.write_text("".join(f"Step {i}/500 | loss: 0.5 | KL: 0.6\n" for i in range(1, 31)))
    done = monitor("--log-file", log, "--once")
    assert done.returncode == 3 and "step 30/500 (6 %)" in done.stdout
    assert (tmp_path / "train.log.watch/monitor/status.json").exists()


class Post:
    """A sender that notes what it is given."""

    def __init__(self, *problems):
        self.destinations, self.queued, self.sent, self.problems = problems, [], [], [*problems]

    def queue(self, home, alerts):
        self.queued += [(home, [alert.rule for alert in alerts])]

    def send(self, homes):
        self.sent.append(homes)
        return self.problems


def desk(*workdirs, stop_on=(), sender=None, once=False):
    return Desk([RunDirectory(d) for d in workdirs], (), stop_on, sender or Post(), once)


def test_a_trainer_is_asked_once_to_stop_and_only_by_a_rule_that_stands(tmp_path):
    over, stands = begin(tmp_path / "over"), begin(tmp_path / "stands")
    write(over, [*bad(1, 30), *(record(i) for i in range(31, 61))])
    write(stands, bad())
    said = []
    one = desk(over, stands, stop_on=["kl"])
    shown = one.check(said.append)
    assert len(said) == 2 and not (over / "stop").exists()
    assert "kl/feedback of run stands is 0.5" in (stands / "stop").read_text()
    assert shown[1][2].startswith("asked to stop: critical: kl/feedback of run stands")
    (stands / "stop").unlink()
    one.check(said.append)
    assert len(said) == 2 and not (stands / "stop").exists()
    one.close()
    # Of an alert that was told before, cron's check asks no more, and a monitor that joins does.
    for once, asked in ((True, False), (False, True)):
        other = desk(stands, stop_on=["kl"], once=once)
        other.check(said.append)
        assert len(said) == 2 and (stands / "stop").exists() is asked
        other.close()


def test_a_run_that_cannot_be_read_for_a_while_is_shown_as_it_was(tmp_path, monkeypatch):
    run = begin(tmp_path / "run")
    write(run, bad())
    one = desk(run)
    [(_, before, _)] = one.check(lambda text: None)

    def away(self):
        raise OSError("stale file handle")

    monkeypatch.setattr(RunDirectory, "read", away)
    [(_, status, note)] = one.check(lambda text: None)
    assert status == before and note == "cannot be read: stale file handle"
    with pytest.raises(OSError, match="stale"):
        desk(run).check(lambda text: None)
    one.close()


def test_those_who_are_told_get_each_alert_once_by_directory(tmp_path):
    run, post = begin(tmp_path / "run"), Post("mail is down")
    write(run, bad())
    one = desk(run, sender=post)
    said = []
    one.check(said.append)
    one.check(said.append)
    assert post.queued == [(run, ["kl"]), (run, [])] and post.sent == [[run], [run]]
    assert said[1:] == ["mail is down", "mail is down"]
    other = Post("mail is down")
    [(*_, note)] = desk(run, sender=other).check(said.append)
    assert "--alert sends nothing from here" in note and not other.queued
    one.close()


def test_an_alert_is_kept_to_be_sent_before_it_counts_as_told(tmp_path):
    run, post = begin(tmp_path / "run"), Post("mail")
    write(run, bad())
    post.queue = lambda home, alerts: [][1]  # ended in between
    with pytest.raises(IndexError):
        desk(run, sender=post).check(lambda text: None)
    assert not (run / "monitor/alerts.jsonl").exists()


def test_a_trainer_that_could_not_be_asked_is_asked_again(tmp_path):
    run, said = begin(tmp_path / "run"), []
    write(run, bad())
    (run / "stop").mkdir()  # nothing can be written there
    one = desk(run, stop_on=["kl"], once=True)
    [(*_, note)] = one.check(said.append)
    assert "could not ask to stop, tries again" in note and len(said) == 1
    (run / "stop").rmdir()
    one.check(said.append)
    assert "kl/feedback" in (run / "stop").read_text() and len(said) == 1
    one.close()


def test_it_watches_until_all_runs_are_finished(tmp_path, monkeypatch, capsys):
    run = begin(tmp_path / "run")
    write(run, [record(i) for i in range(1, 61)])
    naps = []

    def sleep(seconds):
        naps.append(seconds)
        if len(naps) == 2:
            event(run, "end", 1.9e9)

    monkeypatch.setattr(command.time, "sleep", sleep)
    assert command.run(desk(run), 7.0, False, Console(file=io.StringIO())) is False
    assert naps == [7.0, 7.0]
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()][-1] == "finished"


def test_a_served_page_stays_when_its_run_is_finished(tmp_path, monkeypatch, capsys):
    run = begin(tmp_path / "run")
    write(run, [record(i) for i in range(1, 61)])
    event(run, "end", 1.9e9)
    naps = []

    def sleep(seconds):
        naps.append(seconds)
        if len(naps) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(command.time, "sleep", sleep)
    assert command.run(desk(run), 7.0, False, Console(file=io.StringIO()), "http:") is False
    assert len(naps) == 3 and capsys.readouterr().out.startswith("http: is the run's page")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_on_a_terminal_the_view_is_drawn_and_ctrl_c_ends_it(tmp_path, monkeypatch):
    run = begin(tmp_path / "run")
    write(run, bad())
    monkeypatch.setenv("TERM", "xterm")

    def sleep(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(command.time, "sleep", sleep)
    out = io.StringIO()
    screen = Console(file=out, force_terminal=True, width=100, height=50)
    assert command.run(desk(run), 1.0, False, screen) is True
    drawn = out.getvalue()
    assert "\x1b[" in drawn and "╭" in drawn and "CRITICAL kl/feedback" in drawn
    assert drawn.index("critical: kl/feedback of run run") < drawn.index("╭")
