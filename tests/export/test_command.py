"""The command line of the export, and its exit statuses."""

import finished
import forked
import pytest


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


def test_it_exports_and_verifies_and_a_difference_is_status_1(tmp_path):
    run = finished.policy_run(tmp_path / "maths")
    out = tmp_path / "out"
    done = forked.run("-m", "waltzjax.export", f"--workdir={run}", f"--output={out}")
    assert done.returncode == 0, done.stderr
    assert "[4/4] checksums" in done.stdout and f"--verify={out}" in done.stdout
    (out / "policy/README.md").unlink()
    done = forked.run("-m", "waltzjax.export", f"--verify={out}")
    assert done.returncode == 1
    assert "error: " in done.stderr and "policy/README.md: missing" in done.stderr
