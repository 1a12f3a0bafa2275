"""A service's file of flags, changed for the time of the checks and put back as it was."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from waltzjax.support.files import write_json

# The flags of the strictest service: the agents decide for everybody, answers are revised, and what
# is still unsafe is withheld. So the checks measure the most that the guard can take from a user.
STRICT: dict[str, Any] = {
    "enable": True, "stage": 2, "rollout_pct": 100, "blocking": True, "feedback_only": False,
    "policy": {},
}  # fmt: skip
# What the agents say, revisions too: nothing is withheld, as no refusal is the agents' merit.
REVISING: dict[str, Any] = {**STRICT, "blocking": False}


class FlagsFile:
    """A context manager; within it ``set`` changes the file, at its end the file is as before, or
    gone where there was none. What was there lies beside it meanwhile, so that not even a killed
    process loses it.

    Raises:
      FileNotFoundError: its directory is not there.
      FileExistsError: another validation has changed the file, or one that was killed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()  # a link stays one
        self._before = self.path.with_name(f".{self.path.name}.before-validation")

    def set(self, **changes: Any) -> None:
        """Write the flags STRICT with ``changes``, whole or not at all."""
        write_json(self.path, {**STRICT, **changes})

    def __enter__(self) -> Self:
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"--flags_file: no directory {self.path.parent}")
        try:
            self._before.touch(exist_ok=False)
        except FileExistsError:
            raise FileExistsError(
                f"--flags_file: {self.path} is changed by another validation, or was by one that "
                f"was killed; in that case put {self._before} back in its place (or remove both "
                "where it is empty: there was no file)"
            ) from None
        if self.path.exists():
            shutil.copy2(self.path, self._before)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._before.stat().st_size:
            os.replace(self._before, self.path)
        else:
            self.path.unlink(missing_ok=True)
            self._before.unlink()
