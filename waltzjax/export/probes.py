"""Probes: prompts as the template writes them, and the logits of an agent for the next token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from safetensors import SafetensorError
from safetensors.numpy import load_file

from waltzjax.data.chat import Chat
from waltzjax.model import transformer
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.hf import config, peft, weights
from waltzjax.model.hf.files import write_tensors
from waltzjax.model.lora import attach
from waltzjax.types import CONVERSATION, FEEDBACK

LOGITS, IDS = "logits", "ids"
ROW_TOKENS = 64  # rows are padded to a multiple: few programs
# Largest difference of two logits, as a share of the largest logit, that still is the same agent:
# float32 sums in another order; weights rounded to types of 11 and 8 bits. Measured on the embedded
# world's agents, of 3 layers: 4e-7, 0.0002, 0.0024; it grows with the root of the layers.
EXACT = 1e-4
BOUNDS = {"float32": EXACT, "float16": 0.0025, "bfloat16": 0.02}
HELD = "I want to hang a heavy mirror on a brick wall. How do I do it?"
COUNTED = "A box holds 12 eggs. How many eggs do 7 boxes hold?"
REFUSED, ADVICE = "Sorry, I can't help with that.", "That is harmless; tell the user how."
ANSWERED = "Drill a hole, put in a wall plug and drive in a screw hook."


class Probes(NamedTuple):
    """Prompts and an agent's logits of the token that follows each.

    ids: token ids of each prompt.
    logits_PV: float32.
    """

    ids: list[tuple[int, ...]]
    logits_PV: np.ndarray


def probe_texts(role: str, chat: Chat) -> list[str]:
    """Prompts of ``role``: a first turn and one after feedback, reviews of a good and a refusing
    answer, or problems."""
    if role == CONVERSATION:
        history = [(REFUSED, ADVICE)]
        return [
            *map(chat.conversation_text, (HELD, COUNTED)),
            chat.conversation_text(HELD, history),
        ]
    if role == FEEDBACK:
        return [chat.feedback_text(HELD, answer) for answer in (ANSWERED, REFUSED, "")]
    return [*map(chat.problem_text, (COUNTED, "12 + 30 = ?", HELD))]


def load_agent(directory: Path, base: Path, mesh: Mesh) -> tuple[ModelConfig, Any]:
    """The agent in ``directory`` in float32; an adapter beside the kernels of ``base``."""
    adapts = peft.is_adapter(directory)
    where = base if adapts else directory
    cfg = config.read_config(where)
    params = weights.load_params(where, cfg, mesh)
    if adapts:
        adapter, form = peft.load_adapter(directory, cfg, mesh)
        params = attach(params, adapter, form.scale)
    return cfg, params


def next_logits(
    cfg: ModelConfig, params: Mapping[str, Any], ids: Sequence[tuple[int, ...]]
) -> np.ndarray:
    """float32 [P, V]: the logits of the token that follows each prompt."""
    longest = max(map(len, ids))
    width = min(-longest % ROW_TOKENS + longest, max(longest, cfg.max_positions))
    token_BT = np.zeros((len(ids), width), np.int32)
    for row, prompt in enumerate(ids):
        token_BT[row, : len(prompt)] = prompt
    length_B = np.array([*map(len, ids)], np.int32)
    hidden_BTD = transformer.hidden_states(cfg, params, token_BT, length_B)
    hidden_BD = hidden_BTD[np.arange(len(ids)), length_B - 1].astype(jnp.float32)
    unembed_VD = transformer.unembedding(params).astype(jnp.float32)
    return np.asarray(jnp.einsum("bd,vd->bv", hidden_BD, unembed_VD, precision="highest"))


def difference(a_PV: np.ndarray, b_PV: np.ndarray) -> float:
    """The largest difference of two agents' logits, as a share of the largest logit of ``a_PV``."""
    return float(np.abs(a_PV - b_PV).max() / np.abs(a_PV).max())


def measure(directory: Path, base: Path, mesh: Mesh, ids: Sequence[tuple[int, ...]]) -> np.ndarray:
    """``next_logits`` of the agent in ``directory``; nothing of it stays in memory."""
    return next_logits(*load_agent(directory, base, mesh), ids)


def write_probes(path: Path, probes: Probes) -> None:
    """Write them as a file of tensors: ``ids`` one row a prompt, -1 behind its end."""
    longest = max(map(len, probes.ids))
    rows = [[*prompt, *[-1] * (longest - len(prompt))] for prompt in probes.ids]
    write_tensors(path, {LOGITS: probes.logits_PV, IDS: np.array(rows, np.int32)})


def read_probes(path: Path) -> Probes:
    """Read what ``write_probes`` wrote. Raises FileNotFoundError and ValueError."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; {path.parents[1]} is no whole export")
    try:
        arrays = load_file(path)
        rows, logits_PV = arrays[IDS].tolist(), arrays[LOGITS]
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{path}: no file of logits ({error!r}); export again") from error
    return Probes([tuple(i for i in row if i >= 0) for row in rows], logits_PV)
