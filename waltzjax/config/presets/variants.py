"""The argument of a config, what stands after the colon."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ml_collections import ConfigDict


def choose(variants: Mapping[str, Callable[[], ConfigDict]], arg: str) -> ConfigDict:
    """The variant that ``arg`` names; ValueError with the ones there are: ml_collections would take
    any."""
    if arg not in variants:
        raise ValueError(
            f"config argument: got {arg!r}, allowed are {', '.join(map(repr, variants))}"
        )
    return variants[arg]()
