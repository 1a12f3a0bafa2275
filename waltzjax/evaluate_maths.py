"""Deprecated, and gone after the next release: use ``python -m waltzjax.evaluate --model=...``."""

from __future__ import annotations

import runpy
import sys

if __name__ == "__main__":
    print(
        "deprecated: waltzjax.evaluate_maths; use waltzjax.evaluate with the same flags",
        file=sys.stderr,
    )
    runpy.run_module("waltzjax.evaluate", run_name="__main__", alter_sys=True)
