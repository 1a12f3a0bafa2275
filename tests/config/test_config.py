"""Every shipped config loads; every broken one is named by its key."""

from contextlib import nullcontext
from pathlib import Path
from runpy import run_path

import pytest
from support import REPO

from waltzjax.config import defaults
from waltzjax.config.key import COLLECT_READS, RLVR, SERVE_READS
from waltzjax.config.preferences import read_arms
from waltzjax.recipes import STAGES, validate

RECIPES = {name: spec.recipe for name, spec in STAGES.items() if spec.recipe}

CONFIGS = sorted((REPO / "configs").glob("*.py"))
VARIANTS = {path: ("", "lora", "tiny", "coded") for path in CONFIGS}
VARIANTS |= {path: ("", "quick", "tiny") for path in CONFIGS if path.stem.startswith("rlvr")}
COMMANDS = {"regime_w_collect": COLLECT_READS, "serve": SERVE_READS}  # configs of no stage
VARIANTS |= {
    path: ("", "tiny")
    for path in CONFIGS
    if path.stem.startswith("regime_w") or path.stem == "serve"
}


def load(path: Path, arg: str = ""):
    return run_path(str(path))["get_config"](arg)


@pytest.mark.parametrize(
    ("path", "arg"),
    [
        pytest.param(path, arg, id=f"{path.stem}-{arg}")
        for path, args in VARIANTS.items()
        for arg in args
    ],
)
def test_every_config_loads(path, arg):
    reads = COMMANDS.get(path.stem)
    validate(load(path, arg), training=reads is None, reads=reads)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_an_unknown_argument_is_refused(path):
    with pytest.raises(ValueError, match="got 'small'") as error:
        load(path, "small")
    assert [arg for arg in VARIANTS[path] if repr(arg) not in str(error.value)] == []


def test_every_stage_that_may_be_named_has_a_recipe_and_its_own_keys():
    c = defaults.default()
    assert {*RECIPES} == {*c.train.steps} == {*c.rl.beta}
    assert {*RECIPES} == {*c.reward.lam, "single", RLVR}


def test_full_size_numbers_are_the_papers():
    c = load(REPO / "configs/stage2.py")
    assert (c.rollout.batch, c.rl.microbatches, c.rollout.max_new_tokens) == (32, 4, 512)
    assert (c.optim.lr.conversation, c.optim.lr.feedback) == (5e-7, 5e-7)
    assert {c.rl.beta[stage] for stage in ("stage1", "stage2", "single")} == {0.01}
    assert (c.reward.alpha, c.reward.gamma, c.reward.lam.stage2) == (0.65, 0.1, 0.0)
    assert (c.rl.clip_low, c.rl.clip_high, c.train.epochs) == (0.2, 0.2, 5)
    assert load(REPO / "configs/stage1.py").stages == ("stage1",)
    assert load(REPO / "configs/stage1.py").reward.lam.stage1 == 0.25


def test_the_runs_on_maths_have_the_sources_numbers():
    many, naive = (load(REPO / f"configs/rlvr_{name}.py") for name in ("multisignal", "naive"))
    assert (many.train.steps.rlvr, naive.train.steps.rlvr) == (220, 180)
    shared = many.reward.signals.to_dict()
    assert shared == {"verify": 1.0, "format": 0.5, "reflect": 0.5, "overlong": 0.0}
    assert naive.reward.signals.to_dict() == {**dict.fromkeys(shared, 0.0), "verify": 1.0}
    for c in (many, naive):
        assert c.model.base == "Qwen/Qwen2.5-Math-1.5B"
        assert (c.rollout.batch, c.rollout.group, c.rollout.temperature) == (64, 4, 0.6)
        assert (c.problems.max_tokens, c.rollout.max_new_tokens) == (1024, 1536)
        assert (c.rl.algorithm, c.rl.token_budget) == ("grpo", 20_000)
        assert (c.optim.lr.policy, c.rl.beta.rlvr) == (1e-6, 0.001)
        assert (c.rl.kl_in, c.rl.kl_estimator) == ("loss", "k3")
        assert (c.train.checkpoint_every, c.train.validate_every) == (50, 50)
        assert not c.train.validate_first
    quick = load(REPO / "configs/rlvr_multisignal.py", "quick")
    assert (quick.train.steps.rlvr, quick.rollout.max_new_tokens, quick.rollout.group) == (
        3,
        512,
        2,
    )


def test_regime_w_has_the_sources_numbers():
    for name in ("collect", "dpo"):
        c = load(REPO / f"configs/regime_w_{name}.py")
        arms = read_arms(c.collect.arms)
        assert [(a.name, a.temperature, a.seed) for a in arms] == [
            *((f"wolfram_{i}", t, 42 + i) for i, t in enumerate((0.2, 0.3, 0.4, 0.5))),
            *((f"maudlin_{i}", t, 100 + i) for i, t in enumerate((0.2, 0.3, 0.4, 0.5))),
            ("wolfram_standard", 0.2, 1000), ("wolfram_rephrase", 0.2, 1001),
            ("maudlin_cf1", 0.2, 2000),
        ]  # fmt: skip
        assert [a.role for a in arms] == ["variance"] * 8 + ["probe"] * 2 + ["counterfactual"]
        assert (c.collect.questions, c.pairs.min_reward_gap) == (500, 0.01)
        assert 0.7 <= c.pairs.correctness_share <= 0.8 and c.pairs.max_pairs == 5000
    assert (c.optim.lr.policy, c.dpo.epochs, c.dpo.batch, c.dpo.microbatches) == (5e-5, 3, 32, 2)
    assert (c.dpo.loss, c.dpo.beta, c.lora.rank > 0) == ("sigmoid", 0.1, True)


@pytest.mark.parametrize(
    ("arms", "says"),
    [
        ((), "there is none"),
        ((("a", "f", 0.2, 1),), r"arms\[0\]: got .*allowed are name, persona, temp"),
        ((("", "f", 0.2, 1, "probe"),), r"arms\[0\]\.name: got ''"),
        ((1, 2), r"arms\[0\]: got 1, allowed are name"),
        ((("a", "f", float("inf"), 1, "probe"),), r"arms\[0\]\.temperature: got inf"),
        ((("a", "f", -0.2, 1, "probe"),), r"arms\[0\]\.temperature: got -0\.2"),
        ((("a", "f", 0.2, 1.5, "probe"),), r"arms\[0\]\.seed: got 1\.5"),
        ((("a", "f", 0.2, 1, "probes"),), r"arms\[0\]\.role: got 'probes'"),
        ((("a", "f", 0.2, 1, "probe"), ("a", "g", 0.2, 1, "probe")), r"names \['a'\] are there"),
        ((("a", "f", 0.2, 1, "probe"), ("b", "f", 0.2, 1, "probe")), "a, b would say the same"),
        ((("a", 3, 0.2, 1, "probe"),), r"arms\[0\]\.persona: got 3"),
    ],
)
def test_broken_arms_are_named(arms, says):
    c = load(REPO / "configs/regime_w_collect.py")
    c.collect.arms = arms
    with pytest.raises(ValueError, match=says):
        validate(c, reads=COLLECT_READS)


@pytest.mark.parametrize("persona", [("x", "y"), ("x", 1.5), ("x",), 3, (3, 0.5)])
def test_a_broken_persona_is_named(persona):
    c = load(REPO / "configs/regime_w_collect.py", "tiny")
    c.embedded_maths.personas = (("tiny/maths.txt", 0.5), persona)
    with pytest.raises(ValueError, match=r"config\.embedded_maths\.personas: got .*P\(right\)"):
        validate(c, reads=COLLECT_READS)


@pytest.mark.parametrize(
    ("changes", "key", "why"),
    [
        ({"stages": ("stage1", "rlvr")}, "stages", "'rlvr' cannot be part of one run"),
        ({"rollout.group": 1}, "rollout.group", "'grpo' needs >= 2"),
        ({"rl.token_budget": 2000}, "rl.token_budget", ">= config.problems.max_tokens"),
        ({"rl.token_budget": 0, "rl.microbatches": 5}, "rl.microbatches", "group = 256"),
        ({"reward.needs.format": "nothing"}, "reward.needs.format", "problem, verify"),
        ({"reward.needs.reflect": "right"}, "reward.needs.reflect", "problem, verify"),
        ({"reward.signals.overlong": 1.0}, "reward.overlong_buffer", "needs >= 1"),
        ({"reward.overlong_buffer": 2000}, "reward.overlong_buffer", "at most config.rollout"),
        ({"model.base": "embedded"}, "embedded_maths.max_positions", ">= config.problems.max"),
        ({"eval.samples": 4}, "eval.samples", "config.eval.temperature is 0"),
        ({"problems.train": ""}, "problems", "files, or 'embedded'"),
        ({"train.resume": ""}, "train.resume", "auto, off and a run's directory"),
        ({"rl.algorithm": "ppo"}, "rl.algorithm", "grpo, dr_grpo, rloo"),
        ({f"reward.signals.{s}": 0.0 for s in ("verify", "format", "reflect")}, "reward.signals",
         "nothing would be rewarded"),
    ],
)  # fmt: skip
def test_broken_runs_on_maths(changes, key, why):
    c = load(REPO / "configs/rlvr_multisignal.py")
    c.update_from_flattened_dict(changes)
    with pytest.raises(ValueError) as error:
        validate(c, training=True)
    [said] = str(error.value).split("\n  ")[1:]
    assert said.startswith(f"config.{key}: ") and why in said


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
        ("judge.max_unparsed", 20.0, "[0, 1]"),
        ("rl.kl_gain", -0.1, ">= 0"),
    ],
)
def test_broken_values_name_key_value_and_what_is_allowed(key, value, allowed):
    c = defaults.default()
    with c.unlocked(), c.ignore_type():
        group, _, name = key.rpartition(".")
        _group(c, group)[name] = value
    with pytest.raises(ValueError) as error:
        validate(c, training=True)
    assert f"config.{key}" in str(error.value) and allowed in str(error.value)


def _group(c, path):
    for part in filter(None, path.split(".")):
        c = c[part]
    return c


CHAT = {"name": "openai", "model": "m", "url": "http://host:8000/v1"}
GUARD = {"name": "wildguard", "model": "m"}


def judged(judge, **rollout):
    c = defaults.default()
    c.judge.update(judge)
    c.rollout.update(rollout)
    validate(c, training=False)


def test_each_judge_s_own_keys_pass():
    remote = {"url": "https://host/v1", "key_env": "KEY_2", "cache": "c", "retry_s": 0.0,
              "timeout_s": 1.0, "concurrency": 1, "max_unparsed": 1.0}  # fmt: skip
    judged({**CHAT, **remote, "prompt": "p", "max_tokens": 9})
    judged({**GUARD, **remote})
    judged({**GUARD, "max_unparsed": 0.0})
    judged({**GUARD, "url": "http://host/v1"}, variant="oracle")


@pytest.mark.parametrize(
    ("judge", "key", "why"),
    [
        ({"url": "http://host/v1"}, "url", "not used by config.judge.name = 'label'"),
        ({"model": "m"}, "model", "not used by config.judge.name = 'label'"),
        ({"key_env": "KEY"}, "key_env", "not used by config.judge.name = 'label'"),
        ({"prompt": "p"}, "prompt", "not used by config.judge.name = 'label'"),
        ({**GUARD, "url": "http://host/v1", "prompt": "p"}, "prompt", "not used"),
        ({**GUARD, "url": "http://host/v1", "max_tokens": 64}, "max_tokens", "not used"),
        ({**GUARD, "cache": "c"}, "cache", "not used by config.judge.name = 'wildguard' with no"),
        ({**CHAT, "model": ""}, "model", "needed by config.judge.name = 'openai'"),
        *(
            ({**CHAT, "url": url}, "url", f"got '{url}', needed by config.judge.name = 'openai'")
            for url in ("localhost:8000/v1", "ftp://host/v1", "http:///v1", "http://h:x/", "http://[",
                        "")
        ),
    ],
)  # fmt: skip
def test_a_judge_s_keys_that_cannot_be(judge, key, why):
    with pytest.raises(ValueError) as error:
        judged(judge)
    [said] = str(error.value).split("\n  ")[1:]
    assert said.startswith(f"config.judge.{key}: ") and why in said


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("key_env", "sk-secret"),
        ("key_env", "two secret"),
        ("key_env", "s\u00e9cret"),
        ("url", "http://user:secret@host/v1"),
        ("url", "user:secret@host/v1"),
    ],
)
def test_what_may_be_a_key_is_refused_and_not_shown(key, value):
    with pytest.raises(ValueError, match=f"config.judge.{key}: .*not shown") as error:
        judged({**CHAT, key: value})
    assert "cret" not in str(error.value)


def test_a_local_judge_is_not_asked_in_the_middle_of_a_session():
    with pytest.raises(ValueError, match=r"config.rollout.variant: got 'oracle'.*config.judge.url"):
        judged(GUARD, variant="oracle")


def test_unknown_and_missing_keys_are_listed_together():
    c = defaults.default()
    with c.unlocked():
        c.rollout.bacth = 3
        del c.rl.beta
    with pytest.raises(ValueError) as error:
        validate(c, training=True)
    assert "config.rollout.bacth" in str(error.value) and "config.rl.beta" in str(error.value)


@pytest.mark.parametrize(
    ("gain", "beta", "said"),
    [(5.0, 0.01, "kl_gain: got 5.0, allowed is below 5"), (4.9, 0.0, "beta.stage1: got 0")],
)
def test_an_adaptive_coefficient_that_cannot_adapt(gain, beta, said):
    c = load(REPO / "configs/stage1.py")
    c.rl.kl_target, c.rl.kl_gain, c.rl.beta.stage1 = 0.05, gain, beta
    with pytest.raises(ValueError, match=said):
        validate(c, training=True)
    c.rl.kl_gain, c.rl.beta.stage1 = 4.9, 0.01
    validate(c, training=True)


@pytest.mark.parametrize(
    ("stages", "read"),
    [
        (("stage1",), False), (("stage2",), False), (("single",), False), (("rlvr",), False),
        (("stage1", "stage2"), False), (("sft",), True), (("sft", "stage1"), True),
        (("dpo",), True),
    ],
)  # fmt: skip
def test_dropout_is_refused_where_no_stage_has_it(stages, read):
    """Reinforcement updates the policy that was sampled from."""
    c = defaults.default()
    c.stages, c.lora.rank, c.lora.dropout = stages, 8, 0.05
    refused = pytest.raises(
        ValueError, match=r"config\.lora\.dropout: got 0\.05, but nothing .* read by sft, dpo\."
    )
    with nullcontext() if read else refused:
        validate(c, training=True)
