"""A finished run as what is served: its agents, and how they were shown prompts and sampled."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from waltzjax.config import renamed
from waltzjax.config.key import EMBEDDED, WALTZ, value_at
from waltzjax.recipes import STAGES
from waltzjax.run.recorded import json_object
from waltzjax.run.runtime import prompt_file
from waltzjax.support import console
from waltzjax.support.files import flat
from waltzjax.types import CONVERSATION, FEEDBACK

# Keys of the run that say what its agents see and how they speak. Devices, kernels, cache and how
# many turns are under way are the service's.
AS_TRAINED = (
    "model.base", "model.dtype", "model.template_date", "prompts.conversation", "prompts.feedback",
    "rollout.max_new_tokens", "rollout.top_k", "rollout.top_p", "rollout.min_p", "rollout.t_max",
)  # fmt: skip
TEMPLATE = "model.template_kwargs"
GROUPS = ("model", "prompts", "rollout")  # sections that these are of


def served_config(config: ConfigDict, workdir: Path, given: Collection[str]) -> ConfigDict:
    """A copy of ``config`` that serves the run in ``workdir``: its agents, its base as what answers
    without them, ``AS_TRAINED`` and ``TEMPLATE``. Weights are held in the type they compute in.

    given: dotted paths of the keys that the command line sets: these stay as they are.

    Raises:
      FileNotFoundError: no run. One that has not left its agents yet is told of, no error.
      ValueError: a run without agents, a record that cannot be read, or a file of prompts that is
        not what the agents were trained with. Each error says what to do.
    """
    record = _read_record(workdir)
    _check_kind(record, workdir)
    values = _trained(record, workdir) | _models(config, record, workdir, given)
    served = config.copy_and_resolve_references()
    for path, value in values.items():
        group, _, name = path.rpartition(".")
        if path not in given:
            try:
                value_at(served, group)[name] = value
            except TypeError as error:
                raise ValueError(f"{workdir / 'config.json'}: {path}: {error}") from None
    _check_prompts(served, record, workdir, given)
    return served


def _read_record(workdir: Path) -> dict[str, Any]:
    file = workdir / "config.json"
    if not file.is_file():
        raise FileNotFoundError(
            f"--workdir: {workdir} is no run's directory, there is no config.json; name that of a "
            "finished run, or the agents by --config.serve.conversation and --config.serve.feedback"
        )
    return json_object(file, "--workdir")


def _check_kind(record: Mapping[str, Any], workdir: Path) -> None:
    """Raise ValueError where the run's stages are known and train no agent."""
    stages = [name for name in record.get("stages", ()) if name in STAGES]
    if stages and WALTZ not in STAGES[stages[0]].reads:
        kinds = [name for name, spec in STAGES.items() if WALTZ in spec.reads]
        raise ValueError(
            f"--workdir: {workdir} is a run of {', '.join(stages)}, which has no agents to serve; "
            f"name a run of one of {', '.join(kinds)}"
        )


def _trained(record: Mapping[str, Any], workdir: Path) -> dict[str, Any]:
    """The run's values of ``AS_TRAINED`` and ``TEMPLATE``, as far as its record has them. An
    exported pair has its files of prompts in ``workdir``."""
    leaves = renamed.today(flat({name: record.get(name, {}) for name in GROUPS}))
    values = {path: leaves[f"config.{path}"] for path in AS_TRAINED if f"config.{path}" in leaves}
    if "model.dtype" in values:
        values["model.param_dtype"] = values["model.dtype"]
    for path in ("prompts.conversation", "prompts.feedback"):
        if values.get(path) and (own := workdir / values[path]).is_file():
            values[path] = str(own)
    start = f"config.{TEMPLATE}."
    kwargs = {key.removeprefix(start): v for key, v in leaves.items() if key.startswith(start)}
    return values | {TEMPLATE: ConfigDict(kwargs)}


def _models(
    config: ConfigDict, record: Mapping[str, Any], workdir: Path, given: Collection[str]
) -> dict[str, str]:
    """The run's agents that are not elsewhere, and its base where an agent of it may be missing."""
    serve = config.serve
    elsewhere = {CONVERSATION: serve.upstream.url, FEEDBACK: serve.reviewer.url}
    agents = {role: workdir / role for role, url in elsewhere.items() if not url}
    wanted = {role: path for role, path in agents.items() if f"serve.{role}" not in given}
    missing = [str(path) for path in wanted.values() if not path.is_dir()]
    if missing:  # the service is up all the same: stage 1 decides
        console.say(
            f"warning: --workdir: {' and '.join(missing)} not there: a run leaves its agents at "
            "its end; wait for it, or go on with it by the command that began it"
        )
    models = {f"serve.{role}": str(path) for role, path in agents.items()}
    base = record.get("model", {}).get("base", "")
    if base == EMBEDDED:
        base = str(workdir / "base") if (workdir / "base").is_dir() else ""
    return models | ({"serve.base": base} if CONVERSATION in agents else {})


def _check_prompts(
    served: ConfigDict, record: Mapping[str, Any], workdir: Path, given: Collection[str]
) -> None:
    """Raise ValueError where a file of prompts, which nobody has given, holds another text now than
    the run's agents were trained with."""
    for role in (CONVERSATION, FEEDBACK):
        trained = record.get("prompt_texts", {}).get(role)
        if f"prompts.{role}" in given or trained is None:
            continue
        file = prompt_file(served, role)
        if file.read_text(encoding="utf-8") != trained:
            raise ValueError(
                f"config.prompts.{role}: {file} is not what the agents of {workdir} were trained "
                f"with; their text is prompt_texts.{role} in its config.json. Write that to a file "
                f"and give its name, or give this one's to serve them with it all the same"
            )
