"""Parameters as the guard takes them: whatever is let in, the engine can draw."""

import pytest

from waltzjax.engine.requests import Request, Sampling, checked
from waltzjax.serve.errors import RequestError
from waltzjax.serve.parameters import read_request
from waltzjax.serve.schema import ChatRequest
from waltzjax.serve.service import Settings

HI = {"model": "waltzrl", "messages": [{"role": "user", "content": "bake bread"}]}
NOBODY = {"role": "assistant", "content": None}
EXTREMES = {
    "temperature": [0, -0.0, 5e-324, 9.99e-4, 1e-3, 2],
    "top_p": [1e-6, 1],
    "max_tokens": [1, 2**63],
    "seed": [-(2**63), 2**64 - 1],
    "stop": [[], "a" * 100_000, ["\n"] * 4],
}


@pytest.mark.parametrize("name, value", [(n, v) for n, values in EXTREMES.items() for v in values])
def test_the_engine_takes_what_a_request_may_say(name, value):
    wanted = read_request(ChatRequest.model_validate({**HI, name: value}), Settings())
    for ask in wanted.asks:
        sampling = Sampling(
            ask.max_new_tokens, ask.temperature, top_p=ask.top_p, stop_strings=ask.stop
        )
        request = Request(0, "a", (1,), sampling, ask.seed)
        assert checked(request, longest=600, vocabulary=9, models=("a",), decodes=True)


@pytest.mark.parametrize(
    "message, text",
    [
        ({**NOBODY, "refusal": "No."}, "No."),
        ({"role": "assistant", "refusal": "No."}, "No."),
        (NOBODY, None),
        ({**NOBODY, "refusal": None, "tool_calls": []}, None),
        ({**NOBODY, "refusal": ""}, None),
        ({**NOBODY, "content": "", "refusal": "No."}, ""),
        ({**NOBODY, "content": "Yes.", "refusal": None}, "Yes."),
    ],
)
def test_a_turn_of_the_assistant_may_have_no_content(message, text):
    body = {**HI, "messages": [message, *HI["messages"]]}
    wanted = read_request(ChatRequest.model_validate(body), Settings())
    turns = [] if text is None else [{"role": "assistant", "content": text}]
    assert wanted.messages == [*turns, *HI["messages"]]


@pytest.mark.parametrize("role", ["system", "developer", "user"])
def test_nobody_else_s_may(role):
    body = {**HI, "messages": [*HI["messages"], {"role": role, "content": None, "refusal": "No."}]}
    with pytest.raises(RequestError) as raised:
        read_request(ChatRequest.model_validate(body), Settings())
    assert (raised.value.status_code, raised.value.param) == (400, "messages[1].content")
