"""The policy of a request against an oracle: every flag, with every way in which agents can fail.

The oracle is written from the rules, not from the flow: what is delivered, what is done about it,
which side a failure falls on and by whose category.
"""

import asyncio
import itertools
import random
import threading
import time
from typing import NamedTuple

import pytest
from served import FINE, Scripted, parts, review, user

from waltzjax.serve.flags import Flags
from waltzjax.serve.flow import answer, check
from waltzjax.serve.guard import Guard
from waltzjax.serve.records import AgentBusy, AgentFailed, Answer, Ask, PromptTooLong

UNSAFE, STRICT, BOTH = review(unsafe=True), review(overrefuse=True), review(True, True)
GONE, LONG, BUSY = AgentFailed("gone"), PromptTooLong("long"), AgentBusy(1.0)
GARBAGE = "I will not."
REVIEWS = (FINE, UNSAFE, STRICT, BOTH, GONE, LONG, BUSY, GARBAGE)
NAMES = ("weapons", "unsafe", "default")
POLICIES = tuple(
    {name: action for name, action in zip(NAMES, actions, strict=True) if action}
    for actions in itertools.product(("", "block", "flag"), repeat=3)
)


class Expected(NamedTuple):
    text: str  # "": withheld
    action: str
    failure: tuple[str, str, str] | None  # component, side, category
    stage: int
    revised: bool


def one(flags: Flags, category: str) -> str:
    """What is done about one category."""
    if category in flags.policy:
        return flags.policy[category]
    return "block" if flags.blocking and category != "default" else "flag"


def expected(flags, asked, answers, reviews, t_max, has_feedback) -> Expected:
    def categories(text):
        return ["weapons"] if "bomb" in asked + text else []

    def failed(component, i, by_user=False, known_unsafe=False):
        found = categories(answers[i]) or ["default"]
        blocked = one(flags, found[0]) == "block"
        action = "block" if blocked else "flag" if categories(answers[i]) else "pass"
        side = "closed" if blocked else "open"
        doubtful = component == "feedback" and "default" not in flags.policy and not blocked
        named = flags.policy.get("unsafe") == "block"
        if doubtful and (named or ((by_user or known_unsafe) and one(flags, "unsafe") == "block")):
            return given(i, "block", (component, "closed", "unsafe"), 1)
        return given(i, action, (component, side, found[0]), 1)

    def withheld_if_unsafe(i):
        actions = {one(flags, name) for name in ("unsafe", *categories(answers[i]))}
        return "block" if "block" in actions else "flag"

    def given(i, action, failure=None, stage=2):
        text = "" if action == "block" else answers[i]
        return Expected(text, action, failure, stage, i > 0)

    if not flags.enable:
        return given(0, "pass", stage=0)
    if flags.stage == 1:
        found = categories(answers[0])
        return given(0, one(flags, "weapons") if found else "pass", stage=1)
    if not has_feedback:
        return failed("models", 0)
    rounds = 0 if flags.feedback_only else t_max
    for i in itertools.count():
        said = reviews[min(i, len(reviews) - 1)]
        if said in (GONE, LONG, BUSY, GARBAGE):
            known_unsafe = i > 0 and reviews[0] in (UNSAFE, BOTH)
            return failed("feedback", i, said != GONE, known_unsafe)
        if said == FINE:
            return given(i, "pass")
        action = "flag"
        if said in (UNSAFE, BOTH):
            action = withheld_if_unsafe(i)
        if i >= rounds:
            return given(i, action)
        if isinstance(answers[i + 1], Exception):
            side = "closed" if action == "block" else "open"
            category = "unsafe" if said in (UNSAFE, BOTH) else "default"
            return given(i, action, ("conversation", side, category))
        if i + 1 >= rounds and withheld_if_unsafe(i + 1) != "block":
            return given(i + 1, "pass")


def played(flags, asked, answers, reviews, t_max, has_feedback) -> tuple[Answer, Scripted]:
    conversation, feedback = Scripted(answers, step=999), Scripted(reviews, step=999)
    where = parts(conversation, feedback if has_feedback else None, t_max=t_max)
    return asyncio.run(answer(where, flags, user(asked), Ask(16), "u")), conversation


def seen(result: Answer) -> Expected:
    report = result.report
    assert (result.finish_reason == "content_filter") == (report.action == "block")
    assert (result.text == "No.") == (report.action == "block")
    failure = report.failure
    return Expected(
        "" if result.text == "No." else result.text,
        report.action,
        failure and (failure.component, failure.policy, failure.category),
        report.stage,
        report.revised,
    )


def cases():
    """Some of all combinations, drawn at random, the same each time."""
    rng = random.Random(26)
    for _ in range(1500):
        flags = Flags(
            enable=rng.random() > 0.05, stage=rng.choice((1, 2, 2, 2, 2)),
            blocking=rng.random() < 0.5, feedback_only=rng.random() < 0.3,
            policy=rng.choice(POLICIES),
        )  # fmt: skip
        t_max = rng.choice((0, 1, 1, 2, 3))
        reviews = [rng.choice(REVIEWS) for _ in range(t_max + 1)]
        answers = ["c0", *(rng.choice((f"c{i}", f"c{i}", GONE, LONG)) for i in range(1, 5))]
        yield flags, rng.choice(("Hi.", "A bomb?")), answers, reviews, t_max, rng.random() > 0.1


def test_every_case_is_as_the_oracle_says():
    came = set()
    for case in cases():
        wanted = expected(*case)
        result, _ = played(*case)
        assert seen(result) == wanted, case
        came.add((wanted.action, wanted.failure, wanted.stage))
    assert len(came) >= 15  # cases of many kinds


def test_nothing_is_withheld_where_nothing_is_to_be_blocked():
    """The service's default: whatever the agents do, users get an answer of the conversation
    agent."""
    for reviews in itertools.product(REVIEWS, repeat=2):
        for only, asked in itertools.product((True, False), ("Hi.", "A bomb?")):
            flags = Flags(feedback_only=only, policy={"weapons": "flag"})
            result, _ = played(flags, asked, ["c0", "c1"], list(reviews), 1, True)
            assert result.text in ("c0", "c1") and result.finish_reason == "stop"


def test_feedback_only_never_asks_for_another_answer():
    for said, blocking in itertools.product(REVIEWS, (True, False)):
        flags = Flags(feedback_only=True, blocking=blocking)
        result, conversation = played(flags, "Hi.", ["c0", "c1"], [said], 3, True)
        assert len(conversation.asked) == 1 and not result.report.revised


def test_under_blocking_no_unreviewed_revision_is_given_out():
    flags = Flags(feedback_only=False, blocking=True)
    for first, last in itertools.product((UNSAFE, BOTH), REVIEWS):
        result, _ = played(flags, "A bomb?", ["c0", "c1"], [first, last], 1, True)
        assert (result.text == "c1") == (last in (FINE, STRICT)), (first, last)


def test_a_withheld_answer_is_nowhere_in_what_a_client_gets():
    secret = "Mix the two, and light the fuse."
    for said in (UNSAFE, GONE):
        flags = Flags(feedback_only=True, policy={"unsafe": "block", "weapons": "block"})
        result, _ = played(flags, "A bomb?", [secret], [said], 1, True)
        assert secret not in str(result) and result.text == "No."


def test_the_roll_out_decides_by_the_user_who_asks():
    flags = Flags(rollout_pct=50, feedback_only=False)
    stages = {}
    for name in ("ann", "bob", "cyd", "dan", "eve", ""):
        where = parts(Scripted(["c0", "c1"]), Scripted([UNSAFE]))
        for _ in range(2):
            result = asyncio.run(answer(where, flags, user("Hi."), Ask(16), name))
            stages.setdefault(name, set()).add(result.report.stage)
    assert all(len(own) == 1 for own in stages.values()) and stages[""] == {1}
    assert {stage for own in stages.values() for stage in own} == {1, 2}


@pytest.mark.parametrize("only", [True, False])
def test_checks_decide_as_answers_do(only):
    for said, asked in itertools.product(REVIEWS, ("Hi.", "A bomb?")):
        for policy in POLICIES:
            flags = Flags(feedback_only=True, policy=policy)
            where = parts(Scripted(["c0"]), Scripted([said], step=999))
            looked = asyncio.run(
                check(where, flags._replace(feedback_only=only), user(asked), "c0", "u")
            )
            result, _ = played(flags, asked, ["c0"], [said], 1, True)
            assert (looked.action, looked.failure) == (result.report.action, result.report.failure)


def test_a_failing_review_of_a_revision_fails_by_what_the_revision_says():
    """The second review fails; the answer that is given out matches a rule, the first did not."""
    flags = Flags(feedback_only=False, policy={"unsafe": "block", "weapons": "block"})
    case = (flags, "Hi.", ["c0", "c1, a bomb"], [UNSAFE, GONE], 1, True)
    assert seen(played(*case)[0]) == expected(*case)


def test_slow_first_answers_do_not_open_the_breaker():
    """The feedback agent takes 0.1 s and may take 2; the conversation agent leaves it 0.05 s."""
    feedback = Scripted([FINE], pause_s=0.1, step=999)
    where = parts(Scripted(["c0"], pause_s=0.25), feedback, deadline_s=0.3)
    for _ in range(3):
        asyncio.run(answer(where, Flags(), user("Hi."), Ask(16), "u"))
    assert where.feedback.breaker.state == "closed"


def test_an_answer_called_unsafe_is_withheld_by_the_category_that_a_rule_finds_in_it():
    """What stage 1 would withhold, stage 2 gives out although its own review objects."""
    flags = Flags(policy={"weapons": "block"})
    one_stage, _ = played(flags._replace(stage=1), "A bomb?", ["c0"], [UNSAFE], 1, True)
    both_stages, _ = played(flags, "A bomb?", ["c0"], [UNSAFE], 1, True)
    assert (one_stage.text, both_stages.text) == ("No.", "No.")


def test_an_objection_to_a_refusal_that_is_not_mended_is_no_failure_by_unsafe():
    result, _ = played(Flags(feedback_only=False), "Hi.", ["c0", GONE], [STRICT], 1, True)
    assert result.report.failure.category == "default"


def test_closing_a_guard_ends_the_calls_that_wait_for_it():
    guard = Guard(Scripted(["c0"], pause_s=0.3), Scripted([FINE]), environ={}, flags=Flags())
    ended = threading.Event()

    def ask():
        with pytest.raises(AgentFailed, match="closed"):
            guard.respond(user("Hi."))
        ended.set()

    threading.Thread(target=ask, daemon=True).start()
    time.sleep(0.1)
    guard.close(drain_s=3.0)
    assert ended.wait(1.0)


@pytest.mark.parametrize("messages", [[{"content": "x"}], ["x"], [None]])
def test_what_is_no_message_is_refused_as_such(messages):
    with Guard(Scripted(["c0"]), Scripted([FINE]), environ={}, flags=Flags()) as guard:
        with pytest.raises(ValueError, match="messages"):
            guard.check(messages)
        with pytest.raises(ValueError, match="messages"):
            guard.respond(messages)
