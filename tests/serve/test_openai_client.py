"""The official client of OpenAI, unchanged, against the service."""

import asyncio

import openai
import pytest
from fake_guard import REPORT, FakeGuard, serving

MODEL = "waltzrl"
HI = [{"role": "user", "content": "bake bread"}]
BREAD = [{"type": "text", "text": "bread"}]


@pytest.fixture(scope="module")
def guard():
    return FakeGuard()


@pytest.fixture(scope="module")
def url(guard):
    with serving(guard) as address:
        yield f"{address}/v1"


@pytest.fixture(scope="module")
def client(url):
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        yield client


def test_an_answer(client):
    answer = client.chat.completions.create(model=MODEL, messages=HI)
    [choice] = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "You said: bake bread")
    assert (choice.finish_reason, answer.model) == ("stop", MODEL)
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (7, 3, 10)
    assert answer.waltzjax == REPORT.as_json()
    assert answer._request_id


def test_a_stream(client):
    options = {"include_usage": True}
    chunks = [
        *client.chat.completions.create(
            model=MODEL, messages=HI, stream=True, stream_options=options
        )
    ]
    *pieces, last, usage = chunks
    assert pieces[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in pieces) == "You said: bake bread"
    assert [c.choices[0].finish_reason for c in [*pieces, last]] == [None] * len(pieces) + ["stop"]
    assert last.waltzjax == REPORT.as_json()
    assert (usage.choices, usage.usage.total_tokens) == ([], 10)
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_stream_without_usage(client):
    chunks = [*client.chat.completions.create(model=MODEL, messages=HI, stream=True)]
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_asynchronously(url):
    async def ask():
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
            whole = await client.chat.completions.create(model=MODEL, messages=HI)
            stream = await client.chat.completions.create(model=MODEL, messages=HI, stream=True)
            pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
            return whole.choices[0].message.content, "".join(pieces)

    assert asyncio.run(ask()) == ("You said: bake bread",) * 2


def test_models(client):
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).owned_by == "waltzjax"
    with pytest.raises(openai.NotFoundError, match="'gpt-9'") as raised:
        client.models.retrieve("gpt-9")
    assert raised.value.code == "model_not_found"


def test_agents_are_named_without_their_place(client, guard, monkeypatch):
    models = ("/srv/secret/conversation", "org/feedback")
    monkeypatch.setattr(guard, "now", guard.now._replace(models=models))
    assert client.models.retrieve(MODEL).waltzjax == {"agents": ["conversation", "org/feedback"]}


def test_another_model_is_refused(client):
    with pytest.raises(openai.NotFoundError, match="allowed is 'waltzrl'") as raised:
        client.chat.completions.create(model="gpt-9", messages=HI)
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")


def test_what_is_sent_reaches_the_guard(client, guard):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Speak English."},
        {"role": "user", "content": [{"type": "text", "text": "bake "}, *BREAD]},
        {"role": "assistant", "content": "Which?", "refusal": None},
        {"role": "user", "content": "rye", "name": "ann"},
    ]
    client.chat.completions.create(
        model=MODEL,
        messages=messages,
        temperature=0.0005,
        top_p=0.5,
        max_completion_tokens=9,
        stop=["a", "b"],
        seed=-1,
        user="ann",
        metadata={"a": "b"},
    )
    sent, user, ask = guard.calls[-1]
    assert [(m["role"], m["content"]) for m in sent] == [
        ("system", "Be brief."),
        ("system", "Speak English."),
        ("user", "bake bread"),
        ("assistant", "Which?"),
        ("user", "rye"),
    ]
    assert user == "ann"
    assert (ask.temperature, ask.top_p, ask.max_new_tokens) == (0.0, 0.5, 9)
    assert (ask.stop, ask.seed) == (("a", "b"), 2**32 - 1)


def test_defaults_are_the_service_s(client, guard):
    client.chat.completions.create(model=MODEL, messages=HI, max_tokens=100_000)
    client.chat.completions.create(model=MODEL, messages=HI)
    asks = [ask for _, _, ask in guard.calls[-2:]]
    assert [ask.max_new_tokens for ask in asks] == [512, 512]
    assert {(ask.temperature, ask.top_p, ask.stop) for ask in asks} == {(1.0, 1.0, ())}
    assert asks[0].seed != asks[1].seed


@pytest.mark.parametrize("streamed", [False, True])
def test_several_choices(client, guard, streamed):
    answer = client.chat.completions.create(
        model=MODEL, messages=HI, n=3, seed=2**32 - 2, stream=streamed
    )
    assert [ask.seed for _, _, ask in guard.calls[-3:]] == [2**32 - 2, 2**32 - 1, 0]
    if streamed:
        texts = dict.fromkeys(range(3), "")
        for chunk in answer:
            texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    else:
        texts = {choice.index: choice.message.content for choice in answer.choices}
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (7, 9)
    assert texts == dict.fromkeys(range(3), "You said: bake bread")


def test_neutral_parameters_are_accepted(client):
    client.chat.completions.create(
        model=MODEL, messages=HI, n=1, presence_penalty=0, frequency_penalty=0.0, logprobs=False,
        tools=[], tool_choice="none", response_format={"type": "text"}, logit_bias={}, store=False,
        service_tier="auto", parallel_tool_calls=True, stop=None, extra_body={"top_k": -1},
    )  # fmt: skip


@pytest.mark.parametrize(
    "param, value",
    [
        ("logprobs", True),
        ("tools", [{"type": "function", "function": {"name": "f"}}]),
        ("functions", [{"name": "f"}]),
        ("response_format", {"type": "json_object"}),
        ("logit_bias", {"5": 1}),
        ("audio", {"voice": "alloy", "format": "wav"}),
        ("modalities", ["text", "audio"]),
        ("presence_penalty", 0.5),
        ("presence_penalty", False),
        ("n", 9),
        ("n", 0),
        ("temperature", 2.1),
        ("temperature", -0.1),
        ("temperature", "1"),
        ("top_p", 0),
        ("top_p", 9e-7),
        ("max_tokens", -1),
        ("seed", 1e30),
        ("stop", ["a", ""]),
        ("max_tokens", 0),
        ("stop", ["a", "b", "c", "d", "e"]),
        ("stop", ""),
        ("seed", "a"),
        ("top_k", 5),
        ("stream_options", {"include_usage": True}),
        ("user", "a\0b"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_its_name(client, guard, param, value):
    calls = len(guard.calls)
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(model=MODEL, messages=HI, extra_body={param: value})
    assert raised.value.param == param
    assert raised.value.message.count(param) >= 1
    assert len(guard.calls) == calls


@pytest.mark.parametrize(
    "messages, param",
    [
        ([], "messages"),
        ([{"role": "tool", "content": "a"}], "messages[0].role"),
        ([*HI, {"role": "user"}], "messages[1].content"),
        ([{"role": "user", "content": "a\0b"}], "messages[0].content"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "messages[0].content"),
        ([{"role": "user", "content": None}], "messages[0].content"),
        ([{"role": "assistant", "content": "", "tool_calls": [{}]}], "messages[0].tool_calls"),
        (HI * 129, "messages"),
    ],
)
def test_messages_that_cannot_be_read_are_refused(client, messages, param):
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(model=MODEL, messages=messages)
    assert raised.value.param == param


def test_what_nobody_knows_is_ignored_and_named(client):
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=HI, extra_body={"mystery": 1, "ordinary\n": 2}
    )
    assert raw.headers["x-waltzjax-ignored"] == "mystery"
