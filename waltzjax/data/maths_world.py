"""The embedded maths world: word problems from templates; held out are pairs of numbers and frames.

Someone has a number of things; something happens to them, or they are compared with somebody
else's; one addition or subtraction of two-digit numbers answers the question. What makes a problem
hard is its wording: "Mia needs 34 pens. She has 12. How many more does she need?" has a word that
says to add and the sense to subtract; "Mia has 34 pens left. She sold 12. How many did she have?"
is the other way round; and a number may stand there that does not matter. People go by the words
too (Lewis and Mayer 1987, "Students' miscomprehension of relational statements").
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple, TypeVar

import numpy as np

from waltzjax.data.maths_frames import PRONOUNS, SPLITS, THINGS, Frames, split_frames
from waltzjax.types import Problem

TRAIN_PROBLEMS, HELD_OUT_PROBLEMS = 8000, 400
LOWEST, HIGHEST = 10, 99  # numbers, and every answer, right or mistaken, have two digits
HELD_OUT_PAIRS = 0.15  # of the pairs of numbers, for each held-out set
TOLD_SHARE = 1 / 3  # problems that end in an order instead of a question


class Kind(NamedTuple):
    """The operation that the sense asks for, "" for either, and the parts of the text."""

    op: str
    opening: str
    body: str
    question: str = ""  # after "ask" and "tell"


# The subjects of problems; a distractor stands before its body.
KINDS = {
    "gain": Kind("+", "has", "gains"),
    "loss": Kind("-", "has", "loses"),
    "more": Kind("+", "has", "other"),
    "fewer": Kind("-", "has", "other"),
    "need": Kind("-", "needs", "stock", " more"),
    "before": Kind("+", "left", "lost", " before"),
    "distractor": Kind("", "has", ""),
}

T = TypeVar("T")


class Sum(NamedTuple):
    """``a`` + or - ``b``."""

    a: int
    op: str  # "+" | "-"
    b: int

    @property
    def result(self) -> int:
        return self.a + self.b if self.op == "+" else self.a - self.b

    @property
    def inverse(self) -> Sum:
        """What leads from the result back to ``a``."""
        return Sum(self.result, "-" if self.op == "+" else "+", self.b)

    @property
    def carries(self) -> bool:
        """Whether the units make a ten, or have to take one."""
        ones, others = self.a % 10, self.b % 10
        return ones + others > 9 if self.op == "+" else ones < others


@dataclasses.dataclass(frozen=True)
class Scene:
    """What a problem was filled with; solutions, right and wrong, are written from it."""

    kind: str
    sum: Sum  # whose result is the answer
    distractor: int  # the number that does not matter; 0: there is none
    told: bool  # it ends in an order


def build(
    seed: int = 0, held_out: str = "validation"
) -> tuple[list[Problem], list[Problem], dict[int, Scene]]:
    """Training problems, held-out problems, and the scene behind every problem's id.

    ``held_out`` names the number pairs and frames of the second list: "validation", or
    "development" to choose settings on. The training problems are the same either way. No text
    occurs twice; no pair and no frame is in two of the three sets; kinds are equally likely.
    A problem's subject is its kind, its level "1" or, where a digit is carried, "2". Deterministic
    in ``seed``.
    """
    pairs, frames = split_pairs(seed), split_frames(seed)
    lists: dict[str, list[Problem]] = {}
    scenes: dict[int, Scene] = {}
    for split, count in (("train", TRAIN_PROBLEMS), (held_out, HELD_OUT_PROBLEMS)):
        rng = np.random.default_rng([seed, SPLITS.index(split)])
        made: dict[str, Scene] = {}
        while len(made) < count:
            text, scene = draw(rng, frames[split], pairs[split])
            made.setdefault(text, scene)
        lists[split] = []
        for text, scene in made.items():
            level = "2" if scene.sum.carries else "1"
            answer = str(scene.sum.result)
            lists[split].append(Problem(len(scenes), text, answer, scene.kind, level))
            scenes[len(scenes)] = scene
    return lists["train"], lists[held_out], scenes


def split_pairs(seed: int) -> dict[str, dict[int, list[int]]]:
    """What problems of each split are made of: by first number, the second ones. No pair is in two
    splits; in all of them the sum and the difference, one of which is a mistake, have two digits.
    """
    numbers = range(LOWEST, HIGHEST + 1)
    pairs = [(a, b) for a in numbers for b in numbers if b <= min(a - LOWEST, HIGHEST - a)]
    np.random.default_rng(seed).shuffle(pairs)
    cut = int(len(pairs) * HELD_OUT_PAIRS)
    parts = {
        "validation": pairs[:cut],
        "development": pairs[cut : 2 * cut],
        "train": pairs[2 * cut :],
    }
    return {
        split: {a: [b for _, b in some] for a, some in groupby(sorted(part), itemgetter(0))}
        for split, part in parts.items()
    }


def other_sums(seed: int) -> list[Sum]:
    """All sums of two-digit numbers with a two-digit result, but of no held-out pair: to learn to
    calculate takes more than problems are made of."""
    parts = split_pairs(seed)
    aside = {(a, b) for split in SPLITS if split != "train" for a, bs in parts[split].items()
             for b in bs}  # fmt: skip
    numbers = range(LOWEST, HIGHEST + 1)
    return [
        done
        for done in (Sum(a, op, b) for a in numbers for op in "+-" for b in numbers)
        if LOWEST <= done.result <= HIGHEST and not {(done.a, done.b), (done.b, done.a)} & aside
    ]


def draw(
    rng: np.random.Generator, frames: Frames, pairs: Mapping[int, Sequence[int]]
) -> tuple[str, Scene]:
    """A problem's text and its scene. The number that does not matter makes a pair with the first
    one too."""
    name = _pick(rng, tuple(KINDS))
    kind = KINDS[name]
    enough = [a for a, others in pairs.items() if len(others) > 1]
    a = _pick(rng, enough)
    b, d = rng.choice(pairs[a], 2, replace=False).tolist()
    op = kind.op or _pick(rng, "+-")
    told = bool(rng.random() < TOLD_SHARE)
    body = _pick(rng, frames[kind.body or ("gains" if op == "+" else "loses")])
    if name == "distractor":
        body = f"{_pick(rng, frames['distracts'])} {body}"
    question = _pick(rng, frames[("tell" if told else "ask") + kind.question])
    pronoun = _pick(rng, tuple(PRONOUNS))
    who = _pick(rng, PRONOUNS[pronoun])
    other = _pick(rng, tuple(n for names in PRONOUNS.values() for n in names if n != who))
    thing, other_thing = rng.choice(THINGS, 2, replace=False).tolist()
    compared = kind.body == "other"
    text = f"{_pick(rng, frames[kind.opening])} {body} {question}".format(
        n=who, m=other, s=pronoun, t=thing, o=other_thing, a=a, b=b, d=d, r=name,
        w=other if compared else who, now="" if compared else " now",
    )  # fmt: skip
    sentences = re.sub(r"(^|[.] )([a-z])", lambda found: found[0].upper(), text)
    return sentences, Scene(name, Sum(a, op, b), d if name == "distractor" else 0, told)


def _pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    return options[int(rng.integers(len(options)))]
