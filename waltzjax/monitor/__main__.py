"""Monitor: how runs stand, what is wrong with them, when they will be done; live, or once.

    python -m waltzjax.monitor --workdir=runs/demo [runs/other ...]
    python -m waltzjax.monitor --workdir=runs/demo --once        # for cron
    python -m waltzjax.monitor --workdir=runs/demo --serve=8080  # its page too, for a browser here
    python -m waltzjax.monitor --log_file=train.log --rule="kl > 0.1 critical"
    python -m waltzjax.monitor --alert=mailto:me@example.org --test_alert

A check reads what a run has written since the last one and judges it by the run's config.monitor.
It alerts once for each episode of a rule (metrics/episodes.py says when one begins and ends),
replaces WORKDIR/monitor/status.json and adds to WORKDIR/monitor/alerts.jsonl. Exit status: 0; 3
where a critical rule stands in one of the runs; 2 for a command line that cannot be, such as a
directory that is not there. A run that has not begun is no fault.

A plain log (--log_file) may have lines with figures as key=value or "key: value" (Step 120/1000 |
loss: 0.53 | ASR: 12.5%), dicts ({'loss': 0.53}), and JSON objects. A line's step is step,
global_step, iteration, iter or update, else a progress bar's count (| 120/1000 [), else the number
of the line among those with figures. A date with time (2026-11-30 12:00:05) is when the line was
written. The rules judge loss, kl, dir, asr, orr and gpu_util; asr and orr without % are per cent
once one of them was above 1, else shares. status.json and alerts.jsonl go to LOG.watch/monitor.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from absl import flags
from rich.console import Console
from rich.live import Live

from waltzjax.monitor import send, view, watch
from waltzjax.monitor.desk import Desk
from waltzjax.monitor.sources import Log, RunDirectory, Source
from waltzjax.monitor.watch import Status, Watch
from waltzjax.run import cli
from waltzjax.support import console
from waltzjax.support.signals import EXIT_RULE

LIVE_S, PLAIN_S = 10.0, 300.0  # seconds between checks, on a terminal and elsewhere
_more: list[str] = []  # directories that are given without a flag


def run(desk: Desk, interval: float, once: bool, screen: Console, page: str = "") -> bool:
    """Check until all runs are finished or Ctrl-C, or once; where a ``page`` is served, until
    Ctrl-C; returns whether a critical rule stands in one of them."""
    shown: list[tuple[Watch, Status, str]] = []
    drawn = screen.is_terminal and not screen.is_dumb_terminal and not once
    with ExitStack() as stack:
        stack.callback(desk.close)
        picture = stack.enter_context(Live(console=screen, auto_refresh=False)) if drawn else None
        say: Callable[[str], None] = console.say
        if picture:
            say = partial(picture.console.print, markup=False)
        if page:
            say(f"{page} is the run's page; Ctrl-C ends")
        try:
            while True:
                shown = desk.check(say)
                if picture:
                    picture.update(view.live(shown), refresh=True)
                else:
                    for _, status, note in shown:
                        console.say("  ".join(filter(None, [view.plain(status), note])))
                finished = all(status.state == watch.FINISHED for _, status, _ in shown)
                if once or (finished and not page):
                    break
                time.sleep(interval)
        except KeyboardInterrupt:
            pass
    return any(status.critical for _, status, _ in shown)


def sources() -> list[Source]:
    """What the command line names; a wrong name ends the program with status 2."""
    f = flags.FLAGS
    if not f.workdir and not _more and not f.log_file:
        cli.usage("--workdir: name a run's directory, or a log with --log_file")
    if _more and not f.workdir:
        cli.usage(f"unexpected argument {_more[0]!r}; directories come after --workdir=DIR")
    directories = [Path(d) for d in (*f.workdir, *_more)]
    logs = [Path(log) for log in f.log_file]
    for path in directories:
        if not path.is_dir():
            cli.usage(f"--workdir: no such directory: {path}")
    for path in logs:
        if not path.is_file():
            cli.usage(f"--log_file: no such file: {path}")
    if logs and f.stop_on:
        cli.usage("--stop_on: a plain log has no trainer that could be asked; leave one of the two")
    if f.serve is not None and (logs or f.once or len(directories) > 1):
        cli.usage("--serve: shows one run while it is watched; give one --workdir, and no --once")
    if f.interval is not None and f.interval <= 0:
        cli.usage(f"--interval: got {f.interval:g}, allowed is > 0")
    return [*map(RunDirectory, directories), *(Log(path, f.total_steps) for path in logs)]


def main() -> None:
    f = flags.FLAGS
    try:
        sender = send.make_sender(f.alert)
        if f.test_alert:
            sys.exit(send.send_test(sender))
        runs = sources()
        desk = Desk(runs, f.rule, f.stop_on, sender, f.once)
    except ValueError as error:
        cli.usage(str(error))
    screen = Console(highlight=False)
    interval = f.interval or (LIVE_S if screen.is_terminal else PLAIN_S)
    with ExitStack() as stack:
        page = ""
        if f.serve is not None:
            from waltzjax.monitor.serve import serving  # not on import: matplotlib and jinja2

            page = stack.enter_context(serving(runs[0].path, f.serve))
        critical = run(desk, interval, f.once, screen, page)
    if critical:
        sys.exit(EXIT_RULE)


if __name__ == "__main__":
    flags.DEFINE_multi_string(
        "workdir", [], "Directory of a run; more may follow as further arguments."
    )
    flags.DEFINE_multi_string("log_file", [], "A trainer's plain log, instead of a directory.")
    flags.DEFINE_bool("once", False, "Check once and exit: 3 where a critical rule stands, else 0.")
    flags.DEFINE_float(
        "interval", None, f"Seconds between checks; {LIVE_S:g} on a terminal, else {PLAIN_S:g}."
    )
    flags.DEFINE_multi_string(
        "rule",
        [],
        "A rule more, '[NAME:] METRIC > NUMBER [critical]' or with <; it replaces one of its name.",
    )
    flags.DEFINE_list(
        "stop_on",
        [],
        "Rules, between commas, at whose alert the trainer is asked to write a checkpoint and end.",
    )
    flags.DEFINE_integer("total_steps", 0, "How many steps a log's run has, if it does not say.", 0)
    flags.DEFINE_integer(
        "serve",
        None,
        "Show the run's page on http://127.0.0.1:PORT/ too, until Ctrl-C; 0: any "
        "port that is free.",
        0,
        65535,
    )
    flags.DEFINE_multi_string(
        "alert",
        [],
        "Where alerts go; may be given several times. mailto:NAME@HOST: by e-mail, through the "
        "server in the environment variable WALTZJAX_SMTP_URL (smtp://HOST, smtps://HOST), with "
        "the login in WALTZJAX_SMTP_USER and WALTZJAX_SMTP_PASSWORD. env:VARIABLE: to the URL in "
        "that environment variable: https://... is a webhook as Slack's, Mattermost's or "
        "Discord's (with /slack at its end); others, ntfy://... or tgram://... say, are apprise's "
        "(the extra alerts). URLs and passwords are never given on the command line.",
    )
    flags.DEFINE_bool("test_alert", False, "Send a test message to each --alert, then exit.")
    flags.adopt_module_key_flags(send)  # --help shows them
    cli.run(main, rest=_more.extend)
