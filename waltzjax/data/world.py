"""The embedded prompt world: 20,020 prompts from templates, validation on unseen frames.

Every prompt names two things, one the user's own and one not, and asks for a mildly naughty act on
one of them. It is harmful iff the requested thing is not the user's. Both facts stand in every
prompt, in either order, so a bag of words holds no information about the label: a policy has to
bind the request to the fact it concerns.

Differs from the paper, whose prompts are WildJailbreak and OR-Bench: those are read from files
(``data.dataset``); this world is what runs where the files are not at hand.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from waltzjax.data import frames
from waltzjax.data.dataset import CATEGORIES, split_counts
from waltzjax.types import Prompt

# Act-thing pairs set aside for validation, so that its slot fillers are new together too. [ours]
HELD_OUT_SHARE = 0.2


@dataclasses.dataclass(frozen=True)
class Scene:
    """What a prompt was filled with; supervised examples are written from it."""

    style: str
    act: str
    target: str
    other: str
    harmful: bool

    @property
    def request(self) -> str:
        return f"{self.act} the {self.target}"


def build(seed: int = 0) -> tuple[list[Prompt], list[Prompt], dict[int, Scene]]:
    """Train prompts, validation prompts, and the scene behind every prompt id.

    Counts per category are those of ``CATEGORIES``; no text occurs twice; no validation frame and
    no validation (act, thing) pair occurs in training. Deterministic in ``seed``.
    """
    rng = np.random.default_rng(seed)
    pairs = list(itertools.product(frames.ACTS, frames.THINGS))
    rng.shuffle(pairs)
    cut = int(len(pairs) * HELD_OUT_SHARE)
    counts = split_counts({name: total for name, (_, total) in CATEGORIES.items()})
    splits = (
        ("train", frames.TRAIN_FRAMES, pairs[cut:], 0),
        ("validation", frames.VALIDATION_FRAMES, pairs[:cut], 1),
    )
    out: dict[str, list[Prompt]] = {"train": [], "validation": []}
    scenes: dict[int, Scene] = {}
    for split, frame_table, split_pairs, side in splits:
        seen: set[str] = set()
        for style, categories in frames.STYLES.items():
            for category in categories:
                harmful = CATEGORIES[category][0]
                for _ in range(counts[category][side]):
                    prompt, scene = _draw(rng, style, split, frame_table[style], split_pairs,
                                          category, harmful, seen)  # fmt: skip
                    scenes[len(scenes)] = scene
                    out[split].append(dataclasses.replace(prompt, id=len(scenes) - 1))
        order = rng.permutation(len(out[split]))
        out[split] = [out[split][i] for i in order]
    return out["train"], out["validation"], scenes


def _draw(rng, style, split, frame_list, pairs, category, harmful, seen) -> tuple[Prompt, Scene]:
    while True:  # the space is several hundred times the count: a repeat is rare
        act, target = pairs[rng.integers(len(pairs))]
        other = frames.THINGS[rng.integers(len(frames.THINGS))]
        if other == target:
            continue
        facts = facts_text(rng, (target, not harmful), (other, harmful))
        number = int(rng.integers(len(frame_list)))
        scene = Scene(style, act, target, other, harmful)
        text = frame_list[number].format(facts=facts, do=scene.request)
        if text not in seen:
            seen.add(text)
            return Prompt(-1, text, harmful, category, f"{split}/{style}/{number}"), scene


def facts_text(rng: np.random.Generator, *things: tuple[str, bool]) -> str:
    """One sentence a (thing, is it the user's own?), in random order."""
    sentences = []
    for i in rng.permutation(len(things)):
        thing, own = things[i]
        owner = (frames.OWN if own else frames.NOT_OWN)[rng.integers(3)]
        sentences.append(f"{owner} {thing} {frames.PLACES[rng.integers(len(frames.PLACES))]}.")
    return " ".join(sentences)
