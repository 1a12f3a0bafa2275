"""The guard's flags: what they say about a request, and where their values come from.

A value of ``config.serve.flags_file`` comes before one of the environment (``WALTZRL_STAGE=1``),
and that before the config's. The file changes them while the service runs.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from waltzjax.config.policy_text import parse_policy
from waltzjax.serve.flag_text import from_environment, from_json, unknown_category
from waltzjax.serve.records import (
    AGENTS,
    BLOCK,
    CLOSED,
    FLAG,
    NO_CATEGORY,
    OFF,
    OPEN,
    PASS,
    PATTERNS,
)
from waltzjax.support import console

LOOK_S = 0.5  # least time between two looks at the file
MOST_BYTES = 65_536  # of the file


class Flags(NamedTuple):
    """The flags of ``config.serve`` at one moment; ``policy``: category -> BLOCK or FLAG."""

    enable: bool = True
    stage: int = AGENTS
    rollout_pct: int = 100
    blocking: bool = False
    feedback_only: bool = True
    policy: Mapping[str, str] = MappingProxyType({})

    def stage_of(self, user: str) -> int:
        """OFF, PATTERNS or AGENTS for a request of ``user``: always the same for one user, and
        those who get AGENTS keep it as ``rollout_pct`` grows.

        "" is nobody, and gets AGENTS at 100 alone. A service that wants its share of requests
        without a user gives each a name of its own.
        """
        if not self.enable:
            return OFF
        everybody = self.rollout_pct >= 100
        rolled_out = everybody or (bool(user) and bucket(user) < self.rollout_pct)
        return AGENTS if self.stage == AGENTS and rolled_out else PATTERNS

    def action(self, categories: Iterable[str]) -> str:
        """What is done about an exchange that these categories were found in: PASS where there are
        none, BLOCK where one of them is to be blocked, else FLAG."""
        actions = {self._action(category) for category in categories}
        return BLOCK if BLOCK in actions else FLAG if actions else PASS

    def on_failure(self, categories: Iterable[str]) -> tuple[str, str]:
        """What a part that fails does to an exchange that these categories were found in, and the
        category that says so: CLOSED by the first one to be blocked, else OPEN by the first. With
        none it is "default", which is OPEN unless the policy has it."""
        matched = list(categories)
        if not matched:
            closed = self.policy.get(NO_CATEGORY, FLAG) == BLOCK
            return (CLOSED if closed else OPEN), NO_CATEGORY
        blocked = [category for category in matched if self._action(category) == BLOCK]
        return (CLOSED, blocked[0]) if blocked else (OPEN, matched[0])

    def _action(self, category: str) -> str:
        return self.policy.get(category, BLOCK if self.blocking else FLAG)


def bucket(user: str) -> int:
    """The number of a user, [0, 100): a hash, the same in every process."""
    digest = hashlib.sha256(user.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest, "big") % 100


def describe(flags: Flags) -> dict[str, Any]:
    """The flags as JSON has them: the form of the flags file."""
    return {**flags._asdict(), "policy": dict(flags.policy)}


class FlagSource:
    """The flags as they are now; safe to ask from several threads.

    Args:
      serve: the section of a config that holds.
      environ: ``WALTZRL_ENABLE``, ``..._STAGE``, ``..._ROLLOUT_PCT``, ``..._BLOCKING``,
        ``..._FEEDBACK_ONLY``, ``..._POLICY``; read once.
      categories: those of the pattern rules, which a policy may name; (): it may name any.
      say: is told in a line of each change, and of each file that cannot be.
      clock: seconds.

    Raises:
      ValueError: a variable or a category that cannot be; name, what was got, what is allowed.
    """

    def __init__(
        self,
        serve: ConfigDict,
        environ: Mapping[str, str],
        categories: Collection[str] = (),
        *,
        say: Callable[[str], None] = console.say,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = Path(serve.flags_file) if serve.flags_file else None
        self._categories, self._say, self._clock = categories, say, clock
        own = {name: serve[name] for name in Flags._fields}
        own |= {"policy": parse_policy(serve.policy)}
        if problem := unknown_category(own["policy"], categories):
            raise ValueError(f"config.serve.policy: {problem}")
        self._usual = _flags(own | from_environment(environ, categories))
        self._flags, self._next = self._usual, 0.0
        self._seen: bytes | str | None = _NOT_LOOKED
        self._lock = threading.Lock()
        if self._file:
            self._look(self._file)
            self._next = clock() + LOOK_S

    def current(self) -> Flags:
        """The flags now. The file is looked at twice a second at most; one that cannot be read or
        holds what cannot be leaves the flags as they were, one that is gone leaves those of config
        and environment."""
        if self._file and self._clock() >= self._next and self._lock.acquire(blocking=False):
            try:
                self._next = self._clock() + LOOK_S
                self._look(self._file)
            finally:
                self._lock.release()
        return self._flags

    def _look(self, file: Path) -> None:
        content = _content(file)
        if content == self._seen:
            return
        self._seen = content
        try:
            flags = self._usual
            if content is None:
                self._say(f"flags: {file} is not there; config and environment hold")
            elif isinstance(content, str):
                raise ValueError(content)
            else:
                flags = _flags(describe(flags) | from_json(content, self._categories))
        except ValueError as error:
            self._say(f"warning: flags stay as they were: {file}: {error}")
            return
        if flags != self._flags:
            self._say(f"flags: {_changes(self._flags, flags)}")
        self._flags = flags


_NOT_LOOKED = "not looked at"


def _flags(values: Mapping[str, Any]) -> Flags:
    return Flags(**{**values, "policy": MappingProxyType(dict(values["policy"]))})


def _content(file: Path) -> bytes | str | None:
    """What is in the file; a text: why that cannot be said; None: there is no file."""
    try:
        # A pipe would wait for somebody to write into it.
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as opened:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return "no regular file"
            content = opened.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        return error.strerror or type(error).__name__
    return content if len(content) <= MOST_BYTES else f"more than {MOST_BYTES} bytes"


def _changes(before: Flags, after: Flags) -> str:
    pairs = zip(describe(before).items(), describe(after).values(), strict=True)
    return ", ".join(f"{name} {old!r} → {new!r}" for (name, old), new in pairs if old != new)
