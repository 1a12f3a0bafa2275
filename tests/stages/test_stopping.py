"""A rule of the config, or a request in the run's directory, ends a stage with a checkpoint."""

import json
import signal

import pytest
from support import mesh_of, sharded_params, tiny_config
from test_loop import moved, stage

from waltzjax.config.defaults import default
from waltzjax.metrics.events import Events
from waltzjax.recipes import validate
from waltzjax.stages import stopping
from waltzjax.stages.loop import run_stage
from waltzjax.stages.stopping import ASKED, Stopping, discard_request
from waltzjax.support.signals import EXIT_RULE, Stopped
from waltzjax.training.checkpoint import Checkpoints
from waltzjax.types import POLICY

STEPS = 24


def run(workdir, metrics, *rules, **monitor):
    c = default()
    c.train.checkpoint_every, c.train.validate_every = 1000, 0
    c.stop.rules, c.metrics.writers = rules, ()
    c.monitor.update(monitor)
    mesh = mesh_of(1, 1, 1)
    start = {POLICY: sharded_params(tiny_config(), mesh)}
    whole = stage(moved, metrics)._replace(total=STEPS)
    return run_stage(c, whole, mesh, start, workdir, Events(workdir), None, lambda *_: None)


def kl_from(first, value=0.5):
    """KL of the step after ``number`` steps: bad from step ``first`` on."""
    return lambda number: {"kl/policy": value if number + 1 >= first else 0.05}


def steps(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["step"] for line in lines]


def test_a_rule_stops_the_run_and_the_same_run_goes_on(tmp_path, capsys):
    with pytest.raises(Stopped) as caught:
        run(tmp_path, kl_from(9), "kl", "loss")
    last = steps(tmp_path)[-1]
    assert caught.value.exit_status == EXIT_RULE == 3 and 11 <= last <= 17
    message = str(caught.value)
    assert message.startswith(
        "stopped by the rule kl: kl/policy, averaged over some 5 steps, is 0."
    )
    assert f"above 0.2: dpo stands saved after step {last}; the same command goes on" in message
    assert [p.name for p in (tmp_path / "checkpoints/dpo").iterdir()] == [str(last)]
    assert "dpo: stops on loss, kl; steps count from 1 on" in capsys.readouterr().out
    # The rule has forgotten what it saw: well again, the run ends.
    run(tmp_path, kl_from(STEPS + 1), "kl")
    assert steps(tmp_path) == [*range(1, STEPS + 1)]
    said = capsys.readouterr().out
    assert f"resumed after step {last}" in said
    assert f"stops on kl; steps count from {last + 1} on" in said


def test_what_holds_still_stops_it_again_and_without_the_rule_it_does_not(tmp_path):
    at = []
    for _ in range(2):
        with pytest.raises(Stopped):
            run(tmp_path, kl_from(1), "kl")
        at.append(steps(tmp_path)[-1])
    assert at == [4, 8]
    run(tmp_path, kl_from(1))
    assert steps(tmp_path)[-1] == STEPS


def test_a_near_miss_does_not_stop_it(tmp_path):
    run(tmp_path, kl_from(5, value=0.19), "kl")
    assert steps(tmp_path) == [*range(1, STEPS + 1)]


def test_a_rule_that_the_user_added_stops_it(tmp_path):
    with pytest.raises(Stopped, match=r"the rule low: entropy/policy, averaged .* below 1"):
        run(tmp_path, lambda n: {"entropy/policy": 0.1}, "low", rules=("low: entropy < 1",))


@pytest.mark.parametrize(
    ("text", "said"), [("kl rises\n too fast", "kl rises too fast"), ("", "no")]
)
def test_a_request_is_obeyed_and_removed(tmp_path, text, said):
    def metrics(number):
        if number == 2:
            (tmp_path / "stop").write_text(text)
        return {}

    with pytest.raises(Stopped, match=rf"asks: .*{said}.* stands saved after step 3") as caught:
        run(tmp_path, metrics)
    assert caught.value.exit_status == EXIT_RULE
    assert not (tmp_path / "stop").exists()
    run(tmp_path, lambda n: {})
    assert steps(tmp_path) == [*range(1, STEPS + 1)]


def test_a_request_from_before_the_launch_is_not_obeyed(tmp_path, capsys):
    discard_request(tmp_path)
    assert not capsys.readouterr().out
    (tmp_path / "stop").write_text("old")
    discard_request(tmp_path)
    assert "a request to stop from before this launch is removed: old" in capsys.readouterr().out
    assert not (tmp_path / "stop").exists()


def test_a_process_that_does_not_judge_stops_with_the_others(tmp_path, monkeypatch):
    (tmp_path / "stop").write_text("")
    quiet = Stopping(default(), tmp_path, stage(moved), 0)
    quiet.check(0, "")
    quiet.check(15, "")  # a signal's: not its affair
    monkeypatch.setattr(stopping, "writes", lambda: False)
    with pytest.raises(Stopped, match="as the first process says: saved"):
        quiet.check(ASKED, "saved")
    assert (tmp_path / "stop").exists()  # the first process removes it


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"stop.rules": ("klx",)}, "config.stop.rules: got 'klx', allowed are dir, asr, orr, loss"),
        ({"stop.rules": (3,)}, "config.stop.rules: got (3,), allowed are names of rules"),
        ({"monitor.rules": ("kl",)}, "config.monitor.rules: got ('kl',), allowed are texts '[NAME"),
        ({"monitor.rules": ("kl > 1",)}, "config.monitor.rules: two rules are named 'kl'"),
        ({"monitor.kl.threshold": 0.0}, "config.monitor.kl.threshold: got 0.0, allowed is > 0"),
        ({"monitor.grace": 2.0}, "config.monitor.grace: got 2.0, allowed is [0, 1]"),
    ],
)
def test_rules_that_cannot_be(change, said):
    c = default()
    c.update_from_flattened_dict(change)
    with pytest.raises(ValueError) as error:
        validate(c, training=True)
    assert said in str(error.value)


def test_a_figure_of_which_nothing_was_counted_is_no_fault_and_hides_none(tmp_path):
    """NaN, as a rate has it in a batch without such prompts; metrics.jsonl leaves it out."""

    def rate(value, every):
        return lambda number: {"asr": float("nan") if number % every == 0 else value}

    run(tmp_path / "good", rate(2.0, 2), "asr", grace=0.0)
    assert steps(tmp_path / "good")[-1] == STEPS
    with pytest.raises(Stopped, match="asr, averaged over some 24 steps, is 60,"):
        run(tmp_path / "bad", rate(60.0, 5), "asr", grace=0.0)


def test_a_request_that_cannot_be_removed_stops_no_less(tmp_path, monkeypatch):
    def refuse(self, missing_ok=False):
        raise PermissionError(1, "not yours")

    (tmp_path / "stop").write_text("look at it")
    monkeypatch.setattr(type(tmp_path), "unlink", refuse)
    discard_request(tmp_path)
    with pytest.raises(Stopped, match="look at it"):
        run(tmp_path, kl_from(STEPS + 1))


def test_a_signal_that_comes_with_the_last_checkpoint_stops_the_run(tmp_path, monkeypatch):
    save = Checkpoints.save

    def save_and_signal(self, step, *rest):
        save(self, step, *rest)
        if step == STEPS:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Checkpoints, "save", save_and_signal)
    with pytest.raises(Stopped) as caught:
        run(tmp_path, kl_from(STEPS + 1))
    assert caught.value.exit_status == 143 and steps(tmp_path)[-1] == STEPS
