"""Sections ``embedded`` and ``embedded_maths``: the embedded worlds, their data and base models.

Everything is [ours].
"""

from __future__ import annotations

from collections.abc import Iterator

from ml_collections import ConfigDict

from waltzjax.config.key import (
    ANY,
    EMBEDDED,
    FRACTION,
    MATHS,
    WALTZ,
    Key,
    OnlyIf,
    above,
    at_least,
    one_of,
)

MIN_VOCABULARY = 300  # every byte, and the control tokens
SAFETY_WORLD = OnlyIf(
    lambda c: EMBEDDED in (c.model.base, c.data.directory),
    "config.model.base or config.data.directory = 'embedded'",
)
BASE = OnlyIf(lambda c: c.model.base == EMBEDDED, "config.model.base = 'embedded'")
MATHS_WORLD = OnlyIf(
    lambda c: EMBEDDED in (c.model.base, c.problems.train, c.problems.validation),
    "config.model.base, config.problems.train or validation = 'embedded'",
)


def _base_model(
    reader: str, *, vocab_size: int, max_positions: int, card_steps: int, demo_steps: int
) -> dict[str, Key]:
    """The keys of a self-contained base model: its tokenizer, size and warm-up."""

    def key(default, bound, meaning: str) -> Key:
        return Key(default, bound, [reader], meaning, BASE)

    return {
        "vocab_size": key(vocab_size, at_least(MIN_VOCABULARY), "tokens"),
        "width": key(128, at_least(1), "of the residual stream"),
        "mlp_width": key(320, at_least(1), "of the MLP"),
        "layers": key(3, at_least(1), "decoder layers"),
        "heads": key(4, at_least(1), "query heads"),
        "kv_heads": key(2, at_least(1), "key and value heads"),
        "max_positions": key(max_positions, at_least(1), "tokens of a text"),
        "init_scale": key(0.09, above(0), "standard deviation of the first weights"),
        "card_steps": key(card_steps, at_least(1), "updates on reading cards, at most"),
        "card_loss": key(0.02, above(0), "nats a token: reading cards end below this mean loss"),
        "demo_steps": key(demo_steps, at_least(1), "updates on demonstrations"),
        "batch": key(64, at_least(1), "rows an update"),
        "card_lr": key(
            1e-3,
            above(0),
            "learning rate of cards, constant; at 2e-3 one seed of three stays on a plateau",
        ),
        "lr": key(2e-3, above(0), "of demonstrations, decays linearly to 5 %"),
    }


def _world(reader: str, world: OnlyIf, frames: str) -> dict[str, Key]:
    return {
        "data_seed": Key(0, at_least(0), [reader], "what the world is drawn with", world),
        "held_out": Key(
            "validation",
            one_of("validation", "development"),
            [reader],
            f"what is evaluated on; development: other {frames}, to choose settings on",
            world,
        ),
    }


KEYS = {
    "embedded": {
        **_world(WALTZ, SAFETY_WORLD, "frames"),
        "coded": Key(
            0.0, FRACTION, [WALTZ],
            "share of the prompts with each of three sentences that swap mine and theirs, or not, "
            "at even odds: an eighth of them comes out plain", SAFETY_WORLD,
        ),
        **_base_model(
            WALTZ, vocab_size=640, max_positions=256, card_steps=1200, demo_steps=800
        ),
    },
    "embedded_maths": {
        **_world(MATHS, MATHS_WORLD, "numbers and frames"),
        "personas": Key(
            (), ANY, [MATHS],
            "(file of prompts, P(right) on problems of level 2): answered so beside prompts.maths",
            BASE,
        ),
        **_base_model(
            MATHS, vocab_size=512, max_positions=96, card_steps=300, demo_steps=400
        ),
    },
}  # fmt: skip


def broken_rules(c: ConfigDict, reads: frozenset[str]) -> Iterator[str]:
    """Yield each broken rule; ``reads`` names who reads the config."""
    for persona in c.embedded_maths.personas:
        match persona:
            case (str(), int() | float() as right) if 0 <= right <= 1:
                continue
        yield (
            f"config.embedded_maths.personas: got {persona!r}, allowed is (file of prompts, "
            "P(right) in [0, 1])"
        )
    if c.model.base != EMBEDDED:
        return
    for section in KEYS:
        e, path = c[section], f"config.{section}"
        if e.kv_heads >= 1 and e.heads % e.kv_heads:
            yield f"{path}.heads: got {e.heads}, must be a multiple of {e.kv_heads} kv_heads"
        if e.heads >= 1 and e.width % (2 * e.heads):
            yield f"{path}.width: got {e.width}, must be a multiple of 2 * {e.heads} heads"
    new_tokens = c.rollout.max_new_tokens
    if WALTZ in reads and c.embedded.max_positions <= 2 * new_tokens:
        yield (
            f"config.embedded.max_positions: got {c.embedded.max_positions}, must exceed an "
            f"answer and a review of config.rollout.max_new_tokens = {new_tokens} each"
        )
