"""What an update on preferences holds on a device, beside a supervised one of the same rows."""

import dataclasses
from functools import partial

import jax
from support import REPO, mesh_of

from waltzjax.core.losses import nll
from waltzjax.core.preference_losses import preference_loss
from waltzjax.model import sharding
from waltzjax.model.hf import config
from waltzjax.model.lora import Lora, attach, init_adapter
from waltzjax.model.transformer import init_params
from waltzjax.plan.xla_report import measure
from waltzjax.preference.batch import make_answer_logp
from waltzjax.training.learner import abstract, abstract_batch, abstract_state
from waltzjax.training.optimizer import make_optimizer
from waltzjax.training.step import make_update, shardings
from waltzjax.types import MATRICES, PairBatch, PolicyBatch

MOST = 1.2  # times a supervised update's
ROWS, TOKENS = 16, 1024
FORM = Lora(16, 32.0, MATRICES)


def test_an_update_on_preferences_holds_what_a_supervised_one_does():
    """At Llama-3.1-8B's width and vocabulary, two layers; the bytes that grow with the rows, which
    weights do not hide, as well as all of them."""
    mesh = mesh_of(1, 1, 1)
    cfg = config.read_config(
        REPO / "configs/models/llama-3.1-8b", dtype="bfloat16", param_dtype="bfloat16", remat="full"
    )
    cfg = dataclasses.replace(cfg, layers=2)
    assert cfg.vocab_size == 128_256

    def placed(init):
        shapes = jax.eval_shape(init, jax.random.key(0))
        return abstract(shapes, sharding.params_sharding(mesh, shapes))

    base, adapter = placed(partial(init_params, cfg)), placed(partial(init_adapter, cfg, FORM))
    optimizer = make_optimizer(
        lr=5e-5, warmup_steps=0, b1=0.9, b2=0.95, weight_decay=0.0, grad_clip=1.0
    )
    state = abstract_state(adapter, optimizer, mesh)

    def update(loss, record, block=1024):
        step = make_update(
            cfg, loss, optimizer, temperature=1.0, block=block, state_sharding=shardings(state),
            merge=lambda frozen, low_rank: attach(frozen, low_rank, FORM.scale),
        )  # fmt: skip
        return measure(step.lower(state, batch(record), base))

    def batch(record):
        return abstract_batch(mesh, 1, ROWS, TOKENS, record=record)

    def peak(program):
        return program.argument_bytes + program.temporary_bytes + program.output_bytes

    loss = partial(preference_loss, kind="sigmoid", beta=0.1, sft_weight=0.5)
    supervised, preferring = update(nll, PolicyBatch), update(loss, PairBatch)
    reference = measure(make_answer_logp(cfg, block=1024).lower(base, batch(PairBatch)))
    print(
        f"supervised {peak(supervised) / 1e9:.2f} GB, {supervised.temporary_bytes / 1e9:.2f} of it "
        f"temporary; on preferences {peak(preferring) / 1e9:.2f} and "
        f"{preferring.temporary_bytes / 1e9:.2f}; its reference {peak(reference) / 1e9:.2f}"
    )
    assert preferring.temporary_bytes <= MOST * supervised.temporary_bytes
    assert peak(preferring) <= MOST * peak(supervised)
    assert peak(reference) <= peak(supervised)

    # With the logits of all rows at once: it would be seen.
    assert peak(update(loss, PairBatch, block=cfg.vocab_size)) > MOST * peak(supervised)
