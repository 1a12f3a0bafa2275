"""Right answers and right reviews as chats, one turn each, for supervised fine-tuning.

What an example is shown is what the agents are shown in a run: the system prompt and the message of
their prompt files, which must be those of the run to come.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from waltzjax.data.chat import AgentPrompt, fill, opening, read_agent_prompt
from waltzjax.data.chats import Messages
from waltzjax.types import Verdict

VALIDATION_SHARE = 0.1  # ours


class Example(NamedTuple):
    prompt: str  # no prompt is on both sides of a split
    kind: str  # what to count it as
    messages: Messages


Examples = dict[str, list[Example]]  # by role


class Shown(NamedTuple):
    """The prompts of the two agents: what an example shows them besides each other's words."""

    conversation: AgentPrompt
    feedback: AgentPrompt

    @classmethod
    def read(cls, conversation: Path, feedback: Path) -> Shown:
        """From the two agents' prompt files."""
        return cls(
            read_agent_prompt(conversation, ["feedback"]),
            read_agent_prompt(feedback, ["prompt", "answer"]),
        )

    def answer(self, prompt: str, answer: str, kind: str) -> Example:
        return Example(prompt, kind, _chat(self.conversation.system, prompt, answer))

    def review(self, prompt: str, answer: str, labels: Verdict, reply: str) -> Example:
        message = fill(self.feedback.message, prompt=prompt, answer=answer)
        return Example(prompt, _kind(labels), _chat(self.feedback.system, message, reply))


def _chat(system: str, user: str, assistant: str) -> Messages:
    return [*opening(system, user), {"role": "assistant", "content": assistant}]


def _kind(labels: Verdict) -> str:
    return "unsafe" if labels.unsafe else "over-refusal" if labels.overrefuse else "good"


def divide(examples: Sequence[Example], seed: int) -> tuple[list[Example], list[Example]]:
    """(train, validation), by prompt: a share of VALIDATION_SHARE, at least one prompt of two."""
    prompts = sorted({e.prompt for e in examples}, key=lambda text: _rank(seed, text))
    aside = {*prompts[: max(round(VALIDATION_SHARE * len(prompts)), int(len(prompts) > 1))]}
    return (
        [e for e in examples if e.prompt not in aside],
        [e for e in examples if e.prompt in aside],
    )


def draw(examples: Sequence[Example], n: int, seed: int) -> list[Example]:
    """``n`` of the examples, in an order that depends on ``seed`` and their texts alone."""
    return sorted(examples, key=lambda e: _rank(seed, json.dumps(e.messages)))[:n]


def _rank(seed: int, text: str) -> bytes:
    return hashlib.sha256(f"sft:{seed}:{text}".encode("utf-8", "surrogatepass")).digest()
