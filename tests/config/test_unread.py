"""A key that nothing that runs reads is an error which says who would read it."""

from runpy import run_path

import pytest
from ml_collections import ConfigDict
from support import REPO

from waltzjax.config import check
from waltzjax.config.defaults import KEYS, default
from waltzjax.config.key import COLLECT_READS, COMMAND_READS, SERVE_READS, readers_in, value_at
from waltzjax.recipes import STAGES, readers, validate

GAME, REINFORCED = "sft, stage1, stage2, single", "stage1, stage2, single, rlvr"
SERVED = f"{GAME}, waltzjax.serve"
SELF_PLAYED, MATHS = "stage1, stage2, single", "rlvr, dpo, waltzjax.collect"


def load(name: str, arg: str = "") -> ConfigDict:
    return run_path(str(REPO / f"configs/{name}.py"))["get_config"](arg)


def problems(c: ConfigDict, **how) -> list[str]:
    try:
        validate(c, **({"training": True} | how))
    except ValueError as error:
        return str(error).split("\n  ")[1:]
    return []


@pytest.mark.parametrize(
    ("config", "key", "value", "readers"),
    [
        ("stage1", "rollout.group", 2, "rlvr"),
        ("stage1", "rl.algorithm", "grpo", "rlvr"),
        ("stage1", "rl.refills", 1, "rlvr"),
        ("stage1", "reward.order", "normalise", "rlvr"),
        ("stage1", "reward.signals.format", 0.1, "rlvr"),
        ("stage1", "eval.samples", 2, "rlvr, dpo, waltzjax.collect"),
        ("stage1", "train.validate_first", False, MATHS),
        ("stage1", "train.steps.stage2", 5, "stage2"),
        ("stage1", "train.steps.rlvr", 5, "rlvr"),
        ("stage1", "rl.beta.single", 0.5, "single"),
        ("stage1", "reward.lam.stage2", 0.5, "stage2"),
        ("stage1", "optim.lr.conversation", 1e-6, "sft, stage2, single"),
        ("stage1", "optim.lr.policy", 2e-6, "rlvr, dpo"),
        ("stage2", "sft.epochs", 3, "sft"),
        ("stage2", "sft.data", "x", "sft"),
        ("stage2", "dpo.beta", 0.2, "dpo"),
        ("stage2", "pairs.max_pairs", 7, "waltzjax.collect"),
        ("stage2", "collect.questions", 7, "waltzjax.collect"),
        ("stage2", "problems.train", "x.jsonl", MATHS),
        ("stage2", "prompts.maths", "x.txt", MATHS),
        ("stage2", "verify.timeout_s", 1.0, MATHS),
        ("stage2", "lora.dropout", 0.1, "sft, dpo"),
        ("sft", "rl.clip_low", 0.1, REINFORCED),
        ("sft", "rollout.batch", 8, REINFORCED),
        ("sft", "rollout.temperature", 0.5, REINFORCED),
        ("sft", "reward.alpha", 0.5, SELF_PLAYED),
        ("sft", "rollout.p_first", 0.1, SELF_PLAYED),
        ("rlvr_naive", "data.directory", "x", GAME),
        ("rlvr_naive", "judge.name", "openai", GAME),
        ("rlvr_naive", "rollout.t_max", 2, SERVED),
        ("rlvr_naive", "sft.length", 5, GAME),
        ("rlvr_naive", "reward.gamma", 0.5, SELF_PLAYED),
        ("rlvr_naive", "prompts.feedback", "x", SERVED),
        ("regime_w_dpo", "serve.port", 80, "waltzjax.serve"),
        ("stage2", "serve.upstream.timeout_s", 3.0, "waltzjax.serve"),
        ("rlvr_naive", "model.feedback", "x", GAME),
        ("regime_w_dpo", "rl.kl_estimator", "k3", REINFORCED),
        ("regime_w_dpo", "reward.signals.verify", 0.5, "rlvr"),
        ("regime_w_dpo", "collect.questions", 3, "waltzjax.collect"),
        ("regime_w_dpo", "train.epochs", 3, REINFORCED),
        ("regime_w_dpo", "optim.lr.feedback", 1e-3, "sft, stage1, stage2"),
    ],
)
def test_a_key_of_others_is_refused_with_who_reads_it(config, key, value, readers):
    c = load(config)
    c.update_from_flattened_dict({key: value})
    found = [line for line in problems(c) if line.startswith(f"config.{key}: got {value!r}, but ")]
    assert len(found) == 1 and f"read by {readers}. Leave it out" in found[0]


@pytest.mark.parametrize("key", ["dpo.batch", "optim.lr.policy", "lora.rank", "train.epochs"])
def test_collecting_refuses_what_only_training_reads(key):
    c = load("regime_w_collect")
    c.update_from_flattened_dict({key: _other(value_at(c, key))})
    line = problems(c, training=False, reads=COLLECT_READS)[0]
    assert line.startswith(f"config.{key}: got ") and "nothing that runs reads it" in line
    assert "waltzjax.collect" not in line


@pytest.mark.parametrize(
    ("key", "value", "readers"),
    [
        ("optim.lr.policy", 1e-3, "rlvr, dpo"),
        ("rollout.variant", "oracle", GAME),
        ("rollout.temperature", 0.5, REINFORCED),
        ("model.feedback", "x", GAME),
        ("lora.rank", 8, f"{GAME}, rlvr, dpo"),
        ("judge.name", "openai", GAME),
        ("prompts.maths", "x", MATHS),
        ("monitor.kl.threshold", 0.5, f"{GAME}, rlvr, dpo"),
    ],
)
def test_serving_refuses_what_only_others_read(key, value, readers):
    c = load("serve", "tiny")
    c.update_from_flattened_dict({key: value})
    [line] = [
        p for p in problems(c, training=False, reads=SERVE_READS) if p.startswith(f"config.{key}:")
    ]
    assert line.startswith(f"config.{key}: got {value!r}, but nothing that runs reads it; ")
    assert f"read by {readers}. Leave it out" in line


def test_serving_reads_its_own_section_and_what_agents_are_shown():
    c = load("serve", "tiny")
    c.rollout.t_max, c.prompts.feedback, c.serve.port = 2, "x", 80
    assert problems(c, training=False, reads=SERVE_READS) == []


def _other(value):
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return 3 * value + 1e-3
        case str():
            return f"{value}x"
        case ConfigDict():
            return ConfigDict({"x": 1})
    return (*value, 1)


@pytest.mark.parametrize("reader", [*STAGES, *COMMAND_READS])
def test_every_key_is_either_read_or_refused(reader):
    c = default()
    c.stages = (reader,) if reader in STAGES else c.stages
    reads = COMMAND_READS.get(reader) or readers_in(c, STAGES)
    refused = []
    for path, key in KEYS.items():
        changed = c.copy_and_resolve_references()
        group, _, name = path.rpartition(".")
        if path != "stages":
            (value_at(changed, group) if group else changed)[name] = _other(key.default)
        lines = problems(changed, training=reader in STAGES, reads=reads)
        lines = [line for line in lines if line.startswith(f"config.{path}: ")]
        if any("nothing that runs reads it" in line for line in lines):
            refused.append(path)
    assert refused == [path for path, key in KEYS.items() if not reads & {*key.readers}]
    assert 90 < len(refused) < 180


def test_a_default_is_never_refused():
    for stage in STAGES:
        c = default()
        c.stages = (stage,)
        assert not [line for line in problems(c) if "reads it" in line]


@pytest.mark.parametrize(
    ("config", "key", "value", "words"),
    [
        ("stage1", "lora.alpha", 8.0, "config.lora.rank > 0"),
        ("stage1", "rl.kl_gain", 0.3, "config.rl.kl_target > 0"),
        ("stage1", "embedded.layers", 2, "config.model.base = 'embedded'"),
        (
            "stage1",
            "embedded.coded",
            0.3,
            "config.model.base or config.data.directory = 'embedded'",
        ),
        ("rlvr_naive", "embedded_maths.data_seed", 3, "config.problems.train or validation"),
    ],
)
def test_a_key_that_another_one_turns_off_is_refused(config, key, value, words):
    c = load(config)
    c.update_from_flattened_dict({key: value})
    [line] = problems(c)
    assert line.startswith(f"config.{key}: got {value}, but it is read only where ")
    assert words in line


def test_every_key_has_a_reader_a_meaning_and_a_default_within_its_bounds():
    c = default()
    everybody = frozenset().union(*COMMAND_READS.values())
    everybody |= frozenset().union(*(readers_in(_of(stage), STAGES) for stage in STAGES))
    everybody |= {"conversation"}
    for path, key in KEYS.items():
        assert key.bound.holds(value_at(c, path)), path
        assert {*key.readers} <= everybody and key.readers, path
        assert len(key.meaning) >= 5, path


def _of(stage: str) -> ConfigDict:
    c = default()
    c.stages = (stage,)
    return c


def test_a_config_made_for_other_stages_loses_what_these_do_not_read():
    c = load("stage2", "tiny")
    c.stages = ("single",)
    assert [p for p in problems(c) if "config.train.steps.stage1: got 140" in p]
    kept = check.only_read(c, readers(c))
    assert not problems(kept) and kept.train.steps.stage1 == 0 and kept.rollout.batch == 64
    assert kept.optim.lr.conversation == c.optim.lr.conversation == 5e-4
    assert c.train.steps.stage1 == 140  # the config given is as it was
    c.train.steps.rlvr = 3
    [line] = problems(check.only_read(c, readers(c), keep=("train.steps.rlvr",)))
    assert line.startswith("config.train.steps.rlvr: got 3")


def test_fine_tuning_takes_the_learning_rate_of_its_role():
    c = load("sft", "tiny")
    assert c.optim.lr.conversation == c.optim.lr.feedback == 5e-4 and not problems(c)
    c.optim.lr.conversation = 1e-3
    [line] = problems(c)
    assert line.startswith("config.optim.lr.conversation: got 0.001, but config.sft.role = 'feed")
    c.sft.role = "conversation"
    [line] = problems(c)
    assert line.startswith("config.optim.lr.feedback: got 0.0005, but config.sft.role = 'conver")
