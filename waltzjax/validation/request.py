"""The command line of the checks: what is validated, and which flags cannot stand together."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from waltzjax.run.results import RESULTS

SUITES = ("none", "validation")


class Request(NamedTuple):
    """The flags of ``waltzjax.evaluate`` that the checks read; "" where one is not given."""

    workdir: str
    conversation: str
    feedback: str
    data: str
    endpoint: str
    key_env: str
    flags_file: str
    output: str
    fresh: bool
    config_given: bool

    @property
    def has_agents(self) -> bool:
        return bool(self.conversation and self.feedback)

    def results(self) -> Path:
        """The file that the checks are written to."""
        return Path(self.output) if self.output else Path(self.workdir or ".") / RESULTS


def problem(r: Request) -> str:
    """Why these flags cannot be; "": they can."""
    agents = bool(r.conversation or r.feedback)
    if agents and not r.has_agents:
        return "--conversation and --feedback: wanted are both agents, or none"
    if r.workdir:
        return _problem_of_run(r, agents)
    if not (agents or r.endpoint):
        return (
            "--suite=validation: wanted is one of --workdir=DIR, a run; --conversation=DIR "
            "--feedback=DIR --data=DIR --config=CONFIG, two agents; --endpoint=URL --data=DIR, a "
            "service"
        )
    if r.fresh:
        return "--fresh goes with --workdir: without a run all is played anyway"
    if not r.data:
        return "--data: wanted is the directory with validation.jsonl, whose prompts are asked"
    if agents and not r.config_given:
        return (
            "--config: wanted is the config that the agents were trained by: it has their prompts"
        )
    if (r.key_env or r.flags_file) and not r.endpoint:
        return "--key_env and --flags_file go with --endpoint"
    return ""


def _problem_of_run(r: Request, agents: bool) -> str:
    if agents or r.endpoint or r.data or r.key_env or r.flags_file:
        return (
            "--workdir, a run with its own agents and prompts, goes with --output and --fresh only"
        )
    if r.config_given:
        return "--workdir: a run has a config of its own; leave --config out"
    return ""


def problem_without_suite(r: Request) -> str:
    """Why the flags cannot be where no suite is asked for; "": they can."""
    given = {
        "workdir": r.workdir, "endpoint": r.endpoint, "key_env": r.key_env,
        "flags_file": r.flags_file, "fresh": r.fresh,
    }  # fmt: skip
    if names := [f"--{name}" for name, value in given.items() if value]:
        return f"{', '.join(names)}: goes with --suite=validation"
    missing = {"config": r.config_given, "data": r.data, "output": r.output}
    if names := [f"--{name}" for name, value in missing.items() if not value]:
        return f"{' and '.join(names)}: missing; Flag --{names[0][2:]} must have a value"
    return ""
