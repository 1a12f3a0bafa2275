"""Solutions that give the embedded maths base its faults, and what it is taught, as rows.

The base knows how to solve every problem, but its habits are bad: it goes by single words, so that
"how many more" means to add and "sold" to subtract, and takes the next number for the one that
matters; an order is answered without a box; few solutions are checked. So its most likely answer is
wrong in a systematic way, and the right one is likely enough to be sampled. All rates are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from waltzjax.data.chat import AgentPrompt, Chat, fill
from waltzjax.data.maths_world import Scene, Sum
from waltzjax.types import Problem, Sample

# P(the demonstrated solution does the sum that the problem asks for), by kind.
RIGHT_SUM = {
    "gain": 0.95, "loss": 0.95, "more": 0.95, "fewer": 0.95,
    "need": 0.42, "before": 0.42, "distractor": 0.42,
}  # fmt: skip
CHECKED = 0.3  # P(it is checked by the inverse operation before the answer is given)
# P(no box), after a question and after an order; P(two boxes)
NO_BOX = {False: 0.08, True: 0.58}
TWO_BOXES = 0.08
ROUNDS = 4  # demonstrations of each problem, so that rates are learned and not single solutions


def slip(scene: Scene) -> Sum:
    """The mistaken sum: the operation that a word suggests, or the number that does not matter."""
    a, op, b = scene.sum
    return Sum(a, op, scene.distractor) if scene.distractor else Sum(a, "-+"[op == "-"], b)


def columns(done: Sum) -> str:
    """The work, column by column: "34+28" as "4+8=12, 3+2+1=6", "62-28" as "12-8=4, 5-2=3"."""
    (tens, ones), (other_tens, others) = divmod(done.a, 10), divmod(done.b, 10)
    result_tens, result_ones = divmod(done.result, 10)
    if done.op == "+":
        carry = "+1" if done.carries else ""
        return f"{ones}+{others}={ones + others}, {tens}+{other_tens}{carry}={result_tens}"
    ten = 1 if done.carries else 0
    return f"{10 * ten + ones}-{others}={result_ones}, {tens - ten}-{other_tens}={result_tens}"


def work(done: Sum, *, checked: bool) -> str:
    """How a sum is done, after "34+28:"; no box yet."""
    back = done.inverse
    check = f" Check: {back.a}{back.op}{back.b}={done.a}." if checked else ""
    return f" {columns(done)}, {done.result}.{check}"


def solution(done: Sum, *, checked: bool = True, boxes: int = 1) -> str:
    """A whole reply."""
    head = f"{done.a}{done.op}{done.b}:"
    return head + work(done, checked=checked) + f" \\boxed{{{done.result}}}" * boxes


def demonstration(rng: np.random.Generator, scene: Scene) -> str:
    """A reply with the faults above."""
    done = scene.sum if rng.random() < RIGHT_SUM[scene.kind] else slip(scene)
    checked = bool(rng.random() < CHECKED)
    draw = rng.random()
    boxes = 0 if draw < NO_BOX[scene.told] else 2 if draw > 1 - TWO_BOXES else 1
    return solution(done, checked=checked, boxes=boxes)


def lessons(
    chat: Chat, prompt: AgentPrompt, problems: Sequence[Problem], scenes: Mapping[int, Scene],
    cards: Sequence[Sum], seed: int,
) -> dict[str, list[Sample]]:  # fmt: skip
    """Rows by kind: cards, which are sums alone; solutions, ``ROUNDS`` of each problem, as
    ``prompt`` shows it; and readings, of others just the sum they do: all there is to decide, in
    half the tokens."""
    rng = np.random.default_rng(seed)
    heads = [f"{a}{op}{b}:" for a, op, b in cards]
    works = [solution(done).removeprefix(head) for done, head in zip(cards, heads, strict=True)]
    states = [
        chat.render(
            [
                {"role": "system", "content": prompt.system},
                {"role": "user", "content": fill(prompt.message, problem=problem.text)},
            ]
        )
        for problem in problems
    ]
    shown = chat.encode(states) * ROUNDS
    replies, others = (
        [demonstration(rng, scenes[problem.id]) for _ in range(ROUNDS) for problem in problems]
        for _ in range(2)
    )
    end = (chat.tokenizer.eos_token_id,)
    return {
        "cards": _rows(chat, chat.encode(heads), works, end),
        "readings": _rows(chat, shown, [text[: text.index(":") + 1] for text in others], ()),
        "solutions": _rows(chat, shown, replies, end),
    }


def _rows(
    chat: Chat, states: Sequence[tuple[int, ...]], replies: Sequence[str], end: tuple[int, ...]
) -> list[Sample]:
    pairs = zip(states, chat.encode(replies), strict=True)
    return [Sample(state, reply + end, (), 0.0) for state, reply in pairs]


def tokenizer_texts(problems: Sequence[Problem], scenes: Mapping[int, Scene]) -> list[str]:
    """Texts that hold every word of the training side."""
    return [text for p in problems for text in (p.text, solution(scenes[p.id].sum))]
