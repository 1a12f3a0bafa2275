"""Runs on the same problems compared: what is said of them, on the screen and as a page."""

import dataclasses
import json
import re

import forked
import numpy as np
import pytest
from pages import HOSTILE, Page, check_alone, check_bars, row
from support import answered, attempt, scored_episode

from waltzjax.evaluation.compare import (
    Run,
    against_first,
    changed,
    differences,
    evaluated_unalike,
    paired,
    read_runs,
    trained_unalike,
)
from waltzjax.evaluation.files import write_items
from waltzjax.report.comparison import OVERLAID, Difference, overlay, write_comparison
from waltzjax.report.curves import Panel, draw
from waltzjax.report.measures import Estimate
from waltzjax.rlvr.compare import MATHS
from waltzjax.rlvr.predictions import PREDICTIONS, prediction
from waltzjax.rlvr.rates import difference_intervals, result
from waltzjax.rlvr.side_by_side import examples, side_by_side
from waltzjax.support.files import write_json
from waltzjax.waltz.compare import GAME
from waltzjax.waltz.transcripts import TRANSCRIPTS


def evaluation(rights, **more):
    """A problem each, odd ones of geometry, every third of level 2."""
    return [
        answered(
            i, attempt(bool(right), **more), subject=("Algebra", "Geometry")[i % 2],
            level=str(1 + (i % 3 == 0)),
        )
        for i, right in enumerate(rights)
    ]  # fmt: skip


def run_directory(workdir, groups, steps=4, before=None, **config):
    """A run's directory as training leaves it, with a validation of ``before`` at step 2."""
    (workdir / "evaluations").mkdir(parents=True)
    write_json(workdir / "config.json", {"stages": ["rlvr"], **config})
    for name, of in {"base": before, "rlvr_2": before, "rlvr": groups}.items():
        if of:
            write_json(
                workdir / f"evaluations/{name}.json",
                {
                    "result": result(of, seed=0, settings={"eval.temperature": 0.0}),
                    "predictions": [prediction(g) for g in of],
                },
            )
    records = [
        {"stage": "rlvr", "step": s, "reward/policy": 0.1 * s, "accuracy": 10.0 * s, "other": 1.0}
        for s in range(1, steps + 1)
    ]
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    return workdir


def compare(first, *others):
    flags = [f"--b={o}" if not str(o).startswith("--") else o for o in others]
    done = forked.run("-m", "waltzjax.compare", f"--a={first}", *flags, COLUMNS="200")
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("low", "high", "reading"),
    [(1.0, 3.0, "more"), (-3.0, -1.0, "less"), (-1.0, 1.0, "no difference shown")],
)
def test_where_neither_is_better_it_is_more_or_less(low, high, reading):
    assert Difference("m", "", 1, 2, (low + high) / 2, low, high, "").reading == reading


def test_differences_by_hand():
    a, b = evaluation([1] * 4 + [0] * 6, tokens=5), evaluation([1] * 9 + [0], tokens=8)
    found = {d.name: d for d in differences(MATHS, a, b)}
    accuracy, length = found["Accuracy"], found["Length of an answer"]
    assert (accuracy.a, accuracy.b, accuracy.difference) == (40, 90, 50)
    assert accuracy.reading == "better"
    assert (accuracy.low, accuracy.high) == difference_intervals(a, b, seed=0)["accuracy"]
    assert (length.difference, length.reading) == (3, "more")
    assert found["Format rate"].reading == "no difference shown"
    assert "Solved by at least one sample" not in found  # with one sample: the accuracy


def test_solved_by_one_sample_is_compared_where_both_have_as_many():
    a = [answered(0, True, False), answered(1, False, False)]
    b = [answered(0, True, False), answered(1, False, True)]
    found = {d.name: d for d in differences(MATHS, a, b)}
    solved = found["Solved by at least one sample"]
    assert (solved.a, solved.b) == (50, 100) and found["Accuracy"].b == 50
    three = [answered(0, True, False, True), answered(1, False, True, True)]
    assert "Solved by at least one sample" not in {d.name for d in differences(MATHS, a, three)}


def test_b_is_read_in_the_order_of_a_and_other_problems_are_counted():
    a, b = evaluation([1, 0, 0]), evaluation([0, 0, 1])
    found = paired(MATHS, a, b[::-1], ("A", "B"))
    assert [(g.problem.id, g.attempts[0].right) for g in found] == [(0, 0), (1, 0), (2, 1)]
    other = [b[0], answered(77, True), dataclasses.replace(b[2], problem=b[1].problem)]
    with pytest.raises(ValueError) as caught:
        paired(MATHS, a, other, ("A", "B"))
    assert str(caught.value) == (
        "the problems differ: 1 of 3 in A are not in the other (first: problem 2, 'What is 2?', "
        "answer '1'); 1 of 3 in B are not in the other (first: problem 77, 'What is 77?', answer "
        "'1'); evaluate both on the same file"
    )
    with pytest.raises(ValueError, match="B: 1 problems occur again"):
        paired(MATHS, a, [*b, b[0]], ("A", "B"))


def test_what_only_one_solves_and_which_sample_is_shown():
    a = [answered(0, False, False), answered(1, True, False), answered(2, True, True)]
    b = [answered(0, False, True), answered(1, False, False), answered(2, False, True)]
    what, unknown = changed(MATHS, a, b, "B")
    gained, lost = what["Only B solves"], what["Only A solves"]
    assert unknown == 0
    assert [[x.problem.id for x, _ in of] for of in (gained, lost)] == [[0], [1]]
    shown = side_by_side(gained[0], ("A", "B"))
    assert shown["answer"] == "1" and "samples" not in shown
    assert [s["right"] for s in shown["said"].values()] == [False, True]
    assert shown["said"]["B"] == prediction(b[0])["samples"][1]


def test_examples_are_of_what_they_are_called():
    before = evaluation([0, 0, 1, 1])
    after = [
        answered(0, attempt(True, reflect=1.0)), answered(1, False),
        answered(2, attempt(True, reflect=0.2)), answered(3, attempt(True, reflect=0.4)),
    ]  # fmt: skip
    found = examples(before, after)
    assert {name: pair[1].problem.id for name, pair in found.items()} == {
        "A mended answer": 0,
        "A still wrong answer": 1,
        "A checked answer": 3,
    }
    assert [*examples(before[2:], before[2:])] == []


def test_parts_are_compared_where_they_hold_the_same_problems(tmp_path):
    a, b = evaluation([0, 1, 0, 0, 1, 0]), evaluation([1, 1, 1, 0, 0, 0])
    b[1] = dataclasses.replace(b[1], problem=dataclasses.replace(b[1].problem, level=""))
    runs = {
        letter: Run(letter, groups, {}, {}, []) for letter, groups in (("A", a), ("B", b))
    }  # fmt: skip
    [one] = against_first(MATHS, runs)
    subjects = {d.name: (d.a, d.b) for d in one.parts["By subject"]}
    third = pytest.approx(100 / 3)
    assert subjects == {
        "Algebra (3)": (third, pytest.approx(200 / 3)),
        "Geometry (3)": (third,) * 2,
    }
    assert [d.name for d in one.parts["By level"]] == ["2 (2)"]  # level 1 is another one in B
    assert {what: len(pairs) for what, pairs in one.changed.items()} == {
        "Only B solves": 2,
        "Only A solves": 1,
    }


def told(temperature):
    return {"settings": {"eval.temperature": temperature, "t": 1}}


def test_what_runs_differ_in_is_told():
    a, b = evaluation([1]), [answered(0, True, True)]
    runs = {
        "A": Run("a", a, told(0.0), {"config.b": 0.5, "config.x": 1}, []),
        "B": Run("b", b, told(0.6), {"config.b": 0.5}, []),
        "C": Run("c", a, {}, {}, []),  # a file of predictions tells nothing
    }  # fmt: skip
    assert evaluated_unalike(MATHS, runs) == [
        "config.eval.temperature: 0.0 in A, 0.6 in B",
        "samples a problem: 1 in A, 2 in B, 1 in C",
    ]
    assert trained_unalike(runs) == ["config.x: 1 in A, none in B"]


def test_curves_of_all_runs_are_laid_over_each_other(tmp_path):
    paths = [
        run_directory(tmp_path / name, evaluation([1] * 20), steps, evaluation([1, 0] * 10))
        for name, steps in (("a", 4), ("b", 6))
    ]
    kind, runs = read_runs([GAME, MATHS], paths)
    assert kind is MATHS
    metrics = {letter: run.metrics for letter, run in runs.items()}
    panels = {p.title: p for p in overlay(metrics)}
    assert [*panels] == [
        OVERLAID[k][0] for k in ("validation/accuracy", "accuracy", "reward/policy")
    ]
    assert panels["Reward"].keys == ["reward policy/A", "reward policy/B"]
    alone = overlay({"B": metrics["B"]})
    assert [p.title for p in alone][2] == "Reward, B alone"
    # The base, step 2 and the end: their bars are those of the results.
    at = {r["step"]: r["validation/accuracy"] for r in metrics["B"] if len(r) == 3}
    assert {step: e.value for step, e in at.items()} == {0: 50, 2: 50, 6: 100}
    interval = result(evaluation([1, 0] * 10), seed=0, settings={})["intervals"]["accuracy"]
    assert at[2][1:] == interval


def test_an_estimate_is_drawn_with_its_bar():
    rows = [
        {"stage": "s", "step": i, "validation/accuracy": Estimate(v, v - 2, v + 3)}
        for i, v in ((0, 10.0), (5, 20.0))
    ]
    [panel], left_out, _ = draw(rows, [Panel("Validation", "%", ("validation",), "")])
    assert left_out == []
    bars = re.findall(
        r'd="M (\S+) (\S+) \nL (\S+) (\S+) \n?" clip-path[^>]*stroke-width: 1.2', panel.svg
    )
    ends = [(float(y0), float(y1)) for x0, y0, x1, y1 in bars if x0 == x1]
    (low0, high0), (low1, _) = ends
    scale = (low1 - low0) / 10  # of a per cent point, downwards
    assert (high0 - low0) / scale == pytest.approx(5, rel=1e-3)


def test_the_command(tmp_path):
    rng = np.random.default_rng(0)
    right = rng.random(60) < 0.5
    a, b = evaluation(right), evaluation(right | (rng.random(60) < 0.4), tokens=9)
    first = run_directory(tmp_path / "a", a, beta=0.0)
    second = run_directory(tmp_path / "b", b, beta=0.5)
    third = tmp_path / "c.jsonl"
    write_items(third, PREDICTIONS, b[::-1])
    page = tmp_path / "pages" / "compare.html"
    status, said, errors = compare(first, second, third, f"--output={page}")
    assert status == 0, errors
    accuracy = differences(MATHS, a, b)[0]
    line = next(x for x in said.splitlines() if x.startswith("Accuracy, %"))
    assert line.endswith("  better")
    for figure in (f"{accuracy.a:.2f}", f"{accuracy.b:.2f}", f"{accuracy.low:+.2f} to"):
        assert figure in line
    assert said.count(line) == 2  # B and C are the same, in another order
    assert "configs differ: config.beta: 0.0 in A, 0.5 in B\n" in said
    gained = sum(y and not x for x, y in zip(right, [g.attempts[0].right for g in b], strict=True))
    assert f"Only B solves: {gained} of 60 problems:\n  problem  What is " in said
    assert "Only A solves: 0 of 60 problems\n" in said
    assert said.count("  problem  ") == 6
    html = page.read_text()
    check_alone(html)
    assert row(html, "Accuracy")[3] == "better" and row(html, "Length")[3] == "more"
    before = page.read_bytes()
    again = compare(first, second, f"--output={page}")
    assert again[0] == 1 and "is there already" in again[2] and page.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["a.jsonl"], 2, "error: .*--b"),
        (["nowhere.jsonl", "nowhere.jsonl"], 1, "error: .*nowhere.jsonl"),
        (["a.jsonl"] * 7, 1, "error: runs: got 7, allowed are 2 to 6"),
    ],
)
def test_bad_input_is_one_message(arguments, status, says):
    got = compare(*arguments)
    assert got[0] == status and re.search(says, got[2]) and not got[1]


def test_the_old_command_does_the_same_and_names_the_new_one(tmp_path):
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for path, rights in zip(paths, ([1, 0, 1], [0, 0, 1]), strict=True):
        write_items(path, PREDICTIONS, evaluation(rights))
    old = "import runpy; runpy.run_path('scripts/compare_runs.py', run_name='__main__')"
    done = forked.run("-c", old, *map(str, paths), COLUMNS="200")
    assert (done.returncode, done.stdout) == compare(*paths)[:2]
    assert f"python -m waltzjax.compare --a={paths[0]} --b={paths[1]}" in done.stderr


def test_evaluations_of_two_kinds_are_refused(tmp_path):
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    write_items(first, PREDICTIONS, evaluation([1]))
    write_items(second, TRANSCRIPTS, [scored_episode(True, [True], [(True, False)])])
    for pair in ((first, second), (second, first)):
        status, said, errors = compare(*pair)
        assert (status, said) == (1, "") and str(pair[1]) in errors
    (tmp_path / "c.json").write_text("{}")
    status, _, errors = compare(tmp_path / "c.json", first)
    assert status == 1 and "c.json: no transcripts or predictions in it, nor beside it" in errors


def test_problems_that_differ_end_the_command(tmp_path):
    for name, count in (("a", 4), ("b", 3)):
        write_items(tmp_path / f"{name}.jsonl", PREDICTIONS, evaluation([1] * count))
    status, said, errors = compare(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    assert (status, said) == (1, "")
    assert re.match(r"error: the problems differ: 1 of 4 in A \(.*a.jsonl\) are not", errors)


def test_hostile_text_is_shown_and_not_obeyed(tmp_path):
    a, b = (
        [answered(0, attempt(right, text=HOSTILE), subject="$x_{</script>$", answer=HOSTILE)]
        for right in (False, True)
    )
    for groups in (a, b):
        groups[0] = dataclasses.replace(
            groups[0], problem=dataclasses.replace(groups[0].problem, text=HOSTILE)
        )
    runs = {n: Run(n, g, {}, {}, []) for n, g in (("A", a), ("B", b))}
    [one] = against_first(MATHS, runs)
    write_comparison(
        tmp_path / "c.html", what="problems", runs={"A": HOSTILE[:-1], "B": "b"}, n=1,
        evaluated=[HOSTILE[:-1]], trained=[HOSTILE[:-1]], metrics={}, over="problems",
        sections=[one],
    )  # fmt: skip
    html = (tmp_path / "c.html").read_text(encoding="utf-8")
    check_alone(html)
    # The name, both lists, the summary, the problem, its label and the two answers.
    assert Page(html).text.count("</script><script>alert(1)</script><img src=x") == 8
    assert "None of them is a run’s directory" in html
    drawn = [d for d in one.differences if d.unit in ("%", "")]
    assert len(drawn) == 6
    check_bars(
        re.search(r"<svg.*?</svg>", html, re.DOTALL)[0],
        [(d.low * (1 if d.unit else 100), d.high * (1 if d.unit else 100)) for d in drawn],
    )
