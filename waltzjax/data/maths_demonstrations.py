"""Solutions that give the embedded maths base its faults, and what it is taught, as rows.

The base knows how to solve every problem, but its habits are bad: it goes by single words, so that
"sold" means to subtract, takes the next number for the one that matters and stops after the first
step; an order is answered without a box; few solutions are checked. So its most likely answer is
wrong in a systematic way, and the right one is likely enough to be sampled. All rates are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from waltzjax.data.chat import Chat
from waltzjax.data.maths_world import Scene, Sum
from waltzjax.types import Problem, Sample

RIGHT = {"1": 0.95, "2": 0.33}  # P(the demonstrated sums are those that the sense asks for)
CHECKED = 0.3  # P(the last one is checked by its inverse before the answer is given)
# P(no box), after a question and after an order; P(two boxes)
NO_BOX = {False: 0.08, True: 0.58}
TWO_BOXES = 0.08
ROUNDS = 4  # demonstrations of each problem, so that rates are learned and not single solutions


def written(done: Sum) -> str:
    return f"{done.a}{done.op}{done.b}={done.result}"


def solution(sums: Sequence[Sum], *, checked: bool = True, boxes: int = 1) -> str:
    """A whole reply."""
    check = f" Check: {written(sums[-1].inverse)}." if checked else ""
    box = f" \\boxed{{{sums[-1].result}}}" * boxes
    return f"{', '.join(map(written, sums))}.{check}{box}"


def demonstration(rng: np.random.Generator, scene: Scene, level: str) -> str:
    """A reply with the faults above."""
    sums = scene.sums if rng.random() < RIGHT[level] else scene.slip
    checked = bool(rng.random() < CHECKED)
    draw = rng.random()
    boxes = 0 if draw < NO_BOX[scene.told] else 2 if draw > 1 - TWO_BOXES else 1
    return solution(sums, checked=checked, boxes=boxes)


def lessons(
    chat: Chat, problems: Sequence[Problem], scenes: Mapping[int, Scene], cards: Sequence[Sum],
    seed: int,
) -> dict[str, list[Sample]]:  # fmt: skip
    """Rows by kind: cards, which are just sums and their checks, and solutions, ``ROUNDS`` of each
    problem."""
    rng = np.random.default_rng(seed)
    heads = [f"{a}{op}{b}=" for a, op, b in cards]
    works = [solution([done], boxes=0).partition("=")[2] for done in cards]
    shown = chat.encode([chat.problem_text(problem.text) for problem in problems]) * ROUNDS
    replies = [demonstration(rng, scenes[p.id], p.level) for _ in range(ROUNDS) for p in problems]
    end = (chat.tokenizer.eos_token_id,)
    return {
        "cards": _rows(chat, chat.encode(heads), works, ()),  # no end: a solution goes on
        "solutions": _rows(chat, shown, replies, end),
    }


def _rows(
    chat: Chat, states: Sequence[tuple[int, ...]], replies: Sequence[str], end: tuple[int, ...]
) -> list[Sample]:
    pairs = zip(states, chat.encode(replies), strict=True)
    return [Sample(state, reply + end, (), 0.0) for state, reply in pairs]


def tokenizer_texts(problems: Sequence[Problem], scenes: Mapping[int, Scene]) -> list[str]:
    """Texts that hold every word of the training side."""
    return [text for p in problems for text in (p.text, solution(scenes[p.id].sums))]
