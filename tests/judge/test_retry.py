"""Tries, back-off and outages by a clock that passes only where it is waited for."""

import threading

import pytest
from judge_server import FakeTime

from waltzjax.judge.retry import Retry, Unreached, UnusableReply
from waltzjax.support.errors import JudgeOutage, JudgeStopped, RequestRefused

NO_ROUNDING = 1e-9  # seconds; sums of a few waits


class Setup:
    """Retries under fake time, with what it said and when attempts and probes were made."""

    def __init__(self, *, tries=3, retry_s=600.0, then=lambda now: None):
        self.said, self.at, self.probed, self.stop = [], [], [], threading.Event()
        self.time = FakeTime(self.stop, then)
        self.retry = Retry(
            "the judge", tries=tries, retry_s=retry_s, say=self.said.append, stop=self.stop,
            clock=self.time.clock, wait=self.time.wait,
        )  # fmt: skip

    def call(self, *outcomes, then="reply", there=False):
        """One call whose attempts end as given, and after them as ``then``; ``there``: probes are
        answered, of which else there is none in the first minute."""
        left = list(outcomes)

        def attempt():
            self.at.append(self.time.now)
            outcome = left.pop(0) if left else then
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        def probe():
            self.probed.append(self.time.now)
            if not there:
                raise Unreached("refused")

        return self.retry.call(attempt, probe)

    def others(self):
        """Another call is answered."""
        self.retry.call(lambda: "reply of another call", unasked)

    @property
    def gaps(self):
        return [b - a for a, b in zip(self.at, self.at[1:], strict=False)]


def unasked():
    pytest.fail("there is nothing to find out")


@pytest.mark.parametrize("trouble", [Unreached("refused"), UnusableReply("null")])
def test_two_failures_are_tried_again_in_silence(trouble):
    setup = Setup()
    assert setup.call(trouble, trouble) == "reply"
    assert len(setup.at) == 3 and setup.said == []


def test_gaps_double_to_a_minute_with_jitter_below():
    setup = Setup(retry_s=1000)
    setup.call(*[Unreached("refused")] * 12)
    nominal = [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]
    for gap, longest in zip(setup.gaps, nominal, strict=True):
        assert longest / 2 - NO_ROUNDING <= gap <= longest + NO_ROUNDING
    shares = [gap / longest for gap, longest in zip(setup.gaps, nominal, strict=True)]
    assert max(shares) - min(shares) > 0.01  # jitter


def test_the_server_s_own_wish_is_waited_for():
    setup = Setup()
    setup.call(Unreached("slow down", retry_after_s=7))
    assert setup.gaps == pytest.approx([7], abs=NO_ROUNDING) and setup.said == []


def test_an_outage_is_said_once_and_so_is_its_end():
    setup = Setup(tries=3)
    assert setup.call(*[Unreached("refused")] * 6) == "reply"
    begin, end = setup.said
    assert "the judge cannot be reached: refused" in begin and "No episode is lost" in begin
    took = setup.at[6] - setup.at[2]  # from the third failure
    assert f"answers again, after {took:.0f} s" in end
    assert setup.call(Unreached("refused")) == "reply"
    assert len(setup.said) == 2  # one failure is no outage


def test_a_long_wait_that_the_server_asks_for_is_said_at_once():
    setup = Setup()
    setup.call(Unreached("out of quota", retry_after_s=300))
    assert len(setup.said) == 2 and "out of quota" in setup.said[0]
    assert "after 5 min" in setup.said[1]


def test_retries_end():
    setup = Setup(retry_s=600)
    with pytest.raises(JudgeOutage, match=r"for 10 min .*retry_s = 600\): refused\. Start"):
        setup.call(then=Unreached("refused"))
    assert setup.at[-1] == pytest.approx(600, abs=NO_ROUNDING)
    assert len(setup.said) == 1


@pytest.mark.parametrize("asked_s", [0, 1e9])
def test_with_no_time_to_retry_there_are_still_all_tries(asked_s):
    setup = Setup(tries=4, retry_s=0)
    with pytest.raises(JudgeOutage):
        setup.call(then=Unreached("refused", asked_s))
    assert len(setup.at) == 4 and setup.time.now < 10
    assert min(setup.gaps) >= 0.25


def test_unusable_replies_end_one_call_and_are_no_outage():
    setup = Setup(tries=3)
    with pytest.raises(UnusableReply, match="the last"):
        setup.call(UnusableReply("a"), UnusableReply("b"), UnusableReply("the last"))
    assert setup.said == []


def test_a_final_one_is_not_asked_for_again():
    setup = Setup(tries=3)
    with pytest.raises(UnusableReply, match="filtered"):
        setup.call(UnusableReply("filtered", final=True))
    assert len(setup.at) == 1


def test_an_unusable_reply_ends_an_outage():
    setup = Setup(tries=2)
    out, null = Unreached("refused"), UnusableReply("null")
    with pytest.raises(UnusableReply):
        setup.call(out, out, null, null)
    assert ["cannot be reached" in said for said in setup.said] == [True, False]


def test_what_failed_before_the_server_answered_no_longer_counts():
    setup = Setup(tries=3)
    out, null = Unreached("refused"), UnusableReply("null")
    setup.call(out, out, null, out, out)
    assert setup.said == [] and setup.gaps[3] <= 0.5


def passed_over(setup, trouble, times):
    """A call that has its trouble so often, each time after somebody else is answered."""
    left = iter(range(times))

    def attempt():
        setup.at.append(setup.time.now)
        if next(left, None) is None:
            return "reply"
        setup.others()
        raise trouble

    return setup.retry.call(attempt, lambda: setup.probed.append(setup.time.now))


def test_a_limit_of_requests_is_waited_for_while_others_are_answered():
    setup, limit = Setup(tries=3), Unreached("HTTP 429", limit=True)
    assert passed_over(setup, limit, times=40) == "reply"
    assert setup.time.now > 2 * 600 and setup.said == []  # far beyond retry_s
    with pytest.raises(JudgeOutage):  # but once nobody is, it is an outage
        setup.call(then=limit, there=True)
    assert len(setup.said) == 1 and setup.probed == []


def test_a_request_that_alone_is_not_served_ends_in_minutes_and_is_no_outage():
    setup = Setup(tries=3)
    with pytest.raises(UnusableReply, match=r"the judge answers others, but not this .*HTTP 500"):
        passed_over(setup, Unreached("HTTP 500"), times=1000)
    assert 60 <= setup.time.now <= 180 and setup.said == []


@pytest.mark.parametrize("retry_s", [0.0, 20.0, 60.0, 3600.0])
def test_so_does_the_only_request_there_is(retry_s):
    """It is found out by a probe, after which the request has one more try."""
    setup = Setup(tries=3, retry_s=retry_s)
    with pytest.raises(UnusableReply, match=r"answers others, but not this request: HTTP 500"):
        setup.call(then=Unreached("HTTP 500"), there=True)
    assert min(60, retry_s) <= setup.time.now <= 180 and len(setup.at) > 3
    assert setup.probed == setup.at[-2:-1] and setup.gaps[-1] == 0
    said = ["cannot be reached" in said for said in setup.said]
    assert said == ([True, False] if retry_s else [])  # there was no time for it


def once_probed(setup, *outcomes):
    """A call that breaks until there is a probe, which is answered, and then ends as given."""
    left = list(outcomes)

    def attempt():
        setup.at.append(setup.time.now)
        outcome = left.pop(0) if setup.probed and left else Unreached("HTTP 500")
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return setup.retry.call(attempt, lambda: setup.probed.append(setup.time.now))


def test_the_try_after_a_probe_may_succeed():
    setup = Setup(tries=3)
    assert once_probed(setup, "reply") == "reply"
    assert setup.probed == setup.at[-1:] and len(setup.said) == 2


def test_an_unusable_reply_after_a_probe_is_one_of_many():
    setup, null = Setup(tries=3), UnusableReply("null")
    assert once_probed(setup, null, Unreached("HTTP 500"), null, "reply") == "reply"
    assert len(setup.probed) == 1


def test_a_limit_after_a_probe_is_waited_for_and_then_the_server_is_probed_again():
    setup = Setup(tries=3)
    with pytest.raises(UnusableReply, match="others, but not this request: HTTP 500"):
        once_probed(setup, *[Unreached("HTTP 429", limit=True)] * 3)
    first, second = setup.probed
    assert setup.at[-2:] == [second, second] and second > first + 60


def test_limits_count_neither_as_tries_nor_as_the_minute():
    setup, limit = Setup(tries=3, retry_s=1e6), Unreached("HTTP 429", limit=True)
    assert setup.call(*[limit] * 20, *[Unreached("HTTP 500")] * 2, limit, there=True) == "reply"
    assert setup.time.now > 300 and setup.probed == []


def test_a_probe_that_fails_changes_nothing():
    setup = Setup(tries=3, retry_s=600)
    with pytest.raises(JudgeOutage, match=r"for 10 min .*: HTTP 500\. Start"):
        setup.call(then=Unreached("HTTP 500"))
    assert setup.time.now == pytest.approx(600, abs=NO_ROUNDING) and len(setup.said) == 1
    assert setup.probed == [at for at in setup.at if at >= 60]


@pytest.mark.parametrize("error", [RequestRefused("the key"), JudgeStopped("stopped")])
def test_what_else_a_probe_raises_is_raised_at_once(error):
    setup = Setup(tries=3)

    def attempt():
        raise Unreached("HTTP 500")

    def probe():
        raise error

    for _ in range(2):  # and another thread may probe afterwards
        with pytest.raises(type(error)):
            setup.retry.call(attempt, probe)


def test_one_thread_probes_while_the_others_go_on_waiting():
    """Also beyond their retry_s: it is no outage before the probe has failed."""
    setup, probing, answer = Setup(tries=3, retry_s=90), threading.Event(), threading.Event()
    ends = []

    def broken():
        raise Unreached("HTTP 500")

    def slow():
        setup.probed.append(setup.time.now)
        probing.set()
        assert answer.wait(5)

    def first():
        with pytest.raises(UnusableReply, match="answers others"):
            setup.retry.call(broken, slow)
        ends.append("one request alone")

    thread = threading.Thread(target=first)
    thread.start()
    assert probing.wait(5)
    began = setup.time.now
    setup.time.then = lambda now: answer.set() if now > began + 600 else None

    def attempt():
        setup.at.append(setup.time.now)
        if setup.time.now > began + 600:
            answer.set()
            thread.join(5)
            return "reply"
        raise Unreached("HTTP 500")

    assert setup.retry.call(attempt, unasked) == "reply"
    assert len(setup.probed) == 1 and ends == ["one request alone"]
    late = [gap for at, gap in zip(setup.at, setup.gaps, strict=False) if at > began + 90]
    assert min(late[:-1]) >= 30 - NO_ROUNDING  # no less patient than before


def test_a_minute_of_trouble_is_survived_while_others_are_answered():
    setup = Setup(tries=3)
    assert passed_over(setup, Unreached("HTTP 500"), times=5) == "reply"
    assert len(setup.at) == 6 and setup.probed == []


def test_the_time_to_retry_begins_anew_when_another_call_is_answered():
    served = iter([500.0])

    def another(now):
        if now > 500 and next(served, None):
            setup.others()

    setup = Setup(tries=3, retry_s=600, then=another)
    with pytest.raises(JudgeOutage, match="for 10 min"):
        setup.call(then=Unreached("refused"))
    assert 1100 < setup.time.now < 1200


@pytest.mark.parametrize("after_outage", [False, True])
def test_what_the_server_asked_for_is_waited_for_though_others_are_answered(after_outage):
    def another(now):  # every ten seconds
        if now > 10 * setup.answered:
            setup.answered += 1
            setup.others()

    setup = Setup(tries=3, then=another)
    setup.answered = 1
    if not after_outage:
        setup.others()
    setup.call(Unreached("slow down", retry_after_s=100))
    assert setup.gaps == [pytest.approx(100, abs=NO_ROUNDING)] and setup.answered > 9
    assert len(setup.said) == 2 * after_outage  # once in all, not each time others are answered


def test_a_quota_that_ends_for_all_is_said_while_it_is_waited_for():
    said_at = []
    setup = Setup(then=lambda now: said_at.append(now) if setup.said and not said_at else None)
    setup.others()
    setup.call(Unreached("out of quota", retry_after_s=300))
    assert "out of quota" in setup.said[0] and said_at == [pytest.approx(62, abs=1.5)]


def test_eight_threads_in_one_outage_say_it_once():
    back_at = 200.0
    setup = Setup(tries=3, retry_s=1e6)
    started = threading.Barrier(8)

    def attempt():
        if setup.time.now < back_at:
            raise Unreached("refused")
        return "reply"

    replies = []

    def work():
        started.wait(5)
        replies.append(setup.retry.call(attempt, attempt))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert replies == ["reply"] * 8
    assert ["cannot be reached" in said for said in setup.said] == [True, False]


def test_a_pause_ends_when_another_call_is_answered():
    answered = []

    def another(now):  # at 100 s another thread gets through
        if now > 100 and not answered:
            answered.append(now)
            setup.others()

    setup = Setup(tries=2, retry_s=1e6, then=another)
    setup.call(*[Unreached("refused")] * 9)
    woken = next(at for at in setup.at if at > 100)
    assert woken == answered[0]  # it would have slept for up to a minute


def test_stop_ends_a_call_that_waits():
    setup = Setup(then=lambda now: setup.stop.set() if now > 100 else None)
    with pytest.raises(JudgeStopped, match="the run is to stop"):
        setup.call(then=Unreached("refused"))
    assert setup.time.now <= 101 + NO_ROUNDING
    attempts = len(setup.at)
    with pytest.raises(JudgeStopped):
        setup.call()
    assert len(setup.at) == attempts


def test_other_errors_are_raised_at_once():
    setup = Setup()
    with pytest.raises(KeyError):
        setup.call(KeyError("a bug"))
    assert len(setup.at) == 1
