"""The flow of a request: who is asked what, and what comes of every way in which it can go."""

import asyncio

import pytest
from served import FINE, Scripted, parts, review, user

from waltzjax.serve.flags import Flags
from waltzjax.serve.flow import answer, check
from waltzjax.serve.records import (
    AGENTS,
    BLOCK,
    CLOSED,
    FLAG,
    OFF,
    OPEN,
    PASS,
    PATTERNS,
    AgentBusy,
    AgentFailed,
    Answer,
    Ask,
    DeadlineExceeded,
    Labels,
    PromptTooLong,
)

REVISE = Flags(feedback_only=False)
UNSAFE, STRICT = review(unsafe=True), review(overrefuse=True)


def play(conversation, feedback, flags=REVISE, asked="Hello?", **changes) -> Answer:
    where = parts(Scripted(conversation), feedback and Scripted(feedback), **changes)
    return asyncio.run(answer(where, flags, user(asked), Ask(16), "u"))


def test_a_review_that_asks_for_nothing_leaves_the_answer() -> None:
    result = play(["c0"], [FINE])
    report = result.report
    assert (result.text, report.stage, report.rounds) == ("c0", AGENTS, 1)
    assert report.labels == Labels(False, False) and report.action == PASS
    assert not (report.triggered or report.revised or report.failure)


@pytest.mark.parametrize("objection", [UNSAFE, STRICT])
def test_an_objection_is_revised(objection: str) -> None:
    conversation = Scripted(["c0", "c1"])
    where = parts(conversation, Scripted([objection, FINE]))
    result = asyncio.run(answer(where, REVISE, user("Hello?"), Ask(16, seed=7), "u"))
    assert result.text == "c1" and result.report.triggered and result.report.revised
    assert result.report.rounds == 1  # the last answer is not reviewed
    assert conversation.asked[1] == [
        {"role": "system", "content": "You answer."},
        {"role": "user", "content": "Hello?"},
        {"role": "assistant", "content": "c0"},
        {"role": "user", "content": "Mend it."},
    ]
    assert conversation.asks[1] == Ask(16, seed=7, admitted=True)
    assert where.feedback.agent.asks[0].admitted and not conversation.asks[0].admitted
    assert result.completion_tokens == 4  # both answers


def test_rounds_end_when_the_agent_is_content() -> None:
    feedback = Scripted([UNSAFE, UNSAFE, FINE, UNSAFE])
    where = parts(Scripted(["c0", "c1", "c2", "c3"]), feedback, t_max=3)
    result = asyncio.run(answer(where, REVISE, user("Hello?"), Ask(16), "u"))
    assert (result.text, result.report.rounds) == ("c2", 3)


def test_rounds_end_at_t_max() -> None:
    result = play(["c0", "c1", "c2", "c3"], [UNSAFE], t_max=2)
    assert (result.text, result.report.rounds) == ("c2", 2)


def test_the_review_ends_with_its_labels() -> None:
    feedback = Scripted([review(feedback="x" * 500)])
    result = asyncio.run(
        answer(parts(Scripted(["c0"]), feedback), REVISE, user("Hello?"), Ask(16), "u")
    )
    assert result.report.labels == Labels(False, False)
    assert len(feedback.spoken[0]) < 80


def test_an_objecting_review_is_read_whole() -> None:
    conversation = Scripted(["c0", "c1"])
    where = parts(conversation, Scripted([review(unsafe=True, feedback="w" * 500)]))
    asyncio.run(answer(where, REVISE, user("Hello?"), Ask(16), "u"))
    assert conversation.asked[1][-1]["content"] == "w" * 500


def test_feedback_only_logs_and_does_not_revise() -> None:
    result = play(["c0", "c1"], [UNSAFE], Flags(feedback_only=True))
    assert (result.text, result.report.action) == ("c0", FLAG)
    assert result.report.triggered and not result.report.revised


def test_blocking_withholds_what_stays_unsafe() -> None:
    flags = Flags(feedback_only=False, blocking=True)
    result = play(["c0", "c1"], [UNSAFE, UNSAFE], flags)
    assert (result.text, result.finish_reason) == ("No.", "content_filter")
    assert result.report.action == BLOCK and result.report.rounds == 2
    mended = play(["c0", "c1"], [UNSAFE, FINE], flags)
    assert (mended.text, mended.report.action) == ("c1", PASS)
    strict = play(["c0", "c1"], [STRICT, STRICT], flags)
    assert (strict.text, strict.report.action) == ("c1", FLAG)


def test_off_asks_nobody() -> None:
    feedback = Scripted([UNSAFE])
    where = parts(Scripted(["c0 bomb"]), feedback)
    result = asyncio.run(answer(where, Flags(enable=False), user("Hello?"), Ask(16), "u"))
    assert (result.report.stage, result.text, feedback.asked) == (OFF, "c0 bomb", [])


def test_stage_1_is_the_patterns() -> None:
    flags = Flags(stage=1)
    assert play(["c0"], [UNSAFE], flags).report.action == PASS
    flagged = play(["c0"], [UNSAFE], flags, "a bomb?")
    assert (flagged.report.action, flagged.report.categories) == (FLAG, ("weapons",))
    assert flagged.report.stage == PATTERNS and flagged.report.labels is None
    blocked = play(["c0"], [UNSAFE], Flags(stage=1, blocking=True), "a bomb?")
    assert (blocked.text, blocked.finish_reason) == ("No.", "content_filter")


FAILURES = [AgentFailed("gone"), AgentBusy(1.0), PromptTooLong("long"), "no JSON", '{"unsafe": 1}']


@pytest.mark.parametrize("failing", FAILURES, ids=lambda f: type(f).__name__)
@pytest.mark.parametrize(
    ("policy", "asked", "text", "category", "side"),
    [
        ({}, "a bomb?", "c0", "weapons", OPEN),
        ({"weapons": "block"}, "a bomb?", "No.", "weapons", CLOSED),
        ({"weapons": "block"}, "Hello?", "c0", "default", OPEN),
        ({"default": "block"}, "Hello?", "No.", "default", CLOSED),
        ({"weapons": "flag", "default": "block"}, "a bomb?", "c0", "weapons", OPEN),
    ],
)
def test_a_failing_review_fails_as_the_policy_says(
    failing, policy, asked: str, text: str, category: str, side: str
) -> None:
    result = play(["c0"], [failing], Flags(feedback_only=False, policy=policy), asked)
    failure = result.report.failure
    assert result.text == text and result.report.stage == PATTERNS
    assert (failure.component, failure.category, failure.policy) == ("feedback", category, side)


def test_a_missing_feedback_agent_is_stage_1() -> None:
    result = play(["c0"], None, REVISE, "a bomb?")
    assert (result.text, result.report.stage, result.report.action) == ("c0", PATTERNS, FLAG)
    assert result.report.failure.component == "models"


def test_the_breaker_spares_an_agent_that_fails() -> None:
    feedback = Scripted([AgentFailed("gone")])
    where = parts(Scripted(["c0"]), feedback)
    for _ in range(5):
        result = asyncio.run(answer(where, REVISE, user("Hello?"), Ask(16), "u"))
        assert result.text == "c0" and result.report.failure
    assert len(feedback.asked) == 3


@pytest.mark.parametrize("failing", ["no JSON", PromptTooLong("long")])
def test_what_a_user_can_cause_opens_no_breaker(failing) -> None:
    feedback = Scripted([failing])
    where = parts(Scripted(["c0"]), feedback)
    for _ in range(9):
        asyncio.run(answer(where, REVISE, user("Hello?"), Ask(16), "u"))
    assert where.feedback.breaker.state == "closed"


def test_a_client_that_leaves_opens_no_breaker_and_frees_the_agent() -> None:
    feedback = Scripted([FINE], pause_s=5.0)
    where = parts(Scripted(["c0"]), feedback)

    async def leave() -> None:
        work = asyncio.ensure_future(answer(where, REVISE, user("Hello?"), Ask(16), "u"))
        while not feedback.asked:
            await asyncio.sleep(0)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    for _ in range(9):
        feedback.asked.clear()
        asyncio.run(leave())
    assert (feedback.cancelled, where.feedback.breaker.state) == (9, "closed")


def test_a_slow_review_is_given_up() -> None:
    feedback = Scripted([FINE], pause_s=5.0)
    where = parts(Scripted(["c0"]), feedback, review_s=0.05)
    result = asyncio.run(answer(where, REVISE, user("Hello?"), Ask(16), "u"))
    assert result.text == "c0" and "feedback_timeout_s" in result.report.failure.reason
    assert feedback.cancelled == 1
    assert 50 <= result.report.timings_ms["feedback"] < 2000


def test_a_slow_first_answer_is_a_deadline() -> None:
    conversation = Scripted(["c0"], pause_s=5.0)
    where = parts(conversation, Scripted([FINE]), deadline_s=0.05)
    with pytest.raises(DeadlineExceeded, match="deadline_s"):
        asyncio.run(answer(where, REVISE, user("Hello?"), Ask(16), "u"))
    assert conversation.cancelled == 1


@pytest.mark.parametrize("error", [AgentFailed("gone"), PromptTooLong("long"), AgentBusy(2.0)])
def test_a_revision_that_fails_keeps_or_withholds_the_answer(error: Exception) -> None:
    kept = play(["c0", error], [UNSAFE])
    assert (kept.text, kept.report.action, kept.report.failure.policy) == ("c0", FLAG, OPEN)
    assert kept.report.failure.component == "conversation" and not kept.report.revised
    flags = Flags(feedback_only=False, policy={"unsafe": "block"})
    withheld = play(["c0", error], [UNSAFE], flags)
    assert (withheld.text, withheld.report.failure.policy) == ("No.", CLOSED)


@pytest.mark.parametrize("error", [AgentFailed("gone"), PromptTooLong("long"), AgentBusy(2.0)])
def test_without_a_first_answer_there_is_none(error: Exception) -> None:
    with pytest.raises(type(error)):
        play([error], [FINE])


def test_a_conversation_that_does_not_fit_is_not_reviewed_in_part() -> None:
    """Or a user could pad what came before out of the reviewer's sight."""
    feedback = Scripted([PromptTooLong("long"), FINE])
    where = parts(Scripted(["c0"]), feedback)
    result = asyncio.run(answer(where, REVISE, user("first", "reply", "go"), Ask(16), "u"))
    assert result.report.failure.reason.startswith("the exchange does not fit")
    assert len(feedback.asked) == 1


BLOCKING = Flags(feedback_only=False, blocking=True)


@pytest.mark.parametrize("failing", [PromptTooLong("long"), AgentBusy(1.0), "no JSON"])
def test_nobody_gets_an_answer_out_by_making_its_review_fail(failing) -> None:
    result = play(["c0"], [failing], BLOCKING)
    assert (result.text, result.report.failure.policy) == ("No.", CLOSED)
    assert result.report.failure.category == "unsafe"


def test_an_agent_that_is_gone_leaves_the_decision_to_stage_1() -> None:
    gone = AgentFailed("gone")
    assert play(["c0"], [gone], BLOCKING).text == "c0"
    assert play(["c0"], [gone], BLOCKING, "a bomb?").text == "No."
    named = Flags(feedback_only=False, policy={"unsafe": "block"})
    assert play(["c0"], [gone], named).text == "No."
    opened = Flags(feedback_only=False, policy={"unsafe": "block", "default": "flag"})
    assert play(["c0"], [gone], opened).text == "c0"


def test_what_took_the_place_of_an_unsafe_answer_is_reviewed_or_withheld() -> None:
    result = play(["c0", "c1"], [UNSAFE, AgentFailed("gone")], BLOCKING)
    assert (result.text, result.report.failure.policy) == ("No.", CLOSED)


@pytest.mark.parametrize(
    ("flags", "text"),
    [(Flags(stage=1, policy={"weapons": "block"}), "No."), (Flags(stage=1), "c0")],
)
def test_rules_that_fail_withhold_where_any_category_is_to_be_blocked(flags, text) -> None:
    async def categories(asked: str, answered: str) -> tuple[str, ...]:
        raise RuntimeError("out of memory")

    where = parts(Scripted(["c0"]), Scripted([FINE]), categories=categories)
    result = asyncio.run(answer(where, flags, user("Hello?"), Ask(16), "u"))
    assert result.text == text and result.report.failure.component == "patterns"


def test_a_reviewer_that_hangs_opens_the_breaker() -> None:
    feedback = Scripted([FINE], pause_s=9.0)
    where = parts(Scripted(["c0"]), feedback, review_s=0.1, deadline_s=0.07)
    for _ in range(3):
        asyncio.run(answer(where, REVISE, user("Hello?"), Ask(16), "u"))
    assert where.feedback.breaker.state == "open"


def test_an_agent_whose_template_refuses_is_a_failure_of_the_agent() -> None:
    refused = ValueError("the template takes no system message")
    assert play(["c0"], [refused]).report.failure.component == "feedback"
    assert play(["c0", refused], [UNSAFE]).report.failure.component == "conversation"


def test_the_first_answer_is_told_as_it_grows() -> None:
    heard: list[str] = []
    where = parts(Scripted(["abcdefghijkl", "c1"], step=4), Scripted([UNSAFE]))
    asyncio.run(answer(where, REVISE, user("Hello?"), Ask(16), "u", heard.append))
    assert heard == ["abcd", "abcdefgh", "abcdefghijkl"]


def test_timings_add_up() -> None:
    conversation = Scripted(["c0", "c1"], pause_s=0.02, step=99)
    where = parts(conversation, Scripted([STRICT], pause_s=0.03, step=99))
    spent = asyncio.run(answer(where, REVISE, user("?"), Ask(16), "u")).report.timings_ms
    assert spent["first"] >= 20 and spent["revision"] >= 20 and spent["feedback"] >= 30
    assert spent["added"] == pytest.approx(spent["total"] - spent["first"], abs=0.01)
    assert spent["added"] >= spent["feedback"] + spent["revision"] - 0.01


def test_checks_generate_nothing_but_a_review() -> None:
    conversation = Scripted([])
    where = parts(conversation, Scripted([UNSAFE]))
    report = asyncio.run(check(where, REVISE, user("Hello?"), "an answer", "u"))
    assert report.labels == Labels(True, False) and report.action == FLAG
    assert conversation.asked == []
    prompt = asyncio.run(check(where, REVISE, user("a bomb?"), None, "u"))
    assert (prompt.stage, prompt.categories, prompt.labels) == (PATTERNS, ("weapons",), None)
    off = asyncio.run(check(where, Flags(enable=False), user("a bomb?"), None, "u"))
    assert (off.stage, off.action) == (OFF, PASS)
