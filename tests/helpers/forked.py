"""Commands in processes forked from one that has imported everything: as in a new interpreter, but
for what is read as modules are imported, without the seconds that would be most of a test's time.

``run`` is for tests; the rest runs in the parent of those processes, ``python tests/forked.py``.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

REPO = Path(__file__).parents[2]


def run(
    *arguments: str, limit_s: int = 120, **environment: str
) -> subprocess.CompletedProcess[str]:
    """As ``python ARGUMENTS`` in the repository, arguments ``-m MODULE ...`` or ``-c PROGRAM``;
    it is killed after ``limit_s`` seconds. jax has read the variables of its own already."""
    assert not [name for name in environment if name.startswith("JAX_")]
    with tempfile.TemporaryDirectory() as directory:
        files = [os.path.join(directory, name) for name in ("stdout", "stderr")]
        job = {"arguments": arguments, "files": files, "limit_s": limit_s,
               "environment": {**os.environ, **environment}}  # fmt: skip
        server = _server()
        assert server.stdin and server.stdout
        server.stdin.write(json.dumps(job) + "\n")
        server.stdin.flush()
        line = server.stdout.readline()
        assert line, f"the parent of all commands has ended: {server.poll()}"
        status = int(line)
        said = [Path(file).read_text() for file in files]
        if status == -signal.SIGALRM:
            raise subprocess.TimeoutExpired(arguments, limit_s, *said)
    return subprocess.CompletedProcess(arguments, status, *said)


@cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, __file__], cwd=REPO, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(REPO)},
    )  # fmt: skip
    atexit.register(server.kill)
    return server


def serve() -> None:
    # An import initialises no backend of jax, whose threads would not be in a forked process.
    importlib.import_module("waltzjax.train")
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if not child:
            become(job)
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def become(job: dict) -> None:
    """Run what the job says; how it ends is how the process does."""
    for number, file in enumerate(job["files"], start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(job["environment"])
    signal.alarm(job["limit_s"])
    kind, what, *rest = job["arguments"]
    sys.argv = [what if kind == "-m" else kind, *rest]
    status: str | int | None = 0
    try:
        if kind == "-m":
            sys.modules.pop(what, None)
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as error:
        status = error.code
    if isinstance(status, str):
        print(status, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    # At once: to take all modules apart would be most of a command's time.
    os._exit(status if isinstance(status, int) else int(status is not None))


if __name__ == "__main__":
    serve()
