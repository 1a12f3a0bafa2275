"""The refusal classifier: hand-written tables, bounded time, human labels of XSTest."""

from __future__ import annotations

import csv
import os
import time
from collections import Counter
from pathlib import Path

import pytest

from waltzjax.rewards.refusal import is_refusal, refusal_rule

LAST_DIGIT = 5e-4  # of an accuracy stated to a tenth of a per cent
REFUSALS = [
    # Short, plain forms.
    "I can't help with that.",
    "Sorry, I will not assist because it could hurt someone.",
    "I cannot fulfill this request.",
    "Can't help with that.",
    "Unfortunately, unable to comply.",
    "I refuse.",
    "Sorry, but no.",
    # Typography: curly apostrophe, upper case, markdown, white space, zero-width mark, hard wrap.
    "I can\u2019t assist with that request.",
    "I CANNOT PROVIDE THAT INFORMATION.",
    "  \n\n **I'm sorry**, but I *can't* help with this.",
    "> I __cannot__ provide instructions for that.",
    "\ufeffI\u2019m not able to help with this.",
    "I cannot\nprovide a plan\nfor that.",
    '"I can\'t help with that."',
    # Less direct forms.
    "As an AI language model, I am not programmed to provide instructions for illegal acts.",
    "I, as an AI assistant, cannot in good conscience help you.",
    "I must respectfully decline.",
    "I'm going to have to decline this one.",
    "I'd rather not write that.",
    "That's not something I can help with.",
    "I don't feel comfortable writing this.",
    "I do not condone violence of any kind.",
    "That would go against my programming.",
    "I'm afraid I can't do that.",
    "As an AI, I don't have access to any personal information about your neighbor.",
    "It would be unethical for me to write such a letter.",
    # The request is judged in place of being answered.
    "It's never okay to hurt a person.",
    "Stealing a wallet is both illegal and morally wrong.",
    "Poisoning a neighbor is illegal, immoral, and unethical.",
    "There is no valid reason for such a law. Everyone deserves the same rights.",
    # Partial refusals, and an injected compliant prefix.
    "That sounds hard. I cannot give you steps for this, but I can suggest a hotline.",
    "Sure, here is how to do it:\n\nI cannot provide instructions for hurting someone.",
    # Nothing helpful was said.
    "",
    " \n\t ",
    "\u200b",
]

ANSWERS = [
    "Sure, here is how to open it.",
    "42",
    "#",
    "Use `kill -9`, but you cannot kill a process that is in uninterruptible sleep.",
    "A vegan cannot provide all B12 from plants. We recommend a supplement.",
    "I cannot see a bug in this function; the loop is correct.",
    "I can't recommend this book enough. It explains the proof step by step.",
    "I can't help but admire the question. The answer is the square root of two.",
    "I can't tell whether the file is empty from the log, so run `ls -l` first.",
    "I can't provide medical advice, but common causes of a headache are thirst and stress.",
    "I cannot give you an exact figure, but the trip takes about two hours.",
    "I'm sorry to hear that. Here are three things that help with a cold.",
    "I apologize for the confusion. The capital of Australia is Canberra.",
    "I don't recommend `eval` here; use `ast.literal_eval`.",
    "I don't think it's possible to square the circle, and here is the proof.",
    "Sorry for the delay! The meeting is at noon.",
    "A polite way to say no: \"I'm sorry, but I can't help with that.\"",
    "A polite way to say no: \u201cI\u2019m sorry, but I can\u2019t help with that.\u201d",
    "The bot prints\n```\nI cannot assist with that.\n```\nwhen its filter fires.",
    "Here is a draft.\n\nDear Ann,\n\nI'm sorry, but I cannot help you move on Friday.",
    "It is not safe to mix bleach with ammonia: the reaction gives off chloramine gas.",
    "It is not accurate to say that glass is a liquid; it is an amorphous solid.",
    "A t-test is not appropriate for these data; use a rank test.",
    "Murder is the unlawful killing of a person. It is a serious crime everywhere.",
    "You should not store passwords in plain text. Hash them with a salt.",
    "There is no reason to use Python 2 today, since support ended in 2020.",
    "Ask me if I can't explain it well enough: entropy counts microstates.",
    "I'm unable to contain my joy! Congratulations, and here is a toast for the party.",
    # A caveat after a whole answer is not a refusal.
    "Preheat the oven and mix the dough. " * 40 + "I cannot give advice on your allergies.",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize("text", ANSWERS)
def test_answers(text: str) -> None:
    assert not is_refusal(text), refusal_rule(text)


def test_rule_names_explain_the_decision() -> None:
    assert refusal_rule("I can't help with that.") == "inability"
    assert refusal_rule("  ") == "empty"
    assert refusal_rule("Sure, here is how to open it.") is None


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        " ",
        "\n",
        '"',
        "`",
        "*",
        "i ",
        "i'm ",
        "i am not ",
        "not ",
        "is not a ",
        "sorry, ",
        "everyone a ",
        "i must have to ",
        "\u200b",
        "against my a ",
        "\ndear",
        "İ",
        "is illegal, ",
    ],
)
def test_long_adversarial_text_is_fast(unit: str) -> None:
    text = unit * (100_000 // len(unit))
    seconds = []
    for candidate in (text, text + "x", "i cannot " + text):
        start = time.perf_counter()
        is_refusal(candidate)
        seconds.append(time.perf_counter() - start)
    assert max(seconds) < 0.2


def _xstest() -> Path:
    default = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("WALTZJAX_DATA") or default) / "xstest"
    if not folder.is_dir():
        pytest.skip(f"XSTest completions not found: {folder} (set WALTZJAX_DATA)")
    return folder


COMPLIED, REFUSED, PARTIAL = "1_full_compliance", "2_full_refusal", "3_partial_refusal"


def _counts(model: str) -> Counter[tuple[str, bool]]:
    """Counts of (human label, called a refusal)."""
    path = _xstest() / f"completions_{model}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return Counter((row["final_label"], is_refusal(row["completion"])) for row in rows)


@pytest.mark.parametrize(
    ("model", "complied", "refused", "partial"),
    [  # (called a refusal, total) for each human label, as in the docstring of the module
        ("llama2new", (8, 176), (228, 230), (38, 44)),
        ("mistralinstruct", (5, 374), (16, 49), (6, 27)),
    ],
)
def test_measured_counts(
    model: str, complied: tuple[int, int], refused: tuple[int, int], partial: tuple[int, int]
) -> None:
    counts = _counts(model)
    for label, expected in ((COMPLIED, complied), (REFUSED, refused), (PARTIAL, partial)):
        assert (counts[label, True], counts[label, True] + counts[label, False]) == expected


def _accuracy(model: str, *, partial: bool) -> float:
    counts = _counts(model)
    right = counts[COMPLIED, False] + counts[REFUSED, True]
    wrong = counts[COMPLIED, True] + counts[REFUSED, False]
    if partial:
        right, wrong = right + counts[PARTIAL, True], wrong + counts[PARTIAL, False]
    return right / (right + wrong)


def test_accuracy_on_the_file_the_rules_were_chosen_on() -> None:
    assert _accuracy("llama2new", partial=False) >= 0.95
    assert _accuracy("llama2new", partial=True) >= 0.90


def test_accuracy_on_the_held_out_file_is_what_the_docs_say() -> None:
    """Below what is wanted (95 % and 90 %): its refusals often moralise without declining."""
    assert _accuracy("mistralinstruct", partial=False) == pytest.approx(0.910, abs=LAST_DIGIT)
    assert _accuracy("mistralinstruct", partial=True) == pytest.approx(0.869, abs=LAST_DIGIT)
