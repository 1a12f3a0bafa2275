"""The model families this decoder covers, as their ``config.json`` tells them.

Defaults are those of the transformers classes, which hub files rely on where they leave a field
out; ``fixed`` holds what would change the numbers, with the one value that is honoured. Rotary
positions have several spellings.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from waltzjax.model.architecture import RopeScaling

# Settings that every family has.
FIXED: dict[str, Any] = {
    "hidden_act": "silu", "attention_dropout": 0, "quantization_config": None, "is_causal": True,
    "transformers_weights": None, "per_layer_config": None,
}  # fmt: skip


class Family(NamedTuple):
    """One ``model_type``."""

    architecture: str
    defaults: dict[str, Any]  # of fields of config.json, where they are not the same everywhere
    fixed: dict[str, Any]


FAMILIES: dict[str, Family] = {
    "llama": Family(
        "LlamaForCausalLM",
        {"max_position_embeddings": 2048},
        {
            "attention_bias": False,
            "mlp_bias": False,
            "rope_interleaved": False,
            "pretraining_tp": 1,
        },
    ),
    "mistral": Family(
        "MistralForCausalLM",
        {"max_position_embeddings": 131_072, "num_key_value_heads": 8, "sliding_window": 4096},
        {},
    ),
    "qwen2": Family(
        "Qwen2ForCausalLM",
        {"max_position_embeddings": 32_768, "num_key_value_heads": 32},
        {"use_mrope": False},
    ),
    "qwen3": Family(
        "Qwen3ForCausalLM",
        {"max_position_embeddings": 32_768, "num_key_value_heads": 32, "head_dim": 128},
        {"attention_bias": False},
    ),
}


def read_window(model_type: str, config: dict[str, Any], problems: list[str]) -> int:
    """The one sliding window of all layers, 0 for none; a mixture is added to ``problems``.

    Mistral has a window in every layer, or none. Qwen has one where ``use_sliding_window`` says
    so, in the layers from ``max_window_layers`` on, unless ``layer_types`` lists them.
    """
    if model_type == "llama":
        return 0
    layers, window = config["num_hidden_layers"], config.get("sliding_window", 4096)
    if model_type == "mistral":
        windowed = [window is not None] * layers
    else:
        window = window if config.get("use_sliding_window", False) else None
        first = config.get("max_window_layers", 28)
        if type(first) is not int:
            problems.append(f"max_window_layers={first!r} (only an integer)")
            return 0
        windowed = [window is not None and i >= first for i in range(layers)]
    if (kinds := config.get("layer_types")) is not None:
        if not isinstance(kinds, list):
            kinds = [kinds]
        known = ("full_attention", "sliding_attention")
        unknown = [kind for kind in kinds if kind not in known]
        if unknown or len(kinds) != layers:
            problems.append(f"layer_types={kinds!r} (only one of {known} for each layer)")
            return 0
        windowed = [kind == "sliding_attention" for kind in kinds]
    if not any(windowed):
        return 0
    if not all(windowed):
        problems.append("layer_types, max_window_layers: a sliding window in some layers only")
    if type(window) is not int or window < 1:
        problems.append(f"sliding_window={window!r} (only a positive number)")
        return 0
    return window


def window_json(model_type: str, window: int, layers: int) -> dict[str, Any]:
    """The settings that ``read_window`` reads."""
    if model_type == "llama":
        return {}
    if model_type == "mistral":
        return {"sliding_window": window or None}
    kind = "sliding_attention" if window else "full_attention"
    return {
        "use_sliding_window": bool(window),
        "sliding_window": window or None,
        "max_window_layers": 0 if window else layers,
        "layer_types": [kind] * layers,
    }


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
