"""Alerts in words: one sentence, the lines of a chat, the text of a mail."""

import math

import pytest
from alerts import NOON, alert, message

from waltzjax.monitor.alert import sentence
from waltzjax.monitor.delivery import message as text
from waltzjax.monitor.delivery.message import Raised, compose
from waltzjax.monitor.delivery.plot import draw


def test_a_sentence_has_figure_threshold_step_and_rule():
    assert sentence(alert()) == (
        "critical: kl of run demo is 0.31, above 0.2, at step 1,204 of stage2 (rule kl)"
    )
    low = alert(rule="dir", metric="dir", critical=False, stage="", value=-0.4, above=False,
                threshold=-0.3)  # fmt: skip
    assert sentence(low) == "dir of run demo is -0.4, below -0.3, at step 1,204 (rule dir)"


@pytest.mark.parametrize(
    ("value", "words"), [(math.nan, "not a number"), (math.inf, "infinite"),
                         (-math.inf, "minus infinite")],
)  # fmt: skip
def test_a_figure_that_is_not_finite_is_said_in_words(value, words):
    assert f"kl of run demo is {words} at step" in sentence(alert(value=value))


def test_a_name_cannot_begin_a_line_or_a_header():
    name = "demo\r\nBcc: all@example.org\x1b[2J"
    told = message(alert(run=name))
    assert "\n" not in sentence(alert(run=name)) and "\x1b" not in sentence(alert(run=name))
    for whole in (text.subject(told), *text.plain_text(told).split("\n")):
        assert not whole.startswith("Bcc") and whole.replace("  ", "").isprintable()


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([8, 0], "█▁"),
        ([3, 3, 3], "▅▅▅"),
        ([1, math.nan, 2, math.inf], "▁x█x"),
        ([math.nan], "x"),
        ([], ""),
        ([*range(100)], "▁▁▁▁▁▂▂▂▂▂▃▃▃▃▃▄▄▄▄▄▅▅▅▅▅▆▆▆▆▆▇▇▇▇▇█████"),
    ],
)
def test_a_sparkline_is_drawn_between_the_lowest_and_the_highest(values, bars):
    assert text.sparkline([*enumerate(values)]) == bars


def test_a_chat_gets_three_lines_an_alert():
    assert text.chat_text(message()) == (
        "critical: kl of run demo is 0.31, above 0.2, at step 1,204 of stage2 (rule kl)\n"
        "`▁▂▆█` 0.1 at step 1,201 … 0.31 at step 1,204\n"
        "2026-10-02 12:00:00 UTC · host node7"
    )


def test_a_mail_says_all_that_is_known():
    words = text.plain_text(message())
    for fact in ("demo", "node7", "2026-10-02 12:00:00 UTC", "step 1,204 of stage2",
                 "kl, critical: kl above 0.2", "kl 0.31",
                 "0.1 (1,201), 0.15 (1,202), 0.24 (1,203), 0.31 (1,204)", "▁▂▆█"):  # fmt: skip
        assert fact in words


def test_critical_and_late_alerts_come_first_and_the_rest_is_summed_up_by_rule():
    mild = [Raised(NOON + i, alert(rule="orr", metric="orr", critical=False, value=15.0 + i))
            for i in range(6)]  # fmt: skip
    many = compose([*mild, Raised(NOON, alert())], "node7")
    assert [r.alert.rule for r in many.in_full] == ["kl", "orr", "orr", "orr"]
    assert [r.alert.value for r in many.in_full[1:]] == [20, 19, 18]
    assert text.sums(many) == [
        "also rule orr: 3 times, last 2026-10-02 12:00:02 UTC, orr 17 at step 1,204 of stage2"
    ]
    assert text.subject(many).startswith("[waltzjax] critical: kl of run demo")
    assert text.subject(many).endswith("(rule kl) and 6 more")


def test_no_chat_message_is_longer_than_discord_takes():
    long = [Raised(NOON + i, alert(run="r" * 300, rule=f"rule{i}")) for i in range(400)]
    assert len(text.chat_text(compose(long, "node7"))) <= 1900


def test_a_plot_is_a_png_whatever_the_values():
    for odd in (alert(), alert(history=()), alert(value=math.nan, history=((1, math.nan),)),
                alert(metric="$x_$\n", threshold=math.nan)):  # fmt: skip
        assert draw(odd).startswith(b"\x89PNG\r\n\x1a\n")
