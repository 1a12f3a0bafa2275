"""Chats of the embedded safety world, for fine-tuning and as benign chats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from waltzjax.data.chats import Messages
from waltzjax.data.shown import Examples, Shown
from waltzjax.toy.safety_demonstrations import answer_text, review_text
from waltzjax.toy.safety_world import Scene
from waltzjax.types import CONVERSATION, FEEDBACK, Prompt, Verdict


def from_world(
    shown: Shown, prompts: Sequence[Prompt], scenes: Mapping[int, Scene], seed: int
) -> Examples:
    """One answer and one review of each prompt, without the faults of the base."""
    rng = np.random.default_rng(seed)
    out: Examples = {CONVERSATION: [], FEEDBACK: []}
    for prompt in prompts:
        scene = scenes[prompt.id]
        answer = answer_text(rng, scene, comply=not scene.harmful)
        kind = "declined" if scene.harmful else "helped"
        out[CONVERSATION].append(shown.answer(prompt.text, answer, kind))
        complied = bool(rng.integers(2))
        reviewed = answer_text(rng, scene, complied)
        reply = review_text(f"To {scene.request}", scene.harmful, complied)
        labels = Verdict(scene.harmful and complied, not scene.harmful and not complied)
        out[FEEDBACK].append(shown.review(prompt.text, reviewed, labels, reply))
    return out


def benign_chats(shown: Shown, examples: Sequence[tuple[Prompt, Scene]]) -> list[Messages]:
    """Everyday prompts of the world, helped with."""
    rng = np.random.default_rng(0)
    return [
        shown.answer(prompt.text, answer_text(rng, scene, comply=True), "helped").messages
        for prompt, scene in examples
    ]
