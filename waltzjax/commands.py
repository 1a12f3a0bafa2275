"""What all commands share: flags, one line for a mistake, exit statuses."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator, Sequence

from absl import app, flags

from waltzjax import console
from waltzjax.interrupts import Stopped

EXIT_USAGE, EXIT_INTERRUPTED = 2, 130


def run(main: Callable[[], object]) -> None:
    """Parse the command line, run ``main``, and exit: 0 done; 1 an error, said in one message;
    2 a command line that cannot be; 130 and 143 after Ctrl-C and SIGTERM."""

    def start(_: Sequence[str]) -> None:
        try:
            with _quiet_libraries():
                main()
        except Stopped as stopped:
            console.say(str(stopped))
            sys.exit(stopped.exit_status)
        except KeyboardInterrupt:
            console.say("interrupted; the same command goes on from what is saved")
            sys.exit(EXIT_INTERRUPTED)
        except (ValueError, OSError, FloatingPointError) as error:
            sys.exit(f"error: {error}")

    app.run(start, flags_parser=_parse)


def _parse(argv: Sequence[str]) -> list[str]:
    """As absl does it, but a wrong key or value is one line: ml_collections raises on some."""
    try:
        rest = flags.FLAGS(argv)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        text = str(error.args[0] if error.args else error)
        text = text.strip("\"'").replace("\\n", " ").replace("\\'", "'")  # of a KeyError: its repr
        lines = [line.strip() for line in text.splitlines() if line.strip()] or [repr(error)]
        problem = lines[-1] if "Traceback" in text else " ".join(lines)
        keys = [a for a in argv if a.startswith("--config.")]
        culprits = [a for a in keys if a.partition("=")[0].rpartition(".")[2] in text]
        usage(": ".join([*culprits[:1], problem]))
    if len(rest) > 1:
        usage(f"unexpected argument {rest[1]!r}")
    return rest


def usage(problem: str) -> None:
    console.say(f"error: {problem}\nTry --help.", stream=sys.stderr)
    sys.exit(EXIT_USAGE)


@contextlib.contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Keep libraries' routine chatter off the screen; their errors stay."""
    loggers = [logging.getLogger(name) for name in ("absl", "orbax", "jax", "transformers")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
