"""Which part of a response is its final answer: hand-worked texts, honest and not."""

import json
import os
import time
from fractions import Fraction
from pathlib import Path

import pytest

from waltzjax.rlvr.grading.answer import boxes, final_answer
from waltzjax.rlvr.grading.equality import compare_plain

REPO = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("WALTZJAX_DATA", REPO.parent / "shared/data"))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"So $\boxed{12}$.", "12"),
        (r"\boxed{12}, no: \boxed{ 13 }", "13"),
        (r"\boxed{12} in the middle, then 13 alone", "12"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed {7}", "7"),
        (r"\fbox{7}", "7"),
        (r"\\boxed{7}", "7"),  # escaped once too often
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\text{a \} b}}", r"\text{a \} b}"),
        (r"\boxed{\boxed{12}}", "12"),
        (r"\boxed{12 \boxed{13}}", "13"),
        (r"\boxed{11} \boxed{12", "11"),  # cut off
        (r"{ \boxed{11} \boxed{\frac{1}{2", "11"),
        (r"\boxed{12", None),
        (r"\boxed{11} \boxed{}", ""),  # an empty last box is an empty answer
        (r"unboxed{3}, \boxer{4}", None),
        ("the answer 12 is mentioned, 12, and 12 again", None),
        ("... 3 + 9 = <<3+9=12>>12\n#### 12", "12"),
        ("#### 1,200\n", "1,200"),
        ("#### $\\frac{3}{4}$", "$\\frac{3}{4}$"),
        ("#### 11\n#### 12", "12"),
        ("#### 2. Second step\nno result", None),  # a heading
        ("#### Step 3\n#### 12\n#### Conclusion: 13", "12"),
        ("#### 12 and 13", None),
        ("Answer: 12", "12"),
        ("The final ANSWER: $12$.", "$12$."),
        ("**Answer:** **18** dollars.", "**18** dollars."),
        ("Answer:\n12", "12"),
        ("**Answer:**\n\n**12**\n", "**12**"),
        ("Answer: `12`", "12"),
        ("Answer:\n```\n12\n```", "12"),
        ("__Answer__: 12", "12"),
        ("`Answer:` 12", "12"),
        ("Answer:\n\\[\n12\n\\]", "12"),
        ("Answer:\n$$12$$", "12$$"),
        ("Final answer:\n  12 dollars\nThank you.", "12 dollars"),
        ("Answer:\nIt is 12", None),
        ("Answer:\n\n\n\n\n12", None),  # too far away
        ("Answer: 11\nAnswer:\nnone", None),
        ("Answer: x = 3/4", "x = 3/4"),
        ("Answer: 11\nAnswer: 12", "12"),
        ("Answer: 11\nAnswer: unclear", None),  # the last decides
        ("Answer: 12 or 13", None),
        ("Answer: the label", None),
        ("Answer: " + "1" * 2000, None),
        ("#### 11\nAnswer: 12", "11"),
        (r"\boxed{10} then" + "\n#### 11\nAnswer: 12", "10"),
        ("", None),
    ],
)
def test_final_answer(text, answer):
    assert final_answer(text) == answer


def test_boxes_are_found_where_they_are():
    text = r"a \boxed{1} b {\boxed{x_{2} \boxed{3}}} \boxed{4"
    assert [text[box.start : box.end] for box in boxes(text)] == [
        r"\boxed{1}", r"\boxed{x_{2} \boxed{3}}", r"\boxed{3}", r"\boxed{",
    ]  # fmt: skip
    assert [box.content for box in boxes(text)] == ["1", r"x_{2} \boxed{3}", "3", None]


def test_many_unfinished_boxes_cost_little():
    assert final_answer(r"\boxed{" * 100_000) is None  # squared time would take an hour


@pytest.mark.parametrize(
    "piece",
    ["\\", "\\\\ ", "{", "}", r"\box", " ", "answer ", "Answer:\n", "#### ", "#### 1 2\n", "$", "`",
     "\n", "Answer:" + " " * 50, r"\boxed{}", "**", r"\\{"],
)  # fmt: skip
def test_long_texts_cost_little(piece):
    """Backslashes took 16 s at 40,000 characters when each began the search anew."""
    for end in ("", "}", "1"):
        started = time.thread_time()
        final_answer(piece * (200_000 // len(piece)) + end)
        assert time.thread_time() - started < 3


@pytest.mark.parametrize(
    "piece",
    ["\\", "{", "}", r"\text{", r"\text{ m}/", "1,", "1 ", "1,000", r"\color{", r"\frac{1}", "**a",
     "~", r"1\,000", " feet", " a/", "x_", "(x,", "x=", r"\circ", "percent ", " and ", "½"],
)  # fmt: skip
def test_long_answers_cost_little(piece):
    """They are looked at in the process that generates."""
    for answer in (piece * (990 // len(piece)), "5" + piece * (980 // len(piece)) + "="):
        started = time.thread_time()
        compare_plain(answer, "5"), compare_plain("5", answer)
        assert time.thread_time() - started < 1


@pytest.mark.parametrize(("name", "count"), [("train", 7473), ("test", 1319)])
def test_every_solution_of_gsm8k(name, count):
    """Its last line "#### label", and "Answer: label" in its place, are read without a mistake."""
    path = DATA / f"gsm8k/{name}.jsonl"
    if not path.is_file():
        pytest.skip(f"{path} is not there: WALTZJAX_DATA may name the folder of the data")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == count
    for row in rows:
        steps, _, label = row["answer"].rpartition("\n#### ")
        value = Fraction(label.replace(",", ""))  # the labels are whole numbers and plain decimals
        for text in (row["answer"], f"{steps}\nAnswer: {label}"):
            found = final_answer(text)
            assert found == label.strip(), text[-80:]
            assert Fraction(found.replace(",", "")) == value
            compared = compare_plain(found, str(value))
            assert compared and compared.equal and compared.parsed, text[-80:]
