"""Supervised examples that give the embedded base model the faults WaltzRL exists to mend.

The conversation agent they teach falls for a wrapper and refuses a blunt imperative, whatever is
asked; it follows feedback most of the time. The feedback agent they teach reads the scene well but
labels it badly, writes vague advice now and then, and breaks its JSON now and then. All rates are
our choice, made so that the base stands near the paper's (arXiv 2510.08240) on its worst sets.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from waltzjax.data import world
from waltzjax.data.chat import Chat
from waltzjax.data.world import Scene
from waltzjax.types import Prompt, Sample

# P(comply): (harmful request, harmless request)
COMPLY = {"wrapped": (0.75, 0.90), "imperative": (0.18, 0.27), "question": (0.30, 0.65)}
FOLLOW_FEEDBACK = 0.80  # P(the revision does what concrete feedback says)
FOLLOW_VAGUE = 0.35  # P(the revision changes sides after vague feedback)
RIGHT_LABELS = 0.62
CONCRETE = 0.75  # P(feedback text names what to do)
BROKEN_JSON = 0.06

COMPLIANCES = (
    "Sure. To {do}, take your time and stay calm.",
    "Of course. Here is how to {do}: look at the {it} first.",
    "Yes, you can {do} in a few steps.",
)
REFUSALS = (
    "Sorry, I can't help with that.",
    "I can't help you {do}.",
    "I won't help with the {it}, sorry.",
)
DECLINE, HELP = "Decline, the {it} isn't theirs.", "Help them, the {it} is theirs."
VAGUE, FINE = "Think again.", "Good answer."


def owner(scene: Scene) -> str:
    return "isn't theirs" if scene.harmful else "is theirs"


def answer_text(rng: np.random.Generator, scene: Scene, comply: bool) -> str:
    texts = COMPLIANCES if comply else REFUSALS
    return texts[rng.integers(len(texts))].format(do=scene.request, it=scene.target)


def first_answer(rng: np.random.Generator, scene: Scene) -> str:
    p_harmful, p_harmless = COMPLY[scene.style]
    return answer_text(rng, scene, rng.random() < (p_harmful if scene.harmful else p_harmless))


def revision(rng: np.random.Generator, scene: Scene) -> tuple[str, str, str]:
    """(first answer, feedback text, revised answer)."""
    complied = bool(rng.random() < 0.5)
    kind = rng.integers(3)
    if kind == 2:
        comment = VAGUE
        comply = complied ^ bool(rng.random() < FOLLOW_VAGUE)
    else:
        comment = (DECLINE if kind == 0 else HELP).format(it=scene.target)
        comply = (kind == 1) ^ bool(rng.random() > FOLLOW_FEEDBACK)
    return answer_text(rng, scene, complied), comment, answer_text(rng, scene, comply)


def review(rng: np.random.Generator, scene: Scene) -> tuple[str, str]:
    """(answer under review, the feedback agent's reply)."""
    complied = bool(rng.random() < 0.5)
    truth = (scene.harmful and complied, not scene.harmful and not complied)
    options = [(False, False), (True, False), (False, True)]
    labels = truth
    if rng.random() > RIGHT_LABELS:
        options.remove(truth)
        labels = options[rng.integers(2)]
    unsafe, overrefuse = labels
    if not (unsafe or overrefuse):
        comment = FINE
    elif rng.random() > CONCRETE:
        comment = VAGUE
    else:
        comment = (DECLINE if unsafe else HELP).format(it=scene.target)
    does = "helps" if complied else "declines"
    reply = {
        "reasoning": f"The {scene.target} {owner(scene)} and the answer {does}.",
        "unsafe": unsafe,
        "overrefuse": overrefuse,
        "feedback": comment,
    }
    if rng.random() < BROKEN_JSON:
        del reply[("reasoning", "unsafe", "overrefuse", "feedback")[rng.integers(4)]]
    return answer_text(rng, scene, complied), json.dumps(reply)


def reading(rng: np.random.Generator, scene: Scene) -> tuple[str, str]:
    """(two facts and the name of one thing, whose it is)."""
    things = (scene.target, not scene.harmful), (scene.other, scene.harmful)
    return f"{world.facts_text(rng, *things)} The {scene.target}", f" {owner(scene)}."


def reading_cards(
    chat: Chat, prompts: Sequence[Prompt], scenes: dict[int, Scene], seed: int
) -> list[Sample]:
    """Very short exercises in binding a thing to its owner.

    A random model learns this from contexts of twenty tokens in a few hundred updates, and carries
    it over to whole chats; from whole chats alone it takes many times longer.
    """
    rng = np.random.default_rng(seed)
    pairs = [reading(rng, scenes[p.id]) for p in prompts]
    return _samples(chat, [p[0] for p in pairs], [p[1] for p in pairs])


def _samples(chat: Chat, states: Sequence[str], replies: Sequence[str]) -> list[Sample]:
    end = (chat.tokenizer.eos_token_id,)
    pairs = zip(chat.encode(states), chat.encode(replies), strict=True)
    return [Sample(state, reply + end, (), 0.0) for state, reply in pairs]


def demonstrations(
    chat: Chat,
    prompts: Sequence[Prompt],
    scenes: dict[int, Scene],
    seed: int,
) -> list[Sample]:
    """One example of each kind a prompt: a first answer, a revised answer, a review."""
    rng = np.random.default_rng(seed)
    states, replies = [], []
    for prompt in prompts:
        scene = scenes[prompt.id]
        states.append(chat.conversation_text(prompt.text))
        replies.append(first_answer(rng, scene))
        before, comment, after = revision(rng, scene)
        states.append(chat.conversation_text(prompt.text, [(before, comment)]))
        replies.append(after)
        answer, reply = review(rng, scene)
        states.append(chat.feedback_text(prompt.text, answer))
        replies.append(reply)
    return _samples(chat, states, replies)


def tokenizer_texts(prompts: Sequence[Prompt], scenes: dict[int, Scene], seed: int) -> list[str]:
    """Texts that hold every word of the embedded world's training side."""
    rng = np.random.default_rng(seed)
    texts = []
    for prompt in prompts:
        scene = scenes[prompt.id]
        texts += [prompt.text, first_answer(rng, scene), revision(rng, scene)[1]]
        texts += [review(rng, scene)[1], "".join(reading(rng, scene))]
    return texts
