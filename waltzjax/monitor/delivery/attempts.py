"""Attempts to deliver a message: what time may mend, what somebody must mend, and the pauses."""

from __future__ import annotations

import email.utils
import random
import ssl
import time
from collections.abc import Callable

from waltzjax.monitor.delivery.redact import system_error

FIRST_S = 1.0  # pause after the first failure; doubled after each further one
MOST_ATTEMPTS = 4
DAY_S = 86_400.0


class Unreached(Exception):
    """The attempt failed in a way that time may mend; ``retry_after_s``: the pause, in seconds,
    that the server asked for."""

    def __init__(self, why: str, retry_after_s: float = 0.0) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s


class Refused(Exception):
    """The attempt failed in a way that somebody must mend; the text says how."""


def attempt(
    once: Callable[[float], None],
    *,
    timeout_s: float,
    deadline: float,
    clock: Callable[[], float] = time.time,
    wait: Callable[[float], object] = time.sleep,
) -> None:
    """Call ``once(seconds it may wait for the server)`` until it returns, at most four times.

    deadline: time of ``clock`` after which no attempt begins.

    Raises:
      Unreached: the last attempt's; also at once where the pause would pass the deadline.
      Refused: at once.
    """
    for failures in range(1, MOST_ATTEMPTS + 1):
        try:
            return once(max(0.1, min(timeout_s, deadline - clock())))
        except Unreached as error:
            pause = max(FIRST_S * 2 ** (failures - 1) * random.uniform(0.5, 1), error.retry_after_s)
            if failures == MOST_ATTEMPTS or clock() + pause >= deadline:
                raise
        wait(pause)


def connection_failure(error: BaseException, server: str, tls_remedy: str) -> Unreached | Refused:
    """What a connection to ``server`` failed of, for good where its certificate is not trusted or
    it speaks no TLS; ``tls_remedy`` says what to do about the latter."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Refused(
            f"the certificate of {server} is not trusted ({error.verify_message}); name a file "
            "with that of its authority in the environment variable SSL_CERT_FILE"
        )
    broken_off = isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
    if isinstance(error, ssl.SSLError) and not broken_off:
        return Refused(f"{server} does not speak TLS there; {tls_remedy}")
    why = system_error(error)
    return Unreached(f"{server} cannot be reached ({why}); mend the network, or its address")


def retry_after_s(header: str | None, now: float) -> float:
    """Seconds that a Retry-After header asks for, at most a day's: a number of seconds or an HTTP
    date; else 0."""
    try:
        seconds = float(header or 0)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(str(header)).timestamp() - now
        except (TypeError, ValueError):
            return 0.0
    return min(max(0.0, seconds), DAY_S) if seconds == seconds else 0.0
