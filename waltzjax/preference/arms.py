"""Every arm's answer to every question, as requests of one session."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator

from ml_collections import ConfigDict

from waltzjax.config.preferences import read_arms
from waltzjax.data.chat import MATHS_FIELDS, AgentPrompt, read_agent_prompt
from waltzjax.engine.requests import Request
from waltzjax.engine.session import Session
from waltzjax.run.runtime import Runtime, named_prompts, sampling
from waltzjax.stages.rollout import completion
from waltzjax.types import POLICY, Completion, Problem

# Requests under way, of the slots: as many wait as are drawn, so that no slot is ever free while
# there are questions. They are opened only so far ahead, whatever their number.
AHEAD = 2


def personas(config: ConfigDict) -> dict[str, AgentPrompt]:
    """The prompts of ``config.collect.arms``, by their names there. Raises FileNotFoundError with
    the key of one that is not there, ValueError with the file of one that shows no problem."""
    return {
        arm.persona: read_agent_prompt(
            named_prompts(arm.persona, f"config.collect.arms[{number}].persona"), MATHS_FIELDS
        )
        for number, arm in enumerate(read_arms(config.collect.arms))
    }


def request_seed(seed: int, question: str) -> int:
    """A seed in [0, 2^32) of what an arm's ``seed`` draws for a question, whatever else is
    asked."""
    digest = hashlib.sha256(f"{seed}\n{question}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def answers(
    config: ConfigDict,
    runtime: Runtime,
    session: Session,
    questions: Iterable[Problem],
    watch: Callable[[int], None],
) -> Iterator[tuple[Problem, list[Completion]]]:
    """Each question with its answers in the arms' order, as the last of them ends. ``watch`` is
    told, as generation goes on, how many more answers have ended: 0 or 1."""
    arms, prompt_of, chat = read_arms(config.collect.arms), personas(config), runtime.chat
    left, most = iter(questions), AHEAD * config.rollout.max_num_seqs
    prompts: dict[tuple[int, int], tuple[int, ...]] = {}  # by question and arm, under way
    pending: dict[int, tuple[Problem, dict[int, Completion]]] = {}

    def ask_more() -> None:
        while len(prompts) < most and (problem := next(left, None)):
            pending[problem.id] = problem, {}
            texts = [chat.problem_text(problem.text, prompt) for prompt in prompt_of.values()]
            shown = dict(zip(prompt_of, chat.encode(texts), strict=True))
            for number, arm in enumerate(arms):
                prompt = shown[arm.persona]
                key, seed = (problem.id, number), request_seed(arm.seed, problem.text)
                prompts[key] = prompt
                how = sampling(config, arm.temperature)
                session.submit(Request(key, POLICY, prompt, how, seed))

    ask_more()
    for key, _, result in session.stream():
        watch(bool(result))
        if not result:
            continue
        problem, completions = pending[key[0]]
        completions[key[1]] = completion(chat, prompts.pop(key), result)
        ask_more()
        if len(completions) == len(arms):
            del pending[problem.id]
            yield problem, [completions[number] for number in range(len(arms))]
