"""A message: alerts of one run, as a subject, as text for a mail, as a few lines for a chat."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from waltzjax.monitor.alert import Alert, breach, number, one_line, place, sentence

MOST_IN_FULL = 4  # alerts with figures and plot; what is over these is summed up by rule
LAST_VALUES = 5
MOST_BARS = 40
LONGEST_CHAT = 1900  # characters; Discord refuses 2,000
TEST = "This is a test of waltzjax.monitor: no rule is broken."


class Raised(NamedTuple):
    """An alert and when it was raised, unix seconds."""

    when: float
    alert: Alert


class Message(NamedTuple):
    """What is sent to one destination at once: alerts in full, and those ``summed_up``."""

    in_full: tuple[Raised, ...]
    summed_up: tuple[Raised, ...]
    host: str
    test: bool = False


def compose(raised: Sequence[Raised], host: str, *, test: bool = False) -> Message:
    """A message of ``raised``, at least one alert: critical and late ones are told in full."""
    order = sorted(raised, key=lambda r: (not r.alert.critical, -r.when))
    return Message(tuple(order[:MOST_IN_FULL]), tuple(order[MOST_IN_FULL:]), host, test)


def subject(message: Message) -> str:
    more = len(message.in_full) + len(message.summed_up) - 1
    text = sentence(message.in_full[0].alert) + (f" and {more} more" if more else "")
    return f"[waltzjax] {'test: ' if message.test else ''}{text}"


def facts(raised: Raised, host: str) -> list[tuple[str, str]]:
    """Name and value of each fact of an alert, in the order in which they are shown."""
    alert, rule = raised.alert, raised.alert.rule + (", critical" if raised.alert.critical else "")
    named = {
        "run": alert.run,
        "host": host,
        "when": when_text(raised.when),
        "where": place(alert),
        "rule": f"{rule}: {alert.metric} {breach(alert)}",
        "figure": f"{alert.metric} {number(alert.value)}",
        "last values": ", ".join(
            f"{number(v)} ({step:,})" for step, v in alert.history[-LAST_VALUES:]
        ),
    }
    return [(name, one_line(text)) for name, text in named.items() if text]


def plain_text(message: Message) -> str:
    """The text of a mail; each alert's facts below its sentence."""
    lines = [TEST, ""] if message.test else []
    for raised in message.in_full:
        named = [*facts(raised, message.host), ("", sparkline(raised.alert.history))]
        lines += [sentence(raised.alert), "", *(f"  {n:12} {t}".rstrip() for n, t in named), ""]
    return "\n".join([*lines, *sums(message)]).rstrip() + "\n"


def chat_text(message: Message) -> str:
    """At most 1,900 characters in three lines an alert, without markup but for the backticks that
    Slack, Mattermost and Discord agree on."""
    lines = [TEST] if message.test else []
    for when, alert in message.in_full:
        lines.append(sentence(alert))
        if alert.history:
            drawn = alert.history[-MOST_BARS:]
            (first, start), (last, end) = drawn[0], drawn[-1]
            ends = f"{number(start)} at step {first:,} … {number(end)} at step {last:,}"
            lines.append(f"`{sparkline(alert.history)}` {ends}")
        lines += [f"{when_text(when)} · host {one_line(message.host)}", ""]
    text = "\n".join([*lines, *sums(message)]).rstrip()
    return text if len(text) <= LONGEST_CHAT else text[: LONGEST_CHAT - 1] + "…"


def sums(message: Message) -> list[str]:
    """One line a rule on the alerts that are not told in full."""
    rules: dict[str, list[Raised]] = defaultdict(list)
    for raised in message.summed_up:
        rules[raised.alert.rule].append(raised)
    lines = []
    for rule, its in rules.items():
        when, alert = max(its, key=lambda r: r.when)
        times = "once" if len(its) == 1 else f"{len(its)} times, last"
        figure = f"{alert.metric} {number(alert.value)} at {place(alert)}"
        lines.append(one_line(f"also rule {rule}: {times} {when_text(when)}, {figure}"))
    return lines


def sparkline(history: Sequence[tuple[int, float]]) -> str:
    """One bar a value, of the last forty, from the lowest to the highest; "x" is not finite."""
    values = [value for _, value in history[-MOST_BARS:]]
    finite = [value for value in values if math.isfinite(value)]
    low, bars = min(finite, default=0.0), "▁▂▃▄▅▆▇█"
    span = max(finite, default=0.0) - low
    heights = [(v - low) / span if span else 0.5 for v in finite]
    drawn = iter([bars[min(7, int(8 * height))] for height in heights])
    return "".join(next(drawn) if math.isfinite(v) else "x" for v in values)


def when_text(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(when))
