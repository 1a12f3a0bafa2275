"""The format signal, against answers written by hand, honest ones and cheats."""

import json
import os
import re
import time
from pathlib import Path

import pytest

from waltzjax.rlvr.grading.answer import boxes, loops
from waltzjax.rlvr.signals.format import format_score

REPO = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("WALTZJAX_DATA", REPO.parent / "shared/data"))
MOST_S = 0.05  # of CPU, for 20,000 characters

CLIPS = "Natalia sold 48/2 = 24 clips in May, and 48 + 24 = 72 clips altogether."
ROOTS = "We have $x^2 - 5x + 6 = (x - 2)(x - 3)$, so the roots are $2$ and $3$ and their sum is"
TINY = "34+25: 4+5=9, 3+2=5, 59."

HONEST = {
    "terse": (rf"{TINY} \boxed{{59}}", 1),
    "terse with a check": (rf"{TINY} Check: 59-25=34. \boxed{{59}}", 1),
    "one step": (r"3*12=36, so \boxed{36}", 1),
    "one step that ends in the box": (r"$12 \times 5 = \boxed{60}$", 1),
    "English, full stop": (CLIPS + r" The answer is \boxed{72}.", 1),
    "in dollars": (CLIPS + r" The final answer is $\boxed{72}$.", 1),
    "full stop inside": (CLIPS + r" Thus the total is $\boxed{72}.$", 1),
    "displayed": (CLIPS + "\n\n\\[\n\\boxed{72}\n\\]\n", 1),
    "in round brackets": (CLIPS + r" So \( \boxed{72} \).", 1),
    "double dollars": (f"{ROOTS} $$\\boxed{{5}}.$$", 1),
    "aligned": (r"\begin{align*}x &= \frac{150-30}{4} \\ &= \boxed{30}.\end{align*}", 1),
    "bold": (CLIPS + "\n\n**Answer:** **\\boxed{72}**", 1),
    "trailing newlines": (CLIPS + " \\boxed{72}\n\n", 1),
    "nested braces": (r"So $f(0) = \frac{8}{3} + 2 = \frac{14}{3}$. $\boxed{\frac{14}{3}}$", 1),
    "a pair": (
        r"$r = \sqrt{0^2 + 3^2} = 3$ makes $\boxed{\left( 3, \frac{\pi}{2} \right)}$.",
        1,
    ),
    "only letters": (r"$f = \sum \frac{k-1}{k^3} = \boxed{p - q}.$ ", 1),
    "a name": (
        "Evelyn ran more than Briana, Debra and Angela in less time than all three, and Carla took "
        r"twice as long for about the same distance. So it is $\boxed{\text{Evelyn}}$.",
        1,
    ),
    "a space before the brace": (CLIPS + r" \boxed {72}", 1),
    "an escaped brace": (r"From $x^2 = 9$ the set is $\boxed{\{3, -3\}}$.", 1),
    "a unit": (CLIPS + r" She sold $\boxed{72}$ clips.", 0.5),
    "a unit in LaTeX": (r"The speed is $60 / 3 = \boxed{20}\text{ mph}$.", 0.5),
    "a degree": (r"The angle is $180 - 100 = \boxed{80}^\circ$.", 0.5),
    "the sentence's end": (r"Since $3 \times 3 = 9$ there are $\boxed{9}$ positive divisors.", 0.5),
}
CHEATING = {
    "nothing": "",
    "no box": TINY,
    "only a box": r"\boxed{59}",
    "only an announcement": r"The answer is \boxed{59}.",
    "only filler": (
        "Okay, let me think about this problem carefully, step by step. We need to find the answer "
        r"using the information provided. Therefore, the final answer is \boxed{59}."
    ),
    "the answer over again": r"59, so 59, 59 and 59: 59 = 59. \boxed{59}",
    "numbers without words": r"34 25 12 \boxed{59}",
    "two boxes": rf"{TINY} \boxed{{59}} \boxed{{59}}",
    "a box of each kind": rf"{TINY} \boxed{{9}}, \boxed{{5}} or \boxed{{59}}",
    "a box in the steps": r"34+25: \boxed{9}, 3+2=5, 59. \boxed{59}",
    "a box in a box": rf"{TINY} \boxed{{\boxed{{59}}}}",
    "a box that stays open": rf"{TINY} \boxed{{59",
    "an open box, then one": rf"{TINY} \boxed{{59 \boxed{{59}}",
    "a box without brace": rf"{TINY} \boxed 59",
    "empty": rf"{TINY} \boxed{{}}",
    "blank": rf"{TINY} \boxed{{ \quad }}",
    "empty text": rf"{TINY} \boxed{{\text{{ }}}}",
    "dots": rf"{TINY} \boxed{{\dots}}",
    "question mark": rf"{TINY} \boxed{{?}}",
    "a placeholder": rf"{TINY} \boxed{{answer}}",
    "all of it in the box": rf"{TINY} \boxed{{{CLIPS * 2}}}",
    "box in the middle": rf"The answer is \boxed{{59}} because {TINY}",
    "box first": rf"\boxed{{59}}. {TINY}",
    "a remark after it": rf"{TINY} \boxed{{59}}. Note that we could have counted on instead.",
    "a number after it": rf"{TINY} \boxed{{59}} = 60",
    "another answer after it": rf"{TINY} $\boxed{{59}}$ or 58.",
    "a next problem": rf"{TINY} \boxed{{59}}" + "\n\nProblem: Mia has 12 pens.",
    "a tail of closers": rf"{TINY} \boxed{{59}}" + "." * 60,
    "a loop": "34+25 is 59, I am sure. " * 12 + r"\boxed{59}",
    "a loop of lines": "4+5=9\n3+2=5\n" * 8 + r"\boxed{59}",
    "a loop of a word": "so " * 200 + TINY + r" \boxed{59}",
    "a loop without spaces": "0." + "3" * 400 + r" is 1/3 \boxed{59}",
}


@pytest.mark.parametrize("name", HONEST)
def test_honest(name):
    text, expected = HONEST[name]
    assert format_score(text, finished=True) == expected


@pytest.mark.parametrize("name", CHEATING)
def test_cheating_earns_nothing(name):
    assert format_score(CHEATING[name], finished=True) == 0


@pytest.mark.parametrize("name", HONEST)
def test_cut_off_earns_nothing(name):
    assert format_score(HONEST[name][0], finished=False) == 0


@pytest.mark.parametrize("name", HONEST)
def test_more_boxes_or_more_copies_never_pay(name):
    text, expected = HONEST[name]
    for worse in (f"{text} \\boxed{{1}}", f"\\boxed{{1}} {text}", f"{text} {text}"):
        assert format_score(worse, finished=True) == 0 < expected


@pytest.mark.parametrize("name", HONEST)
def test_until_its_box_closes_a_text_earns_nothing(name):
    text, _ = HONEST[name]
    (box,) = boxes(text)
    assert [format_score(text[:n], finished=True) for n in range(box.end)] == [0] * box.end
    assert format_score(text[: box.end], finished=True) == 1


def test_boxes_by_hand():
    text = r"a \boxed{1} \boxed{\frac{2}{3}} \boxed{\{4\}} \boxed{5 \boxed 6 \boxedx{7}"
    found = boxes(text)
    assert [b.content for b in found] == ["1", r"\frac{2}{3}", r"\{4\}", None, None]
    assert [text[b.start : b.end] for b in found[:2]] == [r"\boxed{1}", r"\boxed{\frac{2}{3}}"]
    inner = boxes(r"\boxed{x \boxed{y}}")
    assert [b.content for b in inner] == [r"x \boxed{y}", "y"]


def test_a_sentence_said_twice_is_no_loop_and_three_times_is():
    sentence = "The train covers sixty miles in each hour of the day."
    assert [loops(" ".join([sentence] * n)) for n in (1, 2, 3, 10)] == [False, False, True, True]


@pytest.mark.parametrize(
    "text",
    [
        "\\boxed{" * 2900,
        "}" * 20_000,
        "\\boxed" + " " * 20_000,
        TINY + "\\boxed{59}" + "$" * 20_000,
        TINY + "\\boxed{59}" + "a" * 20_000 + "9",
        TINY + "\\boxed{59} " + "aaaa" * 15 + "9",
        TINY + "\\boxed{59} " + "a " * 9_000 + "9",
        "1+1=2 " * 3_300 + "\\boxed{3}",
        " ".join(str(n) for n in range(4_000)) + " \\boxed{3}",
    ],
    ids=lambda text: f"{text[:24]}...{text[-8:]}",
)
def test_long_garbage_is_judged_at_once(text):
    assert len(text) < 21_000
    took_s = []
    for _ in range(3):
        start_s = time.thread_time()
        format_score(text, finished=True)
        took_s.append(time.thread_time() - start_s)
    assert min(took_s) < MOST_S


def _lines(path: Path) -> list[dict]:
    if not path.exists():
        pytest.skip(f"{path.name} of {path.parent.name} is not here")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_solutions_of_math500():
    """One box closes the text in two of three, and a unit or so follows in one of seven."""
    scores = [format_score(row["solution"], True) for row in _lines(DATA / "math500/test.jsonl")]
    assert (scores.count(1.0), scores.count(0.5)) == (343, 68)


def test_solutions_of_gsm8k_with_a_box():
    rows = _lines(DATA / "gsm8k/test.jsonl")
    for row in rows:
        body, _, answer = row["answer"].partition("####")
        text = re.sub("<<.*?>>", "", body) + rf"The answer is $\boxed{{{answer.strip()}}}$."
        assert format_score(text, finished=True) == 1, text


PLACEHOLDERS = [
    "answer", "number", "the final answer", "your answer here", "final result", "INSERT RESULT",
    r"\text{value}", r"\mathrm{Answer}", r"\textbf{the number}", "x y z ...", "a, b, c, \\ldots",
    "a b c d", "banana orange kiwi plum grape",
    "banana orange kiwi plum", "stone river cloud", r"\text{lamp table window door}", "?",
    "...", "…", r"\square", "____", "[answer]",
    "<answer>", r"\text{final numerical value}",
]  # fmt: skip
WORDS = [
    r"\text{Evelyn}", r"\text{Monday}", "(A)", r"\text{(C)}", "even", "yes", r"\text{no solution}",
    r"\text{two parallel lines}", "no real solution", "undefined", r"\emptyset",
    r"\infty", "x", "xyz", "p - q", "A,B,D", r"1, 2, \ldots, n", "Нет", r"\sqrt{x}",
]  # fmt: skip


@pytest.mark.parametrize("content", PLACEHOLDERS)
def test_placeholders_and_lists_of_words_are_no_answer(content):
    assert format_score(rf"{TINY} \boxed{{{content}}}", True) == 0


@pytest.mark.parametrize("content", WORDS)
def test_answers_in_words_and_letters(content):
    assert format_score(rf"{TINY} \boxed{{{content}}}", True) == 1


def test_every_label_of_math500_is_an_answer():
    labels = [row["answer"] for row in _lines(DATA / "math500/test.jsonl")]
    assert [a for a in labels if format_score(rf"{TINY} \boxed{{{a}}}", True) != 1] == []


SALADS = [
    "banana orange kiwi plum grape melon cherry mango lemon",
    "cat, dog, cow, pig, hen, fox, bee, ant and rat.",
    "value total number triangle area price apples speed 12 40 7",
    "solve equation variable substitute simplify factor expand multiply divide",
    "Blau gelb grau braun rosa lila weiss schwarz orange.",
]
SENTENCES = [
    "Вычтем пять из двенадцати, и у Миши останется семь груш.",
    "三加四等于七，所以玛莎今天一共有七个苹果。",
    "Wir addieren drei und vier, also hat Maria heute insgesamt sieben Orangen.",
    "Sumamos tres y cuatro y obtenemos siete manzanas en total para la hermana.",
    "On ajoute trois et quatre, donc la fille a sept pommes dans le sac.",
    "다섯 개에 두 개를 더하면 모두 일곱 개의 사과가 바구니 안에 있게 됩니다.",
]


@pytest.mark.parametrize("text", SALADS)
def test_a_list_of_words_is_no_reasoning(text):
    assert format_score(rf"{text} \boxed{{7}}", True) == 0


@pytest.mark.parametrize("text", SENTENCES)
def test_reasoning_in_any_language(text):
    assert format_score(rf"{text} \boxed{{7}}", True) == 1
