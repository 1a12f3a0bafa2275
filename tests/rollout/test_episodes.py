"""Scripted agents through the protocol, turn by turn."""

import json

import numpy as np
import pytest
from support import completion, tiny_chat

from waltzjax.rollout import episodes as protocol
from waltzjax.types import CONVERSATION, FEEDBACK, Prompt

PROMPTS = [Prompt(i, f"question {i}", True, "jailbreak_attempt") for i in range(3)]


def reply(unsafe: bool, overrefuse: bool, text: str = "do better") -> str:
    return json.dumps(
        {"reasoning": "r", "unsafe": unsafe, "overrefuse": overrefuse, "feedback": text}
    )


class Script:
    """Agents that say what the script says, and remember what they were shown."""

    def __init__(self, feedbacks):
        self.chat, self.feedbacks, self.calls = tiny_chat(), feedbacks, []

    def __call__(self, role, turn, prompts, indices):
        shown = [self.chat.tokenizer.decode(p) for p in prompts]
        self.calls.append((role, turn, list(indices), shown))
        if role == CONVERSATION:
            return [completion(f"answer {i} turn {turn}") for i in indices]
        return [completion(self.feedbacks[i][turn]) for i in indices]

    def play(self, t_max):
        return protocol.play(PROMPTS, self.chat, self, t_max=t_max)


def test_own_labels_decide_who_goes_on():
    script = Script([[reply(True, False)], [reply(False, False)], ["not json"]])
    episodes = script.play(1)
    assert [(role, turn, who) for role, turn, who, _ in script.calls] == [
        (CONVERSATION, 0, [0, 1, 2]),
        (FEEDBACK, 0, [0, 1, 2]),
        (CONVERSATION, 1, [0]),
    ]
    assert [len(e.answers) for e in episodes] == [2, 1, 1]
    assert [len(e.feedbacks) for e in episodes] == [1, 1, 1]
    assert episodes[2].parsed == [None]


@pytest.mark.parametrize("t_max", [0, 1, 2, 3])
def test_stops_at_t_max_without_a_last_feedback(t_max):
    script = Script([[reply(False, True)] * 3] * 3)
    for episode in script.play(t_max):
        assert len(episode.answers) == t_max + 1
        assert len(episode.feedbacks) == t_max


@pytest.mark.parametrize(("role", "lengths"), [(CONVERSATION, (1, 1)), (FEEDBACK, (2, 1))])
def test_an_episode_ends_where_its_text_no_longer_fits(role, lengths):
    class Full(Script):
        def __call__(self, who, turn, prompts, indices):
            said = super().__call__(who, turn, prompts, indices)
            full = (who, turn, indices[0]) == (role, 1, 0)
            return [None, *said[1:]] if full else said

    episodes = Full([[reply(True, False)] * 2] * 3).play(2)
    assert (len(episodes[0].answers), len(episodes[0].feedbacks)) == lengths
    assert [len(e.answers) for e in episodes[1:]] == [3, 3]
    assert all(len(e.parsed) == len(e.feedbacks) for e in episodes)


def test_stops_in_the_middle():
    script = Script([[reply(True, False), reply(False, False)]] * 3)
    assert [len(e.answers) for e in script.play(3)] == [2, 2, 2]


def test_the_conversation_agent_sees_only_the_feedback_text_and_the_whole_history():
    script = Script([[reply(True, False, "first hint"), reply(True, True, "second hint")]] * 3)
    script.play(2)
    shown = script.calls[-1][3][1]
    order = ["question 1", "answer 1 turn 0", "first hint", "answer 1 turn 1", "second hint"]
    places = [shown.index(text) for text in order]
    assert places == sorted(places)
    assert "reasoning" not in shown and "unsafe" not in shown
    assert shown.endswith("<|assistant|>")


def test_the_feedback_agent_sees_the_prompt_and_the_newest_answer_alone():
    script = Script([[reply(True, False, "hint")] * 2] * 3)
    script.play(2)
    shown = script.calls[3][3][2]
    assert "question 2" in shown and "answer 2 turn 1" in shown
    assert "turn 0" not in shown and "hint" not in shown


def test_request_seeds_differ_by_everything_and_by_nothing_else():
    arguments = [(s, t, r, k, i) for s in (0, 1) for t in (0, 1) for r in (CONVERSATION, FEEDBACK)
                 for k in (0, 1) for i in (0, 1)]  # fmt: skip
    seeds = [protocol.request_seed(*a) for a in arguments]
    assert len(set(seeds)) == len(seeds)
    assert seeds == [protocol.request_seed(*a) for a in arguments]


def test_both_rounds_and_both_states_are_drawn():
    episode = Script([[reply(True, False)] * 3] * 3).play(3)[0]
    rng = np.random.default_rng(0)
    assert {protocol.pick_feedback(episode, rng) for _ in range(60)} == {0, 1, 2}
    answers = [protocol.pick_answer(episode, rng, 0.25) for _ in range(400)]
    assert set(answers) == {0, 3}
    assert 60 < answers.count(0) < 140  # 100 expected, sd 8.7
