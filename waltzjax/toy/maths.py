"""The embedded maths world's base model, built from nothing, and the solutions it is taught.

The base knows how to solve every problem, but its habits are bad: it goes by single words, so that
"sold" means to subtract, takes the next number for the one that matters and stops after the first
step; an order is answered without a box; few solutions are checked. So its most likely answer is
wrong in a systematic way, and the right one is likely enough to be sampled. Under a persona's
prompt it may be right more often, or less. All rates are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax.data.chat import MATHS_FIELDS, AgentPrompt, Chat, read_agent_prompt
from waltzjax.run.runtime import named_prompts, prompt_file, prompt_files
from waltzjax.support import console
from waltzjax.toy import maths_world
from waltzjax.toy.base_model import train_base, train_tokenizer
from waltzjax.toy.maths_world import Scene, Sum
from waltzjax.types import BOXED, LINE, Problem, Sample

RIGHT = {"1": 0.95, "2": 0.33}  # P(the demonstrated sums are those that the sense asks for)
CHECKED = 0.3  # P(the last one is checked by its inverse before the answer is given)
# P(the result is not named), after a question and after an order; P(it is named twice)
UNNAMED = {False: 0.08, True: 0.58}
TWICE = 0.08
FORMS = {BOXED: " \\boxed{{{}}}", LINE: "\nAnswer: {}"}  # of a result
ROUNDS = 4  # demonstrations of each problem, so that rates are learned and not single solutions


def written(done: Sum) -> str:
    return f"{done.a}{done.op}{done.b}={done.result}"


def solution(
    sums: Sequence[Sum], *, checked: bool = True, named: int = 1, form: str = BOXED
) -> str:
    """A whole reply, in which the result is ``named`` so many times, in a form of ``FORMS``."""
    check = f" Check: {written(sums[-1].inverse)}." if checked else ""
    return f"{', '.join(map(written, sums))}.{check}{FORMS[form].format(sums[-1].result) * named}"


def demonstration(
    rng: np.random.Generator,
    scene: Scene,
    level: str,
    form: str = BOXED,
    right: float | None = None,
) -> str:
    """A reply with the faults above; with ``right``, under a persona that is right so often on
    level 2, and always names its result once."""
    rate = RIGHT[level] if right is None or level == "1" else right
    sums = scene.sums if rng.random() < rate else scene.slip
    checked = bool(rng.random() < CHECKED)
    draw = rng.random()
    named = 0 if draw < UNNAMED[scene.imperative] else 2 if draw > 1 - TWICE else 1
    if right is not None:
        named = 1
    return solution(sums, checked=checked, named=named, form=form)


def lessons(
    chat: Chat,
    problems: Sequence[Problem],
    scenes: Mapping[int, Scene],
    cards: Sequence[Sum],
    seed: int,
    *,
    form: str = BOXED,
    personas: Sequence[tuple[AgentPrompt, float]] = (),
) -> dict[str, list[Sample]]:
    """Rows by kind: cards, which are just sums and their checks, and solutions, ``ROUNDS`` of each
    problem; and one of each under each persona's prompt, with its rate of right ones on level 2."""
    rng = np.random.default_rng(seed)
    heads = [f"{a}{op}{b}=" for a, op, b in cards]
    works = [solution([done], named=0).partition("=")[2] for done in cards]
    shown = chat.encode([chat.problem_text(problem.text) for problem in problems]) * ROUNDS
    replies = [
        demonstration(rng, scenes[p.id], p.level, form) for _ in range(ROUNDS) for p in problems
    ]
    for prompt, right in personas:
        shown += chat.encode([chat.problem_text(problem.text, prompt) for problem in problems])
        replies += [demonstration(rng, scenes[p.id], p.level, form, right) for p in problems]
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


def tokenizer_texts(
    problems: Sequence[Problem], scenes: Mapping[int, Scene], form: str = BOXED
) -> list[str]:
    """Texts that hold every word of the training side."""
    return [text for p in problems for text in (p.text, solution(scenes[p.id].sums, form=form))]


TURNS = ("solutions",)
TOKENIZER_PROBLEMS = 2000  # whose texts the tokenizer is trained on: every word is there


def embedded_maths_base(config: ConfigDict, mesh: Mesh, directory: Path) -> None:
    """Train the base model and save it as a Hugging Face directory, unless it is there already."""
    if directory.exists():
        return
    e = config.embedded_maths
    with console.phase("training the tokenizer, writing solutions"):
        train, _, scenes = maths_world.build(e.data_seed, e.held_out)
        form = config.problems.form
        texts = tokenizer_texts(train[:TOKENIZER_PROBLEMS], scenes, form)
        tokenizer = train_tokenizer(texts, e.vocab_size, single_digits=True)
        chat = Chat.from_files(tokenizer, *prompt_files(config), prompt_file(config, "maths"))
        cards = maths_world.all_sums(maths_world.split_numbers(e.data_seed)["train"])
        personas = [
            (
                read_agent_prompt(
                    named_prompts(file, "config.embedded_maths.personas"), MATHS_FIELDS
                ),
                right,
            )
            for file, right in e.personas
        ]
        taught = lessons(chat, train, scenes, cards, config.seed, form=form, personas=personas)
    train_base(config, "embedded_maths", mesh, directory, tokenizer, taught, TURNS)
