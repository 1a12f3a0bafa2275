"""Deprecated, and gone after the next release: use ``python -m waltzjax.compare --a=A --b=B``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from waltzjax.compare import compare
from waltzjax.support.console import say


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", metavar="A", type=Path, help="what the others are compared with")
    parser.add_argument("others", metavar="B", type=Path, nargs="+", help="up to five more")
    parser.add_argument("--output", type=Path, help="HTML file to write; does not exist yet")
    args = parser.parse_args()
    flags = " ".join(f"--b={path}" for path in args.others)
    say(
        f"deprecated: scripts/compare_runs.py; use python -m waltzjax.compare --a={args.first} "
        f"{flags}",
        stream=sys.stderr,
    )
    try:
        compare([args.first, *args.others], args.output)
    except (ValueError, OSError) as error:
        say(f"error: {error}", stream=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
