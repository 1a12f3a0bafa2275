"""Token log-probs by blocks of the vocabulary against all logits at once: memory and time.

    python scripts/bench_logprobs.py [--tokens=1024] [--width=1024] [--dtype=bfloat16]

Forward and backward of both, by turns, in one process. Prints one JSON line: `memory_ratio`, the
temporary memory of the blocked program over the bytes of the full logits; `time_ratio`, the median
of blocked / whole, pair by pair.
"""

from __future__ import annotations

import json
import statistics
import time
from functools import partial

import jax
import jax.numpy as jnp
from absl import flags

from waltzjax.config import defaults
from waltzjax.core.logprobs import token_logprobs
from waltzjax.run import cli

flags.DEFINE_integer("tokens", 1024, "Tokens.", lower_bound=1)
flags.DEFINE_integer("width", 1024, "Width of the hidden states.", lower_bound=1)
flags.DEFINE_integer("vocabulary", 128256, "Tokens of the vocabulary.", lower_bound=1)
flags.DEFINE_integer(
    "block",
    defaults.default().model.logit_chunk,
    "config.model.logit_chunk.",
    lower_bound=1,
)
flags.DEFINE_integer("pairs", 5, "Timed pairs, after one that is not.", lower_bound=1)
flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16"], "What is multiplied.")


def whole(hidden_BTD, unembed_VD, target_BT):
    """As one would write it with all logits in memory."""
    logits_BTV = jnp.einsum(
        "BTD,VD->BTV", hidden_BTD, unembed_VD, preferred_element_type=jnp.float32
    )
    logp_BTV = jax.nn.log_softmax(logits_BTV)
    chosen_BT = jnp.take_along_axis(logp_BTV, target_BT[..., None], -1)[..., 0]
    return chosen_BT, -jnp.sum(jnp.exp(logp_BTV) * logp_BTV, -1)


def main() -> None:
    f = flags.FLAGS
    keys = jax.random.split(jax.random.key(0), 3)
    hidden = jax.random.normal(keys[0], (1, f.tokens, f.width), f.dtype)
    unembed = jax.random.normal(keys[1], (f.vocabulary, f.width), f.dtype) * f.width**-0.5
    target = jax.random.randint(keys[2], (1, f.tokens), 0, f.vocabulary)
    blocked = partial(token_logprobs, temperature=1.0, block=f.block)

    def compiled(head):
        def loss(hidden, unembed):
            logp, entropy, *_ = head(hidden, unembed, target)
            return logp.mean(), entropy.mean()  # the entropy is reported, as in an update

        step = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
        return step.lower(hidden, unembed).compile()

    def seconds(program):
        started = time.perf_counter()
        jax.block_until_ready(program(hidden, unembed))
        return time.perf_counter() - started

    programs = compiled(blocked), compiled(whole)
    pairs = [tuple(map(seconds, programs)) for _ in range(f.pairs + 1)][1:]
    full = f.tokens * f.vocabulary * 4
    memory = [p.memory_analysis().temp_size_in_bytes / full for p in programs]
    settings = ("tokens", "width", "vocabulary", "block", "dtype")
    print(
        json.dumps(
            {
                "memory_ratio": round(memory[0], 4),
                "memory_ratio_whole": round(memory[1], 2),
                "time_ratio": round(statistics.median(a / b for a, b in pairs), 3),
                "seconds": [round(statistics.median(x), 3) for x in zip(*pairs, strict=True)],
                **{name: f[name].value for name in settings},
                "device": jax.devices()[0].device_kind,
                "jax": jax.__version__,
            }
        )
    )


if __name__ == "__main__":
    cli.run(main)
