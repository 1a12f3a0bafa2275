"""The embedded maths world: word problems from templates; held out are numbers and frames.

Somebody has a number of things; something happens to them, or they are compared with somebody
else's; one or two additions and subtractions of small numbers answer the question. What makes a
problem hard is its wording: "Mia has 34 pens left. She sold 5. How many had she before?" has a word
that says to subtract and the sense to add; a number may stand there that does not matter; a second
step is easily forgotten. People go by the words too (Lewis and Mayer 1987, "Students'
miscomprehension of relational statements").

A problem is an opening, a body and a question. Each is drawn from patterns, in which ``[a|b]`` is
one of several wordings; with all choices made it is a frame, and each frame belongs to one of
the splits. So phrasings of the held-out sets are new, and made of familiar words.

Fields: ``{n}`` has ``{a}`` ``{t}``; ``{m}`` is somebody else, ``{b}`` and ``{c}`` are the next
numbers, ``{r}`` "more" or "fewer", ``{d}`` ``{o}`` are things that do not matter, ``{w}`` is who is
asked about, ``{s}`` the pronoun of ``{n}``.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from waltzjax.types import Problem

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


TRAIN_PROBLEMS, HELD_OUT_PROBLEMS = 8000, 400
LARGEST = 300  # of the first numbers
HELD_OUT_NUMBERS = 24  # of these, for each held-out set
IMPERATIVE_SHARE = 1 / 3  # problems that end in an order instead of a question

T = TypeVar("T")


class Kind(NamedTuple):
    """A subject of problems: which operations its sense may ask for, and its level."""

    ops: str
    level: str


KINDS = {
    "gain": Kind("+", "1"),
    "loss": Kind("-", "1"),
    "more": Kind("+", "1"),
    "fewer": Kind("-", "1"),
    "before": Kind("+-", "2"),
    "distractor": Kind("+-", "2"),
    "two steps": Kind("+-", "2"),
}


class Sum(NamedTuple):
    """``a`` + or - ``b``; no digit is carried."""

    a: int
    op: str  # "+" | "-"
    b: int

    @property
    def result(self) -> int:
        return self.a + self.b if self.op == "+" else self.a - self.b

    @property
    def inverse(self) -> Sum:
        """The sum that leads from the result back to ``a``."""
        return Sum(self.result, "-" if self.op == "+" else "+", self.b)


@dataclasses.dataclass(frozen=True)
class Scene:
    """The sums that a problem was filled with; solutions are written from it."""

    kind: str
    sums: tuple[Sum, ...]  # one after the other; the last one's result is the answer
    slip: tuple[Sum, ...]  # the mistake that its wording suggests
    imperative: bool  # the problem ends in an order, not in a question


def build(
    seed: int = 0, held_out: str = "validation"
) -> tuple[list[Problem], list[Problem], dict[int, Scene]]:
    """Training problems, held-out problems, and the scene behind every problem's id.

    ``held_out`` names the first numbers and the frames of the second list: "validation", or
    "development" to choose settings on. The training problems are the same either way. No text
    occurs twice; no first number and no frame is in two of the three sets; kinds are equally
    likely, and are the problems' subjects. Deterministic in ``seed``.
    """
    numbers, frames = split_numbers(seed), split_frames(seed)
    lists: dict[str, list[Problem]] = {}
    scenes: dict[int, Scene] = {}
    for split, count in (("train", TRAIN_PROBLEMS), (held_out, HELD_OUT_PROBLEMS)):
        rng = np.random.default_rng([seed, SPLITS.index(split)])
        made: dict[str, Scene] = {}
        while len(made) < count:
            text, scene = draw(rng, frames[split], numbers[split])
            made.setdefault(text, scene)
        lists[split] = []
        for text, scene in made.items():
            answer, level = str(scene.sums[-1].result), KINDS[scene.kind].level
            lists[split].append(Problem(len(scenes), text, answer, scene.kind, level))
            scenes[len(scenes)] = scene
    return lists["train"], lists[held_out], scenes


def split_numbers(seed: int) -> dict[str, tuple[int, ...]]:
    """The first numbers of each split: of two or three digits, the last of which leaves room to add
    and to subtract, each in two ways at least."""
    numbers = [a for a in range(10, LARGEST) if len(seconds(a)) > 1]
    order = [numbers[i] for i in np.random.default_rng(seed).permutation(len(numbers))]
    n = HELD_OUT_NUMBERS
    parts = {"validation": order[:n], "development": order[n : 2 * n], "train": order[2 * n :]}
    return {split: tuple(sorted(part)) for split, part in parts.items()}


def seconds(a: int) -> list[int]:
    """Each digit that can be added to ``a`` and taken from it: a mistaken sum has a result too."""
    return [b for b in range(1, 10) if b <= min(a % 10, 9 - a % 10)]


def all_sums(numbers: Collection[int]) -> list[Sum]:
    """Every sum without a carry that begins at one of the numbers."""
    return [
        Sum(a, op, b)
        for a in sorted(numbers)
        for op in "+-"
        for b in range(1, 10)
        if b <= (9 - a % 10 if op == "+" else a % 10)
    ]


def draw(rng: np.random.Generator, frames: Frames, numbers: Sequence[int]) -> tuple[str, Scene]:
    """A problem's text and its scene."""
    kind = _pick(rng, tuple(KINDS))
    op = _pick(rng, KINDS[kind].ops)
    a = _pick(rng, numbers)
    d = _pick(rng, [n for n in seconds(a) if n > 1])  # things, which are several
    b = _pick(rng, [n for n in seconds(a) if n != d])
    first, wrong = Sum(a, op, b), Sum(a, "-" if op == "+" else "+", b)
    sums: tuple[Sum, ...] = (first,)
    slip: tuple[Sum, ...] = (wrong,)
    parts = ["has", "gains" if op == "+" else "loses"]
    c = 0
    if kind in ("more", "fewer"):
        parts = ["has", "other"]
    elif kind == "before":  # what was lost is added again
        parts = ["left", "lost" if op == "+" else "gained"]
    elif kind == "distractor":
        parts.insert(1, "distracts")
        slip = (Sum(a, op, d),)
    elif kind == "two steps":
        again = _pick(rng, [s for s in all_sums([first.result]) if s.b != b])
        sums, slip, c = (first, again), (first,), again.b
        parts.append("gains again" if again.op == "+" else "loses again")
    imperative = bool(rng.random() < IMPERATIVE_SHARE)
    parts.append(("tell" if imperative else "ask") + " before" * (kind == "before"))
    pronoun = _pick(rng, tuple(PRONOUNS))
    who = _pick(rng, PRONOUNS[pronoun])
    other = _pick(rng, tuple(n for names in PRONOUNS.values() for n in names if n != who))
    thing, other_thing = rng.choice(THINGS, 2, replace=False).tolist()
    text = " ".join(_pick(rng, frames[part]) for part in parts).format(
        n=who,
        m=other,
        s=pronoun,
        t=thing,
        o=other_thing,
        a=a,
        b=b,
        c=c,
        d=d,
        r=kind,
        w=other if kind in ("more", "fewer") else who,
    )
    sentences = re.sub(r"(^|[.] )([a-z])", lambda match: match[0].upper(), text)
    return sentences, Scene(kind, sums, slip, imperative)


def _pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    return options[int(rng.integers(len(options)))]
