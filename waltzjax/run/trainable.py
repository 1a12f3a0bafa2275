"""The trained part of a model: all of it, or an adapter beside the frozen base; and its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax.config.key import EMBEDDED
from waltzjax.model import lora, sharding
from waltzjax.model.hf import peft, weights
from waltzjax.model.hf.tokenizer import FILE, generation_settings, misread
from waltzjax.run import workdir
from waltzjax.run.runtime import Runtime, check_same_shape
from waltzjax.support import console
from waltzjax.support.processes import writes
from waltzjax.training.step import Merge, full_params
from waltzjax.types import MATRICES


class Trainable(NamedTuple):
    """One way to train an agent.

    start: (base params, seed) -> what is trained, at first the same policy as the base.
    merge: (base params, what is trained) -> parameters of a forward pass.
    save: (directory, what is trained) -> None; ``transformers`` or ``peft`` loads it.
    load: directory -> what is trained.
    """

    start: Callable[[Any, int], Any]
    merge: Merge
    save: Callable[[Path, Any], None]
    load: Callable[[Path], Any]


def make_trainable(config: ConfigDict, runtime: Runtime, base: Path) -> Trainable:
    """Full fine-tuning, or adapters if ``config.lora.rank`` says so."""
    generation = generation_settings(base, runtime.engine.stop_ids)
    if config.lora.rank:
        return _low_rank(config, runtime, base, generation)
    return _full(runtime, generation)


def _full(runtime: Runtime, generation: dict[str, Any]) -> Trainable:
    def save(directory: Path, params: Any) -> None:
        weights.save(directory, runtime.cfg, params, runtime.chat.tokenizer, generation=generation)
        note_misread(directory)

    return Trainable(
        start=lambda params, seed: params,
        merge=full_params,
        save=save,
        load=lambda directory: weights.load_params(directory, runtime.cfg, runtime.mesh),
    )


def note_misread(directory: Path) -> None:
    """Say so where servers would split a saved model's texts otherwise than its training did."""
    if writes() and misread(directory):
        console.say(
            f"note: AutoTokenizer of transformers 5 splits texts otherwise than {directory}/"
            f"{FILE} and this run do; PreTrainedTokenizerFast.from_pretrained and transformers 4 "
            "keep to the file"
        )


def adapter_form(config: ConfigDict) -> lora.Lora:
    targets = tuple(name for name in MATRICES if name in config.lora.targets)  # as files have them
    return lora.Lora(config.lora.rank, config.lora.alpha, targets)


def adapter_merge(form: lora.Lora) -> Merge:
    return lambda params, adapter: lora.attach(params, adapter, form.scale)


def _low_rank(
    config: ConfigDict, runtime: Runtime, base: Path, generation: dict[str, Any]
) -> Trainable:
    form = adapter_form(config)
    new = partial(lora.init_adapter, runtime.cfg, form)

    def start(_: Any, seed: int) -> Any:
        where = sharding.params_sharding(runtime.mesh, jax.eval_shape(new, jax.random.key(seed)))
        return jax.jit(new, out_shardings=where)(jax.random.key(seed))

    def save(directory: Path, adapter: Any) -> None:
        peft.save_adapter(
            directory,
            adapter,
            form,
            _lasting_name(config, base),
            dropout=config.lora.dropout,
            tokenizer=runtime.chat.tokenizer,
            generation=generation,
        )

    def load(directory: Path) -> Any:
        adapter, saved_form = peft.load_adapter(directory, runtime.cfg, runtime.mesh)
        if saved_form != form:
            raise ValueError(f"{directory}: the adapter is {saved_form}, config.lora says {form}")
        return adapter

    return Trainable(
        start=start,
        merge=adapter_merge(form),
        save=save,
        load=load,
    )


def _lasting_name(config: ConfigDict, base: Path) -> str:
    """The base as an adapter names it: a hub name, which holds on any machine, else the path."""
    named = config.model.base
    return str(base.resolve()) if named == EMBEDDED or Path(named).is_dir() else named


def check_starts(
    config: ConfigDict, runtime: Runtime, base: Path, starts: Mapping[str, Path]
) -> None:
    """Raise ValueError unless the agents can begin at ``starts``, by role."""
    for role, start in starts.items():
        wanted, got = (
            "an adapter's directory" if adapter else "a whole model's directory"
            for adapter in (bool(config.lora.rank), peft.is_adapter(start))
        )
        if wanted != got:
            raise ValueError(
                f"config.model.{role}: got {start}, {got}; with config.lora.rank = "
                f"{config.lora.rank} it has to be {wanted}"
            )
        if not config.lora.rank:
            check_same_shape(runtime, config, start)
        elif (other_base := peft.base_directory(start).resolve()) != base.resolve():
            raise ValueError(
                f"config.model.{role}: the adapter {start} is of the base {other_base}, not of "
                f"config.model.base, {base}: on another one it does something else"
            )


def merged_params(trainable: Trainable, base: Any, trained: Mapping[str, Any]) -> dict[str, Any]:
    """Each role's parameters for a forward pass."""
    return {role: trainable.merge(base, what) for role, what in trained.items()}


def model_directory(directory: Path) -> Path:
    """Where an agent's architecture and tokenizer are: its own directory or its adapter's base."""
    if not peft.is_adapter(directory):
        return directory
    return peft.base_directory(directory)


def load_agents(directories: Mapping[str, Path], runtime: Runtime) -> dict[str, Any]:
    """Each role's parameters, from a model's or an adapter's directory; a shared base is held
    once."""
    models: dict[Path, Any] = {}
    agents = {}
    for role, directory in directories.items():
        base = model_directory(directory).resolve()
        if base not in models:
            models[base] = weights.load_params(base, runtime.cfg, runtime.mesh)
        agents[role] = models[base]
        if peft.is_adapter(directory):
            adapter, form = peft.load_adapter(directory, runtime.cfg, runtime.mesh)
            agents[role] = lora.attach(models[base], adapter, form.scale)
    return agents


def dated_runtime(
    config: ConfigDict,
    mesh: Mesh,
    directories: Mapping[str, Path],
    make: Callable[[ConfigDict, Path, Mesh], Runtime],
) -> tuple[ConfigDict, Runtime]:
    """The config with its date, and what all models of ``directories`` need that can stand beside
    the first one; ``make``: (config, directory, mesh) -> it."""
    first, *others = (model_directory(directory) for directory in directories.values())
    config = workdir.dated(config, base=first)
    runtime = make(config, first, mesh)
    for other in others:
        check_same_shape(runtime, config, other)
    return config, runtime
