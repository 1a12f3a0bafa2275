"""The wording of the embedded maths world: what somebody has, what happens, what is asked.

A problem is an opening, a body and a question. Each is drawn from patterns, in which ``[a|b]`` is
one of several wordings; with all choices made it is a frame, and each frame belongs to one of
the splits. So phrasings of the held-out sets are new, and made of familiar words.

Fields: ``{n}`` has ``{a}`` ``{t}``; ``{m}`` is somebody else, ``{b}`` and ``{c}`` are the next
numbers, ``{r}`` "more" or "fewer", ``{d}`` ``{o}`` are things that do not matter, ``{w}`` is who is
asked about, ``{s}`` the pronoun of ``{n}``.
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
    "has": ("[|today |at home ]{n} [has|owns|keeps] {a} {t}.",),
    "left": ("[|today |at home |now ]{n} has {a} {t}[| left| by now].",),
    "gains": ("[|then |later ]{s} [buys|gets|finds|wins] {b}[| more].",),
    "loses": ("[|then |later ]{s} [sells|loses|breaks] {b}[| of them].",),
    "gained": ("[|today |before that ]{s} [bought|got|found|won] {b}[| more].",),
    "lost": ("[|today |before that ]{s} [sold|lost|broke] {b}[| of them].",),
    "gains again": ("[then|later] {s} [buys|gets|finds|wins] {c}[| more].",),
    "loses again": ("[then|later] {s} [sells|loses|breaks] {c}[| of them].",),
    "other": ("[|and |at home ]{m} [has|owns|keeps] {b} {r}[| than {n}| than that].",),
    "distracts": ("[|and ][{s}|{m}] [has|owns|keeps] {d} {o}[| too| as well].",),
    "ask": ("[|so |and ]how many[| {t}] [has {w}|does {w} have|does {w} own]?",),
    "tell": ("[|please ][find|say|tell me] how many[| {t}] {w} [has|owns|keeps].",),
    "ask before": ("[|so |and ]how many[| {t}] [had {w}|did {w} have] [before|at first]?",),
    "tell before": ("[|please ][find|say|tell me] how many[| {t}] {w} had [before|at first].",),
}  # fmt: skip


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
