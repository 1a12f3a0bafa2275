"""Tests of the terminal output: ETA arithmetic with a fake clock, plain lines, tables."""

import io
import os
import select
import sys

import pytest

from waltzjax.support.console import Progress, phase, say, table


class Clock:
    """A clock that moves only when told to, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_eta_leaves_out_the_first_step_and_the_steps_before_a_resume() -> None:
    clock = Clock()
    bar = Progress(110, "stage 2", initial=50, stream=io.StringIO(), clock=clock)
    clock.now += 90  # the first step compiles
    bar.update(51)
    assert bar.eta_s() is None and bar.pace_s() is None
    clock.now += 2
    bar.update(52)
    clock.now += 16
    bar.update(60)  # eight steps at once
    assert bar.pace_s() == pytest.approx(2.0)
    assert bar.eta_s() == pytest.approx(100.0)
    clock.now += 1.5  # counts down between updates
    assert bar.eta_s() == pytest.approx(98.5)
    clock.now += 1000
    assert bar.eta_s() == 0.0
    bar.update(110)
    assert bar.eta_s() == 0.0


def test_eta_is_not_moved_by_an_update_that_repeats_the_step() -> None:
    clock = Clock()
    bar = Progress(10, "x", stream=io.StringIO(), clock=clock)
    bar.update(0, status="compiling")
    for done, seconds in ((1, 30), (2, 4), (2, 1), (3, 3)):
        clock.now += seconds
        bar.update(done)
    assert bar.pace_s() == pytest.approx(4.0)
    assert bar.eta_s() == pytest.approx(28.0)


def test_plain_lines_are_limited_in_rate_and_end_with_the_last_state() -> None:
    clock, out = Clock(), io.StringIO()
    with Progress(300, "stage 2", stream=out, plain_every_s=10, clock=clock) as bar:
        for step in range(1, 131):
            clock.now += 0.5
            bar.update(step, reward=0.71234, note="ok")
    lines = out.getvalue().splitlines()
    assert [line.split()[2] for line in lines] == [
        f"{step}/300" for step in (1, 21, 41, 61, 81, 101, 121, 130)
    ]  # one each 10 s, and the last
    assert lines[-1] == (
        "stage 2  130/300 (43 %)  elapsed 1:05  eta 1:25  0.5 s/step  reward 0.7123  note ok"
    )


def test_the_last_line_is_printed_once_and_without_waiting() -> None:
    clock, out = Clock(), io.StringIO()
    with Progress(2, "eval", unit="prompt", stream=out, clock=clock) as bar:
        clock.now += 4000
        bar.update(1)
        clock.now += 0.25
        bar.update(2, asr=4.0)
    lines = out.getvalue().splitlines()
    assert lines == [
        "eval  1/2 (50 %)  elapsed 1:06:40  eta -",
        "eval  2/2 (100 %)  elapsed 1:06:40  eta 0:00  0.25 s/prompt  asr 4",
    ]


def test_an_interrupted_run_still_reports_where_it_stopped() -> None:
    clock, out = Clock(), io.StringIO()
    with pytest.raises(KeyboardInterrupt), Progress(9, "x", stream=out, clock=clock) as bar:
        bar.update(1)
        clock.now += 3
        bar.update(2)
        raise KeyboardInterrupt
    assert out.getvalue().splitlines()[-1].startswith("x  2/9 (22 %)")


def test_a_run_of_nothing_does_not_divide_by_zero() -> None:
    out = io.StringIO()
    with Progress(0, "empty", stream=out, clock=Clock()):
        pass
    assert out.getvalue() == "empty  0/0 (0 %)  elapsed 0:00  eta 0:00\n"


def test_phase_prints_two_lines_and_says_failure() -> None:
    clock, out = Clock(), io.StringIO()
    with phase("preparing data", stream=out, clock=clock):
        clock.now += 3.21
    with pytest.raises(ValueError), phase("compiling", stream=out, clock=clock):
        clock.now += 1
        raise ValueError
    assert out.getvalue().splitlines() == [
        "preparing data ...",
        "preparing data ... 3.2 s",
        "compiling ...",
        "compiling ... failed after 1.0 s",
    ]


def test_table_aligns_text_left_and_numbers_right() -> None:
    text = table(
        "Results",
        ["metric", "base", "stage 2"],
        [["ASR", 39.0, "4.6 %"], ["漢字", 101.25, None], ["", float("nan"), "9.9 %"]],
    )
    assert text.splitlines() == [
        "Results",
        "metric   base  stage 2",
        "------  -----  -------",
        "ASR        39    4.6 %",
        "漢字    101.2        -",
        "          nan    9.9 %",
    ]


def test_table_refuses_a_ragged_row_and_keeps_one_line_per_row() -> None:
    with pytest.raises(ValueError):
        table("t", ["a", "b"], [["1"]])
    assert len(table("", ["a"], [["two\nlines"]]).splitlines()) == 3
    assert table("", ["a", "b"], []) == "a  b\n-  -"


def test_escape_sequences_do_not_reach_the_stream() -> None:
    out = io.StringIO()
    say("\x1b[2Jhello\x9b", stream=out)
    assert out.getvalue() == "\ufffd[2Jhello\ufffd\n"


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_on_a_terminal_the_bar_is_live_and_lines_go_above_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    leader, follower = os.openpty()
    clock = Clock()
    with os.fdopen(follower, "w") as terminal:
        with Progress(4, "stage 1", stream=terminal, clock=clock) as bar:
            for step in range(1, 5):
                clock.now += 2
                bar.update(step, reward=0.5)
            say("checkpoint saved")
        with phase("compiling", stream=terminal, clock=clock):
            clock.now += 2
        terminal.flush()
        raw = b""
        while b"compiling ... 2.0 s" not in raw:  # one read may return only part of it
            assert select.select([leader], [], [], 5.0)[0], raw
            raw += os.read(leader, 65536)
    os.close(leader)
    output = raw.decode()
    assert "\x1b[" in output  # drawn, not printed
    assert output.index("checkpoint saved") < output.rindex("4/4 (100 %)")
    assert "reward 0.5" in output
    assert sys.stdout is not None and not hasattr(sys.stdout, "rich_proxied_file")
