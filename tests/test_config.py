"""Every shipped config loads; every broken one is named by its key."""

from pathlib import Path
from runpy import run_path

import pytest
from support import REPO

from waltzjax import config, config_check
from waltzjax.recipes import RECIPES

CONFIGS = sorted((REPO / "configs").glob("*.py"))


def load(path: Path, arg: str = ""):
    return run_path(str(path))["get_config"](arg)


@pytest.mark.parametrize("arg", ["", "lora", "tiny"])
@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_config_loads(path, arg):
    config_check.validate(load(path, arg), training=True)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_an_unknown_argument_is_refused(path):
    with pytest.raises(ValueError, match=r"small.*lora.*tiny"):
        load(path, "small")


def test_every_stage_that_may_be_named_has_a_recipe_and_its_own_keys():
    c = config.default()
    assert {*RECIPES} == {*c.train.steps} == {*c.reward.lam} == {*c.rl.beta}
    assert (config.SFT, *RECIPES) == config_check.STAGES


def test_full_size_numbers_are_the_papers():
    c = load(REPO / "configs/stage2.py")
    assert (c.rollout.batch, c.rl.microbatches, c.rollout.max_new_tokens) == (32, 4, 512)
    assert (c.optim.lr.conversation, c.optim.lr.feedback) == (5e-7, 5e-7)
    assert set(c.rl.beta.to_dict().values()) == {0.01}
    assert (c.reward.alpha, c.reward.gamma, c.reward.lam.stage2) == (0.65, 0.1, 0.0)
    assert (c.rl.clip_low, c.rl.clip_high, c.train.epochs) == (0.2, 0.2, 5)
    assert load(REPO / "configs/stage1.py").stages == ("stage1",)
    assert load(REPO / "configs/stage1.py").reward.lam.stage1 == 0.25


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("rl.clip_low", 1.5, "[0, 1)"),
        ("rl.kl_estimator", "k4", "k1, k2, k3"),
        ("rl.microbatches", 5, "must divide"),
        ("rl.dual_clip", 0.5, "> 1"),
        ("rollout.t_max", 0, ">= 1"),
        ("rollout.p_first", 1.5, "[0, 1]"),
        ("rollout.temperature", 0.0, ">= 0.001"),
        ("eval.temperature", 1e-5, "0 or >= 0.001"),
        ("rollout.top_p", 0.0, "0.000001 to 1"),
        ("reward.lam.stage2", -0.3, ">= 0"),
        ("rl.microbatches", 0, ">= 1"),
        ("mesh", (1, "a", 1), "three integers"),
        ("optim.b1", 1.0, "[0, 1)"),
        ("optim.schedule", "cosine", "constant, linear"),
        ("optim.lr.feedback", -1.0, "> 0"),
        ("optim.lr.feedback", float("nan"), "expected float"),
        ("stages", ("stage2", "stage1"), "in the order"),
        ("stages", ("stage3",), "stage1"),
        ("stages", (), "stage1"),
        ("model.dtype", "float16", "bfloat16"),
        ("rollout.batch", 0, ">= 1"),
        ("rollout.batch", True, "expected int"),
        ("judge.name", "oracle", "label, wildguard, openai"),
    ],
)
def test_broken_values_name_key_value_and_what_is_allowed(key, value, allowed):
    c = config.default()
    with c.unlocked(), c.ignore_type():
        group, _, name = key.rpartition(".")
        _group(c, group)[name] = value
    with pytest.raises(ValueError) as error:
        config_check.validate(c, training=True)
    assert f"config.{key}" in str(error.value) and allowed in str(error.value)


def _group(c, path):
    for part in filter(None, path.split(".")):
        c = c[part]
    return c


def test_unknown_and_missing_keys_are_listed_together():
    c = config.default()
    with c.unlocked():
        c.rollout.bacth = 3
        del c.rl.beta
    with pytest.raises(ValueError) as error:
        config_check.validate(c, training=True)
    assert "config.rollout.bacth" in str(error.value) and "config.rl.beta" in str(error.value)
