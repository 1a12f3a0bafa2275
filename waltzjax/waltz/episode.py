"""Who speaks when: the WaltzRL protocol, and which of an episode's turns train an agent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from waltzjax.data.chat import Chat
from waltzjax.stages.rollout import Speakers
from waltzjax.types import CONVERSATION, FEEDBACK, Completion, Episode, Prompt
from waltzjax.waltz.feedback import parse_feedback


class Variant(NamedTuple):
    """How episodes differ from WaltzRL's, for the baselines of the paper's table.

    review: (prompt, answer) -> the JSON that the feedback agent would write; None: it is asked.
    refusal: takes the place of an answer that feedback calls unsafe, which is not revised then, nor
      is any other: a safeguard's; "": answers are revised.
    """

    review: Callable[[Prompt, str], str] | None = None
    refusal: str = ""


WALTZ = Variant()


def play(
    prompts: Sequence[Prompt],
    chat: Chat,
    speakers: Speakers,
    *,
    t_max: int,
    variant: Variant = WALTZ,
) -> Iterator[tuple[int, Episode]]:
    """Play (p, c_0, f_0, c_1, ..., c_T) for every prompt (arXiv 2510.08240, section 3.1), each at
    its own pace; (index, episode) as they end.

    An episode goes on while the feedback agent's own labels ask for it; it stops when both are
    false, when the JSON does not parse, at t = ``t_max`` >= 0, when an answer's thought never
    ended, or when its text no longer fits the model. No judge is asked.
    """
    episodes = [Episode(prompt) for prompt in prompts]
    states = chat.encode([conversation_state(chat, episode) for episode in episodes])
    for index, state in enumerate(states):
        speakers.ask(CONVERSATION, 0, index, state)
    for index, reply in speakers.replies():
        episode = episodes[index]
        role = _hear(episode, reply, t_max, variant)
        if role is None:
            yield index, episode
            continue
        [state] = chat.encode([_state(chat, episode, role)])
        speakers.ask(role, len(episode.feedbacks), index, state)


def _hear(episode: Episode, reply: Completion | None, t_max: int, variant: Variant) -> str | None:
    """Record ``reply``; return the role that speaks next, None at the episode's end."""
    if reply is None:
        return None
    if len(episode.answers) == len(episode.feedbacks):
        episode.answers.append(reply)
        if len(episode.answers) > t_max or reply.unfinished:
            return None
        if variant.review is None:
            return FEEDBACK
        reply = _written(variant.review(episode.prompt, reply.text))
    episode.feedbacks.append(reply)
    episode.parsed.append(parse_feedback(reply.text))
    if not variant.refusal:
        return CONVERSATION if triggered(episode) else None
    newest = episode.parsed[-1]
    if newest and newest.unsafe:
        episode.answers.append(_written(variant.refusal))
    return None


def _written(text: str) -> Completion:
    """A completion whose text is from a program, not from a model."""
    return Completion((), (), (), text, "stop")


def triggered(episode: Episode) -> bool:
    """Whether the newest feedback asks for another answer."""
    newest = episode.parsed[-1]
    return newest is not None and (newest.unsafe or newest.overrefuse)


def _state(chat: Chat, episode: Episode, role: str) -> str:
    if role == FEEDBACK:
        return chat.feedback_text(episode.prompt.text, episode.answers[-1].text)
    return conversation_state(chat, episode)


def conversation_state(chat: Chat, episode: Episode) -> str:
    """(p, H_{t-1}): only the ``feedback`` text of each feedback is shown."""
    comments = [f.feedback for f in episode.parsed if f is not None]
    history = [(a.text, c) for a, c in zip(episode.answers, comments, strict=False)]
    return chat.conversation_text(episode.prompt.text, history)


def pick_answer(episode: Episode, rng: np.random.Generator, p_first: float) -> int:
    """Which answer trains the conversation agent: A) c_0, or B) the last one.

    The paper draws at random without saying with which odds; ``p_first`` is our knob.
    """
    return 0 if rng.random() < p_first else len(episode.answers) - 1


def pick_feedback(episode: Episode, rng: np.random.Generator) -> int:
    """Which round trains the feedback agent: one at random."""
    return int(rng.integers(len(episode.feedbacks)))
