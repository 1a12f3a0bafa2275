"""Errors that end a run or a reading of data, and what they tell."""

from __future__ import annotations

from collections.abc import Sequence


class JudgeError(Exception):
    """The judge cannot go on. The run can, once what the message names is mended."""


class JudgeOutage(JudgeError):
    """The judge could not be reached for as long as the run was told to wait."""


class JudgeStopped(JudgeError):
    """A call of the judge was ended because the run is to stop."""


class RequestRefused(JudgeError):
    """The endpoint refuses every request, so that asking again would not help."""


class UnparsedVerdicts(JudgeError):
    """Too many replies of the judge held no verdict."""


class CacheError(JudgeError):
    """The file of the cache cannot be used."""


_SHOWN = 20


class DatasetError(ValueError):
    """A dataset breaks its rules. ``problems`` holds every problem, also those not in the text."""

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


def dataset_error(where: object, groups: Sequence[Sequence[str]]) -> DatasetError:
    """The error for the problems found at ``where``; its text shows the first 20 of each group."""
    problems = [problem for group in groups for problem in group]
    lines = [f"{where}: {len(problems)} problem{'' if len(problems) == 1 else 's'}"]
    for group in groups:
        lines += [f"  {problem}" for problem in group[:_SHOWN]]
        if len(group) > _SHOWN:
            lines.append(f"  ... and {len(group) - _SHOWN} more like these")
    return DatasetError("\n".join(lines), problems)


class VerifierError(Exception):
    """No worker can be started."""
