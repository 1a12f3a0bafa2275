"""The parts that all commands share: flags, one line for a mistake, exit statuses."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import NoReturn

import jax
from absl import app, flags
from ml_collections import ConfigDict, config_flags

from waltzjax.config.check import only_read
from waltzjax.config.renamed import RENAMED
from waltzjax.support import console, processes
from waltzjax.support.errors import JudgeError, VerifierError
from waltzjax.support.signals import Stopped

EXIT_USAGE, EXIT_INTERRUPTED = 2, 130
M_MMAP_THRESHOLD, M_ARENA_MAX, LARGE_BLOCK = -3, -8, 2**22  # of glibc's mallopt; bytes
CONFIGS = Path(str(files("waltzjax") / "configs"))  # those of configs/, as they are installed
# Keys that decide which others are read.
DECIDE = ("stages", "sft.role", "model.base", "data.directory", "problems.train",
          "problems.validation", "lora.rank", "rl.kl_target")  # fmt: skip
# Errors that the user can mend, said in one message.
EXPECTED = (
    ValueError, OSError, FloatingPointError, MemoryError, ImportError, JudgeError, VerifierError,
)  # fmt: skip
FULL = tuple(os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT))
DISK_FULL = (
    "The disk is full, or your share of it: free some and give the same command again; what was "
    "saved before stays, and a run goes on from it."
)
OUT_OF_MEMORY = (
    "A device's memory is full: more config.rl.microbatches (sft's, dpo's), a smaller "
    "rollout.max_new_tokens, rollout.max_num_seqs or rollout.cache_tokens, :lora or more devices "
    "need less; waltzjax.plan says how much. Of a GPU's memory 0.92 is taken, unless "
    "XLA_CLIENT_MEM_FRACTION says otherwise."
)


def run(main: Callable[[], object], rest: Callable[[list[str]], object] | None = None) -> None:
    """Parse the command line, run ``main``, and exit: 0 done; 1 an error, said in one message;
    2 a command line that cannot be; 3 a rule or a request ended the run (of the monitor: a critical
    rule stands); 130 and 143 after Ctrl-C and SIGTERM. ``rest`` takes arguments that are no flags;
    without it there may be none."""

    _return_freed_memory()
    # jax takes three quarters by itself: two 8B agents' weights for generation beside an update's
    # parts of them leave less than that on 80 GB. 0.92 leaves room for NCCL and CUDA's context.
    if "XLA_PYTHON_CLIENT_MEM_FRACTION" not in os.environ:  # jax takes one of the two names
        os.environ.setdefault("XLA_CLIENT_MEM_FRACTION", "0.92")
    if "JAX_DEFAULT_MATMUL_PRECISION" not in os.environ:
        # float32 is what config.model.dtype says: GPUs would multiply it in TF32, with 10 bits.
        jax.config.update("jax_default_matmul_precision", "highest")

    def start(_: Sequence[str]) -> None:
        with contextlib.ExitStack() as stack:
            _run(main, stack)

    app.run(start, flags_parser=partial(_parse, rest=rest))


def _run(main: Callable[[], object], stack: contextlib.ExitStack) -> None:
    try:
        with _quiet_libraries():
            if _distributed():
                _join_others(stack)
            main()
    except Stopped as stopped:
        console.say(str(stopped))
        sys.exit(stopped.exit_status)
    except KeyboardInterrupt:
        console.say("interrupted; the same command goes on from what is saved")
        sys.exit(EXIT_INTERRUPTED)
    except EXPECTED as error:
        full = any(text in str(error) for text in FULL)
        _fail(f"error: {error}" + (f"\n{DISK_FULL}" if full else ""))
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            _fail(traceback.format_exc())
        _fail(f"error: {str(error).splitlines()[0]}\n{OUT_OF_MEMORY}")
    except Exception:
        _fail(traceback.format_exc())


def _return_freed_memory() -> None:
    """Have freed memory go back to the system, or to whoever asks next. glibc by itself comes to
    keep blocks of up to 32 MiB, and as arrays are aligned it hardly finds a use for them again;
    and a heap for each thread that compiles, which keeps what no other thread can use."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        return
    if "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        libc.mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)
    if "MALLOC_ARENA_MAX" not in os.environ:
        libc.mallopt(M_ARENA_MAX, 1)


def _fail(text: str) -> NoReturn:
    console.say(text, stream=sys.stderr)
    if _distributed():
        sys.stderr.flush()
        os._exit(1)  # at once: jax would wait for the others, who wait for this process
    sys.exit(1)


def define_processes() -> None:
    """The flags of a command that can run as several processes."""
    flags.DEFINE_bool(
        "distributed",
        False,
        "One of several processes of one run, on a file system they share; "
        "SLURM, Open MPI and Kubernetes say which, elsewhere the next three flags do.",
    )
    flags.DEFINE_string("coordinator", "", "HOST:PORT of process 0, any free port.")
    flags.DEFINE_integer("processes", 0, "How many processes the run has.")
    flags.DEFINE_integer("process", -1, "The number of this process, from 0.")


def chosen_config(reads: Callable[[ConfigDict], frozenset[str]]) -> ConfigDict:
    """--config with its overrides; ``reads`` says of whom a config's keys are read. Where an
    override decides that keys of the file are not read, of other stages say, these are back at
    their default; keys of the command line never are."""
    config = flags.FLAGS.config
    given = config_flags.get_override_values(flags.FLAGS["config"])
    return only_read(config, reads(config), keep=given) if given.keys() & {*DECIDE} else config


def run_directory(new: Callable[[str], Path]) -> Path:
    """--workdir, else ``new(NAME)``, NAME being the config's file and argument:
    configs/rlvr_naive.py:tiny is "rlvr_naive-tiny"."""
    if flags.FLAGS.workdir:
        return Path(flags.FLAGS.workdir)
    if _distributed():
        usage("--distributed needs --workdir: all processes must name the same directory")
    given = config_flags.get_config_filename(flags.FLAGS["config"])
    path, _, argument = given.partition(":")
    return new("-".join(filter(None, [Path(path).stem, argument])))


def _distributed() -> bool:
    return "distributed" in flags.FLAGS and flags.FLAGS.distributed


def _join_others(stack: contextlib.ExitStack) -> None:
    """Join the run; all but the process that writes are silent until ``stack`` is closed."""
    f = flags.FLAGS
    processes.join_run(f.coordinator, f.processes, f.process)
    if not processes.writes():
        stack.enter_context(_silence())


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def _parse(argv: Sequence[str], rest: Callable[[list[str]], object] | None = None) -> list[str]:
    """As absl does it, but a wrong key or value is one line: ml_collections raises on some."""
    argv = [_with_path(_underscored(argument)) for argument in argv]
    for argument in argv:
        key = argument.lstrip("-").partition("=")[0].removeprefix("config.")
        if argument.lstrip("-").startswith("config.") and key in RENAMED:
            usage(f"--config.{key}: there is no such key; it is config.{RENAMED[key]} now")
    try:
        others = flags.FLAGS(argv)
    except (SyntaxError, ImportError) as error:  # a config's file
        file = next((a for a in argv if a.startswith("--config=")), "--config")
        usage(f"{file}: {type(error).__name__}: {error}")
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        text = str(error.args[0] if error.args else error)
        if text[:1] in "\"'":  # a KeyError's repr
            text = text.strip("\"'").replace("\\n", " ").replace("\\'", "'")
        if text.isidentifier():
            text = f"there is no key {text!r}"
        lines = [line.strip() for line in text.splitlines() if line.strip()] or [repr(error)]
        problem = lines[-1] if "Traceback" in text else " ".join(lines)
        keys = [a for a in argv if a.startswith("--config.")]
        culprits = [a for a in keys if a.partition("=")[0].rpartition(".")[2] in text]
        usage(": ".join([*culprits[:1], problem]))
    if "distributed" in flags.FLAGS and not flags.FLAGS.distributed:
        for name in ("coordinator", "processes", "process"):
            if flags.FLAGS[name].present:
                usage(f"--{name} needs --distributed")
    if rest:
        rest(others[1:])
    elif len(others) > 1:
        usage(f"unexpected argument {others[1]!r}")
    return others


def _underscored(argument: str) -> str:
    """``--log-file=x`` as ``--log_file=x``, where that is the flag's name."""
    flag, given, value = argument.partition("=")
    name = flag.lstrip("-").replace("-", "_")
    return f"--{name}{given}{value}" if flag.startswith("--") and name in flags.FLAGS else argument


def _with_path(argument: str) -> str:
    """``--config=NAME``, with the path of the config of that name among ``CONFIGS`` where no file
    has that path: "stage2", "stage2.py" and "configs/stage2.py" are one."""
    flag, given, value = argument.partition("=")
    if flag.lstrip("-") != "config" or not given:
        return argument
    name, colon, variant = value.partition(":")
    path = Path(name)
    if path.exists() or path.parent not in (Path(), Path("configs")):
        return argument
    config_file = CONFIGS / path.with_suffix(".py").name
    if not config_file.exists():
        names = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.py")))
        usage(f"--config: no file {name!r}, and no config of that name; there are {names}")
    return f"{flag}={config_file}{colon}{variant}"


def usage(problem: str) -> None:
    console.say(f"error: {problem}\nTry --help.", stream=sys.stderr)
    sys.exit(EXIT_USAGE)


@contextlib.contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Keep libraries' routine chatter off the screen; their errors stay."""
    names = ("absl", "orbax", "jax", "transformers", "openai", "httpx", "httpx2")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    # While it is imported it warns that there is no PyTorch, which nothing here needs.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
