"""Figures: what an answer that was withheld or flagged is counted under."""

import dataclasses

import pytest
from fake_guard import REPORT, Flags, Status

from waltzjax.serve.meters import MOST_CATEGORIES, Meters
from waltzjax.serve.records import BLOCK, FLAG, PATTERNS, Failure, Labels, Report
from waltzjax.serve.service import Exchange, Outcome


def counted(*reports):
    """The lines of blocks and flags, after one request with these reports."""
    meters = Meters(frozenset())
    exchange = Exchange("1", "POST", "/v1/chat/completions", status=200)
    exchange.outcomes.extend(map(Outcome, reports))
    meters.add(exchange)
    lines = meters.page(Status(), Flags(), 0).decode().splitlines()
    return {line for line in lines if line.startswith(("waltzjax_blocks_t", "waltzjax_flagged_t"))}


def reviewed(action, *, unsafe, overrefuse, **more):
    return dataclasses.replace(REPORT, action=action, labels=Labels(unsafe, overrefuse), **more)


RULES = ("weapons", "drugs")
GONE = Failure("feedback", "it is gone", "closed", "drugs")
LATE = Failure("conversation", "it is late", "closed", "unsafe")


@pytest.mark.parametrize(
    "report, categories",
    [
        (reviewed(FLAG, unsafe=True, overrefuse=False), ["unsafe"]),
        (reviewed(FLAG, unsafe=True, overrefuse=True, categories=RULES), ["unsafe"]),
        (reviewed(FLAG, unsafe=False, overrefuse=True, categories=RULES), ["overrefuse"]),
        (reviewed(BLOCK, unsafe=True, overrefuse=False, categories=RULES), ["unsafe"]),
        # The second answer was called unsafe, the first one a refusal.
        (reviewed(BLOCK, unsafe=False, overrefuse=True, rounds=2, revised=True), ["unsafe"]),
        (reviewed(BLOCK, unsafe=True, overrefuse=False, failure=LATE), ["unsafe"]),
        (Report(PATTERNS, categories=RULES, action=FLAG), RULES),
        (Report(PATTERNS, categories=RULES, action=BLOCK), RULES),
        (Report(PATTERNS, categories=RULES, action=BLOCK, failure=GONE), ["drugs"]),
        (
            Report(PATTERNS, action=BLOCK, failure=dataclasses.replace(GONE, category="default")),
            ["default"],
        ),
        (
            Report(PATTERNS, action=BLOCK, failure=dataclasses.replace(GONE, category="unsafe")),
            ["unsafe"],
        ),
    ],
)
def test_an_action_is_counted_under_what_decided(report, categories):
    name = "blocks" if report.action == BLOCK else "flagged"
    expected = [f'waltzjax_{name}_total{{category="{c}"}} 1.0' for c in ("all", *categories)]
    assert counted(report) == set(expected)


def test_there_are_only_so_many_categories():
    reports = [Report(PATTERNS, categories=(f"c{n}",), action=FLAG) for n in range(1000)]
    lines = counted(*reports)
    assert len(lines) == MOST_CATEGORIES + 2  # all and other
    assert f'waltzjax_flagged_total{{category="other"}} {1000 - MOST_CATEGORIES}.0' in lines
    assert 'waltzjax_flagged_total{category="all"} 1000.0' in lines
