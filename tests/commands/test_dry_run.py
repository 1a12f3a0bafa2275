"""A run that is checked and not begun."""

import forked
import pytest

from waltzjax.config.defaults import default
from waltzjax.config.text import as_text, changes


def dry(tmp_path, *flags, config="configs/stage2.py:tiny"):
    done = forked.run(
        "-m", "waltzjax.train", f"--config={config}", "--dry_run", f"--workdir={tmp_path / 'run'}",
        *flags, COLUMNS="200",
    )  # fmt: skip
    assert not any(tmp_path.iterdir())  # whatever it comes to
    return done


def test_it_prints_the_config_and_what_is_not_the_default(tmp_path):
    writers = "--config.metrics.writers=('tensorboard','prometheus')"
    done = dry(tmp_path, "--config.seed=3", "--config.judge.max_unparsed=0.25", writers)
    assert done.returncode == 0 and not done.stderr
    table = done.stdout.partition("key that is not the default")[2]
    rows = {line.split()[0]: line.split()[1:] for line in table.splitlines() if "config." in line}
    assert rows["config.seed"] == ["0", "3"] and rows["config.optim.eps"] == ["1e-08", "0.0001"]
    assert rows["config.judge.max_unparsed"][-1] == "0.25"
    assert rows["config.metrics.writers"] == [
        "('tensorboard',)",
        "('tensorboard',",
        "'prometheus')",
    ]
    assert "config.judge.name" not in rows and "\nconfig.judge.name = 'label'\n" in done.stdout
    assert "nothing was written" in done.stdout


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--config.rl.clip_low=-1.0", "config.rl.clip_low: got -1.0"),
        ("--config.data.directory=nowhere", "nowhere"),
        ("--config.metrics.writers=('prometheus','x')", "metrics.writers: got ('prometheus', 'x')"),
        ("--config.model.base=nowhere/at/all", "nowhere/at/all"),
        ("--config.prompts.feedback=missing.txt", "config.prompts.feedback: no file 'missing.txt'"),
    ],
)
def test_what_is_wrong_is_found(tmp_path, flag, said):
    done = dry(tmp_path, flag)
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr


def test_changes_by_hand():
    c = default()
    assert changes(c) == []
    c.rl.beta.stage1, c.stages, c.model.template_kwargs.thinking = 0.5, ("sft",), False
    assert changes(c) == [
        ("config.model.template_kwargs.thinking", None, False),
        ("config.rl.beta.stage1", default().rl.beta.stage1, 0.5),
        ("config.stages", ("stage2",), ("sft",)),
    ]


def test_every_key_is_a_line_that_can_be_given_as_a_flag():
    lines = as_text(default()).splitlines()
    assert "config.rl.beta.stage1 = 0.01" in lines and "config.stages = ('stage2',)" in lines
    assert all(line.startswith("config.") and " = " in line for line in lines)
    assert lines == sorted(lines, key=lambda line: line.partition(" = ")[0].split("."))
