"""The flags of the guard: what they decide, and where their values come from."""

import hashlib
import itertools
import json
import os
import subprocess
import sys
import threading
import time

import pytest
from support import REPO

from waltzjax.config.defaults import default
from waltzjax.serve.flags import Flags, FlagSource, bucket, describe

USERS = [f"user-{i}@example.org" for i in range(10_000)]
RULES = ("weapons", "drugs", "self-harm")


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def source(environ=None, categories=RULES, **serve):
    c = default().serve
    c.update(serve)
    clock, lines = Clock(), []
    return FlagSource(c, environ or {}, categories, say=lines.append, clock=clock), clock, lines


# ---- decisions ----------------------------------------------------------------------------------


def in_stage_2(percent):
    flags = Flags(rollout_pct=percent)
    return {user for user in USERS if flags.stage_of(user) == 2}


def test_the_share_of_users_is_the_percentage_and_those_who_are_in_stay_in():
    shares = (0, 1, 10, 25, 50, 75, 99, 100)
    groups = [in_stage_2(percent) for percent in shares]
    for percent, group in zip(shares, groups, strict=True):
        assert abs(100 * len(group) / len(USERS) - percent) <= 1.5
    assert not groups[0] and len(groups[-1]) == len(USERS)
    assert all(before < after for before, after in itertools.pairwise(groups))
    assert {bucket(user) for user in groups[2]} == {*range(10)}


def test_a_user_s_number_is_the_same_in_every_process():
    users = [*USERS[:50], "", "ü", "a\udc80b", "x" * 100_000]
    for user in users:
        digest = hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()
        assert bucket(user) == int(digest, 16) % 100
    code = f"from waltzjax.serve.flags import bucket; print(*map(bucket, {USERS[:50]!r}))"
    env = os.environ | {"PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPO, env=env
    )
    assert done.stdout.split() == [str(bucket(user)) for user in USERS[:50]]


@pytest.mark.parametrize(
    ("flags", "user", "stage"),
    [
        (Flags(), "", 2), (Flags(), "a", 2), (Flags(rollout_pct=99), "", 1),
        (Flags(rollout_pct=0), "a", 1), (Flags(stage=1), "a", 1), (Flags(stage=1), "", 1),
        (Flags(enable=False), "a", 0), (Flags(enable=False, stage=1), "", 0),
    ],
)  # fmt: skip
def test_stages_of_a_request(flags, user, stage):
    assert flags.stage_of(user) == stage


FLAGGED = Flags(policy={"weapons": "block", "default": "block"})
BLOCKED = Flags(blocking=True, policy={"drugs": "flag", "unsafe": "flag"})


@pytest.mark.parametrize(
    ("flags", "categories", "action", "failure"),
    [
        (Flags(), (), "pass", ("open", "default")),
        (Flags(), ("drugs",), "flag", ("open", "drugs")),
        (Flags(), ("drugs", "weapons"), "flag", ("open", "drugs")),
        (FLAGGED, (), "pass", ("closed", "default")),
        (FLAGGED, ("drugs",), "flag", ("open", "drugs")),
        (FLAGGED, ("drugs", "weapons"), "block", ("closed", "weapons")),
        (BLOCKED, (), "pass", ("open", "default")),
        (BLOCKED, ("drugs",), "flag", ("open", "drugs")),
        (BLOCKED, ("unsafe",), "flag", ("open", "unsafe")),
        (BLOCKED, ("drugs", "weapons"), "block", ("closed", "weapons")),
        (BLOCKED, ("self-harm", "weapons"), "block", ("closed", "self-harm")),
        (BLOCKED._replace(policy={}), ("unsafe",), "block", ("closed", "unsafe")),
    ],
)
def test_what_is_done_about_categories(flags, categories, action, failure):
    assert (flags.action(categories), flags.on_failure(categories)) == (action, failure)
    assert flags.action(iter(categories)) == action  # any iterable, read once
    assert flags.on_failure(iter(categories)) == failure


# ---- sources ------------------------------------------------------------------------------------


def test_the_config_s_values_hold_where_nothing_else_is_said():
    assert source()[0].current() == Flags()
    flags = source(stage=1, rollout_pct=10, blocking=True, policy=("weapons=block", "unsafe=flag"))
    assert flags[0].current() == Flags(
        stage=1, rollout_pct=10, blocking=True, policy={"weapons": "block", "unsafe": "flag"}
    )


def test_the_environment_comes_before_the_config():
    environ = {
        "WALTZRL_STAGE": "1", "WALTZRL_ENABLE": "False", "WALTZRL_ROLLOUT_PCT": "10",
        "WALTZRL_BLOCKING": "true", "WALTZRL_FEEDBACK_ONLY": " 0 ",
        "WALTZRL_POLICY": "weapons=block, drugs=flag", "WALTZRL_ELSE": "x",
    }  # fmt: skip
    flags, _, lines = source(environ, policy=("self-harm=block",))
    assert flags.current() == Flags(
        False, 1, 10, True, False, {"weapons": "block", "drugs": "flag"}
    )
    assert lines == []
    assert source({"WALTZRL_POLICY": ""}, policy=("drugs=block",))[0].current().policy == {}


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("ENABLE", "yes", "true, false, 1, 0"), ("ENABLE", "", "true, false, 1, 0"),
        ("BLOCKING", "2", "true, false, 1, 0"), ("FEEDBACK_ONLY", "on", "true, false, 1, 0"),
        ("STAGE", "0", "1 and 2"), ("STAGE", "3", "1 and 2"), ("STAGE", "two", "1 and 2"),
        ("STAGE", "2.0", "1 and 2"), ("STAGE", "true", "1 and 2"), ("STAGE", "²", "1 and 2"),
        ("ROLLOUT_PCT", "101", "[0, 100]"), ("ROLLOUT_PCT", "-1", "[0, 100]"),
        ("ROLLOUT_PCT", "50%", "[0, 100]"), ("ROLLOUT_PCT", "", "[0, 100]"),
        ("ROLLOUT_PCT", "9" * 5000, "[0, 100]"), ("ROLLOUT_PCT", "1_0", "[0, 100]"),
        ("POLICY", "weapons", "'CATEGORY=block' or 'CATEGORY=flag'"),
        ("POLICY", "weapons=block,", "'CATEGORY=block' or 'CATEGORY=flag'"),
        ("POLICY", "weapons=block,weapons=flag", "each category once"),
        ("POLICY", "wepons=block", "allowed are drugs, self-harm, weapons, unsafe, default"),
    ],
)  # fmt: skip
def test_a_variable_that_cannot_be_is_refused_at_the_start(name, value, allowed):
    with pytest.raises(ValueError, match=rf"^WALTZRL_{name}: got ") as error:
        source({f"WALTZRL_{name}": value})
    assert allowed in str(error.value) and len(str(error.value)) < 300


def test_a_category_that_no_rule_has_is_refused():
    with pytest.raises(
        ValueError, match=r"^config\.serve\.policy: got 'wepons', no rule .*drugs, "
    ):
        source(policy=("unsafe=block", "default=flag", "wepons=block"))
    assert source(categories=(), policy=("wepons=block",))[0].current().policy


def test_the_file_comes_before_both_and_is_looked_at_twice_a_second(tmp_path):
    file = tmp_path / "flags.json"
    file.write_text(json.dumps({"rollout_pct": 10, "policy": {"drugs": "block"}}))
    flags, clock, lines = source(
        {"WALTZRL_ROLLOUT_PCT": "50", "WALTZRL_BLOCKING": "1"},
        flags_file=str(file), policy=("weapons=block",), feedback_only=False,
    )  # fmt: skip
    assert flags.current() == Flags(True, 2, 10, True, False, {"drugs": "block"})
    file.write_text('{"rollout_pct": 100}')
    clock.now = 0.499
    assert flags.current().rollout_pct == 10
    clock.now = 0.5
    assert flags.current() == Flags(True, 2, 100, True, False, {"weapons": "block"})
    assert lines[1:] == [
        "flags: rollout_pct 10 → 100, policy {'drugs': 'block'} → {'weapons': 'block'}"
    ]
    file.write_text("{}")
    clock.now = 0.999
    assert flags.current().rollout_pct == 100
    clock.now = 1.0
    assert flags.current().rollout_pct == 50


def test_every_way_in_which_a_file_changes_is_seen(tmp_path):
    file, other = tmp_path / "flags.json", tmp_path / "new.json"
    file.write_text('{"rollout_pct": 10}')
    flags, clock, _ = source(flags_file=str(file))

    def now():
        clock.now += 0.5
        return flags.current().rollout_pct

    assert now() == 10
    other.write_text('{"rollout_pct": 20}')
    os.replace(other, file)
    assert now() == 20
    before = file.stat()
    with file.open("r+") as opened:  # in place, as long as before, and with its time put back
        opened.write('{"rollout_pct": 30}')
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert now() == 30
    file.unlink()
    assert now() == 100
    target = tmp_path / "target.json"
    target.write_text('{"rollout_pct": 40}')
    file.symlink_to(target)
    assert now() == 40


BAD = {
    b"": "half of it", b'{"rollout_pct": 5': "half of it", b"\xff\xfe\xfa": "no UTF-8",
    b"[]": "one object", b"3": "one object", b"[" * 60_000: "lists within lists",
    b'{"rollout": 5}': "got the key 'rollout', allowed are enable, stage, rollout_pct",
    b'{"stage": 1, "stage": 2}': "got the key 'stage' twice",
    b'{"stage": 3}': "stage: got 3, allowed are 1 and 2",
    b'{"stage": "2"}': "stage: got '2', allowed are 1 and 2",
    b'{"stage": true}': "stage: got True, allowed are 1 and 2",
    b'{"rollout_pct": 10.0}': "rollout_pct: got 10.0, allowed is [0, 100], whole numbers",
    b'{"rollout_pct": NaN}': "rollout_pct: got nan, allowed is [0, 100]",
    b'{"blocking": 1}': "blocking: got 1, allowed are true and false",
    b'{"enable": null}': "enable: got None, allowed are true and false",
    b'{"policy": "weapons=block"}': 'policy: got \'weapons=block\', allowed is an object, {"CAT',
    b'{"policy": {"weapons": "deny"}}': "policy: got 'weapons': 'deny', allowed is a category with",
    b'{"policy": {"weapons": ["block"]}}': "policy: got 'weapons': ['block'], allowed",
    b'{"policy": {"": "block"}}': "policy: got '': 'block', allowed is a category",
    b'{"policy": {"wepons": "block"}}': "policy: got 'wepons', no rule has this category; allowed",
    b'{"blocking": true}' + b" " * 70_000: "more than 65536 bytes",
}  # fmt: skip


@pytest.mark.parametrize(("content", "why"), BAD.items(), ids=range(len(BAD)))
def test_a_file_that_cannot_be_leaves_the_flags_as_they_were_and_is_told_of_once(
    tmp_path, content, why
):
    file = tmp_path / "flags.json"
    file.write_bytes(b'{"rollout_pct": 10, "blocking": true}')
    flags, clock, lines = source(flags_file=str(file))
    lines.clear()
    file.write_bytes(content)
    for _ in range(5):
        clock.now += 0.5
        assert flags.current() == Flags(rollout_pct=10, blocking=True)
    [line] = lines
    assert line.startswith(f"warning: flags stay as they were: {file}: ") and why in line
    assert len(line) < 400
    file.write_bytes(b'{"rollout_pct": 20}')
    clock.now += 0.5
    assert flags.current() == Flags(rollout_pct=20)
    file.write_bytes(content)  # bad again: told of again
    clock.now += 0.5
    assert flags.current() == Flags(rollout_pct=20) and sum(why in line for line in lines) == 2


def test_a_bad_file_at_the_start_is_told_of_and_the_service_comes_up(tmp_path):
    file = tmp_path / "flags.json"
    file.write_text("{")
    flags, _, [line] = source({"WALTZRL_STAGE": "1"}, flags_file=str(file))
    assert flags.current() == Flags(stage=1) and line.startswith("warning: flags stay as they were")


def test_a_file_that_goes_and_comes(tmp_path):
    file = tmp_path / "flags.json"
    flags, clock, lines = source({"WALTZRL_ROLLOUT_PCT": "50"}, flags_file=str(file))

    def now():
        clock.now += 0.5
        return flags.current().rollout_pct

    gone = f"flags: {file} is not there; config and environment hold"
    assert [now() for _ in range(3)] == [50] * 3 and lines == [gone]
    file.write_text('{"rollout_pct": 10}')
    assert now() == 10 and lines[1:] == ["flags: rollout_pct 50 → 10"]
    file.unlink()
    assert [now() for _ in range(3)] == [50] * 3
    assert lines[2:] == [gone, "flags: rollout_pct 10 → 50"]


@pytest.mark.parametrize(
    ("kind", "why"),
    [("directory", "Is a directory"), ("pipe", "no regular file"), ("endless", "no regular file")],
)
def test_what_is_no_regular_file_holds_nothing_up(tmp_path, kind, why):
    file = tmp_path / "flags.json"
    if kind == "directory":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero")
    began = time.monotonic()
    flags, clock, [line] = source(flags_file=str(file))
    if kind == "pipe":  # of a writer that says nothing
        writer = os.open(file, os.O_RDWR)
        clock.now += 0.5
        flags.current()
        os.close(writer)
    assert flags.current() == Flags() and why in line and time.monotonic() - began < 2


def test_no_reader_sees_half_of_a_change(tmp_path):
    """Four threads read while a fifth writes the file in place, byte by byte, again and again."""
    file = tmp_path / "flags.json"
    whole = [Flags(rollout_pct=p, blocking=b) for p, b in ((10, False), (90, True))]
    texts = [json.dumps({"rollout_pct": f.rollout_pct, "blocking": f.blocking}) for f in whole]
    file.write_text(texts[0])
    c = default().serve
    c.flags_file = str(file)
    clock, seen, stop = itertools.count(), set(), threading.Event()  # every call is a look
    flags = FlagSource(c, {}, say=lambda line: None, clock=lambda: float(next(clock)))

    def read():
        while not stop.is_set():
            now = flags.current()
            seen.add((now.rollout_pct, now.blocking))

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for text in itertools.islice(itertools.cycle(texts), 30):
        with file.open("w", buffering=1) as opened:
            for start in range(0, len(text), 7):
                opened.write(text[start : start + 7])
                opened.flush()
        time.sleep(0.001)
    stop.set()
    for reader in readers:
        reader.join()
    assert seen == {(10, False), (90, True)}
    assert flags.current() == whole[1]


def test_asking_costs_next_to_nothing(tmp_path):
    file = tmp_path / "flags.json"
    file.write_text("{}")
    c = default().serve
    c.flags_file = str(file)
    flags = FlagSource(c, {}, say=lambda line: None)
    took = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(1000):
            flags.current()
        took.append((time.perf_counter() - began) / 1000)
    assert min(took) < 5e-6


# ---- as JSON ------------------------------------------------------------------------------------


def test_the_flags_as_json_are_a_flags_file(tmp_path):
    wanted = Flags(True, 1, 7, True, False, {"weapons": "flag", "default": "block"})
    file = tmp_path / "flags.json"
    file.write_text(json.dumps(describe(wanted)))
    flags, _, _ = source(flags_file=str(file))
    assert flags.current() == wanted
    assert describe(Flags()) == {
        "enable": True, "stage": 2, "rollout_pct": 100, "blocking": False, "feedback_only": True,
        "policy": {},
    }  # fmt: skip


def test_the_flags_of_a_moment_stay_as_they_are():
    flags = source(policy=("drugs=block",))[0].current()
    with pytest.raises(TypeError):
        flags.policy["weapons"] = "block"
