"""Signals ask for a stop; they do not cut a step in half."""

import os
import signal

import forked
import pytest

from waltzjax.support.signals import Stopped, StopSignals


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_and_acts_where_asked(signum):
    before = signal.getsignal(signum)
    with StopSignals() as stop:
        stop.check(stop.received, "nothing yet")
        os.kill(os.getpid(), signum)
        assert stop.received == signum
        with pytest.raises(Stopped, match=rf"{signal.Signals(signum).name}: step 3") as caught:
            stop.check(stop.received, "step 3")
    assert caught.value.exit_status == 128 + signum
    assert signal.getsignal(signum) is before


def test_at_once_leaves_the_block_in_the_middle():
    reached = []
    with StopSignals() as stop:
        with pytest.raises(Stopped, match="step 7"), stop.at_once("step 7"):
            reached.append("start")
            os.kill(os.getpid(), signal.SIGTERM)
            reached.append("after the signal")
        stop.received = 0
        os.kill(os.getpid(), signal.SIGTERM)  # outside the block it is noted again
    assert reached == ["start"]


def test_a_second_control_c_does_not_wait():
    with StopSignals(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ("return None", 0, ""),
        ("raise ValueError('config.x: bad')", 1, "error: config.x: bad"),
        ("raise FloatingPointError('loss')", 1, "error: loss"),
        ("raise OSError(28, 'No space left on device')", 1, "No space left"),
        ("raise KeyboardInterrupt", 130, "interrupted"),
        ("raise Stopped('saved', 15)", 143, "saved"),
    ],
)
def test_exit_statuses(body, status, says):
    program = (
        "from waltzjax.run import cli\nfrom waltzjax.support.signals import Stopped\n"
        f"def main():\n    {body}\ncli.run(main)"
    )
    got = forked.run("-c", program)
    assert (got.returncode, "Traceback" in got.stderr) == (status, False)
    assert says in got.stdout + got.stderr
