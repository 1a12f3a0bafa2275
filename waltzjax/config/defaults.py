"""The config at full size, Llama-3.1-8B-Instruct on eight 80 GB devices; a section has a file."""

from __future__ import annotations

from ml_collections import ConfigDict

from waltzjax.config import (
    embedded,
    judge,
    metrics,
    model,
    monitor,
    preferences,
    prompts,
    reward,
    rl,
    rollout,
    run,
    serve,
    sft,
    stop,
    train,
)
from waltzjax.config.key import Key, Keys, flat

# A module has the KEYS of one section or of a few, and the ``broken_rules`` between them.
MODULES = (
    run, model, prompts, judge, rollout, reward, rl, sft, preferences, train, metrics, monitor,
    stop, serve, embedded,
)  # fmt: skip
SECTIONS: Keys = {name: keys for module in MODULES for name, keys in module.KEYS.items()}
KEYS = dict(flat(SECTIONS))  # dotted path -> key


def default() -> ConfigDict:
    """Every key at its default."""
    return _group(SECTIONS)


def _group(keys: Keys) -> ConfigDict:
    c = ConfigDict()
    for name, value in keys.items():
        if isinstance(value, Key):
            own = value.default
            c[name] = ConfigDict(own) if isinstance(own, ConfigDict) else own
        else:
            c[name] = _group(value)
    return c
