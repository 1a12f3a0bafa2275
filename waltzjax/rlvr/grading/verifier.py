"""Verification of answers while others are still being generated: worker processes, time limits.

A comparison by algebra can run for ever, in C code that no signal handler or thread interrupts, or
take all memory. So it runs in a process that can be killed, whose memory is bounded.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Iterable
from typing import NamedTuple, Self

from waltzjax.rlvr.grading.answer import final_answer
from waltzjax.rlvr.grading.equality import Comparison, compare_plain
from waltzjax.rlvr.grading.process import VerifyProcess, WorkerDied
from waltzjax.support.errors import VerifierError

_STARTS = 3  # of a worker that is killed while it starts
_TRIES = 2  # of an answer whose worker dies: the answer may be to blame, or the system's OOM killer
_KNOWN = 20_000  # comparisons remembered: the answers to a problem repeat, also those that hang


class Verification(NamedTuple):
    """``right``: the answer has the label's value. ``parsed``: one was found and could be read.
    ``timed_out``: the comparison took too long, which counts as not right."""

    right: bool
    parsed: bool
    timed_out: bool


class Verifier:
    """Compares responses' final answers with labels, from any thread.

    Plain answers are compared at once, in the calling process; others wait for one of ``workers``
    processes, which start when first needed and stay. timeout_s: processor time of one comparison,
    so that a busy machine changes no grade; four times as long on the clock.
    """

    def __init__(self, workers: int, timeout_s: float) -> None:
        if workers < 1:
            raise ValueError(f"workers: got {workers}, allowed is >= 1")
        if not 0 < timeout_s < float("inf"):
            raise ValueError(f"timeout_s: got {timeout_s}, allowed is a number > 0")
        self._timeout_s = timeout_s
        # A thread waits for each worker; both are there once there is work for them.
        self._threads = concurrent.futures.ThreadPoolExecutor(workers, "verifier")
        self._lock = threading.Lock()
        self._idle: list[VerifyProcess] = []
        self._all: set[VerifyProcess] = set()
        self._known: dict[tuple[str, str], Verification] = {}
        self._broken: VerifierError | None = None
        self._closed = False

    def submit(self, response: str, label: str) -> concurrent.futures.Future[Verification]:
        """The verification of ``response``'s final answer, once it is known. Its result raises
        VerifierError if no worker starts, CancelledError after ``close``."""
        if self._closed:
            raise ValueError("submit: the verifier is closed; open another")
        answer = final_answer(response)
        plain = Comparison(False, False) if answer is None else compare_plain(answer, label)
        known = Verification(*plain, timed_out=False) if plain else None
        known = known or self._known.get((answer or "", label))
        if known is None:
            return self._threads.submit(self._verify, answer or "", label)
        done: concurrent.futures.Future[Verification] = concurrent.futures.Future()
        done.set_result(known)
        return done

    def grade(self, pairs: Iterable[tuple[str, str]]) -> list[Verification]:
        """The verifications of (response, label) pairs, in their order. Raises as ``submit``."""
        return [future.result() for future in [self.submit(*pair) for pair in pairs]]

    def _verify(self, answer: str, label: str) -> Verification:
        if known := self._known.get((answer, label)):
            return known
        verification = Verification(False, False, timed_out=False)
        for _ in range(_TRIES):
            worker = self._take()
            try:
                verification = Verification(*worker.ask(answer, label), timed_out=False)
            except TimeoutError:
                self._discard(worker)
                verification = Verification(False, False, timed_out=True)
            except WorkerDied:
                self._discard(worker)
                continue
            else:
                with self._lock:
                    self._idle.append(worker)
            break
        with self._lock:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[answer, label] = verification
        return verification

    def _take(self) -> VerifyProcess:
        """An idle worker, or a new one."""
        while True:
            with self._lock:
                self._check_open()
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                return self._start()
            if worker.alive():
                return worker
            self._discard(worker)

    def _start(self) -> VerifyProcess:
        for _ in range(_STARTS):
            with self._lock:
                self._check_open()
                worker = VerifyProcess(self._timeout_s)
                self._all.add(worker)
            try:
                worker.wait_ready()
                return worker
            except WorkerDied as died:
                why, killed = str(died), worker.killed()
            self._discard(worker)
            if not killed:
                break
        with self._lock:
            self._check_open()  # it was close that killed it
            # For all that wait: each would only find out anew.
            self._broken = VerifierError(f"no process that verifies answers starts: {why}")
        raise self._broken

    def _check_open(self) -> None:
        if self._closed:
            raise concurrent.futures.CancelledError("the verifier was closed")
        if self._broken:
            raise self._broken

    def _discard(self, worker: VerifyProcess) -> None:
        worker.close()
        with self._lock:
            self._all.discard(worker)

    def close(self) -> None:
        """End all processes and threads; answers not yet compared are cancelled."""
        with self._lock:
            self._closed = True
            workers = list(self._all)
        for worker in workers:
            worker.end()  # wakes the thread that waits for it
        self._threads.shutdown(wait=True, cancel_futures=True)
        for worker in workers:
            worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
