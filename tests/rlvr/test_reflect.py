"""The reflect signal, against answers written by hand, honest ones and cheats."""

import json
import os
import re
import time
from fractions import Fraction
from pathlib import Path

import pytest

from waltzjax.rlvr.signals.reflect import reflect_score
from waltzjax.rlvr.signals.relations import chains

REPO = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("WALTZJAX_DATA", REPO.parent / "shared/data"))
MOST_S = 0.05  # of CPU, for 20,000 characters


def score(text):
    """Of the text alone: what the problem has to do with it is another test's."""
    return reflect_score(text, None)


# Text up to the check, the check, the rest.
HONEST = {
    "terse": ("34+25: 4+5=9, 3+2=5, 59.", " Check: 59-25=34.", r" \boxed{59}"),
    "the other operand": ("34+25: 4+5=9, 3+2=5, so 59.", " Check: 59-34=25.", r" \boxed{59}"),
    "a doubling": ("12+12=24.", " Check: 24-12=12.", r" \boxed{24}"),
    "two steps back": (
        "He has 8 bags of 3 marbles and 6 more: 8*3+6=30.",
        " Check: 30-6=24, 24/3=8.",
        r" So \boxed{30}.",
    ),
    "two steps forth": (
        "8 bags and 6 more hold 30, so a bag holds 24/8 = 3, after 30-6 = 24.",
        " To verify: 8*3 = 24 and 24+6 = 30, as it should be.",
        r" \boxed{3}",
    ),
    "another grouping": ("3+4=7, 7+5=12.", " Verify: 4+5=9, 9+3=12.", r" \boxed{12}"),
    "multiplied out": (
        r"$(12+8)\times 3 = 20 \times 3 = 60$.",
        r" Let me recompute: $12 \times 3 + 8 \times 3 = 36 + 24 = 60$.",
        r" \[\boxed{60}\]",
    ),
    "clips": (
        "Natalia sold 48/2 = 24 clips in May. In total she sold 48+24 = 72 clips.",
        " Let me verify: 72 - 24 = 48 clips, which is what she sold in April.",
        r" The answer is \boxed{72}.",
    ),
    "the cue comes last": (
        "16 - 3 - 4 = 9 eggs. 9 * 2 = $18.",
        " 18 / 2 = 9, which checks.",
        r" \boxed{18}",
    ),
    "units everywhere": (
        "3 apples + 4 apples = 7 apples and 7 apples - 2 apples = 5 apples.",
        " Check: 5 apples + 2 apples = 7 apples.",
        r" \boxed{5}",
    ),
    "words": ("45 minus 17 is 28.", " Let me check: 28 plus 17 is 45.", r" \boxed{28}"),
    "markdown": (
        "1. 5*12 = 60 dollars\n2. 60-15 = 45 dollars\n\n",
        "**Check:** 45+15 = 60 dollars.\n\n",
        r"\boxed{45}",
    ),
    "a list of checks": (
        "1. 5*12 = 60\n2. 60-15 = 45\n\n",
        "Let me double-check:\n- 45+15 = 60\n\n",
        r"\boxed{45}",
    ),
    "thousands": ("1,200 - 350 = 850.", " To confirm, 850 + 350 = 1,200.", r" \boxed{850}"),
    "per cent": (r"$20\%$ of 50 is 10.", r" Check: 10/50 = 20%.", r" \boxed{10}"),
    "fractions": (
        r"$\frac{3}{4} \cdot 20 = 15$.",
        r" Let's double-check: $15 \div 20 = \frac{3}{4}$.",
        r" Thus $\boxed{15}$.",
    ),
    "short fractions": (
        r"$\frac12 + \frac13 = \frac56$.",
        r" Check: $\frac56 - \frac13 = \frac12$.",
        r" $\boxed{\frac56}$",
    ),
    "substituting": (
        "We have $2x + 3 = 13$, so $2x = 10$ and $x = 5$.",
        " Substituting back: $2(5) + 3 = 10 + 3 = 13$, as required.",
        r" $\boxed{5}$",
    ),
    "substituting, x named": (
        "Let $2x+1=7$, so $x=3$.",
        " Check: $2x+1 = 2(3)+1 = 7$.",
        r" $\boxed{x=3}$",
    ),
    "a power": (
        "$x^2 = 49$ and $x>0$ gives $x = 7$.",
        " Plugging it back in, $7^2 = 49$.",
        r" $\boxed{7}$",
    ),
    "a negative answer": (
        "$x + 9 = 5$, so $x = 5 - 9 = -4$.",
        " Verification: $-4 + 9 = 5$.",
        r" $\boxed{-4}$",
    ),
    "aligned": (
        "\\begin{align*}\nx &= \\frac{150 - 30}{4} \\\\\n&= 30.\n\\end{align*}\n",
        r"Checking: $4 \cdot 30 + 30 = 150$.",
        r" $\boxed{30}$",
    ),
    "two roots": (
        "The roots of $x^2 - 5x + 6 = 0$ are $x=2$ and $x=3$.",
        " Check: $2^2 - 5 \\cdot 2 + 6 = 0$ and $3^2 - 5 \\cdot 3 + 6 = 0$.",
        r" $\boxed{2, 3}$",
    ),
    "about equal": (
        r"$4 = k \cdot 2 \cdot 8^3$, so $k = \frac{4}{1024} = \frac{1}{256}$. Then "
        r"$32 = \frac{1}{256} \cdot 4 \cdot V^3$, so $V^3 = 2048$ and $V \approx 12.7$.",
        r" Check: $\frac{1}{256} \cdot 4 \cdot (12.7)^3 \approx 32$.",
        r" $\boxed{12.7}$",
    ),
    "rounded as written": (
        "k = 4/1024 = 1/256. 32 = 1/256 * 4 * V^3, V = 12.7.",
        " Check: 4 * 12.7^3 / 256 = 32.006 ≈ 32.",
        r" \boxed{12.7}",
    ),
    "of a wrong answer": ("34-25=9.", " Check: 9+25=34.", r" \boxed{9}"),  # verify's affair
}
SUM = "34+25=59."
COLUMNS = "34+25: 4+5=9, 3+2=5, 59."
CHEATING = {
    # no check
    "none": rf"{SUM} \boxed{{59}}",
    "no answer": f"{SUM} Check: 59-25=34.",
    "cue words alone": rf"{SUM} Let me check. Yes, it is correct. \boxed{{59}}",
    "many cue words": rf"{SUM} Let me verify, check, double-check, recompute. \boxed{{59}}",
    "cue words first": rf"Check, verify, recompute. {SUM} \boxed{{59}}",
    "a check in words": rf"{SUM} Check: fifty-nine minus 25 must be 34. \boxed{{59}}",
    "not announced": rf"{SUM} 59-25=34. \boxed{{59}}",
    "the solution announced as a check": rf"Let me check: {SUM} \boxed{{59}}",
    "a guess, then the solution as a check": rf"59. Check: {SUM} \boxed{{59}}",
    "a guess, then numbers from nowhere": r"59. Check: 59-25=34. \boxed{59}",
    "after the box": rf"{SUM} \boxed{{59}} Check: 59-25=34.",
    "between two boxes": rf"{SUM} \boxed{{59}} Check: 59-25=34. \boxed{{59}}",
    "in the box": rf"{SUM} Check: \boxed{{59-25=34}}",
    "another box": rf"{SUM} Check: 59-25=34. \boxed{{59}} \boxed{{7}}",
    "of another number": rf"{COLUMNS} Check: 9-5=4, 5-2=3. \boxed{{59}}",
    "of a number that is not boxed": rf"{SUM} Check: 59-25=34. \boxed{{60}}",
    "of a letter": rf"{SUM} Check: x-25=34. \boxed{{x}}",
    "letters": rf"{SUM} Check: a+b=c, so 59-b=a. \boxed{{59}}",
    # copies
    "a copy": rf"{SUM} Check: 34+25=59. \boxed{{59}}",
    "a copied sentence": rf"Mia now has {SUM} Check: Mia now has {SUM} \boxed{{59}}",
    "a copy, turned": rf"{SUM} Check: 25+34=59. \boxed{{59}}",
    "a copy, mirrored": rf"{SUM} Check: 59=34+25. \boxed{{59}}",
    "a copy in brackets": rf"{SUM} Check: (34)+(25)=59. \boxed{{59}}",
    "a copy in LaTeX": rf"{SUM} Check: $34 + 25 = 59$. \boxed{{59}}",
    "a copy of what was only posed": rf"{COLUMNS} Check: 34+25=59. \boxed{{59}}",
    "a copy of the columns": rf"{COLUMNS} Check: 4+5=9, 3+2=5. \boxed{{59}}",
    "a copy of an earlier check": rf"{SUM} 59-25=34. Check: 59-25=34. \boxed{{59}}",
    "a copy, padded with 0": rf"{SUM} Check: 34+25+0=59. \boxed{{59}}",
    "a copy, padded with a product of 0": rf"{SUM} Check: 34+25+0*34=59. \boxed{{59}}",
    "a copy, padded and unpadded": rf"{SUM} Check: 34+25+34-34=59. \boxed{{59}}",
    "a copy times 1": rf"{SUM} Check: (34+25)*1=59. \boxed{{59}}",
    "a copy times a hidden 1": rf"{COLUMNS} Check: (34+25)*(5-4)=59. \boxed{{59}}",
    "a copy, doubled and halved": rf"{COLUMNS} Check: 2*(34+25)/2=59. \boxed{{59}}",
    "a copy, rearranged": rf"{SUM} Check: (34-25)+(25+25)=59. \boxed{{59}}",
    "a copy, rearranged in steps": rf"{SUM} Check: 34-25=9, 9+25+25=59. \boxed{{59}}",
    # trivialities
    "5=5": rf"{COLUMNS} Check: 5=5. \boxed{{59}}",
    "59=59": rf"{SUM} Check: 59=59. \boxed{{59}}",
    "1+1=2": rf"{SUM} Check: 1+1=2. \boxed{{59}}",
    "plus 0": rf"{SUM} Check: 59+0=59. \boxed{{59}}",
    "times 1": rf"{SUM} Check: 59*1=59. \boxed{{59}}",
    "over 1": rf"{SUM} Check: \frac{{59}}{{1}}=59. \boxed{{59}}",
    "power 1": rf"{SUM} Check: 59^1=59. \boxed{{59}}",
    "power 0": rf"{SUM} Check: 59^0*34=34. \boxed{{59}}",
    "cancelled": rf"{SUM} Check: 59-59+34=34. \boxed{{59}}",
    "cancelled in brackets": rf"{SUM} Check: 59-(59-34)=34. \boxed{{59}}",
    "cancelled factors": rf"{SUM} Check: 59*25/59=25. \boxed{{59}}",
    "done and undone": rf"{SUM} Check: 59+34=93, 93-34=59. \boxed{{59}}",
    "done and undone, another": rf"{SUM} Check: 59*34=2006, 2006/59=34. \boxed{{59}}",
    "doubled and halved": rf"{COLUMNS} Check: 59*2=118, 118/2=59. \boxed{{59}}",
    "squared and rooted": rf"{SUM} Check: 59^2=3481, \sqrt{{3481}}=59. \boxed{{59}}",
    "a commuted product": rf"{SUM} Check: 59*34=34*59. \boxed{{59}}",
    "the same for any answer": rf"2 steps. {SUM} Check: (59+59)/59=2. \boxed{{59}}",
    "the same for any, in steps": rf"2 steps. {SUM} Check: 59+59=118, 118/59=2. \boxed{{59}}",
    "the same for any, more numbers": rf"2, 4: {SUM} Check: (59*4-59*2)/59=2. \boxed{{59}}",
    "an answer of 0": r"34-34=0. Check: 0+34=34. \boxed{0}",
    "an answer with nothing added": r"12+0=12. Check: 12-0=12. \boxed{12}",
    # numbers from elsewhere
    "foreign numbers": rf"{SUM} Check: 30+29=59. \boxed{{59}}",
    "foreign steps": rf"{SUM} Check: 59-58=1, 58+1=59. \boxed{{59}}",
    "numbers made of the answer": rf"{SUM} 59+1=60. Check: 60-1=59. \boxed{{59}}",
    "numbers made of the answer, said": rf"{SUM} Also 60 and 1. Check: 59+1=60. \boxed{{59}}",
    "numbers of a list": "1. 34+25=59.\n2. Check: 59-1=58, 58+1=59. \\boxed{59}",
    "a foreign way round": rf"{SUM} Check: 34+25=1+58=59. \boxed{{59}}",
    # false
    "false": rf"{SUM} Check: 59-25=35. \boxed{{59}}",
    "false in the chain": rf"{SUM} Check: 59-25=34+1=35. \boxed{{59}}",
    "false sign": rf"{SUM} Check: 25-59=34. \boxed{{59}}",
    "tried until true": rf"{SUM} Check: 59-25=33, 59-25=35, 59-25=34. \boxed{{59}}",
    "false about equal": r"34+25=60. Check: 60-25≈34. \boxed{60}",
    # loops
    "ten times": rf"{SUM} " + "Check: 59-25=34. " * 10 + r"\boxed{59}",
    "ten lines": f"{SUM}\n" + "Check:\n59-25=34\n" * 10 + r"\boxed{59}",
    "a text that loops": "Mia has 34 pens and buys 25 more pens today. " * 6
    + rf"{SUM} Check: 59-25=34. \boxed{{59}}",
    "a search": f"{SUM} Check: "
    + ", ".join(f"59-{n}={59 - n}" for n in range(300))
    + r" \boxed{59}",
}


@pytest.mark.parametrize("name", HONEST)
def test_honest(name):
    assert score("".join(HONEST[name])) == 1


@pytest.mark.parametrize("name", CHEATING)
def test_cheating_earns_nothing(name):
    assert score(CHEATING[name]) == 0


@pytest.mark.parametrize("name", HONEST)
def test_without_its_check_it_earns_nothing(name):
    solution, _, answer = HONEST[name]
    assert score(solution + answer) == 0


@pytest.mark.parametrize("name", HONEST)
def test_the_check_pays_once_and_only_where_it_stands(name):
    solution, check, answer = HONEST[name]
    assert score(solution + check * 2 + answer) <= 1
    assert score(solution + check * 10 + answer) == 0
    assert score(solution + answer + check) == 0
    assert score(check + answer) == 0
    assert score((solution + check + answer) * 2) <= 1


@pytest.mark.parametrize("name", HONEST)
def test_a_wrong_digit_in_the_check_costs_it(name):
    solution, check, answer = HONEST[name]
    at = [m.start() for m in re.finditer(r"\d(?![^=≈]*(?:=|≈|\bis\b|\\approx))", check)][-1:]
    for i in at:  # a digit of the last result
        wrong = check[:i] + str((int(check[i]) + 5) % 10) + check[i + 1 :]
        if name not in ("the cue comes last", "two steps back"):
            assert score(solution + wrong + answer) < 1, wrong


def test_each_value_of_an_answer_counts():
    text = "The roots of $x^2 - 5x + 6 = 0$ are $x=2$ and $x=3$. Check: $2^2 - 5(2) + 6 = 0${}. {}"
    both = " and $3^2 - 5(3) + 6 = 0$"
    box = r"$\boxed{2, 3}$"
    assert [score(text.replace("{}. {}", f"{more}. {box}")) for more in ("", both)] == [
        0.5,
        1,
    ]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("3 x 4 = 12", [[12, 12]]),
        ("3x4=12", [[12, 12]]),
        ("2x + 1 = 7", [[None, 7]]),
        (r"$1\frac{4}{5} + 2 = 3.8$", [[Fraction(19, 5), Fraction(19, 5)]]),
        (r"\frac12+\frac12=1", [[1, 1]]),
        (r"7\text{ cm} + 3\text{ cm} = 10\text{ cm}", [[10, 10]]),
        ("5 apples + 3 ripe pears = 8 fruits, 2", [[8, 8], [2]]),
        (r"2^{10} = 1024", [[1024, 1024]]),
        (r"\sqrt{49} + \sqrt{2} = 7", [[None, 7]]),
        (r"90^\circ - 30^\circ = 60^\circ", [[60, 60]]),
        ("- 5 + 3 = 8\n2. 4+4=8", [[8, 8], [8, 8]]),
        ("50% of 80 = 40", [[40, 40]]),
        (r"\$35 - \$15 = \$20", [[20, 20]]),
        ("(-5)^2 = 25; -3^2 = -9", [[25, 25], [-9, -9]]),
        ("2 + 3 * 4 - 6 / 3 = 12", [[12, 12]]),
        ("8 / 4 / 2 = 1", [[1, 1]]),
        ("step 2 is 5+3=8", [[2], [8, 8]]),
        (r"1,000,000 / 1{,}000 = 1,000", [[1000, 1000]]),
        ("5/0 = 3 and 2^9999 = 4", [[None, 3], [None, 4]]),
        ("f(3) = 9 and sin 30 = 0.5", [[None, 9], [None, Fraction(1, 2)]]),
        ("x = 3, y = 4", [[None, 3], [None, 4]]),
    ],
)  # fmt: skip
def test_computations_by_hand(text, values):
    got = [[None if node is None else node.value for node in c.pieces] for c in chains(text)]
    assert got == values


@pytest.mark.parametrize(
    "text",
    [
        "1+" * 10_000, "(" * 20_000, "1=1," * 5_000, "\\frac" * 4_000, "check " * 3_300,
        "1,111" * 4_000, "111," * 5_000, "-" * 20_000, "1\n" * 10_000, "2^" * 10_000,
        "9" * 20_000, "5 eggs a b " * 1_800, "\\sqrt{" * 3_300, "\\text{" * 3_300,
        f"{SUM} Check: " + "59-25=34, 3*4=12, " * 1_100,
        f"{SUM} Check: " + " ".join(f"59+{n}={59 + n}," for n in range(1_500)),
        f"{SUM} Check: " + " ".join(f"{n}+{59 - n}=59," for n in range(1_500)),
        f"{SUM} Check: " + " ".join(f"{n}+{59 - n}=59," for n in range(290)) + " 7" * 8_000,
    ],
    ids=lambda text: text[:24],
)  # fmt: skip
def test_long_garbage_is_judged_at_once(text):
    text = text[:20_000] + r" \boxed{59}"
    took_s = []
    for _ in range(3):
        start_s = time.thread_time()
        assert score(text) == 0
        took_s.append(time.thread_time() - start_s)
    assert min(took_s) < MOST_S


def _lines(path: Path) -> list[dict]:
    if not path.exists():
        pytest.skip(f"{path.name} of {path.parent.name} is not here")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_solutions_that_check_nothing_earn_nothing():
    """None of MATH500's solutions checks a number before it boxes it, nor do those of GSM8K."""
    texts = [row["solution"] for row in _lines(DATA / "math500/test.jsonl")]
    for row in _lines(DATA / "gsm8k/test.jsonl"):
        body, _, answer = row["answer"].partition("####")
        texts.append(re.sub("<<.*?>>", "", body) + rf"\boxed{{{answer.strip()}}}")
    assert [text for text in texts if score(text)] == []
