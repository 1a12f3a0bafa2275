"""Adapters as PEFT directories, in and out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import NoneType
from typing import Any

import jax
import numpy as np
import safetensors.numpy
from jax.sharding import Mesh

from waltzjax.model.architecture import ModelConfig
from waltzjax.model.hf.config import read_json, resolve
from waltzjax.model.hf.files import check_finite, write_tensors
from waltzjax.model.hf.tokenizer import write_beside_weights
from waltzjax.model.hf.weights import LAYER
from waltzjax.model.lora import Lora, init_adapter
from waltzjax.model.sharding import params_sharding, place
from waltzjax.support.files import new_directory
from waltzjax.support.processes import fetch, wait, writing
from waltzjax.types import MATRICES

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
FLOATS = tuple(map(np.dtype, ("float64", "float32", "float16", "bfloat16")))
LARGEST = float(np.finfo(np.float32).max)
PARTS = {"lora_a": "lora_A", "lora_b": "lora_B"}
MODULES = {name: LAYER[name].rpartition(".")[2] for name in MATRICES}  # q -> q_proj
# Allowed values of a field: these, or nothing; of any other field only nothing.
HONOURED: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",), "task_type": ("CAUSAL_LM",), "bias": ("none",),
    # Others change the base's weights too.
    "init_lora_weights": (True, "gaussian", "orthogonal", "eva"),
}  # fmt: skip
READ = ("r", "lora_alpha", "target_modules", "use_rslora", "base_model_name_or_path", "revision")
HARMLESS = (
    "auto_mapping", "eva_config", "inference_mode", "lora_dropout", "megatron_config",
    "megatron_core", "peft_version", "qalora_group_size", "ensure_weight_tying",
)  # fmt: skip
NOTHING: tuple[Any, ...] = (None, False, [], {}, "")
# A module's name, or its full path as PEFT saves "all-linear": load_adapter wants every layer's.
TARGET = re.compile(r"(?:.*\blayers\.\d+\.)?(?:self_attn\.|mlp\.)?(\w+)")


def is_adapter(directory: Path) -> bool:
    return (Path(directory) / CONFIG).is_file()


def _honoured(key: str, value: Any) -> bool:
    allowed = (*HONOURED.get(key, ()), *NOTHING)
    return any(type(value) is type(a) and value == a for a in allowed)


def base_directory(directory: Path) -> Path:
    """Where an adapter's base is, at the adapter's revision. A path that begins with a dot, as an
    exported pair has it, is looked for from the adapter's own directory first."""
    config = read_json(Path(directory) / CONFIG)
    name = str(config.get("base_model_name_or_path") or "")
    beside = Path(directory) / name
    if name.startswith(".") and beside.is_dir():
        return beside
    return resolve(name, config.get("revision") or None)


def read_lora(directory: Path) -> Lora:
    """The adapter's form; ValueError names every field that this implementation would not honour
    exactly."""
    config = read_json(path := Path(directory) / CONFIG)
    problems = [
        f"{key}={value!r} (only {HONOURED.get(key, NOTHING)[0]!r})"
        for key, value in {"peft_type": "", **config}.items()
        if key not in (*READ, *HARMLESS) and not _honoured(key, value)
    ]
    if not config.get("peft_type"):
        problems.append("peft_type missing (only 'LORA')")
    targets = _targets(config.get("target_modules"), problems)
    rank: Any = config.get("r")
    alpha: Any = config.get("lora_alpha")
    rslora: Any = config.get("use_rslora")
    if type(rank) is not int or rank < 1:
        problems.append(f"r={rank!r} (only a positive integer)")
    # True is an int in Python, and a number that float32 cannot hold makes every weight infinite.
    if type(alpha) not in (int, float) or not abs(alpha) <= LARGEST:
        problems.append(f"lora_alpha={alpha!r:.60} (only a finite number)")
    if type(rslora) not in (bool, NoneType):
        problems.append(f"use_rslora={rslora!r} (only true, false or null)")
    if problems:
        raise ValueError(f"{path}: cannot be honoured exactly: " + "; ".join(problems))
    if rslora:  # alpha / sqrt(r) (arXiv 2312.03732), said as alpha / r
        alpha *= rank**0.5
    return Lora(rank, float(alpha), targets)


def _targets(modules: Any, problems: list[str]) -> tuple[str, ...]:
    if modules == "all-linear":
        return MATRICES
    known = {*MODULES.values()}
    paths = modules if isinstance(modules, list) else [None]
    matches = [TARGET.fullmatch(p) if isinstance(p, str) else None for p in paths]
    named = {match[1] for match in matches if match}
    if not named or not all(matches) or not named <= known:
        problems.append(f"target_modules={modules!r} (only a list from {sorted(known)})")
    return tuple(name for name in MATRICES if MODULES[name] in named)


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


def save_adapter(
    directory: Path,
    adapter: Any,
    lora: Lora,
    base: str,
    *,
    dropout: float,
    tokenizer: Any,
    generation: dict[str, Any],
) -> None:
    """Write a directory that ``peft.PeftModel.from_pretrained`` loads, whole or not at all, with
    the tokenizer, its chat template and the ``generation`` settings that it was trained with."""
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": dropout,
        "bias": "none",
        "target_modules": [MODULES[name] for name in lora.targets],
        "inference_mode": True,
    }
    arrays: dict[str, np.ndarray] = {}
    for path, leaf in _leaves(adapter).items():
        whole = fetch(leaf)
        arrays |= {n: whole[i].T.copy() for i, n in enumerate(_names(path, len(whole)))}
    with writing(lambda: new_directory(Path(directory))) as temporary:
        if temporary:
            (temporary / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
            write_tensors(temporary / WEIGHTS, arrays)
            write_beside_weights(temporary, tokenizer, generation)
    wait(f"saved {directory}")


def load_adapter(directory: Path, cfg: ModelConfig, mesh: Mesh) -> tuple[Any, Lora]:
    """(adapter in float32, born sharded; its form). ValueError lists every tensor that is missing,
    left over or of another shape, before anything is put on a device, and names the first one with
    NaN or infinity."""
    lora = read_lora(directory)
    path = Path(directory) / WEIGHTS
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; the adapter's directory is incomplete")
    try:
        tensors = safetensors.numpy.load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path}: truncated, or no safetensors: {error}") from error
    abstract = jax.eval_shape(lambda: init_adapter(cfg, lora, jax.random.key(0)))
    wanted = {
        name: leaf.shape[:0:-1]
        for where, leaf in _leaves(abstract).items()
        for name in _names(where, cfg.layers)
    }
    # Some versions of PEFT put the adapter's name, "default", before the weight's.
    tensors = {re.sub(r"\.default\.weight$", ".weight", name): a for name, a in tensors.items()}
    problems = [f"{name}: missing" for name in wanted if name not in tensors]
    problems += [f"{name}: left over" for name in tensors if name not in wanted]
    problems += [
        f"{name}: {tensors[name].dtype} {tensors[name].shape}, expected floating {shape}"
        for name, shape in wanted.items()
        if name in tensors and (tensors[name].shape != shape or tensors[name].dtype not in FLOATS)
    ]
    if problems:
        raise ValueError("\n  ".join([f"{path}: weights do not fit:", *sorted(problems)]))
    host: dict[str, Any] = {"layers": {}}
    for where in _leaves(abstract):
        _, name, part = where.split("/")
        stack = [_float32(path, n, tensors[n]).T for n in _names(where, cfg.layers)]
        host["layers"].setdefault(name, {})[part] = np.stack(stack)
    return place(host, params_sharding(mesh, abstract)), lora


def _float32(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    check_finite(path, name, array)
    return array
