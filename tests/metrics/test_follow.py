"""Following a file that another process writes: whatever way it is written, the records are those
of the whole file."""

import json
import os
import random
import tracemalloc

import pytest

from waltzjax.metrics import follow
from waltzjax.metrics.follow import Follower


def line(step, **more):
    return json.dumps({"stage": "stage2", "step": step, "loss/policy": step / 7, **more}) + "\n"


def take(follower):
    """(steps that are new, whether they begin anew) of one call."""
    news = [*follower.read()]
    return [r["step"] for n in news for r in n.records], any(n.rewound for n in news)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.jsonl"


@pytest.mark.parametrize("seed", range(8))
def test_bytes_in_any_portions_give_the_records_of_the_whole_file(path, seed, monkeypatch):
    monkeypatch.setattr(follow, "BLOCK", 97)  # blocks end within lines too
    rng = random.Random(seed)
    text = "".join(line(i, note="é漢" * rng.randrange(9)) for i in range(1, 60))
    whole, at, got = text.encode(), 0, []
    follower = Follower(path)
    assert take(follower) == ([], False)  # not there yet
    with path.open("ab", buffering=0) as file:
        while at < len(whole):
            size = rng.choice((1, 2, 30, 200, 1500))
            file.write(whole[at : at + size])
            at += size
            for news in follower.read():
                assert not news.rewound
                got += news.records
    assert got == [json.loads(part) for part in text.splitlines()]
    assert take(follower) == ([], False)


def test_a_last_line_without_its_end_waits_for_it(path):
    path.write_text(line(1) + line(2)[:20])
    follower = Follower(path)
    assert take(follower) == ([1], False)
    assert take(follower) == ([], False)
    with path.open("a") as file:
        file.write(line(2)[20:])
    assert take(follower) == ([2], False)


def replaced(path, text):
    other = path.with_name("other")
    other.write_text(text)
    os.replace(other, path)


def rewritten(path, text):
    inode = path.stat().st_ino
    path.write_text(text)
    assert path.stat().st_ino == inode


@pytest.mark.parametrize("write", [replaced, rewritten])
@pytest.mark.parametrize(
    "steps", [(1, 2), (1, 2, 5), (1, 2, 4, 5, 6), ()], ids=["shorter", "as_long", "longer", "empty"]
)
def test_a_file_that_is_another_is_read_anew(path, write, steps):
    path.write_text(line(1) + line(2) + line(3))
    follower = Follower(path)
    assert take(follower) == ([1, 2, 3], False)
    write(path, "".join(map(line, steps)))
    assert take(follower) == ([*steps], True)
    with path.open("a") as file:
        file.write(line(9))
    assert take(follower) == ([9], False)


def test_the_same_content_under_another_inode_is_another_file(path):
    """As a resume leaves it that dropped nothing."""
    path.write_text(line(1) + line(2))
    follower = Follower(path)
    take(follower)
    replaced(path, line(1) + line(2))
    assert take(follower) == ([1, 2], True)


def test_a_file_that_is_gone_for_a_while(path):
    path.write_text(line(1))
    follower = Follower(path)
    take(follower)
    path.unlink()
    assert take(follower) == ([], False)
    path.write_text(line(5) + line(6))
    assert take(follower) == ([5, 6], True)


def test_what_is_no_record_is_counted_and_left_out(path):
    path.write_bytes(
        line(1).encode() + b'{"stage": "sta' + line(2).encode() + b"\0\0\0\n[3]\nnull\n\n"
        b'{"stage": "s", "step": 4, "loss": NaN}\n'
    )
    follower = Follower(path)
    assert take(follower) == ([1, 4], False)
    assert follower.unreadable == 4


def test_memory_does_not_grow_with_the_file(path):
    with path.open("w") as file:
        for first in range(0, 200_000, 1000):
            file.write("".join(f'{{"stage": "s", "step": {first + i}}}\n' for i in range(1000)))
    follower, count = Follower(path), 0
    tracemalloc.start()
    for news in follower.read():
        count += len(news.records)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 200_000 and path.stat().st_size > 5_000_000
    assert peak < 4_000_000
