"""Time of a step by part: worked by hand on a clock that the test sets."""

import random
import threading
import time

import pytest

from waltzjax.metrics.clock import HOST, PARTS, Clock, part, program


class Hand:
    """A clock that stands still until it is moved."""

    def __init__(self):
        self.time = 100.0

    def __call__(self):
        return self.time

    def move(self, seconds):
        self.time += seconds


class Output:
    """An array that is there once the test says so."""

    def __init__(self):
        self.ready = threading.Event()

    def block_until_ready(self):
        assert self.ready.wait(10)


def ends(clock, output):
    """Have a program end now, and wait until the clock has seen it."""
    before = clock._ended.qsize()
    output.ready.set()
    while clock._ended.qsize() == before:
        time.sleep(1e-4)


def parts(lap):
    return {name: seconds for name, seconds in lap.parts.items() if seconds}


def test_the_host_is_in_one_part_at_a_time():
    hand = Hand()
    with Clock(hand) as clock:
        hand.move(1)
        with part("generate"):
            hand.move(2)
            with part("judge"):
                hand.move(4)
            hand.move(8)
        hand.move(16)
        lap = clock.lap()
        assert lap.seconds == 31
        assert parts(lap) == {HOST: 17, "generate": 10, "judge": 4}
        hand.move(3)
        assert parts(clock.lap()) == {HOST: 3}  # each second is in one lap


def test_a_part_that_raises_has_ended():
    hand = Hand()
    with Clock(hand) as clock:
        with pytest.raises(KeyError), part("judge"):
            hand.move(1)
            raise KeyError
        hand.move(2)
        assert parts(clock.lap()) == {"judge": 1, HOST: 2}


def test_programs_run_one_after_another_while_the_host_goes_on():
    """Three programs are called at 0, 1 and 2 s and end at 5, 6 and 10; then the host works until
    12. The second waits for the first, so it has one second of the device."""
    hand, outputs = Hand(), [Output() for _ in range(3)]
    with Clock(hand) as clock:
        for name, output in zip(("score", "reference", "update"), outputs, strict=True):
            program(name, lambda output=output: output)
            hand.move(1)
        for output, seconds in zip(outputs, (2, 1, 4), strict=True):
            hand.move(seconds)
            ends(clock, output)
        hand.move(2)
        lap = clock.lap()
    assert parts(lap) == {"score": 5, "reference": 1, "update": 4, HOST: 2}
    assert lap.seconds == 12


def test_what_the_host_says_counts_before_what_the_device_does():
    """An update under way while the host is saving: the step waits for the save."""
    hand, output = Hand(), Output()
    with Clock(hand) as clock:
        program("update", lambda: (None, output), output=lambda result: result[1])
        hand.move(1)
        with part("save"):
            hand.move(2)
        hand.move(4)
        ends(clock, output)
        assert parts(clock.lap()) == {"update": 5, "save": 2}


def test_a_program_that_is_still_under_way_goes_on_in_the_next_lap(monkeypatch):
    monkeypatch.setattr("waltzjax.metrics.clock.DRAIN_S", 0.01)
    hand, output = Hand(), Output()
    with Clock(hand) as clock:
        program("update", lambda: output)
        hand.move(3)
        assert parts(clock.lap()) == {HOST: 3}
        hand.move(2)
        ends(clock, output)
        hand.move(1)
        assert parts(clock.lap()) == {"update": 2, HOST: 1}


def test_a_program_that_fails_ends():
    class Broken:
        def block_until_ready(self):
            raise RuntimeError("out of memory")

    with Clock() as clock:
        program("update", Broken)
        assert set(parts(clock.lap())) == {"update", HOST}


def test_evaluations_are_in_no_step():
    hand = Hand()
    with Clock(hand) as clock:
        hand.move(1)
        with clock.stopped():
            hand.move(50)
            with part("generate"):
                hand.move(50)
        hand.move(2)
        assert parts(clock.lap()) == {HOST: 3}


def test_other_threads_and_no_clock_are_in_no_step():
    hand = Hand()

    def judges():
        with part("judge"):
            hand.move(2)

    judges()
    assert program("update", lambda x: x + 1, 1) == 2
    with Clock(hand) as clock:
        thread = threading.Thread(target=judges)
        thread.start()
        thread.join()
        assert parts(clock.lap()) == {HOST: 2}  # what the step did meanwhile


def test_parts_add_up_whatever_happens():
    hand, rng, total = Hand(), random.Random(0), 0.0
    with Clock(hand) as clock:
        for _ in range(50):
            begun = hand.time
            for _ in range(rng.randrange(6)):
                name = rng.choice(PARTS)
                hand.move(rng.random())
                if rng.random() < 0.5:
                    with part(name):
                        hand.move(rng.random())
                else:
                    output = Output()
                    program(name, lambda output=output: output)
                    hand.move(rng.random())
                    ends(clock, output)
            lap = clock.lap()
            assert min(lap.parts.values()) >= 0
            assert sum(lap.parts.values()) == lap.seconds
            assert lap.seconds == pytest.approx(hand.time - begun, abs=1e-9)
            total += lap.seconds
    assert total == pytest.approx(hand.time - 100)
