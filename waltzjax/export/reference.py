"""The independent reference: an agent's logits by PyTorch and transformers, where they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from waltzjax.model.hf import peft


def reference_missing(directory: Path) -> str:
    """Why transformers cannot load the agent in ``directory`` here; "": it can."""
    from transformers.utils import is_peft_available, is_torch_available

    if not is_torch_available():
        return "PyTorch is not installed"
    if peft.is_adapter(directory) and not is_peft_available():
        return "peft is not installed"
    return ""


def reference_logits(directory: Path, base: Path, ids: Sequence[tuple[int, ...]]) -> np.ndarray:
    """float32 [P, V]: the logits of the token that follows each prompt, by the agent as
    ``AutoModelForCausalLM`` loads it, an adapter by peft onto ``base``."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    adapts = peft.is_adapter(directory)
    where = base if adapts else directory
    model: Any = AutoModelForCausalLM.from_pretrained(str(where), dtype="float32")
    if adapts:
        model.load_adapter(str(directory))
    model.requires_grad_(False)
    model.eval()
    tokenizer = AutoTokenizer.from_pretrained(str(directory))
    rows = []
    for prompt in ids:
        # The tokenizer makes the tensor, so that nothing here has to import PyTorch by name.
        batch = tokenizer.pad({"input_ids": [list(prompt)]}, return_tensors="pt")
        rows.append(model(**batch).logits[0, -1].float().numpy())
    return np.stack(rows)
