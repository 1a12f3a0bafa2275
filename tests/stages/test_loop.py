"""The loop of a stage stops at what is not finite, before it is saved."""

import contextlib
import json

import jax.numpy as jnp
import numpy as np
import pytest
from support import mesh_of, sharded_params, tiny_config

from waltzjax.config.defaults import default
from waltzjax.data.source import Batches
from waltzjax.metrics.events import Events
from waltzjax.stages.loop import run_stage
from waltzjax.stages.stage import Stage, StepResult
from waltzjax.training.optimizer import make_optimizer
from waltzjax.types import POLICY

STEPS, SAVED = 6, 2  # a checkpoint every so many steps


def config():
    c = default()
    c.train.checkpoint_every, c.train.keep_checkpoints, c.train.validate_every = SAVED, 2, 0
    return c


def stage(change, metrics=None):
    """A stage whose step does ``change`` to its agent, and calls its losses finite."""
    optimizer = make_optimizer(
        lr=1e-3, warmup_steps=1, b1=0.9, b2=0.99, weight_decay=0.0, grad_clip=1.0
    )  # fmt: skip

    def step(agents, chosen, number, watch):
        found = dict.fromkeys((f"{n}/{POLICY}" for n in ("loss", "grad_norm", "change_norm")), 0.5)
        after = {POLICY: change(agents[POLICY], number)}
        return StepResult(after, found | (metrics(number) if metrics else {}))

    return Stage(
        name="dpo", total=STEPS, epoch_ends=(), optimizers={POLICY: optimizer}, kl_coef=0.1,
        batches=Batches([0, 1], ["0", "1"], batch_size=1, seed=0, epochs=None),
        steps_key="config.dpo.epochs", divergence_hint="lower config.optim.lr.policy", step=step,
    )  # fmt: skip


def run(workdir, change, metrics=None):
    return run_of(workdir, stage(change, metrics))


def run_of(workdir, whole_stage):
    mesh = mesh_of(1, 1, 1)
    start = {POLICY: sharded_params(tiny_config(), mesh)}
    events = Events(workdir)
    return run_stage(config(), whole_stage, mesh, start, workdir, events, None, lambda *_: None)


def moved(agent, number):
    """A step that is as it should be."""
    params = {**agent.params, "embed": agent.params["embed"] + 1}
    return agent._replace(params=params, step=agent.step + 1)


def spoil(where, at, value):
    """Steps that are good up to number ``at`` (from 0), from which on a number is ``value``."""

    def change(agent, number):
        agent = moved(agent, number)
        if number < at:
            return agent
        if where == "beta":
            return agent._replace(beta=jnp.full_like(agent.beta, value))
        if where == "moments":
            clip, (adam, *rest), *others = agent.opt_state
            adam = adam._replace(nu={**adam.nu, "embed": adam.nu["embed"].at[1, 1].set(value)})
            return agent._replace(opt_state=(clip, (adam, *rest), *others))
        layers = dict(agent.params["layers"])
        kernel = layers[where]["kernel"]
        layers[where] = {**layers[where], "kernel": kernel.at[0, 0, 0].set(value)}
        return agent._replace(params={**agent.params, "layers": layers})

    return change


def steps_saved(workdir):
    return {p.name for p in (workdir / "checkpoints/dpo").iterdir()}


@pytest.mark.parametrize(
    ("where", "at", "value"),
    [
        ("q", 2, np.nan), ("down", 3, np.inf), ("up", 5, -np.inf), ("moments", 4, np.inf),
        ("beta", 4, np.nan),
    ],
)  # fmt: skip
def test_arrays_that_are_not_finite_are_never_saved(tmp_path, where, at, value):
    with pytest.raises(FloatingPointError, match=r"dpo, step \d: policy\..* not finite; nothing"):
        run(tmp_path, spoil(where, at, value))
    good = at // SAVED * SAVED
    assert steps_saved(tmp_path) == {str(s) for s in range(SAVED, good + 1, SAVED)}
    params = run(tmp_path, moved)[POLICY]  # which goes on from there
    assert np.isfinite(np.asarray(params["layers"]["q"]["kernel"])).all()
    start = sharded_params(tiny_config(), mesh_of(1, 1, 1))
    np.testing.assert_allclose(params["embed"], start["embed"] + STEPS, rtol=1e-6)


@pytest.mark.parametrize("name", ["loss", "grad_norm", "change_norm"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_figures_that_are_not_finite_stop_the_run_at_their_step(tmp_path, name, value):
    key = f"{name}/{POLICY}"
    message = rf"step 4: {key} not finite.*lower config\.optim\.lr"
    with pytest.raises(FloatingPointError, match=message):
        run(tmp_path, moved, lambda number: {key: value} if number == 3 else {})
    assert steps_saved(tmp_path) == {"2"}
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]


def test_a_stage_whose_last_checkpoint_is_spoilt_ends_with_good_numbers(tmp_path, monkeypatch):
    """As a version left it that did not look."""
    with monkeypatch.context() as patch:
        patch.setattr("waltzjax.stages.loop.not_finite", lambda agents: [])
        run(tmp_path, spoil("q", 5, np.nan))
    assert steps_saved(tmp_path) == {"4", "6"}
    params = run(tmp_path, moved)[POLICY]
    assert np.isfinite(np.asarray(params["layers"]["q"]["kernel"])).all()
    assert steps_saved(tmp_path) == {"4", "6", "unreadable-6"}


class Killed(BaseException):
    pass


def seen_by(workdir, dies_at=None):
    """(step, its batch) of a run, which is killed as a step begins."""
    seen, made = [], stage(moved)

    def step(agents, chosen, number, watch):
        if number == dies_at:
            raise Killed
        seen.append((number, chosen))
        return made.step(agents, chosen, number, watch)

    batches = Batches(range(20), [*map(str, range(20))], batch_size=3, seed=1, epochs=None)
    with contextlib.suppress(Killed):
        run_of(workdir, made._replace(step=step, batches=batches))
    return seen


@pytest.mark.parametrize("dies_at", [1, SAVED, SAVED + 1, STEPS - 1])
def test_a_killed_run_goes_on_with_the_batches_after_its_checkpoint(tmp_path, dies_at):
    whole = seen_by(tmp_path / "whole")
    assert len({str(batch) for _, batch in whole}) == STEPS
    workdir = tmp_path / "killed"
    assert seen_by(workdir, dies_at) == whole[:dies_at]
    assert seen_by(workdir) == whole[dies_at // SAVED * SAVED :]
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [*range(1, STEPS + 1)]
