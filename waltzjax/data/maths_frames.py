"""The wording of the embedded maths world: what somebody has, what happens, what is asked.

A problem is an opening, a body and a question. Each is drawn from patterns, in which ``[a|b]`` is
one of several wordings; with all choices made it is a frame, and each frame belongs to one of
the splits. So phrasings of the held-out sets are new, and made of familiar words.

Fields: ``{n}`` has ``{a}`` ``{t}``; ``{m}`` is somebody else, ``{b}`` the second number, ``{r}``
"more" or "fewer", ``{d}`` ``{o}`` are things that do not matter, ``{w}`` is who is asked about,
``{s}`` the pronoun of ``{n}``; ``{now}`` stands in questions about a change.
"""

from __future__ import annotations

import itertools
import re
from typing import NamedTuple

import numpy as np

PRONOUNS = {"she": ("Mia", "Ann", "Eva", "Lea", "Zoe", "Ida"),
            "he": ("Tom", "Ben", "Max", "Leo", "Sam", "Jim")}  # fmt: skip
THINGS = ("pens", "cups", "balls", "cards", "books", "coins", "stones", "eggs", "shells", "stamps",
          "keys", "apples", "toys", "hats", "nuts", "beads")  # fmt: skip
SPLITS = ("train", "development", "validation")
HELD_OUT_FRAMES = 0.15  # of each part, for each held-out set


class Frames(NamedTuple):
    """The parts of one split, or the patterns of all."""

    openings: tuple[str, ...]
    gains: tuple[str, ...]
    losses: tuple[str, ...]
    compared: tuple[str, ...]  # the other one's number is told by the first one's
    inverse: tuple[str, ...]  # the first one's number is told by the other one's, which is asked
    distractors: tuple[str, ...]
    asked: tuple[str, ...]  # questions
    told: tuple[str, ...]  # orders


PATTERNS = Frames(
    openings=(
        "[|at home |today |in a box |in a bag |on a table ]{n} [has|owns|keeps|counts] {a} {t}.",
        "{n} [has|owns|keeps|counts] {a} {t} [at home|in a box|in a bag|on a table].",
    ),
    gains=(
        "[|then |later ]{s} [buys|gets|finds|wins|makes] {b}[| more| of them].",
        "[|then |later ][{m}|a friend] [gives|brings] {n} {b}[| more| of them].",
    ),
    losses=(
        "[|then |later ]{s} [sells|loses|breaks] {b}[| of them].",
        "[|then |later ]{s} [gives|throws] {b}[| of them] away.",
        "[|then |later ]{s} [gives|sells] {b}[| of them] to {m}.",
        "[|then |later ][{m}|a friend] takes {b}[| of them].",
    ),
    compared=(
        "[|and |at home ]{m} [has|owns|keeps|counts] {b} {r}[| {t}][| than {n}| than that].",
        "[|and |at home ]{m} [has|owns|keeps|counts] {b} {r}[| {t}] than [{n}|{s}] [has|does].",
    ),
    inverse=(
        "[|so |and ][that is|this is|these are] {b} {r}[| {t}] than {m}[| has| owns| keeps].",
        "[|so |and ][{s}|{n}] [has|owns] {b} {r}[| {t}] than {m}[| has| does].",
    ),
    distractors=(
        "[|and ][{s}|{n}|{m}] [has|owns|keeps] {d} {o}[| too| as well].",
        "[|and ]there are {d} {o}[| too| as well| in a bag| in a box].",
    ),
    asked=(
        "[|so |and ]how many[| {t}] does {w} [have|own|keep]{now}?",
        "[|so |and ]how many[| {t}] [has {w}|are there with {w}]{now}?",
    ),
    told=("[|please |now ][find|say|tell me|work out] how many[| {t}] {w} [has|owns|keeps]{now}.",),
)


def expand(pattern: str) -> list[str]:
    """Every wording of a pattern: ``"a [b|c]"`` is ``["a b", "a c"]``."""
    choices = [part.split("|") for part in re.split(r"[][]", pattern)]
    return ["".join(words) for words in itertools.product(*choices)]


def split_frames(seed: int) -> dict[str, Frames]:
    """The frames of each split; none is in two."""
    rng = np.random.default_rng(seed)
    parts: dict[str, list[tuple[str, ...]]] = {split: [] for split in SPLITS}
    for patterns in PATTERNS:
        frames = [frame for pattern in patterns for frame in expand(pattern)]
        order = [frames[i] for i in rng.permutation(len(frames))]
        cut = round(HELD_OUT_FRAMES * len(order))
        parts["validation"].append(tuple(order[:cut]))
        parts["development"].append(tuple(order[cut : 2 * cut]))
        parts["train"].append(tuple(order[2 * cut :]))
    return {split: Frames(*part) for split, part in parts.items()}
