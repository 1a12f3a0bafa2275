"""The embedded worlds: sizes, data and warm-up of their base models."""

from __future__ import annotations

from ml_collections import ConfigDict


def embedded() -> ConfigDict:
    """The self-contained base model: its tokenizer, size and warm-up. Everything [ours]."""
    e = ConfigDict()
    e.data_seed = 0
    e.held_out = "validation"  # or development: other frames, to choose settings on
    e.coded = 0.0  # share of the prompts with each of three sentences that swap mine and theirs,
    # or not, at even odds: an eighth of them comes out plain
    e.vocab_size = 640
    e.width, e.mlp_width, e.layers = 128, 320, 3
    e.heads, e.kv_heads = 4, 2
    e.max_positions = 256
    e.init_scale = 0.09
    e.card_steps = 1200  # updates on reading cards, at most ...
    e.card_loss = 0.02  # ... until their mean loss, nats a token, is below this
    e.demo_steps = 800  # updates on demonstrations
    e.batch = 64  # rows an update
    e.card_lr = 1e-3  # constant; at 2e-3 one seed of three stays on a plateau
    e.lr = 2e-3  # of the demonstrations, decays linearly to 5 %
    return e


def embedded_maths() -> ConfigDict:
    """The embedded maths world: its base model, size and warm-up. Everything [ours]."""
    e = ConfigDict()
    e.data_seed = 0
    e.held_out = "validation"  # or development: other numbers and frames, to choose settings on
    # (file of prompts, P(right) on problems of level 2): answered so beside prompts.maths
    e.personas = ()
    e.vocab_size = 512
    e.width, e.mlp_width, e.layers = 128, 320, 3
    e.heads, e.kv_heads = 4, 2
    e.max_positions = 96
    e.init_scale = 0.09
    e.card_steps = 300  # updates on cards, at most ...
    e.card_loss = 0.02  # ... until their mean loss, nats a token, is below this
    e.demo_steps = 400  # updates on demonstrations
    e.batch = 64  # rows an update
    e.card_lr = 1e-3  # constant
    e.lr = 2e-3  # of the demonstrations, decays linearly to 5 %
    return e
