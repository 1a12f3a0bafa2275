"""FLOPs and bytes by hand, and against the products of the programs that are counted."""

import dataclasses
import math
from functools import partial

import jax
import pytest
from jax.interpreters import partial_eval
from support import mesh_of, tiny_config

from waltzjax.config import defaults
from waltzjax.core.losses import nll
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.flops import (
    adapter_weights,
    decode_bytes,
    forward_flops,
    texts_flops,
    token_bytes,
    training_flops,
    update_flops,
    weight_bytes,
)
from waltzjax.model.lora import Lora, init_adapter
from waltzjax.model.sharding import params_sharding
from waltzjax.model.transformer import init_params
from waltzjax.run.trainable import adapter_merge
from waltzjax.stages.reinforce import agent_optimizer
from waltzjax.training.learner import abstract, abstract_batch, abstract_state
from waltzjax.training.step import full_params, make_update, shardings
from waltzjax.types import MATRICES

CFG = ModelConfig(
    vocab_size=10, width=4, mlp_width=6, layers=2, heads=2, kv_heads=1, head_dim=2,
    max_positions=64,
)  # fmt: skip
# q, k, v, o: 16 + 8 + 8 + 16; gate, up, down: 3 x 24; two layers; the unembedding: 10 x 4.
MULTIPLIED = 2 * 120 + 40
# A token that sees s others: scores and mixtures, 2 x 2 FLOPs a channel, 2 x 2 x 2 channels.
SEEN = 32


def test_a_tokens_flops():
    forward = 2 * MULTIPLIED + SEEN * 8 / 2  # of a row of 8
    assert forward_flops(CFG, 8) == forward == 688
    assert training_flops(CFG, 8) == 6 * MULTIPLIED + 3 * SEEN * 4 == 2064


def test_texts_are_worked_out_one_by_one():
    """Each token sees half its text: 2 x 280 for the weights, 32 for each token it sees."""
    assert texts_flops(CFG, [8]) == 8 * (2 * MULTIPLIED + 32 * 4)
    assert texts_flops(CFG, [8, 2]) == texts_flops(CFG, [8]) + 2 * (2 * MULTIPLIED + 32)
    assert texts_flops(CFG, []) == 0


@pytest.mark.parametrize(
    ("remat", "anew"),
    [
        ("none", 2 * 40),  # the logits
        ("dots", 2 * 40 + SEEN * 4),  # and attention
        ("full", 688 - 2 * 2 * 24),  # a forward pass but the two layers' down
    ],
)
def test_an_update_executes_what_remat_computes_anew(remat, anew):
    assert update_flops(dataclasses.replace(CFG, remat=remat), 8) == 2064 + anew


def test_a_frozen_base_has_no_gradients():
    adapter = adapter_weights(CFG, Lora(3, 1.0, MATRICES))
    # In and out of q, k, v, o, gate, up, down.
    assert adapter == 3 * 2 * (8 + 6 + 6 + 8 + 10 + 10 + 10)
    # Forward and the gradients of activations pass through both, those of weights through one.
    trained = 4 * MULTIPLIED + 6 * adapter + 3 * SEEN * 4
    assert update_flops(CFG, 8, adapter) == trained + 2 * 40


def test_decode_reads_all_weights_and_what_rows_see():
    half = dataclasses.replace(CFG, dtype="bfloat16")
    for cfg, size in ((CFG, 4), (half, 2)):
        assert weight_bytes(cfg) == MULTIPLIED * size
        assert weight_bytes(cfg, adapter=7) == (MULTIPLIED + 7) * size
        assert token_bytes(cfg) == 2 * 2 * 1 * 2 * size  # k and v, layers, heads, channels
        # Two steps; at the first of them the three rows hold five tokens, then six.
        cached = 3 * (5 + 6) * 8 * size
        assert decode_bytes(cfg, 3, 5, 2) == 2 * MULTIPLIED * size + cached


# An independent count: the products of the update's program that any result needs.


def product_flops(jaxpr) -> int:
    total = 0
    for e in jaxpr.eqns:
        if e.primitive.name == "dot_general":
            summed = [e.invars[0].aval.shape[i] for i in e.params["dimension_numbers"][0][0]]
            total += 2 * math.prod(e.outvars[0].aval.shape) * math.prod(summed)
        times = e.params["length"] if e.primitive.name == "scan" else 1
        for value in e.params.values():
            for part in value if isinstance(value, tuple | list) else [value]:
                inner = getattr(part, "jaxpr", part)
                total += times * product_flops(inner) if hasattr(inner, "eqns") else 0
    return total


@pytest.mark.parametrize(
    ("rank", "remat", "packed"),
    [(0, "dots", True), (0, "full", False), (2, "none", False), (2, "full", True)],
)
def test_the_update_has_these_products(rank, remat, packed):
    rows, tokens, mesh = 2, 64, mesh_of(1, 1, 1)
    cfg = tiny_config(layers=3, remat=remat)
    optimizer = agent_optimizer(defaults.default(), 1e-5, updates=1)

    def placed(init):
        shapes = jax.eval_shape(lambda: init(jax.random.key(0)))
        return abstract(shapes, params_sharding(mesh, shapes))

    base = placed(partial(init_params, cfg))
    trained, merge, adapter = base, full_params, 0
    if rank:
        form = Lora(rank, 1.0, MATRICES)
        trained, merge = placed(partial(init_adapter, cfg, form)), adapter_merge(form)
        adapter = adapter_weights(cfg, form)
    state = abstract_state(trained, optimizer, mesh)
    update = make_update(
        cfg,
        nll,
        optimizer,
        temperature=1.0,
        block=100,
        state_sharding=shardings(state),
        merge=merge,
    )
    batch = abstract_batch(mesh, 1, rows, tokens, packed=packed)
    made = jax.make_jaxpr(update)(state, batch, base if rank else None).jaxpr
    needed, _ = partial_eval.dce_jaxpr(made, [True] * len(made.outvars))
    last = 4 * 2 * cfg.vocab_size * cfg.width / tokens  # a row's last token has no logits
    executed = update_flops(cfg, tokens, adapter, square=True, packed=packed)
    expected = rows * tokens * (executed - last)
    assert product_flops(needed) == pytest.approx(expected, rel=0.01)
