"""The optimiser: AdamW with a clipped global norm and a linear warm-up."""

from __future__ import annotations

import optax


def make_optimizer(
    *, lr: float, warmup_steps: int, b1: float, b2: float, weight_decay: float, grad_clip: float,
    decay_steps: int = 0,
) -> optax.GradientTransformation:  # fmt: skip
    """AdamW (arXiv 1711.05101): linear warm-up, then constant, or linear decay to 5 % of ``lr``
    over ``decay_steps`` updates."""
    warmup = optax.linear_schedule(lr / (warmup_steps + 1), lr, warmup_steps)
    after = (
        optax.linear_schedule(lr, 0.05 * lr, decay_steps)
        if decay_steps
        else optax.constant_schedule(lr)
    )
    schedule = optax.join_schedules([warmup, after], [warmup_steps])
    return optax.chain(
        optax.clip_by_global_norm(grad_clip),
        optax.adamw(schedule, b1=b1, b2=b2, weight_decay=weight_decay),
    )
