"""Slots and pages, driven by a device that remembers what was written where."""

import random
from collections import Counter

import pytest

from waltzjax.engine.page_pool import Pages
from waltzjax.engine.requests import Request, Sampling
from waltzjax.engine.scheduler import Schedule, SequenceState

CASES = range(60)


class Device:
    """Pages of the beginnings that each position stands for, and checks of all that is read."""

    def __init__(self, schedule: Schedule):
        self.schedule = schedule
        self.held = [{} for _ in schedule.rows]  # of a group: (page, place) -> beginning

    def write(self, group, row, position, alone=True):
        size = self.schedule.page_size
        page = row.pages[position // size]
        beginning = (row.request.model, row.known[: position + 1])
        old = self.held[group].get((page, position % size))
        users = sum(page in other.pages for other in self.schedule.rows[group])
        assert users == 1 or old == beginning or not alone, "a page of several rows is written"
        self.held[group][page, position % size] = beginning

    def read(self, group, row, end):
        size = self.schedule.page_size
        for p in range(end):
            want = (row.request.model, row.known[: p + 1])
            assert self.held[group][row.pages[p // size], p % size] == want

    def admit(self):
        todo = self.schedule.admit()
        for group, pieces in enumerate(todo.pieces):
            for piece in pieces:
                for p in range(piece.start, piece.start + len(piece.token_ids)):
                    self.write(group, piece.row, p, alone=False)  # sharers came with it
                self.read(group, piece.row, piece.start + len(piece.token_ids))
            for source, target in todo.copies[group]:
                for place in range(self.schedule.page_size):
                    self.held[group][target, place] = self.held[group].get((source, place))
        self.schedule.copied()
        return todo

    def draw(self, model, steps, rng):
        """Up to ``steps`` tokens for each of the model's rows; those that are done leave."""
        self.schedule.grow(model, steps)
        ended = []
        for group, rows in enumerate(self.schedule.rows):
            for row in [r for r in rows if r.request.model == model]:
                for _ in range(min(steps, row.left)):
                    self.write(group, row, row.position)
                    self.read(group, row, row.position + 1)
                    row.token_ids.append(rng.randrange(3))
                if not row.left or rng.random() < 0.05:
                    (self.schedule.discard if rng.random() < 0.2 else self.schedule.leave)(
                        group, row
                    )
                    ended.append(row.request.id)
        return ended


def check_pages(schedule):
    for pages, rows in zip(schedule._pages, schedule.rows, strict=True):
        users = Counter(page for row in rows for page in row.pages)
        free, idle = set(pages._free), set(pages._idle)
        assert len(free) == len(pages._free) and not free & idle
        for page, count in enumerate(pages._users):
            assert count == users[page]
            assert (page in free) + (page in idle) + (count > 0) == 1


@pytest.mark.parametrize("seed", CASES)
def test_every_request_ends_and_reads_what_is_its_own(seed):
    rng = random.Random(seed)
    size, pages = rng.choice([2, 4, 8]), rng.randint(1, 14)
    schedule = Schedule(
        groups=rng.choice([1, 1, 2, 3]), slots=rng.randint(1, 6), pages=pages, page_size=size
    )
    device, steps, longest = Device(schedule), rng.randint(1, size), pages * size
    stems = [[rng.randrange(3) for _ in range(longest)] for _ in range(2)]
    models, open_ = "ab"[: rng.choice([1, 2])], set()
    for number in range(rng.randint(1, 25)):
        new = rng.randint(1, max(1, longest - 1))
        length = rng.randint(1, longest - new)
        same = rng.randint(0, length)
        prompt = (*rng.choice(stems)[:same], *(rng.randrange(3) for _ in range(length - same)))
        schedule.waiting.append(
            SequenceState(Request(number, rng.choice(models), prompt, Sampling(new), 0))
        )
        open_.add(number)
    for _ in range(5000):
        device.admit()
        counts = schedule.by_model()
        if not counts:
            break
        for model in sorted(counts, key=lambda _: rng.random()):
            open_ -= set(device.draw(model, steps, rng))
        if rng.random() < 0.05 and open_:
            number = rng.choice(sorted(open_))
            assert schedule.cancel(number)
            open_.discard(number)
        check_pages(schedule)
    assert not open_ and not schedule.waiting
    assert all(p.available == pages for p in schedule._pages)


def rows(count, prompt, new=8):
    return [
        SequenceState(Request((prompt, i), "a", prompt, Sampling(new), 0)) for i in range(count)
    ]


def test_few_samples_of_one_text_are_spread_and_many_share():
    text = tuple(range(100))
    few = Schedule(groups=4, slots=8, pages=40, page_size=8)
    few.waiting.extend(rows(6, text))
    few.admit()
    assert sorted(map(len, few.rows)) == [1, 1, 2, 2]
    many = Schedule(groups=4, slots=8, pages=100, page_size=8)
    many.waiting.extend(row for t in range(4) for row in rows(8, (t, *text)))
    todo = many.admit()
    assert [len(r) for r in many.rows] == [8] * 4
    assert todo.num_shared_tokens == 4 * 7 * 100  # each text is computed once


def test_a_preempted_row_finds_its_own_pages_again():
    schedule = Schedule(groups=1, slots=2, pages=6, page_size=4)
    device, rng = Device(schedule), random.Random(0)
    rng.random = lambda: 1.0  # nobody ends early
    schedule.waiting.extend(rows(1, (1, 2), new=18) + rows(1, (2, 1), new=18))
    device.admit()
    while not schedule.preempted:
        device.draw("a", 4, rng)
    [back] = schedule.waiting
    known = len(back.known) - 1
    schedule.cancel(schedule.rows[0][0].request.id)
    todo = device.admit()
    assert todo.num_shared_tokens == known // 4 * 4 and known > 4


def test_what_a_row_drew_is_found_by_a_text_that_goes_on_from_it():
    schedule = Schedule(groups=1, slots=1, pages=8, page_size=4)
    device, rng = Device(schedule), random.Random(0)
    rng.random = lambda: 1.0
    [first] = rows(1, (1, 2, 3), new=8)
    schedule.waiting.append(first)
    device.admit()
    device.draw("a", 4, rng)
    device.draw("a", 4, rng)
    assert not schedule.active
    schedule.waiting.extend(rows(1, (*first.known, 5, 6, 7)))
    assert device.admit().num_shared_tokens == 8  # of 10 cached tokens


def test_spoilt_pages_are_never_found():
    schedule = Schedule(groups=1, slots=1, pages=8, page_size=4)
    schedule.waiting.extend(rows(2, tuple(range(9))))
    schedule.admit()
    schedule.discard(0, schedule.rows[0][0])
    assert schedule.admit().num_shared_tokens == 0


def test_a_cancelled_row_leaves_what_no_draw_can_spoil():
    """Pages before the one that its next token goes into; that one is never found."""
    schedule = Schedule(groups=1, slots=2, pages=16, page_size=4)
    [gone, whole] = rows(2, tuple(range(11)))
    schedule.waiting.append(gone)
    schedule.admit()
    schedule.grow("a", 4)  # a draw is under way
    assert schedule.cancel(gone.request.id)
    check_pages(schedule)
    schedule.waiting.append(whole)
    todo = schedule.admit()
    assert todo.num_shared_tokens == 8 and [p.start for p in todo.pieces[0]] == [8]


def test_a_row_that_is_sent_back_goes_before_those_who_wait():
    schedule = Schedule(groups=1, slots=2, pages=6, page_size=4)
    device, rng = Device(schedule), random.Random(0)
    rng.random = lambda: 1.0  # nobody ends early
    schedule.waiting.extend(rows(1, (1, 2), new=18) + rows(1, (2, 1), new=18) + rows(1, (2, 2)))
    device.admit()
    while not schedule.preempted:
        device.draw("a", 4, rng)
    assert [row.request.prompt for row in schedule.waiting] == [(2, 1), (2, 2)]


def test_what_was_longest_unused_is_overwritten_first():
    pages, keys = Pages(3), [b"a", b"b", b"c"]
    taken = pages.take(3)
    for page, key in zip(taken, keys, strict=True):
        pages.remember(page, key)
    for page in taken:
        pages.release([page])
    pages.share(taken[1])
    pages.release([taken[1]])  # used once more: now the last
    for lost, still_there in ((0, [None, taken[1], taken[2]]), (2, [None, taken[1], None])):
        assert pages.take(1) == [taken[lost]]
        assert [pages.find(key) for key in keys] == still_there
