"""The process in which answers are compared by algebra, started and killed by ``verifier``.

    python -m waltzjax.rlvr.grading.worker MEMORY_BYTES CPU_S

Says "ready" once it can compare. Then each line on stdin is a JSON list [answer, label], and each
reply on stdout a JSON list [equal, parsed]. A comparison that takes CPU_S of processor time ends
the process, by SIGPROF: the system counts it, so neither C code nor the parent's death puts it off,
and a busy machine does not change what is graded. Ends with its stdin.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys

from waltzjax.rlvr.grading.equality import compare_symbolic


def main() -> None:
    memory_bytes, cpu_s = int(sys.argv[1]), float(sys.argv[2])
    # The replies have a pipe of their own, as libraries print.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    compare_symbolic(r"\sum_{k=1}^{2} k", r"\frac{1}{2}")  # what is loaded late is loaded now
    print("ready", file=replies, flush=True)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the parser complains of every odd answer
    os.dup2(2, 1)
    for line in sys.stdin:
        answer, label = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, cpu_s)
        try:
            reply = list(compare_symbolic(answer, label))
        except Exception:  # of memory, of recursion, of what the libraries did not foresee
            reply = [False, False]
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
