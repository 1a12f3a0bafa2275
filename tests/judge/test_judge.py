"""The label judge, and episodes that are scored as they end."""

import os
import signal
import threading
import time
from collections import Counter

import pytest
from judge_server import JudgeServer, well
from support import completion

from waltzjax.judge.endpoint import Endpoint
from waltzjax.judge.judge import JUDGES, Judge, Scorer
from waltzjax.judge.model_judges import parse_labels
from waltzjax.support.errors import JudgeOutage, JudgeStopped, RequestRefused, UnparsedVerdicts
from waltzjax.types import Episode, Prompt, Verdict

SOON_S = 2.0  # far below the 30 s of those who hang, far above a busy machine's pauses
HARMFUL = Prompt(0, "p", True, "jailbreak_attempt")
HARMLESS = Prompt(1, "p", False, "edge_case")  # the same words: only the label tells them apart
COMPLY, REFUSE = "Sure, here is how to do it.", "Sorry, I can't help with that."


def episode(prompt, *answers):
    return Episode(prompt, answers=[completion(text) for text in answers])


def prompt(number):
    return Prompt(number, f"prompt {number}", True, "jailbreak_attempt")


def length_verdicts(prompts, answers):
    """A verdict that depends on both: unsafe as the answer's length says, overrefuse as the id."""
    return [Verdict(len(a) % 2 == 1, p.id % 3 == 0) for p, a in zip(prompts, answers, strict=True)]


def test_the_label_judge_by_hand():
    episodes = [episode(HARMFUL, COMPLY, REFUSE), episode(HARMLESS, REFUSE, COMPLY)]
    with Scorer(JUDGES["label"], max_unparsed=0.0) as scorer:
        for one in episodes:
            scorer.add(one)
        scorer.finish()
    assert episodes[0].verdicts == [Verdict(True, False), Verdict(False, False)]
    assert episodes[1].verdicts == [Verdict(False, True), Verdict(False, False)]


@pytest.mark.parametrize("concurrency", [0, 1, 4])
def test_verdicts_come_in_order(concurrency):
    """The last asked are answered first; two batches through one scorer."""

    def slow(prompts, answers):
        time.sleep(0.01 * (3 - len(answers[0]) % 4))
        return length_verdicts(prompts, answers)

    with Scorer(Judge(slow, concurrency), max_unparsed=0.0) as scorer:
        for first in (0, 5):
            episodes = [
                episode(prompt(i), *("x" * (i + t) for t in range(i % 3 + 1)))
                for i in range(first, first + 5)
            ]
            for one in episodes:
                scorer.add(one)
            scorer.finish()
            for i, one in enumerate(episodes, start=first):
                expected = [((i + t) % 2 == 1, i % 3 == 0) for t in range(i % 3 + 1)]
                assert [tuple(verdict) for verdict in one.verdicts] == expected


def test_without_concurrency_there_is_one_call():
    calls = []

    def verdicts(prompts, answers):
        calls.append((list(prompts), list(answers)))
        return length_verdicts(prompts, answers)

    with Scorer(Judge(verdicts, 0), max_unparsed=0.0) as scorer:
        scorer.add(episode(prompt(1), "a", "b"))
        scorer.add(episode(prompt(2), "c"))
        assert calls == []
        scorer.finish()
        scorer.finish()  # nothing was added
    assert calls == [([prompt(1), prompt(1), prompt(2)], ["a", "b", "c"])]


@pytest.mark.parametrize("concurrency", [0, 3])
def test_the_same_text_is_asked_once_a_batch(concurrency):
    asked = Counter()

    def verdicts(prompts, answers):
        asked.update(zip((p.text for p in prompts), answers, strict=True))
        return length_verdicts(prompts, answers)

    episodes = [episode(prompt(1), "a", "bb"), episode(prompt(1), "bb"), episode(prompt(2), "a")]
    with Scorer(Judge(verdicts, concurrency), max_unparsed=0.0) as scorer:
        for one in episodes:
            scorer.add(one)
        scorer.finish()
    assert asked == {("prompt 1", "a"): 1, ("prompt 1", "bb"): 1, ("prompt 2", "a"): 1}
    assert [[v.unsafe for v in one.verdicts] for one in episodes] == [
        [True, False],
        [False],
        [True],
    ]


def test_the_judge_begins_while_episodes_are_played():
    begun = threading.Event()

    def verdicts(prompts, answers):
        begun.set()
        return length_verdicts(prompts, answers)

    with Scorer(Judge(verdicts, 1), max_unparsed=0.0) as scorer:
        scorer.add(episode(prompt(1), "a"))
        assert begun.wait(SOON_S)  # before finish
        scorer.finish()


def test_concurrency_is_reached_and_not_exceeded(monkeypatch):
    """Four requests must be at the server together for any to be answered."""
    monkeypatch.setenv("NO_PROXY", "*")
    together, lock, inside, most = threading.Barrier(4, timeout=5), threading.Lock(), [0], [0]

    def gather(handler):
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        together.wait()
        time.sleep(0.02)  # a fifth would be seen here
        with lock:
            inside[0] -= 1
        well('{"unsafe": true, "overrefuse": false}')(handler)

    stop = threading.Event()
    with (
        JudgeServer(then=gather) as server,
        Endpoint(server.url, "m", max_tokens=9, tries=1, retry_s=0, say=print, stop=stop) as e,
    ):
        judge = Judge(lambda _, answers: [parse_labels(e.complete(a)) for a in answers], 4, stop)
        episodes = [episode(prompt(i), "a", "b") for i in range(8)]
        with Scorer(judge, max_unparsed=0.0) as scorer:
            for one in episodes:
                scorer.add(one)
            scorer.finish()
    assert most == [4] and len(server.requests) == 16
    assert all(one.verdicts == [Verdict(True, False)] * 2 for one in episodes)


def spoilt(bad):
    """A judge that gives no verdict of answers which begin with ``bad``."""

    def verdicts(prompts, answers):
        found = length_verdicts(prompts, answers)
        return [None if a.startswith(bad) else v for a, v in zip(answers, found, strict=True)]

    return Judge(verdicts, 2, unparsed=["I cannot " + "judge " * 100])


def test_few_unparsed_verdicts_are_none():
    episodes = [episode(prompt(i), "bad" if i == 3 else "good") for i in range(5)]
    with Scorer(spoilt("bad"), max_unparsed=0.2) as scorer:
        for one in episodes:
            scorer.add(one)
        scorer.finish()
    assert [one.verdicts == [None] for one in episodes] == [False, False, False, True, False]


def test_too_many_unparsed_verdicts_are_an_error_with_an_example():
    """The same answer asked once counts as often as it stands in the batch."""
    with Scorer(spoilt("bad"), max_unparsed=0.2) as scorer:
        for _ in range(2):
            scorer.add(episode(prompt(0), "bad", "good"))
        for i in range(1, 6):
            scorer.add(episode(prompt(i), "good"))
        with pytest.raises(UnparsedVerdicts, match=r"of 2 in 9 answers; .* 0\.2\. One") as caught:
            scorer.finish()
    assert "'I cannot judge judge" in str(caught.value) and len(str(caught.value)) < 600


class Broken:
    """A judge whose ``fails``-th call raises ``error``; others wait for ``stop`` and then raise."""

    def __init__(self, error, *, fails=0, concurrency=3):
        self.error, self.fails, self.calls, self.lock = error, fails, 0, threading.Lock()
        self.judge = Judge(self.verdicts, concurrency, threading.Event())
        self.may_fail = threading.Event()
        self.may_fail.set()

    def verdicts(self, prompts, answers):
        with self.lock:
            call, self.calls = self.calls, self.calls + 1
        if call == self.fails and self.may_fail.wait(30):
            raise self.error
        if self.judge.stop.wait(30):
            raise JudgeStopped("stopped")
        return length_verdicts(prompts, answers)


def threads_of_judges():
    return [t for t in threading.enumerate() if t.name.startswith("judge")]


@pytest.mark.parametrize("fails", [0, 2])
def test_the_first_error_is_raised_and_nobody_is_waited_for(fails):
    broken, started = Broken(JudgeOutage("unreachable"), fails=fails), time.monotonic()
    with pytest.raises(JudgeOutage), Scorer(broken.judge, max_unparsed=0.0) as scorer:
        for i in range(50):
            scorer.add(episode(prompt(i), "a"))
        scorer.finish()
    assert time.monotonic() - started < SOON_S
    assert threads_of_judges() == [] and broken.calls < 50


def test_an_error_while_all_is_waited_for_ends_the_wait():
    broken, started = Broken(JudgeOutage("unreachable")), time.monotonic()
    broken.may_fail.clear()
    timer = threading.Timer(0.2, broken.may_fail.set)
    with pytest.raises(JudgeOutage), Scorer(broken.judge, max_unparsed=0.0) as scorer:
        for i in range(3):
            scorer.add(episode(prompt(i), "a"))
        timer.start()
        scorer.finish()
    assert 0.1 < time.monotonic() - started < SOON_S


def test_an_error_ends_the_play_early():
    broken = Broken(RequestRefused("no such model"))
    with pytest.raises(RequestRefused), Scorer(broken.judge, max_unparsed=0.0) as scorer:
        scorer.add(episode(prompt(0), "a"))
        give_up = time.monotonic() + SOON_S
        while time.monotonic() < give_up:
            time.sleep(0.01)
            scorer.add(episode(prompt(1), "a"))
        pytest.fail("the error was kept until the end")


@pytest.mark.parametrize("concurrency", [0, 2])
def test_an_exception_of_the_caller_ends_all_threads(concurrency):
    broken, started = Broken(None, fails=-1, concurrency=concurrency), time.monotonic()
    with pytest.raises(KeyboardInterrupt), Scorer(broken.judge, max_unparsed=0.0) as scorer:
        for i in range(20):
            scorer.add(episode(prompt(i), "a"))
        raise KeyboardInterrupt
    assert time.monotonic() - started < SOON_S
    assert threads_of_judges() == [] and broken.judge.stop.is_set()
    assert broken.calls <= concurrency  # what had not begun never did


@pytest.fixture
def interruptible():
    """Ctrl-C raises, which it does not in a shell's background job."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_a_wait_for_the_judge():
    broken, started = Broken(None, fails=-1), time.monotonic()
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt), Scorer(broken.judge, max_unparsed=0.0) as scorer:
        scorer.add(episode(prompt(0), "a"))
        timer.start()
        scorer.finish()
    assert 0.1 < time.monotonic() - started < SOON_S
    assert threads_of_judges() == []


def test_leaving_without_an_error_stops_no_judge():
    judge = Judge(length_verdicts, 2, threading.Event())
    with Scorer(judge, max_unparsed=0.0) as scorer:
        scorer.add(episode(prompt(0), "a"))
        scorer.finish()
    assert threads_of_judges() == [] and not judge.stop.is_set()


def test_a_judge_of_one_call_raises_its_error():
    broken = Broken(JudgeOutage("unreachable"), concurrency=0)
    with pytest.raises(JudgeOutage), Scorer(broken.judge, max_unparsed=0.0) as scorer:
        scorer.add(episode(prompt(0), "a"))
        scorer.finish()
