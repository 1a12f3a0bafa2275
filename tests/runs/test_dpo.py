"""The stage of preferences at its smallest: what a run leaves, what it refuses, how it resumes."""

import dataclasses
import json
import math
import shutil
from runpy import run_path

import jax
import numpy as np
import pytest
import workdirs
from config_reads import config_reads, keys_of_others
from support import REPO
from workdirs import on_base, records

from waltzjax.config import defaults
from waltzjax.config.key import EMBEDDED, readers_in
from waltzjax.data.source import epoch_ends
from waltzjax.metrics.records import read_metrics
from waltzjax.model import sharding
from waltzjax.model.hf import weights
from waltzjax.preference import dpo
from waltzjax.preference import reference_cache as cache
from waltzjax.preference.batch import PairTokens, pad_pairs
from waltzjax.preference.checks import adapter_checks, training_checks
from waltzjax.preference.dpo import NotLearning, check_learning, dpo_outcome
from waltzjax.preference.pairs import digest, pair_tokens, training_pairs, write_preferences
from waltzjax.recipes import STAGES
from waltzjax.rlvr.runtime import maths_runtime
from waltzjax.support.errors import DatasetError
from waltzjax.train import train
from waltzjax.types import COHERENCE, CORRECTNESS, POLICY, Preference

PAIRS, STEPS = 11, 5  # of 4 pairs, 2 epochs: the last two pairs of 22 are dropped
WEIGHTS = "policy/adapter_model.safetensors"
RESULTS = "final_validation_results.json"
LN2 = 1e-6  # nats; float32 log-probabilities of some tens of nats, once by each program
LIVE = 1e-5  # of the reference's log-probabilities between two shapes of batches


def pairs():
    kinds = [CORRECTNESS] * 8 + [COHERENCE] * 3
    return [
        Preference(f"Mia has {n} pens. How many pens has Mia?", f"{n}.\nAnswer: {n}",
                   f"{n}+1={n + 1}.\nAnswer: {n + 1}", kind)
        for n, kind in enumerate(kinds, start=30)
    ]  # fmt: skip


def smallest(data):
    c = run_path(str(REPO / "configs/regime_w_dpo.py"))["get_config"]("tiny")
    c.model.base = c.problems.validation = EMBEDDED
    e = c.embedded_maths
    e.width, e.mlp_width, e.layers, e.heads, e.kv_heads = 16, 32, 1, 2, 1
    e.card_steps = e.demo_steps = 2
    e.batch = 8
    c.lora.rank, c.dpo.sft_weight = 2, 0.0
    c.rollout.max_num_seqs, c.rollout.cache_tokens, c.rollout.max_new_tokens = 8, 2048, 8
    c.dpo.data, c.dpo.batch, c.dpo.microbatches, c.dpo.epochs = str(data), 4, 2, 2
    c.optim.lr.policy, c.optim.schedule, c.optim.warmup_steps = 1e-2, "constant", 0
    c.train.checkpoint_every = 1
    c.eval.prompts = 7
    return c


READ: set[str] = set()  # keys of the config that the finished run has read


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """An uninterrupted run, its pairs, and its results."""
    parent = tmp_path_factory.mktemp("runs")
    write_preferences(parent / "pairs.jsonl", pairs())
    c = smallest(parent / "pairs.jsonl")
    with config_reads() as read:
        results = train(c, parent / "whole")
    READ.update(read)
    return parent / "whole", results, c


def again(finished, workdir, **changes):
    """The same run in another directory, on the finished one's base."""
    c = finished[2].copy_and_resolve_references()
    c = on_base(c, finished[0] / "base")
    c.train.validate_first = False
    c.update_from_flattened_dict(changes)
    return c, workdir


def test_what_a_run_leaves(finished):
    workdir, results, c = finished
    on_disk = json.loads((workdir / RESULTS).read_text())
    assert (on_disk["pairs"], on_disk["pair_types"]) == (11, {"correctness": 8, "coherence": 3})
    losses = [m["pair_loss/policy"] for m in read_metrics(workdir / "metrics.jsonl")]
    assert len(losses) == STEPS and epoch_ends(PAIRS, c.dpo.batch, c.dpo.epochs) == [2, 5]
    assert on_disk["epoch_losses"] == pytest.approx([sum(losses[:2]) / 2, sum(losses[2:]) / 3])
    assert on_disk["accuracy"] == results["accuracy"] and on_disk["base"]["n"] == 7
    low, high = on_disk["interval"]
    assert low <= on_disk["accuracy"] - on_disk["base"]["accuracy"] <= high
    assert (
        "11 pairs (8 correctness, 3 coherence); loss by epoch 0."
        in (workdir / "report.html").read_text()
    )
    for name in ("report.html", "training_metrics.json", "reference.npz", WEIGHTS):
        assert (workdir / name).stat().st_size > 0
    assert all(check.met for check in adapter_checks(workdir / POLICY))


def test_the_parts_of_a_step_add_up_to_it(finished):
    workdirs.check_times(finished[0], "update")


def test_training_begins_at_the_reference_and_tells_pairs_apart(finished):
    got = records(finished[0])
    needed = {f"{name}/policy" for name in (
        "rewards/margins", "rewards/accuracies", "rewards/chosen", "rewards/rejected",
        "logps/chosen", "logps/rejected", "loss", "grad_norm", "change_norm", "tokens",
    )}  # fmt: skip
    assert needed <= set(got[0])
    assert got[0]["loss/policy"] == pytest.approx(math.log(2), abs=LN2)
    assert got[0]["rewards/margins/policy"] == pytest.approx(0, abs=LN2)
    assert got[-1]["loss/policy"] < got[0]["loss/policy"]
    assert got[-1]["rewards/margins/policy"] > 0 and got[-1]["rewards/accuracies/policy"] == 1
    assert min(m["grad_norm/policy"] for m in got) > 0


def test_pairs_are_tokens_as_a_rollout_has_them(finished):
    c = finished[2]
    runtime = maths_runtime(c, finished[0] / "base", sharding.make_mesh((1, 1, 1)))
    chat = runtime.chat
    for pair, tokens in zip(pairs(), pair_tokens(c, runtime, pairs()), strict=True):
        assert [tokens.prompt_ids] == chat.encode([chat.problem_text(pair.question)])
        for text, ids in ((pair.chosen, tokens.chosen_ids), (pair.rejected, tokens.rejected_ids)):
            assert [ids[:-1]] == chat.encode([text]) and ids[-1] in runtime.engine.stop_ids
    cut = dataclasses.replace(pairs()[0], rejected_cut_off=True)
    [tokens], [whole] = (pair_tokens(c, runtime, [pair]) for pair in (cut, pairs()[0]))
    assert tokens == dataclasses.replace(whole, rejected_ids=whole.rejected_ids[:-1])
    c = c.copy_and_resolve_references()
    c.problems.instruction = "Be brief."
    [tokens] = pair_tokens(c, runtime, [cut])
    assert runtime.chat.decode(tokens.prompt_ids).count("Be brief.") == 1
    asked = dataclasses.replace(cut, question=f"{cut.question} Be brief.")
    assert pair_tokens(c, runtime, [asked]) == [tokens]  # it ends in it already


class Killed(BaseException):
    pass


def test_killed_and_restarted_equals_uninterrupted(finished, tmp_path, monkeypatch):
    c, workdir = again(finished, tmp_path / "run")
    real = dpo.check_learning

    def stop(config, step, metrics):
        if step == 4:
            raise Killed
        real(config, step, metrics)

    monkeypatch.setattr(dpo, "check_learning", stop)
    with pytest.raises(Killed):
        train(c, workdir)
    monkeypatch.setattr(dpo, "check_learning", real)

    def twice(*_):
        raise AssertionError("the reference is computed again")

    monkeypatch.setattr(cache, "_write", twice)
    train(c, workdir)
    assert (workdir / WEIGHTS).read_bytes() == (finished[0] / WEIGHTS).read_bytes()
    assert records(workdir) == records(finished[0])


def test_a_live_reference_is_the_cached_one(finished, tmp_path):
    c, workdir = again(finished, tmp_path / "live", **{"dpo.reference": "live"})
    train(c, workdir)
    assert not (workdir / "reference.npz").exists()
    assert all(m["time/reference"] > 0 for m in read_metrics(workdir / "metrics.jsonl"))
    for mine, theirs in zip(records(workdir), records(finished[0]), strict=True):
        for key in ("loss/policy", "rewards/margins/policy", "grad_norm/policy"):
            assert mine[key] == pytest.approx(theirs[key], rel=LIVE, abs=LIVE)


def test_without_a_reference_and_without_adapters(finished, tmp_path):
    """SimPO with its likelihood term, on the whole model."""
    c, workdir = again(
        finished, tmp_path / "simpo", **{
            "dpo.reference": "none", "dpo.loss": "sigmoid_norm", "dpo.beta": 2.0,
            "dpo.margin": 1.0, "dpo.sft_weight": 0.5, "lora.rank": 0, "optim.lr.policy": 1e-3,
            "train.checkpoint_every": 10**6,
        }
    )  # fmt: skip
    train(c, workdir)
    kept = sorted(int(p.name) for p in (workdir / "checkpoints/dpo").iterdir())
    assert kept == epoch_ends(PAIRS, c.dpo.batch, c.dpo.epochs) == [2, 5]  # one each epoch
    first = records(workdir)[0]
    assert first["sft_nll/policy"] > 0
    whole = first["pair_loss/policy"] + 0.5 * first["sft_nll/policy"]
    assert first["loss/policy"] == pytest.approx(whole, rel=1e-6)
    assert (workdir / "policy/model.safetensors").exists()


@pytest.mark.parametrize(
    ("of_dpo", "wanted"),
    [
        # h' = -0.5 + 3 a token; log(1 + exp(-(2 h' - 1))), and 0.5 nats a token of the chosen one
        ({"loss": "sigmoid_norm", "beta": 2.0, "margin": 1.0, "sft_weight": 0.4}, 0.0181499 + 0.2),
        # h = -1 + 3; 0.9 log(1 + exp(-h / 2)) + 0.1 log(1 + exp(h / 2))
        ({"loss": "sigmoid", "beta": 0.5, "label_smoothing": 0.1}, 0.9 * 0.3132617 + 0.1313262),
    ],
)
def test_the_loss_is_the_configs(of_dpo, wanted):
    c = defaults.default()
    c.dpo.update(of_dpo)
    batch = pad_pairs([PairTokens((1,), (2, 3), (4,))], multiple=4, max_length=4)
    logp_BT = np.where(batch.action_BT, [[-0.5], [-3.0]], 0.0)
    loss, _ = dpo.dpo_loss(c)(logp_BT, batch)
    assert float(loss) == pytest.approx(wanted, abs=1e-6)


def test_pairs_that_were_made_anew_are_another_runs(finished, tmp_path):
    c, workdir = again(finished, tmp_path / "run", **{"dpo.data": str(tmp_path / "pairs.jsonl")})
    write_preferences(tmp_path / "pairs.jsonl", pairs())
    train(c, workdir)
    before = (workdir / RESULTS).read_bytes()
    write_preferences(tmp_path / "pairs.jsonl", pairs()[:-1])
    with pytest.raises(ValueError, match=r"another run's config \(config\.prompt_texts\.pairs"):
        train(c, workdir)
    assert (workdir / RESULTS).read_bytes() == before


def test_what_is_not_finite_names_the_stages_own_keys(finished, tmp_path):
    c, workdir = again(
        finished, tmp_path / "wild", **{"optim.lr.policy": 1e30, "optim.grad_clip": 1e30}
    )
    with pytest.raises(
        FloatingPointError, match=r"lower config\.optim\.lr\.policy or raise config\.dpo\.be"
    ):
        train(c, workdir)
    c, workdir = again(finished, tmp_path / "short", **{
        "train.resume": str(finished[0]), "dpo.epochs": 1})  # fmt: skip
    with pytest.raises(ValueError, match=r"config\.dpo\.epochs: got 2 steps, but .* of step 5"):
        train(c, workdir)


def test_a_step_too_small_stops_the_run(finished, tmp_path):
    c, workdir = again(finished, tmp_path / "still", **{"optim.lr.policy": 1e-30})
    with pytest.raises(
        NotLearning, match=r"step 1: the gradient has norm .*config\.optim\.lr\.policy = 1e"
    ):
        train(c, workdir)
    assert not (workdir / POLICY).exists()


@pytest.mark.parametrize(
    ("metrics", "loss", "says"),
    [
        ({}, "sigmoid", None),
        ({"change_norm": 0.0}, "sigmoid", r"config\.optim\.lr\.policy"),
        ({"change_norm": 0.0, "grad_norm": 0.0}, "sigmoid", "frozen target"),
        ({"grad_norm": 0.0}, "sigmoid", "frozen target"),  # a momentum moves on
        ({"change_norm": 0.0, "grad_norm": 0.0, "logps/chosen": 0.0, "logps/rejected": 0.0},
         "sigmoid", "a mask is wrong"),
        ({"change_norm": 0.0, "grad_norm": 0.0, "loss": 0.0}, "hinge", None),
        ({"change_norm": 0.0, "grad_norm": 0.0, "loss": 0.0}, "sigmoid", "frozen target"),
        ({"change_norm": math.nan, "grad_norm": math.nan}, "sigmoid", None),  # the loop stops it
        # Of terms of 0.1 * 9 and 0.1 * 8 float32 keeps 1e-6.
        ({"grad_norm": 6e-8}, "sigmoid", "rounding"),
        ({"grad_norm": 1e-6}, "sigmoid", "rounding"),
        ({"grad_norm": 1e-6, "change_norm": 0.0}, "hinge", "rounding"),
        ({"grad_norm": 1e-5, "logps/chosen": -400.0}, "apo_zero", "rounding"),
        ({"grad_norm": 1e-4}, "ipo_sum", "rounding"),  # its slope is 1 / beta
        ({"grad_norm": 1e-5}, "ipo", "rounding"),  # of the mean of 16 tokens
        ({"grad_norm": 1e-4}, "ipo", None),
        ({"grad_norm": 1e-7}, "sigmoid_norm", "rounding"),
        ({"grad_norm": 1e-6}, "sigmoid_norm", None),
        ({"grad_norm": 1e-4}, "sigmoid", None),
        ({"grad_norm": 1e-8, "rewards/margins": 17.0, "loss": 4e-8}, "sigmoid", None),  # learned
        ({"grad_norm": 1e-8, "rewards/margins": -0.5}, "sigmoid", None),
    ],
)  # fmt: skip
def test_what_changes_nothing_is_named(metrics, loss, says):
    c = defaults.default()
    c.dpo.loss = loss
    usual = {"change_norm": 1e-3, "grad_norm": 0.5, "loss": 0.6, "logps/chosen": -9.0,
             "logps/rejected": -8.0, "rewards/margins": 0.0,
             "tokens": 2 * 16.0 * c.dpo.batch}  # fmt: skip
    if says is None:
        check_learning(c, 3, usual | metrics)
    else:
        with pytest.raises(NotLearning, match=rf"dpo, step 3: .*{says}"):
            check_learning(c, 3, usual | metrics)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"dpo.data": "nowhere.jsonl"}, r"config\.dpo\.data: no file nowhere"),
        ({"dpo.max_tokens": 20}, r"config\.dpo\.max_tokens: got 20, but 11 of the 11 pairs"),
        ({"dpo.max_tokens": 9999}, r"config\.dpo\.max_tokens: got 9999, allowed is <= 96"),
        ({"dpo.batch": 24, "dpo.microbatches": 1}, r"config\.dpo\.batch: got 24.*11 \* 2"),
        ({"dpo.loss": "kto"}, r"config\.dpo\.loss: got 'kto', allowed are sigmoid"),
        ({"dpo.reference": "none", "dpo.loss": "ipo"}, r"config\.dpo\.reference: got 'none'"),
        ({"dpo.label_smoothing": 0.5}, r"config\.dpo\.label_smoothing: got 0\.5"),
        ({"dpo.loss": "robust"}, r"config\.dpo\.label_smoothing: got 0, the loss 'robust'"),
        ({"dpo.margin": 1.0}, r"config\.dpo\.margin: got 1\.0"),
        ({"dpo.microbatches": 3}, r"config\.dpo\.microbatches: got 3, must divide"),
    ],
)
def test_bad_input_is_named(finished, tmp_path, changes, says):
    c, workdir = again(finished, tmp_path / "run", **changes)
    with pytest.raises((ValueError, FileNotFoundError), match=says):
        train(c, workdir)


def test_the_cache_is_of_these_pairs_and_whole(tmp_path):
    some = [PairTokens((1,), (n,), (n, n)) for n in range(2, 7)]
    calls = []

    def logps(batch):
        calls.append(len(batch))
        rows = [(-float(p.chosen_ids[0]), -10.0) for p in batch]
        return np.array(rows + [(0.0, 0.0)] * (2 - len(batch))).reshape(1, -1)  # padded

    path = tmp_path / "reference.npz"
    names = [repr(p) for p in some]
    found = cache.cached_reference(path, some, names, 2, logps, "one")
    assert [(p.ref_chosen, p.ref_rejected) for p in found] == [(-n, -10) for n in range(2, 7)]
    assert [p.chosen_ids for p in found] == [p.chosen_ids for p in some] and calls == [2, 2, 1]
    calls.clear()
    assert cache.cached_reference(path, some, names, 2, logps, "one") == found and not calls
    path.write_bytes(path.read_bytes()[:50])  # cut off
    assert cache.cached_reference(path, some, names, 2, logps, "one") == found
    assert calls == [2, 2, 1]
    others = cache.cached_reference(path, some[1:], names[1:], 2, logps, "one")
    assert [p.ref_chosen for p in others] == [-3, -4, -5, -6]
    swapped = [*some[1:3], some[4], some[3]]
    theirs = [repr(p) for p in swapped]
    found = cache.cached_reference(path, swapped, theirs, 2, logps, "one")
    assert [p.ref_chosen for p in found] == [-3, -4, -6, -5]
    with pytest.raises(FloatingPointError, match="not finite"):
        cache.cached_reference(
            tmp_path / "b.npz", some, names, 2, lambda b: np.full((len(b), 2), np.nan)
        )
    assert not (tmp_path / "b.npz").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda n: 1e-3, lambda n: 0.5 * (-1) ** n, lambda n: 50.0 if n >= 4 else 0.0,
        lambda n: 1e-6 if n == 6 else 0.0, lambda n: 0.0,
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["another", ""])
def test_another_reference_computes_anew_however_near_it_is(tmp_path, change, name):
    some = [PairTokens((1,), (n,), (n, n)) for n in range(2, 7)]
    calls = []

    def logps(change):
        def of(batch):
            calls.append(len(batch))
            return np.array([(change(p.chosen_ids[0]) - 200, -10.0) for p in batch])

        return of

    path, names = tmp_path / "reference.npz", [repr(p) for p in some]
    cache.cached_reference(path, some, names, 2, logps(lambda n: 0.0), "one")
    calls.clear()
    found = cache.cached_reference(path, some, names, 2, logps(change), name)
    assert [p.ref_chosen for p in found] == [change(n) - 200 for n in range(2, 7)]
    assert calls == [2, 2, 1]


SAME = {
    "a token of another's turn": ("{n}.\nAnswer: {n}", "{n}.\nAnswer: {n}<|assistant|>"),
    "one at the beginning": ("<|user|>{n}.", "{n}."),
    "two in the middle": ("{n}<|system|><|user|>.", "{n}."),
    "one spelled out of two": ("{n}.<|as<|user|>sistant|>", "{n}."),
    "in both": ("<|user|>{n}.", "{n}.<|user|>"),
    "an answer of none else": ("{n}.", "<|assistant|>"),
    "nor of a space": ("<|assistant|> <|user|>\n", "{n}."),
}


@pytest.mark.parametrize(("chosen", "rejected"), SAME.values(), ids=SAME)
@pytest.mark.parametrize("cut_off", [False, True])
def test_answers_that_are_one_or_none_to_the_model_are_bad_lines(
    finished, tmp_path, chosen, rejected, cut_off
):
    bad = [
        Preference(f"{n}?", chosen.format(n=n), rejected.format(n=n), CORRECTNESS,
                   rejected_cut_off=cut_off)
        for n in range(3)
    ]  # fmt: skip
    path = tmp_path / "pairs.jsonl"
    c, _ = again(finished, tmp_path / "run", **{"dpo.data": str(path)})
    runtime = maths_runtime(c, finished[0] / "base", sharding.make_mesh((1, 1, 1)))
    write_preferences(path, [*pairs()[:2], *bad, pairs()[2]])
    with pytest.raises(DatasetError, match=r"3 problems") as caught:
        pair_tokens(c, runtime, training_pairs(c))
    assert [p.split(": ")[0] for p in caught.value.problems] == [f"{path}:{i}" for i in (3, 4, 5)]
    word = "same" if chosen.strip("<|>asitnuer \n") and "{" in rejected else "no text is left"
    assert all(word in problem for problem in caught.value.problems)


@pytest.mark.parametrize("loss", ["sigmoid", "ipo", "ipo_sum", "hinge", "apo_zero"])
def test_a_gradient_that_cancels_but_for_rounding_stops_the_run(finished, tmp_path, loss):
    """Pairs that contradict each other, two by two, in every batch."""
    c, workdir = again(finished, tmp_path / "run", **{"dpo.loss": loss})
    c.dpo.data = str(tmp_path / "pairs.jsonl")
    turned = [dataclasses.replace(p, chosen=p.rejected, rejected=p.chosen) for p in pairs()[:2]]
    write_preferences(tmp_path / "pairs.jsonl", [*pairs()[:2], *turned])
    with pytest.raises(NotLearning, match=r"step 1: the gradient.* (rounding|is zero)"):
        train(c, workdir)
    assert not list((workdir / "checkpoints/dpo").iterdir())


def test_another_base_in_the_place_of_the_first_is_another_reference(finished, tmp_path):
    """A hundredth of one weight is enough; and a field of the architecture."""
    c, _ = again(finished, tmp_path / "run")
    runtime = maths_runtime(c, finished[0] / "base", sharding.make_mesh((1, 1, 1)))
    params = weights.load_params(finished[0] / "base", runtime.cfg, runtime.mesh)
    name = cache.reference_name(runtime.cfg, params)
    assert name == cache.reference_name(runtime.cfg, jax.tree.map(lambda x: x + 0, params))
    other = {**params, "embed": params["embed"].at[7, 3].multiply(1.01)}
    assert name != cache.reference_name(runtime.cfg, other)
    theta = dataclasses.replace(runtime.cfg, rope_theta=20_000.0)
    assert name != cache.reference_name(theta, params)


def test_epochs_by_hand():
    """Eleven pairs in batches of four, three epochs: steps 2, 5 and 8 end them."""
    c = defaults.default()
    c.dpo.batch, c.dpo.epochs = 4, 3
    losses = [0.7, 0.6, 0.5, 0.5, 0.5, 0.4, 0.3, 0.2]
    metrics = [{"stage": "dpo", "step": n, "pair_loss/policy": x} for n, x in enumerate(losses, 1)]
    found = dpo_outcome(c, pairs(), metrics)
    assert found["epoch_losses"] == pytest.approx([0.65, 0.5, 0.3])
    later = dpo_outcome(c, pairs(), metrics[5:])  # begun at another run's checkpoint
    assert later["epoch_losses"] == pytest.approx([math.nan, math.nan, 0.3], nan_ok=True)


def step(**changes):
    return {"stage": "dpo", "step": 1, "grad_norm/policy": 1.0, "change_norm/policy": 0.1} | changes


@pytest.mark.parametrize(
    ("results", "metrics", "names"),
    [
        ({}, [step()], []),
        ({"epoch_losses": [0.6, 0.6]}, [step()], ["loss by epoch"]),
        ({"epoch_losses": [0.75, 0.5]}, [step()], ["loss by epoch"]),
        ({"epoch_losses": []}, [step()], ["loss by epoch"]),
        ({"epoch_losses": [None, 0.4]}, [step()], ["loss by epoch"]),  # another run's epoch
        ({"interval": [0.0, 9.0]}, [step()], ["accuracy"]),
        ({}, [step(), step(**{"grad_norm/policy": 0.0})], ["least gradient norm"]),
        ({}, [step(**{"change_norm/policy": 0.0})], ["least change of a step"]),
        ({}, [], ["least gradient norm", "least change of a step"]),
    ],
)
def test_checks_of_training(results, metrics, names):
    assert failed(training(results, metrics)) == names


def training(results, metrics, **of_dpo):
    good = {"epoch_losses": [0.6, 0.4], "accuracy": 60.0, "base": {"accuracy": 50.0},
            "interval": [2.0, 18.0]}  # fmt: skip
    trained = {"dpo": {"loss": "sigmoid", "reference": "cached"} | of_dpo,
               "prompt_texts": {"pairs": digest(pairs())}}  # fmt: skip
    return training_checks(trained, good | results, metrics, pairs(), "dpo", "policy")


def failed(checks):
    return [check.name for check in checks if not check.met]


@pytest.mark.parametrize("of_dpo", [{"loss": "ipo"}, {"reference": "none"}])
def test_other_losses_begin_elsewhere(of_dpo):
    assert failed(training({"epoch_losses": [25.0, 20.0]}, [step()], **of_dpo)) == []
    assert failed(training({"epoch_losses": [20.0, 25.0]}, [step()], **of_dpo)) == ["loss by epoch"]


def test_a_hinge_may_have_nothing_left_to_learn():
    still = step(**{"grad_norm/policy": 0.0, "change_norm/policy": 0.0})
    assert failed(training({}, [step(), still], loss="hinge")) == []
    assert failed(training({}, [], loss="hinge")) == [
        "least gradient norm", "least change of a step"
    ]  # fmt: skip


def test_checks_of_adapters(finished, tmp_path):
    shutil.copytree(finished[0] / POLICY, tmp_path / "cut")
    (tmp_path / "cut/adapter_model.safetensors").write_bytes(b"cut off")
    assert [c.met for c in adapter_checks(tmp_path / "cut")] == [False]
    assert "no adapter_config.json" in adapter_checks(tmp_path)[0].figure


def test_no_key_is_read_that_is_said_to_be_of_others(finished):
    assert len(READ) > 30
    assert READ & keys_of_others(readers_in(finished[2], STAGES)) == set()
