"""Who speaks when: the WaltzRL protocol, and single-agent rows out of two-agent episodes.

Nothing downstream of this module knows that there were two agents.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np

from waltzjax.data.chat import Chat
from waltzjax.data.feedback import parse_feedback
from waltzjax.types import CONVERSATION, FEEDBACK, Completion, Episode, Prompt

# speak(role, turn, prompts as token ids, indices of the episodes) -> one completion a prompt
Speak = Callable[[str, int, Sequence[tuple[int, ...]], Sequence[int]], list[Completion]]


def request_seed(seed: int, step: int, role: str, turn: int, index: int) -> int:
    """A seed in [0, 2^32) for one request, independent of the batch it is served in."""
    entropy = [seed, step, zlib.crc32(role.encode()), turn, index]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def play(prompts: Sequence[Prompt], chat: Chat, speak: Speak, *, t_max: int) -> list[Episode]:
    """Play (p, c_0, f_0, c_1, ..., c_T) for every prompt (arXiv 2510.08240, section 3.1).

    An episode goes on while the feedback agent's own labels ask for it; it stops when both are
    false, when the JSON does not parse, or at t = ``t_max`` >= 0. No judge is asked.
    """
    episodes = [Episode(prompt) for prompt in prompts]
    live = list(range(len(episodes)))
    for turn in range(t_max + 1):
        if not live:
            break
        states = [conversation_state(chat, episodes[i]) for i in live]
        answers = speak(CONVERSATION, turn, chat.encode(states), live)
        for i, answer in zip(live, answers, strict=True):
            episodes[i].answers.append(answer)
        if turn == t_max:
            break
        states = [chat.feedback_text(episodes[i].prompt.text, episodes[i].answers[-1].text)
                  for i in live]  # fmt: skip
        replies = speak(FEEDBACK, turn, chat.encode(states), live)
        for i, reply in zip(live, replies, strict=True):
            episodes[i].feedbacks.append(reply)
            episodes[i].parsed.append(parse_feedback(reply.text))
        live = [i for i in live if triggered(episodes[i])]
    return episodes


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
