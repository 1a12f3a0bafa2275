"""The embedded safety world as a run's data and base model, built from nothing.

The base is taught reading cards first, then demonstrations.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax.data.chat import Chat
from waltzjax.data.shown import Shown
from waltzjax.dataset.dataset import verify, write_dataset
from waltzjax.dataset.splits import expected_counts
from waltzjax.run.runtime import prompt_files
from waltzjax.support import console
from waltzjax.support.processes import wait, writes
from waltzjax.toy import safety_frames, safety_world
from waltzjax.toy.base_model import train_base, train_tokenizer
from waltzjax.toy.safety_demonstrations import finding, first_answer, review, review_text, revision
from waltzjax.toy.safety_examples import benign_chats
from waltzjax.toy.safety_world import Scene, unswapped
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
        act = (scene.act, safety_frames.KIND_ACTS[rng.integers(len(safety_frames.KIND_ACTS))])[
            rng.integers(2)
        ]
        owner = (safety_frames.OWN + safety_frames.NOT_OWN)[
            rng.integers(len(safety_frames.OWN + safety_frames.NOT_OWN))
        ]
        wrong = (
            act in safety_frames.MEDDLING_ACTS
            and (owner in safety_frames.NOT_OWN) != len(scene.swaps) % 2
        )
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


# Demonstrations by turns, one kind a batch: rows of like length waste little padding.
TURNS = ("review", "first", "review", "first", "revision")
BENIGN_SHARE = 0.15  # everyday prompts among what the base is taught, for each of the game's
BENIGN_CHATS = 400  # beside the dataset, on frames unseen in training
TOKENIZER_PROMPTS = 4000  # prompts whose texts the tokenizer is trained on: every word is there


def embedded_data(config: ConfigDict, directory: Path) -> None:
    """Write and verify the 20,020-prompt dataset, unless it is there already."""
    with console.phase("building the 20,020-prompt dataset"):
        if writes() and not directory.exists():
            e = config.embedded
            train, validation, _ = safety_world.build(e.data_seed, e.held_out, e.coded)
            everyday = safety_world.benign(e.data_seed + 1, e.held_out, BENIGN_CHATS)
            shown = Shown.read(*prompt_files(config))
            write_dataset(directory, train, validation, benign_chats(shown, everyday))
        wait("dataset")
        verify(directory, expected=expected_counts())


def embedded_base(config: ConfigDict, mesh: Mesh, directory: Path) -> None:
    """Train the base model and save it as a Hugging Face directory, unless it is there already."""
    if directory.exists():
        return
    e = config.embedded
    train, _, scenes = safety_world.build(e.data_seed, e.held_out, e.coded)
    with console.phase("training the tokenizer, writing demonstrations"):
        used = e.batch * (e.card_steps + e.demo_steps)  # of each kind, at most
        examples = [(prompt, scenes[prompt.id]) for prompt in train[:used]]
        examples += safety_world.benign(e.data_seed, "train", round(BENIGN_SHARE * len(examples)))
        subset = examples[:: max(1, len(examples) // TOKENIZER_PROMPTS)]
        tokenizer = train_tokenizer(tokenizer_texts(subset, e.data_seed), e.vocab_size)
        chat = Chat.from_files(tokenizer, *prompt_files(config))
        lessons = curriculum(chat, examples, config.seed)
    train_base(config, "embedded", mesh, directory, tokenizer, lessons, TURNS)
