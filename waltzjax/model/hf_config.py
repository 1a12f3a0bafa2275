"""A Hugging Face directory's ``config.json``, in and out, and where a named model lies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from waltzjax.model.architecture import ModelConfig, Remat, RopeScaling
from waltzjax.model.families import FAMILIES, FIXED, read_window, window_json

# config.json -> ModelConfig. The first five are required.
FIELDS: dict[str, str] = {
    "vocab_size": "vocab_size",
    "hidden_size": "width",
    "intermediate_size": "mlp_width",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "num_key_value_heads": "kv_heads",
    "head_dim": "head_dim",
    "max_position_embeddings": "max_positions",
    "rms_norm_eps": "norm_eps",
    "tie_word_embeddings": "tied_embeddings",
}
REQUIRED = 5
DEFAULTS = {"rms_norm_eps": 1e-6, "tie_word_embeddings": False}  # of every family
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


def stored_dtype(directory: Path) -> str:
    """What a model's weights are kept as, by its ``config.json``: "bfloat16"."""
    config = read_json(Path(directory) / "config.json")
    return str(config.get("dtype") or config.get("torch_dtype") or "float32")


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
    directory: Path, *, dtype: Any = "float32", param_dtype: Any = "float32", remat: Remat = "none"
) -> ModelConfig:
    """The config of ``directory/config.json``, as transformers 4 or 5 wrote it; ValueError names
    every field that is missing or that this decoder would not honour exactly."""
    config = read_json(path := Path(directory) / "config.json")
    model_type = config.get("model_type")
    if model_type not in FAMILIES:
        raise ValueError(
            f"{path}: cannot be honoured exactly: model_type={model_type!r} "
            f"(only {', '.join(FAMILIES)})"
        )
    family = FAMILIES[model_type]
    honoured = {**FIXED, **family.fixed, "architectures": [family.architecture]}
    given = {key: config[key] for key in honoured if config.get(key) is not None}
    problems = [f"{k}={v!r} (only {honoured[k]!r})" for k, v in given.items() if v != honoured[k]]
    problems += [f"{key} missing" for key in list(FIELDS)[:REQUIRED] if config.get(key) is None]
    full = {**DEFAULTS, **family.defaults, **config}
    size: dict[str, Any] = {field: full.get(key) for key, field in FIELDS.items()}
    theta, scaling = _read_rope(config, problems)
    window = read_window(model_type, config, problems)
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
        **size, model_type=model_type, window=window, rope_theta=theta, rope_scaling=scaling,
        **kinds,
    )  # fmt: skip


def config_json(cfg: ModelConfig, dtype: str) -> dict[str, Any]:
    """What ``read_config`` reads, in the spellings of transformers 4 and 5."""
    rope: dict[str, Any] = {"rope_type": "llama3" if cfg.rope_scaling else "default"}
    if cfg.rope_scaling:
        rope |= {key: getattr(cfg.rope_scaling, field) for key, field in SCALING.items()}
    architecture = FAMILIES[cfg.model_type].architecture
    config: dict[str, Any] = {"model_type": cfg.model_type, "architectures": [architecture]}
    config |= {"hidden_act": FIXED["hidden_act"]}
    config |= {key: getattr(cfg, field) for key, field in FIELDS.items()}
    config |= window_json(cfg.model_type, cfg.window, cfg.layers)
    config |= {"rope_parameters": {**rope, "rope_theta": cfg.rope_theta}, "dtype": dtype}
    # The older spelling too: transformers 4 would silently take a theta of 10,000.
    old_rope = {"rope_theta": cfg.rope_theta, "rope_scaling": rope if cfg.rope_scaling else None}
    return config | old_rope | {"torch_dtype": dtype}
