"""The commands by one name: ``waltzjax train ...`` is ``python -m waltzjax.train ...``."""

from __future__ import annotations

import runpy
import sys

COMMANDS = {
    "train": "train a run: prepare its base, run its stages, evaluate",
    "evaluate": "evaluate two agents on a dataset, or a policy on maths problems",
    "evaluate_maths": "deprecated: evaluate --model",
    "collect": "collect answers of many arms, and make preference pairs of them",
    "checklist": "check a Regime W from its answers to its policy",
    "compare": "compare evaluations of the same prompts or problems with the first",
    "export": "hand over a run: Hugging Face directories or adapters with cards, verified, pushed",
    "monitor": "watch runs: how they stand, what is wrong with them, when they will be done",
    "serve": "answer over HTTP, with the feedback agent as a guard",
    "plan": "predict memory, time and cost of a run, without weights",
}
EXIT_USAGE = 2


def main() -> None:
    """Run the command that the first argument names, with the others; exit as it does."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in ("-h", "--help", "help"):
        print(usage())
        return
    if name not in COMMANDS:
        got = f"no command {name!r}" if name else "no command is given"
        print(f"error: {got}\n{usage()}", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    del sys.argv[1]
    runpy.run_module(f"waltzjax.{name}", run_name="__main__", alter_sys=True)


def usage() -> str:
    """The list of commands, a line each."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {what}" for name, what in COMMANDS.items()]
    return "\n".join(["usage: waltzjax COMMAND --FLAG=VALUE ...", *lines, "  COMMAND --help"])


if __name__ == "__main__":
    main()
