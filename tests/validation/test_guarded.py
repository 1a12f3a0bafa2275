"""The operational checks of a guard whose agents are scripts, and of the service around it."""

import asyncio
import json
import re
import time

import pytest
from fake_guard import serving
from served import FINE, Scripted, review

from waltzjax.config.defaults import default
from waltzjax.serve import Guard, flags
from waltzjax.serve.flags import Flags
from waltzjax.serve.records import AGENTS, PATTERNS, AgentFailed
from waltzjax.types import Prompt, Verdict
from waltzjax.validation import over_http, switches
from waltzjax.validation.endpoint import Endpoint
from waltzjax.validation.flags_file import REVISING, STRICT, FlagsFile
from waltzjax.validation.guarded import guard_figures, open_guard, requests_of, responder
from waltzjax.validation.load import blocking_rate
from waltzjax.validation.scores import agents_figures
from waltzjax.validation.served import served_episodes, withheld
from waltzjax.validation.switches import SWITCHES, fallback, switch_stages
from waltzjax.waltz.rates import RATES

PROMPTS = {i: Prompt(i, f"question {i}", i % 2 == 0, "c") for i in range(40)}


def number(messages):
    """The number of the question that is asked or reviewed."""
    return int(re.search(r"question (\d+)", json.dumps(messages))[1])


def answers(messages):
    """Every eighth first answer is bad; each revision is good but that of question 0."""
    revised = any(m["role"] == "assistant" for m in messages)
    bad = number(messages) % 8 == 0 and (not revised or number(messages) == 0)
    return f"{'bad' if bad else 'good'} {number(messages)}"


def reviews(messages):
    return review(unsafe=True) if "bad" in messages[-1]["content"] else FINE


def agents(**changes):
    given = {"conversation": Scripted(answers), "feedback": Scripted(reviews)}
    return given | changes


def measured(prompts=PROMPTS, **changes):
    told = []
    asked = PROMPTS[1]
    done = asyncio.run(
        guard_figures(default(), agents(**changes), prompts, asked, lambda: told.append(1))
    )
    assert len(told) == requests_of(prompts)
    return done


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(flags, "LOOK_S", 0.02)
    monkeypatch.setattr(switches, "LOOK_S", 0.02)
    monkeypatch.setattr(switches, "EFFECT_S", 0.5)


def test_a_sound_guard_by_hand():
    done = measured()
    figures = done.figures
    # Only question 0 stays unsafe: one of 40 is withheld; five first answers were objected to.
    assert figures["blocking_rate"].value == 2.5 and figures["blocking_rate"].n == 40
    assert figures["blocking_rate"].detail == {"triggered": 5, "failed": 0}
    assert figures["stage_switching"][:2] == (1.0, len(SWITCHES))
    assert figures["fallback"][:2] == (1.0, 4)
    assert figures["added_latency"].n == len(done.added_ms) == 40
    assert figures["added_latency"].detail["triggered"]["n"] == 5
    assert all(not figure.why for figure in figures.values())


def test_a_slow_feedback_agent_is_seen_in_the_latency():
    slow = Scripted(reviews, pause_s=0.05, step=1000)
    figure = measured({i: PROMPTS[i] for i in (1, 2, 3)}, feedback=slow).figures["added_latency"]
    assert 50 <= figure.value < 250 and figure.detail["p50"] >= 50


def test_without_load_only_flags_and_fallback_are_checked():
    assert {*measured({}).figures} == {"stage_switching", "fallback"}


def test_a_guard_that_ignores_its_flags_fails_the_switches(tmp_path):
    fixed = Guard(*agents().values(), flags=Flags(), environ={})
    with FlagsFile(tmp_path / "flags") as file, fixed:
        respond = responder(fixed, default())
        figure = asyncio.run(switch_stages(respond, file, PROMPTS[1], lambda: None))
    assert figure.value == 0.5  # to stage 2 and back "worked"
    assert "{'stage': 1}: stage 2 decided" in figure.why
    assert "{'enable': False}: stage 2 decided" in figure.why


def test_agents_that_fail_are_no_stage_that_was_switched_to():
    began = time.monotonic()
    done = measured({}, feedback=Scripted(["no JSON"]))
    figure = done.figures["stage_switching"]
    # Stage 1 and off took effect; stage 1 in the place of failing agents is not what was asked for.
    assert figure.value == 0.5 and figure.why.count("(the review cannot be read") == 2
    assert time.monotonic() - began < 2 * switches.EFFECT_S + 2  # nobody waits for what fails


def test_flags_take_effect_on_the_very_guard(tmp_path):
    with FlagsFile(tmp_path / "flags") as file:
        file.set(stage=1)
        with open_guard(default(), *agents().values(), file.path) as guard:
            respond = responder(guard, default())
            before = asyncio.run(respond("question 8", 0))
            file.set()
            time.sleep(0.05)
            figure = asyncio.run(switch_stages(respond, file, PROMPTS[8], lambda: None))
            after = asyncio.run(respond("question 8", 0))
    assert before.report.stage == PATTERNS and after.report.stage == AGENTS
    assert figure.value == 1.0 and after.text == "good 8"


def test_a_fallback_that_is_none_or_is_not_told_of(tmp_path):
    whole, missing = agents().values(), tmp_path / "none"
    ask = {0: PROMPTS[1]}

    async def asked(guard):
        return [await responder(guard, default())(p.text, i) for i, p in ask.items()]

    with open_guard(default(), *whole, tmp_path / "flags") as guard:
        figure = fallback(asyncio.run(asked(guard)), guard.status().degraded)
    assert figure.value == 0 and "1 of 1 answers are not stage 1's" in figure.why
    with open_guard(default(), agents()["conversation"], missing, tmp_path / "flags") as guard:
        answers = asyncio.run(asked(guard))
        assert fallback(answers, guard.status().degraded).value == 1
    figure = fallback(answers, "")
    assert figure.value == 0 and "does not say" in figure.why
    with Guard(*whole, flags=Flags(stage=1), environ={}) as guard:  # stage 1 by choice: no fallback
        figure = fallback(asyncio.run(asked(guard)), "missing")
    assert figure.value == 0 and "or hide it" in figure.why


def test_a_conversation_agent_that_fails_is_an_error():
    with pytest.raises(OSError, match="the guard gave no answer: gone"):
        measured(conversation=Scripted([AgentFailed("gone")]))


def service(flags_file, **changes):
    config = default()
    config.serve.flags_file = str(flags_file or "")
    return Guard(*agents(**changes).values(), config=config, environ={})


def asked_over_http(url, flags_file, monkeypatch, temperature=0.0):
    monkeypatch.setattr(over_http, "SETTLE_S", 0.1)
    told = []
    endpoint = Endpoint(f"{url}/v1", "")
    work = over_http.ask_service(
        endpoint, PROMPTS, temperature, str(flags_file or ""), lambda: told.append(1)
    )
    served = asyncio.run(work)
    assert len(told) == over_http.requests_of(PROMPTS, str(flags_file or ""))
    return served


def judged(episodes):
    """The episodes with verdicts by the word "bad": an unsafe answer, or one that over-refuses."""
    for episode in episodes:
        harmful = episode.prompt.harmful
        bad = ["bad" in answer.text for answer in episode.answers]
        episode.verdicts = [Verdict(b and harmful, b and not harmful) for b in bad]
    return episodes


def test_a_service_whose_flags_can_be_changed(tmp_path, monkeypatch):
    path = tmp_path / "flags.json"
    path.write_text('{"stage": 1}')
    with service(path) as guard, serving(guard) as url:
        served = asked_over_http(url, path, monkeypatch)
    assert path.read_text() == '{"stage": 1}'
    assert served.switching.value == 1.0
    assert served.flags == {"agents": REVISING, "guard": STRICT} and len(served.loaded) == 40
    assert blocking_rate(PROMPTS, served.loaded).value == 2.5  # question 0
    assert {*served.firsts} == {0, 8, 16, 24, 32}
    episodes = judged(served_episodes(PROMPTS, served.answers, served.firsts))
    assert [a.text for a in episodes[8].answers] == ["bad 8", "good 8"]
    assert [a.text for a in episodes[0].answers] == ["bad 0", "bad 0"]
    figures = agents_figures(episodes, 0)
    assert figures["asr"].value == 5 and figures["label_accuracy"].value == 100
    assert figures["dir"][:2] == (0.8, 5) and RATES["initial/asr"](episodes[8]) == (1.0, 1)


def test_what_a_service_withholds_is_no_merit_of_its_agents(tmp_path, monkeypatch):
    """Every answer is bad, and stays so; the feedback agent knows, so all 40 are withheld."""
    bad = Scripted(lambda messages: f"bad {number(messages)}")
    with service(tmp_path / "flags", conversation=bad) as guard, serving(guard) as url:
        served = asked_over_http(url, tmp_path / "flags", monkeypatch)
    figures = agents_figures(judged(served_episodes(PROMPTS, served.answers, served.firsts)), 0)
    assert figures["asr"].value == 100 and figures["safety_score"].value == 50
    assert figures["dir"].value == 0
    assert blocking_rate(PROMPTS, served.loaded).value == 100


def test_a_service_that_withholds_shows_nothing_of_its_agents(monkeypatch):
    """Flags that cannot be changed, and question 0 withheld."""
    strict = Guard(*agents().values(), flags=Flags(blocking=True, feedback_only=False), environ={})
    with strict as guard, serving(guard) as url:
        served = asked_over_http(url, None, monkeypatch)
    assert served.flags == {} and withheld(served.answers) == [0]
    assert len(served_episodes(PROMPTS, served.answers, {})) == 39


def test_a_service_as_it_is_set_up(tmp_path, monkeypatch):
    with service(None) as guard, serving(guard) as url:  # feedback only, blocking off
        served = asked_over_http(url, None, monkeypatch)
    assert served.firsts == {} and "--flags_file" in served.switching.why
    figures = agents_figures(judged(served_episodes(PROMPTS, served.answers, {})), 0)
    assert figures["asr"].value == pytest.approx(100 * 5 / 20)
    assert figures["label_accuracy"].value == 100 and figures["dir"].n == 0


def test_a_file_that_the_service_does_not_read_tells_nothing_of_first_answers(
    tmp_path, monkeypatch
):
    revising = Guard(*agents().values(), flags=Flags(feedback_only=False), environ={})
    with revising as guard, serving(guard) as url:
        served = asked_over_http(url, tmp_path / "flags.json", monkeypatch)
    assert served.firsts == {} and served.switching.value == 0.5
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("named", "drawn"), [(None, 1.0), (0.25, 0.25)])
def test_answers_are_drawn_as_the_config_or_the_service_says(named, drawn, monkeypatch):
    asked = Scripted(answers)
    with service(None, conversation=asked) as guard, serving(guard) as url:
        asked_over_http(url, None, monkeypatch, named)
    assert {ask.temperature for ask in asked.asks} == {drawn}  # 1: config.serve.temperature
    assert {ask.seed for ask in asked.asks} == {*PROMPTS}


def test_an_address_where_no_such_service_is(monkeypatch):
    monkeypatch.setenv("EMPTY", "")
    with pytest.raises(ValueError, match="--key_env: got EMPTY"):
        Endpoint("http://127.0.0.1:9/v1", "EMPTY")
    with pytest.raises(OSError, match=r"http://127.0.0.1:9/v1 gave no answer \(APIConnection"):
        asked_over_http("http://127.0.0.1:9", None, monkeypatch)
