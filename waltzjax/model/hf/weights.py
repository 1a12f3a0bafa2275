"""Weights of Hugging Face directories, in and out, straight to a sharding."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding

from waltzjax.model.architecture import ModelConfig
from waltzjax.model.hf.config import config_json
from waltzjax.model.hf.files import (
    INDEX,
    StoredTensor,
    is_derived,
    open_tensors,
    same_tensor,
    write_tensors,
)
from waltzjax.model.hf.tokenizer import write_beside_weights
from waltzjax.model.sharding import params_sharding, path_name
from waltzjax.model.transformer import init_params
from waltzjax.support.files import new_directory
from waltzjax.support.processes import fetch, wait, writing

SHARD_BYTES = 5_000_000_000  # of an exported file
HOST_BYTES = 500_000_000  # of a stacked parameter held at once while loading
BYTES = {"F32": 4, "F16": 2, "BF16": 2, "F64": 8}  # of a number, by its type in files
# Parameter -> Hugging Face module. Layer kernels are [in, out] here and [out, in] there.
TOP = {"embed": "model.embed_tokens", "unembed": "lm_head", "final_norm/scale": "model.norm"}
HEAD = f"{TOP['unembed']}.weight"
LAYER = {"attn_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm"}
LAYER |= {name: f"self_attn.{name}_proj" for name in ("q", "k", "v", "o")}
LAYER |= {name: f"self_attn.{name}" for name in ("q_norm", "k_norm")}
LAYER |= {name: f"mlp.{name}_proj" for name in ("gate", "up", "down")}


def _tensors(path: str, shape: tuple[int, ...]) -> tuple[list[str], tuple[int, ...]]:
    """One parameter's Hugging Face names, one a layer under "layers", and their shape there."""
    if path in TOP:
        return [f"{TOP[path]}.weight"], shape
    _, module, kind = path.split("/")
    name = f"{LAYER[module]}.{'bias' if kind == 'bias' else 'weight'}"
    return [f"model.layers.{i}.{name}" for i in range(shape[0])], shape[:0:-1]


def load_params(directory: Path, cfg: ModelConfig, mesh: Mesh) -> Any:
    """Parameters in ``cfg.param_dtype``, born sharded: the host holds one tensor of the file, or
    HOST_BYTES of smaller ones, at a time.

    ValueError lists every tensor that is missing, left over or of another shape, before anything
    is put on a device. Also raised, or FileNotFoundError, for an incomplete directory; and with the
    file's name and the tensor's for NaN and infinity.
    """
    abstract = jax.eval_shape(lambda: init_params(cfg, jax.random.key(0)))
    with contextlib.ExitStack() as stack:
        tensors = open_tensors(Path(directory), stack)
        _check_tensors(Path(directory), cfg, tensors, abstract)

        def load(path, leaf, where):
            names, _ = _tensors(path_name(path), leaf.shape)
            if path_name(path) in TOP:
                return jax.make_array_from_callback(
                    leaf.shape, where, lambda index: tensors[names[0]].read(index, leaf.dtype)
                )

            def load_layers(layers: range) -> jax.Array:
                def part(index):
                    read = (
                        tensors[names[layer]].read(index[:0:-1], leaf.dtype) for layer in layers
                    )
                    return np.stack([x.T for x in read])

                return jax.make_array_from_callback((len(layers), *leaf.shape[1:]), where, part)

            return _by_parts(load_layers, leaf, where)

        sharding = params_sharding(mesh, abstract)
        return jax.tree_util.tree_map_with_path(load, abstract, sharding)


def check_tensors(directory: Path, cfg: ModelConfig) -> int:
    """Check the headers of a model's weights, which are not read but for tied ones; the bytes of
    all tensors. Raises as ``load_params`` does, but for NaN and infinity."""
    abstract = jax.eval_shape(lambda: init_params(cfg, jax.random.key(0)))
    with contextlib.ExitStack() as stack:
        tensors = open_tensors(directory, stack)
        _check_tensors(directory, cfg, tensors, abstract)
        return sum(BYTES.get(t.dtype, 0) * math.prod(t.shape) for t in tensors.values())


def _check_tensors(
    directory: Path, cfg: ModelConfig, tensors: dict[str, StoredTensor], abstract: Any
) -> None:
    wanted: dict[str, tuple[int, ...]] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(abstract):
        names, shape = _tensors(path_name(path), leaf.shape)
        wanted |= dict.fromkeys(names, shape)
    harmless = {name for name in tensors if is_derived(name)}
    harmless |= {HEAD} if cfg.tied_embeddings else set()
    problems = [f"{name}: missing" for name in wanted if name not in tensors]
    problems += [f"{name}: left over" for name in tensors.keys() - wanted.keys() - harmless]
    for name in wanted.keys() & tensors.keys():
        shape, kind = tensors[name].shape, tensors[name].dtype
        if shape != wanted[name] or kind not in BYTES:
            problems.append(f"{name}: {kind} {shape}, expected floating {wanted[name]}")
    ties = cfg.tied_embeddings and not problems and HEAD in tensors
    if ties and not same_tensor(tensors[HEAD], tensors[f"{TOP['embed']}.weight"]):
        problems.append(f"{HEAD}: differs from the embedding, tie_word_embeddings is true")
    if problems:
        raise ValueError("\n  ".join([f"{directory}: weights do not fit:", *sorted(problems)]))


def _by_parts(
    load_layers: Callable[[range], jax.Array], leaf: Any, where: NamedSharding
) -> jax.Array:
    """A stacked parameter; ``load_layers`` loads a few layers at a time, HOST_BYTES at most."""
    layers = range(leaf.shape[0])
    size = math.prod(leaf.shape) * leaf.dtype.itemsize // len(layers)
    step = max(1, HOST_BYTES // size)
    if step >= len(layers):
        return load_layers(layers)
    out = jax.jit(lambda: jnp.zeros(leaf.shape, leaf.dtype), out_shardings=where)()
    put = jax.jit(
        partial(jax.lax.dynamic_update_slice_in_dim, axis=0), donate_argnums=0, out_shardings=where
    )
    for first in layers[::step]:
        out = put(out, load_layers(layers[first : first + step]), first)
        jax.block_until_ready(out)  # or the parts would queue up on the host
    return out


def _save_weights(directory: Path | None, params: Any) -> None:
    files: list[dict[str, Any]] = [{}]  # of each file, name -> (parameter, layer)
    held = total = 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        names, _ = _tensors(path_name(path), leaf.shape)
        size = leaf.nbytes // len(names)
        for layer, name in enumerate(names):
            if held + size > SHARD_BYTES and files[-1]:
                files.append({})
                held = 0
            files[-1][name] = (leaf, None if path_name(path) in TOP else layer)
            held, total = held + size, total + size

    def whole(leaf, layer):
        if layer is None:
            return fetch(leaf)
        # Not leaf[layer], which would compile anew for every layer.
        return fetch(jax.lax.dynamic_index_in_dim(leaf, layer, keepdims=False)).T.copy()

    where: dict[str, str] = {}
    for number, file in enumerate(files, 1):
        part = f"-{number:05d}-of-{len(files):05d}" if len(files) > 1 else ""
        where |= dict.fromkeys(file, f"model{part}.safetensors")
        arrays = {}
        for name, source in file.items():
            array = whole(*source)  # in every process: its parts may lie with any of them
            if directory:
                arrays[name] = array
        if directory:
            write_tensors(directory / f"model{part}.safetensors", arrays)
    if directory and len(files) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": where}
        (directory / INDEX).write_text(json.dumps(index, indent=2))


def save(directory: Path, cfg: ModelConfig, params, tokenizer, *, generation: dict) -> None:
    """Write a directory that ``AutoModelForCausalLM`` and vLLM load, weights as ``params`` has
    them; whole or not at all. FileExistsError: ``directory`` is there already."""
    ids = {f"{n}_token_id": getattr(tokenizer, f"{n}_token_id") for n in ("bos", "eos", "pad")}
    # Tokenizers may know a padding token that the model has no row for; transformers refuses that.
    ids = {k: v for k, v in ids.items() if v is None or v < cfg.vocab_size}
    config = config_json(cfg, str(params["embed"].dtype)) | ids
    with writing(lambda: new_directory(Path(directory))) as temporary:
        if temporary:
            (temporary / "config.json").write_text(json.dumps(config, indent=2) + "\n")
            write_beside_weights(temporary, tokenizer, {**ids, **generation})
        _save_weights(temporary, params)
    wait(f"saved {directory}")
