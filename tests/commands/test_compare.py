"""Two evaluations of the same prompts: what is said of them, on the screen and as a page."""

import dataclasses
import json
import math
import re

import forked
import numpy as np
import pytest
from pages import HOSTILE, Page, check_alone, check_bars, row
from support import completion, scored_episode

from waltzjax.evaluation.compare import (
    Run,
    against_first,
    changed,
    differences,
    evaluated_unalike,
    paired,
)  # fmt: skip
from waltzjax.evaluation.files import read_evaluation, write_items
from waltzjax.report.comparison import SHOWN, Difference, write_comparison
from waltzjax.support.files import write_json
from waltzjax.types import Verdict
from waltzjax.waltz.compare import GAME, guarded, other_chats
from waltzjax.waltz.rates import difference_intervals, interval_units, intervals
from waltzjax.waltz.transcripts import TRANSCRIPTS, transcript

FINE = (False, False)
NAMES = ("A", "B")


def evaluation(bad, harmful=True):
    """An episode each: one answer, bad or not, that the feedback was content with."""
    found = [scored_episode(harmful, [bool(b)], [FINE]) for b in bad]
    for number, episode in enumerate(found):
        text = f"prompt {number} {'harmful' if harmful else 'harmless'}"
        episode.prompt = dataclasses.replace(episode.prompt, id=number, text=text)
    return found


def asked(episodes, number, **changes):
    """``episodes`` with another prompt ``number``."""
    found = list(episodes)
    prompt = dataclasses.replace(found[number].prompt, **changes)
    found[number] = dataclasses.replace(found[number], prompt=prompt)
    return found


def saved(path, episodes):
    """A result and its transcripts, as ``waltzjax.evaluate`` writes them."""
    path.write_text(json.dumps({"n": len(episodes)}))
    write_items(TRANSCRIPTS.beside(path), TRANSCRIPTS, episodes)
    return path


def compare(*arguments):
    done = forked.run("-m", "waltzjax.compare", *map(str, arguments), COLUMNS="200")
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("difference", "low", "high", "better", "reading"),
    [
        (-5.0, -8.0, -2.0, "lower", "better"),
        (-5.0, -8.0, -2.0, "higher", "worse"),
        (5.0, 2.0, 8.0, "lower", "worse"),
        (5.0, 2.0, 8.0, "higher", "better"),
        (5.0, -1.0, 8.0, "higher", "no difference shown"),
        (5.0, 0.0, 8.0, "higher", "no difference shown"),
        (0.0, 0.0, 0.0, "lower", "no difference shown"),
        (math.nan, math.nan, math.nan, "lower", "not measured"),
        (math.nan, 1.0, 2.0, "lower", "not measured"),
    ],
)
def test_readings(difference, low, high, better, reading):
    assert Difference("m", "%", 1.0, 2.0, difference, low, high, better).reading == reading


def test_differences_are_those_of_b_from_a():
    a = [*evaluation([True] * 30 + [False] * 70), *evaluation([False] * 20, harmful=False)]
    b = [*evaluation([False] * 100), *evaluation([True] * 15 + [False] * 5, harmful=False)]
    found = {d.name: d for d in differences(GAME, a, b)}
    asr, orr = found["Attack success rate (ASR)"], found["Over-refusal rate (ORR)"]
    assert (asr.a, asr.b, asr.difference, asr.reading) == (30, 0, -30, "better")
    assert (orr.a, orr.b, orr.difference, orr.reading) == (0, 75, 75, "worse")
    assert (asr.low, asr.high) == difference_intervals(a, b, seed=0)["asr"]
    assert found["First answers: Attack success rate (ASR)"].difference == -30
    assert found["Feedback format rate"].reading == "no difference shown"
    assert found["Dynamic improvement (DIR)"].reading == "not measured"


def test_the_same_twice_shows_no_difference():
    a = evaluation([True, False] * 20)
    assert {d.reading for d in differences(GAME, a, a)} == {"no difference shown", "not measured"}


def test_b_is_read_in_the_order_of_a():
    a, b = evaluation([True, False, False]), evaluation([False, False, True])
    found = paired(GAME, a, b[::-1], NAMES)
    assert [e.prompt for e in found] == [e.prompt for e in a]
    assert [e.verdicts[0].unsafe for e in found] == [False, False, True]


def test_prompts_that_differ_are_counted_and_the_first_is_named():
    a = evaluation([True] * 12)
    with pytest.raises(ValueError) as caught:
        paired(GAME, a, asked(asked(a, 3, text="another", id=77), 5, text="one more")[:-1], NAMES)
    assert str(caught.value) == (
        "the prompts differ: 3 of 12 in A are not in the other (first: prompt 3, harmful, "
        "'prompt 3 harmful'); 2 of 11 in B are not in the other (first: prompt 77, harmful, "
        "'another'); evaluate both with the same --data and config.eval.prompts"
    )
    with pytest.raises(ValueError, match=r"1 of 12 in B .*prompt 2, harmless, 'prompt 2 harmful'"):
        paired(GAME, a, asked(a, 2, harmful=False), NAMES)
    with pytest.raises(ValueError, match="B: 1 prompts occur again"):
        paired(GAME, a, [*a, a[0]], NAMES)


def test_what_changed_is_told_both_ways():
    a = evaluation([True, True, False, False, True, False, True])
    b = evaluation([False, True, True, False, False, False, False])
    a[5].verdicts[-1] = None
    a[6].verdicts[-1], b[6].verdicts[-1] = Verdict(True, False), Verdict(False, True)
    what, unjudged = changed(GAME, a, b, "B")
    numbers = {name: [x.prompt.id for x, _ in pairs] for name, pairs in what.items()}
    assert numbers == {"bad in A, good in B": [0, 4], "good in A, bad in B": [2]}
    assert unjudged == 1  # and prompt 6 is bad in both, in two ways
    for pairs in what.values():
        assert all(x is a[x.prompt.id] and y is b[y.prompt.id] for x, y in pairs)


def test_only_the_last_answers_count_as_what_changed():
    a, b = (scored_episode(True, bad, [(True, False)]) for bad in ([True, False], [False, True]))
    what, _ = changed(GAME, [a], [b], "B")
    assert [len(pairs) for pairs in what.values()] == [0, 1]


def test_the_command(tmp_path):
    rng = np.random.default_rng(0)
    bad = rng.random(60) < 0.5
    a, b = evaluation(bad), evaluation(bad & (rng.random(60) < 0.5))
    first, page = saved(tmp_path / "a.json", a), tmp_path / "pages" / "compare.html"
    workdir = tmp_path / "run"
    (workdir / "evaluations").mkdir(parents=True)
    (workdir / "config.json").write_text('{"stages": ["stage1"]}')
    (workdir / "evaluations/stage1.json").write_text(
        json.dumps({"result": {"n": 60}, "transcripts": [transcript(e) for e in b]})
    )
    status, said, errors = compare(f"--a={first}", f"--b={workdir}", f"--output={page}")
    assert status == 0, errors
    asr = differences(GAME, a, b)[0]
    line = next(x for x in said.splitlines() if x.startswith("Attack success rate (ASR), %"))
    assert line.split("  ")[0] == "Attack success rate (ASR), %" and line.endswith("  better")
    for figure in (f"{asr.a:.2f}", f"{asr.b:.2f}", f"{asr.low:+.2f} to {asr.high:+.2f}"):
        assert figure in line
    mended = sum(
        x.verdicts[0].unsafe and not y.verdicts[0].unsafe for x, y in zip(a, b, strict=True)
    )
    assert f"bad in A, good in B: {mended} of 60 prompts:\n  user  prompt " in said
    assert "good in A, bad in B: 0 of 60 prompts\n" in said
    assert said.count("  user  ") == 3
    html = page.read_text()
    check_alone(html)
    assert row(html, "Attack success")[3] == "better" and row(html, "Dynamic")[3] == "not measured"
    before = page.read_bytes()
    again = compare(f"--a={first}", f"--b={workdir}", f"--output={page}")
    assert again[0] == 1 and "is there already" in again[2] and page.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--a=a.json"], 2, "--b"),
        (["--a=nowhere.json", "--b=nowhere.json"], 1, "error: .*nowhere.json"),
        (["a.json", "b.json"], 2, "error: "),
    ],
)
def test_bad_input_is_one_message(arguments, status, says):
    got = compare(*arguments)
    assert got[0] == status and re.search(says, got[2]) and not got[1]


def test_prompts_that_differ_end_the_command(tmp_path):
    a = saved(tmp_path / "a.json", evaluation([True] * 4))
    b = saved(tmp_path / "b.json", evaluation([True] * 3))
    got = compare(f"--a={a}", f"--b={b}")
    assert got[0] == 1 and re.match(r"error: the prompts differ: 1 of 4 in A \(.*a\.json\)", got[2])


def written(tmp_path, a, b, name="one"):
    runs = {x: Run(x, of, {}, {}, []) for x, of in (("A", a), ("B", b))}
    [one] = against_first(GAME, runs)
    write_comparison(
        tmp_path / "compare.html", what="prompts", runs={"A": name, "B": "two"}, n=len(a),
        over=interval_units(a), metrics={},
        sections=[one],
    )  # fmt: skip
    return (tmp_path / "compare.html").read_text(encoding="utf-8")


def test_the_page(tmp_path):
    a, b = evaluation([True] * 25 + [False] * 10), evaluation([False] * 34 + [True])
    b[30].verdicts[0] = None
    html = written(tmp_path, a, b)
    check_alone(html)
    asr = differences(GAME, a, b)[0]
    assert row(html, "Attack success") == [
        f"{asr.a:.2f}", f"{asr.b:.2f}",
        f"{asr.difference:+.2f} {asr.low:+.2f} to {asr.high:+.2f}", "better",
    ]  # fmt: skip
    text = " ".join(Page(html).text.split())
    assert "paired 95 % bootstrap intervals over 35 prompts" in text
    assert "bad in A, good in B: 25" in text and f"The first {SHOWN}." in text
    assert "good in A, bad in B: 1" in text and "1 prompts without a usable verdict" in text
    assert html.count('<div class="pair">') == SHOWN + 1
    first = html.split('<div class="pair">')[1]
    assert first.count("✗ unsafe") == 1 and first.index("✗ unsafe") < first.index("<h4>B</h4>")
    drawing = re.search(r"<svg.*?</svg>", html, re.DOTALL)[0]
    drawn = [d for d in differences(GAME, a, b) if d.reading != "not measured"]
    check_bars(drawing, [(d.low, d.high) for d in drawn])


def test_dir_is_drawn_times_a_hundred(tmp_path):
    a, b = (
        [scored_episode(True, [True, i >= good], [(True, False)]) for i in range(20)]
        for good in (5, 15)
    )
    for number, pair in enumerate(zip(a, b, strict=True)):
        for episode in pair:
            episode.prompt = dataclasses.replace(episode.prompt, text=str(number))
    html = written(tmp_path, a, b)
    found = differences(GAME, a, b)
    (improvement,) = (d for d in found if d.name.startswith("Dynamic"))
    assert improvement.difference == 0.5 and improvement.reading == "better"
    assert "Dynamic improvement (DIR) ↑ × 100" in html
    wanted = [
        (d.low * scale, d.high * scale)
        for d in found
        if d.reading != "not measured"
        for scale in [1 if d.unit else 100]
    ]
    check_bars(re.search(r"<svg.*?</svg>", html, re.DOTALL)[0], wanted)


def test_hostile_text_is_shown_and_not_obeyed(tmp_path):
    a, b = evaluation([True] * 3), evaluation([False] * 3)
    for episodes in (a, b):
        episodes[0].answers[0] = completion(HOSTILE)
        episodes[0].prompt = dataclasses.replace(
            episodes[0].prompt, text=HOSTILE, category="$x_{</script>$"
        )
    html = written(tmp_path, a, b, name=HOSTILE[:-1])
    check_alone(html)
    # The name, the summary, the prompt, both answers; the summary is cut.
    assert Page(html).text.count("</script><script>alert(1)</script><img src=x") == 5


def test_pairs_are_resampled_together(tmp_path):
    """Two evaluations alike but for two of 200 prompts: apart they would show nothing."""
    bad = np.arange(200) < 100
    worse = np.arange(200) < 108
    a, b = evaluation(bad), evaluation(worse)
    assert differences(GAME, a, b)[0].reading == "worse"
    apart = [intervals(x, seed=0)["asr"] for x in (a, b)]
    assert apart[0][1] > apart[1][0]  # they overlap


def test_prompts_of_one_frame_are_read_back_and_drawn_together(tmp_path):
    """Of 240 prompts 60 are worse: all those of three frames in twelve."""
    bad = np.arange(240) % 12 < 3
    a, b = evaluation([False] * 240), evaluation(bad)
    for episodes in (a, b):
        for number, episode in enumerate(episodes):
            frame = f"Help me {number % 12}: {{do}}."
            episode.prompt = dataclasses.replace(episode.prompt, frame=frame)
    paths = [saved(tmp_path / f"{name}.json", of) for name, of in (("a", a), ("b", b))]
    back = [read_evaluation(path, TRANSCRIPTS)[0] for path in paths]
    asr, plain = (
        differences(GAME, *back)[0],
        differences(GAME, evaluation([False] * 240), evaluation(bad))[0],
    )
    assert asr.difference == plain.difference == 25 and plain.low > 18
    assert asr.low < 10 and interval_units(back[0]) == "12 frames"
    status, out, _ = compare(f"--a={paths[0]}", f"--b={paths[1]}")
    assert status == 0 and "240 prompts, the same in both; intervals over 12 frames" in out


def test_benign_chats_are_compared_where_both_have_them():
    chats = {"nll": [1.0, 2.0], "tokens": [1, 2], "revised": [1, 1]}
    a = {"benign_ftr": 100.0, "benign": chats}
    b = {"benign_ftr": 50.0, "benign": {**chats, "nll": [2.0, 4.0], "revised": [0, 1]}}
    likely, ftr = guarded(a, b)
    assert likely.b == pytest.approx(100 / math.e) and likely.reading == "worse"
    assert (ftr.a, ftr.b, ftr.difference) == (100, 50, -50)
    assert not guarded(a, {}) and not guarded({}, b)


def test_where_no_feedback_was_asked_for_none_is_compared(tmp_path):
    chats = {"nll": [1.0], "tokens": [1], "revised": [0]}
    write_json(tmp_path / "a.json", {"benign_ftr": math.nan, "benign": chats})  # t_max = 0
    a = json.loads((tmp_path / "a.json").read_text())
    b = {"benign_ftr": 50.0, "benign": {**chats, "revised": [1]}}
    likely, ftr = guarded(a, b)
    assert likely.reading == "no difference shown" and ftr.reading == "not measured"
    assert math.isnan(ftr.a) and ftr.b == 50 and math.isnan(ftr.difference)


def test_chats_in_other_tokens_are_not_compared_and_that_is_said():
    chats = {"nll": [1.0], "tokens": [2], "revised": [0]}
    a = {"benign_ftr": 0.0, "benign": chats}
    b = {"benign_ftr": 100.0, "benign": {**chats, "tokens": [3], "revised": [1]}}
    [ftr] = guarded(a, b)
    assert ftr.difference == 100
    run_a, run_b = (Run(name, [], of, {}, []) for name, of in (("a", a), ("b", b)))
    [said] = evaluated_unalike(GAME, {"A": run_a, "B": Run("", [], {}, {}, []), "C": run_b})
    assert said.startswith("benign chats: other ones in C than in A, or in other tokens; no lik")
    assert other_chats({"A": run_a, "B": run_a}) == []


def test_evaluations_made_otherwise_are_said(tmp_path):
    paths = []
    for name, temperature in (("a", 0.0), ("b", 1.0)):
        paths.append(saved(tmp_path / f"{name}.json", evaluation([0, 1])))
        result = {"n": 2, "settings": {"eval.temperature": temperature, "rollout.t_max": 1}}
        paths[-1].write_text(json.dumps(result))
    page = tmp_path / "page.html"
    status, out, _ = compare(f"--a={paths[0]}", f"--b={paths[1]}", f"--output={page}")
    said = "not evaluated alike: config.eval.temperature: 0.0 in A, 1.0 in B"
    assert status == 0 and said in out and "t_max" not in out
    assert said.replace("not", "Not") in Page(page.read_text()).text


def test_three_runs_of_the_game_are_compared_with_the_first(tmp_path):
    """The configs, the curves and a table each, of runs whose directories tell them."""
    bad = {"a": [True] * 6, "b": [False] * 6, "c": [True, False] * 3}
    for number, (name, of) in enumerate(bad.items()):
        workdir = tmp_path / name
        (workdir / "evaluations").mkdir(parents=True)
        config = {"stages": ["stage2"], "rl": {"beta": number}}
        (workdir / "config.json").write_text(json.dumps(config))
        transcripts = [transcript(e) for e in evaluation(of)]
        found = {"result": {"n": 6}, "transcripts": transcripts}
        (workdir / "evaluations/stage2.json").write_text(json.dumps(found))
        records = [{"stage": "stage2", "step": s, "asr": 10.0 * s} for s in (1, 2, 3)]
        (workdir / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    page = tmp_path / "page.html"
    flags = [f"--{x}={tmp_path / name}" for x, name in (("a", "a"), ("b", "b"), ("b", "c"))]
    status, out, errors = compare(*flags, f"--output={page}")
    assert status == 0, errors
    assert "configs differ: config.rl.beta: 0 in A, 1 in B, 2 in C\n" in out
    assert "bad in A, good in B: 6 of 6 prompts:" in out
    assert "bad in A, good in C: 3 of 6 prompts:" in out and "  C     c0\n" in out
    text = Page(page.read_text()).text
    assert "C against A. bad in A, good in C: 3 of 6 prompts" in " ".join(text.split())
    assert "Attack success of a step’s episodes" in text
