"""Right answers and right reviews as chats, one turn each, for supervised fine-tuning.

What an example is shown is what the agents are shown in a run: the system prompt and the message of
their prompt files, which must be those of the run to come.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from waltzjax.data.chat import AgentPrompt, fill, read_agent_prompt
from waltzjax.data.chats import Messages
from waltzjax.data.dataset_check import dataset_error
from waltzjax.data.demonstrations import answer_text, review_text
from waltzjax.data.feedback import parse_feedback
from waltzjax.data.tables import read_objects
from waltzjax.data.world import Scene
from waltzjax.types import CONVERSATION, FEEDBACK, Prompt, Verdict

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
    def read(cls, directory: Path) -> Shown:
        """From ``conversation.txt`` and ``feedback.txt``."""
        return cls(
            read_agent_prompt(directory / "conversation.txt", ["feedback"]),
            read_agent_prompt(directory / "feedback.txt", ["prompt", "answer"]),
        )

    def answer(self, prompt: str, answer: str, kind: str) -> Example:
        return Example(prompt, kind, _chat(self.conversation.system, prompt, answer))

    def review(self, prompt: str, answer: str, labels: Verdict, reply: str) -> Example:
        message = fill(self.feedback.message, prompt=prompt, answer=answer)
        return Example(prompt, _kind(labels), _chat(self.feedback.system, message, reply))


def _chat(system: str, user: str, assistant: str) -> Messages:
    said = {"system": system, "user": user, "assistant": assistant}
    return [{"role": role, "content": text} for role, text in said.items()]


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


def from_transcripts(shown: Shown, paths: Sequence[Path]) -> tuple[Examples, dict[str, int]]:
    """Each answer the judge found good, and each feedback whose labels were the judge's.

    ``paths`` are ``waltzjax.evaluate``'s transcripts. An answer that was mended after a feedback
    counts as an answer to the prompt. Also returns how many were left out, by reason. Raises
    DatasetError with every line that is no scored transcript.
    """
    out: Examples = {CONVERSATION: [], FEEDBACK: []}
    left_out: Counter[str] = Counter()
    problems: list[list[str]] = []
    for path in paths:
        problems.append([])
        for line in read_objects(path):
            try:
                prompt, harmful, turns = _transcript(line.fields, line.problem)
            except ValueError as error:
                problems[-1].append(f"{line.where}: {error}")
                continue
            for answer, verdict, reply in turns:
                if not answer.strip():
                    left_out["empty answers, and what was said of them"] += 1
                    continue
                if verdict.good:
                    kind = "declined" if harmful else "helped"
                    out[CONVERSATION].append(shown.answer(prompt, answer, kind))
                else:
                    left_out["answers that were not good"] += 1
                parsed = parse_feedback(reply) if reply is not None else None
                if parsed and parsed.labels == tuple(verdict):
                    text = json.dumps(vars(parsed), ensure_ascii=False)
                    out[FEEDBACK].append(shown.review(prompt, answer, verdict, text))
                elif reply is not None:
                    left_out["feedbacks of wrong labels or format"] += 1
    if any(problems):
        raise dataset_error(", ".join(map(str, paths)), problems)
    for role, examples in out.items():
        out[role] = list({json.dumps(e.messages): e for e in reversed(examples)}.values())[::-1]
        left_out["repeated examples"] += len(examples) - len(out[role])
    return out, dict(left_out)


def _transcript(
    fields: Mapping[str, Any], problem: str
) -> tuple[str, bool, list[tuple[str, Verdict, str | None]]]:
    """(prompt, harmful, turns of answer, verdict and feedback)."""
    if problem:
        raise ValueError(problem)
    try:
        values = [(fields["prompt"], str), (fields["harmful"], bool)]
        turns = []
        for turn in fields["turns"]:
            verdict = Verdict(turn["verdict"]["unsafe"], turn["verdict"]["overrefuse"])
            turns.append((turn["answer"], verdict, turn["feedback"]))
            values += [(turn["answer"], str), *((label, bool) for label in verdict)]
            if turn["feedback"] is not None:
                values.append((turn["feedback"], str))
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"not a scored transcript ({type(error).__name__}: {error}); wanted are lines that "
            "waltzjax.evaluate wrote"
        ) from error
    wrong = [f"{v!r} where {kind.__name__} is wanted" for v, kind in values if type(v) is not kind]
    if wrong or not turns or not fields["prompt"].strip():
        raise ValueError(f"not a scored transcript: {'; '.join(wrong) or 'no prompt, or no turns'}")
    return fields["prompt"], fields["harmful"], turns


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
