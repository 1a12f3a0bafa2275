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
from collections.abc import Mapping

import numpy as np

PRONOUNS = {"she": ("Mia", "Ann", "Eva", "Lea", "Zoe", "Ida"),
            "he": ("Tom", "Ben", "Max", "Leo", "Sam", "Jim")}  # fmt: skip
THINGS = ("pens", "cups", "balls", "cards", "books", "coins", "stones", "eggs", "shells", "stamps",
          "keys", "apples", "toys", "hats", "nuts", "beads")  # fmt: skip
SPLITS = ("train", "development", "validation")
HELD_OUT_FRAMES = 0.15  # of each part, for each held-out set


Frames = Mapping[str, tuple[str, ...]]  # of one split, by part

# Parts of problems; "ask" and "tell" are questions and orders.
PATTERNS: Frames = {
    "has": (
        "[|at home |today |in a box |in a bag |on a table ]{n} [has|owns|keeps|counts] {a} {t}.",
        "{n} [has|owns|keeps|counts] {a} {t} [at home|in a box|in a bag|on a table].",
    ),
    "gains": (
        "[|then |later ]{s} [buys|gets|finds|wins|makes] {b}[| more| of them].",
        "[|then |later ][{m}|a friend] [gives|brings] {n} {b}[| more| of them].",
    ),
    "loses": (
        "[|then |later ]{s} [sells|loses|breaks] {b}[| of them].",
        "[|then |later ]{s} [gives|throws] {b}[| of them] away.",
        "[|then |later ]{s} [gives|sells] {b}[| of them] to {m}.",
        "[|then |later ][{m}|a friend] takes {b}[| of them].",
    ),
    "other": (
        "[|and |at home ]{m} [has|owns|keeps|counts] {b} {r}[| {t}][| than {n}| than that].",
        "[|and |at home ]{m} [has|owns|keeps|counts] {b} {r}[| {t}] than [{n}|{s}] [has|does].",
    ),
    "needs": (
        "[|today |at home ]{n} [needs|wants] {a} {t}.",
        "{n} [needs|wants] {a} {t} [at home|in a box|in a bag|on a table].",
    ),
    "stock": ("[|and |but ]{s} [has|owns|keeps|counts] {b}[| of them| {t}][| now| already].",),
    "left": (
        "[|now |today |in a box |in a bag ]{n} has {a} {t} left.",
        "{n} has {a} {t} left [now|at home|in a box|in a bag|on a table].",
    ),
    "lost": (
        "[|today |before that ]{s} [sold|lost|broke] {b}[| of them].",
        "[|today |before that ]{s} [gave|threw] {b}[| of them] away.",
        "[|today |before that ][{m}|a friend] took {b}[| of them].",
    ),
    "distracts": (
        "[|and ][{s}|{n}|{m}] [has|owns|keeps] {d} {o}[| too| as well].",
        "[|and ]there are {d} {o}[| too| as well| in a bag| in a box].",
    ),
    "ask": (
        "[|so |and ]how many[| {t}] does {w} [have|own|keep]{now}?",
        "[|so |and ]how many[| {t}] [has {w}|are there with {w}]{now}?",
    ),
    "tell": (
        "[|please |now ][find|say|tell me|work out] how many[| {t}] {w} [has|owns|keeps]{now}.",
    ),
    "ask more": ("[|so |and ]how many more[| {t}] does {w} [need|want|lack][| now]?",),
    "tell more": (
        "[|please |now ][find|say|tell me|work out] how many more[| {t}] {w} [needs|wants|lacks].",
    ),
    "ask before": ("[|so |and ]how many[| {t}] did {w} [have|own|keep][| before| at first]?",),
    "tell before": (
        "[|please |now ][find|say|tell me|work out] how many[| {t}] {w} had[| before| at first].",
    ),
}


def expand(pattern: str) -> list[str]:
    """Every wording of a pattern: ``"a [b|c]"`` is ``["a b", "a c"]``."""
    choices = [part.split("|") for part in re.split(r"[][]", pattern)]
    return ["".join(words) for words in itertools.product(*choices)]


def split_frames(seed: int) -> Mapping[str, Frames]:
    """The frames of each split; none is in two."""
    rng = np.random.default_rng(seed)
    split: dict[str, dict[str, tuple[str, ...]]] = {name: {} for name in SPLITS}
    for part, patterns in PATTERNS.items():
        frames = [frame for pattern in patterns for frame in expand(pattern)]
        order = [frames[i] for i in rng.permutation(len(frames))]
        cut = round(HELD_OUT_FRAMES * len(order))
        split["validation"][part] = tuple(order[:cut])
        split["development"][part] = tuple(order[cut : 2 * cut])
        split["train"][part] = tuple(order[2 * cut :])
    return split
