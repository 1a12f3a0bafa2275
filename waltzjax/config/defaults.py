"""The config at full size, Llama-3.1-8B-Instruct on eight 80 GB devices; a section has a file."""

from __future__ import annotations

from ml_collections import ConfigDict

from waltzjax.config import (
    embedded,
    judge,
    model,
    preferences,
    prompts,
    reward,
    rl,
    rollout,
    run,
    sft,
    train,
)
from waltzjax.config.key import Key, Keys, flat

SECTIONS: Keys = {
    **run.KEYS, **model.KEYS, **prompts.KEYS, **judge.KEYS, **rollout.KEYS, **reward.KEYS,
    **rl.KEYS, **sft.KEYS, **preferences.KEYS, **train.KEYS, **embedded.KEYS,
}  # fmt: skip
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
