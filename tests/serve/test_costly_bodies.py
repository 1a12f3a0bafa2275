"""Bodies of a megabyte that are wrong in many places: refused at once, in a few words."""

import time

import orjson
import pytest
from fake_guard import HTTP, FakeGuard, serving

HI = {"role": "user", "content": "bake bread"}
MANY = 330_000  # of the shortest value, "{},"


@pytest.fixture(scope="module")
def url():
    with serving(FakeGuard()) as address:
        yield address


def named(number):
    return {f"{name:x}": 0 for name in range(number)}


@pytest.mark.parametrize(
    "wrong, param",
    [
        ({"messages": [0] * MANY}, "messages"),
        ({"messages": [{}] * MANY}, "messages"),
        ({"messages": [HI] * 25_000}, "messages"),
        ({"messages": [HI, *[0] * 127]}, "messages[1]"),
        ({"messages": [{"role": "user", "content": [0] * MANY}]}, "messages[0].content"),
        ({"messages": [{**named(100_000), "content": 0}]}, "messages[0].role"),
        ({"waltzjax": named(100_000)}, "waltzjax"),
        ({"waltzjax": {"a" * 900_000: 0}}, "waltzjax"),
        ({"stream_options": named(100_000)}, "stream_options"),
        ({"stop": [0] * MANY}, "stop"),
        ({"tools": [{}] * MANY}, "tools"),
        ({"user": "a" * 900_000 + "\0"}, "user"),
        ({"temperature": "a" * 900_000}, "temperature"),
    ],
)
def test_a_large_body_that_is_wrong_costs_little(url, wrong, param):
    content = orjson.dumps({"model": "waltzrl", "messages": [HI], **wrong})
    assert len(content) <= 1_048_576
    began = time.monotonic()
    response = HTTP.post(
        f"{url}/v1/chat/completions", content=content, headers={"content-type": "application/json"}
    )
    assert time.monotonic() - began < 3  # 0.02 to 0.15 s on an idle core; 4 to 7 s each before
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)
    assert len(response.content) < 500


def test_too_many_messages_are_refused_at_every_endpoint(url):
    response = HTTP.post(f"{url}/v1/guard/check", json={"messages": [HI] * 129})
    assert response.status_code == 400
    assert response.json()["error"]["message"].startswith("messages: got 129, allowed are 128")


DEEP = "[" * 1000 + "]" * 1000  # as deep as JSON may be here, about


@pytest.mark.parametrize("part", [DEEP, f'{{"type": {DEEP}}}', "{}", "null", '{"type": 1}'])
def test_a_part_of_no_type_is_refused_however_deep(url, part):
    content = f'{{"model": "waltzrl", "messages": [{{"role": "user", "content": [{part}]}}]}}'
    response = HTTP.post(
        f"{url}/v1/chat/completions", content=content, headers={"content-type": "application/json"}
    )
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "messages[0].content"
