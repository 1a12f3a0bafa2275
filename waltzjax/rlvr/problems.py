"""The problems of a run on maths: read or made, with their instruction, and whether they fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from waltzjax.config.key import EMBEDDED
from waltzjax.data.chat import AgentPrompt
from waltzjax.dataset.splits import stratified
from waltzjax.rlvr.grading.labels import unreadable
from waltzjax.rlvr.grading.verifier import Verifier
from waltzjax.rlvr.problem_files import bare, read_problems, with_instruction, write_problems
from waltzjax.run.runtime import Runtime
from waltzjax.support import console
from waltzjax.support.processes import writes
from waltzjax.toy import maths_world
from waltzjax.types import Problem


def keep_embedded(config: ConfigDict, workdir: Path) -> None:
    """Leave made problems as files, for people and for ``waltzjax.evaluate``."""
    for name, made in (("train", training_problems), ("validation", validation_problems)):
        path = workdir / "data" / f"{name}.jsonl"
        if config.problems[name] == EMBEDDED and writes() and not path.exists():
            path.parent.mkdir(exist_ok=True)
            write_problems(path, made(config))


def training_problems(config: ConfigDict) -> list[Problem]:
    """The problems of ``config.problems.train``, each with its instruction."""
    return _problems(config, "train")


def validation_problems(config: ConfigDict) -> list[Problem]:
    """Up to ``config.eval.prompts`` of ``config.problems.validation``, as many of each subject."""
    problems = _problems(config, "validation")
    return stratified(problems, config.eval.prompts, lambda problem: problem.subject)


def _problems(config: ConfigDict, split: str) -> list[Problem]:
    source, words, e = config.problems[split], config.problems.instruction, config.embedded_maths
    if source == EMBEDDED:
        train, validation, _ = maths_world.build(e.data_seed, e.held_out)
        return train if split == "train" else validation
    problems = read_problems(Path(source))
    return [dataclasses.replace(p, text=with_instruction(p.text, words)) for p in problems]


def say_unreadable(problems: Sequence[Problem], what: str, verifier: Verifier) -> None:
    """Tell how many of the problems, called ``what``, have labels that no answer can be read as."""
    flags = unreadable([p.answer for p in problems], verifier)
    if bad := [p for p, flag in zip(problems, flags, strict=True) if flag]:
        shown = ", ".join(f"{p.answer!r:.60} of number {p.id}" for p in bad[:3])
        console.say(
            f"note: {len(bad)} of the {len(problems)} {what} problems have answers that no reader "
            f"of answers matches, so that only the very same characters count as right: {shown}; "
            "write them as a number, an expression or a short phrase, or leave the problems out"
        )


def check_problems(
    config: ConfigDict,
    runtime: Runtime,
    problems: Sequence[Problem],
    prompt: AgentPrompt | None = None,
) -> Sequence[Problem]:
    """The problems; ValueError unless every one is as short as it must be, and leaves room for an
    answer, shown by ``prompt`` if one is given."""
    most, new = config.problems.max_tokens, config.rollout.max_new_tokens
    rows = runtime.chat.encode([runtime.chat.problem_text(p.text, prompt) for p in problems])
    longest, problem = max((len(row), p.id) for row, p in zip(rows, problems, strict=True))
    if longest > most:
        count = sum(len(row) > most for row in rows)
        raise ValueError(
            f"config.problems.max_tokens: got {most}, but {count} problems take more as the "
            f"policy is shown them, the longest, number {problem}, {longest}: raise it or "
            "leave them out"
        )
    if most + new > (room := runtime.engine.longest):
        raise ValueError(
            f"config.problems.max_tokens + config.rollout.max_new_tokens: got {most} + {new}, "
            f"allowed is {room} in all: the model has {runtime.cfg.max_positions} positions, a "
            "device's part of config.rollout.cache_tokens is "
            f"{runtime.engine.pages * runtime.engine.page_size}"
        )
    return problems


def say_seen(trained_on: Iterable[str], held_out: Sequence[Problem], instruction: str = "") -> None:
    """Tell how many held-out problems are learned from too, however they are written there."""
    texts = {bare(text, instruction) for text in trained_on}
    seen = sum(bare(problem.text, instruction) in texts for problem in held_out)
    if seen:
        console.say(
            f"{seen} of the {len(held_out)} validation problems are trained on too: what is "
            "measured on them is not held out"
        )
