"""The records that pass between the parts of a service."""

import dataclasses
import json

import pytest

from waltzjax.serve.records import AGENTS, FLAG, PATTERNS, Failure, Labels, Report

FULL = Report(
    AGENTS,
    triggered=True,
    labels=Labels(True, False),
    categories=("weapons", "drugs"),
    action=FLAG,
    revised=True,
    rounds=3,
    failure=Failure("conversation", "it is gone", "open", "unsafe"),
    timings_ms={"first": 1.5, "total": 4.0},
)


@pytest.mark.parametrize("report", [FULL, Report(PATTERNS)])
def test_a_report_s_json_has_every_field(report):
    expected = dataclasses.asdict(report)
    expected["labels"] = {"unsafe": True, "overrefuse": False} if report.labels else None
    expected["categories"] = [*report.categories]
    assert [*report.as_json()] == [*expected]
    assert json.dumps(report.as_json()) == json.dumps(expected)


def test_a_report_s_json_is_no_part_of_it():
    FULL.as_json()["timings_ms"].clear()
    assert FULL.timings_ms == {"first": 1.5, "total": 4.0}
