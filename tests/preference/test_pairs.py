"""Files of preferences: what is written is read back, and every line that is no pair is named."""

import json

import pytest

from waltzjax.preference.pairs import read_preferences, write_preferences
from waltzjax.support.errors import DatasetError
from waltzjax.types import Preference

PAIR = {"question": "1+1?", "chosen": "2", "rejected": "3"}


def write(tmp_path, *lines):
    path = tmp_path / "pairs.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("".join(text + "\n" for text in texts))
    return path


def test_pairs_come_back(tmp_path):
    pairs = [
        Preference(
            "Why?\u2028", "So.\n\n= 2 \U0001f3b6", "No.", "coherence", 1.1, 0.25, "a", "b", True
        ),
        Preference("Why?", "x", "y", "correctness"),
    ]  # fmt: skip
    path = tmp_path / "pairs.jsonl"
    write_preferences(path, pairs)
    assert read_preferences(path) == pairs
    assert len(path.read_bytes().splitlines()) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["pairs.jsonl"]
    first = json.loads(path.read_bytes().splitlines()[0])
    assert list(first) == [
        "question", "chosen", "rejected", "pair_type", "chosen_reward", "rejected_reward",
        "chosen_arm", "rejected_arm", "rejected_cut_off",
    ]  # fmt: skip


def test_files_of_others_are_read(tmp_path):
    path = write(
        tmp_path,
        {"prompt": "1+1?", "chosen": " 2", "rejected": "3", "score": [1], "id": None},
        {**PAIR, "pair_type": "mine", "chosen_reward": 1, "rejected_reward": None},
        {**PAIR, "pair_type": None, "chosen_arm": None, "rejected_arm": "b"},
    )
    assert read_preferences(path) == [
        Preference("1+1?", " 2", "3", ""),
        Preference("1+1?", "2", "3", "mine", 1.0),
        Preference("1+1?", "2", "3", "", rejected_arm="b"),
    ]


BAD = {
    "no JSON": ("{", "not JSON"),
    "blank": ("", "the line is blank"),
    "no object": ("[]", "not a JSON object but list"),
    "no question": ({"chosen": "2", "rejected": "3"}, "got chosen, rejected: wanted is exactly"),
    "two": ({**PAIR, "prompt": "1+1?"}, "got question and prompt: wanted is exactly one"),
    "empty question": ({**PAIR, "question": " "}, "question: got ' ', wanted a text"),
    "messages": (
        {"prompt": [{"role": "user"}], "chosen": "2", "rejected": "3"}, r"prompt: got \[\{'role'",
    ),
    "no chosen": ({"question": "1+1?", "rejected": "3"}, "chosen: got None, wanted a text"),
    "empty chosen": ({**PAIR, "chosen": "\n"}, r"chosen: got '\\n', wanted a text"),
    "empty rejected": ({**PAIR, "rejected": ""}, "rejected: got '', wanted a text"),
    "a number": ({**PAIR, "rejected": 3}, "rejected: got 3, wanted a text"),
    "equal": ({**PAIR, "rejected": "2 "}, "chosen and rejected are the same text, '2'; remove"),
    "surrogate": ({**PAIR, "chosen": "\ud800"}, "chosen: not UTF-8: a lone surrogate"),
    "surrogate in the question": ({**PAIR, "question": "\udfff"}, "question: not UTF-8"),
    "surrogate in a name": ({**PAIR, "chosen_arm": "\ud800"}, "chosen_arm: got"),
    "type": ({**PAIR, "pair_type": 1}, "pair_type: got 1, wanted a text or null"),
    "arm": ({**PAIR, "rejected_arm": ["a"]}, r"rejected_arm: got \['a'\], wanted a text"),
    "reward": ({**PAIR, "chosen_reward": "1"}, "chosen_reward: got '1', wanted a finite number"),
    "true": ({**PAIR, "chosen_reward": True}, "chosen_reward: got True, wanted a finite number"),
    "too large": ({**PAIR, "chosen_reward": 10**400}, "chosen_reward: got 1000"),
    "a number for a yes": ({**PAIR, "rejected_cut_off": 1}, "rejected_cut_off: got 1, wanted true"),
    "NaN": ({**PAIR, "rejected_reward": float("nan")}, "rejected_reward: got nan, wanted"),
}  # fmt: skip


@pytest.mark.parametrize(("bad", "reason"), BAD.values(), ids=BAD)
def test_a_bad_line_is_named_with_its_reason(bad, reason, tmp_path):
    path = write(tmp_path, PAIR, bad, PAIR)
    with pytest.raises(DatasetError, match=reason) as caught:
        read_preferences(path)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}:2: ")


def test_all_bad_lines_are_in_one_error(tmp_path):
    path = write(tmp_path, *[{"question": "", "chosen": [], "pair_type": 0}] * 30)
    with pytest.raises(DatasetError, match=r"30 problems\n.*:1: .*\n.*:2: ") as caught:
        read_preferences(path)
    assert len(caught.value.problems) == 30 and "... and 10 more" in str(caught.value)
    for what in ("question: got ''", "chosen: got []", "rejected: got None", "pair_type: got 0"):
        assert what in caught.value.problems[-1]


def test_a_file_without_pairs_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match="no pair in it"):
        read_preferences(write(tmp_path))
    with pytest.raises(FileNotFoundError):
        read_preferences(tmp_path / "none.jsonl")
