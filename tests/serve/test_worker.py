"""The engine's thread: who asks, who leaves, who is refused, and what a crash does."""

import asyncio
import gc
import threading
import time
from collections import Counter

import pytest
from support import sharded_params, tiny_runtime

from waltzjax.engine.requests import Request, Sampling
from waltzjax.engine.session import Session
from waltzjax.serve import worker as worker_module
from waltzjax.serve.records import AgentBusy, AgentFailed
from waltzjax.serve.worker import Worker, paced

LONG = Sampling(200, stop_ids=())
SLOTS = 4  # of the tiny engine


@pytest.fixture(scope="module")
def parts():
    """A runtime, whose programs are compiled once, and two agents' parameters."""
    runtime = tiny_runtime()
    params = {
        role: sharded_params(runtime.cfg, runtime.mesh, seed)
        for seed, role in enumerate(("conversation", "feedback"))
    }
    return runtime, params


@pytest.fixture
def start(parts, monkeypatch):
    """Workers that are stopped at the test's end; after the first draw they draw single tokens."""
    monkeypatch.setattr(worker_module, "DRAW_S", 0.0)
    started = []

    def make(max_waiting=64):
        worker = Worker(*parts, max_waiting=max_waiting)
        worker.start(warm_up=False)
        started.append(worker)
        return worker

    yield make
    for worker in started:
        worker.stop(0)


@pytest.fixture
def draws(monkeypatch):
    """The rows of each draw, as they are dispatched."""
    seen = []
    dispatch = Session.dispatch

    def watched(session, steps):
        drawing = dispatch(session, steps)
        seen.append([row.request.id for group in session._schedule.rows for row in group])
        return drawing

    monkeypatch.setattr(Session, "dispatch", watched)
    return seen


def prompts(count):
    return [(5, 6 + i % 9, 7 + i) for i in range(count)]


def alone(parts, role, prompt, sampling, seed):
    runtime, params = parts
    with runtime.engine.session(params) as session:
        session.submit(Request(0, role, prompt, sampling, seed))
        return dict(session.finished())[0]


async def until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.002)


def test_everybody_gets_the_tokens_of_the_own_request(parts, start):
    asked = [
        (("conversation", "feedback")[i % 2], prompt, Sampling(3 + i % 20, 0.7 * (i % 3)), i)
        for i, prompt in enumerate(prompts(30))
    ]

    async def ask_all(worker):
        return await asyncio.gather(*(worker.generate(*each) for each in asked))

    for each, got in zip(asked, asyncio.run(ask_all(start())), strict=True):
        assert got.token_ids == alone(parts, *each).token_ids


def test_tokens_come_in_parts_and_enough_of_them_end_the_request(parts, start):
    whole = alone(parts, "conversation", (5, 6, 7), LONG, 1).token_ids
    heard = []

    def enough(token_ids):
        heard.append(tuple(token_ids))
        return len(token_ids) >= 30

    got = asyncio.run(start().generate("conversation", (5, 6, 7), LONG, 1, enough))
    assert len(heard) >= 10 and all(heard[i] == whole[: len(h)] for i, h in enumerate(heard))
    assert got.token_ids == heard[-1] and len(got.token_ids) == 30
    assert got.finish_reason == "stop"


def test_what_comes_while_the_device_draws_is_in_its_next_draw(start, draws):
    worker = start()

    async def second_beside_first():
        first = asyncio.create_task(worker.generate("conversation", (5, 6), LONG, 1))
        await until(lambda: len(draws) >= 2)
        at = len(draws)
        await worker.generate("conversation", (5, 7), Sampling(1), 2)
        first.cancel()
        return at

    at = asyncio.run(second_beside_first())
    assert any(1 in rows for rows in draws[at : at + 2])  # one draw was under way


def test_who_stops_waiting_is_drawn_for_once_more_at_most(start, draws):
    worker = start()

    async def leave_one():
        tasks = [
            asyncio.create_task(worker.generate("conversation", (5, 6 + i), LONG, i))
            for i in range(SLOTS + 1)  # one waits
        ]
        await until(lambda: len(draws) >= 2)
        tasks[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]
        at = len(draws)
        await until(lambda: len(draws) >= at + 3)
        tasks[3].cancel(), tasks[SLOTS].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return draws[at + 1], draws[at + 2]

    soon, later = asyncio.run(leave_one())
    assert sorted(later) == [0, 2, 3, 4] and 1 not in soon
    assert worker.waiting == worker.active == 0


def test_more_than_may_wait_are_refused_with_an_estimate(start):
    worker = start(max_waiting=2)

    async def overload():
        done = [worker.generate("conversation", p, Sampling(2), 0) for p in prompts(3)]
        await asyncio.gather(*done)  # the pace that the estimate goes by
        tasks = [
            asyncio.create_task(worker.generate("conversation", p, LONG, 0))
            for p in prompts(SLOTS + 3)
        ]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        return [r for r in results if isinstance(r, AgentBusy)], results

    busy, results = asyncio.run(overload())
    assert len(busy) == 1 and isinstance(results[-1], AgentBusy)
    assert 1 <= busy[0].retry_after_s <= 60


def test_an_idle_thread_sleeps(start):
    worker = start()
    asyncio.run(worker.generate("conversation", (5, 6), Sampling(2), 0))
    time.sleep(0.05)
    busy_s = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - busy_s < 0.1


def test_a_request_that_cannot_be_served_fails_alone(start):
    async def both():
        worker = start()
        bad = worker.generate("conversation", (5, 6), Sampling(2000), 0)
        good = worker.generate("conversation", (5, 6), Sampling(2), 0)
        return await asyncio.gather(bad, good, return_exceptions=True)

    bad, good = asyncio.run(both())
    assert isinstance(bad, AgentFailed) and "max_new_tokens: got 2000" in str(bad)
    assert len(good.token_ids) == 2


def test_an_error_of_a_listener_is_its_callers_alone(start):
    def broken(_):
        raise ZeroDivisionError

    async def both():
        worker = start()
        bad = worker.generate("conversation", (5, 6), LONG, 0, broken)
        good = worker.generate("conversation", (5, 6), LONG, 0)
        return worker, await asyncio.gather(bad, good, return_exceptions=True)

    _, (bad, good) = asyncio.run(both())
    assert isinstance(bad, ZeroDivisionError) and len(good.token_ids) == 200


def test_after_a_crash_a_new_session_serves(start, monkeypatch):
    monkeypatch.setattr(worker_module, "BACK_OFF_S", 0.01)
    collect, crashes = Session.collect, iter([False, False, True])

    def crash(session):
        if next(crashes, False):
            raise RuntimeError("the device is gone")
        return collect(session)

    monkeypatch.setattr(Session, "collect", crash)
    worker = start()

    async def ask():
        asked = [worker.generate("conversation", p, LONG, 0) for p in prompts(6)]
        failed = await asyncio.gather(*asked, return_exceptions=True)
        return failed, await worker.generate("conversation", (5, 6), Sampling(4), 0)

    failed, good = asyncio.run(ask())
    assert len(failed) == 6
    assert all(isinstance(e, AgentFailed) and "RuntimeError" in str(e) for e in failed)
    assert len(good.token_ids) == 4 and worker.alive


class Panic(BaseException):
    """What a compiled library raises."""


@pytest.mark.parametrize("error", [RuntimeError, Panic])
def test_one_crash_after_another_ends_the_worker(start, monkeypatch, error):
    monkeypatch.setattr(worker_module, "BACK_OFF_S", 0.001)
    sessions = Counter()

    def crash(session):
        sessions[id(session)] += 1
        raise error("no device")

    monkeypatch.setattr(Session, "collect", crash)
    worker = start()

    async def ask():
        for _ in range(worker_module.CRASHES):
            with pytest.raises(AgentFailed, match="crashed"):
                await worker.generate("conversation", (5, 6), LONG, 0)
        await until(lambda: not worker.alive)
        with pytest.raises(AgentFailed, match="stopped"):
            await worker.generate("conversation", (5, 6), LONG, 0)

    asyncio.run(asyncio.wait_for(ask(), 20))
    assert sum(sessions.values()) == worker_module.CRASHES


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_whatever_ends_the_thread_nobody_waits_for_it(start, monkeypatch):
    """Here it is the log, which is asked to write of a crash."""

    def crash(*_):
        raise Panic

    monkeypatch.setattr(Session, "collect", crash)
    monkeypatch.setattr(worker_module.log, "exception", crash)
    worker = start()

    async def ask():
        with pytest.raises(AgentFailed, match="stopped"):
            await worker.generate("conversation", (5, 6), LONG, 0)
        await until(lambda: not worker.alive)

    asyncio.run(asyncio.wait_for(ask(), 20))


def test_a_listeners_panic_fails_its_call_and_no_other(start):
    def panic(_):
        raise Panic

    async def both():
        worker = start()
        bad = worker.generate("conversation", (5, 6), LONG, 0, panic)
        good = worker.generate("conversation", (5, 6), LONG, 0)
        return await asyncio.gather(bad, good, return_exceptions=True)

    bad, good = asyncio.run(asyncio.wait_for(both(), 20))
    assert isinstance(bad, AgentFailed) and len(good.token_ids) == 200


def test_stopping_finishes_what_runs_and_takes_no_more(start):
    worker = start()

    async def stop_meanwhile():
        open_ones = [
            asyncio.create_task(worker.generate("conversation", p, LONG, 0)) for p in prompts(6)
        ]
        await until(lambda: worker.active)
        stopping = asyncio.create_task(asyncio.to_thread(worker.stop, 30))
        await until(lambda: not worker.alive)
        with pytest.raises(AgentFailed, match="stopped"):
            await worker.generate("conversation", (5, 6), LONG, 0)
        await stopping
        return await asyncio.gather(*open_ones)

    assert all(len(tokens.token_ids) == 200 for tokens in asyncio.run(stop_meanwhile()))


def test_stopping_gives_up_what_takes_too_long(start, draws):
    worker = start()

    async def stop_at_once():
        open_ones = [
            asyncio.create_task(worker.generate("conversation", p, LONG, 0)) for p in prompts(6)
        ]
        await until(lambda: worker.active)
        await asyncio.to_thread(worker.stop, 0)
        return await asyncio.gather(*open_ones, return_exceptions=True)

    assert all(isinstance(e, AgentFailed) for e in asyncio.run(stop_at_once()))
    assert len(draws) < 100


def test_draws_are_as_long_as_new_requests_may_wait():
    """0.03 s: a step of 0.01 s is made three times; one of 0.2 s once; a short one ever more."""
    assert [paced(16, 0.16, 16), paced(8, 1.6, 16), paced(1, 0.2, 16)] == [3, 1, 1]
    assert [paced(1, 0.002, 16), paced(2, 0.004, 16), paced(8, 0.016, 16)] == [2, 4, 15]


def test_callers_of_several_event_loops_are_served(parts, start):
    worker, got = start(), {}

    def call(seed):
        got[seed] = asyncio.run(worker.generate("feedback", (5, 6), Sampling(20), seed))

    threads = [threading.Thread(target=call, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for seed in range(6):
        want = alone(parts, "feedback", (5, 6), Sampling(20), seed)
        assert got[seed].token_ids == want.token_ids


def test_nothing_is_kept_of_requests_that_have_ended(start):
    """Some end, some are cancelled while they wait or run."""
    worker = start(max_waiting=10_000)

    def held():
        gc.collect()
        kinds = ("_Call", "SequenceState", "Request", "Event", "Tokens")
        return sum(type(x).__name__ in kinds for x in gc.get_objects())

    async def many(count):
        tasks = [
            asyncio.create_task(worker.generate("conversation", (5, i % 300), Sampling(3), i))
            for i in range(count)
        ]
        await until(lambda: worker.active)
        for task in tasks[1::3]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await until(lambda: not worker.active)

    asyncio.run(many(400))
    assert held() < 40
