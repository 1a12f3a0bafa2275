"""Directories of finished runs, made by hand in a second: tiny random agents, recorded figures."""

from __future__ import annotations

import json
from pathlib import Path
from runpy import run_path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from support import REPO, small_data, tiny_chat, tiny_config

from waltzjax.data.chat import PROMPTS
from waltzjax.model import transformer
from waltzjax.model.hf import peft, weights
from waltzjax.model.lora import Lora, init_adapter
from waltzjax.support.files import write_json

FORM = Lora(4, 8.0, ("q", "v", "down"))
PROMPT_TEXTS = {r: (PROMPTS / f"tiny/{r}.txt").read_text() for r in ("conversation", "feedback")}
ENVIRONMENT = {
    "command": "python -m waltzjax.train --workdir=/home/somebody/runs/x",
    "devices": "8 x NVIDIA H100 80GB HBM3 (gpu)", "jax": "0.10.2", "Python": "3.11.7",
}  # fmt: skip


def recorded_results() -> dict[str, Any]:
    """The figures that a real run of the demo left."""
    return json.loads((REPO / "configs/results/demo.json").read_text())["runs"][0]["results"]


def write_agent(directory: Path, seed: int, dtype: str = "float32") -> None:
    tokenizer = tiny_chat().tokenizer
    cfg = tiny_config(vocab_size=len(tokenizer), param_dtype=jnp.dtype(dtype))
    params = transformer.init_params(cfg, jax.random.key(seed))
    weights.save(directory, cfg, params, tokenizer, generation={"eos_token_id": [2]})


def write_adapter(directory: Path, base: str, seed: int) -> dict[str, Any]:
    """An adapter that does something: its B is not zero."""
    tokenizer = tiny_chat().tokenizer
    cfg = tiny_config(vocab_size=len(tokenizer))
    adapter = init_adapter(cfg, FORM, jax.random.key(seed))
    noise = np.random.default_rng(seed)
    for low_rank in adapter["layers"].values():
        shape = low_rank["lora_b"].shape
        low_rank["lora_b"] = jnp.asarray(noise.normal(scale=0.1, size=shape), jnp.float32)
    peft.save_adapter(
        directory, adapter, FORM, base, dropout=0.0, tokenizer=tokenizer,
        generation={"eos_token_id": [2]},
    )  # fmt: skip
    return adapter


def game_config(**changes: Any) -> dict[str, Any]:
    """That of the demo on the small dataset, with other keys by their dotted names."""
    config = run_path(str(REPO / "configs/stage2.py"))["get_config"]("tiny")
    changes = {"data.directory": small_data(), **changes}
    config.update_from_flattened_dict(changes)
    return config.to_dict()


def game_run(workdir: Path, *, rank: int = 0, **changes: Any) -> Path:
    """A run of both agents; ``rank``: of their adapters, 0: they are whole models."""
    workdir.mkdir()
    write_agent(workdir / "base", 0)
    for seed, role in enumerate(("conversation", "feedback"), start=1):
        if rank:
            write_adapter(workdir / role, str((workdir / "base").resolve()), seed)
        else:
            write_agent(workdir / role, seed)
    record = {**game_config(**{"lora.rank": rank, **changes}), "prompt_texts": PROMPT_TEXTS}
    write_json(workdir / "config.json", record)
    write_json(workdir / "environment.json", ENVIRONMENT)
    write_json(workdir / "final_validation_results.json", recorded_results())
    stage = {"steps": 60, "tokens": 500921.0, "training_s": 180.0}
    write_json(workdir / "training_metrics.json", {"stages": {"stage2": stage}})
    return workdir


def policy_run(workdir: Path) -> Path:
    """A run on maths, with figures made up by hand."""
    workdir.mkdir()
    write_agent(workdir / "policy", 1)
    write_agent(workdir / "base", 0)
    config = run_path(str(REPO / "configs/rlvr_naive.py"))["get_config"]("tiny")
    prompt = "---\n{problem}\n"
    write_json(workdir / "config.json", {**config.to_dict(), "prompt_texts": {"policy": prompt}})
    (workdir / "data").mkdir()
    for split in ("train", "validation"):
        line = json.dumps({"problem": "1 + 1?", "answer": "2"})
        (workdir / f"data/{split}.jsonl").write_text(f"{line}\n" * 3)
    result = {
        "n": 200, "samples": 1, "accuracy": 77.25, "format_rate": 91.5, "settings": {},
        "intervals": {"accuracy": [71.0, 82.5]},
        "subjects": {"sums": {"n": 200, "accuracy": 77.25}},
    }  # fmt: skip
    results = {**result, "base": {**result, "accuracy": 39.5}}
    write_json(workdir / "final_validation_results.json", results)
    return workdir
