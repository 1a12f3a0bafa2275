r"""Which answers have a label's value, by kind of what may go wrong: rows "label | answer".

Those of ``WRONG`` pay a policy for a wrong answer if they are accepted, so each kind has several.
"""

import pytest

from scripts.grading_right import every, right_forms
from scripts.grading_wrong import wrong_forms
from waltzjax.rlvr.grading.equality import compare, compare_plain
from waltzjax.rlvr.grading.parse import parse
from waltzjax.rlvr.grading.tree import Unreadable, names
from waltzjax.rlvr.grading.value import order, proportional, same_value

RIGHT = {
    "fonts, colours, sizes": r"""
        8 | \boldsymbol 8
        8 | \bm{8}
        8 | {\bf 8}
        8 | \textcolor{green}{8}
        8 | \color{red} 8
        8 | {\color{blue}8}
        8 | \textcolor[rgb]{1,0,0}{8}
        8 | \colorbox{yellow}{8}
        8 | {\Large 8}
        8 | \huge{8}
        8 | \underline{\underline{8}}
        8 | \mathbf{\color{red}{8}}
        8 | \texttt{8}
        8 | \textbf{\textcolor{red}{8}}
        8 | **8**
        8 | `8`
        \frac34 | \mathbf{\tfrac{3}{4}}
        \frac34 | \boldsymbol{\frac34}
        \text{east} | \boldsymbol{\text{east}}
        40^\circ | \mathbf{40^\circ}
        \begin{pmatrix}1\\2\end{pmatrix} | \bm{\begin{pmatrix}1\\2\end{pmatrix}}""",
    "fractions": r"""
        \frac34 | \dfrac34
        \frac34 | \frac 3 4
        \frac34 | \frac{3}4
        \frac34 | {3}/{4}
        \frac34 | {3 \over 4}
        \frac34 | \nicefrac{3}{4}
        \frac34 | ¾
        \frac34 | 3⁄4
        -\frac34 | \frac{3}{-4}
        -\frac34 | −3/4
        \frac\pi2 | \dfrac\pi2
        \frac{a}{b} | \frac ab
        \frac{1}{20000} | \frac{1}{20{,}000}
        3\frac12 | 3½
        3\frac12 | 3\,\frac{1}{2}
        -3\frac12 | -3 1/2
        \frac34 | \\frac{3}{4}""",
    "thousands": r"""
        4310 | 4\,310
        4310 | 4\ 310
        4310 | 4~310
        4310 | 4\text{,}310
        4310 | 4\thinspace 310
        4310 | 4'310
        4310 | 4 310
        4310 | 4\;310
        4310 | \$ 4{,}310.00
        4310.5 | 4\,310.5
        7654321 | 7\,654\,321
        7654321 | 76,54,321
        7654321 | 7{,}654{,}321
        2,\!500,\!000 | \,2,\!500,\!000\,
        (3000,2) | (3{,}000, 2)
        3000\pi | 3,000\pi
        100, 200, 300 | 100,200,300""",
    "powers of ten": r"""
        0.0004 | 4e-04
        4e-04 | 0.0004
        4e-04 | 4\times10^{-4}
        4e-04 | \frac{1}{2500}
        3.1e2 | 310
        3.1e2 | 3.1\cdot 10^{2}
        1e+16 | 10^{16}
        -2e-07 | -0.0000002
        4310 | 4.31 × 10³
        4310 | 4.31E+3""",
    "degrees": r"""
        40^\circ | 40
        40^\circ | 40\degree
        40^\circ | 40°
        40^\circ | 40\text{°}
        40^\circ | 40{}^\circ
        40^\circ | 40^{o}
        40^\circ | 40^{\circ}
        40^\circ | {40^\circ}
        40^\circ | 40 degrees
        40^\circ | 40 \text{ degrees}
        40 | 40^{\circ}\text{C}
        \frac12 | \sin 30^\circ
        \frac12 | \cos(60^{\circ})""",
    "per cent": r"""
        25\% | 0.25
        25\% | \frac14
        25\% | 25 percent
        0.25 | 25\text{ percent}
        0.25 | 25 per cent
        \frac14 | 25\,\%
        0.25 | \text{25%}
        33\frac13\% | \frac{100}{3} \text{ percent}""",
    "other characters": r"""
        (2,\infty) | (2,∞)
        2\pi | 2π
        \sqrt{13} | √13
        3\sqrt{13} | 3√(13)
        \sqrt[3]{5} | ∛5
        x^2+1 | x²+1
        x^{12} | x¹²
        2516_8 | 2516₈
        x \in [-2,7] | x ∈ [−2, 7]
        x \in [-2,7] | −2 ≤ x ≤ 7
        1 \pm \sqrt{19} | 1±√19
        (0,9) \cup (9,36) | (0,9) ∪ (9,36)
        20 | 4·5
        20 | 4 × 5
        2 | 4 ÷ 2""",
    "signs with several names": r"""
        \emptyset | \varnothing
        \varnothing | ∅
        \emptyset | \{\}
        2-\frac1e | 2-\frac{1}{\mathrm{e}}
        2+3i | 3\mathrm{i}+2
        \sin x | \mathrm{sin}\,x
        \sin x | \operatorname{sin}(x)
        |x| | \lvert x\rvert
        \{1,4\} | \lbrace 4,1\rbrace
        x \le 5 | x \leqslant 5
        2\pi | 2pi
        \sqrt2 | sqrt(2)""",
    "repeating decimals": r"""
        \frac13 | 0.\overline{3}
        \frac23 | 0.\overline6
        \frac16 | 0.1\overline{6}
        \frac13 | 0.\dot{3}
        \frac{1}{11} | .\overline{09}
        -\frac43 | -1.\bar{3}
        \frac17 | 0.\dot{1}4285\dot{7}
        1 | 0.\overline{9}""",
    "inequalities and intervals": r"""
        (-\infty,2]\cup[3,\infty) | x\le2 or x\ge3
        (-\infty,2]\cup[3,\infty) | x \geq 3 \text{ or } x \leq 2
        (-\infty,2]\cup[3,\infty) | 3 \le x \lor 2 \ge x
        (-\infty,2]\cup[3,\infty) | [3,\infty)\cup(-\infty,2]
        (2,\infty) | x>2
        (2,\infty) | 2 < x < \infty
        (2,\infty) | \{x \mid x > 2\}
        (2,5] | 2<x\le5
        (2,5) | 2<x<5
        (2,5) | x > 2 \text{ and } x < 5
        [2,5] | 5 \ge x \ge 2
        (-\infty,2)\cup(2,\infty) | x \ne 2
        (-\infty,2)\cup(2,\infty) | \mathbb{R}\setminus\{2\}
        (-\infty,2)\cup(2,3)\cup(3,\infty) | \mathbb{R}-\{3,2\}
        \mathbb{R} | (-\infty,\infty)
        x+y<3 | -x-y>-3""",
    "units": r"""
        5 | 5 m/s
        5 | 5 USD
        5 | 5\text{ cm}^2
        5 | 5\,\mathrm{cm}
        5 | 5cm
        5 | 5\text{ sq. ft}
        5 | 5 \text{ (units)}
        5 | 5 cups of flour
        5 | 5 marbles
        5 | \textbf{5 students}
        7\text{ oz} | 7\text{ ounces}
        7\text{ pounds} | 7 lbs
        7\text{ feet} | 7\text{ foot}
        7\text{ metres} | 7 meters
        7\text{ hours} | 7 hr
        7\text{ mph} | 7\text{ miles per hour}
        7\text{ km/h} | 7 kph
        7\text{ cents} | 7¢
        7\text{ liters} | 7\text{ L}
        7\text{ dollars} | \$7""",
    "lists": r"""
        1,-2 | 1 \text{ and } -2
        1,-2 | -2 or 1
        1,-2 | x=1, x=-2
        1,-2 | x=1 \text{ or } x=-2
        1,-2 | x = 1, -2
        1,-2 | \{1,-2\}
        1,-2 | x \in \{1,-2\}
        3,5,7 | 3, 5, \text{ and } 7
        3,5,7 | 7; 3; 5
        1\pm\sqrt{19} | x = 1-\sqrt{19}, 1+\sqrt{19}""",
    "matrices": r"""
        \begin{pmatrix}1\\2\end{pmatrix} | \begin{bmatrix}1\\2\end{bmatrix}
        \begin{pmatrix}1\\2\end{pmatrix} | \left(\begin{array}{c}1\\2\end{array}\right)
        \begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix} 1 \\[1ex] 2 \\ \end{pmatrix}
        \begin{pmatrix}1\\2\end{pmatrix} | \frac{1}{2}\begin{bmatrix}2\\4\end{bmatrix}
        \begin{pmatrix}1&2\\3&4\end{pmatrix} | [\begin{matrix}1&2\\3&\frac82\end{matrix}]""",
    "names": r"""
        5 | x=5
        5 | \theta = 5
        5 | f(2) = 5
        5 | AB = 5
        5 | \angle A = 5^\circ
        5 | S_{10} = 5
        5 | x = 2 + 3 = 5
        5 | \text{Answer: }5
        5 | The answer is 5
        5 | exactly 5
        (3,4) | (x,y)=(3,4)
        2x+3 | f(x)=2x+3""",
    "bases": r"""
        2516_8 | 2516
        2516_8 | 2516_{8}
        2516_8 | 2516_{\text{8}}
        2516_8 | (2516)_8
        204_5 | 204 base 5
        204_5 | 204_{\text{base }5}
        204_5 | 204₅""",
    "algebra": r"""
        \frac{1}{\sqrt2} | \frac{\sqrt2}{2}
        \ln 6 | \ln 2+\ln 3
        \log_2 3 | \frac{\ln 3}{\ln 2}
        |x| | \sqrt{x^2}
        \binom{5}{2} | 10
        \arcsin x | \sin^{-1} x
        e^{2\pi i/3} | -\frac12+\frac{\sqrt3}{2}i
        \frac{60!}{58!} | 60\cdot 59
        2^n | 2\cdot 2^{n-1}
        \sqrt[3]{-8} | -2
        3 | 3 + \sin\pi
        2 | (\sqrt2)^2
        1 | 1 + \frac{\sqrt8 - 2\sqrt2}{5}
        0 | \ln(\sqrt{2}^2 - 1)
        3x+4y=5 | 6x = 10 - 8y
        \frac{2}{3}x | 2x/3
        \frac{\pi^2}{6} | \sum_{k=1}^\infty \frac{1}{k^2}
        x^3 | x**3
        2^{12} | 2**12""",
    "words for numbers": r"""
        4000000 | 4 million
        2.5\times10^9 | 2.5 billion
        7000 | 7\text{ thousand}
        36 | 3 dozen eggs
        4500000 | \$4.5 million
        1500000 | 1\frac{1}{2}\text{ million dollars}
        \frac72 | 3 and 1/2
        \frac{11}{4} | 2 \text{ and } \frac34
        9 | USD 9
        9 | US\$9
        9 | Rs. 9""",
    "named coordinates": r"""
        (4,7) | x=4, y=7
        (4,7) | y = 7, x = 4
        (4,7) | x = 4 \text{ and } y = 7
        (\frac12,3) | a = 0.5, b = 3
        (1,2,5) | x=1, y=2, z=5
        8 | 8 = x
        8 | \text{x} = 8
        (4,\infty) | t > 4""",
    "choices": r"""
        \text{(D)} | option D
        \text{(D)} | Choice (D)
        D | \text{Option D}
        \text{(D)} | \textbf{(D) }12
        \text{(D)} | (D) \frac34""",
    "names of units": r"""
        20\text{ min} | 20 minutes
        20 | 20\text{ min}
        45\text{ sec} | 45 seconds
        6\text{ cm}^2 | 6 square centimeters
        6\text{ cm}^2 | 6 cm squared
        6\text{ cm}^3 | 6 mL
        6\text{ cm}^3 | 6 cubic cm
        6\text{ m/s}^2 | 6 meters per second squared
        6\text{ inches}^2 | 6 square units""",
}

WRONG = {
    "words that multiply": r"""
        5 | 5 ninths
        5 | 5\text{ twelfths}
        5 | 5\text{k}
        5 | 5 M
        5 | 5 kilo
        5 | 5\text{th}
        5 | 5 hours 30 minutes
        5 | 5 MM
        5 | 5 bn
        5 | 5 lakhs
        5 | 5 crore
        5 | 5 millions
        5 | 5\text{ million dollars}
        5 | \$5\text{m}
        5 | 5 dozen eggs
        5 | 5 dozens
        5 | 5 score
        5 | 5 twenties
        5 | 5 pairs
        5 | 5 per mille
        5 | half of 5
        5 | twice 5
        5 | 5 and a half
        0.4 | 0.4 recurring""",
    "words that compute": r"""
        5 | 5 squared
        5 | 5\text{ cubed}
        5 | 5 factorial
        5 | 5 over 2
        5 | 5 plus 1
        5 | 5 times 2
        5 | 5 choose 2
        5 | 5 mod 7
        5 | square root of 5
        5 | ln 5
        5 | 5 inverse""",
    "words that deny or hedge": r"""
        5 | not 5
        5 | \text{negative }5
        5 | minus 5
        5 | about 5
        5 | roughly 5
        5 | at least 5
        5 | 5 or more
        5 | 5 below
        5 | up to 5
        5 | 5\pm 0.1
        5 | 5 or 6
        5 | 5, 6
        5 | 4 to 5
        \text{east} | \text{not east}
        \text{(C)} | \text{(C) or (D)}""",
    "zero times words": r"""
        0 | not 0
        0 | non-0
        0 | never 0
        0 | 0 to 7
        0 | 0\text{ to }7
        0 | 0 feet 4 inches
        0 | 0\text{ hours }4\text{ minutes}
        0 | 0 or more
        0 | anything but 0
        0 | 0x
        0 | 0 ie""",
    "tiny and huge parts": r"""
        0 | 10^{-400}
        0 | e^{-1000}
        0 | \sin(10^{-50})
        1 | \cos(10^{-40})
        \frac{1}{2^{301}} | \frac{1}{2^{300}}
        \frac{1}{61!} | \frac{1}{60!}
        \frac{70!}{66!} | \frac{70!}{67!}
        \frac{52!}{49!3!} | \frac{52!}{48!4!}
        p-q | p-q+10^{-300}
        p-q | (p-q)(1+2^{-400})
        \sqrt7 | \sqrt{7}+\frac{5^{300}}{2^{300}}
        \sqrt7 | \sqrt{7}+10^{-900}
        \sqrt7 | \sqrt{7+10^{-100}}
        \sqrt7 | \sqrt{7}e^{10^{-100}}
        \pi | 4\arctan(1)+10^{-99}
        \pi | 3.14159265358979323846264338327950288419716939937510582097494459230781640628
        \pi | \frac{\ln(640320^3+744)}{\sqrt{163}}
        e-1 | \int_0^1 e^x dx + 10^{-100}
        1 | \lfloor 2+10^{-60} \rfloor""",
    "brackets of another kind": r"""
        (2,7) | \{2,7\}
        (2,7) | [2,7]
        (2,7) | 2,7
        (2,7) | 2 \le x \le 7
        (2,7) | \langle 2,7\rangle
        (2,7) | \begin{pmatrix}2\\7\end{pmatrix}
        (2,7) | (2,7,0)
        (7,2) | 2<x<7
        (7,2) | [7,2]
        (7,2) | 7<x<2
        \{2,7\} | (7,2)
        \{2,7\} | [2,7]
        [2,7] | 2<x<7
        [2,7] | \{2,7\}
        [4,\frac{\pi}{3}] | (4,\frac{\pi}{3})
        3,5,7 | (3,5,7)
        5 | [5]
        5 | \{5\}
        5 | (5,5)
        \begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix}1&2\end{pmatrix}
        \begin{pmatrix}1\\2\end{pmatrix} | \begin{vmatrix}1\\2\end{vmatrix}""",
    "relations of another kind": r"""
        5 | x > 5
        5 | x \ge 5
        5 | x \ne 5
        5 | \not= 5
        5 | -x = 5
        5 | x^2 = 5
        5 | 6 = 5
        x=5 | y=5
        x=5 | x \le 5
        x \le 2 | x < 2
        x+y<3 | x+y>3
        (2,\infty) | x \ge 2
        (2,\infty) | x<2
        (-\infty,2]\cup[3,\infty) | x \le 2 \text{ and } x \ge 3
        y=2x+3 | y<2x+3
        3x+4y=5 | 3x+4y=6
        x^2=-1 | x^2=-4""",
    "per cent": r"""
        31\% | 0.31 percent
        31\% | 0.31\text{ per cent}
        31\% | 0.31\text{%}
        31\% | 3100
        0.31 | 3.1\%
        31 | 0.31
        0.31 | 0.31 percent
        0.07 | 0.07\%
        \frac12 | 5\%""",
    "exponents": r"""
        1e-04 | e-4
        1e-04 | 1e-4x
        1e-04 | 1e04
        1e-04 | 1e-5
        1e-04 | -1e-04
        3.5e3 | 3.5
        3.5e3 | 3.5e
        5 | 5e3
        5 | 5\text{e}3""",
    "numbers run together": r"""
        12 | 1{2}
        \frac12 | 1{\frac12}
        5 | 2{+3}
        5 | 2(3)
        5 | 2 3
        6 | 2 3
        26 | 2[6]
        2220 | 2 20
        2220 | 2.220
        2220 | 2, 220
        48 | 6!!
        720 | 3!!""",
    "powers of units that differ": r"""
        6\text{ cm}^2 | 6\text{ cm}^3
        6\text{ inches}^2 | 6 cubic inches
        6\text{ m}^3 | 6 square meters
        6\text{ m} | 6\text{ m}^{-1}
        6\text{ m/s} | 6 seconds per meter""",
    "unknowns that differ": r"""
        x > 4 | y > 4
        x \in [0,1) | t \in [0,1)
        (2,5) | x > 2 and y < 5
        (-\infty,2)\cup(3,\infty) | x < 2 or y > 3
        x = 1, 2 | y = 1, 2
        (4,7) | x=7, y=4
        (4,7) | x=4
        (4,7) | x=4, x=7""",
    "words that scale": r"""
        4 | 4 million
        4 | 4 dozen eggs
        40 | 4 hundred
        60 | 5 eggs per dozen eggs
        4000000 | 4 billion
        \frac72 | 3 and 1/3
        \text{(D)} | (D) or (E)
        \text{(D)} | option C""",
    "units that differ": r"""
        7\text{ m} | 7\text{ miles}
        7\text{ m} | 7\text{ mm}
        7\text{ m} | 7\text{ minutes}
        7\text{ cents} | \$7
        7\text{ km/h} | 7\text{ m/s}
        7\text{ ounces} | 7\text{ pounds}
        90^\circ | 90\text{ radians}""",
    "letters": r"""
        x | X
        x | |x|
        x | \sqrt{x^2}
        5 | 5i
        5 | 5e
        5 | 5\pi
        A | 2A
        \cot x | \cot y
        6-5i | 6-5j
        x_1 | x_2
        \text{west} | stew""",
    "what math-verify misreads beside an integral or sum": r"""
        5 | 2(3)\sum_{k=1}^{1} k
        \frac52 | \frac42\frac12\sum_{k=1}^{1} 1
        55 | \text{not }\sum_{k=1}^{10} k
        55 | \sum_{k=1}^{10} k \text{ K}
        1 | 2\sum_{k=1}^{1} k\%""",
}


def rows(table):
    return [tuple(row.strip().split(" | ", 1)) for row in table.strip().splitlines()]


@pytest.mark.parametrize("kind", RIGHT)
def test_right_ones(kind):
    missed = [(b, a) for b, a in rows(RIGHT[kind]) if compare(a, b) != (True, True)]
    assert len(rows(RIGHT[kind])) >= 5 and not missed


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_ones(kind):
    accepted = [(b, a) for b, a in rows(WRONG[kind]) if compare(a, b).equal]
    assert len(rows(WRONG[kind])) >= 5 and not accepted


LABELS = [
    "7", "-12", "2024", "0", r"\frac{7}{4}", r"-\frac{2}{3}", "0.375", r"36^\circ", "132_5",
    "x^2 - 3x + 1", r"2\sqrt{7}", "3, 8", "(2,-5)", r"[1, \infty)", r"(3,8]", r"\text{(D)}",
    r"\text{Rosa}", r"\begin{pmatrix} 1 \\ -2 \end{pmatrix}", r"3\pi + 1", r"\frac{3 - a}{7}",
]  # fmt: skip


@pytest.mark.parametrize("label", LABELS)
def test_made_forms(label):
    """The forms that ``scripts/check_grading.py`` makes, of labels of its data's kinds."""
    assert not [f for f in every(right_forms, label) if not compare(f[1], label).equal]
    assert not [f for f in every(wrong_forms, label) if compare(f[1], label).equal]


@pytest.mark.parametrize(
    "label", ["5 to 6 dollars", "see above", "12 1", "1 +", r"\text{6:30 p.m.}", "2:3"]
)
def test_labels_that_only_their_own_text_has(label):
    assert compare_plain(label, label).equal and not compare(f"{label} 1", label).equal


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("ab + 2c", "abc"), (r"\theta x_{12}", ["\\theta", "x_12"]), ("e^{i\\pi}", ""),
        (r"\log_b a", "ab"), ("sin t", "t"),
    ],
)  # fmt: skip
def test_variables(text, variables):
    assert names(parse(text)) == set(variables)


@pytest.mark.parametrize(
    "text",
    ["", "2 3", "x5", "word", "(1", "1)", "1 + ", r"\infty", "a'", "2^3^2", "1,2", r"\sin x/2",
     "(" * 99 + "1" + ")" * 99],
)  # fmt: skip
def test_what_is_no_expression(text):
    with pytest.raises(Unreadable):
        parse(text)


@pytest.mark.parametrize(
    ("text", "other", "sign"),
    [("x - 5", "2x - 10", 1), ("x - 5", "10 - 2x", -1), ("x - 5", "x^2 - 25", 0),
     ("x - 5", "x - 5 + 10^{-90}", 0), (r"\sqrt2 x + y", r"2x + \sqrt2 y", 1), ("x", "y", 0)],
)  # fmt: skip
def test_proportional(text, other, sign):
    assert proportional(parse(text), parse(other)) == sign


def test_order_and_what_has_no_value():
    assert order(parse(r"\sqrt2"), parse("1.5")) == -1
    assert order(parse(r"\pi"), parse(r"\frac{22}{7} - 10^{-9}")) == -1
    assert order(parse("2^{100}"), parse("4^{50}")) == 0
    for text in (r"\frac{1}{0}", r"\ln 0", "9^{9^{9^9}}", r"\binom{10^9}{5}", r"\sqrt{2}^{99999}"):
        with pytest.raises(Unreadable):
            same_value(parse(text), parse(r"\sqrt3"))
