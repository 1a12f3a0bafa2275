"""The command line of the export, and its exit statuses."""

import signal

import forked
import pytest
from support import slow

from waltzjax.export.unfinished import tell_leftovers


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "wanted is --workdir=RUN and --output=DIR; or --verify=DIR"),
        (["--workdir=a", "--agent=b", "--output=c"], "wanted is --workdir=RUN"),
        (["--agent=b", "--verify=c"], "wanted is --workdir=RUN"),
        (["--workdir=a"], "--output is the new directory"),
        (["--verify=a", "--output=b"], "--output is the new directory"),
        (["--agent=a", "--output=b", "--merge"], "--merge goes with --workdir"),
        (["--agent=a", "--output=b", "--push=a/b"], "--push goes with --workdir or --verify"),
        (["--verify=a", "--dtype=bfloat16"], "--verify writes none"),
        (["--workdir=a", "--output=b", "--dtype=int8"], "float32"),
    ],
)
def test_flags_that_do_not_go_together_end_it_with_status_2(arguments, says):
    done = forked.run("-m", "waltzjax.export", *arguments)
    assert done.returncode == 2 and says in done.stderr


def test_it_exports_and_verifies_and_a_difference_is_status_1(policy, tmp_path):
    out = tmp_path / "out"
    done = forked.run("-m", "waltzjax.export", f"--workdir={policy}", f"--output={out}")
    assert done.returncode == 0, done.stderr
    assert "[4/4] checksums" in done.stdout and f"--verify={out}" in done.stdout
    (out / "policy/README.md").unlink()
    done = forked.run("-m", "waltzjax.export", f"--verify={out}")
    assert done.returncode == 1
    assert "error: " in done.stderr and "policy/README.md: missing" in done.stderr


@pytest.mark.parametrize("signum", [signal.SIGTERM, slow(signal.SIGINT)])
def test_an_export_that_is_asked_to_stop_leaves_nothing(signum, policy, tmp_path):
    program = f"""
import os, sys
from waltzjax.export import pair
pair.measure = lambda *_: os.kill(os.getpid(), {int(signum)})
sys.argv = ["export", "--workdir={policy}", "--output={tmp_path / "out"}"]
import runpy
runpy.run_module("waltzjax.export", run_name="__main__", alter_sys=True)
"""
    done = forked.run("-c", program)
    assert done.returncode == 128 + signum
    assert f"stopped by {signum.name}: {tmp_path / 'out'} is not written" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_what_a_kill_left_is_told_of_by_the_next_export(tmp_path, capsys):
    left = tmp_path / f".out.{'a1' * 16}.tmp"
    (left / "feedback").mkdir(parents=True)
    (left / "feedback/model.safetensors").write_bytes(b"0" * 3_000_000)
    for other in (f".other.{'a1' * 16}.tmp", ".out.tmp", f".out.more.{'a1' * 16}.tmp"):
        (tmp_path / other).mkdir()
    tell_leftovers(tmp_path / "out")
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith(f"note: {left} (3.0 MB) is of an export that was killed")
    tell_leftovers(tmp_path / "not/there")
    assert capsys.readouterr().out == "" and left.is_dir()
