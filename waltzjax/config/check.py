"""Every rule a config must keep, checked before anything is allocated."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from waltzjax.config import model, rl, rollout
from waltzjax.config.defaults import KEYS, MODULES, default
from waltzjax.config.key import COMMAND_READS, Spec, readers_in, readers_of, value_at
from waltzjax.config.renamed import RENAMED

OPEN = ("config.model.template_kwargs",)  # groups whose keys are the user's
SECRETIVE = ("url", "key_env")  # keys whose value may be, or hold, a secret: no error shows it
BY_STAGE = ("config.train.steps", "config.rl.beta")  # groups with a key for each stage


def validate(
    c: ConfigDict,
    stages: Mapping[str, Spec],
    algorithms: Collection[str],
    *,
    training: bool,
    reads: frozenset[str] | None = None,
) -> None:
    """Check every rule; all that is broken is in one error.

    Args:
      stages: all stages there are, in the order in which they run.
      algorithms: what ``config.rl.algorithm`` may be.
      training: check what holds for a run that trains only, too.
      reads: of whom the keys are read, such as ``COLLECT_READS``; None: of the stages of ``c``.

    Raises:
      ValueError: key, what was got, what is allowed, one line each.
    """
    problems = list(_unknown_keys(default(), c, "config", stages)) or list(_bad_stages(c, stages))
    if not problems:
        reads = readers_in(c, stages) if reads is None else reads
        problems = [
            *_bounds(c),
            *_unread_keys(c, reads, stages),
            *(problem for module in MODULES for problem in module.broken_rules(c, reads)),
            *_bad_algorithm(c, algorithms),
            *(_training_relations(c, reads) if training else ()),
        ]
    if problems:
        raise ValueError("the config does not hold:\n  " + "\n  ".join(problems))


def _unknown_keys(
    reference: ConfigDict, c: ConfigDict, path: str, stages: Collection[str]
) -> Iterator[str]:
    for key in sorted(set(c) | set(reference)):
        name = f"{path}.{key}"
        if key not in reference and path in BY_STAGE and key in stages:
            own = next(iter(reference.values()))
            if not _same_type(own, c[key]) or c[key] < 0:
                yield f"{name}: got {c[key]!r}, expected {type(own).__name__} >= 0"
        elif key not in reference:
            new = RENAMED.get(name.removeprefix("config."))
            known = f"it is config.{new} now" if new else f"allowed are {', '.join(reference)}"
            yield f"{name}: no such key; {known}"
        elif key not in c:
            yield f"{name}: missing"
        elif isinstance(reference[key], ConfigDict):
            if name in OPEN and isinstance(c[key], ConfigDict):
                yield from _no_values(c[key], name)
            elif isinstance(c[key], ConfigDict):
                yield from _unknown_keys(reference[key], c[key], name, stages)
            else:
                yield f"{name}: got {c[key]!r}, expected a group of keys"
        elif not _same_type(reference[key], c[key]):
            kind = type(reference[key]).__name__
            yield f"{name}: got {c[key]!r} ({type(c[key]).__name__}), expected {kind}"


def _no_values(c: ConfigDict, path: str) -> Iterator[str]:
    for key, value in c.items():
        if not isinstance(value, bool | int | float | str):
            yield f"{path}.{key}: got {value!r}, allowed are a number, a text, True and False"


def _same_type(a: Any, b: Any) -> bool:
    number = (int, float)
    if isinstance(a, float) and isinstance(b, number) and not isinstance(b, bool):
        return math.isfinite(b)
    return type(a) is type(b)


def _bad_stages(c: ConfigDict, stages: Mapping[str, Spec]) -> Iterator[str]:
    got, names = f"config.stages: got {tuple(c.stages)}", tuple(stages)
    if not c.stages or any(s not in stages for s in c.stages) or len({*c.stages}) < len(c.stages):
        yield f"{got}, allowed are some of {names}, once each"
    elif tuple(c.stages) != tuple(name for name in names if name in c.stages):
        yield f"{got}; they run in the order {names}"
    elif len({stages[name].job for name in c.stages}) > 1:
        job = stages[c.stages[0]].job
        others = [name for name in c.stages if stages[name].job is not job]
        yield f"{got}; {', '.join(map(repr, others))} cannot be part of one run with the others"


def _bad_algorithm(c: ConfigDict, algorithms: Collection[str]) -> Iterator[str]:
    if c.rl.algorithm not in algorithms:
        allowed = ", ".join(algorithms)
        yield f"config.rl.algorithm: got {c.rl.algorithm!r}, allowed are {allowed}"


def _bounds(c: ConfigDict) -> Iterator[str]:
    for path, key in KEYS.items():
        if not key.bound.holds(value := value_at(c, path)):
            yield f"config.{path}: got {value!r}, allowed {key.bound.words}"


def _unread_keys(c: ConfigDict, reads: frozenset[str], stages: Mapping[str, Spec]) -> Iterator[str]:
    """Keys whose value is not the default, and which nothing that runs reads."""
    for path, key in KEYS.items():
        value = value_at(c, path)
        if value == key.default:
            continue
        got = "a value (not shown)" if path.rpartition(".")[2] in SECRETIVE else _short(value)
        if not reads & {*key.readers}:
            would = [name for name in stages if readers_of(name, stages[name], c) & {*key.readers}]
            would += [name for name, own in COMMAND_READS.items() if own & {*key.readers}]
            yield (
                f"config.{path}: got {got}, but nothing that runs reads it; read by "
                f"{', '.join(would)}. Leave it out, or at its default {_short(key.default)}"
            )
        elif key.only_if and not key.only_if.holds(c):
            yield (
                f"config.{path}: got {got}, but it is read only where "
                f"{key.only_if.words}. Leave it out, or at its default {_short(key.default)}"
            )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _training_relations(c: ConfigDict, reads: frozenset[str]) -> Iterator[str]:
    yield from model.broken_training_rules(c)
    yield from rollout.broken_training_rules(c, reads)
    yield from rl.broken_training_rules(c, reads)


def unread(c: ConfigDict, reads: frozenset[str]) -> list[str]:
    """The dotted paths of the keys that none of ``reads`` reads, as the others of ``c`` are."""
    return [
        path
        for path, key in KEYS.items()
        if not reads & {*key.readers} or (key.only_if and not key.only_if.holds(c))
    ]


def only_read(c: ConfigDict, reads: frozenset[str], keep: Collection[str] = ()) -> ConfigDict:
    """A copy of a config that was made for others: keys that none of ``reads`` reads are back at
    their default, but for those of ``keep``, by dotted path."""
    c = c.copy_and_resolve_references()
    for path in unread(c, reads):
        group, _, name = path.rpartition(".")
        if path not in keep:
            value_at(c, group)[name] = KEYS[path].default
    return c
