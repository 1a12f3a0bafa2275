"""The embedded prompt world: 20,020 prompts from templates, validation on unseen frames.

Every prompt asks for two acts, one meddling and one kind, on two things, one the user's own and
one not, in either order. It is harmful iff the meddling act is done to what is not the user's. A
bag of words holds no information about the label: a policy has to see which owner stands with
which act. A share of the prompts may be coded: they begin with sentences each of which swaps mine
and theirs. To undo them one after the other is easy for who may reason before a verdict; to see at
once what they come to is a parity, which is known to be hard to learn. So a single model that has
to answer right away does not win that game, however it is trained.

Differs from the paper, whose prompts are WildJailbreak and OR-Bench: those are read from files
(``dataset.dataset``); this world is what runs where the files are not at hand.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from waltzjax.dataset.checks import CATEGORIES
from waltzjax.dataset.splits import split_counts
from waltzjax.toy import safety_frames
from waltzjax.types import Prompt

# Act-thing pairs set aside for each held-out set, so that its slot fillers are new together too.
HELD_OUT_SHARE = 0.2
HELD_OUT = {
    "validation": safety_frames.VALIDATION_FRAMES,
    "development": safety_frames.DEVELOPMENT_FRAMES,
}


@dataclasses.dataclass(frozen=True)
class Scene:
    """The parts that a prompt was filled with; supervised examples are written from it."""

    style: str
    act: str  # the meddling one; of everyday prompts the first
    target: str  # the thing it is done to
    owner: str  # as it is written
    harmful: bool
    swaps: tuple[str, ...]  # what swaps the owners, in the order of the prompt
    clauses: str  # both requests, as they stand in the prompt

    @property
    def request(self) -> str:
        """The act, what it is done to and whose that is, swap by swap."""
        return unswapped(self.act, self.owner, self.target, self.swaps)

    @property
    def preface(self) -> str:
        return preface(self.swaps)


def preface(swaps: Sequence[str]) -> str:
    """The sentences that swap, with a space after each."""
    return "".join(f"The {name} swaps mine and theirs. " for name in swaps)


def unswapped(act: str, owner: str, target: str, swaps: Sequence[str]) -> str:
    """The request with its swaps undone: "block his van, by mirror mine, by charm theirs,"."""
    own, steps = owner in safety_frames.OWN, []
    for name in swaps:
        own = not own
        steps.append(f", by {name} {'mine' if own else 'theirs'}")
    return f"{act} {owner} {target}{''.join(steps)}{',' if steps else ''}"


def build(
    seed: int = 0, held_out: str = "validation", coded: float = 0.0
) -> tuple[list[Prompt], list[Prompt], dict[int, Scene]]:
    """Train prompts, held-out prompts, and the scene behind every prompt id.

    ``held_out`` names the frames of the second list: "validation", or "development" to choose
    settings on. The training prompts are the same either way. ``coded``, in [0, 1]: the share of
    prompts that have each of ``SWAPS`` or not, at even odds. Counts per category are those
    of ``CATEGORIES``; no text occurs twice; no frame and no (act, thing) pair is in two of the
    three sets. Deterministic in ``seed``.
    """
    rng = np.random.default_rng(seed)
    pairs = list(itertools.product(safety_frames.MEDDLING_ACTS, safety_frames.THINGS))
    rng.shuffle(pairs)
    cut = int(len(pairs) * HELD_OUT_SHARE)
    counts = split_counts({name: total for name, (_, total) in CATEGORIES.items()})
    aside = {"validation": pairs[:cut], "development": pairs[cut : 2 * cut]}[held_out]
    splits = (
        ("train", safety_frames.TRAIN_FRAMES, pairs[2 * cut :], 0),
        ("validation", HELD_OUT[held_out], aside, 1),
    )
    out: dict[str, list[Prompt]] = {"train": [], "validation": []}
    scenes: dict[int, Scene] = {}
    for split, frame_table, split_pairs, side in splits:
        seen: set[str] = set()
        for style, categories in safety_frames.STYLES.items():
            for category in categories:
                harmful = CATEGORIES[category][0]
                for _ in range(counts[category][side]):
                    prompt, scene = _draw(
                        rng,
                        style,
                        split,
                        frame_table[style],
                        split_pairs,
                        category,
                        harmful,
                        coded,
                        seen,
                    )
                    scenes[len(scenes)] = scene
                    out[split].append(dataclasses.replace(prompt, id=len(scenes) - 1))
        order = rng.permutation(len(out[split]))
        out[split] = [out[split][i] for i in order]
    return out["train"], out["validation"], scenes


def _draw(
    rng, style, split, frame_list, pairs, category, harmful, coded, seen
) -> tuple[Prompt, Scene]:
    while True:  # the space is several hundred times the count: a repeat is rare
        act, target = pairs[rng.integers(len(pairs))]
        other = _pick(rng, safety_frames.THINGS)
        if other == target:
            continue
        any_swaps = rng.random() < coded
        swaps = tuple(name for name in safety_frames.SWAPS if any_swaps and rng.random() < 0.5)
        owner, other_owner = (_pick(rng, o) for o in _owners(harmful ^ bool(len(swaps) % 2)))
        kind = _pick(rng, safety_frames.KIND_ACTS)
        clauses = [f"{act} {owner} {target}", f"{kind} {other_owner} {other}"]
        if rng.random() < 0.5:
            clauses.reverse()
        both = " and ".join(clauses)
        number = int(rng.integers(len(frame_list)))
        text = preface(swaps) + frame_list[number].format(do=both)
        if text not in seen:
            seen.add(text)
            scene = Scene(style, act, target, owner, harmful, swaps, both)
            return Prompt(-1, text, harmful, category, f"{split}/{style}/{number}"), scene


def benign(seed: int, split: str, n: int) -> list[tuple[Prompt, Scene]]:
    """Everyday prompts: two kind acts, to things of the user's own.

    ``split`` names the frames: "train", "development" or "validation".
    """
    rng = np.random.default_rng([seed, n])
    tables = {"train": safety_frames.TRAIN_FRAMES} | HELD_OUT
    table = tables[split]
    out: dict[str, tuple[Prompt, Scene]] = {}
    while len(out) < n:
        style = _pick(rng, tuple(safety_frames.STYLES))
        number = int(rng.integers(len(table[style])))
        acts: list[str] = rng.choice(safety_frames.KIND_ACTS, 2, replace=False).tolist()
        things: list[str] = rng.choice(safety_frames.THINGS, 2, replace=False).tolist()
        owners = [_pick(rng, safety_frames.OWN) for _ in things]
        clauses = [" ".join(words) for words in zip(acts, owners, things, strict=True)]
        both = " and ".join(clauses)
        text = table[style][number].format(do=both)
        scene = Scene(style, acts[0], things[0], owners[0], False, (), both)
        out[text] = (Prompt(-1, text, False, "benign", f"{split}/{style}/{number}"), scene)
    return list(out.values())


def _owners(harmful: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Owners for the meddling and for the kind act."""
    return (
        (safety_frames.NOT_OWN, safety_frames.OWN)
        if harmful
        else (safety_frames.OWN, safety_frames.NOT_OWN)
    )


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[rng.integers(len(options))]
