"""The game's runtime once a model is chosen, and whether its prompts leave room for a round."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax.data.chat import Chat
from waltzjax.run.runtime import Runtime, make_runtime
from waltzjax.types import Prompt


def game_runtime(config: ConfigDict, directory: Path, mesh: Mesh) -> Runtime:
    """``make_runtime`` for both agents."""
    return make_runtime(config, directory, mesh, _shown)


def _shown(chat: Chat) -> list[str]:
    return [
        chat.conversation_text("Hello", [("Hello.", "Good.")]),
        chat.feedback_text("Hello", "Hello."),
    ]


def check_room(runtime: Runtime, config: ConfigDict, prompts: Sequence[Prompt]) -> None:
    """Raise ValueError unless every prompt leaves room for a first answer and its review."""
    new = config.rollout.max_new_tokens
    rows = runtime.chat.encode([runtime.chat.feedback_text(p.text, "") for p in prompts])
    longest, prompt = max((len(row), p.id) for row, p in zip(rows, prompts, strict=True))
    room = runtime.engine.longest
    if longest + 2 * new > room:
        raise ValueError(
            f"prompt {prompt} takes {longest} tokens as the feedback agent sees it; with an answer "
            f"and a review of config.rollout.max_new_tokens = {new} each that is more than {room}: "
            f"the model has {runtime.cfg.max_positions} positions, a device's part of "
            f"config.rollout.cache_tokens is {runtime.engine.pages * runtime.engine.page_size}; "
            "drop it, allow fewer new tokens or a larger cache"
        )
