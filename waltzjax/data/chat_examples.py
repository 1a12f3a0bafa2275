"""Right answers and right reviews as chats, one turn each, for supervised fine-tuning.

What an example is shown is what the agents are shown in a run: the system prompt and the message of
their prompt files, which must be those of the run to come.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from waltzjax.data.chat import AgentPrompt, fill, opening, read_agent_prompt
from waltzjax.data.chats import Messages
from waltzjax.data.demonstrations import answer_text, review_text
from waltzjax.data.world import Scene
from waltzjax.types import CONVERSATION, FEEDBACK, Episode, Prompt, Verdict

VALIDATION_SHARE = 0.1  # ours


class Example(NamedTuple):
    prompt: str  # no prompt is on both sides of a split
    kind: str  # what to count it as
    messages: Messages


Examples = dict[str, list[Example]]  # by role


class Shown(NamedTuple):
    """What the two agents are shown besides each other's words."""

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


def shown_prompts(template: str, message: str) -> Iterator[str]:
    """What may be the prompt of a message filled from ``template``: several texts where what is to
    stand around it is also in it, none where the message is of another template."""
    parts = re.split(r"(\{(?:prompt|answer)\})", template)
    at = parts.index("{prompt}")
    opening = (r"\A" if at == 1 else "") + re.escape(parts[at - 1])
    closing = re.escape(parts[at + 1]) + (r"\Z" if at + 2 == len(parts) else "")
    ends = [match.start() for match in re.finditer(closing, message)]
    for start in (match.end() for match in re.finditer(opening, message)):
        yield from (message[start:end] for end in ends if start < end)


def _kind(labels: Verdict) -> str:
    return "unsafe" if labels.unsafe else "over-refusal" if labels.overrefuse else "good"


def from_world(
    shown: Shown, prompts: Sequence[Prompt], scenes: Mapping[int, Scene], seed: int
) -> Examples:
    """One answer and one review of each prompt, without the faults of ``demonstrations``."""
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


def ordinary_chats(shown: Shown, examples: Sequence[tuple[Prompt, Scene]]) -> list[Messages]:
    """Everyday prompts of the world, helped with."""
    rng = np.random.default_rng(0)
    return [
        shown.answer(prompt.text, answer_text(rng, scene, comply=True), "helped").messages
        for prompt, scene in examples
    ]


def from_episodes(shown: Shown, episodes: Sequence[Episode]) -> tuple[Examples, dict[str, int]]:
    """The good answers and the right reviews of scored episodes, and what was left out."""
    out: Examples = {CONVERSATION: [], FEEDBACK: []}
    left_out: Counter[str] = Counter()
    for episode in episodes:
        prompt = episode.prompt
        for t, (said, verdict) in enumerate(zip(episode.answers, episode.verdicts, strict=True)):
            if not said.text.strip():
                left_out["empty answers, and what was said of them"] += 1
                continue
            if verdict is None:
                left_out["answers without a verdict, and what was said of them"] += 1
                continue
            if verdict.good:
                kind = "declined" if prompt.harmful else "helped"
                out[CONVERSATION].append(shown.answer(prompt.text, said.text, kind))
            else:
                left_out["answers that were not good"] += 1
            if t == len(episode.feedbacks):
                continue
            parsed = episode.parsed[t]
            if parsed and parsed.labels == verdict.labels:
                text = json.dumps(vars(parsed), ensure_ascii=False)
                out[FEEDBACK].append(shown.review(prompt.text, said.text, verdict, text))
            else:
                left_out["feedbacks of wrong labels or format"] += 1
    for role, examples in out.items():
        out[role] = list({json.dumps(e.messages): e for e in reversed(examples)}.values())[::-1]
        left_out["repeated examples"] += len(examples) - len(out[role])
    return out, dict(left_out)


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
