"""A service's flags are changed, and are as before at the end, however that comes."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from waltzjax.support.signals import Stopped
from waltzjax.validation.flags_file import STRICT, FlagsFile
from waltzjax.validation.stoppable import run_stoppable


def test_the_file_is_put_back_byte_by_byte(tmp_path):
    path = tmp_path / "flags.json"
    path.write_text('{"stage": 1}   \n')
    path.chmod(0o640)
    with FlagsFile(path) as flags:
        flags.set(stage=1)
        assert json.loads(path.read_text()) == {**STRICT, "stage": 1}
        flags.set()
        assert json.loads(path.read_text()) == STRICT
    assert path.read_text() == '{"stage": 1}   \n' and path.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["flags.json"]


def test_a_file_that_was_not_there_is_gone_again(tmp_path):
    with pytest.raises(RuntimeError), FlagsFile(tmp_path / "flags.json") as flags:
        flags.set()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", '{"stage": 1}'])
def test_a_file_stays_whatever_is_in_it(content, tmp_path):
    path = tmp_path / "flags.json"
    path.write_text(content)
    with FlagsFile(path) as flags:
        flags.set()
    assert path.read_text() == content and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("before", ['{"stage": 1}', None])
@pytest.mark.parametrize("theirs", ['{"enable": false}', None])
def test_what_an_operator_does_meanwhile_stays(before, theirs, tmp_path, capsys):
    path = tmp_path / "flags.json"
    if before:
        path.write_text(before)
    with pytest.raises(OSError, match="was changed by somebody else"), FlagsFile(path) as flags:
        flags.set()
        path.unlink()
        if theirs:
            path.write_text(theirs)
        flags.set(stage=1)
    assert (path.read_text() if path.exists() else None) == theirs
    assert "by somebody else meanwhile, and stays so" in capsys.readouterr().out
    assert [*tmp_path.iterdir()] == ([path] if theirs else [])


def test_flags_that_cannot_be_kept_are_not_changed(tmp_path, monkeypatch):
    path = tmp_path / "flags.json"
    path.write_text('{"stage": 1}')

    def full(source, target):
        target.write_text('{"st')
        raise OSError("no space left")

    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(OSError, match="no space left"):
        FlagsFile(path).__enter__()
    assert [*tmp_path.iterdir()] == [path] and path.read_text() == '{"stage": 1}'


@pytest.mark.parametrize(
    ("kept", "says"),
    [
        ((), "remove the directory .*: the file was not changed yet"),
        (("copy",), "remove the directory .*: the file was not changed yet"),
        (("before",), "put .*/before back in its place and remove the directory"),
        (("there-was-no-file",), "remove the file, as there was none, and remove the directory"),
    ],
)
def test_after_a_kill_what_is_whole_is_put_back(kept, says, tmp_path):
    path, directory = tmp_path / "flags.json", tmp_path / ".flags.json.before-validation"
    path.write_text(json.dumps(STRICT))
    directory.mkdir()
    for name in kept:
        (directory / name).write_text("{}")
    with pytest.raises(FileExistsError, match=f"in that case {says}"):
        FlagsFile(path).__enter__()
    assert json.loads(path.read_text()) == STRICT and len([*directory.iterdir()]) == len(kept)


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.json").write_text("{}")
    link = tmp_path / "flags.json"
    link.symlink_to("real.json")
    with FlagsFile(link) as flags:
        flags.set()
        assert json.loads(link.read_text()) == STRICT
    assert link.is_symlink() and (tmp_path / "real.json").read_text() == "{}"


def test_a_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"--flags_file: no directory .*/none"):
        FlagsFile(tmp_path / "none" / "flags.json").__enter__()


def test_two_at_once_are_refused_and_change_nothing(tmp_path):
    path = tmp_path / "flags.json"
    path.write_text('{"stage": 1}')
    with FlagsFile(path) as flags:
        flags.set()
        with pytest.raises(FileExistsError, match="another validation"):
            FlagsFile(path).__enter__()
        assert json.loads(path.read_text()) == STRICT
    assert path.read_text() == '{"stage": 1}'


PROGRAM = """
import asyncio, sys
from pathlib import Path
from waltzjax.support.signals import Stopped
from waltzjax.validation.flags_file import FlagsFile
from waltzjax.validation.stoppable import run_stoppable

async def work():
    with FlagsFile(Path(sys.argv[1])) as flags:
        flags.set()
        print("changed", flush=True)
        await asyncio.sleep(60)
try:
    run_stoppable(work())
except Stopped as stopped:
    print(stopped)
    sys.exit(stopped.exit_status)
"""


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)]
)
def test_a_signal_leaves_the_flags_as_they_were(number, status, tmp_path):
    path = tmp_path / "flags.json"
    path.write_text('{"stage": 1}')
    command = [sys.executable, "-c", PROGRAM, str(path)]
    work = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert work.stdout.readline() == "changed\n" and json.loads(path.read_text()) == STRICT
    os.kill(work.pid, number)
    assert work.wait(30) == status
    if number == signal.SIGKILL:  # what nobody can catch loses nothing, and is told of
        with pytest.raises(FileExistsError, match="was by one that was killed") as told:
            FlagsFile(path).__enter__()
        [kept] = [p for p in tmp_path.rglob("*") if p != path and p.is_file()]
        assert kept.read_text() == '{"stage": 1}' and str(kept) in str(told.value)
    else:
        assert path.read_text() == '{"stage": 1}' and len(list(tmp_path.iterdir())) == 1


def test_work_that_nobody_stops_has_its_result():
    async def work():
        await asyncio.sleep(0)
        return 7

    assert run_stoppable(work()) == 7


def test_a_stop_takes_no_longer_than_the_work_needs():
    async def work():
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(60)

    began = time.monotonic()
    with pytest.raises(Stopped, match="SIGTERM"):
        run_stoppable(work())
    assert time.monotonic() - began < 5
