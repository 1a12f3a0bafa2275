"""The two agents as they are played: the evaluation that a run has, or a new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax.config.key import EMBEDDED
from waltzjax.dataset.dataset import read_prompts
from waltzjax.dataset.splits import of_each_category
from waltzjax.evaluation.files import read_evaluation
from waltzjax.judge.build import open_judge
from waltzjax.judge.judge import Scorer
from waltzjax.model import sharding
from waltzjax.run.agent_sums import SUMS, changed_agents
from waltzjax.run.trainable import dated_runtime
from waltzjax.support import console
from waltzjax.types import CONVERSATION, FEEDBACK, Episode, Prompt
from waltzjax.waltz.evaluate import evaluate_saved
from waltzjax.waltz.runtime import check_room, game_runtime
from waltzjax.waltz.transcripts import TRANSCRIPTS

NOW = "played now"


class Played(NamedTuple):
    """Scored episodes, the ``result`` of ``waltz.evaluate``, and where both are from."""

    episodes: Sequence[Episode]
    result: Mapping[str, Any]
    source: str


def agents_of(workdir: Path) -> dict[str, Path]:
    """The directories of a run's agents, by role.

    Raises:
      FileNotFoundError: it is no run's directory, the run has not come to its end, or the files of
        an agent are not there.
    """
    if not (workdir / "config.json").is_file():
        raise FileNotFoundError(
            f"--workdir: {workdir} is no run's directory, it has no config.json"
        )
    agents = {role: workdir / role for role in (CONVERSATION, FEEDBACK)}
    if missing := [role for role, directory in agents.items() if not directory.is_dir()]:
        raise FileNotFoundError(
            f"--workdir: {workdir} has no {' and no '.join(missing)}/: wanted is a run of the two "
            "agents that has come to its end"
        )
    for directory in agents.values():
        _check_files(directory)
    return agents


def _check_files(directory: Path) -> None:
    paths = [*directory.rglob("*")]
    if not any(path.is_file() for path in paths):
        raise FileNotFoundError(f"--workdir: {directory} has no files; wanted is an agent")
    if broken := [path for path in paths if not path.exists()]:
        raise FileNotFoundError(
            f"--workdir: {broken[0]} is a link to nothing; put its file there, or remove it"
        )


def data_of(config: ConfigDict, workdir: Path) -> Path:
    """The directory of a run's prompts."""
    given = config.data.directory
    return workdir / "data" if given == EMBEDDED else Path(given)


def held_out(config: ConfigDict, data: Path) -> list[Prompt]:
    """The validation prompts of ``data`` that an evaluation by ``config`` plays.

    Raises:
      OSError, ValueError: they cannot be read, or there is none.
    """
    prompts = of_each_category(read_prompts(data / "validation.jsonl"), config.eval.prompts)
    if not prompts:
        raise ValueError(f"{data / 'validation.jsonl'}: no prompt; nothing can be validated")
    return prompts


def played_in(workdir: Path, stage: str, agents: Mapping[str, Path]) -> Played | None:
    """The evaluation after ``stage``, a run's last one; None: there is none, or one of the agents
    is not what was evaluated: by its files' sums, or in an older run, which has none, by their
    dates.

    Raises:
      ValueError: the evaluation is damaged.
    """
    path = workdir / "evaluations" / f"{stage}.json"
    if not path.is_file():
        return None
    try:
        changed, how = changed_agents(workdir, agents), "has other files"
    except ValueError as error:
        raise ValueError(f"{error}; --fresh plays the agents again") from error
    if changed is None:
        console.say(f"{workdir} has no {SUMS}: whether its agents are new is told by dates alone")
        changed = [role for role, directory in agents.items() if _dated(directory) > _at(path)]
        how = "is newer"
    if changed:
        console.say(f"{path} is not used: the {' and the '.join(changed)} agent {how}")
        return None
    try:
        episodes, result = read_evaluation(path, TRANSCRIPTS)
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(f"{error}; --fresh plays the agents again") from error
    return Played(episodes, result, str(path))


def play(config: ConfigDict, agents: Mapping[str, Path], data: Path, output: Path) -> Played:
    """Play the validation prompts of ``data`` as ``waltzjax.evaluate`` does; the transcripts are
    written beside the file ``output``."""
    mesh, prompts = sharding.make_mesh(config.mesh), held_out(config, data)
    config, runtime = dated_runtime(config, mesh, agents, game_runtime)
    check_room(runtime, config, prompts)
    output.parent.mkdir(parents=True, exist_ok=True)
    result, episodes = evaluate_saved(
        config, runtime, agents, prompts, None, "both agents", output.parent, output, []
    )
    return Played(episodes, result, NOW)


def score(config: ConfigDict, mesh: Mesh, logs: Path, episodes: Sequence[Episode]) -> None:
    """Have the judge of ``config`` fill in the verdicts; ``logs``: directory of its files.

    Raises:
      JudgeError: it cannot.
    """
    with (
        open_judge(config, mesh, logs) as judge,
        Scorer(judge, max_unparsed=config.judge.max_unparsed) as scorer,
    ):
        for episode in episodes:
            scorer.add(episode)
        scorer.finish()


def _dated(directory: Path) -> float:
    return max(_at(path) for path in directory.rglob("*"))


def _at(path: Path) -> float:
    return path.stat().st_mtime
