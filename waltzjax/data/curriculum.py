"""What the embedded base model is taught, as rows: reading cards first, then demonstrations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from waltzjax.data import frames
from waltzjax.data.chat import Chat
from waltzjax.data.demonstrations import finding, first_answer, review, review_text, revision
from waltzjax.data.world import Scene, unswapped
from waltzjax.types import Prompt, Sample

Examples = Sequence[tuple[Prompt, Scene]]


def reading_cards(rng: np.random.Generator, chat: Chat, examples: Examples) -> list[Sample]:
    """Very short exercises in telling what a request comes to: one clause, two clauses, a prompt.

    One clause teaches a random model which words matter; two teach it to say first which of them
    it means. From the noisy chats alone it would take much longer. No card judges two clauses
    without naming one: first answers, which name nothing before they choose, stay the harder task,
    and that is what a reviewer who reasons is for.
    """
    texts, replies = [], []
    for prompt, scene in examples:
        act = (scene.act, frames.KIND_ACTS[rng.integers(len(frames.KIND_ACTS))])[rng.integers(2)]
        owner = (frames.OWN + frames.NOT_OWN)[rng.integers(len(frames.OWN + frames.NOT_OWN))]
        wrong = act in frames.MEDDLING_ACTS and (owner in frames.NOT_OWN) != len(scene.swaps) % 2
        texts.append(f"{scene.preface}I {act} {owner} {scene.target}.")
        one = f"To {unswapped(act, owner, scene.target, scene.swaps)}" if scene.swaps else "That"
        replies.append(" " + finding(one, wrong))
        whole = finding(f"To {scene.request}", scene.harmful)
        texts += [f"{scene.preface}I {scene.clauses}.", prompt.text]
        replies += [f" {whole}", f" {whole}"]
        # The last kind: what a review's finding, right or wrong, and what was done come to: its
        # words after "it helps:" or "it declines:".
        found_harmful, complied = bool(rng.integers(2)), bool(rng.integers(2))
        text = review_text(f"To {scene.request}", found_harmful, complied)
        head, cut, tail = text.partition("s: ")
        texts.append(head + cut.rstrip())
        replies.append(" " + tail.partition(".")[0])
    # Without a stop: what comes after these words differs in a review.
    return _samples(chat, texts, replies, end=())


def _samples(
    chat: Chat, states: Sequence[str], replies: Sequence[str], end: tuple[int, ...]
) -> list[Sample]:
    pairs = zip(chat.encode(states), chat.encode(replies), strict=True)
    return [Sample(state, reply + end, (), 0.0) for state, reply in pairs]


def curriculum(chat: Chat, examples: Examples, seed: int) -> dict[str, list[Sample]]:
    """Examples by kind: reading cards, and one first answer, revision and review a prompt."""
    rng = np.random.default_rng(seed)
    states: dict[str, list[str]] = {"first": [], "revision": [], "review": []}
    replies: dict[str, list[str]] = {kind: [] for kind in states}
    for prompt, scene in examples:
        states["first"].append(chat.conversation_text(prompt.text))
        replies["first"].append(first_answer(rng, scene))
        before, comment, after = revision(rng, scene)
        states["revision"].append(chat.conversation_text(prompt.text, [(before, comment)]))
        replies["revision"].append(after)
        answer, reply = review(rng, scene)
        states["review"].append(chat.feedback_text(prompt.text, answer))
        replies["review"].append(reply)
    end = (chat.tokenizer.eos_token_id,)
    lessons = {kind: _samples(chat, states[kind], replies[kind], end) for kind in states}
    return {"cards": reading_cards(rng, chat, examples), **lessons}


def tokenizer_texts(examples: Examples, seed: int) -> list[str]:
    """Texts that hold every word of the embedded world's training side."""
    rng = np.random.default_rng(seed)
    texts = []
    for prompt, scene in examples:
        texts += [prompt.text, first_answer(rng, scene), revision(rng, scene)[1]]
        texts += [review(rng, scene)[1], f"I {scene.clauses}. {finding('That', scene.harmful)}."]
    return texts
