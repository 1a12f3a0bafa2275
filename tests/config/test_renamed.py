"""Keys of older configs: told by their new names, and read in the records of older runs."""

import pytest

from waltzjax.config.defaults import KEYS, default
from waltzjax.config.renamed import RENAMED, today
from waltzjax.recipes import validate


@pytest.mark.parametrize("old", RENAMED)
def test_a_config_with_an_old_key_is_told_the_new_one(old):
    c = default()
    group, _, name = old.rpartition(".")
    with c.unlocked():
        c[group][name] = 1
    with pytest.raises(ValueError, match=rf"config\.{old}: no such key; it is config\.") as error:
        validate(c, training=True)
    assert f"it is config.{RENAMED[old]} now" in str(error.value)


def test_new_names_are_keys_and_old_ones_are_not():
    plain = {old: new for old, new in RENAMED.items() if "ROLE" not in new}
    assert {*plain.values()} <= {*KEYS} and not {*RENAMED} & {*KEYS}


def test_an_older_record_has_the_names_of_today():
    old = {"config.stages": ["stage2"], "config.rl.is_cap": 2.0, "config.rollout.slots": 8,
           "config.optim.lr.policy": 1e-6, "config.optim.lr.feedback": 3e-7, "config.dpo.lr": 5e-5,
           "config.sft.lr": 1e-5, "config.sft.role": "feedback", "config.seed": 3}  # fmt: skip
    assert today(old) == {
        "config.stages": ["stage2"], "config.rl.tis_cap": 2.0, "config.rollout.max_num_seqs": 8,
        "config.optim.lr.policy": 1e-6, "config.optim.lr.feedback": 3e-7,
        "config.sft.role": "feedback", "config.seed": 3,
    }  # fmt: skip
    assert "config.rl.is_cap" in old  # what was given is as it was


@pytest.mark.parametrize(
    ("stage", "role", "lr"), [("dpo", "policy", 5e-5), ("sft", "feedback", 1e-5)]
)
def test_the_learning_rate_of_a_stage_becomes_its_role_s(stage, role, lr):
    old = {"config.stages": [stage], "config.optim.lr.policy": 1e-6, "config.dpo.lr": 5e-5,
           "config.optim.lr.feedback": 5e-7, "config.sft.lr": 1e-5,
           "config.sft.role": "feedback"}  # fmt: skip
    new = today(old)
    assert new.pop(f"config.optim.lr.{role}") == lr
    assert new == {k: v for k, v in old.items() if k not in (
        "config.dpo.lr", "config.sft.lr", f"config.optim.lr.{role}")}  # fmt: skip
    assert today(new) == new
