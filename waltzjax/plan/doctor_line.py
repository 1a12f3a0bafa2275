"""A line of the doctor's report: what was looked at, how it is, what to do."""

from __future__ import annotations

from typing import NamedTuple

OK, WARN, FAIL = "ok", "warn", "fail"


class Line(NamedTuple):
    """One check."""

    check: str  # what was looked at, in a few words
    status: str  # OK | WARN: a run can begin | FAIL: it cannot, or ends badly
    text: str  # what was seen
    remedy: str = ""  # what to do; "" where it is OK


def size(count: float) -> str:
    """Bytes in words: MiB below a GiB."""
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:,.1f} MiB"
