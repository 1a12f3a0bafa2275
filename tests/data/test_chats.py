"""Chats for fine-tuning: bad lines are refused, examples are right and shown as in a run."""

import json
from collections import Counter
from pathlib import Path

import pytest
from support import built_world, completion, tiny_chat

from waltzjax.data.chat import PROMPTS
from waltzjax.data.chats import asked_first, read_chats
from waltzjax.data.shown import Example, Shown, divide, draw
from waltzjax.data.text import described
from waltzjax.evaluation.files import read_items
from waltzjax.judge.judge import label_judge
from waltzjax.support.errors import DatasetError
from waltzjax.toy.safety_examples import from_world
from waltzjax.types import Episode, Prompt, Verdict
from waltzjax.waltz.chat_examples import from_episodes, shown_prompts
from waltzjax.waltz.chat_set import NAMES, verify_chats, write_chats
from waltzjax.waltz.feedback import parse_feedback
from waltzjax.waltz.transcripts import TRANSCRIPTS, transcript

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "Why?"}
ASSISTANT = {"role": "assistant", "content": "So."}
SHOWN = Shown.read(PROMPTS / "tiny/conversation.txt", PROMPTS / "tiny/feedback.txt")


def line(*messages) -> bytes:
    return json.dumps({"messages": messages}).encode()


def with_weight(message, weight):
    return {**message, "weight": weight}


GOOD = [
    [USER, ASSISTANT],
    [SYSTEM, USER, ASSISTANT],
    [SYSTEM, USER, with_weight(ASSISTANT, 0), USER, with_weight(ASSISTANT, 1)],
    [USER, {"role": "assistant", "content": " two\nlines\u2028 \U0001f3b6 "}],
]
ROLES = "after at most one system message must come user and assistant by turns"
BAD_LINES = {
    "json": (b"{", "not JSON"),
    "blank": (b" ", "not JSON: the line is blank"),
    "latin-1": (line(USER, ASSISTANT).replace(b"Why", b"\xe9"), "not UTF-8: byte 0xe9"),
    "list": (b"[]", "not a JSON object but list"),
    "no messages": (b"{}", "messages: must be a list of objects with role and content"),
    "text": (b'{"messages": "Hi"}', "messages: must be a list of objects"),
    "texts": (b'{"messages": ["Hi"]}', "messages: must be a list of objects"),
    "tools": (b'{"tools": [], "messages": []}', "unknown keys ['tools']: the only one is mess"),
    "empty": (line(), f"roles: got none; {ROLES}"),
    "system alone": (line(SYSTEM), f"roles: got system; {ROLES}"),
    "assistant first": (line(ASSISTANT, USER, ASSISTANT), "roles: got assistant, user, assis"),
    "user last": (line(USER, ASSISTANT, USER), "roles: got user, assistant, user; after"),
    "two users": (line(USER, USER, ASSISTANT), "roles: got user, user, assistant; after"),
    "two systems": (line(SYSTEM, SYSTEM, USER, ASSISTANT), "roles: got system, system, user"),
    "late system": (line(USER, ASSISTANT, SYSTEM, ASSISTANT), "roles: got user, assistant, sys"),
    "role": (line({**USER, "role": "tool"}, ASSISTANT), "messages[0].role: got 'tool', must be"),
    "list role": (line({**USER, "role": []}, ASSISTANT), "messages[0].role: got [], must be one"),
    "no role": (line({"content": "a"}, ASSISTANT), "messages[0].role: got None"),
    "no content": (line(USER, {"role": "assistant"}), "messages[1].content: got None, must be a"),
    "spaces": (line({**USER, "content": " \n"}, ASSISTANT), "messages[0].content: got ' \\n'"),
    "parts": (line({**USER, "content": [{}]}, ASSISTANT), "messages[0].content: got [{}], must"),
    "half": (line({**USER, "content": "\ud83d"}, ASSISTANT), "messages[0].content: not UTF-8"),
    "name": (line({**USER, "name": "Ann"}, ASSISTANT), "messages[0].name: unknown; allowed are"),
    "user's weight": (line(with_weight(USER, 1), ASSISTANT), "messages[0].weight: only an assist"),
    "weight 2": (line(USER, with_weight(ASSISTANT, 2)), "messages[1].weight: got 2, must be 0 or"),
    "half weight": (line(USER, with_weight(ASSISTANT, 0.5)), "messages[1].weight: got 0.5, must"),
    "true": (line(USER, with_weight(ASSISTANT, True)), "messages[1].weight: got True, must be 0"),
    "nothing": (line(USER, with_weight(ASSISTANT, 0)), "weight: 0 for every assistant message"),
}


def test_good_chats_are_read_as_written(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(line(*chat) for chat in GOOD))
    assert read_chats(tmp_path / "a.jsonl") == GOOD


@pytest.mark.parametrize(("bad", "reason"), BAD_LINES.values(), ids=BAD_LINES.keys())
def test_a_bad_line_is_reported_with_file_number_and_reason(tmp_path, bad, reason):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join([line(*GOOD[0]), bad, line(*GOOD[1])]) + b"\n")
    with pytest.raises(DatasetError) as caught:
        read_chats(path)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}:2: {reason}") and problem in str(caught.value)


def test_all_bad_lines_are_reported_and_twenty_shown(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(line(USER) if n % 2 else line(*GOOD[0]) for n in range(50)))
    with pytest.raises(DatasetError) as caught:
        read_chats(path)
    assert [p.split(":")[1] for p in caught.value.problems] == [str(n) for n in range(2, 51, 2)]
    assert f"{path}:40:" in str(caught.value) and f"{path}:42:" not in str(caught.value)
    path.write_bytes(line({"role": "x"}, ASSISTANT))
    with pytest.raises(DatasetError, match=r"role: got 'x'.*; messages\[0\]\.content: got None"):
        read_chats(path)


def test_empty_and_missing_files_are_errors(tmp_path):
    (tmp_path / "a.jsonl").touch()
    with pytest.raises(DatasetError, match="the file is empty"):
        read_chats(tmp_path / "a.jsonl")
    with pytest.raises(FileNotFoundError):
        read_chats(tmp_path / "b.jsonl")


def test_what_a_user_asks_first():
    assert [asked_first(chat) for chat in GOOD] == ["Why?"] * 4
    more = [{"role": "user", "content": "And then?"}, ASSISTANT]
    assert asked_first([SYSTEM, USER, ASSISTANT, *more]) == "Why?"


REPLY = json.dumps({"reasoning": "r", "unsafe": True, "overrefuse": False, "feedback": "f"})


def small_set() -> dict:
    def chat(user: str, said: str):
        return [{"role": "user", "content": user}, {"role": "assistant", "content": said}]

    said = {"conversation": "So.", "feedback": REPLY}
    return {n: [chat(f"{n} {i}", said[n.split("-")[0]]) for i in range(3)] for n in NAMES}


@pytest.fixture
def written(tmp_path) -> Path:
    write_chats(tmp_path / "set", small_set())
    return tmp_path / "set"


def test_a_set_is_written_whole(written):
    assert {name: read_chats(written / name) for name in NAMES} == small_set()
    assert verify_chats(written) == json.loads((written / "manifest.json").read_text())
    assert [p.name for p in written.parent.iterdir()] == ["set"]
    with pytest.raises(FileExistsError):
        write_chats(written, small_set())


def test_a_manifest_says_what_its_chats_are_of(tmp_path):
    write_chats(tmp_path / "set", small_set(), {"data_seed": 1})
    assert verify_chats(tmp_path / "set")["source"] == {"data_seed": 1}
    path = tmp_path / "set" / "manifest.json"
    path.write_text(path.read_text().replace('{\n    "data_seed": 1\n  }', "1"))
    with pytest.raises(DatasetError, match=r"manifest\.json: not a manifest \(.*'source'"):
        verify_chats(tmp_path / "set")


def test_a_last_line_counts_without_a_line_break(written):
    """As it does in a dataset: hashes and lines of a set are those that ``described`` says."""
    path, manifest = written / NAMES[1], written / "manifest.json"
    before = described(path.read_bytes())
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    after = described(path.read_bytes())
    assert before["lines"] == after["lines"] == 3
    manifest.write_text(manifest.read_text().replace(before["sha256"], after["sha256"]))
    assert verify_chats(written)["files"][NAMES[1]]["lines"] == 3


SPOILED = {
    "overlap": ("conversation-validation.jsonl", "conversation-train.jsonl 1", "So.",
                "validation.jsonl:3: its first user message is also on line 2 of conversation-tr"),
    "no JSON": ("feedback-train.jsonl", "x", "Fine.",
                "feedback-train.jsonl:3: the assistant's last message is not the feedback's JSON"),
    "empty": ("feedback-validation.jsonl", "", REPLY, "messages[0].content: got ''"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "user", "said", "message"), SPOILED.values(), ids=SPOILED)
def test_a_set_that_breaks_a_rule_is_not_written(tmp_path, name, user, said, message):
    files = small_set()
    files[name][2] = [{"role": "user", "content": user}, {"role": "assistant", "content": said}]
    with pytest.raises(DatasetError) as caught:
        write_chats(tmp_path / "set", files)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{tmp_path / 'set' / name}:3: ") and message in problem
    assert list(tmp_path.iterdir()) == []


def test_what_changed_afterwards_is_found(written):
    path = written / "feedback-train.jsonl"
    path.write_bytes(path.read_bytes().replace(b'r\\"', b's\\"'))
    (written / "conversation-train.jsonl").unlink()
    with pytest.raises(DatasetError) as caught:
        verify_chats(written)
    changed, missing = caught.value.problems
    assert changed.startswith(f"{path}: sha256 is ") and "restore it or write" in changed
    assert missing.startswith(f"{written / 'conversation-train.jsonl'}: missing")


@pytest.mark.parametrize("text", ["", "[]", '{"format_version": 1}', "\xff", None])
def test_a_broken_or_missing_manifest_is_an_error(written, text):
    path = written / "manifest.json"
    content = path.read_text()
    path.unlink()
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DatasetError, match=r"manifest\.json: (not a manifest|missing)"):
        verify_chats(written)
    path.write_text(content.replace('"format_version": 1', '"format_version": 2'))
    with pytest.raises(DatasetError, match="format version 2, must be 1"):
        verify_chats(written)


def test_examples_of_the_world_are_right_and_shown_as_in_a_run():
    train, _, scenes = built_world()
    prompts = train[:200]
    examples = from_world(SHOWN, prompts, scenes, seed=0)
    chat = tiny_chat()
    for prompt, answer, review in zip(prompts, *examples.values(), strict=True):
        *state, said = answer.messages
        assert chat.render(state) == chat.conversation_text(prompt.text)
        assert label_judge([prompt], [said["content"]])[0].good
        *state, said = review.messages
        # What stands after "Answer: " is what the judge is asked about.
        reviewed = state[-1]["content"].removeprefix(f"{prompt.text}\nAnswer: ")
        assert chat.render(state) == chat.feedback_text(prompt.text, reviewed)
        parsed = parse_feedback(said["content"])
        verdict = label_judge([prompt], [reviewed])[0]
        assert parsed is not None and parsed.labels == tuple(verdict)
        assert answer.prompt == review.prompt == prompt.text
        assert answer.kind == ("declined" if prompt.harmful else "helped")
        assert review.kind == {(True, False): "unsafe", (False, True): "over-refusal",
                               (False, False): "good"}[parsed.labels]  # fmt: skip
    kinds = Counter(e.kind for e in examples["feedback"])
    assert min(kinds["unsafe"], kinds["over-refusal"]) > 30 and kinds["good"] > 70


FILLED = {
    "tiny": ("{prompt}\nAnswer: {answer}", "Why?\nAnswer: So.", ["Why?"]),
    "named": ("Q: {prompt}\nA: {answer}\n", "Q: Why?\nA: So.\n", ["Why?"]),
    "another beginning": ("Q: {prompt}\nA: {answer}", "Why?\nA: So.", []),
    "another end": ("{answer} was said of {prompt}.", "So. was said of Why?", []),
    "last": ("{answer} was said of {prompt}.", "So. was said of Why?.", ["Why?"]),
    "between": ("{answer}<{prompt}>{answer}", "So.<Why?>So.", ["Why?"]),
    "twice": ("{prompt}|{answer}|{prompt}", "Why?|So.|Why?", ["Why?", "Why?|So."]),
    "in itself": ("{prompt}|{answer}", "a|b|c", ["a", "a|b"]),
    "lines": ("{prompt}\n{answer}", "a\n", ["a"]),
    "alone": ("{prompt}", "Why?\n", ["Why?\n"]),
}


@pytest.mark.parametrize(("template", "text", "found"), FILLED.values(), ids=FILLED)
def test_what_a_filled_template_may_have_as_its_prompt(template, text, found):
    assert sorted(shown_prompts(template, text)) == found


def reply(unsafe: bool, overrefuse: bool, text: str = "Mend it.") -> str:
    value = {"reasoning": "r", "unsafe": unsafe, "overrefuse": overrefuse, "feedback": text}
    return json.dumps({**value, "more": 1})  # another key is allowed, and left away


def scored(prompt: str, harmful: bool, turns, category: str = "edge_case") -> dict:
    """A transcript of turns of (answer, is it good, feedback text or None)."""
    bad = Verdict(harmful, not harmful)
    episode = Episode(
        Prompt(0, prompt, harmful, category),
        [completion(answer) for answer, _, _ in turns],
        [completion(text) for _, _, text in turns if text is not None],
        [parse_feedback(text) for _, _, text in turns if text is not None],
        [Verdict(False, False) if good else bad for _, good, _ in turns],
    )
    return transcript(episode)


def test_transcripts_give_good_answers_and_right_reviews(tmp_path):
    transcripts = [
        scored("Break his.", True, [("Sure.", False, reply(True, False)), ("No.", True, None)]),
        scored("Break my.", False, [("No.", False, reply(True, False)), ("No!", False, None)]),
        scored("Is it?", False, [("Yes.", True, reply(False, False)[:-1])]),
        scored("Is it?", False, [("Yes.", True, reply(False, False))]),
        scored("Break hers.", True, [(" ", True, reply(False, False))]),
    ]
    path = tmp_path / "result.transcripts.jsonl"
    path.write_text("".join(json.dumps(t) + "\n" for t in transcripts))
    examples, left_out = from_episodes(SHOWN, read_items(path, TRANSCRIPTS))
    said = [(e.prompt, e.kind, e.messages[-1]["content"]) for e in examples["conversation"]]
    assert said == [("Break his.", "declined", "No."), ("Is it?", "helped", "Yes.")]
    assert [(e.prompt, e.kind) for e in examples["feedback"]] == [
        ("Break his.", "unsafe"), ("Is it?", "good"),
    ]  # fmt: skip
    first = examples["feedback"][0].messages
    assert [m["content"] for m in first[:2]] == [
        "You review the answer.",
        "Break his.\nAnswer: Sure.",
    ]
    wanted = {"reasoning": "r", "unsafe": True, "overrefuse": False, "feedback": "Mend it."}
    assert first[2] == {"role": "assistant", "content": json.dumps(wanted)}
    assert left_out == {
        "answers that were not good": 3,  # both answers on "Break my.", the first on "Break his."
        "feedbacks of wrong labels or format": 2,
        "empty answers, and what was said of them": 1,
        "repeated examples": 1,  # the second "Is it?" "Yes."
    }


def test_no_prompt_is_on_both_sides_and_the_share_is_one_in_ten():
    examples = [Example(f"prompt {i % 40}", "good", [{"n": i}]) for i in range(100)]
    train, validation = divide(examples, seed=0)
    assert len({e.prompt for e in validation}) == 4 and len({e.prompt for e in train}) == 36
    assert sorted([*train, *validation], key=lambda e: e.messages[0]["n"]) == examples
    assert divide(examples[::-1], seed=0) == (train[::-1], validation[::-1])
    assert divide(examples, seed=1) != (train, validation)
    assert [len(side) for side in divide(examples[:2], seed=0)] == [1, 1]
    assert [len(side) for side in divide(examples[:1], seed=0)] == [1, 0]


def test_what_is_drawn_depends_on_seed_and_texts_alone():
    examples = [Example("p", "good", [{"n": i}]) for i in range(100)]
    drawn = draw(examples, 10, seed=0)
    assert len({e.messages[0]["n"] for e in drawn}) == 10
    assert draw(examples[::-1], 10, seed=0) == drawn != draw(examples, 10, seed=1)
    assert draw(examples, 20, seed=0)[:10] == drawn  # more examples are those and others
