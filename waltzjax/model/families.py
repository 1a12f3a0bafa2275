"""The model families this decoder covers, as their ``config.json`` tells them.

Defaults are those of the transformers classes, which hub files rely on where they leave a field
out; ``fixed`` holds what would change the numbers, with the one value that is honoured.
"""

from __future__ import annotations

from typing import Any, NamedTuple

# What every family has.
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
    """What ``read_window`` reads."""
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
