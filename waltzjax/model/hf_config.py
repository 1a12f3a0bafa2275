"""A Hugging Face directory's ``config.json``, in and out, and where a named model lies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from waltzjax.model.transformer import ModelConfig, RopeScaling

# config.json -> ModelConfig, and the default; None: from other fields, or the field is required.
FIELDS: dict[str, tuple[str, Any]] = {
    "vocab_size": ("vocab_size", None),
    "hidden_size": ("width", None),
    "intermediate_size": ("mlp_width", None),
    "num_hidden_layers": ("layers", None),
    "num_attention_heads": ("heads", None),
    "num_key_value_heads": ("kv_heads", None),
    "head_dim": ("head_dim", None),
    "max_position_embeddings": ("max_positions", 2048),
    "rms_norm_eps": ("norm_eps", 1e-6),
    "tie_word_embeddings": ("tied_embeddings", False),
}
# Fields that change the numbers, and the one value honoured; all but model_type may be absent.
FIXED: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_act": "silu",
}
FIXED |= {"attention_bias": False, "mlp_bias": False, "rope_interleaved": False}
FIXED |= {"attention_dropout": 0, "pretraining_tp": 1, "quantization_config": None}
SCALING = {k: k for k in ("factor", "low_freq_factor", "high_freq_factor")}
SCALING["original_max_position_embeddings"] = "original_max_position"  # fields of RopeScaling


class ModelNotFound(FileNotFoundError):
    """No such directory, and no such model in the local Hugging Face cache."""


def resolve(name_or_dir: str) -> Path:
    """A model's directory: itself, or a hub name's snapshot in the local cache; no download."""
    if name_or_dir and Path(name_or_dir).is_dir():
        return Path(name_or_dir)
    import huggingface_hub  # slow to import, and a directory does without

    try:
        return Path(huggingface_hub.snapshot_download(name_or_dir, local_files_only=True))
    except (FileNotFoundError, huggingface_hub.errors.HFValidationError) as error:
        raise ModelNotFound(
            f"model {name_or_dir!r}: neither a directory nor in the local Hugging Face cache. Run "
            f"`hf download {name_or_dir}` (Llama: accept its licence on the hub first), or give a "
            "directory; `--config=configs/stage2.py:tiny` runs without any download"
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """One JSON file of a model directory; the errors say what is wrong with the directory."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; the model directory is incomplete")
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: not JSON, perhaps truncated ({error})") from error


def _read_rope(config: dict[str, Any], problems: list[str]) -> tuple[float, RopeScaling | None]:
    rope: dict[str, Any] = {}
    loose = ("rope_theta", "partial_rotary_factor", "original_max_position_embeddings")
    top = {key: config.get(key) for key in loose}
    for given in (config.get("rope_parameters"), config.get("rope_scaling"), top):
        for key, value in (given or {}).items():
            key = "rope_type" if key == "type" else key
            if value is not None and rope.setdefault(key, value) != value:
                problems.append(f"{key}: both {rope[key]!r} and {value!r}")
    theta, kind = float(rope.pop("rope_theta", 10_000.0)), rope.pop("rope_type", "default")
    rule = {field: rope.pop(key, None) for key, field in SCALING.items()}
    if rope.pop("partial_rotary_factor", 1) != 1:
        problems.append("partial_rotary_factor (only 1)")
    if kind not in ("default", "llama3"):
        problems.append(f"rope_type={kind!r} (only 'default' and 'llama3')")
    problems += [f"rope field {key}={value!r}" for key, value in rope.items()]
    if kind != "llama3":
        return theta, None
    problems += [f"rope field {k} missing" for k, field in SCALING.items() if rule[field] is None]
    return theta, RopeScaling(**rule)


def read_config(
    directory: Path, *, dtype: Any = "float32", param_dtype: Any = "float32", remat: bool = False
) -> ModelConfig:
    """The config of ``directory/config.json``, as transformers 4 or 5 wrote it; ValueError names
    every field that is missing or that this decoder would not honour exactly."""
    config = read_json(path := Path(directory) / "config.json")
    fixed = {**FIXED, **{key: config[key] for key in FIXED if config.get(key) is not None}}
    problems = [f"{k}={v!r} (only {FIXED[k]!r})" for k, v in fixed.items() if v != FIXED[k]]
    problems += ["model_type missing"] * ("model_type" not in config)
    size = {field: config.get(key, default) for key, (field, default) in FIELDS.items()}
    problems += [f"{key} missing" for key in list(FIELDS)[:5] if config.get(key) is None]
    theta, scaling = _read_rope(config, problems)
    if not problems:
        size["kv_heads"] = size["kv_heads"] or size["heads"]
        size["head_dim"] = size["head_dim"] or size["width"] // size["heads"]
        if size["heads"] % size["kv_heads"]:
            problems.append("num_attention_heads is no multiple of num_key_value_heads")
        if size["head_dim"] % 2:
            problems.append(f"head_dim={size['head_dim']} (only even)")
    if problems:
        raise ValueError(f"{path}: cannot be honoured exactly: " + "; ".join(problems))
    kinds = {"dtype": np.dtype(dtype), "param_dtype": np.dtype(param_dtype), "remat": remat}
    return ModelConfig(**size, rope_theta=theta, rope_scaling=scaling, **kinds)


def config_json(cfg: ModelConfig, dtype: str) -> dict[str, Any]:
    """What ``read_config`` reads, in the spellings of transformers 4 and 5."""
    rope: dict[str, Any] = {"rope_type": "llama3" if cfg.rope_scaling else "default"}
    if cfg.rope_scaling:
        rope |= {key: getattr(cfg.rope_scaling, field) for key, field in SCALING.items()}
    config = {key: FIXED[key] for key in ("model_type", "architectures", "hidden_act")}
    config |= {key: getattr(cfg, field) for key, (field, _) in FIELDS.items()}
    config |= {"rope_parameters": {**rope, "rope_theta": cfg.rope_theta}, "dtype": dtype}
    # The older spelling too: transformers 4 would silently take a theta of 10,000.
    old_rope = {"rope_theta": cfg.rope_theta, "rope_scaling": rope if cfg.rope_scaling else None}
    return config | old_rope | {"torch_dtype": dtype}
