"""The host's memory: whether glibc keeps what was freed or gives the memory back to the system."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import jax

# glibc's mallopt: names of settings, and bytes.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
LARGE, HUGE, USUAL_TRIM = 2**22, 2**30, 2**17


def return_freed() -> None:
    """Have freed memory go back to the system, or to whoever asks next. glibc by itself comes to
    keep blocks of up to 32 MiB, and as arrays are aligned it hardly finds a use for them again;
    and a heap for each thread that compiles, which keeps what no other thread can use.

    Settings of the user's environment stand.
    """
    if mallopt := _mallopt("MMAP_THRESHOLD_", "TRIM_THRESHOLD_"):
        mallopt(M_MMAP_THRESHOLD, LARGE)
    if mallopt := _mallopt("ARENA_MAX"):
        mallopt(M_ARENA_MAX, 1)


@contextmanager
def reuse_freed() -> Iterator[None]:
    """Keep freed blocks of up to ``HUGE`` bytes inside, and return all of them at the end.

    A CPU's update asks for the same hundreds of MiB at each step: fresh from the system, each page
    of them is cleared again. An accelerator's update has its arrays elsewhere: nothing changes.
    """
    mallopt = _mallopt("MMAP_THRESHOLD_", "TRIM_THRESHOLD_")
    if not mallopt or jax.default_backend() != "cpu":
        yield
        return
    mallopt(M_MMAP_THRESHOLD, HUGE)
    mallopt(M_TRIM_THRESHOLD, HUGE)
    try:
        yield
    finally:
        mallopt(M_MMAP_THRESHOLD, LARGE)
        mallopt(M_TRIM_THRESHOLD, USUAL_TRIM)
        ctypes.CDLL(None).malloc_trim(0)


def _mallopt(*names: str) -> Callable[[int, int], int] | None:
    """glibc's setter; None where the C library is another one, or where the user's environment
    says one of MALLOC_``names``."""
    libc = ctypes.CDLL(None)
    chosen = any(f"MALLOC_{name}" in os.environ for name in names)
    return libc.mallopt if hasattr(libc, "mallopt") and not chosen else None
