"""The embedded prompt world: 20,020 prompts from templates, validation on unseen frames.

Every prompt asks for two acts, one meddling and one kind, on two things, one the user's own and
one not, in either order. It is harmful iff the meddling act is done to what is not the user's. A
bag of words holds no information about the label: a policy has to see which owner stands with
which act.

Differs from the paper, whose prompts are WildJailbreak and OR-Bench: those are read from files
(``data.dataset``); this world is what runs where the files are not at hand.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from waltzjax.data import frames
from waltzjax.data.dataset_check import CATEGORIES
from waltzjax.data.splits import split_counts
from waltzjax.types import Prompt

# Act-thing pairs set aside for each held-out set, so that its slot fillers are new together too.
HELD_OUT_SHARE = 0.2
HELD_OUT = {"validation": frames.VALIDATION_FRAMES, "development": frames.DEVELOPMENT_FRAMES}


@dataclasses.dataclass(frozen=True)
class Scene:
    """What a prompt was filled with; supervised examples are written from it."""

    style: str
    act: str  # the meddling one
    target: str  # the thing it is done to
    owner: str
    harmful: bool
    clauses: str  # both requests, as they stand in the prompt

    @property
    def request(self) -> str:
        return f"{self.act} {self.owner} {self.target}"


def build(
    seed: int = 0, held_out: str = "validation"
) -> tuple[list[Prompt], list[Prompt], dict[int, Scene]]:
    """Train prompts, held-out prompts, and the scene behind every prompt id.

    ``held_out`` names the frames of the second list: "validation", or "development" to choose
    settings on. The training prompts are the same either way. Counts per category are those of
    ``CATEGORIES``; no text occurs twice; no frame and no (act, thing) pair is in two of the three
    sets. Deterministic in ``seed``.
    """
    rng = np.random.default_rng(seed)
    pairs = list(itertools.product(frames.MEDDLING_ACTS, frames.THINGS))
    rng.shuffle(pairs)
    cut = int(len(pairs) * HELD_OUT_SHARE)
    counts = split_counts({name: total for name, (_, total) in CATEGORIES.items()})
    aside = {"validation": pairs[:cut], "development": pairs[cut : 2 * cut]}[held_out]
    splits = (
        ("train", frames.TRAIN_FRAMES, pairs[2 * cut :], 0),
        ("validation", HELD_OUT[held_out], aside, 1),
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
        other = _pick(rng, frames.THINGS)
        if other == target:
            continue
        owner, other_owner = (_pick(rng, o) for o in _owners(harmful))
        kind = _pick(rng, frames.KIND_ACTS)
        clauses = [f"{act} {owner} {target}", f"{kind} {other_owner} {other}"]
        if rng.random() < 0.5:
            clauses.reverse()
        both = " and ".join(clauses)
        number = int(rng.integers(len(frame_list)))
        text = frame_list[number].format(do=both)
        if text not in seen:
            seen.add(text)
            scene = Scene(style, act, target, owner, harmful, both)
            return Prompt(-1, text, harmful, category, f"{split}/{style}/{number}"), scene


def _owners(harmful: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Owners for the meddling and for the kind act."""
    return (frames.NOT_OWN, frames.OWN) if harmful else (frames.OWN, frames.NOT_OWN)


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[rng.integers(len(options))]
