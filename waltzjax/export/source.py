"""The finished run that is handed over: its config, agents, figures, data and surroundings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from waltzjax.config.key import EMBEDDED, WALTZ
from waltzjax.model.hf.config import resolve
from waltzjax.recipes import readers
from waltzjax.run.environment import read_environment
from waltzjax.run.recorded import RECORD, json_object, read_object, recorded_config
from waltzjax.run.results import RESULTS
from waltzjax.types import CONVERSATION, FEEDBACK, POLICY

PROMPT_KEYS = {CONVERSATION: "conversation", FEEDBACK: "feedback", POLICY: "maths"}  # of a role
SECTIONS = ("model", "prompts", "rollout")  # of the config that agents are served by
FLAG = "--workdir"


class Run(NamedTuple):
    """A finished run.

    base: the directory of the model that its agents began at.
    prompts: what each role was shown, as its file of prompts had it.
    fingerprint: what else the run's record holds of its texts, by name.
    results: of its last evaluation, with those before it under their names.
    summary: of its training, see ``metrics.summary``; {}: none is there.
    environment: of its last launch; {}: none is recorded.
    """

    workdir: Path
    config: ConfigDict
    roles: tuple[str, ...]
    base: Path
    prompts: Mapping[str, str]
    fingerprint: Mapping[str, str]
    results: Mapping[str, Any]
    summary: Mapping[str, Any]
    environment: Mapping[str, str]

    @property
    def hub_base(self) -> str:
        """The base's name on the hub; "": it has none."""
        named = self.config.model.base
        return "" if named == EMBEDDED or Path(named).is_dir() else named


def read_run(workdir: Path) -> Run:
    """Read the run in ``workdir``.

    Raises:
      FileNotFoundError, ValueError: no run, one that has not come to its end, or files of it are
        missing or damaged.
    """
    record = read_object(workdir, FLAG)
    config = recorded_config(workdir, FLAG)
    texts = record.get("prompt_texts") or {}
    game = WALTZ in readers(config)
    roles = (CONVERSATION, FEEDBACK) if game else (POLICY,)
    _check_finished(workdir, roles, config.stages)
    if missing := [role for role in roles if role not in texts]:
        raise ValueError(
            f"{FLAG}: {workdir / RECORD} has no prompt_texts of {', '.join(missing)}: what the "
            "agents were shown is not known; --agent=DIR writes one of them without a card"
        )
    named = config.model.base
    return Run(
        workdir=workdir,
        config=config,
        roles=roles,
        base=workdir / "base" if named == EMBEDDED else resolve(named),
        prompts={role: texts[role] for role in roles},
        fingerprint={name: text for name, text in texts.items() if name not in roles},
        results=_object(workdir / RESULTS),
        summary=_object(workdir / "training_metrics.json"),
        environment=read_environment(workdir),
    )


def _check_finished(workdir: Path, roles: tuple[str, ...], stages: tuple[str, ...]) -> None:
    missing = [
        name for name in (*roles, RESULTS) if not (workdir / name).exists()
    ]  # the results are written last
    if not missing:
        return
    done = [f"{s}/{r}" for s in stages for r in roles if (workdir / s / r).is_dir()]
    more = f"; --agent={workdir / done[-1]} writes what an earlier stage left" if done else ""
    raise ValueError(
        f"{FLAG}: the run in {workdir} has not come to its end: no {', '.join(missing)}; the same "
        f"train command goes on from its last checkpoint, export it then{more}"
    )


def _object(path: Path) -> dict[str, Any]:
    """The object in a file that a run may lack: {}."""
    return json_object(path, FLAG) if path.is_file() else {}


def write_record(run: Run, directory: Path) -> None:
    """Write what agents are served by, in the form of a run's directory: ``config.json`` with the
    keys of ``SECTIONS``, and the files of prompts that it names. Nothing in it is a path of this
    machine: a base without a name on the hub is called as one that the run made, and lies beside
    the agents where these need it."""
    kept: dict[str, Any] = {name: run.config[name].to_dict() for name in SECTIONS}
    kept["model"] |= {"base": run.hub_base or EMBEDDED, CONVERSATION: "", FEEDBACK: ""}
    kept["prompts"] = {}
    (directory / "prompts").mkdir()
    for role, text in run.prompts.items():
        name = f"prompts/{PROMPT_KEYS[role]}.txt"
        (directory / name).write_text(text, encoding="utf-8")
        kept["prompts"][PROMPT_KEYS[role]] = name
    kept |= {"stages": list(run.config.stages), "seed": run.config.seed}
    kept["prompt_texts"] = dict(run.prompts)
    (directory / RECORD).write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
