"""What a run does, as the train command sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Task(NamedTuple):
    """A run whose inputs were found to be good.

    prompt_texts: what agents and judge are shown, by whom, and which pairs a policy learns from;
      the run's directory remembers it.
    run: -> the final results; within the run's directory.
    write: (results, seconds) -> None; the results, for people and programs.
    """

    prompt_texts: Mapping[str, str]
    run: Callable[[], dict[str, Any]]
    write: Callable[[dict[str, Any], float], None]
