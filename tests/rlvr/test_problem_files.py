"""Files of maths problems: what is read of them, and every line that is none."""

import json
import os
from pathlib import Path

import pytest
from support import REPO

from waltzjax.rlvr.problem_files import read_problems, with_instruction
from waltzjax.support.errors import DatasetError
from waltzjax.types import Problem

DATA = Path(os.environ.get("WALTZJAX_DATA", REPO.parent / "shared/data"))


def write(tmp_path, *lines):
    path = tmp_path / "problems.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("".join(text + "\n" for text in texts))
    return path


def test_both_kinds_of_files_are_read(tmp_path):
    path = write(
        tmp_path,
        {"problem": "1+1?", "answer": "2", "subject": "Algebra", "level": 3, "unique_id": "a/1"},
        {"question": "2*1,000?", "answer": "It is 2*1,000 = 2,000.\n#### 2,000"},
        {"question": "Pay?", "answer": "#### -1,234,567.50 "},
        {"problem": "Pairs?", "answer": "(1,200), (3,400)", "level": "Level 5", "subject": None},
        {"problem": "Half?", "answer": 0.5},
        {"problem": "Two?", "answer": 2},
    )
    assert read_problems(path) == [
        Problem(0, "1+1?", "2", "Algebra", "3"),
        Problem(1, "2*1,000?", "2000"),
        Problem(2, "Pay?", "-1234567.50"),
        Problem(3, "Pairs?", "(1,200), (3,400)", "", "Level 5"),  # no solution: as it stands
        Problem(4, "Half?", "0.5"),
        Problem(5, "Two?", "2"),
    ]


BAD = {
    "no JSON": ("{", "not JSON"),
    "blank": ("", "the line is blank"),
    "no text": ({"text": "1+1?", "answer": "2"}, "got text, answer: wanted is exactly one of"),
    "two texts": ({"problem": "a", "question": "b", "answer": "2"}, "got problem and question"),
    "empty text": ({"problem": " ", "answer": "2"}, "problem: got ' '"),
    "number": ({"problem": 3, "answer": "2"}, "problem: got 3"),
    "surrogate": ({"problem": "\ud800", "answer": "2"}, "problem: not UTF-8"),
    "no answer": ({"problem": "1+1?"}, "answer: got none"),
    "empty": ({"problem": "1+1?", "answer": "\n"}, r"answer: got '\\n'"),
    "boolean": ({"problem": "1+1?", "answer": True}, "answer: got True"),
    "NaN": ('{"problem": "1+1?", "answer": NaN}', "answer: got nan"),
    "no label": ({"problem": "1+1?", "answer": "It is 2.\n####"}, "answer: got 'It is 2"),
    "level": ({"problem": "1+1?", "answer": 2, "level": 1.5}, "level: got 1.5"),
    "another label": ({"problem": "good?", "answer": 3}, r"got '3', but .*:1 has .* with '1'"),
}  # fmt: skip


@pytest.mark.parametrize(("bad", "reason"), BAD.values(), ids=BAD)
def test_a_bad_line_is_named_with_its_reason(bad, reason, tmp_path):
    good = {"problem": "good?", "answer": 1}
    path = write(tmp_path, good, bad, good)
    with pytest.raises(DatasetError, match=reason) as caught:
        read_problems(path)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}:2: ")


def test_all_bad_lines_are_in_one_error(tmp_path):
    path = write(tmp_path, *[{"problem": "", "level": []}] * 30)
    with pytest.raises(DatasetError, match=r"30 problems\n.*:1: .*\n.*:2: ") as caught:
        read_problems(path)
    assert len(caught.value.problems) == 30 and "... and 10 more" in str(caught.value)
    for what in ("problem: got ''", "answer: got none", "level: got []"):
        assert what in caught.value.problems[-1]


def test_an_empty_file_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match="the file is empty"):
        read_problems(write(tmp_path))
    with pytest.raises(FileNotFoundError):
        read_problems(tmp_path / "none.jsonl")


def test_a_problem_may_be_there_again(tmp_path):
    line = {"problem": "1+1?", "answer": "2"}
    assert [p.id for p in read_problems(write(tmp_path, line, line))] == [0, 1]


def test_the_instruction_is_appended_once():
    words = "Put it in \\boxed{}."
    assert with_instruction("1+1?\n", words) == "1+1? Put it in \\boxed{}."
    assert with_instruction("1+1? Put it in \\boxed{}.\n", words) == "1+1? Put it in \\boxed{}.\n"
    assert with_instruction("1+1?", "") == "1+1?"


@pytest.mark.parametrize(
    ("name", "count", "first", "label"),
    [
        ("gsm8k/train.jsonl", 7473, "Natalia sold clips to 48", "72"),
        ("gsm8k/test.jsonl", 1319, "Janet’s ducks lay 16", "18"),
        ("math500/test.jsonl", 500, "Convert the point", r"\left( 3, \frac{\pi}{2} \right)"),
        ("one_shot/pi1.jsonl", 1, "The pressure", "12.8"),
    ],
)
def test_real_files(name, count, first, label):
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"{path} is not there: WALTZJAX_DATA may name the folder of the data")
    problems = read_problems(path)
    assert len(problems) == count
    assert problems[0].text.startswith(first) and problems[0].answer == label
    if name.startswith("gsm8k"):
        assert all(float(p.answer) == int(p.answer) for p in problems)
    if name.startswith("math500"):
        assert {p.level for p in problems} == set("12345")
        assert len({p.subject for p in problems}) == 7
    if name.startswith("one_shot"):
        words = "Let's think step by step and output the final answer within \\boxed{}."
        assert with_instruction(problems[0].text, words) == problems[0].text
