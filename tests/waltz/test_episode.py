"""Scripted agents through the protocol, turn by turn."""

import json

import numpy as np
import pytest
from support import completion, tiny_chat

from waltzjax.stages import rollout
from waltzjax.types import CONVERSATION, FEEDBACK, Prompt
from waltzjax.waltz import episode as protocol

PROMPTS = [Prompt(i, f"question {i}", True, "jailbreak_attempt") for i in range(3)]


def reply(unsafe: bool, overrefuse: bool, text: str = "do better") -> str:
    return json.dumps(
        {"reasoning": "r", "unsafe": unsafe, "overrefuse": overrefuse, "feedback": text}
    )


class Script:
    """Agents that say what the script says, the newest question first, and remember what they were
    shown."""

    def __init__(self, feedbacks):
        self.chat, self.feedbacks, self.calls, self.open = tiny_chat(), feedbacks, [], []

    def ask(self, role, turn, index, prompt):
        self.calls.append((role, turn, index, self.chat.tokenizer.decode(prompt)))
        self.open.append((role, turn, index))

    def replies(self):
        while self.open:
            role, turn, index = self.open.pop()
            yield index, self.say(role, turn, index)

    def say(self, role, turn, index):
        if role == CONVERSATION:
            return completion(f"answer {index} turn {turn}")
        return completion(self.feedbacks[index][turn])

    def play(self, t_max, **how):
        found = dict(protocol.play(PROMPTS, self.chat, self, t_max=t_max, **how))
        return [found[index] for index in range(len(PROMPTS))]

    def shown(self, role, turn, index):
        [text] = [call[3] for call in self.calls if call[:3] == (role, turn, index)]
        return text


def test_own_labels_decide_who_goes_on():
    script = Script([[reply(True, False)], [reply(False, False)], ["not json"]])
    episodes = script.play(1)
    first = [(CONVERSATION, 0, i) for i in range(3)]
    reviews = [(FEEDBACK, 0, i) for i in (2, 1, 0)]
    assert [call[:3] for call in script.calls] == [*first, *reviews, (CONVERSATION, 1, 0)]
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
        def say(self, who, turn, index):
            return None if (who, turn, index) == (role, 1, 0) else super().say(who, turn, index)

    episodes = Full([[reply(True, False)] * 2] * 3).play(2)
    assert (len(episodes[0].answers), len(episodes[0].feedbacks)) == lengths
    assert [len(e.answers) for e in episodes[1:]] == [3, 3]
    assert all(len(e.parsed) == len(e.feedbacks) for e in episodes)


def test_no_episode_waits_for_another():
    """The newest question is answered first: the last episode is over before the first is heard."""
    script = Script([[reply(True, False)] * 3] * 3)
    ended = [index for index, _ in protocol.play(PROMPTS, script.chat, script, t_max=2)]
    assert ended == [2, 1, 0]
    order = [call[2] for call in script.calls[3:]]
    assert order == [2] * 4 + [1] * 4 + [0] * 4


def test_stops_in_the_middle():
    script = Script([[reply(True, False), reply(False, False)]] * 3)
    assert [len(e.answers) for e in script.play(3)] == [2, 2, 2]


def test_the_conversation_agent_sees_only_the_feedback_text_and_the_whole_history():
    script = Script([[reply(True, False, "first hint"), reply(True, True, "second hint")]] * 3)
    script.play(2)
    shown = script.shown(CONVERSATION, 2, 1)
    order = ["question 1", "answer 1 turn 0", "first hint", "answer 1 turn 1", "second hint"]
    places = [shown.index(text) for text in order]
    assert places == sorted(places)
    assert "reasoning" not in shown and "unsafe" not in shown
    assert shown.endswith("<|assistant|>")


def test_the_feedback_agent_sees_the_prompt_and_the_newest_answer_alone():
    script = Script([[reply(True, False, "hint")] * 2] * 3)
    script.play(2)
    shown = script.shown(FEEDBACK, 1, 2)
    assert "question 2" in shown and "answer 2 turn 1" in shown
    assert "turn 0" not in shown and "hint" not in shown


def test_request_seeds_differ_by_everything_and_by_nothing_else():
    arguments = [(s, t, r, k, i) for s in (0, 1) for t in (0, 1) for r in (CONVERSATION, FEEDBACK)
                 for k in (0, 1) for i in (0, 1)]  # fmt: skip
    seeds = [rollout.request_seed(*a) for a in arguments]
    assert len(set(seeds)) == len(seeds)
    assert seeds == [rollout.request_seed(*a) for a in arguments]


def test_both_rounds_and_both_states_are_drawn():
    episode = Script([[reply(True, False)] * 3] * 3).play(3)[0]
    rng = np.random.default_rng(0)
    assert {protocol.pick_feedback(episode, rng) for _ in range(60)} == {0, 1, 2}
    answers = [protocol.pick_answer(episode, rng, 0.25) for _ in range(400)]
    assert set(answers) == {0, 3}
    assert 60 < answers.count(0) < 140  # 100 expected, sd 8.7


def test_a_review_given_takes_the_feedback_agents_place():
    """The first answer of prompt 1 and all of prompt 2 are found fault with; 0 is not judged."""

    def review(prompt, answer):
        if prompt.id == 0:
            return ""
        return reply(prompt.id == 2 or "turn 0" in answer, False, "mend it")

    script = Script([])
    episodes = script.play(2, variant=protocol.Variant(review=review))
    assert {role for role, *_ in script.calls} == {CONVERSATION}
    assert [len(e.answers) for e in episodes] == [1, 2, 3]
    assert [len(e.feedbacks) for e in episodes] == [1, 2, 2]
    assert episodes[0].parsed == [None]
    assert "mend it" in script.shown(CONVERSATION, 1, 1)


def test_a_safeguard_refuses_what_is_called_unsafe_and_asks_nobody_again():
    script = Script([[reply(True, False)], [reply(False, True)], ["not json"]])
    episodes = script.play(1, variant=protocol.Variant(refusal="No."))
    assert [[a.text for a in e.answers][1:] for e in episodes] == [["No."], [], []]
    assert [len(e.feedbacks) for e in episodes] == [1, 1, 1]
    assert not [call for call in script.calls if call[:2] == (CONVERSATION, 1)]


def test_a_review_that_stands_guard_refuses_and_no_feedback_agent_is_asked():
    def review(prompt, answer):
        assert answer == f"answer {prompt.id} turn 0"
        return reply(prompt.id == 1, False)

    script = Script([])
    episodes = script.play(1, variant=protocol.Variant(review=review, refusal="No."))
    assert [[a.text for a in e.answers][1:] for e in episodes] == [[], ["No."], []]
    assert [call[:3] for call in script.calls] == [(CONVERSATION, 0, i) for i in range(3)]
