"""Replies on disk: the same request, many threads, two processes, a kill, a damaged file."""

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from waltzjax.judge.verdict_cache import VerdictCache, reply_key
from waltzjax.support.errors import CacheError

REPO = Path(__file__).parents[2]
WRITER = """
import sys
from pathlib import Path
from waltzjax.judge.verdict_cache import VerdictCache
name, count = sys.argv[2], int(sys.argv[3])
sys.stdin.readline()  # so that two begin together
with VerdictCache(Path(sys.argv[1])) as cache:
    for i in range(count):
        cache.put(f"{name} {i}", f"reply {i}")
        print(i, flush=True)
"""


def writer(path, name, count):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count)], cwd=REPO, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPO)},
    )  # fmt: skip


def test_a_reply_is_found_again_in_a_later_run(tmp_path):
    path = tmp_path / "deep" / "verdicts.sqlite"
    with VerdictCache(path) as cache:
        assert cache.get("a") is None
        cache.put("a", "reply\n\u2028 \N{GRINNING FACE}")
        cache.put("b", "")
    with VerdictCache(path) as cache:
        assert cache.get("a") == "reply\n\u2028 \N{GRINNING FACE}"
        assert cache.get("b") == "" and cache.get("c") is None
        cache.put("b", "other")
        assert cache.get("b") == "other"


def test_the_key_is_the_hash_of_all_that_is_asked():
    # Worked by hand: the hash of ["m", "p", 5] as JSON.
    assert reply_key("m", "p", 5) == hashlib.sha256(b'["m", "p", 5]').hexdigest()
    chat = [{"role": "user", "content": "p"}]
    asked = [("m", "p", 5), ("n", "p", 5), ("m", "q", 5), ("m", "p", 6), ("m", chat, 5),
             ("m", [{"role": "system", "content": "p"}], 5), ("m", chat * 2, 5)]  # fmt: skip
    assert len({reply_key(*a) for a in asked}) == len(asked)
    assert reply_key("m", chat, 5) == reply_key("m", [{"content": "p", "role": "user"}], 5)


def test_many_threads(tmp_path):
    with VerdictCache(tmp_path / "v") as cache:
        errors = []

        def work(name):
            for i in range(5):
                cache.put(f"{name} {i}", f"reply {name} {i}")
                if cache.get(f"{name} {i}") != f"reply {name} {i}":
                    errors.append((name, i))

        threads = [threading.Thread(target=work, args=(name,)) for name in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert all(cache.get(f"{n} {i}") for n in range(5) for i in range(5))


def test_two_processes_at_once_lose_nothing(tmp_path):
    path = tmp_path / "v"
    writers = [writer(path, name, 40) for name in ("first", "second")]
    time.sleep(0.3)  # both have imported what they need
    for process in writers:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in writers:
        _, errors = process.communicate(timeout=30)
        assert (process.returncode, errors) == (0, "")
    with VerdictCache(path) as cache:
        assert all(cache.get(f"{n} {i}") for n in ("first", "second") for i in range(40))


def test_a_writer_waits_for_another_process(tmp_path):
    path = tmp_path / "v"
    with VerdictCache(path) as cache:
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN EXCLUSIVE")
        timer = threading.Timer(0.3, other.execute, ("COMMIT",))
        timer.start()
        started = time.monotonic()
        cache.put("a", "reply")
        assert time.monotonic() - started > 0.2
        assert cache.get("a") == "reply"
        timer.join()
        other.close()


def test_a_killed_writer_has_lost_no_reply(tmp_path):
    path = tmp_path / "v"
    process = writer(path, "it", 1_000_000)
    process.stdin.write("\n")
    process.stdin.flush()
    for _ in range(15):
        written = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate(timeout=30)
    written = max([written, *(int(line) for line in rest.split("\n")[:-1])])
    with VerdictCache(path) as cache:
        assert all(cache.get(f"it {i}") == f"reply {i}" for i in range(written + 1))
        cache.put("next", "reply")


def damaged_files(path):
    """Contents that are no whole database, by what happened."""
    VerdictCache(path).close()
    with sqlite3.connect(path) as database:
        rows = [(f"{i}", "x" * 1000) for i in range(60)]
        database.executemany("INSERT INTO replies VALUES (?, ?)", rows)
    database.close()
    whole = path.read_bytes()
    middle = len(whole) // 2
    return {
        "another kind": b"id,reply\n" * 200,
        "cut short": whole[:middle],
        "overwritten": whole[: middle - 4096] + b"\xff" * 8192 + whole[middle + 4096 :],
    }


@pytest.mark.parametrize("kind", ["another kind", "cut short", "overwritten"])
def test_a_damaged_file_is_named_and_left_alone(kind, tmp_path):
    path = tmp_path / "v"
    data = damaged_files(path)[kind]
    path.write_bytes(data)
    with pytest.raises(CacheError, match=r"damaged .*It was left as it is: restore it") as caught:
        VerdictCache(path)
    assert str(caught.value).startswith(f"{path}: ") and path.read_bytes() == data


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    (tmp_path / "v").mkdir()
    with pytest.raises(CacheError, match="unable to open") as caught:
        VerdictCache(tmp_path / "v")
    assert str(tmp_path / "v") in str(caught.value) and "damaged" not in str(caught.value)
