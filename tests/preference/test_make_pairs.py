"""Collected answers become files of pairs, a summary, a report, and lines on the screen."""

import json

import pytest
from pages import HOSTILE, Page, check_alone, row
from trajectories import question, said

from waltzjax.config.defaults import default
from waltzjax.preference import make_pairs
from waltzjax.preference.pairs import read_preferences
from waltzjax.types import COUNTERFACTUAL, PROBE

WRITTEN = {"pairs.jsonl", "preferences.json", "preferences.html"}


def collected(n: int, text: str = ""):
    """Questions with one wrong answer to two right ones, and others where all are right, or none;
    ``text`` is in all of them."""
    found = []
    for i in range(n):
        right = {0: (1, 1, 0), 1: (1, 1, 1), 2: (0, 0, 0)}[i % 3]
        arms = [
            said(f"{i} {text} {'and ' * (j + i % 5)}so w{j}", "8" if r else "9", bool(r),
                 arm=f"arm{j}{text}", role=role, tokens=5 + 9 * j + i % 4)
            for j, (r, role) in enumerate(zip(right, (PROBE, COUNTERFACTUAL, PROBE), strict=True))
        ]  # fmt: skip
        found.append(question(*arms, number=i, text=f"{text} What is {i}?"))
    return found


def make(monkeypatch, tmp_path, questions, **changes):
    monkeypatch.setattr(make_pairs, "read_collected", lambda path: questions)
    (tmp_path / "collected.jsonl").touch()
    config = default()
    config.seed = changes.pop("seed", 0)
    config.pairs.update(changes)
    return make_pairs.make_preferences(config, tmp_path)


def written(tmp_path):
    return {path.name for path in tmp_path.iterdir()} - {"collected.jsonl"}


def test_files_and_lines(monkeypatch, tmp_path, capsys):
    """Of 9 questions 3 have two right answers and one wrong: 2 pairs of correctness and one of
    coherence each; 3 have three right ones, whose rewards differ: 3 of coherence; 3 have none."""
    found = make(monkeypatch, tmp_path, collected(9), correctness_share=0.0)
    assert written(tmp_path) == WRITTEN
    pairs = read_preferences(tmp_path / "pairs.jsonl")
    assert len(pairs) == found["pairs"] == 3 * 2 + 3 + 3 * 3
    assert found["pair_types"] == {"correctness": 6, "coherence": 12}
    assert found["without"] == {"no answer is right": 3}
    assert json.loads((tmp_path / "preferences.json").read_text()) == found
    assert found["settings"]["seed"] == 0 and found["settings"]["min_reward_gap"] == 0.01
    lines = capsys.readouterr().out.splitlines()
    assert ["correctness", "6", "33.33"] in [line.split()[:3] for line in lines]
    assert ["no", "answer", "is", "right", "3"] in [line.split() for line in lines]
    for score in ("s_end", "s_path", "s_cf", "quality", "reward"):
        assert any(line.startswith(score) for line in lines)
    assert [line for line in lines if line.startswith("warning: ")] == [
        f"warning: {text}" for text in found["warnings"]
    ]
    assert any("33.3 % of the pairs are of correctness" in line for line in lines)


def test_the_config_decides(monkeypatch, tmp_path):
    found = make(monkeypatch, tmp_path, collected(9), coherence_per_question=0)
    assert found["pair_types"] == {"correctness": 6, "coherence": 0}
    found = make(monkeypatch, tmp_path, collected(9), max_pairs=4)
    assert found["pairs"] == 4
    again = (tmp_path / "pairs.jsonl").read_bytes()
    assert make(monkeypatch, tmp_path, collected(9), max_pairs=4, seed=3)["settings"]["seed"] == 3
    assert (tmp_path / "pairs.jsonl").read_bytes() != again
    # 6 of correctness to 12 of coherence: of these stay 2.
    found = make(monkeypatch, tmp_path, collected(9), correctness_share=0.75)
    assert found["pair_types"] == {"correctness": 6, "coherence": 2}


def test_no_pair_is_an_error_that_says_why(monkeypatch, tmp_path):
    questions = [q for q in collected(9) if q.problem.id % 3 == 2]
    with pytest.raises(ValueError, match=r"its 3 questions \(3 questions: no answer is right\); "):
        make(monkeypatch, tmp_path, questions)
    assert written(tmp_path) == set()
    make(monkeypatch, tmp_path, collected(9))
    with pytest.raises(ValueError, match="no answer is right"):
        make(monkeypatch, tmp_path, questions)
    assert not (tmp_path / "pairs.jsonl").exists()  # those of before would pass for new ones


def test_nothing_collected_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no collected\.jsonl; collect answers"):
        make_pairs.make_preferences(default(), tmp_path)


def test_the_report_by_hand(monkeypatch, tmp_path):
    found = make(monkeypatch, tmp_path, collected(9), correctness_share=0.0)
    html = (tmp_path / "preferences.html").read_text(encoding="utf-8")
    check_alone(html)
    assert html.count("<figcaption>") == 5 + 2  # a score each, words of each type
    assert row(html, "correctness")[:2] == ["6", "33.33"]
    assert row(html, "s_end")[0] == "9" and len(row(html, "reward")) == 8
    assert row(html, "arm2")[:4] == ["probe", "9", "33.33", "100"]
    assert row(html, "no answer is right") == ["3"]
    assert "Pairs that were not taken" not in html  # all were
    assert "s_end; dashed: the mean, 0.889" in html  # three of 2/3, six of 1
    text = Page(html).text
    assert "18 pairs of 9 questions with 27 answers" in text
    for warning in found["warnings"]:
        assert f"✗ Warning: {warning}" in text
    assert text.count("rejected") >= 6  # three examples of each type


def test_a_report_without_one_type(monkeypatch, tmp_path):
    make(monkeypatch, tmp_path, collected(9), coherence_per_question=0)
    html = (tmp_path / "preferences.html").read_text(encoding="utf-8")
    assert row(html, "coherence") == ["0", "0", "–", "–", "–"]
    assert html.count("<figcaption>") == 5 + 1


def test_hostile_text_is_shown_and_not_obeyed(monkeypatch, tmp_path, capsys):
    hostile = HOSTILE.removesuffix("\ud800") + "\x1b[2J"
    make(monkeypatch, tmp_path, collected(9, hostile))
    html = (tmp_path / "preferences.html").read_text(encoding="utf-8")
    check_alone(html)
    assert Page(html).text.count("</script><script>alert(1)</script><img src=x") >= 6
    assert "\x1b" not in capsys.readouterr().out
