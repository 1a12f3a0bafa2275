"""A service's file of flags, changed for the time of the checks and put back as it was."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from waltzjax.support import console
from waltzjax.support.files import write_json

# The flags of the strictest service: the agents decide for everybody, answers are revised, and what
# is still unsafe is withheld. So the checks measure the most that the guard can take from a user.
STRICT: dict[str, Any] = {
    "enable": True, "stage": 2, "rollout_pct": 100, "blocking": True, "feedback_only": False,
    "policy": {},
}  # fmt: skip
# What the agents say, revisions too: nothing is withheld, as no refusal is the agents' merit.
REVISING: dict[str, Any] = {**STRICT, "blocking": False}


BEFORE, ABSENT = "before", "there-was-no-file"  # in the directory of what is kept meanwhile


class FlagsFile:
    """A context manager; within it ``set`` changes the file, at its end the file is as before, or
    gone where there was none. What was there is kept in a directory beside it meanwhile, so that
    not even a killed process loses it. What somebody else writes meanwhile stays.

    Raises:
      FileNotFoundError: its directory is not there.
      FileExistsError: another validation has changed the file, or one that was killed.
      OSError: what is there cannot be kept; nothing is changed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()  # a link stays one
        self._kept = self.path.with_name(f".{self.path.name}.before-validation")
        self._content: bytes | None = None  # that the file is to have, as far as is known here

    def set(self, **changes: Any) -> None:
        """Write the flags STRICT with ``changes``, whole or not at all.

        Raises:
          OSError: somebody else has changed the file meanwhile.
        """
        if _read(self.path) != self._content:
            raise OSError(
                f"--flags_file: {self.path} was changed by somebody else while it was validated; "
                "their flags stay, no results are written: validate again when nobody changes it"
            )
        write_json(self.path, {**STRICT, **changes})
        self._content = _read(self.path)

    def __enter__(self) -> Self:
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"--flags_file: no directory {self.path.parent}")
        try:
            self._kept.mkdir()  # of two processes one succeeds
        except FileExistsError:
            raise FileExistsError(self._how_to_go_on()) from None
        try:
            self._keep()
        except BaseException:
            shutil.rmtree(self._kept)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        before = self._kept / BEFORE
        if _read(self.path) != self._content:
            console.say(f"{self.path} was changed by somebody else meanwhile, and stays so")
        elif before.exists():
            os.replace(before, self.path)
        else:
            self.path.unlink(missing_ok=True)
        shutil.rmtree(self._kept)

    def _keep(self) -> None:
        """Keep the file whole or not at all, under the name BEFORE; or that there is none."""
        self._content = _read(self.path)
        if self._content is None:
            (self._kept / ABSENT).touch()
            return
        copy = self._kept / "copy"
        shutil.copy2(self.path, copy)
        os.replace(copy, self._kept / BEFORE)

    def _how_to_go_on(self) -> str:
        remove = f"remove the directory {self._kept}"
        if (self._kept / BEFORE).exists():
            todo = f"put {self._kept / BEFORE} back in its place and {remove}"
        elif (self._kept / ABSENT).exists():
            todo = f"remove the file, as there was none, and {remove}"
        else:
            todo = f"{remove}: the file was not changed yet"
        return (
            f"--flags_file: {self.path} is changed by another validation, or was by one that was "
            f"killed; in that case {todo}"
        )


def _read(path: Path) -> bytes | None:
    """The file's content; None: there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
