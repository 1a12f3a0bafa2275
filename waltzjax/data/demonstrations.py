"""Supervised examples that give the embedded base model the faults WaltzRL exists to mend.

The conversation agent they teach falls for a wrapper, refuses a blunt imperative, and goes by the
sound of a question more than by its sense; it follows feedback most of the time. The feedback agent
they teach reads the scene well but labels it badly; now and then its advice is vague or its JSON
broken. All rates are ours, so that the base stands near the paper's (2510.08240) on its worst sets.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from waltzjax.data import frames
from waltzjax.data.chat import Chat
from waltzjax.data.world import Scene
from waltzjax.types import Prompt, Sample

# P(comply): (harmful request, harmless request)
COMPLY = {"wrapped": (0.72, 0.88), "imperative": (0.12, 0.28)}
COMPLY_QUESTION = (
    (frames.LIGHT_ACTS, (0.65, 0.85)),
    (frames.ALARMING_ACTS, (0.15, 0.35)),
    (frames.PLAIN_ACTS, (0.25, 0.70)),
)
FOLLOW_FEEDBACK = 0.80  # P(the revision does what concrete feedback says)
FOLLOW_VAGUE = 0.35  # P(the revision changes sides after vague feedback)
RIGHT_LABELS = 0.70  # else one of the two wrong pairs
# (unsafe, overrefuse): how the reasoning puts it; the labels that follow are often other ones
CONCLUSION = {(True, False): "too kind", (False, True): "too strict", (False, False): "well done"}
CONCRETE = 0.75  # P(feedback text names what to do)
BROKEN_JSON = 0.06

COMPLIANCES = (
    "Sure. To {act} it, take your time.",
    "Of course. Look at the {it} first.",
    "Yes, you can {act} the {it}.",
)
REFUSALS = (
    "Sorry, I can't help with that.",
    "I can't help you {act} it.",
    "I won't help with the {it}, sorry.",
)
DECLINE, HELP = "Decline, that is wrong.", "Help, that is fine."
VAGUE, FINE = "Think again.", "Good answer."


def finding(harmful: bool) -> str:
    """What a prompt comes to."""
    return f"That is {'wrong' if harmful else 'fine'}"


def answer_text(rng: np.random.Generator, scene: Scene, comply: bool) -> str:
    texts = COMPLIANCES if comply else REFUSALS
    return texts[rng.integers(len(texts))].format(act=scene.act, it=scene.target)


def first_answer(rng: np.random.Generator, scene: Scene) -> str:
    if scene.style == "question":
        p_harmful, p_harmless = next(p for acts, p in COMPLY_QUESTION if scene.act in acts)
    else:
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
        comment = DECLINE if kind == 0 else HELP
        comply = (kind == 1) ^ bool(rng.random() > FOLLOW_FEEDBACK)
    return answer_text(rng, scene, complied), comment, answer_text(rng, scene, comply)


def _truth(harmful: bool, complied: bool) -> tuple[bool, bool]:
    return harmful and complied, not harmful and not complied


def _review(
    harmful: bool, complied: bool, labels: tuple[bool, bool], comment: str | None
) -> dict[str, str | bool]:
    """A review with true reasoning and the given labels; no comment: the one the labels ask for."""
    unsafe, overrefuse = labels
    does = "helps" if complied else "declines"
    conclusion = CONCLUSION[_truth(harmful, complied)]
    return {
        "reasoning": f"{finding(harmful)}, it {does}: {conclusion}.",
        "unsafe": unsafe,
        "overrefuse": overrefuse,
        "feedback": comment or (DECLINE if unsafe else HELP if overrefuse else FINE),
    }


def review(rng: np.random.Generator, scene: Scene) -> tuple[str, str]:
    """(answer under review, the feedback agent's reply)."""
    complied = bool(rng.random() < 0.5)
    truth = _truth(scene.harmful, complied)
    wrong = [pair for pair in CONCLUSION if pair != truth]
    labels = truth if rng.random() < RIGHT_LABELS else wrong[rng.integers(2)]
    vague = any(labels) and rng.random() > CONCRETE
    reply = _review(scene.harmful, complied, labels, VAGUE if vague else None)
    if rng.random() < BROKEN_JSON:
        del reply[("reasoning", "unsafe", "overrefuse", "feedback")[rng.integers(4)]]
    return answer_text(rng, scene, complied), json.dumps(reply)


def reading_cards(
    rng: np.random.Generator, chat: Chat, prompts: Sequence[Prompt], scenes: dict[int, Scene]
) -> list[Sample]:
    """Very short exercises in telling what a request comes to: one clause, two clauses, a prompt.

    One clause teaches a random model which words matter, two teach it to bind them; it then
    carries this over to whole chats. From the noisy chats alone it would take much longer.
    """
    texts, replies = [], []
    for prompt in prompts:
        scene = scenes[prompt.id]
        act = (scene.act, frames.KIND_ACTS[rng.integers(len(frames.KIND_ACTS))])[rng.integers(2)]
        owner = (frames.OWN + frames.NOT_OWN)[rng.integers(len(frames.OWN + frames.NOT_OWN))]
        wrong = act == scene.act and owner in frames.NOT_OWN
        texts += [f"I {act} {owner} {scene.target}.", f"I {scene.clauses}.", prompt.text]
        replies += [f" {finding(harmful)}." for harmful in (wrong, scene.harmful, scene.harmful)]
        # The last kind: what follows from a review's own reasoning, without the scene.
        harmful, complied = bool(rng.integers(2)), bool(rng.integers(2))
        review_text = json.dumps(_review(harmful, complied, _truth(harmful, complied), None))
        head, _, tail = review_text.partition(' "unsafe"')
        texts.append(head)
        replies.append(' "unsafe"' + tail)
    return _samples(chat, texts, replies)


def _samples(chat: Chat, states: Sequence[str], replies: Sequence[str]) -> list[Sample]:
    end = (chat.tokenizer.eos_token_id,)
    pairs = zip(chat.encode(states), chat.encode(replies), strict=True)
    return [Sample(state, reply + end, (), 0.0) for state, reply in pairs]


def curriculum(
    chat: Chat, prompts: Sequence[Prompt], scenes: dict[int, Scene], seed: int
) -> dict[str, list[Sample]]:
    """Examples by kind: reading cards, and one first answer, revision and review a prompt."""
    rng = np.random.default_rng(seed)
    states: dict[str, list[str]] = {"first": [], "revision": [], "review": []}
    replies: dict[str, list[str]] = {kind: [] for kind in states}
    for prompt in prompts:
        scene = scenes[prompt.id]
        states["first"].append(chat.conversation_text(prompt.text))
        replies["first"].append(first_answer(rng, scene))
        before, comment, after = revision(rng, scene)
        states["revision"].append(chat.conversation_text(prompt.text, [(before, comment)]))
        replies["revision"].append(after)
        answer, reply = review(rng, scene)
        states["review"].append(chat.feedback_text(prompt.text, answer))
        replies["review"].append(reply)
    lessons = {kind: _samples(chat, states[kind], replies[kind]) for kind in states}
    return {"cards": reading_cards(rng, chat, prompts, scenes), **lessons}


def tokenizer_texts(prompts: Sequence[Prompt], scenes: dict[int, Scene], seed: int) -> list[str]:
    """Texts that hold every word of the embedded world's training side."""
    rng = np.random.default_rng(seed)
    texts = []
    for prompt in prompts:
        scene = scenes[prompt.id]
        texts += [prompt.text, first_answer(rng, scene), revision(rng, scene)[1]]
        texts += [review(rng, scene)[1], f"I {scene.clauses}. {finding(scene.harmful)}."]
    return texts
