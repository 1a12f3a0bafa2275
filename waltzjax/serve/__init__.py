"""Serving: the two agents as a guard, behind an OpenAI-compatible endpoint or in a program."""

from __future__ import annotations

import importlib
from typing import Any

# name -> module: loaded when asked for, as flags and records need no engine.
_MODULES = {
    "Guard": "guard",
    "Answer": "records",
    "Ask": "records",
    "Reply": "records",
    "Report": "records",
    "GuardrailHook": "litellm_hook",
    "Routed": "router",
}
__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
