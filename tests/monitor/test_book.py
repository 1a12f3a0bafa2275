"""The monitor's own files: alerts once, snapshots whole."""

import json
import os
import threading

import pytest
from watched import START, begin, record, write

from waltzjax.monitor.alert import Alert
from waltzjax.monitor.book import Book
from waltzjax.monitor.sources import RunDirectory, named
from waltzjax.monitor.watch import Watch


def alert(step, rule="kl", metric="kl/feedback"):
    return Alert("demo", rule, True, "stage2", step, metric, 0.3, True, 0.2, ((step, 0.3),))


@pytest.fixture
def book(tmp_path):
    made = Book()
    made.open(tmp_path)
    yield made
    made.close()


def lines(tmp_path):
    return [json.loads(x) for x in (tmp_path / "monitor/alerts.jsonl").read_text().splitlines()]


def test_alerts_are_appended_with_their_time(book, tmp_path):
    book.told([alert(100)], START)
    book.told([alert(200)], START + 1)
    first, second = lines(tmp_path)
    assert first == {"wall_time": START, **json.loads(json.dumps(alert(100)._asdict()))}
    assert second["step"] == 200


def test_what_an_earlier_monitor_told_is_not_told_again(book, tmp_path):
    assert book.new([alert(100)], 1) == [alert(100)]
    book.told([alert(100)], START)
    book.close()
    (tmp_path / "monitor/alerts.jsonl").open("a").write('{"rule": "kl", "st')  # cut by a kill
    again = Book()
    again.open(tmp_path)
    assert again.new([alert(100), alert(110), alert(100, "asr", "asr")], 1) == [
        alert(110), alert(100, "asr", "asr"),
    ]  # fmt: skip
    again.close()


def test_a_resume_that_does_steps_again_tells_nothing_again(book):
    """Each alert told before stands for one that comes again, also some steps later."""
    book.told(book.new([alert(100), alert(120)], 1), START)
    assert book.new([alert(103)], 2) == []
    assert book.new([alert(121), alert(122)], 2) == [alert(122)]
    assert book.new([alert(100), alert(300)], 3) == [alert(300)]


def test_of_two_monitors_one_writes(book, tmp_path):
    other = Book()
    other.open(tmp_path)
    assert book.writes and not other.writes and "another monitor" in other.why
    other.told([alert(1)], START)
    assert not (tmp_path / "monitor/alerts.jsonl").exists()
    book.close()
    other.open(tmp_path)
    assert other.writes and not other.why
    other.close()


def test_a_snapshot_is_whole_at_any_time(book, tmp_path):
    """Read while it is replaced, it is one of those that were written."""
    workdir = begin(tmp_path / "run")
    write(workdir, [record(i) for i in range(1, 50)])
    [only] = named([RunDirectory(workdir)])
    status, _ = Watch(only).check(START)
    book.snapshot(status)
    seen, done = [], threading.Event()

    def read():
        while not done.is_set():
            seen.append(json.loads((tmp_path / "monitor/status.json").read_text())["step"])

    reader = threading.Thread(target=read)
    reader.start()
    for step in range(300):
        book.snapshot(status._replace(step=step, text="x" * (step * 37 % 5000)))
    done.set()
    reader.join()
    assert len(set(seen)) > 2 and {*seen} <= {49, *range(300)}
    assert not [p for p in os.listdir(tmp_path / "monitor") if p.endswith(".tmp")]


def test_the_snapshot_has_what_a_program_asks_for(book, tmp_path):
    workdir = begin(tmp_path / "run")
    write(workdir, [record(i, **{"kl/feedback": 0.5}) for i in range(1, 50)])
    [only] = named([RunDirectory(workdir)])
    status, _ = Watch(only).check(START + 491)
    book.snapshot(status)
    there = json.loads((tmp_path / "monitor/status.json").read_text())
    assert (there["state"], there["critical"], there["step"], there["total"]) == (
        "running", True, 49, 100,
    )  # fmt: skip
    [episode] = there["standing"]
    assert (episode["rule"], episode["metric"], episode["threshold"]) == ("kl", "kl/feedback", 0.2)
    assert there["left_s"] == 510 and there["figures"]["asr"] == 4.0


def test_where_nothing_can_be_written_it_says_so(tmp_path):
    (tmp_path / "monitor").write_text("a file")
    made = Book()
    made.open(tmp_path)
    assert not made.writes and made.why.startswith("nothing is written: ")
