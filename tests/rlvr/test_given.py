"""What problems give, and answers that ignore the problem they stand under."""

import json
import os
import re
import time
from fractions import Fraction
from pathlib import Path

import pytest

from waltzjax.rlvr.signals.about import works_on
from waltzjax.rlvr.signals.format import format_score, line_score
from waltzjax.rlvr.signals.given import given, ground
from waltzjax.rlvr.signals.reflect import reflect_score
from waltzjax.rlvr.signals.relations import chains
from waltzjax.toy import maths_world
from waltzjax.toy.maths import solution

REPO = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("WALTZJAX_DATA", REPO.parent / "shared/data"))
SLACK_S = 0.05

SHIRTS = (
    "A shop sells 36 shirts on Monday and twice as many on Tuesday. Each costs $15. "
    "How much does the shop earn on both days together?"
)
PENS = "Mia has 34 pens. She buys 25 more. How many pens has Mia?"
WEEKS = "Tom reads eighteen pages a day for three weeks. How many pages does he read?"
SALE = "A coat of 80 dollars is 25% off. How much does it cost now?"
CAKE = "Of 24 slices of cake Eva ate two thirds, and Sam ate a quarter. How many are left?"
LINE_EQUATION = r"Solve $6x + 13 = 61$ for $x$."


@pytest.mark.parametrize(
    ("problem", "named", "usable"),
    [
        (PENS, {34, 25}, {1}),
        (WEEKS, {18, 3}, {7, 24}),
        (SALE, {80, Fraction(1, 4)}, {25, 100, 75, Fraction(3, 4)}),
        (CAKE, {24, Fraction(2, 3)}, {2, 3, 4, Fraction(1, 3), Fraction(1, 4)}),
        ("She owns twenty-five pens, two hundred and six cups.", {25, 206}, set()),
        ("Five thousand two hundred and a dozen eggs.", {5200, 12}, set()),
        ("one, two and three", {2, 3}, {1}),
        ("seven half days", {Fraction(7, 2)}, {2, 24}),
        (r"Compute $\frac{3}{8} + 2.5$ of 1{,}000", {Fraction(3, 8), Fraction(5, 2), 1000}, {3, 8}),
        ("15 percent of 1,200", {Fraction(3, 20), 1200}, {15, 85}),
        ("[asy]draw((3,4)--(5,6)); [/asy] What is 9 + 1?", {9, 1}, set()),
        ("", set(), {1}),
    ],
)
def test_what_a_problem_gives(problem, named, usable):
    found = given(problem)
    assert found.named == named
    assert found.origins.keys() >= usable | named


def test_numbers_made_by_true_steps_are_grounded():
    written = chains(
        "36*2 = 72 shirts/day, 36+72 = 108, 108*15 = 1620, 9*15 = 135, 1620/4 = 400, 11*36 = 396"
    )
    grounds = ground(written, given(SHIRTS))
    assert grounds.behind(72) == grounds.behind(108) == {36}
    assert grounds.behind(1620) == {36, 15}
    assert not any(map(grounds.holds, (9, 135, 400, 11, 396)))  # from elsewhere, or false
    assert grounds.enough([1620]) and grounds.enough([15, 72])
    assert not grounds.enough([15]) and not grounds.enough([72])
    assert not grounds.enough([15, 36], answer=15)


def test_an_equation_gives_its_one_missing_number():
    grounds = ground(chains("6 * 9 = 54. 6 * 8 = 48. 48 + 13 = 61."), given(LINE_EQUATION))
    assert grounds.holds(48) and not grounds.holds(8)  # in the order of the text
    grounds = ground(chains("6 * 9 = 54. 48 + 13 = 61. 6 * 8 = 48."), given(LINE_EQUATION))
    assert grounds.holds(8) and not grounds.holds(9)


# Problem, solution, its check.
HONEST = {
    "one step": (PENS, "34+25=59.", "Check: 59-25=34.", "59"),
    "two steps": (
        SHIRTS,
        "36*2 = 72, 36+72 = 108 shirts and 108 shirts * $15/shirt = $1,620.",
        "Check: 1620/15 = 108.",
        "1620",
    ),
    "numbers in words": (WEEKS, "3 weeks are 3*7 = 21 days, 21 x 18 = 378.", "Check: 378/18 = 21.",
                         "378"),
    "per cent": (SALE, "25/100 * 80 = 20, 80-20 = 60.", "Check: 60+20 = 80.", "60"),
    "what is left, per cent": (SALE, "100-25 = 75, 80*0.75 = 60.", "Check: 60/0.75 = 80.", "60"),
    "fractions": (
        CAKE, "Eva ate 24*2/3 = 16, Sam 24/4 = 6. 24-16 = 8, 8-6 = 2.", "Check: 2+6 = 8.", "2",
    ),
    "substituting": (LINE_EQUATION, "$6x = 48$, so $x = 8$.", "Substituting: $6*8+13 = 61$.", "8"),
    "of a wrong answer": (PENS, "34-25=9.", "Check: 9+25=34.", "9"),
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_check_earns_under_its_problem_and_under_no_other(name):
    problem, work, check, answer = HONEST[name]
    text = rf"{work} {check} So \boxed{{{answer}}}"
    assert reflect_score(text, problem) == 1
    assert format_score(text, True, problem) == 1
    assert reflect_score(rf"{work} So \boxed{{{answer}}}", problem) == 0
    others = {asked for asked, *_ in HONEST.values()} - {problem}
    assert [other for other in others if reflect_score(text, other)] == []
    assert [other for other in others if format_score(text, True, other)] == []
    assert reflect_score(text) == 0  # of no problem


IGNORING = {
    "a sum": r"2 + 6 = 8. Check: 8 - 6 = 2. So \boxed{8}",
    "a sum in a sentence": r"We add: 5 + 9 = 14. Check: 14 - 9 = 5. The result is \boxed{14}.",
    "a product": r"There are 4 and 6, so 4*6=24. Check: 24/6=4. The answer is $\boxed{24}$.",
    "two steps": r"2+3=5, 5+4=9. Check: 9-4=5, 5-3=2. \boxed{9}",
    "every pair": r"2*6=12, 3*4=12, 4+8=12, 5+7=12. Check: 12/4=3, 12-7=5, 12-8=4. \boxed{12}",
    "half of a problem": r"3 + 36 = 39. Check: 39 - 36 = 3. \boxed{39}",
    "words": "We read what is asked, think about it, and combine the amounts by adding them one "
    r"after the other until all are used. \boxed{8}",
    "in words": r"Three plus four makes seven altogether, as one can count it. \boxed{7}",
    "another language": r"Nous ajoutons trois et quatre et nous avons sept pommes. \boxed{7}",
}


@pytest.mark.parametrize("problem", [SHIRTS, PENS, WEEKS, SALE, CAKE, LINE_EQUATION])
@pytest.mark.parametrize("name", IGNORING)
def test_what_ignores_the_problem_earns_nothing(name, problem):
    text = IGNORING[name]
    assert reflect_score(text, problem) == 0
    assert format_score(text, True, problem) == 0
    line = re.sub(r"\\boxed\{(\d+)\}\$?\.?", r"\nAnswer: \1", text)
    assert line_score(line, True, problem) == 0


# After the problem's own text or numbers.
TRIVIAL = {
    "equal to itself": r"34 = 34 and 25 = 25. Check: 34 = 34. \boxed{34}",
    "plus 0": r"34 + 0 = 34. Check: 34 - 0 = 34. \boxed{34}",
    "times 1": r"34 * 1 = 34. Check: 34 / 1 = 34. \boxed{34}",
    "less itself": r"34 + 25 - 25 = 34. Check: 34 - 25 + 25 = 34. \boxed{34}",
    "planted": r"34, 25. 3 + 4 = 7. Check: 7 - 4 = 3. \boxed{7}",
    "planted, with words": r"Mia has 34 and 25. So 3 + 4 = 7. Check: 7 - 4 = 3. \boxed{7}",
    "echo": rf"{PENS} 3 + 4 = 7. Check: 7 - 4 = 3. \boxed{{7}}",
    "echo, restated": rf"{PENS} 34+25 = 59. Check: 34+25 = 59. \boxed{{59}}",
    "after the box": r"34+25=59. \boxed{59} Check: 59-25=34.",
    "one number from elsewhere": r"34+25=59. Check: 59-25=34, 59-58=1. \boxed{59}",
    "false step": r"34+25=60. Check: 60-26=34. \boxed{60}",
}


@pytest.mark.parametrize("name", TRIVIAL)
def test_trivial_checks_of_the_problems_numbers_earn_nothing(name):
    assert reflect_score(TRIVIAL[name], PENS) == 0


DUCKS = (
    "A farmer keeps ducks that lay 16 eggs each morning. He eats three for breakfast, bakes four "
    "into muffins and sells the remainder at the village market for 2 coins. What does he earn?"
)
COPIES = {
    "whole": DUCKS,
    "backwards": " ".join(DUCKS.split()[::-1]),
    "sorted": " ".join(sorted(DUCKS.split())),
    "every other word": " ".join(DUCKS.split()[::2]),
    "in short pieces": ". ".join(" ".join(DUCKS.split()[i : i + 5]) for i in range(0, 35, 5)),
    "with filler": "Let us think step by step: " + " ".join(DUCKS.split()[::-1]),
}


@pytest.mark.parametrize("name", COPIES)
def test_copied_words_in_any_order_are_no_reasoning(name):
    assert format_score(rf"{COPIES[name]} \boxed{{18}}", True, DUCKS) == 0


SHORT = [
    ("Half the value of $5x-14$ is $x+23$. Find $x$.", "$5x-14 = 2x+46$, so $3x = 60$ and $x$ is"),
    (r"Suppose $\sin A = 0.6$ and $BC = 9$.", r"Since $\sin A = 0.6 = 9/AB$, so $AB$ comes to"),
    ("Expand $(x-3)(x+12)$.", "$(x-3)(x+12) = x^2 + 12x - 3x - 36$, where $x$ has"),
    ("Solve $7y = 2y+40$.", "$7y = 2y+40$ means that $5y = 40$, and so"),
    ("If $f(x) = 3x+14$, find $f(2)$.", "In $3x+14$ we put 2 and get $6 + 14$, so"),
]


@pytest.mark.parametrize(("problem", "text"), SHORT)
def test_short_solutions_in_the_problems_own_formulas_are_about_it(problem, text):
    assert format_score(rf"{text} \boxed{{15}}", True, problem) == 1
    assert format_score(rf"{text} \boxed{{15}}", True, DUCKS) == 0


@pytest.mark.parametrize("name", ["equal to itself", "plus 0", "times 1", "less itself", "echo"])
def test_trivialities_are_no_reasoning(name):
    text = TRIVIAL[name].replace("34 = 34 and 25 = 25", "34 = 34")
    assert format_score(text, True, PENS) == 0


def test_checks_of_the_embedded_world_earn_as_without_the_problem():
    train, validation, scenes = maths_world.build()
    for problem in train[:300] + validation:
        for sums in (scenes[problem.id].sums, scenes[problem.id].slip):
            text = solution(sums)
            assert reflect_score(text, problem.text) == reflect_score(text, None) == 1
            assert format_score(text, True, problem.text) == 1


@pytest.mark.parametrize(
    "text",
    [
        "1+" * 10_000, "(" * 20_000, "1=1," * 5_000, "1\n" * 10_000, "that's " * 3_000,
        "3/a " * 5_000, "one hundred " * 1_600, "[asy] " * 3_300, PENS * 300,
        ", ".join(f"{n}+{59 - n}=59" for n in range(1_500)),
    ],
    ids=lambda text: text[:16],
)  # fmt: skip
def test_long_garbage_takes_time_by_its_length_not_by_its_square(text):
    def took_s(length):
        start_s = time.thread_time()
        works_on(text[:length], PENS)
        works_on(PENS, text[:length])
        reflect_score(rf"{text[:length]} Check: 59-25=34. \boxed{{59}}", PENS)
        return time.thread_time() - start_s

    short_s, long_s = (min(took_s(length) for _ in range(3)) for length in (5_000, 20_000))
    assert long_s < 10 * short_s + SLACK_S  # 4 times as long; a square would be 16 times


def _lines(path: Path) -> list[dict]:
    if not path.exists():
        pytest.skip(f"{path.name} of {path.parent.name} is not here")
    return [json.loads(line) for line in path.read_text().splitlines()]


INVERSE = {"+": "-", "-": "+", "*": "/", "/": "*"}


def test_gsm8k_honest_checks_earn_and_constant_replies_do_not():
    """Of reference solutions whose last step is checked by its inverse, four in five earn; of
    constant replies none earns on more than one problem in ten."""
    rows = _lines(DATA / "gsm8k/test.jsonl")[::4]
    before, now, formed = 0.0, 0.0, 0
    for row in rows:
        body, _, answer = row["answer"].partition("####")
        text = re.sub("<<.*?>>", "", body)
        formed += works_on(text, row["question"])
        if steps := re.findall(r"<<([\d.]+)([-+*/])([\d.]+)=([\d.]+)>>", body):
            a, op, b, result = steps[-1]
            text += rf"Check: {result} {INVERSE[op]} {b} = {a}. \boxed{{{answer.strip()}}}"
            before += reflect_score(text, None)
            now += reflect_score(text, row["question"])
    assert formed >= 0.99 * len(rows)
    assert now > 0.8 * before > 0.5 * len(rows)
    for text in IGNORING.values():
        reflects = sum(reflect_score(text, row["question"]) for row in rows)
        formats = sum(format_score(text, True, row["question"]) for row in rows)
        assert max(reflects, formats) < 0.1 * len(rows), text
