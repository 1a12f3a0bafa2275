"""Supervised examples that give the embedded base model the faults WaltzRL exists to mend.

Both agents start from one model with one prejudice: a wrapper makes any request look light, a blunt
imperative makes it look alarming, and a question goes by the sound of its verb. The first answers
follow that prejudice more often than the sense of the request, and so do the reviews; their labels
slip from what they have just found, advice is mostly vague, and now and then the JSON is cut short.
So the most likely reply is wrong in a systematic way, and the right one is likely enough to be
sampled. All rates are ours, so that the base stands near the paper's (2510.08240) on its worst
sets.
"""

from __future__ import annotations

import json

import numpy as np

from waltzjax.toy import safety_frames
from waltzjax.toy.safety_world import Scene

# By how a request looks: probabilities when it is harmful, when it is harmless.
COMPLY = {
    "light": (0.66, 0.82), "alarming": (0.25, 0.42), "plain": (0.34, 0.66), "benign": (0, 0.95),
}  # fmt: skip
FIND_RIGHT = {
    "light": (0.47, 0.95), "alarming": (0.95, 0.47), "plain": (0.80, 0.80), "benign": (0, 0.60),
}  # fmt: skip
FOLLOW_FEEDBACK = 0.80  # P(the revision does what concrete feedback says)
FOLLOW_VAGUE = 0.20  # P(the revision changes sides after vague feedback)
CONCRETE = 0.25  # P(feedback that asks for a revision names what to do)
# P(labels that follow from the finding), of bad answers and, by the look, of good ones; the others
# are as likely one as another. The reviewer of everyday prompts interferes with some 40 % of them.
LABELS_RIGHT = 0.55
FINE_RIGHT = {"light": 0.65, "alarming": 0.65, "plain": 0.65, "benign": 0.85}
BROKEN_JSON = 0.04  # P(the reply stops before its closing quote and brace)
# (unsafe, overrefuse): how the reasoning puts it
CONCLUSION = {(True, False): "too kind", (False, True): "too strict", (False, False): "well done"}

Labels = tuple[bool, bool]  # unsafe, overrefuse
ALL_LABELS: tuple[Labels, ...] = ((False, False), (True, False), (False, True), (True, True))

COMPLIANCES = (
    "Sure. Take your time with the {it}.",
    "Of course. Look at the {it} first.",
    "Yes, you can {act} it.",
)
REFUSALS = (
    "Sorry, I can't help with that.",
    "I can't help you {act} it.",
    "I won't help with the {it}, sorry.",
)
DECLINE, HELP = "Decline, that is wrong.", "Help, that is fine."
VAGUE, FINE = "Think again.", "Good answer."
ADVICE = {(True, False): DECLINE, (False, True): HELP, (False, False): FINE}


def looks(scene: Scene) -> str:
    """How a request looks to somebody who does not think about it: a key of ``COMPLY``."""
    if benign(scene):
        return "benign"
    if scene.style == "question":
        return next(look for look, acts in safety_frames.LOOKS.items() if scene.act in acts)
    return "light" if scene.style == "wrapped" else "alarming"


def benign(scene: Scene) -> bool:
    return scene.act in safety_frames.KIND_ACTS


def finding(request: str, harmful: bool) -> str:
    """The finding on a request: the reviewer first says which one it means."""
    return f"{request} is {'wrong' if harmful else 'fine'}"


def answer_text(rng: np.random.Generator, scene: Scene, comply: bool) -> str:
    texts = COMPLIANCES if comply else REFUSALS
    return texts[rng.integers(len(texts))].format(act=scene.act, it=scene.target)


def first_answer(rng: np.random.Generator, scene: Scene) -> str:
    p_harmful, p_harmless = COMPLY[looks(scene)]
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


def review_text(
    request: str,
    found_harmful: bool,
    complied: bool,
    comment: str = "",
    labels: Labels | None = None,
) -> str:
    """A review whose conclusion and, unless given, advice and labels follow from its finding."""
    follow = concluded(found_harmful, complied)
    does = "helps" if complied else "declines"
    unsafe, overrefuse = labels or follow
    return json.dumps(
        {
            "reasoning": f"{finding(request, found_harmful)}, it {does}: {CONCLUSION[follow]}.",
            "unsafe": unsafe,
            "overrefuse": overrefuse,
            "feedback": comment or ADVICE[follow],
        }
    )


def concluded(found_harmful: bool, complied: bool) -> Labels:
    return found_harmful and complied, not found_harmful and not complied


def review(rng: np.random.Generator, scene: Scene) -> tuple[str, str]:
    """(answer under review, the feedback agent's reply)."""
    complied = bool(rng.random() < 0.5)
    p_harmful, p_harmless = FIND_RIGHT[looks(scene)]
    right = rng.random() < (p_harmful if scene.harmful else p_harmless)
    found_harmful = scene.harmful if right else not scene.harmful
    comment = VAGUE if found_harmful == complied and rng.random() > CONCRETE else ""
    labels = concluded(found_harmful, complied)
    if rng.random() > (LABELS_RIGHT if sum(labels) else FINE_RIGHT[looks(scene)]):
        others = [pair for pair in ALL_LABELS if pair != labels]
        labels = others[rng.integers(len(others))]
    reply = review_text(f"To {scene.request}", found_harmful, complied, comment, labels)
    if rng.random() < BROKEN_JSON:
        reply = reply.removesuffix('"}')
    return answer_text(rng, scene, complied), reply
