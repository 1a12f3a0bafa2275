"""Whether a run's agents are those that its figures were measured of."""

from __future__ import annotations

import datetime
import filecmp
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from waltzjax.export import facts
from waltzjax.export.source import FLAG, Run
from waltzjax.recipes import STAGES
from waltzjax.run.agent_sums import SUMS, changed_agents
from waltzjax.run.results import RESULTS

SLACK_S = 5.0  # of file times: a copy of a run writes its files in another order


def check_measured(run: Run) -> None:
    """Raise ValueError where an agent is not what was evaluated: the card would state another
    agent's figures.

    An older run has recorded no sums of its agents. There this goes by the times of files and by
    the weights of stages; it cannot find other weights that were given an old time.
    """
    problems = [problem for role in run.roles for problem in _problems(run, role)]
    if problems:
        head = f"{FLAG}: {run.workdir}: the figures are not those of the agents:"
        raise ValueError(
            "\n  ".join([head, *problems])
            + "\nput the agents that were evaluated back; or evaluate these, by removing "
            f"{_evaluation(run)} and giving the same train command again; or give --agent=DIR, "
            "which writes one without a card. A run keeps its times where it is copied by `cp -a` "
            "or `rsync -a`"
        )


def _problems(run: Run, role: str) -> Iterator[str]:
    agent, evaluation = run.workdir / role, _evaluation(run)
    changed = changed_agents(run.workdir, [role])
    if changed is not None:
        if changed:
            yield f"{agent} has other files than were evaluated (by their sums in {SUMS})"
        return
    measured = {str(evaluation): evaluation.stat().st_mtime, **_checked(run)}
    for path in sorted(agent.glob("*.safetensors")):
        for what, at in measured.items():
            if (newer_s := path.stat().st_mtime - at) > SLACK_S:
                yield f"{path} is {newer_s:.0f} s newer than {what}"
    stages = run.config.stages
    if role in STAGES[stages[-1]].roles(run.config):
        for stage in stages[:-1]:
            if _same_weights(agent, run.workdir / stage / role):
                yield f"{agent} has the weights of {stage}/{role}, which {stages[-1]} went on from"


def _evaluation(run: Run) -> Path:
    """The file of the evaluation after the last stage; it stays as it is where others write to the
    file of results."""
    path = run.workdir / "evaluations" / f"{run.config.stages[-1]}.json"
    return path if path.is_file() else run.workdir / RESULTS


def _checked(run: Run) -> dict[str, float]:
    """When the checks of the validation suite were run, by the name of them; {}: no date is
    recorded."""
    date: Any = facts.validated(run).get("date")
    try:
        return {
            "the checks of the validation suite": datetime.datetime.fromisoformat(date).timestamp()
        }
    except (TypeError, ValueError):
        return {}


def _same_weights(a: Path, b: Path) -> bool:
    """Whether two agents' files of weights are the same; read up to the first difference."""
    names, others = ({path.name for path in where.glob("*.safetensors")} for where in (a, b))
    if not names or names != others:
        return False
    return all(filecmp.cmp(a / name, b / name, shallow=False) for name in sorted(names))
