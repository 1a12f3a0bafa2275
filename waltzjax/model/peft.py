"""Adapters as PEFT directories, in and out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors.numpy
from jax.sharding import Mesh
from safetensors.numpy import save_file

from waltzjax.files import new_directory
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.hf import LAYER
from waltzjax.model.hf_config import read_json
from waltzjax.model.lora import TARGETS, Lora, init_adapter
from waltzjax.model.sharding import params_sharding, place
from waltzjax.processes import fetch, wait, writing

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PARTS = {"lora_a": "lora_A", "lora_b": "lora_B"}
MODULES = {name: LAYER[name].rpartition(".")[2] for name in TARGETS}  # q -> q_proj
# Fields that change the numbers, and the values honoured; all may be absent.
FIXED: dict[str, tuple[Any, ...]] = {
    "bias": ("none",), "fan_in_fan_out": (False,), "use_dora": (False,), "rank_pattern": ({},),
    "alpha_pattern": ({},), "modules_to_save": ([],), "layers_to_transform": ([],),
    "layer_replication": ([],), "exclude_modules": ([],), "trainable_token_indices": ([],),
    "lora_bias": (False,), "alora_invocation_tokens": ([],), "target_parameters": ([],),
}  # fmt: skip


def is_adapter(directory: Path) -> bool:
    return (Path(directory) / CONFIG).is_file()


def read_lora(directory: Path) -> tuple[Lora, str]:
    """(the adapter's form, its base's directory or hub name); ValueError names every field that
    this implementation would not honour exactly."""
    config = read_json(path := Path(directory) / CONFIG)
    fixed = {**FIXED, "peft_type": ("LORA",)}
    problems = [
        f"{key}={config[key]!r} (only {allowed[0]!r})"
        for key, allowed in fixed.items()
        if config.get(key) and config[key] not in allowed
    ]
    targets = _targets(config.get("target_modules"), problems)
    rank: Any = config.get("r")
    alpha: Any = config.get("lora_alpha")
    if type(rank) is not int or rank < 1:
        problems.append(f"r={rank!r} (only a positive integer)")
    if not isinstance(alpha, int | float):
        problems.append(f"lora_alpha={alpha!r} (only a number)")
    if problems:
        raise ValueError(f"{path}: cannot be honoured exactly: " + "; ".join(problems))
    if config.get("use_rslora"):  # alpha / sqrt(r) (arXiv 2312.03732), said as alpha / r
        alpha *= rank**0.5
    return Lora(rank, float(alpha), targets), str(config.get("base_model_name_or_path") or "")


def _targets(modules: Any, problems: list[str]) -> tuple[str, ...]:
    if modules == "all-linear":
        return TARGETS
    names = {module: name for name, module in MODULES.items()}
    if not isinstance(modules, list) or any(m not in names for m in modules):
        problems.append(f"target_modules={modules!r} (only a list from {sorted(names)})")
        return ()
    return tuple(name for name in TARGETS if MODULES[name] in modules)


def _names(path: str, layers: int) -> list[str]:
    """One leaf's tensors, a layer each: "layers/q/lora_a"."""
    _, module, part = path.split("/")
    head = "base_model.model.model.layers"
    return [f"{head}.{i}.{LAYER[module]}.{PARTS[part]}.weight" for i in range(layers)]


def _leaves(adapter: Any) -> dict[str, Any]:
    return {
        f"layers/{name}/{part}": leaf
        for name, parts in adapter["layers"].items()
        for part, leaf in parts.items()
    }


def save_adapter(directory: Path, adapter: Any, lora: Lora, base: str, *, dropout: float) -> None:
    """Write a directory that ``peft.PeftModel.from_pretrained`` loads, whole or not at all."""
    config = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base,
        "r": lora.rank, "lora_alpha": lora.alpha, "lora_dropout": dropout, "bias": "none",
        "target_modules": [MODULES[name] for name in lora.targets], "inference_mode": True,
    }  # fmt: skip
    arrays: dict[str, np.ndarray] = {}
    for path, leaf in _leaves(adapter).items():
        whole = fetch(leaf)
        arrays |= {n: whole[i].T.copy() for i, n in enumerate(_names(path, len(whole)))}
    with writing(lambda: new_directory(Path(directory))) as temporary:
        if temporary:
            (temporary / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
            save_file(arrays, temporary / WEIGHTS, metadata={"format": "pt"})
    wait(f"saved {directory}")


def load_adapter(directory: Path, cfg: ModelConfig, mesh: Mesh) -> tuple[Any, Lora]:
    """(adapter in float32, born sharded; its form). ValueError lists every tensor that is missing,
    left over or of another shape, before anything is put on a device."""
    lora, _ = read_lora(directory)
    path = Path(directory) / WEIGHTS
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; the adapter's directory is incomplete")
    try:
        found = safetensors.numpy.load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path}: truncated, or no safetensors: {error}") from error
    abstract = jax.eval_shape(lambda: init_adapter(cfg, lora, jax.random.key(0)))
    wanted = {
        name: leaf.shape[:0:-1]
        for where, leaf in _leaves(abstract).items()
        for name in _names(where, cfg.layers)
    }
    # Some versions of PEFT put the adapter's name, "default", before the weight's.
    found = {re.sub(r"\.default\.weight$", ".weight", name): a for name, a in found.items()}
    problems = [f"{name}: missing" for name in wanted if name not in found]
    problems += [f"{name}: left over" for name in found if name not in wanted]
    problems += [
        f"{name}: {found[name].shape}, expected {shape}"
        for name, shape in wanted.items()
        if name in found and found[name].shape != shape
    ]
    if problems:
        raise ValueError("\n  ".join([f"{path}: weights do not fit:", *sorted(problems)]))
    host: dict[str, Any] = {"layers": {}}
    for where in _leaves(abstract):
        _, name, part = where.split("/")
        stack = [found[n].astype(np.float32).T for n in _names(where, cfg.layers)]
        host["layers"].setdefault(name, {})[part] = np.stack(stack)
    return place(host, params_sharding(mesh, abstract)), lora
