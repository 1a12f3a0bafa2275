"""The optimiser: AdamW with a clipped global norm and a linear warm-up."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax


def make_optimizer(
    *,
    lr: float,
    warmup_steps: int,
    b1: float,
    b2: float,
    weight_decay: float,
    grad_clip: float,
    decay_steps: int = 0,
    eps: float = 1e-8,
) -> optax.GradientTransformation:
    """AdamW (arXiv 1711.05101), moments in float32: linear warm-up, then constant, or, with
    ``decay_steps``, linear decay that reaches 5 % of ``lr`` at that update."""
    warmup = optax.linear_schedule(lr / (warmup_steps + 1), lr, warmup_steps)
    after = (
        optax.linear_schedule(lr, 0.05 * lr, max(decay_steps - warmup_steps - 1, 1))
        if decay_steps
        else optax.constant_schedule(lr)
    )
    schedule = optax.join_schedules([warmup, after], [warmup_steps])
    chain = optax.chain(
        optax.clip_by_global_norm(grad_clip),
        optax.adamw(schedule, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay),
    )

    def init(params):
        # Optax starts moments in the parameters' type and goes on in the gradients': with bfloat16
        # parameters the second update would find other types than the first, and compile again.
        return chain.init(jax.tree.map(lambda p: p.astype(jnp.float32), params))

    return optax.GradientTransformation(init, chain.update)
