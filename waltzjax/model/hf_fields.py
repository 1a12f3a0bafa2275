"""What may stand in fields of ``config.json``, and its several spellings of rotary positions."""

from __future__ import annotations

import math
from typing import Any

from waltzjax.model.architecture import RopeScaling

COUNT, POSITIVE, FLAG = "a positive integer", "a positive number", "true or false"
SCALING = {k: k for k in ("factor", "low_freq_factor", "high_freq_factor")}
SCALING["original_max_position_embeddings"] = "original_max_position"  # fields of RopeScaling


def is_a(what: str, value: Any) -> bool:
    """Whether a JSON value is what COUNT, POSITIVE or FLAG say."""
    if what == FLAG:
        return type(value) is bool
    if what == COUNT:
        return type(value) is int and value > 0
    return type(value) in (int, float) and 0 < value < math.inf


def read_rope(config: dict[str, Any], problems: list[str]) -> tuple[float, RopeScaling | None]:
    """(theta, scaling); what cannot be honoured exactly is added to ``problems``."""
    rope: dict[str, Any] = {}
    loose = ("rope_theta", "partial_rotary_factor", "original_max_position_embeddings")
    top = {key: config.get(key) for key in loose}
    new, old = (config.get(key) or {} for key in ("rope_parameters", "rope_scaling"))
    if not (isinstance(new, dict) and isinstance(old, dict)):
        problems.append(f"rope_parameters={new!r}, rope_scaling={old!r} (only objects)")
        return 1.0, None
    for given in (new, old, top):
        for key, value in given.items():
            key = "rope_type" if key == "type" else key
            if value is not None and rope.setdefault(key, value) != value:
                problems.append(f"{key}: both {rope[key]!r} and {value!r}")
    if old and (
        alone := [k for k in new if k not in old and config.get(k) is None and k != "type"]
    ):
        problems.append(f"rope_parameters.{alone[0]}: missing in rope_scaling, which replaces them")
    theta, kind = rope.pop("rope_theta", 10_000.0), rope.pop("rope_type", "default")
    rule = {field: rope.pop(key, None) for key, field in SCALING.items()}
    if rope.pop("partial_rotary_factor", 1) != 1:
        problems.append("partial_rotary_factor (only 1)")
    if kind not in ("default", "llama3"):
        problems.append(f"rope_type={kind!r} (only 'default' and 'llama3')")
    problems += [f"rope field {key}={value!r}" for key, value in rope.items()]
    numbers = {"rope_theta": theta}
    if kind == "llama3":
        numbers |= {key: rule[field] for key, field in SCALING.items()}
    wrong = [f"{k}={v!r} (only {POSITIVE})" for k, v in numbers.items() if not is_a(POSITIVE, v)]
    problems += wrong
    if wrong or kind != "llama3":
        return theta, None
    scaling = RopeScaling(**rule)
    if scaling.low_freq_factor >= scaling.high_freq_factor:
        problems.append("low_freq_factor (only below high_freq_factor)")
    return float(theta), scaling
