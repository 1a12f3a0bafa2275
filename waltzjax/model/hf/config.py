"""A Hugging Face directory's ``config.json``, in and out, and where a named model lies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from waltzjax.model.architecture import ModelConfig, Remat
from waltzjax.model.hf.families import (
    COUNT,
    FAMILIES,
    FIXED,
    FLAG,
    POSITIVE,
    SCALING,
    is_a,
    read_rope,
    read_window,
    window_json,
)

# config.json -> (ModelConfig, what may stand there). The first five are required.
FIELDS: dict[str, tuple[str, str]] = {
    "vocab_size": ("vocab_size", COUNT),
    "hidden_size": ("width", COUNT),
    "intermediate_size": ("mlp_width", COUNT),
    "num_hidden_layers": ("layers", COUNT),
    "num_attention_heads": ("heads", COUNT),
    "num_key_value_heads": ("kv_heads", COUNT),
    "head_dim": ("head_dim", COUNT),
    "max_position_embeddings": ("max_positions", COUNT),
    "rms_norm_eps": ("norm_eps", POSITIVE),
    "tie_word_embeddings": ("tied_embeddings", FLAG),
}
REQUIRED = 5
MAY_BE_NULL = ("num_key_value_heads", "head_dim")
DEFAULTS = {"rms_norm_eps": 1e-6, "tie_word_embeddings": False}  # of every family


class ModelNotFound(FileNotFoundError):
    """No such directory, and no such model in the local Hugging Face cache."""


def resolve(name_or_dir: str, revision: str | None = None) -> Path:
    """A model's directory: itself, or a hub name's snapshot in the local cache; no download."""
    if name_or_dir and Path(name_or_dir).is_dir():
        return Path(name_or_dir)
    import huggingface_hub  # slow to import, and a directory does without

    try:
        return Path(
            huggingface_hub.snapshot_download(name_or_dir, revision=revision, local_files_only=True)
        )
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
        content = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: not JSON, perhaps truncated ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object, got {str(content)[:60]!r}")
    return content


def read_config(
    directory: Path, *, dtype: Any = "float32", param_dtype: Any = "float32", remat: Remat = "none"
) -> ModelConfig:
    """The config of ``directory/config.json``, as transformers 4 or 5 wrote it; ValueError names
    every field that is missing or that this decoder would not honour exactly."""
    config = read_json(path := Path(directory) / "config.json")
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise ValueError(
            f"{path}: cannot be honoured exactly: model_type={model_type!r} "
            f"(only {', '.join(FAMILIES)})"
        )
    family = FAMILIES[model_type]
    honoured = {**FIXED, **family.fixed, "architectures": [family.architecture]}
    given = {key: config[key] for key in honoured if config.get(key) is not None}
    problems = [f"{k}={v!r} (only {honoured[k]!r})" for k, v in given.items() if v != honoured[k]]
    full = {**DEFAULTS, **family.defaults, **config}
    size: dict[str, Any] = {}
    for index, (key, (field, what)) in enumerate(FIELDS.items()):
        size[field] = value = full.get(key)
        if value is None and index < REQUIRED:
            problems.append(f"{key} missing")
        elif not is_a(what, value) and not (value is None and key in MAY_BE_NULL):
            problems.append(f"{key}={value!r} (only {what})")
    theta, scaling = read_rope(config, problems)
    window = read_window(model_type, config, problems) if not problems else 0
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
    return ModelConfig(
        **size,
        model_type=model_type,
        window=window,
        rope_theta=theta,
        rope_scaling=scaling,
        **kinds,
    )


def config_json(cfg: ModelConfig, dtype: str) -> dict[str, Any]:
    """The ``config.json`` that ``read_config`` reads, in the spellings of transformers 4 and 5."""
    rope: dict[str, Any] = {"rope_type": "llama3" if cfg.rope_scaling else "default"}
    if cfg.rope_scaling:
        rope |= {key: getattr(cfg.rope_scaling, field) for key, field in SCALING.items()}
    architecture = FAMILIES[cfg.model_type].architecture
    config: dict[str, Any] = {"model_type": cfg.model_type, "architectures": [architecture]}
    config |= {"hidden_act": FIXED["hidden_act"]}
    config |= {key: getattr(cfg, field) for key, (field, _) in FIELDS.items()}
    config |= window_json(cfg.model_type, cfg.window, cfg.layers)
    config |= {"rope_parameters": {**rope, "rope_theta": cfg.rope_theta}, "dtype": dtype}
    # The older spelling too: transformers 4 would silently take a theta of 10,000.
    old_rope = {"rope_theta": cfg.rope_theta, "rope_scaling": rope if cfg.rope_scaling else None}
    return config | old_rope | {"torch_dtype": dtype}
