"""How a judge ends a run."""

from __future__ import annotations


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
