"""Who speaks when: the WaltzRL protocol, and which of an episode's turns train an agent."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np

from waltzjax.data.chat import Chat
from waltzjax.data.feedback import parse_feedback
from waltzjax.types import CONVERSATION, FEEDBACK, Completion, Episode, Prompt

# speak(role, turn, prompts as token ids, indices of the episodes) -> one completion a prompt, None
# for a prompt too long for the model
Speak = Callable[[str, int, Sequence[tuple[int, ...]], Sequence[int]], list[Completion | None]]


def request_seed(seed: int, step: int, role: str, turn: int, index: int) -> int:
    """A seed in [0, 2^32) for one request, independent of the batch it is served in."""
    entropy = [seed, step, zlib.crc32(role.encode()), turn, index]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def play(prompts: Sequence[Prompt], chat: Chat, speak: Speak, *, t_max: int) -> list[Episode]:
    """Play (p, c_0, f_0, c_1, ..., c_T) for every prompt (arXiv 2510.08240, section 3.1).

    An episode goes on while the feedback agent's own labels ask for it; it stops when both are
    false, when the JSON does not parse, at t = ``t_max`` >= 0, or when its text no longer fits the
    model. No judge is asked.
    """
    episodes = [Episode(prompt) for prompt in prompts]
    live = list(range(len(episodes)))
    for turn in range(t_max + 1):
        if not live:
            break
        states = [conversation_state(chat, episodes[i]) for i in live]
        answers = speak(CONVERSATION, turn, chat.encode(states), live)
        live = _append(live, answers, lambda i: episodes[i].answers)
        if turn == t_max:
            break
        states = [chat.feedback_text(episodes[i].prompt.text, episodes[i].answers[-1].text)
                  for i in live]  # fmt: skip
        replies = speak(FEEDBACK, turn, chat.encode(states), live)
        live = _append(live, replies, lambda i: episodes[i].feedbacks)
        for i in live:
            episodes[i].parsed.append(parse_feedback(episodes[i].feedbacks[-1].text))
        live = [i for i in live if triggered(episodes[i])]
    return episodes


def _append(
    live: Sequence[int], said: Sequence[Completion | None], to: Callable[[int], list[Completion]]
) -> list[int]:
    """Record what was said; the episodes where something was."""
    spoke = [(i, completion) for i, completion in zip(live, said, strict=True) if completion]
    for i, completion in spoke:
        to(i).append(completion)
    return [i for i, _ in spoke]


def triggered(episode: Episode) -> bool:
    """Whether the newest feedback asks for another answer."""
    newest = episode.parsed[-1]
    return newest is not None and (newest.unsafe or newest.overrefuse)


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
