"""The circuit breaker, by hand, by all histories of a small model, and with concurrent callers."""

import asyncio
import itertools
import random
import threading

import pytest

from waltzjax.serve.breaker import Breaker


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def make(failures=3, pause_s=30.0):
    clock = Clock()
    return Breaker(failures, pause_s, clock), clock


def fail(breaker, times=1):
    for _ in range(times):
        assert breaker.allow()
        breaker.failed()


def test_failures_in_a_row_open_it_and_a_success_between_them_does_not():
    breaker, _ = make()
    for _ in range(5):
        fail(breaker, 2)
        assert breaker.allow() and breaker.state == "closed"
        breaker.succeeded()
    fail(breaker, 2)
    assert breaker.state == "closed"
    fail(breaker)
    assert breaker.state == "open" and not breaker.allow()


def test_the_pause_ends_to_the_second_and_one_call_tries():
    breaker, clock = make()
    fail(breaker, 3)
    clock.now += 29.999
    assert (breaker.state, breaker.allow()) == ("open", False)
    clock.now += 0.001
    assert breaker.state == "half-open"
    assert [breaker.allow() for _ in range(4)] == [True, False, False, False]
    clock.now += 1000
    assert (breaker.state, breaker.allow()) == ("half-open", False)


def test_the_call_that_tries_closes_or_opens_it_for_as_long_again():
    breaker, clock = make()
    fail(breaker, 3)
    clock.now += 30
    fail(breaker)
    clock.now += 29.9
    assert breaker.state == "open" and not breaker.allow()
    clock.now += 0.1
    assert breaker.allow()
    breaker.succeeded()
    assert breaker.state == "closed"
    fail(breaker, 2)  # it counts from the beginning
    assert breaker.state == "closed" and breaker.allow()


def test_a_call_whose_client_has_left_makes_room_for_another():
    breaker, clock = make()
    fail(breaker, 3)
    clock.now += 30
    assert breaker.allow() and not breaker.allow()
    breaker.abandoned()
    assert breaker.state == "half-open"
    assert breaker.allow() and not breaker.allow()


def test_a_call_whose_client_has_left_says_nothing_of_a_closed_one():
    breaker, _ = make()
    fail(breaker, 2)
    assert breaker.allow()
    breaker.abandoned()
    assert breaker.state == "closed"
    fail(breaker)
    assert breaker.state == "open"


def test_calls_from_before_it_opened_are_no_news():
    breaker, clock = make()
    assert all(breaker.allow() for _ in range(6))
    for _ in range(3):
        breaker.failed()
    clock.now += 10
    breaker.succeeded()
    assert breaker.state == "open"
    breaker.failed()  # nor is its pause any longer
    clock.now += 20
    breaker.abandoned()
    breaker.succeeded()
    breaker.failed()
    assert breaker.state == "half-open" and breaker.allow() and not breaker.allow()


def replayed(history, failures, pause_s):
    """What is allowed and which state it ends in, by the whole history of (time, what): the rules
    of the docstring, read off the last thing that happened, for calls one after the other."""
    opened, row, trying = None, 0, False
    for now, what in history:
        closed = opened is None
        if what == "failed" and (trying or closed):
            row += 1
            if trying or row >= failures:
                opened = now
        elif what == "succeeded" and (trying or closed):
            opened, row = None, 0
        if what in ("failed", "succeeded", "abandoned"):
            trying = False
        elif what == "allow" and opened is not None and now - opened >= pause_s:
            trying = True
    now = history[-1][0]
    if opened is None:
        return "closed"
    return "half-open" if trying or now - opened >= pause_s else "open"


EVENTS = ("failed", "succeeded", "abandoned", "wait")


@pytest.mark.parametrize("failures", [1, 2])
def test_every_short_history_of_calls_one_after_the_other(failures):
    """Each event but "wait" is a call that is asked for and, if allowed, ends so."""
    for events in itertools.product(EVENTS, repeat=7):
        clock, history = Clock(), [(100.0, "wait")]
        breaker = Breaker(failures, 10.0, clock)
        for event in events:
            if event == "wait":
                clock.now += 5.0
                history.append((clock.now, "wait"))
                continue
            allowed = replayed(history, failures, 10.0) != "open"
            assert breaker.allow() == allowed, (events, history)
            history.append((clock.now, "allow"))
            if allowed:
                getattr(breaker, event)()
                history.append((clock.now, event))
            assert breaker.state == replayed(history, failures, 10.0), (events, history)


def test_of_concurrent_callers_one_tries():
    async def one(breaker, clock, tried, rng):
        for _ in range(40):
            await asyncio.sleep(0)
            if not breaker.allow():
                continue
            state = breaker.state
            tried.append(state)
            now = sum(1 for s in tried if s == "half-open")
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)
                if state == "half-open":  # nobody else was let in meanwhile
                    assert sum(1 for s in tried if s == "half-open") == now
                    assert breaker.state == "half-open"
            breaker.failed()

    async def all_of_them():
        breaker, clock = make(failures=4, pause_s=1.0)
        tried, rng = [], random.Random(0)

        async def tick():
            for _ in range(150):
                clock.now += 0.1
                await asyncio.sleep(0)

        await asyncio.gather(tick(), *(one(breaker, clock, tried, rng) for _ in range(16)))
        return tried

    tried = asyncio.run(all_of_them())
    assert 3 <= tried.count("half-open") <= 16


def test_of_many_threads_one_tries():
    for _ in range(20):
        breaker, clock = make(failures=1)
        fail(breaker)
        clock.now += 30
        together, allowed = threading.Barrier(8), []

        def ask(breaker=breaker, together=together, allowed=allowed):
            together.wait()
            allowed.append(breaker.allow())

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(allowed) == [False] * 7 + [True]
