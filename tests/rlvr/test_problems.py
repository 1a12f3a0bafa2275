"""What a run on maths says of its problems: leaks into what is held out, labels nobody can read."""

import pytest

from waltzjax.config.defaults import default
from waltzjax.rlvr.grading.verifier import Verifier
from waltzjax.rlvr.problem_files import with_instruction
from waltzjax.rlvr.problems import say_seen, say_unreadable
from waltzjax.types import Problem

ASKED = "Find $3 \\cdot 14$. The result is even."
LETTER = "Let's think step by step and output the final answer within \\boxed{}."
OURS = default().problems.instruction


@pytest.fixture
def said(monkeypatch):
    """What was said."""
    lines: list[str] = []
    monkeypatch.setattr("waltzjax.support.console.say", lines.append)
    return lines


SAME = {
    "as it is": (ASKED, ASKED),
    "with the run's words": (with_instruction(ASKED, OURS), ASKED),
    "held out with them": (ASKED, with_instruction(ASKED, OURS)),
    "others' words": (f"{ASKED} Please reason step by step, and put it in \\boxed{{}}.", ASKED),
    "words before it": (f"Solve this step by step: {ASKED}", f"{ASKED}\n{LETTER}"),
    "a formula, no full stop": (f"Find $x$ {LETTER}", "Find $x$"),
    "a space more": (f"{ASKED} ", ASKED),
    "a space less": (ASKED.replace(" \\cdot ", "\\cdot"), ASKED),
    "lines": (ASKED.replace(". ", ".\n\n"), ASKED),
    "case": (ASKED.upper().replace("\\CDOT", "\\cdot"), ASKED),
    "signs of formulas": (ASKED.replace("$", ""), ASKED),
    "others' signs": (ASKED.replace("$3", "\\(3").replace("14$", "14\\)"), ASKED),
    "parts with names": (f"Question: {ASKED}\nAnswer:", ASKED),
    "a part's name": (f"problem : {ASKED}", ASKED),
    "a form of answer": (f"{ASKED} Answer with a number only.", ASKED),
    "a form of your answer": (f"{ASKED} Give your answer as a number.", ASKED),
    "a last line": (
        f"The last line of your response should be of the form Answer: $Answer, where $Answer is "
        f"the answer to the problem.\n\n{ASKED}",
        ASKED,
    ),
    "a switch": (f"{ASKED} /no_think", ASKED),
    "no width": (f"{ASKED}\u200b", ASKED),
    "width": (ASKED.replace("3", "３"), ASKED),
}


@pytest.mark.parametrize(("mine", "held"), SAME.values(), ids=SAME)
def test_a_held_out_problem_that_is_learned_from_is_said(said, mine, held):
    other = Problem(1, "Find $5 \\cdot 9$.", "45")
    say_seen([mine], [Problem(0, held, "42"), other])
    assert [line[:47] for line in said] == ["1 of the 2 validation problems are trained on t"]


def test_a_run_s_own_words_are_no_part_of_a_problem(said):
    words = "Reply with a number alone."
    held = [Problem(0, with_instruction(ASKED, words), "42")]
    say_seen([ASKED], held, words)
    assert len(said) == 1


@pytest.mark.parametrize(
    ("mine", "held"),
    [
        (ASKED, ASKED.replace("14", "15")),
        ("Find $x$. Then add 3.", "Find $x$."),
        (f"Find $x$ {LETTER}", f"Find $y$ {LETTER}"),
        ("What is the next step by step 4?", "What is the last step by step 4?"),
        (OURS, f"{OURS} {OURS[:5]}"),
        ("Question: 3 + 4?", "Question: 3 - 4?"),
        ("What is $3(4)$?", "What is $34$?"),
        ("If A: 3 and B: 4, find A.", "If A: 3 and B: 4, find B."),
    ],
)
def test_another_problem_is_no_leak(said, mine, held):
    say_seen([mine], [Problem(0, held, "42")], OURS)
    assert said == []


def test_labels_that_nobody_can_read_are_counted_and_shown(said):
    labels = ("42", "It is 42, as 3 * 14 is.", "\\text{}", "east", "\\frac{4}{2", "see 3, 4")
    problems = [Problem(i, f"{i}?", label) for i, label in enumerate(labels)]
    with Verifier(1, 5.0) as verifier:
        say_unreadable(problems, "validation", verifier)
        say_unreadable(problems[:1], "training", verifier)
    (line,) = said
    assert line.startswith("note: 4 of the 6 validation problems have answers that no reader")
    assert "'It is 42, as 3 * 14 is.' of number 1, '\\\\text{}' of number 2" in line
