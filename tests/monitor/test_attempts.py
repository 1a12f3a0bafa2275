"""Attempts: what is tried again, after which pause, and until when."""

import email.utils

import pytest
from alerts import NOON, FakeTime

from waltzjax.monitor.delivery.attempts import Refused, Unreached, attempt, retry_after_s


class Script:
    """Raises what it is given, in order, then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.limits = list(errors), list[float]()

    def __call__(self, limit_s: float) -> None:
        self.limits.append(limit_s)
        if self.errors:
            raise self.errors.pop(0)


def run(script: Script, budget_s: float = 30.0) -> FakeTime:
    time = FakeTime()
    attempt(script, timeout_s=10, deadline=NOON + budget_s, clock=time.clock, wait=time.wait)
    return time


def test_what_time_may_mend_is_tried_again_after_longer_and_longer_pauses():
    time = run(script := Script(*[Unreached("down")] * 3))
    assert len(script.limits) == 4
    for pause, most in zip(time.waits, (1, 2, 4), strict=True):
        assert most / 2 <= pause <= most


def test_four_failures_are_the_last():
    with pytest.raises(Unreached, match="down"):
        run(script := Script(*[Unreached("down")] * 4), budget_s=1e6)
    assert len(script.limits) == 4


def test_what_somebody_must_mend_is_not_tried_again():
    with pytest.raises(Refused):
        run(script := Script(Refused("no")))
    assert len(script.limits) == 1


def test_a_server_is_given_the_pause_that_it_asks_for():
    assert run(Script(Unreached("busy", 7.0))).waits == [7.0]


def test_no_pause_goes_past_the_deadline():
    with pytest.raises(Unreached) as caught:
        run(script := Script(Unreached("busy", 60.0)))
    assert caught.value.retry_after_s == 60.0 and len(script.limits) == 1


def test_an_attempt_waits_for_the_server_no_longer_than_there_is_time():
    run(script := Script(Unreached("busy", 25.0)))
    assert script.limits == [10.0, 5.0]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3), ("0.5", 0.5), (None, 0), ("soon", 0), ("-4", 0), ("nan", 0),
     ("inf", 86_400), ("1e30", 86_400),
     (email.utils.formatdate(NOON + 90, usegmt=True), 90),
     (email.utils.formatdate(NOON - 90, usegmt=True), 0)],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(header, seconds):
    assert retry_after_s(header, NOON) == seconds
