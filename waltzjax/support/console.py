"""The display while the program runs: drawn live on a terminal, else as plain lines."""

import math
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Self, TextIO

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

Stream = TextIO | None  # None: standard output
Clock = Callable[[], float]  # returns seconds
_live: list[Console] = []  # the console that holds a live display now: one at a time
_NUMERIC = re.compile(r"[-+−]?\d[\d.,]*(e[-+]?\d+)?( ?%)?|nan|-?inf|-")
# Model text may hold escape sequences, which could repaint the reader's terminal.
_CONTROL = {c: "\ufffd" for c in (*range(32), *range(127, 160)) if chr(c) not in "\n\t"}


@contextmanager
def _draw(item: RenderableType, stream: Stream, transient: bool) -> Iterator[bool]:
    """Draw `item` live where `stream` is a terminal that can redraw; yields whether it does."""
    console = Console(file=stream or sys.stdout, force_terminal=True, highlight=False)
    if _live or not console.file.isatty() or console.is_dumb_terminal:
        yield False
    else:
        with Live(item, console=console, transient=transient), ExitStack() as stack:
            _live.append(console)
            stack.callback(_live.pop)
            yield True


def _clock_text(seconds: float | None) -> str:
    """Seconds as m:ss or h:mm:ss, None as "-"."""
    minutes, secs = divmod(round(seconds or 0), 60)
    text = f"{minutes // 60}:{minutes % 60:02d}" if minutes >= 60 else f"{minutes}"
    return "-" if seconds is None else f"{text}:{secs:02d}"


def _value_text(value: object) -> str:
    """A value as one line: floats with four significant digits, None as "-"."""
    text = "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    return " ".join(text.translate(_CONTROL).split())


def say(text: str, *, stream: Stream = None) -> None:
    """Print `text` on `stream` (default: standard output), above a live bar if one is drawn."""
    if _live and stream in (None, _live[-1].file):
        _live[-1].print(Text(text.translate(_CONTROL)), soft_wrap=True)
    else:
        print(text.translate(_CONTROL), file=stream or sys.stdout, flush=True)


@contextmanager
def phase(text: str, *, stream: Stream = None, clock: Clock = time.monotonic) -> Iterator[None]:
    """Say that `text` ("preparing data") is under way, and at its end how many seconds it took."""
    start, end = clock(), "failed after "
    try:
        with _draw(Spinner("line", Text(f"{text} ...")), stream, transient=True) as drawn:
            if not drawn:
                say(f"{text} ...", stream=stream)
            yield
        end = ""
    finally:
        say(f"{text} ... {end}{clock() - start:.1f} s", stream=stream)


class Progress:
    """Progress of `total` units of work, as a context manager; `initial` of them, done before this
    process began, take no part in the ETA. `plain_every_s`: least seconds between plain lines."""

    def __init__(
        self,
        total: int,
        label: str,
        *,
        unit: str = "step",
        initial: int = 0,
        plain_every_s: float = 10.0,
        stream: Stream = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.total, self.label, self.unit, self._done = total, _value_text(label), unit, initial
        self._plain_every_s, self._stream, self._clock = plain_every_s, stream, clock
        self._start = self._at = clock()  # `_at`: when `done` last advanced
        self._anchor: tuple[float, int] | None = None  # (time, done) after the first advance
        self._printed = (-math.inf, "")  # (time, state) of the last plain line
        self._display, self._live, self._shown = _draw(self, stream, transient=False), False, ""

    def pace_s(self) -> float | None:
        """Mean seconds per unit without the first advance, which compiles; None before the 2nd."""
        units = self._done - self._anchor[1] if self._anchor else 0
        return (self._at - self._anchor[0]) / units if self._anchor and units else None

    def eta_s(self) -> float | None:
        """Seconds left, counting down between updates; None while not yet known."""
        pace, left = self.pace_s(), self.total - self._done
        if left <= 0 or pace is None:
            return 0.0 if left <= 0 else None
        return max(0.0, pace * left - (self._clock() - self._at))

    def update(self, done: int, **shown: float | str) -> None:
        """Report that `done` of `total` units are finished; `shown` are figures to print."""
        now = self._clock()
        if done > self._done:
            self._at, self._done, self._anchor = now, done, self._anchor or (now, done)
        self._shown = "  ".join(f"{k} {_value_text(v)}" for k, v in shown.items())
        if not self._live and (done >= self.total or now - self._printed[0] >= self._plain_every_s):
            self._print(now)

    def _texts(self) -> tuple[str, str]:
        pace, elapsed = self.pace_s(), self._clock() - self._start
        count = f"{self._done}/{self.total} ({100 * self._done / max(1, self.total):.0f} %)"
        times = f"elapsed {_clock_text(elapsed)}  eta {_clock_text(self.eta_s())}"
        return count, times + (f"  {pace:.3g} s/{self.unit}" if pace else "")

    def _print(self, now: float) -> None:
        count, times = self._texts()
        if self._printed[1] != count + self._shown:  # no line twice
            say(f"{self.label}  {count}  {times}  {self._shown}".rstrip(), stream=self._stream)
        self._printed = (now, count + self._shown)

    def __rich__(self) -> Group:
        count, times = self._texts()
        grid = Table.grid(padding=(0, 2), expand=True)
        bar = ProgressBar(total=max(1, self.total), completed=self._done)
        grid.add_row(Text(self.label), bar, Text(count))
        return Group(grid, Text(f"  {times}  {self._shown}", style="cyan"))

    def __enter__(self) -> Self:
        self._live = self._display.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._display.__exit__(None, None, None)  # a bar stays on screen in its last state
        if not self._live:
            self._print(self._clock())


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """An aligned text table under a `title` (may be ""), columns of numbers to the right."""
    body = [list(map(_value_text, row)) for row in rows]
    columns = list(zip(header, *body, strict=True))  # a row of another length is a ValueError
    widths = [max(map(cell_len, column)) for column in columns]  # some characters take two cells
    right = [bool(body) and all(map(_NUMERIC.fullmatch, column[1:])) for column in columns]
    lines = [title] if title else []
    for row in (header, ["-" * width for width in widths], *body):
        gaps = [" " * (w - cell_len(text)) for text, w in zip(row, widths, strict=True)]
        cells = zip(row, gaps, right, strict=True)
        lines.append("  ".join(g + t if r else t + g for t, g, r in cells).rstrip())
    return "\n".join(lines)
