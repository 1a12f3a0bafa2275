"""Sending: nothing is lost, nothing comes twice, no hour brings too much, nothing holds it up."""

import dataclasses
import json
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from alerts import NOON, FakeTime, alert
from judge_server import JudgeServer, reply, well
from mail_server import Mailbox, mail_server

from waltzjax.monitor.delivery.attempts import Refused, Unreached
from waltzjax.monitor.delivery.message import Message, chat_text
from waltzjax.monitor.delivery.outbox import Outbox
from waltzjax.monitor.send import Sender, make_sender, send_test

SECRET = "T024BE7LD-xoxb-9f86d081"


@dataclasses.dataclass
class Place:
    """A destination that keeps what it gets; ``react`` may raise."""

    label: str = "env:PLACE"
    react: Callable[[], object] = lambda: None
    got: list[Message] = dataclasses.field(default_factory=list)

    def deliver(self, message: Message, timeout_s: float) -> None:
        self.react()
        self.got.append(message)

    def rules(self) -> list[list[str]]:
        return [sorted(r.alert.rule for r in (*m.in_full, *m.summed_up)) for m in self.got]


def deliver(sender, raised):
    """What a check does: alerts are kept, by run, and then all that waits is sent."""
    for workdir, alerts in raised.items():
        sender.queue(workdir, alerts)
    return sender.send([*raised])


def fail(error: Exception) -> Callable[[], object]:
    def react() -> None:
        raise error

    return react


def sender_for(place: Place, time_: FakeTime | None = None, **options) -> Sender:
    time_ = time_ or FakeTime()
    return Sender([place], clock=time_.clock, wait=time_.wait, **options)


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    (tmp_path / "demo").mkdir()
    return tmp_path / "demo"


def unsent(workdir: Path) -> list[dict]:
    path = workdir / "monitor/unsent.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_an_alert_that_could_not_be_sent_comes_with_a_later_check_once(workdir):
    place = Place(react=fail(Unreached("down")))
    sender = sender_for(place)
    assert deliver(sender, {workdir: [alert()]}) == [
        "alerts to env:PLACE: down. The alerts wait for a later check"
    ]
    (line,) = unsent(workdir)
    assert (line["to"], line["run"], line["value"], line["wall_time"]) == (
        "env:PLACE", "demo", 0.31, NOON,
    )  # fmt: skip
    place.react = lambda: None
    assert deliver(sender, {workdir: []}) == [] and deliver(sender, {workdir: []}) == []
    assert place.rules() == [["kl"]] and unsent(workdir) == []


def test_an_alert_outlives_the_process(workdir):
    deliver(sender_for(Place(react=fail(Unreached("down")))), {workdir: [alert(value=math.nan)]})
    place = Place()
    for _ in range(2):  # what is sent stays sent, also of figures that equal nothing
        assert deliver(sender_for(place), {workdir: []}) == []
    assert place.rules() == [["kl"]] and math.isnan(place.got[0].in_full[0].alert.value)
    assert place.got[0].in_full[0].when == NOON


def test_each_destination_gets_each_alert_whatever_another_does(workdir):
    down, up = Place("env:DOWN", fail(Unreached("down"))), Place("env:UP")
    sender = Sender([down, up], clock=(t := FakeTime()).clock, wait=t.wait)
    deliver(sender, {workdir: [alert()]})
    down.react = lambda: None
    deliver(sender, {workdir: [alert(rule="orr")]})
    assert (down.rules(), up.rules()) == ([["kl", "orr"]], [["kl"], ["orr"]])


def test_an_hour_brings_so_many_messages_and_the_next_one_sums_up_the_rest(workdir):
    place, time_ = Place(), FakeTime()
    sender, told = sender_for(place, time_, most_per_hour=2), []
    for minute in range(0, 70, 10):
        time_.now = NOON + 60 * minute
        told.append(deliver(sender, {workdir: [alert(rule=f"r{minute}")]}))
    assert place.rules() == [["r0"], ["r10"], ["r20", "r30", "r40", "r50", "r60"]]
    assert len(place.got[2].in_full) == 4 and "also rule r20: once" in chat_text(place.got[2])
    assert told[1] == [] and "2 messages within an hour are the most" in told[2][0]


def test_the_limit_of_an_hour_outlives_the_process(workdir):
    place, time_ = Place(), FakeTime()
    for _ in range(3):  # as cron starts it
        deliver(sender_for(place, time_, most_per_hour=2), {workdir: [alert()]})
        time_.now += 60
    assert len(place.got) == 2 and len(unsent(workdir)) == 1


def test_several_runs_share_a_destination_and_its_limit(workdir, tmp_path):
    (other := tmp_path / "other").mkdir()
    place = Place()
    sender = sender_for(place, most_per_hour=3)
    for _ in range(2):
        deliver(sender, {workdir: [alert()], other: [alert(run="other")]})
    assert [m.in_full[0].alert.run for m in place.got] == ["demo", "other", "demo"]
    assert unsent(workdir) == [] and [line["run"] for line in unsent(other)] == ["other"]


def test_a_pause_that_a_server_asks_for_outlasts_the_check(workdir):
    place, time_ = Place(react=fail(Unreached("busy", 900))), FakeTime()
    sender = sender_for(place, time_)
    deliver(sender, {workdir: [alert()]})
    place.react = lambda: None
    time_.now += 300
    assert (
        "busy. The alerts wait until 2026-10-02 12:15:00 UTC" in deliver(sender, {workdir: []})[0]
    )
    time_.now += 700
    assert deliver(sender, {workdir: []}) == [] and len(place.got) == 1


def test_a_refusal_is_said_at_each_check_and_tried_again_half_an_hour_later(workdir):
    place, time_, tries = Place(), FakeTime(), []
    place.react = lambda: (tries.append(time_.now), fail(Refused("login refused"))())
    sender = sender_for(place, time_)
    for _ in range(13):
        assert "login refused" in deliver(sender, {workdir: [alert()]})[0]
        time_.now += 300
    assert tries == [NOON, NOON + 1800, NOON + 3600] and len(unsent(workdir)) == 13


def test_a_server_that_hangs_holds_up_no_check_and_gets_nothing_twice(workdir):
    free = threading.Event()
    place = Place(react=lambda: free.wait(30))
    sender = Sender([place], budget_s=0.1)
    start = time.monotonic()
    told = deliver(sender, {workdir: [alert()]}) + deliver(sender, {workdir: [alert(rule="orr")]})
    assert time.monotonic() - start < 10
    assert len(told) == 2 and all("no answer yet" in line for line in told)
    assert [line["rule"] for line in unsent(workdir)] == ["kl", "orr"]
    free.set()
    sender._threads[place.label].join(10)
    assert place.rules() == [["kl"]] and [line["rule"] for line in unsent(workdir)] == ["orr"]
    deliver(sender, {workdir: []})
    assert place.rules() == [["kl"], ["orr"]] and unsent(workdir) == []


def test_a_fault_nobody_thought_of_ends_nothing_and_shows_no_text(workdir, capfd, caplog):
    sender = sender_for(Place(react=fail(RuntimeError(f"https://h/{SECRET}"))))
    (line,) = deliver(sender, {workdir: [alert()]})
    assert "RuntimeError" in line
    assert SECRET not in line + "".join(capfd.readouterr()) + caplog.text


def test_a_directory_that_cannot_be_written_keeps_no_alert_back(tmp_path):
    (tmp_path / "monitor").write_text("a file")
    place = Place(react=fail(Unreached("down")))
    sender = sender_for(place)
    deliver(sender, {tmp_path: [alert()]})
    place.react = lambda: None
    assert deliver(sender, {tmp_path: []}) == [] and place.rules() == [["kl"]]


def test_lines_that_are_damaged_are_left_out(workdir):
    deliver(
        sender_for(Place(react=fail(Unreached("down")))), {workdir: [alert(), alert(rule="orr")]}
    )
    path = workdir / "monitor/unsent.jsonl"
    path.write_text('{"to": "env:PLACE"\n[1]\n{}\n' + path.read_text()[:-9])
    assert [r.alert.rule for r in Outbox(workdir / "monitor").waiting("env:PLACE")] == ["kl"]


def test_without_a_destination_nothing_is_written(workdir):
    assert deliver(Sender([]), {workdir: [alert()]}) == [] and not [*workdir.iterdir()]


def test_no_secret_is_written_or_shown(workdir, capfd, caplog):
    url = f"https://alice:{SECRET}@nowhere.invalid/"
    answers = [reply(status, f"no {SECRET}") for status in (500, 404, 429)]
    with JudgeServer(*answers) as server, mail_server(Mailbox(f"550 no {SECRET}")) as port:
        environment = {
            "HOOK": f"http://127.0.0.1:{server.port}/{SECRET}",
            "PHONE": f"json://alice:{SECRET}@127.0.0.1:1/{SECRET}",
            "WALTZJAX_SMTP_URL": f"smtp+plain://127.0.0.1:{port}",
        }
        sender = make_sender(["env:HOOK", "env:PHONE"], environment)
        sender._wait = lambda _: None
        shown = deliver(sender, {workdir: [alert()]})
        send_test(sender)
        with pytest.raises(ValueError) as refused:
            make_sender([url], environment)
    assert len(shown) == 2 and len(unsent(workdir)) == 2
    files = "".join(p.read_text() for p in workdir.rglob("*") if p.is_file())
    everything = "".join([*shown, files, *capfd.readouterr(), caplog.text, str(refused.value)])
    assert SECRET not in everything and "***" in everything


def test_from_an_alert_to_a_mailbox_and_a_channel_through_failures(workdir):
    with (
        JudgeServer(reply(500, ""), reply(429, "", retry_after="2"), well()) as server,
        mail_server(box := Mailbox("451 4.3.0 later")) as port,
    ):
        environment = {
            "HOOK": f"http://127.0.0.1:{server.port}/x",
            "WALTZJAX_SMTP_URL": f"smtp+plain://127.0.0.1:{port}",
        }
        sender = make_sender(["env:HOOK", "mailto:bob@example.org"], environment)
        sender._wait = (waits := []).append
        assert deliver(sender, {workdir: [alert()]}) == []
    assert len(server.requests) == 3 and (box.rejected, len(box.mails)) == (1, 1)
    assert 2.0 in waits and unsent(workdir) == []


def test_a_test_message_says_of_each_destination_ok_or_what_to_do(capsys):
    with JudgeServer() as server, mail_server(box := Mailbox()) as port:
        environment = {
            "HOOK": f"http://127.0.0.1:{server.port}/x",
            "WALTZJAX_SMTP_URL": f"smtp+plain://127.0.0.1:{port}",
        }
        sender = make_sender(["env:HOOK", "mailto:bob@example.org"], environment)
        assert send_test(sender) == 0
        server.then = reply(404, "no_service")
        assert send_test(sender) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "env:HOOK: ok, the test message is sent",
        "mailto:bob@example.org: ok, the test message is sent",
        "env:HOOK: not sent: the server answers 404 (no_service); make a new webhook there and "
        "put its URL into HOOK",
        "mailto:bob@example.org: ok, the test message is sent",
    ]
    assert box.mails[0]["Subject"].startswith("[waltzjax] test: kl of run test is 0.31")
    assert server.requests[0]["body"]["text"].startswith("This is a test of waltzjax.monitor")
    with pytest.raises(ValueError, match="at least one --alert"):
        send_test(Sender([]))
