"""Labels that no answer can be read as, and that none of the real ones is such."""

import os
from pathlib import Path

import pytest
from support import REPO

from waltzjax.rlvr.grading.labels import unreadable
from waltzjax.rlvr.grading.verifier import Verifier
from waltzjax.rlvr.problem_files import read_problems

DATA = Path(os.environ.get("WALTZJAX_DATA", REPO.parent / "shared/data"))

READ = (
    "7", "-3.25", "1,200", r"\frac{3}{4}", "2 1/2", r"15\%", r"\$6.50", "12 feet", "52_8",
    "west", r"\text{(B)}", "No real roots", "does not exist", "true", "E",
    "y^2", r"4\sqrt{2}", r"(3, \frac{\pi}{4})", r"[0, 5)", r"\{1, 2, 9\}", r"\emptyset",
    r"\begin{pmatrix} 0 & 1 \\ 2 & 3 \end{pmatrix}", "2 - 5i", "x = 4", r"1 \text{ or } 9",
    r"x < 1 \text{ or } x = 2 \text{ or } x > 5",
)  # fmt: skip
NOT_READ = (
    "The speed is 12 metres a second", "Yes, as 7 > 5", "2 dogs and 3 cats", "It is 12.",
    "the sequence has no limit as it grows without any bound", r"\text{It opens downwards, as a<0}",
    r"\text{}", "$$", "-", "?", "...", r"\frac{7}{9", "}", "8 +", "= ", "9 8", "## 4", "<i>4</i>",
    "12}{13", "**", "  ", "七", "http://example.org/3", "9" * 1001,
)  # fmt: skip


def test_what_a_reader_takes_and_what_none_does():
    with Verifier(1, 5.0) as verifier:
        found = dict(zip(READ + NOT_READ, unreadable(READ + NOT_READ, verifier), strict=True))
    assert [label for label in READ if found[label]] == []
    assert [label for label in NOT_READ if not found[label]] == []


def test_no_worker_starts_for_plain_labels_and_prose(monkeypatch):
    monkeypatch.setattr("waltzjax.rlvr.grading.verifier.VerifyProcess", None)
    with Verifier(1, 5.0) as verifier:
        labels = ["12", "north", "It is 12, as 3 * 4 is.", "12"]
        assert unreadable(labels, verifier) == [False, False, True, False]


@pytest.mark.parametrize("name", ["gsm8k/test.jsonl", "math500/test.jsonl"])
def test_real_labels_are_read(name):
    if not (DATA / name).is_file():
        pytest.skip(f"{DATA / name} is not there: WALTZJAX_DATA may name the folder of the data")
    labels = [problem.answer for problem in read_problems(DATA / name)]
    with Verifier(2, 5.0) as verifier:
        assert not any(unreadable(labels, verifier))
