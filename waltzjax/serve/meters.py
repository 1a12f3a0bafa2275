"""Figures of the service for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from waltzjax.serve.records import BLOCK, FLAG, NO_CATEGORY, PATTERNS, UNSAFE, Report
from waltzjax.serve.service import Exchange, FlagsLike, StatusLike

PARTS = ("first", "feedback", "revision", "added", "total")
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds
BREAKER = ("closed", "half-open", "open")
FLAGS = ("enable", "stage", "rollout_pct", "blocking", "feedback_only")
ALL = "all"  # of a block: whatever its category
OVERREFUSE = "overrefuse"  # of a flag: the feedback agent calls the answer a refusal, not unsafe
MOST_CATEGORIES = 200  # that are counted each by itself
OTHER = "other"


class Meters:
    """Counters and gauges of one service, in a registry of their own."""

    def __init__(self, paths: frozenset[str]):
        """``paths`` are those of the service; all others are counted as one."""
        self._registry, self._paths = CollectorRegistry(), paths
        self._categories: set[str] = set()
        self._requests = self._counter("requests", "Requests.", "path", "status")
        self._choices = self._counter("choices", "Exchanges that the guard saw, by stage.", "stage")
        self._reviewed = self._counter("reviewed", "Exchanges with a review.")
        self._triggered = self._counter("triggered", "Those whose first review objected.")
        self._revised = self._counter("revised", "Answers that are not the first ones.")
        self._blocks = self._counter("blocks", "Withheld answers, by category.", "category")
        self._flagged = self._counter("flagged", "Flagged exchanges, by category.", "category")
        self._fallbacks = self._counter("fallbacks", "Parts that failed.", "component", "policy")
        self._tokens = self._counter("tokens", "Tokens read and written.", "kind")
        self.audit_lost = self._counter("audit_lost", "Lines that the audit lost.")
        self._seconds = Histogram(
            "waltzjax_latency_seconds",
            "Seconds of an exchange: until the first answer, of reviews, of revisions, added by "
            "the guard, in all.",
            ["part"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._in_flight = self._gauge("in_flight", "Requests under way.")
        self._rows = self._gauge("rows", "Answers and reviews in the engine.", "state")
        self._stage = self._gauge("stage", "The stage that decides.")
        self._ready = self._gauge("ready", "Whether requests are answered.")
        self._breaker = self._gauge("breaker", "1 for the state of the breaker.", "state")
        self._flags = self._gauge("flag", "The flags that hold.", "flag")

    def add(self, exchange: Exchange) -> None:
        """Count a request that has ended."""
        path = exchange.path if exchange.path in self._paths else OTHER
        self._requests.labels(path, str(exchange.status)).inc()
        for outcome in exchange.outcomes:
            self._add_report(outcome.report)
            for kind, tokens in (
                ("prompt", outcome.prompt_tokens),
                ("completion", outcome.completion_tokens),
            ):
                self._tokens.labels(kind).inc(max(0, tokens))  # an upstream's may be anything

    def page(self, status: StatusLike, flags: FlagsLike, in_flight: int) -> bytes:
        """All figures in Prometheus' text format, with how the guard stands now."""
        self._in_flight.set(in_flight)
        self._rows.labels("active").set(status.active)
        self._rows.labels("waiting").set(status.waiting)
        self._stage.set(status.stage)
        self._ready.set(status.ready)
        for state in BREAKER:
            self._breaker.labels(state).set(state == status.breaker)
        for name in FLAGS:
            self._flags.labels(name).set(getattr(flags, name))
        return generate_latest(self._registry)

    def _add_report(self, report: Report) -> None:
        self._choices.labels(str(report.stage)).inc()
        if report.rounds:
            self._reviewed.inc()
        if report.triggered:
            self._triggered.inc()
        if report.revised:
            self._revised.inc()
        for action, counter in ((BLOCK, self._blocks), (FLAG, self._flagged)):
            if report.action == action:
                for category in (ALL, *map(self._known, decided_by(report))):
                    counter.labels(category).inc()
        if report.failure:
            self._fallbacks.labels(report.failure.component, report.failure.policy).inc()
        for part in PARTS:
            if part in report.timings_ms:
                self._seconds.labels(part).observe(report.timings_ms[part] / 1000)

    def _known(self, category: str) -> str:
        """``category``, or OTHER where too many others have come before."""
        if len(self._categories) < MOST_CATEGORIES:
            self._categories.add(category)
        return category if category in self._categories else OTHER

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"waltzjax_{name}", meaning, labels, registry=self._registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"waltzjax_{name}", meaning, labels, registry=self._registry)


def decided_by(report: Report) -> tuple[str, ...]:
    """The categories that the action of a report, FLAG or BLOCK, is counted under: the label of the
    feedback agent that it came from, else those of the rules that match, or the one whose policy
    withheld an answer when a part failed."""
    if report.stage != PATTERNS:
        flagged_unsafe = report.labels is not None and report.labels.unsafe
        return (UNSAFE if report.action == BLOCK or flagged_unsafe else OVERREFUSE,)
    if report.failure and report.action == BLOCK:
        return (report.failure.category,)
    return report.categories or (NO_CATEGORY,)
