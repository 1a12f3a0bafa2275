"""The work of a training step, for its throughput: tokens learned from, and the model's FLOPs.

Counted is what the step cannot do without (model FLOPs, PaLM, arXiv 2204.02311, appendix B): no
padding, nothing computed anew; a frozen base's weights have no gradient. Of generation the products
with weights alone. So "perf/mfu" compares layouts of the same run, and runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import jax

from waltzjax.engine.session import Stats
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.flops import head_weights, layer_weights, texts_flops
from waltzjax.run.devices import known_device
from waltzjax.types import Sample

TOKENS, TFLOP = "perf/tokens", "perf/tflop"


def text_work(
    cfg: ModelConfig, lengths: Sequence[int], *, adapter: bool, updates: int, forwards: int
) -> dict[str, float]:
    """Of learning from texts of so many tokens.

    Args:
      lengths: tokens of each text, prompt and answer.
      adapter: an adapter is trained, so that the backward pass has one product for each forward
        one, where full training has two.
      updates: how often each text is learned from.
      forwards: forward passes besides those of the updates: for log-probs, of a reference.
    """
    passes = updates * (2 if adapter else 3) + forwards
    return {TOKENS: float(sum(lengths)), TFLOP: passes * texts_flops(cfg, lengths) / 1e12}


def rollout_work(
    cfg: ModelConfig,
    rows: Mapping[str, Sequence[Sample]],
    drawn: Stats,
    *,
    adapter: bool,
    updates: int,
) -> dict[str, float]:
    """Of a step of reinforcement: its rollout, log-probs of policy and reference, its updates."""
    lengths = [len(s.prompt_ids) + len(s.token_ids) for role in rows.values() for s in role]
    learned = text_work(cfg, lengths, adapter=adapter, updates=updates, forwards=2)
    read = layer_weights(cfg) * (drawn.cached_tokens + drawn.tokens)
    generated = 2 * (read + head_weights(cfg) * drawn.tokens)  # a prompt needs no logits
    return {**learned, TFLOP: learned[TFLOP] + generated / 1e12}


def rates(work: Mapping[str, float], seconds: float) -> dict[str, float]:
    """What a step of ``seconds`` makes of its ``work`` on all devices of all processes together:
    "perf/tokens_per_s", and "perf/mfu" in [0, 1] where the devices' peak is known."""
    if TOKENS not in work or seconds <= 0:
        return {}
    per_second = {"perf/tokens_per_s": work[TOKENS] / seconds}
    devices = jax.devices()
    if peak := peak_tflops(devices[0].device_kind):
        per_second["perf/mfu"] = work[TFLOP] / (seconds * peak * len(devices))
    return per_second


@cache
def peak_tflops(kind: str) -> float | None:
    """TFLOP/s that a device can do at most, in bfloat16; None: of its kind that is not known."""
    device = known_device(kind)
    return device.tflops["bfloat16"] if device else None
