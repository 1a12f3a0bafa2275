"""Losses on preferences, their gradients and fifty updates against TRL's own DPOTrainer."""

from functools import partial
from itertools import cycle, islice

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from datasets import Dataset
from peft import LoraConfig, set_peft_model_state_dict
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_tensors
from support import mesh_of, tiny_config
from transformers import AutoModelForCausalLM
from trl import DPOConfig, DPOTrainer

from waltzjax.core.preference_losses import preference_loss
from waltzjax.model.hf import peft, weights
from waltzjax.model.lora import Lora, attach, init_adapter
from waltzjax.model.transformer import init_params
from waltzjax.preference.batch import PairTokens, device_pairs, make_answer_logp
from waltzjax.toy.base_model import END, train_tokenizer
from waltzjax.training.learner import init_state
from waltzjax.training.optimizer import make_optimizer
from waltzjax.training.step import forward_logp, full_params, make_update, shardings
from waltzjax.types import MATRICES

ATOL = 1e-5  # losses of order 1 and gradients, float32 in both
CURVE_ATOL = 1e-4  # losses over 50 updates; 2e-6 was measured
METRIC_ATOL = 2e-5  # log-probs of answers near -50
BETA, STEPS, PAIRS = 0.3, 50, 4  # pairs an update
CFG = tiny_config(vocab_size=300, init_scale=0.2)  # gradients of order 1
LORA = Lora(4, 8.0, MATRICES)
WORDS = ("the", "waltz", "is", "a", "dance", "for", "two", "in", "time", "they", "turn", "left")
OPTIMISER = dict(b1=0.9, b2=0.95, grad_clip=1.0)
# By our name, up to a "+": our settings, and TRL's for the same.
KINDS = {
    "sigmoid": ({}, dict(loss_type=["sigmoid"])),
    "robust": (dict(label_smoothing=0.2), dict(loss_type=["robust"], label_smoothing=0.2)),
    "ipo": ({}, dict(loss_type=["ipo"])),
    "hinge": ({}, dict(loss_type=["hinge"])),
    "apo_zero": ({}, dict(loss_type=["apo_zero"])),
    "sigmoid_norm": ({}, dict(loss_type=["sigmoid_norm"])),
    "sigmoid+sft": (
        dict(sft_weight=0.5), dict(loss_type=["sigmoid", "sft"], loss_weights=[1.0, 0.5]),
    ),
    # TRL's "sigmoid" knows no smoothing; its "aot" of one pair, which sorts nothing, is just that.
    "sigmoid+smoothing": (
        dict(label_smoothing=0.2), dict(loss_type=["aot"], label_smoothing=0.2),
    ),
}  # fmt: skip
LOGGED = {
    "rewards/margins": "rewards/margins", "rewards/accuracies": "rewards/accuracies",
    "rewards/chosen": "rewards/chosen", "rewards/rejected": "rewards/rejected",
    "logps/chosen": "logps/chosen", "logps/rejected": "logps/rejected",
}  # fmt: skip


def texts(count=16, seed=0):
    rng = np.random.default_rng(seed)

    def text(low, high):
        return "".join(f" {word}" for word in rng.choice(WORDS, rng.integers(low, high)))

    return [
        {"prompt": text(2, 7) + ".", "chosen": text(2, 9), "rejected": text(2, 9)}
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([" ".join(WORDS)], CFG.vocab_size)


@pytest.fixture(scope="module")
def base():
    return jax.jit(partial(init_params, CFG))(jax.random.key(0))


@pytest.fixture(scope="module")
def saved(tmp_path_factory, base, tokenizer):
    """Directories of the base, of a model near it and of an adapter that changes it."""
    parent = tmp_path_factory.mktemp("models")
    near = jax.tree.map(partial(moved_by, 0.05), base)
    weights.save(parent / "base", CFG, base, tokenizer, generation={})
    weights.save(parent / "near", CFG, near, tokenizer, generation={})
    fresh = init_adapter(CFG, LORA, jax.random.key(1))
    moved = jax.tree.map(partial(moved_by, 0.1), fresh)
    for name, adapter in (("fresh", fresh), ("moved", moved)):
        save_adapter(parent / name, adapter, parent / "base", tokenizer)
    return parent


def save_adapter(directory, adapter, base, tokenizer):
    peft.save_adapter(
        directory, adapter, LORA, str(base), dropout=0.0, tokenizer=tokenizer, generation={}
    )


def moved_by(scale, leaf):
    return leaf + np.float32(scale * np.random.default_rng(leaf.size).normal(size=leaf.shape))


def trainer(
    saved, out, tokenizer, *, adapter="", model="base", ref="", kind=DPOTrainer, **settings
):
    """TRL's, of a model's directory or of an adapter's beside the base, which is its reference."""
    config = DPOConfig(
        output_dir=str(out), beta=BETA, bf16=False, use_cpu=True, report_to=[], disable_tqdm=True,
        per_device_train_batch_size=PAIRS, train_sampling_strategy="sequential", save_strategy="no",
        gradient_checkpointing=False, lr_scheduler_type="constant", logging_strategy="no",
        adam_beta1=OPTIMISER["b1"], adam_beta2=OPTIMISER["b2"], adam_epsilon=1e-8,
        max_grad_norm=OPTIMISER["grad_clip"], max_steps=STEPS, optim="adamw_torch", **settings,
    )  # fmt: skip
    load = AutoModelForCausalLM.from_pretrained
    low_rank = LoraConfig(
        r=LORA.rank, lora_alpha=LORA.alpha, target_modules=[peft.MODULES[n] for n in MATRICES],
        task_type="CAUSAL_LM",
    )  # fmt: skip
    one = kind(
        load(saved / model), args=config, train_dataset=Dataset.from_list(texts()),
        processing_class=tokenizer, peft_config=low_rank if adapter else None,
        ref_model=load(saved / ref) if ref else None,
    )  # fmt: skip
    if adapter:
        tensors = load_tensors(saved / adapter / peft.WEIGHTS)
        set_peft_model_state_dict(one.model, tensors)
    return one


def tokens(one, tokenizer):
    """The pairs as TRL tokenised them."""
    rows = [one.train_dataset[i] for i in range(len(one.train_dataset))]
    found = [
        PairTokens(*(tuple(row[f"{name}_ids"]) for name in ("prompt", "chosen", "rejected")))
        for row in rows
    ]
    end = tokenizer.convert_tokens_to_ids(END)
    assert all(p.chosen_ids[-1] == p.rejected_ids[-1] == end for p in found)
    return found


def place(pairs):
    return device_pairs(pairs, mesh_of(1, 1, 1), microbatches=1, multiple=32, max_length=64)


def theirs(one, alone):
    """(loss, gradient by name) of the first pairs; ``alone``: as a mean over batches of one."""
    rows = [one.train_dataset[i] for i in range(PAIRS)]
    one.model.train()
    one.model.zero_grad()
    batches = [[row] for row in rows] if alone else [rows]
    total = 0.0
    for batch in batches:
        loss = one.compute_loss(one.model, one.data_collator(batch)) / len(batches)
        loss.backward()
        total += float(loss.detach())
    trained = {n.replace(".default", ""): p for n, p in one.model.named_parameters()}
    return total, {n: p.grad.numpy() for n, p in trained.items() if p.grad is not None}


@pytest.mark.parametrize("form", ["full", "lora"])
def test_losses_and_gradients_equal_those_of_trl(form, saved, tmp_path, tokenizer):
    mesh, frozen = mesh_of(1, 1, 1), None
    if form == "full":
        make = partial(trainer, saved, tmp_path, tokenizer, model="near", ref="base")
        params, reference = (weights.load_params(saved / n, CFG, mesh) for n in ("near", "base"))
    else:
        make = partial(trainer, saved, tmp_path, tokenizer, adapter="moved")
        params, _ = peft.load_adapter(saved / "moved", CFG, mesh)
        frozen = reference = weights.load_params(saved / "base", CFG, mesh)

    def merge(frozen, trained):
        return attach(frozen, trained, LORA.scale) if form == "lora" else trained

    batch = place(tokens(make(**KINDS["sigmoid"][1]), tokenizer)[:PAIRS])
    logp_MB = make_answer_logp(CFG, block=64)(reference, batch)
    rows = jax.tree.map(lambda x: x[0], batch._replace(ref_logp_B=logp_MB))

    def losses(trained):
        """Of all kinds, so that one program has all of their gradients."""
        logp_BT, *_ = forward_logp(CFG, merge(frozen, trained), rows, temperature=1.0, block=64)
        found = {
            name: preference_loss(logp_BT, rows, kind=name.split("+")[0], beta=BETA, **options)
            for name, (options, _) in KINDS.items()
        }
        return {name: loss for name, (loss, _) in found.items()}, found

    gradients, found = jax.jit(jax.jacrev(losses, has_aux=True))(params)
    for name, (_, settings) in KINDS.items():
        one = make(**settings)
        loss, want = theirs(one, alone="aot" in settings["loss_type"])
        ours, metrics = found[name]
        assert float(ours) == pytest.approx(loss, abs=ATOL), name
        if form == "full":
            weights.save(tmp_path / name, CFG, gradients[name], tokenizer, generation={})
            got = load_file(tmp_path / name / "model.safetensors")
        else:
            save_adapter(tmp_path / name, gradients[name], "base", tokenizer)
            got = load_file(tmp_path / name / peft.WEIGHTS)
        assert got.keys() == want.keys()
        norm = np.sqrt(sum(np.square(g).sum() for g in want.values()))
        apart = max(np.abs(got[n] - want[n]).max() for n in want)
        print(f"{form} {name}: loss {loss:.6f}, apart {abs(float(ours) - loss):.1e}; gradient norm "
              f"{norm:.4f}, apart {apart:.1e}")  # fmt: skip
        assert norm > 0.05, name
        assert apart <= ATOL * min(1, norm), name
        if "+" not in name:
            logged = {key: values[-1] for key, values in one._metrics["train"].items()}
            for ours_name, theirs_name in LOGGED.items():
                assert float(metrics[ours_name]) == pytest.approx(
                    logged[theirs_name], abs=METRIC_ATOL
                ), (name, ours_name)


class Watched(DPOTrainer):
    """Keeps each update's loss unrounded."""

    def compute_loss(self, *args, **kwargs):
        loss = super().compute_loss(*args, **kwargs)
        self.curve.append(float(loss.detach()))
        return loss

    curve: list[float]


@pytest.mark.parametrize(("form", "lr", "decay"), [("full", 5e-4, 0.0), ("lora", 5e-3, 1.0)])
def test_fifty_updates_follow_those_of_trl(form, lr, decay, saved, tmp_path, tokenizer):
    """Decay is of the adapter alone: TRL's leaves out norms' scales, ours nothing."""
    mesh = mesh_of(1, 1, 1)
    one = trainer(
        saved, tmp_path, tokenizer, adapter="fresh" if form == "lora" else "", kind=Watched,
        learning_rate=lr, weight_decay=decay, loss_type=["sigmoid"],
    )  # fmt: skip
    one.curve = []
    pairs = tokens(one, tokenizer)
    one.train()
    base = weights.load_params(saved / "base", CFG, mesh)
    params, frozen, merge = base, None, full_params
    if form == "lora":
        params, _ = peft.load_adapter(saved / "fresh", CFG, mesh)
        frozen, merge = base, lambda frozen, adapter: attach(frozen, adapter, LORA.scale)
    optimizer = make_optimizer(lr=lr, warmup_steps=0, weight_decay=decay, **OPTIMISER)
    state = init_state(params, optimizer, mesh)
    update = make_update(
        CFG, partial(preference_loss, kind="sigmoid", beta=BETA), optimizer, temperature=1.0,
        block=64, state_sharding=shardings(state), merge=merge,
    )  # fmt: skip
    answer_logp = make_answer_logp(CFG, block=64)
    batches = [place(pairs[at : at + PAIRS]) for at in range(0, len(pairs), PAIRS)]
    batches = [b._replace(ref_logp_B=answer_logp(base, b)) for b in batches]
    curve = []
    for batch in islice(cycle(batches), STEPS):
        state, metrics = update(state, batch, frozen)
        curve.append(metrics["loss"])
    got, want = np.array(jnp.stack(curve)), np.array(one.curve)
    print(f"{form}: {want[0]:.4f} to {want[-1]:.4f}, apart {np.abs(got - want).max():.1e}")
    assert len(want) == STEPS and want[0] == pytest.approx(np.log(2), abs=ATOL)
    assert want[-1] < 0.3  # it learned, so that updates matter
    np.testing.assert_allclose(got, want, rtol=0, atol=CURVE_ATOL)
