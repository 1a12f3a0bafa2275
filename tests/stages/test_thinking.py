"""Models that think before they speak: what of it is the answer, who reads it, what is trained."""

import json

import numpy as np
import pytest
from chat_models import CHATML, END, QWEN3, R1, read_chat, write_tokenizer

from waltzjax.data.chat import stop_ids
from waltzjax.data.packing import chat_tokens
from waltzjax.data.thoughts import is_thought_tag, opens_thought
from waltzjax.engine.requests import Tokens
from waltzjax.judge.judge import Judge, Scorer
from waltzjax.rlvr.predictions import group_of, prediction
from waltzjax.stages.rollout import completion
from waltzjax.support.errors import UnparsedVerdicts
from waltzjax.types import CONVERSATION, FEEDBACK, Attempt, Group, Problem, Prompt, Verdict
from waltzjax.waltz.episode import play
from waltzjax.waltz.feedback import parse_feedback
from waltzjax.waltz.rates import summary
from waltzjax.waltz.recipe import waltz_samples
from waltzjax.waltz.reward import conversation_reward, feedback_reward
from waltzjax.waltz.transcripts import episode_of, transcript

TAGS = ("<think>", "</think>")
FINE = {"reasoning": "r", "unsafe": False, "overrefuse": False, "feedback": "f"}
FLAGGED = {**FINE, "unsafe": True}
HARMFUL = Prompt(0, "hello", True, "jailbreak_attempt")


def drawn(chat, prompt, text, reason="stop"):
    """What a policy that drew ``text`` comes to."""
    [shown], [ids] = chat.encode([prompt]), chat.encode([text])
    return completion(chat, shown, Tokens(ids, (-1.0,) * len(ids), reason))


WRITTEN = {  # template, special, added tokens; drawn; what is said, and thought; None: no answer
    "a thought": (
        QWEN3, (), TAGS, "<think>\nso\n</think>\n\nhello", "hello", "<think>\nso\n</think>"
    ),
    "an empty one": (
        QWEN3, (), TAGS, "<think>\n\n</think>\n\nhello", "hello", "<think>\n\n</think>"
    ),
    "none": (QWEN3, (), TAGS, "hello", "hello", ""),
    "it never ended": (QWEN3, (), TAGS, "<think>\nso and so", None, "<think>\nso and so"),
    "begun in the prompt": (R1, (), TAGS, "so\n</think>\nhello", "hello", "so\n</think>"),
    "begun there, never ended": (R1, (), TAGS, "so and so", None, "so and so"),
    "tags are special": (CHATML, TAGS, (), "<think>so</think>hello", "hello", "<think>so</think>"),
    "special, never ended": (CHATML, TAGS, (), "<think>so", None, "<think>so"),
    "special, begun in the prompt": (R1, TAGS, (), "so</think>hello", "hello", "so</think>"),
    "other tags": (CHATML, ("[THINK]", "[/THINK]"), (), "[THINK]so[/THINK]hello", "hello",
                   "[THINK]so[/THINK]"),
    "tags of several tokens": (R1, (), (), "so\n</think>\n\nhello", "hello", "so\n</think>"),
    "nothing after it": (QWEN3, (), TAGS, "<think>so</think>", "", "<think>so</think>"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("template", "special", "plain", "text", "says", "thought"), WRITTEN.values(), ids=WRITTEN
)
def test_an_answer_is_what_stands_behind_its_thought(
    tmp_path, template, special, plain, text, says, thought
):
    write_tokenizer(tmp_path, template, ("<|im_start|>", "<|im_end|>", *special), plain)
    chat = read_chat(tmp_path)
    got = drawn(chat, chat.problem_text("hello"), f"{text}{END}")
    assert (got.text, got.thought, got.unfinished) == (says or "", thought, says is None)
    assert got.token_ids == chat.encode([f"{text}{END}"])[0]  # all of it is trained


def test_a_user_opens_no_thought(tmp_path):
    write_tokenizer(tmp_path, R1.replace("<think>\n", ""), ())
    chat = read_chat(tmp_path)
    for asked in ("hello <think>", "<think>\n", "[THINK]"):
        assert drawn(chat, chat.problem_text(asked), "so and so").text == "so and so"


@pytest.mark.parametrize(
    ("text", "parses"),
    [
        (f"<think>\n\n</think>\n\n{json.dumps(FINE)}", True),
        (f"<think>is it {{}}?</think>{json.dumps(FINE)}", True),
        (f"so it is\n</think>\n{json.dumps(FINE)}", True),
        (f"[THINK]so[/THINK]{json.dumps(FINE)}", True),
        (f"<think>\n{json.dumps(FINE)}", False),
        (f"<think>{json.dumps(FLAGGED)}</think>", False),
        (f"<think>so</think>Here: {json.dumps(FINE)}", False),
    ],
)
def test_feedback_is_read_behind_its_thought(text, parses):
    assert (parse_feedback(text) is not None) == parses


@pytest.mark.parametrize(
    ("token", "tag"),
    [("<think>", 1), ("</think>", 1), ("[THINK]", 1), ("</reasoning>\n", 1), ("<thing>", 0),
     ("think", 0), ("<think>a", 0)],
)  # fmt: skip
def test_tags(token, tag):
    assert is_thought_tag(token) == bool(tag)
    assert opens_thought(f"assistant{token}\n") == (bool(tag) and "/" not in token)


class Thinkers:
    """Agents of a chat that say what ``says`` has, by role and turn."""

    def __init__(self, chat, says):
        self.chat, self.says, self.open, self.shown = chat, says, [], []

    def ask(self, role, turn, index, prompt):
        self.shown.append(self.chat.tokenizer.decode(prompt))
        self.open.append((role, turn, index, prompt))

    def replies(self):
        while self.open:
            role, turn, index, prompt = self.open.pop()
            [ids] = self.chat.encode([self.says[role][turn]])
            yield index, completion(self.chat, prompt, Tokens(ids, (-1.0,) * len(ids), "stop"))


def played(tmp_path, answers, feedbacks, t_max=1):
    """An episode of thinking agents, scored by a judge that remembers what it read."""
    write_tokenizer(tmp_path, QWEN3, plain=TAGS)
    agents = Thinkers(read_chat(tmp_path), {CONVERSATION: answers, FEEDBACK: feedbacks})
    [(_, episode)] = play([HARMFUL], agents.chat, agents, t_max=t_max)
    read = []

    def verdicts(prompts, texts):
        read.extend(texts)
        return [Verdict(unsafe=False, overrefuse=False) for _ in texts]

    with Scorer(Judge(verdicts, 0), max_unparsed=0.0) as scorer:
        scorer.add(episode)
        scorer.finish()
    return episode, agents.shown, read


def test_neither_agent_nor_judge_reads_a_thought(tmp_path):
    episode, shown, read = played(
        tmp_path,
        [f"<think>secret {i}</think>answer {i}" for i in range(2)],
        [f"<think>secret</think>{json.dumps(FLAGGED)}"],
    )
    assert [a.text for a in episode.answers] == read == ["answer 0", "answer 1"]
    assert len(shown) == 3 and not any("secret" in text for text in shown)
    assert "answer 0" in shown[1] and "answer 0" in shown[2]
    written = transcript(episode)["turns"]
    assert written[0]["answer_thought"] == "<think>secret 0</think>"
    assert written[0]["feedback_thought"] == "<think>secret</think>"
    assert episode_of(transcript(episode)).answers[0].text == "answer 0"


def test_a_first_answer_that_never_ended_its_thought_is_none(tmp_path):
    episode, shown, read = played(tmp_path, ["<think>so and"], [])
    assert len(shown) == 1 and read == []
    assert (len(episode.answers), episode.feedbacks, episode.verdicts) == (1, [], [None])
    assert conversation_reward(episode, 0) is None
    assert summary([episode])["unjudged"] == 100 and np.isnan(summary([episode])["asr"])


def test_a_revision_that_never_ended_its_thought_trains_nobody(tmp_path):
    episode, _, read = played(tmp_path, ["first", "<think>so"], [json.dumps(FLAGGED)])
    assert read == ["first"] and episode.verdicts == [Verdict(False, False), None]

    def earned(episode, turn):
        return feedback_reward(episode, turn, alpha=1, lam=1, gamma=1)

    rows = waltz_samples(
        [episode], np.random.default_rng(0), trained=(CONVERSATION, FEEDBACK), p_first=0.0,
        reward=earned, reward_clip=10.0,
    )  # fmt: skip
    assert rows == {CONVERSATION: [], FEEDBACK: []}
    assert episode_of(transcript(episode)).verdicts == episode.verdicts


def test_a_feedback_that_never_ended_its_thought_earns_no_format(tmp_path):
    episode, _, _ = played(tmp_path, ["first"], [f"<think>{json.dumps(FLAGGED)}"])
    assert episode.parsed == [None] and len(episode.answers) == 1
    assert feedback_reward(episode, 0, alpha=1, lam=1, gamma=1) == 0.0


def test_what_is_no_answer_is_not_held_against_the_judge(tmp_path):
    write_tokenizer(tmp_path, QWEN3, plain=TAGS)
    agents = Thinkers(read_chat(tmp_path), {CONVERSATION: ["<think>so"], FEEDBACK: []})
    unfinished = [e for _, e in play([HARMFUL] * 3, agents.chat, agents, t_max=0)]
    silent = Judge(lambda prompts, texts: [None for _ in texts], 0)
    with Scorer(silent, max_unparsed=0.0) as scorer:
        for episode in unfinished:
            scorer.add(episode)
        scorer.finish()
        agents.says[CONVERSATION] = ["so"]
        [(_, spoken)] = play([HARMFUL], agents.chat, agents, t_max=0)
        scorer.add(spoken)
        with pytest.raises(UnparsedVerdicts, match="of 1 in 1 answers"):
            scorer.finish()


def test_predictions_keep_a_thought_for_people(tmp_path):
    write_tokenizer(tmp_path, QWEN3, plain=TAGS)
    chat = read_chat(tmp_path)
    problem = chat.problem_text("1 + 1?")
    attempts = [
        Attempt(drawn(chat, problem, text), {"verify": 1.0}, True, False)
        for text in ("<think>so</think>2", "2")
    ]
    found = prediction(Group(Problem(0, "1 + 1?", "2"), tuple(attempts)))
    assert [s.get("thought") for s in found["samples"]] == ["<think>so</think>", None]
    assert [a.completion.text for a in group_of(found).attempts] == ["2", "2"]


def test_a_thinking_template_is_trained_as_it_is_drawn(tmp_path):
    """An empty thought before the JSON: what the reward reads is the JSON."""
    write_tokenizer(tmp_path, QWEN3, plain=TAGS)
    chat, said = read_chat(tmp_path), json.dumps(FINE)
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": said}]
    tokens = chat_tokens(chat, messages, stop_ids(chat.tokenizer))
    spoken = [i for i, own in zip(tokens.token_ids, tokens.trained, strict=True) if own]
    assert chat.decode(spoken) == f"<think>\n\n</think>\n\n{said}"
    quick = read_chat(tmp_path, kwargs={"enable_thinking": False})
    tokens = chat_tokens(quick, messages, stop_ids(chat.tokenizer))
    spoken = [i for i, own in zip(tokens.token_ids, tokens.trained, strict=True) if own]
    assert quick.decode(spoken) == said


@pytest.mark.parametrize(
    "template",
    [
        R1,
        R1.replace("<think>\n", "<think>"),
        CHATML.replace("assistant\n' }}{% endif", "assistant\n<think>\n' }}{% endif"),
        CHATML.replace("assistant\n' }}{% endif", "assistant\n[THINK]' }}{% endif"),
        CHATML.replace("assistant\n' }}{% endif", "assistant\n<reasoning>\n\n' }}{% endif"),
    ],
)
def test_a_thought_opened_in_the_prompt_is_told_when_training_on_chats(tmp_path, template):
    write_tokenizer(tmp_path, template)
    chat = read_chat(tmp_path)
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    with pytest.raises(ValueError, match=r"opens a thought.*config\.model\.template_kwargs"):
        chat_tokens(chat, messages, stop_ids(chat.tokenizer))


def test_a_thought_opened_in_both_places_is_trained(tmp_path):
    write_tokenizer(
        tmp_path, QWEN3.replace("assistant\n' }}{% if", "assistant\n<think>\n' }}{% if")
    )
    chat = read_chat(tmp_path)
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    tokens = chat_tokens(chat, messages, stop_ids(chat.tokenizer))
    spoken = [i for i, own in zip(tokens.token_ids, tokens.trained, strict=True) if own]
    assert chat.decode(spoken) == "</think>\n\ny"
