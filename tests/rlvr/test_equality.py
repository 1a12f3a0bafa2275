"""Which answers have a label's value. Every row is worked by hand; a value that differs is never
called equal, whatever math-verify says of it (marked: M)."""

from fractions import Fraction

import pytest

from waltzjax.rlvr.grading.equality import Comparison, compare, compare_plain
from waltzjax.rlvr.grading.number import read_number
from waltzjax.rlvr.grading.typeset import tidy
from waltzjax.rlvr.grading.units import same_unit

PLAIN = [
    # the one-shot problem: 12.8 is its label, though the exact value is about 12.70
    ("12.8", "12.8", True),
    ("12.80", "12.8", True),
    (r"V \approx 12.8", "12.8", True),
    (r"12.8 \text{ mph}", "12.8", True),
    (r"\frac{64}{5}", "12.8", True),
    ("12.7", "12.8", False),
    ("12.70", "12.8", False),
    ("12.7999999", "12.8", False),  # M: rounded
    ("V = 12.7999999", "12.8", False),  # M
    # numbers
    ("1,000", "1000", True),
    (r"10,\!080", "10080", True),
    ("10{,}080", "10080", True),
    ("1.000", "1000", False),
    ("0.50", r"\frac12", True),
    (".5", "1/2", True),
    (r"\dfrac{3}{6}", r"\tfrac 12", True),
    ("0.333333", r"\frac13", False),  # M
    (r"1\frac{4}{5}", r"\frac{9}{5}", True),
    (r"-1\frac{1}{2}", "-1.5", True),
    ("137 1/2", "137.5", True),
    (r"2\frac12", "1", False),
    ("−5", "-5", True),
    ("5", "-5", False),
    ("12.", "12", True),
    ("{12}", "12", True),
    ("007", "7", True),
    ("12 13", "1213", None),
    ("1/0", "0", None),
    # what is said to be equal and is not
    ("11 = 12", "12", False),  # M
    (r"12.8 \approx 12.7", "12.8", False),  # M
    # money, per cent, degrees, units
    (r"\$36", "36", True),
    ("$36$", "36", True),
    (r"\$32,\!348", "32348", True),
    (r"18.90 \text{ dollars}", r"\$18.90", True),
    (r"\$5.4", r"5.4 \text{ cents}", False),  # M
    (r"50\%", "50", True),
    (r"50\%", "0.5", True),
    (r"\frac12", r"50 \%", True),
    ("5", r"50\%", False),
    (r"0.5\%", "0.5", False),
    ("0.5", r"0.5\%", True),
    (r"50\%", r"5\%", False),
    ("90", r"90^\circ", True),
    ("90°", r"90^{\circ}", True),
    (r"\frac{270}7\text{ degrees}", r"\frac{270}{7}", True),
    (r"5\text{ m}", r"5\text{ cm}", False),  # M
    (r"864 \text{ square inches}", r"864 \mbox{ inches}^2", True),
    (r"864 \text{ in}^2", r"864 \mbox{ inches}^2", True),
    ("18 dollars per day", "18", True),
    ("5 million", "5", False),
    (r"5\text{ million}", "5", False),
    ("3d", "3", None),
    ("2 pi", "2", None),
    # names of unknowns
    ("x = 5", "5", True),
    ("5", "x=5", True),
    ("y=2x+3", "2x + 3", True),
    # bases
    ("2516_{8}", "2516_8", True),
    ("2516", "2516_8", True),
    ("2516_9", "2516_8", False),  # M
    ("1358", "2516_8", False),  # its value in another base is what was asked to be changed
    ("52_8", "42", False),
    # words
    ("C", r"\text{(C)}", True),
    (r"\textbf{(C)}", r"\text{(C)}", True),
    ("D", r"\text{(C)}", False),
    ("East", r"\text{east}", True),
    ("seat", r"\text{east}", False),
    ("seat", "east", False),  # M: the product of its letters
    (r"\text{not even}", r"\text{even}", False),
    ("no solution", r"\text{no solution}", True),
]

ALGEBRA = [
    ("12 or 13", "12", False),
    (r"12 \text{ or } 13", "13", False),
    ("12, 13", "12", False),
    (r"\pm 12", "12", False),
    ("x=12, x=13", "12", False),
    (r"\frac{1}{\tan x}", r"\cot x", True),
    (r"\tan x", r"\cot x", False),
    ("-q+p", "p - q", True),
    ("q-p", "p - q", False),
    ("ab+2a+5b+10", "(a+5)(b+2)", True),
    (r"\sqrt{169}", "13", True),
    ("2^{10}", "1024", True),
    (r"3\text{ and }5", "5, 3", True),
    ("7, 5, 3", "3, 5, 7", True),
    ("7, 5", "3, 5, 7", False),
    (r"\{-2, 1-\sqrt{5}, 1+\sqrt5\}", r"\{1\pm\sqrt{5},-2\}", True),
    (r"1+\sqrt{19}", r"1 \pm \sqrt{19}", False),
    ("(4,3)", "(3,4)", False),
    ("[3,4]", "(3,4)", False),
    ("(7,-5)", "(8,-2)", False),
    (r"\left(3,\frac{2\pi}{4}\right)", r"\left( 3, \frac{\pi}{2} \right)", True),
    (r"(9,36) \cup (0,9)", r"(0,9) \cup (9,36)", True),
    ("(0,36)", r"(0,9) \cup (9,36)", False),
    (r"-2 \le x \le 7", r"x \in [-2,7]", True),
    (r"-2 < x \le 7", r"x \in [-2,7]", False),
    ("2x - y + 3 = 0", "y = 2x + 3", True),
    ("y = 2x + 4", "y = 2x + 3", False),
    ("x = 5", "y = 5", False),
    ("x^2 = -4", "x^2 = -1", False),  # M: neither has a solution
    (r"\begin{bmatrix}-\frac13\\2\end{bmatrix}", r"\begin{pmatrix} -1/3 \\ 2 \end{pmatrix}", True),
    (r"\begin{pmatrix}2\\-1/3\end{pmatrix}", r"\begin{pmatrix} -1/3 \\ 2 \end{pmatrix}", False),
    (r"2\sqrt{3}\text{ cm}", r"2\sqrt{3}", True),
    (r"2\sqrt{3}\text{ cm}", r"2\sqrt{3}\text{ inches}", False),  # M
    ("5 m", "5", False),  # may be a variable
    ("2", "2h", False),  # M: takes the h for hours
    (r"\sqrt[3]{2048}", "12.8", False),
    (r"\sqrt2", "1.414214", False),  # M: rounded
    (r"8\pi + 10^{-20}", r"8\pi", False),  # M
    # products that math-verify adds, as it does mixed numbers
    ("2(3)", "6", True),
    ("2(3)", "5", False),  # M
    ("(2)3", "5", False),  # M
    ("2{3}", "5", False),  # M
    ("2[3]", "5", False),  # M
    ("2 3", "5", False),  # M
    (r"2\binom{4}{2}", "8", False),  # M
    (r"\frac{4}{2}\frac{1}{2}", r"\frac52", False),  # M
    (r"0.333\ldots", "0.333", False),  # M
    (r"\sum_{k=1}^{10} k", "55", True),
]

UNREADABLE = ["", "  ", "$$", "?", "１２", "١٢", r"\approx", "12}{13", "x" * 2000, "2***3"]


@pytest.mark.parametrize(("answer", "label", "equal"), PLAIN)
def test_plain(answer, label, equal):
    got = compare_plain(answer, label)
    assert got == (None if equal is None else Comparison(equal, True))
    assert not compare(answer, label).equal or equal  # None: certainly not equal in this table


@pytest.mark.parametrize(("answer", "label", "equal"), ALGEBRA)
def test_algebra(answer, label, equal):
    assert compare_plain(answer, label) is None
    assert compare(answer, label).equal is equal


@pytest.mark.parametrize("answer", UNREADABLE)
@pytest.mark.parametrize("label", ["12", r"\text{east}", "x + 1"])
def test_unreadable(answer, label):
    assert compare(answer, label) == Comparison(False, False)


@pytest.mark.parametrize("label", ["12.8", r"\frac{14}{3}", r"\text{(C)}", r"(3, \infty)"])
def test_text_around_the_label_is_no_answer(label):
    for answer in (f"the answer is not {label}", f"{label} or 7", f"7 but perhaps {label}"):
        assert not compare(answer, label).equal


def test_huge_exponents_stay_out_of_the_calling_process():
    for answer in ("9^{9^{9^9}}", "10^{10^{10}}", "1e999999999", "1e401", "9" * 301):
        assert compare_plain(answer, "5") is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,234,567.5", Fraction(2469135, 2)), (r"-\frac{1,000}{3}", Fraction(-1000, 3)),
        ("3 / 4", Fraction(3, 4)), ("+7", Fraction(7)), (r"\$1.25", Fraction(5, 4)),
        ("12,34", None), ("1,2345", None), ("1e5", Fraction(100000)), ("--5", None), ("0x10", None),
        ("1 2", None), (r"\frac{1}{0}", None), ("½", Fraction(1, 2)), ("1_000", Fraction(1)),
    ],
)  # fmt: skip
def test_read_number(text, value):
    got = read_number(tidy(text))
    assert (got and got.value) == value


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("", "cm", True), ("inches", "in", True), ("cm", "centimeters", True),
        ("hr", "hours", True),
        ("square feet", "ft", True), ("cent", "cents", True), ("m", "mm", False),
        ("m", "cm", False), ("cents", "dollars", False), ("g", "kg", False),
    ],
)  # fmt: skip
def test_units(a, b, same):
    assert same_unit(a, b) is same and same_unit(b, a) is same
