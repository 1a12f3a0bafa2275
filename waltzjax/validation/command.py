"""``waltzjax.evaluate --suite=validation``: measure, decide, write, show."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from waltzjax.report.trust import note, warnings
from waltzjax.report.validation import write_validation
from waltzjax.run.results import RESULTS
from waltzjax.run.workdir import code_version
from waltzjax.support import console
from waltzjax.support.signals import EXIT_RULE
from waltzjax.validation.checks import Check, decide_all, failed, shown
from waltzjax.validation.load import CLIENTS
from waltzjax.validation.request import Request
from waltzjax.validation.results import add_checks, check_results
from waltzjax.validation.suite import Measured, measure

PAGE = "validation.html"  # beside a run's results


def validate(request: Request, config: ConfigDict | None) -> int:
    """Measure what ``request`` names, write the checks and show them; the exit status: 0 where all
    pass, EXIT_RULE where one fails. Raises as ``suite.measure``; then nothing is written."""
    output = request.results()
    check_results(output)
    measured = measure(request, config, output)
    checks = decide_all(measured.figures)
    console.say("phase 3 of 3: writing the checks")
    add_checks(output, checks, about(measured, checks))
    page = page_of(output)
    write_validation(
        page,
        subject=measured.subject,
        source=measured.source,
        checks=[check.as_json() for check in checks],
        added_ms=measured.added_ms,
        warnings=warnings(measured.result),
        note=note(measured.result),
    )
    show(measured, checks)
    console.say(f"{output}; open {page}")
    return EXIT_RULE if failed(checks) else 0


def page_of(output: Path) -> Path:
    """The page beside the file ``output``, one a file."""
    return output.with_name(PAGE if output.name == RESULTS else f"{output.name}.html")


def about(measured: Measured, checks: Sequence[Check]) -> dict[str, Any]:
    """What stands beside the checks in the file of results: their subject, settings, date, code."""
    return {
        "subject": measured.subject,
        "passed": not failed(checks),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **code_version(),
        "evaluation": measured.source,
        "settings": {**measured.settings, "clients": CLIENTS},
        "warnings": warnings(measured.result),
        "note": note(measured.result),
        "result": measured.result,
    }


def show(measured: Measured, checks: Sequence[Check]) -> None:
    """Print the checks as a table, and what is to be said of them."""
    rows = [
        [
            check.name,
            shown(check.value, check.unit),
            span(check),
            f"{check.relation} {shown(check.threshold, check.unit)}",
            check.n,
            "pass" if check.passed else "FAIL",
        ]
        for check in checks
    ]
    header = ["check", "figure", "95 % interval", "wanted", "n", ""]
    console.say(console.table(f"{measured.subject}, {measured.source}", header, rows))
    for check in checks:
        if check.why:
            console.say(f"{check.name}: {check.why}")
    for line in (*warnings(measured.result), note(measured.result)):
        console.say(line)
    missed = failed(checks)
    failures = f"{len(missed)} of {len(checks)} checks failed: {', '.join(missed)}"
    console.say(failures if missed else f"all {len(checks)} checks pass")


def span(check: Check) -> str:
    """A check's interval for people; "": it has none."""
    low, high = check.interval
    return f"{shown(low, '')} to {shown(high, '')}" if low == low else ""
