"""The guard as a library: streams, checks, its loop, and models that are missing."""

import asyncio
import threading
from pathlib import Path

import pytest
from served import FINE, Scripted, review, user

from waltzjax.config.defaults import default
from waltzjax.serve import Ask, Guard, GuardrailHook, Routed
from waltzjax.serve.flags import Flags
from waltzjax.serve.litellm_hook import Blocked, plain_messages
from waltzjax.serve.records import (
    AGENTS,
    HOLD,
    OFF,
    PATTERNS,
    SPECULATIVE,
    AgentFailed,
    Delta,
    Reply,
)

REVISE = Flags(feedback_only=False)
SHADOW = Flags(feedback_only=True)
UNSAFE = review(unsafe=True)


def guard(conversation, feedback, flags: Flags = REVISE) -> Guard:
    return Guard(conversation, feedback, flags=flags, environ={})


def stream(of: Guard, mode: str = HOLD) -> list[Delta]:
    async def collect() -> list[Delta]:
        return [delta async for delta in of.astream(user("Hello?"), ask=Ask(16), mode=mode)]

    return asyncio.run(collect())


def test_respond_without_an_event_loop_and_with_one() -> None:
    with guard(Scripted(["c0", "c1"]), Scripted([UNSAFE])) as here:
        assert here.respond(user("Hello?")).text == "c1"
        answer = asyncio.run(here.arespond(user("Hello?")))
        assert answer.text == "c1"
        assert here.check(user("Hello?", "reply")).labels.unsafe


def test_many_threads_at_once() -> None:
    echo = Scripted(lambda messages: messages[-1]["content"])
    answers: dict[str, str] = {}

    def ask(name: str) -> None:
        answers[name] = here.respond(user(name)).text

    with guard(echo, Scripted([FINE])) as here:
        threads = [threading.Thread(target=ask, args=(f"q{i}",)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == {f"q{i}": f"q{i}" for i in range(8)}


def test_a_held_answer_is_streamed_when_it_is_final() -> None:
    with guard(Scripted(["bad words", "two  good\nwords"]), Scripted([UNSAFE])) as here:
        *deltas, last = stream(here)
    assert "".join(d.text for d in deltas) == "two  good\nwords" and len(deltas) == 3
    assert not any(d.withdrawn for d in deltas) and last.answer.report.revised


def test_a_speculative_answer_is_withdrawn() -> None:
    with guard(Scripted(["bad words", "good"], step=4), Scripted([UNSAFE])) as here:
        *deltas, last = stream(here, SPECULATIVE)
    at = [d.withdrawn for d in deltas].index(True)
    assert "".join(d.text for d in deltas[:at]) == "bad words"
    assert "".join(d.text for d in deltas[at:]) == "good" == last.answer.text


def test_a_good_speculative_answer_stays() -> None:
    with guard(Scripted(["good words"], step=4), Scripted([FINE])) as here:
        *deltas, last = stream(here, SPECULATIVE)
    assert "".join(d.text for d in deltas) == "good words" == last.answer.text
    assert not any(d.withdrawn for d in deltas)


@pytest.mark.parametrize("flags", [SHADOW, Flags(enable=False), Flags(stage=1)])
def test_what_cannot_be_changed_is_given_out_at_once(flags: Flags) -> None:
    first = asyncio.Event()
    feedback = Scripted([UNSAFE])

    async def run() -> None:
        async for delta in here.astream(user("Hello?"), ask=Ask(16)):
            if delta.text and not first.is_set():
                assert not feedback.asked
                first.set()

    with guard(Scripted(["some words"], step=4, pause_s=0.01), feedback, flags) as here:
        asyncio.run(run())
    assert first.is_set()


@pytest.mark.parametrize(
    "flags", [REVISE, Flags(blocking=True), Flags(stage=1, policy={"weapons": "block"})]
)
def test_what_may_be_withheld_is_held(flags: Flags) -> None:
    conversation = Scripted(["some words"], step=4)

    async def run() -> None:
        async for delta in here.astream(user("Hello?"), ask=Ask(16)):
            if delta.text:
                assert conversation.spoken == ["some words"]

    with guard(conversation, Scripted([FINE]), flags) as here:
        asyncio.run(run())


def test_a_reader_that_leaves_cancels_the_agent() -> None:
    conversation = Scripted(["w" * 99], step=1, pause_s=0.01)

    async def run() -> None:
        deltas = here.astream(user("Hello?"), ask=Ask(16), mode=SPECULATIVE)
        await anext(deltas)
        await deltas.aclose()
        await asyncio.sleep(0.05)

    with guard(conversation, Scripted([FINE])) as here:
        asyncio.run(run())
    assert conversation.cancelled == 1


def test_an_error_of_a_stream_reaches_its_reader() -> None:
    failing = guard(Scripted([AgentFailed("gone")]), Scripted([FINE]))
    with failing as here, pytest.raises(AgentFailed):
        stream(here)


def test_models_that_are_missing_are_stage_1(tmp_path: Path, capsys) -> None:
    config = default()
    config.serve.feedback_only = False
    with Guard(Scripted(["c0"]), tmp_path / "nowhere", config=config, environ={}) as here:
        answer = here.respond(user("Hello?"))
        status = here.status()
    assert (answer.text, answer.report.stage) == ("c0", PATTERNS)
    assert answer.report.failure.component == "models"
    assert status.ready and status.stage == PATTERNS
    assert status.degraded == answer.report.failure.reason == "no model of the feedback agent"
    warned = capsys.readouterr().out
    assert warned.count("warning") == 1 and "nowhere" in warned


def test_a_service_without_any_model_stays_up(tmp_path: Path) -> None:
    with Guard(tmp_path / "a", tmp_path / "b", environ={}) as here:
        answer = here.respond(user("Hello?"))
    assert answer.text == default().serve.unavailable and answer.report.stage == PATTERNS
    assert str(tmp_path) not in str(answer)


def test_a_guard_without_a_conversation_agent_reviews_what_others_say() -> None:
    with Guard(feedback=Scripted([UNSAFE]), environ={}) as here:
        assert here.check(user("Hello?", "an answer")).labels.unsafe
        assert here.status().stage == AGENTS


def test_a_closed_guard_answers_nobody() -> None:
    here = guard(Scripted(["c0"]), Scripted([FINE]))
    here.close()
    for call in (here.arespond(user("Hello?")), here.acheck(user("Hello?"))):
        with pytest.raises(AgentFailed, match="closed"):
            asyncio.run(call)
    with pytest.raises(AgentFailed, match="closed"):
        stream(here)


def test_status_follows_flags_and_breaker() -> None:
    feedback = Scripted([AgentFailed("gone")])
    with guard(Scripted(["c0"]), feedback) as here:
        assert (here.status().stage, here.status().degraded) == (AGENTS, "")
        for _ in range(default().serve.breaker_failures):
            here.respond(user("Hello?"))
        assert here.status().stage == PATTERNS and "failed" in here.status().degraded
    with guard(Scripted(["c0"]), feedback, Flags(enable=False)) as here:
        assert here.status().stage == OFF


def test_flags_of_the_environment_hold() -> None:
    environ = {"WALTZRL_STAGE": "1"}
    with Guard(Scripted(["c0"]), Scripted([UNSAFE]), environ=environ) as here:
        assert here.respond(user("Hello?")).report.stage == PATTERNS


def test_a_router_picks_the_agent() -> None:
    agents = {"code": Scripted(["print"]), "chat": Scripted(["hello"])}

    def pick(messages) -> str:
        return "code" if "python" in messages[-1]["content"] else "chat"

    with guard(Routed(agents, pick), Scripted([FINE])) as here:
        assert here.respond(user("python?")).text == "print"
        assert here.respond(user("how are you?")).text == "hello"
    lost = Routed(agents, lambda messages: "maths")
    with guard(lost, Scripted([FINE])) as here, pytest.raises(AgentFailed, match="code, chat"):
        here.respond(user("1 + 1?"))


def test_litellm_blocks_what_is_withheld() -> None:
    flags = Flags(blocking=True)
    request = {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hello?"}]}]}

    async def run(feedback: str, kind: str) -> object:
        with guard(Scripted([]), Scripted([feedback]), flags) as here:
            inputs = {"texts": ["an answer"]}
            return await GuardrailHook(here).apply_guardrail(inputs, request, kind)

    assert asyncio.run(run(FINE, "response")) == {"texts": ["an answer"]}
    assert asyncio.run(run(UNSAFE, "request")) == {"texts": ["an answer"]}
    with pytest.raises(Blocked, match="unsafe") as blocked:
        asyncio.run(run(UNSAFE, "response"))
    assert blocked.value.status_code == 400 and blocked.value.report.labels.unsafe


def test_messages_of_other_kinds_are_left_out() -> None:
    given = [
        {"role": "developer", "content": "d"},
        {"role": "user", "content": [{"type": "image_url"}, {"type": "text", "text": "u"}]},
        {"role": "assistant", "content": None, "tool_calls": [{}]},
        {"role": "tool", "content": "t"},
    ]
    assert plain_messages(given) == [
        {"role": "system", "content": "d"},
        {"role": "user", "content": "u"},
    ]


class TakesBack(Scripted):
    """Speaks a thought that nothing has begun, and takes it back."""

    async def reply(self, messages, ask):
        ask.on_text("Secret plan")
        await asyncio.sleep(0.01)
        return Reply("Answer", "stop", 1, 1)


def test_only_speculative_readers_see_a_withdrawal() -> None:
    with guard(TakesBack([]), Scripted([FINE]), SHADOW) as here:
        *deltas, last = stream(here, SPECULATIVE)
        assert [d.withdrawn for d in deltas] == [False, True, False]
        assert last.answer.text == "Answer"
        heard: list[Delta] = []

        async def run() -> None:
            async for delta in here.astream(user("Hello?"), ask=Ask(16)):
                heard.append(delta)

        with pytest.raises(AgentFailed, match="thought that it had not begun"):
            asyncio.run(run())
    assert [(d.text, d.withdrawn) for d in heard] == [("Secret plan", False)]
