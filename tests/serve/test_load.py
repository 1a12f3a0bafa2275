"""Clients that load a service: how they wait, what they count, and what a soak calls wrong."""

import asyncio
import itertools
import json
import subprocess
import sys
import time
from collections import Counter

import httpx
import numpy as np
import pytest
import serve_figures
import serve_load
import serve_measure
import soak_checks
import soak_questions

REPORT = {"stage": 2, "triggered": False, "revised": False, "action": "pass", "failure": None}
FAILED = {"part": "feedback", "policy": "open", "category": "default"}
SAFE, UNSAFE = ({"unsafe": unsafe, "overrefuse": False} for unsafe in (False, True))


def outcome(prompt, total_s, *, fault="", first_s=None, report=None, tokens=4):
    return serve_load.Outcome(prompt, first_s, total_s, fault, "text", tokens, report)


def test_a_closed_loop_has_as_many_under_way_as_clients():
    now, most, asked = 0, 0, []

    async def send(prompt, begun):
        nonlocal now, most
        now, asked[:] = now + 1, [*asked, prompt]
        most = max(most, now)
        await asyncio.sleep(0.002 if prompt % 2 else 0.0)
        now -= 1
        return outcome(prompt, 0.0)

    outcomes = asyncio.run(serve_load.closed_loop(send, range(20), 3))
    assert most == 3 and asked == [*range(20)] and len(outcomes) == 20


def test_latency_counts_from_the_scheduled_arrival_though_the_client_is_late():
    dues = []

    async def send(prompt, begun):
        dues.append(begun)
        time.sleep(0.005)  # nothing else can be sent meanwhile
        return outcome(prompt, time.perf_counter() - begun)

    outcomes = asyncio.run(serve_load.open_loop(send, "abcdefghij", 1000.0, 3))
    assert np.diff(sorted(dues)) == pytest.approx(np.diff(serve_load.arrivals(10, 1000.0, 3)))
    # Ten arrive within about 10 ms and take 50 ms one after the other.
    assert max(o.total_s for o in outcomes) > 0.025


def test_arrivals_are_a_poisson_process():
    gaps = np.diff(serve_load.arrivals(20_000, 50.0, 0))
    assert gaps.mean() == pytest.approx(1 / 50, rel=0.03)
    assert gaps.std() == pytest.approx(1 / 50, rel=0.03)  # regular arrivals have none
    assert np.corrcoef(gaps[1:], gaps[:-1])[0, 1] == pytest.approx(0, abs=0.03)


def test_quantiles_are_in_milliseconds():
    got = serve_load.quantiles([i / 1000 for i in range(101)])
    assert got == {"p50": 50, "p95": 95, "p99": 99, "mean": 50}
    assert serve_load.quantiles([]) is None


def chunks(*events):
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"


END = {"choices": [{"delta": {}, "finish_reason": "stop"}]}


def streamed(page):
    """What a client makes of a stream that began a second before."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200, text=page))

    async def ask():
        async with serve_load.client(1, transport=transport) as http:
            return await serve_load.ask(http, "http://e/v1", "m", "when?", time.perf_counter() - 1)

    return asyncio.run(ask())


def test_a_stream_is_put_together():
    page = chunks(
        {"choices": [{"delta": {"role": "assistant", "content": ""}}]},
        {"choices": [{"delta": {"content": "to"}}]},
        {"choices": [{"delta": {"content": "day"}}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}], "waltzjax": REPORT},
        {"choices": [], "usage": {"completion_tokens": 7}},
    )
    got = streamed(f": ping\n\n{page}")
    assert (got.text, got.tokens, got.report, got.fault) == ("today", 7, REPORT, "")
    assert 1 < got.first_s <= got.total_s < 2  # since the arrival, a second before


TEXT = {"choices": [{"delta": {"content": "to"}}]}
ERROR = {"error": {"code": "deadline_exceeded", "message": "late"}}


@pytest.mark.parametrize(
    "page, fault",
    [
        (chunks(ERROR), "deadline_exceeded"),
        (chunks(TEXT, ERROR), "deadline_exceeded"),
        (chunks(TEXT, END, ERROR), "deadline_exceeded"),
        (chunks(ERROR, END), "deadline_exceeded"),
        (chunks({"error": {"code": None, "message": "late"}}), "error"),
        (chunks(TEXT), serve_load.NO_END),
        (chunks(TEXT, END).removesuffix("data: [DONE]\n\n"), serve_load.CUT_OFF),
        (chunks(TEXT, END)[:-60], serve_load.CUT_OFF),
        ("", serve_load.CUT_OFF),
        (chunks(TEXT, END), ""),
    ],
)
def test_a_stream_that_does_not_end_well_is_no_answer(page, fault):
    got = streamed(page)
    assert got.fault == fault
    assert serve_measure.cell([serve_measure.Turn([got], 1.0)])["n"] == (not fault)


def test_figures_of_an_arm_leave_out_what_was_turned_away():
    report = {"triggered": True, "timings_ms": {"added": 30.0}}
    turns = [
        serve_measure.Turn(
            [outcome("a", 0.1, first_s=0.05), outcome("b", 0.3, report=report)], 2.0
        ),
        serve_measure.Turn([outcome("a", 0.1), outcome("b", 9.0, fault="429")], 4.0),
    ]
    got = serve_measure.cell(turns)
    assert got["requests_per_s"] == [1.0, 0.25] and got["tokens_per_s"] == [4, 1]
    assert got["faults"] == {"429": 1} and got["n"] == 3 and got["distinct_prompts"] == 2
    assert got["first_ms"]["p99"] == 50 and got["added_ms"]["p50"] == 30
    assert got["total_ms"]["mean"] == pytest.approx(500 / 3, abs=0.01)


def test_an_arm_is_compared_with_the_first_round_by_round():
    def turns(seconds, totals):
        return [
            serve_measure.Turn([outcome("a", t), outcome("b", 2 * t)], s)
            for s, t in zip(seconds, totals, strict=True)
        ]

    got = serve_measure.against(
        turns([1, 4, 1], [0.1, 0.4, 0.1]), turns([2, 5, 1], [0.2, 0.5, 0.1])
    )
    assert got["throughput_ratio"] == 0.8  # of 1/2, 4/5 and 1
    assert got["throughput_ratio_range"] == [0.5, 1.0]
    # Means of 100, 400, 100, 200, 800, 200 ms and of 200, 500, 100, 400, 1000, 200 ms.
    assert got["outside_added_ms"]["mean"] == pytest.approx(100, abs=0.1)
    assert got["outside_added_ms"]["p50"] == pytest.approx(100)  # 200 to 300 ms


def test_an_arm_without_an_answer_is_compared_with_nothing():
    refused = [serve_measure.Turn([outcome("a", 0.1, fault="429")], 1.0)]
    well = [serve_measure.Turn([outcome("a", 0.1)], 1.0)]
    assert serve_measure.against(refused, well) == {} == serve_measure.against(well, refused)


def test_answers_are_told_apart_by_what_their_reports_say():
    failed = REPORT | {"failure": FAILED}
    outcomes = [
        outcome("a", 0.1, report=REPORT),
        outcome("b", 0.2, report=REPORT | {"triggered": True}),
        outcome("c", 0.3, report=failed),
        outcome("d", 0.4, report=REPORT | {"triggered": True}, fault="cut off"),
    ]
    sets = serve_measure.split([serve_measure.Turn(outcomes, 1.0)])
    assert {name: [o.prompt for o in those] for name, those in sets.items()} == {
        "untriggered": ["a"],
        "triggered": ["b"],
    }
    assert serve_measure.cell([serve_measure.Turn(outcomes, 1.0)])["unreviewed"] == 1
    assert serve_measure.split([serve_measure.Turn(outcomes[:1], 1.0)]) == {}


def test_no_prompt_is_sent_twice():
    sent = []

    async def turn(arm, load, prompts, seed):
        sent.extend(prompts)
        return serve_measure.Turn([outcome(p, 0.1) for p in prompts], 1.0)

    arms = [serve_measure.Arm(name, "", "", lambda: None) for name in ("off", "revise")]
    loads = [serve_measure.Load(1), serve_measure.Load(0, 5.0)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serve_measure, "run_turn", turn)
        records = serve_measure.measure(arms, loads, iter(range(99)), 3, 2, 0)
    assert sorted(sent) == [*range(24)]
    assert [r["distinct_prompts"] for r in records] == [6] * 4


def measured(arm, prompts, clients, total, **more):
    times = {"p50": total, "p95": 2 * total, "p99": 2.5 * total, "mean": total}
    return {
        "load": f"{clients} clients", "clients": clients, "prompts": prompts, "arm": arm, "n": 1200,
        "first_ms": None, "total_ms": times, "added_ms": None, **more,
    }  # fmt: skip


def test_a_row_has_quantiles_in_milliseconds_and_the_median_of_the_rounds():
    whole = {"requests_per_s": [9.0, 4.0, 8.0], "unreviewed": 2, "faults": {}}
    failed = {**whole, "faults": {"429": 3, "cut off": 1}}
    off = measured("off", "all", 8, 4.44, **whole)
    on = measured("revise", "all", 8, 44.4, throughput_ratio=0.916, **failed)
    part = measured("revise", "triggered", 8, 444.0)
    n, wrong = "1,200", "3 × 429, 1 × cut off"
    assert serve_figures.rows([off, on, part]) == [
        ["8 clients", "off", "all", n, "0", "2", "", "4.4, 8.9, 11", "", "", "8.0", ""],
        ["8 clients", "revise", "all", n, wrong, "2", "", "44, 89, 111", "", "", "8.0", "0.92"],
        ["8 clients", "revise", "triggered", n, "", "", "", "444, 888, 1110", "", "", "", ""],
    ]


def test_a_picture_has_a_line_for_each_arm_and_needs_no_page(tmp_path):
    records = [
        measured(arm, prompts, clients, 9.0 * clients)
        for arm in ("off", "revise")
        for prompts in ("all", "untriggered", "triggered")[: 1 if arm == "off" else 3]
        for clients in (1, 8)
    ]
    serve_figures.draw([*records, measured("off", "all", 0, 5.0)], tmp_path / "a.svg")
    svg = (tmp_path / "a.svg").read_text()
    assert "var(--" not in svg and len(svg) < 60_000
    labels = [f"{arm}, {p}, {q}" for arm, p in (("off", "all"), ("revise", "all"),
              ("revise", "triggered")) for q in ("p50", "p95")]  # fmt: skip
    assert all(label in svg for label in labels)
    assert "untriggered" not in svg  # nearly all of "all"


def test_a_soak_knows_whose_answer_it_is():
    first, second = itertools.islice(soak_questions.scripted_questions(), 1, 3)
    mine, theirs = (f"answer-{q.text.split()[0]} word0" for q in (first, second))
    assert first.wrong(mine, REPORT) == "" == second.wrong(theirs, REPORT)
    assert "another user's answer" in first.wrong(theirs, REPORT)
    assert "another user's answer" in first.wrong(f"{mine} {theirs}", REPORT)
    assert first.wrong("word0", REPORT)
    assert first.wrong(mine, REPORT | {"triggered": True})  # another's review
    assert first.wrong(mine, REPORT | {"revised": True})
    assert first.wrong(soak_questions.REFUSAL, REPORT | {"action": "block"}) == ""
    assert first.wrong(mine, REPORT | {"action": "block"})


OBJECTION = {"triggered": True, "labels": UNSAFE}


@pytest.mark.parametrize(
    "number, report, wrong",
    [
        (1, REPORT | {"labels": SAFE}, ""),
        (1, REPORT | {"labels": UNSAFE}, "not its own"),
        (1, REPORT | OBJECTION, "not its own"),
        (1, REPORT | OBJECTION | {"stage": 1}, "not its own"),
        (0, REPORT | OBJECTION | {"action": "flag"}, ""),
        (0, REPORT | OBJECTION, "neither revised nor flagged"),
        (0, REPORT | {"labels": SAFE}, "not its own"),  # another exchange's review
        (0, REPORT | OBJECTION | {"labels": SAFE, "action": "flag"}, "not its own"),
        (0, REPORT | {"stage": 0}, ""),
        (0, REPORT | {"stage": 1}, ""),
        (0, REPORT | {"failure": FAILED}, ""),
    ],
)
def test_a_soak_knows_whose_review_it_is(number, report, wrong):
    question = next(itertools.islice(soak_questions.scripted_questions(), number, None))
    got = question.wrong(f"answer-{question.text.split()[0]} word0", report)
    assert bool(got) is bool(wrong) and wrong in got


@pytest.mark.parametrize(
    "kind, seen, wrong",
    [
        ("plain", soak_checks.Seen(200), False),
        ("plain", soak_checks.Seen(429, "1"), False),
        ("plain", soak_checks.Seen(503, "1"), False),
        ("plain", soak_checks.Seen(503), True),
        ("plain", soak_checks.Seen(500), True),
        ("plain", soak_checks.Seen(soak_checks.NO_ANSWER, fault="ReadError"), True),
        ("oversize", soak_checks.Seen(413), False),
        ("oversize", soak_checks.Seen(200), True),
        ("bad_key", soak_checks.Seen(200), True),
        ("leave", soak_checks.Seen(soak_checks.LEFT), False),
        ("plain", soak_checks.Seen(soak_checks.LEFT), True),
    ],
)
def test_what_a_soak_calls_a_fault(kind, seen, wrong):
    tally = soak_checks.Tally()
    tally.add(kind, seen, 0.1)
    assert bool(tally.faults) is wrong and not tally.wrong


def passed(rows):
    """What of a soak's verdict holds, by the first word of each check."""
    return {str(row[0]).split()[0]: row[-1] for row in rows}


def test_a_soak_without_enough_answers_fails():
    tally, well = soak_checks.Tally(), soak_checks.Seen(200, report=REPORT)
    assert not passed(soak_checks.seen_by_clients(tally))["questions"]
    for _ in range(10):
        tally.add("plain", soak_checks.Seen(503, "1"), 0.1)
        tally.add("malformed", soak_checks.Seen(400), 0.1)
    for number in range(1, 11):
        tally.add("streamed", well, 0.1)
        assert passed(soak_checks.seen_by_clients(tally))["questions"] is (number == 10)


def test_a_soak_wants_the_flags_of_each_turn_in_force():
    tally = soak_checks.Tally()
    for in_force, holds in ((None, False), (True, True), (False, False)):
        tally.flags.update([in_force] if in_force is not None else [])
        assert passed(soak_checks.seen_by_clients(tally))["flags"] is holds


@pytest.mark.parametrize("status", [200, 400, 503, 500])
@pytest.mark.parametrize("seconds", [0.5, 5.5])
def test_a_soak_wants_patterns_bombs_read_in_time(status, seconds):
    tally = soak_checks.Tally()
    tally.add("bomb", soak_checks.Seen(status, "1"), seconds)
    holds = passed(soak_checks.seen_by_clients(tally))["slowest"]
    assert holds is (status in (200, 400) and seconds < 5)


def test_a_soak_wants_each_outcome_once():
    reports = [
        REPORT | {"stage": 0},
        REPORT | {"stage": 1},
        REPORT | {"triggered": True, "revised": True},
        REPORT | {"triggered": True, "action": "flag"},
        REPORT | {"triggered": True, "action": "block"},
        REPORT | {"failure": FAILED},
        REPORT | {"failure": FAILED | {"policy": "closed"}, "action": "block"},
    ]
    for left_out in range(len(reports) + 1):
        tally = soak_checks.Tally()
        for report in (*reports[:left_out], *reports[left_out + 1 :]):
            tally.add("plain", soak_checks.Seen(200, report=report), 0.1)
        holds = passed(soak_checks.of_scripted_agents(tally))["outcomes"]
        assert holds is (left_out == len(reports))


@pytest.mark.parametrize(
    "states, holds",
    [
        ([], False),
        (["closed"], False),
        (["closed", "open"], False),
        (["closed", "open", "half-open"], False),
        (["closed", "open", "half-open", "closed"], True),
        (["closed", "open", "closed", "open"], True),
    ],
)
def test_a_soak_wants_the_breaker_to_open_and_close_again(states, holds):
    assert soak_checks.recovered(states) is holds


@pytest.mark.parametrize(
    "page, left",
    [
        ('waltzjax_in_flight 0.0\nwaltzjax_rows{state="active"} 0.0\n', "0"),
        ('waltzjax_in_flight 1.0\nwaltzjax_rows{state="active"} 2.0\n', "3"),
        ("waltzjax_in_flight 0.0\n", "no gauge rows"),
        ("nothing here", "no gauge in_flight, rows"),
    ],
)
def test_a_service_without_gauges_is_not_idle(page, left, monkeypatch):
    monkeypatch.setattr(soak_checks, "IDLE_S", 0.0)
    transport = httpx.MockTransport(lambda _: httpx.Response(200, text=page))

    async def look():
        async with serve_load.client(1, transport=transport) as http:
            return await soak_checks.idle(http, "http://e/v1")

    assert asyncio.run(look()) == left


def stop_with(statuses, under_way, exit_status=143):
    """The check of a service's end: the statuses of its last requests."""
    child = f"import signal, sys\nsignal.signal(15, lambda *_: sys.exit({exit_status}))\n"
    command = [sys.executable, "-c", f"{child}print(flush=True)\nsignal.pause()"]
    popen = subprocess.Popen(command, stdout=subprocess.PIPE)
    popen.stdout.readline()
    page = f"waltzjax_in_flight {under_way}\n"
    transport = httpx.MockTransport(lambda _: httpx.Response(200, text=page))
    waiting = iter(statuses)

    async def ask():
        status = next(waiting)
        await asyncio.sleep(0.05)
        return soak_checks.Seen(status, "1")

    async def stop():
        async with serve_load.client(1, transport=transport) as http:
            process = serve_load.Process(popen, "http://e/v1")
            return await soak_checks.graceful_stop(process, http, ask)

    with popen:
        return asyncio.run(stop())[1]


@pytest.mark.parametrize(
    "statuses, under_way, exit_status, holds",
    [
        ([200] * 8, 8, 143, True),
        ([200] * 5 + [503] * 3, 5, 143, True),  # three came too late
        ([200] * 7 + [503], 8, 143, False),
        ([503] * 8, 8, 143, False),
        ([503] * 8, 0, 143, False),
        ([200] * 7 + [500], 7, 143, False),
        ([200] * 8, 8, 0, False),
    ],
)
def test_a_stop_answers_what_is_under_way(statuses, under_way, exit_status, holds):
    assert stop_with(statuses, under_way, exit_status) is holds


@pytest.mark.parametrize(
    "service, clients, differ",
    [
        ({200: 5, 429: 1}, {200: 5, 429: 1}, 0),
        ({200: 5, 499: 2}, {200: 4, soak_checks.LEFT: 3}, 0),  # one who left was answered
        ({200: 5, 499: 1}, {200: 4, soak_checks.LEFT: 3}, 1),  # one was not counted
        ({200: 4}, {200: 5}, 1),
        ({200: 5, 500: 1}, {200: 5}, 1),
    ],
)
def test_requests_are_accounted_for(service, clients, differ):
    assert soak_checks.unaccounted(Counter(service), Counter(clients)) == differ


def test_growth_of_memory_leaves_the_warm_up_out(tmp_path):
    memory = soak_checks.Memory(1, 60.0)
    memory.mib = [10.0] * 25 + [100.0] * 25 + [500.0] + [104.0] * 24 + [110.0] * 25
    assert memory.growth() == pytest.approx(0.1)


def test_counts_of_a_service_are_read_from_its_page():
    page = """# TYPE waltzjax_requests_total counter
waltzjax_requests_total{path="/v1/chat/completions",status="200"} 3.0
waltzjax_requests_total{path="/v1/models",status="200"} 2.0
waltzjax_requests_total{path="/metrics",status="200"} 9.0
waltzjax_requests_created{path="/v1/models",status="200"} 1.7e+09
waltzjax_requests_total{path="/v1/chat/completions",status="429"} 1.0
"""
    transport = httpx.MockTransport(lambda _: httpx.Response(200, text=page))

    async def count():
        async with serve_load.client(1, transport=transport) as http:
            return await soak_checks.counted(http, "http://e/v1")

    assert asyncio.run(count()) == {200: 5, 429: 1}
