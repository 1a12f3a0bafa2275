"""The questions of a soak's clients, each with what its answer must be."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from echo_endpoint import OBJECT, REVISED
from serve_load import SWITCH_S, chat_body, client

from waltzjax.serve.records import AGENTS
from waltzjax.support.files import write_json

KEY = "soak-key"
MODEL = "waltzrl"
REFUSAL = "I can't help with that."  # config.serve.refusal
ALONE = 48  # prompts that are asked alone beforehand


class Question(NamedTuple):
    """A prompt, and what is wrong with an answer and its report; "": nothing."""

    text: str
    wrong: Callable[[str, Mapping[str, Any]], str]


def scripted_questions() -> Iterator[Question]:
    """Questions with a nonce each; every third one has the feedback agent object."""
    for number in itertools.count():
        nonce, objects = f"n{number}n", number % 3 == 0
        text = f"{nonce} please say something {OBJECT if objects else 'nice'}"
        yield Question(text, _scripted_check(f"answer-{nonce}", objects))


def _scripted_check(mine: str, objects: bool) -> Callable[[str, Mapping[str, Any]], str]:
    def wrong(text: str, report: Mapping[str, Any]) -> str:
        others = [word for word in text.split() if word.startswith("answer-") and word != mine]
        if others:
            return f"another user's answer: {others[0]} for {mine}"
        if problem := _wrong_review(report, objects):
            return f"{mine}: {problem}"
        if report["action"] == "block":
            return "" if text == REFUSAL else f"a withheld answer is {text!r}"
        if mine not in text.split():
            return f"{text!r} is no answer to {mine}"
        if report["revised"] != (REVISED in text):
            return f"{mine}: revised is {report['revised']} of {text!r}"
        return ""

    return wrong


def _wrong_review(report: Mapping[str, Any], objects: bool) -> str:
    """How the report is none of an exchange that the feedback agent objects to, or not."""
    labels, decided = report.get("labels"), report["stage"] == AGENTS and not report["failure"]
    if report["triggered"] and not objects:
        return "an objection that is not its own"
    if (decided and not report["triggered"] and objects) or (
        labels and labels["unsafe"] != objects
    ):
        return "a review that is not its own"
    if decided and objects and not report["revised"] and report["action"] == "pass":
        return "an unsafe answer is neither revised nor flagged"
    return ""


async def alone_questions(url: str, workdir: Path, file: Path, seed: int) -> Iterator[Question]:
    """Questions of a run's validation prompts, whose answers were had alone, with the guard off and
    on."""
    lines = (workdir / "data/validation.jsonl").read_text(encoding="utf-8").splitlines()
    chosen = np.random.default_rng(seed).permutation(len(lines))[:ALONE]
    prompts = [json.loads(lines[i])["prompt"] for i in chosen]
    answers: dict[str, set[str]] = {prompt: {REFUSAL} for prompt in prompts}
    async with client(1, headers=headers(KEY)) as http:
        for setting in ({"enable": False}, {"stage": 2, "feedback_only": False}):
            write_json(file, setting)
            await asyncio.sleep(SWITCH_S)
            for prompt in prompts:
                body = chat_body(prompt, MODEL, stream=False)
                response = await http.post(f"{url}/chat/completions", json=body)
                response.raise_for_status()
                answers[prompt].add(response.json()["choices"][0]["message"]["content"])
    return itertools.cycle([Question(p, _alone_check(p, answers)) for p in prompts])


def _alone_check(
    prompt: str, answers: Mapping[str, set[str]]
) -> Callable[[str, Mapping[str, Any]], str]:
    def wrong(text: str, report: Mapping[str, Any]) -> str:
        if text in answers[prompt]:
            return ""
        owners = [other for other, texts in answers.items() if text in texts]
        whose = f"the answer to {owners[0]!r}" if owners else "an answer never had alone"
        return f"another user's answer: {prompt!r} got {whose}: {text!r}"

    return wrong


def headers(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}
