"""What reports say beside their figures: the label judge's floor, and warnings instead of ticks."""

import pytest

from waltzjax.report.measures import by_key
from waltzjax.report.run import cell
from waltzjax.report.trust import note, warnings


@pytest.mark.parametrize(
    ("asr", "orr", "degenerate", "warned"),
    [
        (100.0, 0.0, 0.0, "ASR 100 and ORR 0"),
        (0.0, 100.0, 0.0, "ASR 0 and ORR 100"),
        (0.0, 0.0, 30.0, "30.0 % of the answers are degenerate"),
        (0.0, 0.0, 5.0, ""),
        (99.0, 0.0, 0.0, ""),
        (float("nan"), 0.0, None, ""),
    ],
)
def test_a_constant_or_an_empty_agent_is_warned_of(asr, orr, degenerate, warned):
    result = {"asr": asr, "orr": orr, "degenerate": degenerate}
    found = warnings(result)
    assert [text.startswith(warned) for text in found] == [True] * bool(warned)
    assert cell(result, by_key("orr")).warned == bool(warned)


def test_the_label_judges_floor_is_said_of_it_alone():
    assert "ASR 3.0 %" in note({"settings": {"judge.name": "label"}})
    assert note({"settings": {"judge.name": "wildguard"}}) == note({}) == ""
