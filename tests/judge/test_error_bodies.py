"""Errors as servers and gateways put them into bodies, by the status that they name."""

import pytest

from waltzjax.judge.error_bodies import named_status


@pytest.mark.parametrize(
    ("status", "value"),
    [
        (429, {"error": {"code": 429, "message": "x"}}),
        (429, {"error": {"code": "429"}}),
        (429, {"error": {"type": "rate_limit_error"}}),
        (429, {"error": {"code": None, "type": "tokens", "message": "Rate limit reached"}}),
        (429, {"error": {"code": 8, "status": "RESOURCE_EXHAUSTED"}}),
        (429, {"detail": "Too Many Requests"}),
        (429, {"errors": [{"code": "RateLimited"}]}),
        (503, {"error": "Service Unavailable"}),
        (503, {"error": {"message": "The engine is currently overloaded"}}),
        (503, {"type": "error", "error": {"type": "overloaded_error"}}),
        (503, {"detail": {"error": {"code": 503}}}),
        (503, {"message": "temporarily unavailable"}),
        (502, {"error": {"message": "HTTP status code: 502"}}),
        (502, {"error": "502 Bad Gateway"}),
        (500, {"object": "error", "type": "InternalServerError", "code": None, "message": "x"}),
        (500, {"status": 500.0, "message": "x"}),
        (504, {"error": {"type": "APITimeoutError"}}),
        (409, {"statusCode": 409}),
        (503, {"error": {"http_status": 503, "message": "x"}}),
        (429, {"error_code": "429", "error_msg": "x"}),
        (425, {"error": {"httpCode": 425}}),
        (502, {"errorCode": 502, "message": "x"}),
        (429, {"errorType": "ThrottlingException"}),
        (503, {"error_msg": "no healthy upstream"}),
        (401, {"code": "invalid_api_key", "type": "server_error"}),  # the code is the closer one
        (401, {"error": {"code": "invalid_api_key"}}),
        (404, {"object": "error", "type": "NotFoundError", "message": "no such model"}),
        (400, {"error": {"type": "invalid_request_error", "code": None}}),
        (413, {"choices": [{"error": {"code": 413}}]}),
        (502, {"choices": None, "error": {"code": 502}}),
        (502, [{"error": {"code": 502}}]),
    ],
)
def test_the_status_is_named(status, value):
    assert named_status(value) == status


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "overloaded",
        {},
        {"choices": [{"message": {"content": "502, rate limit, overloaded"}}]},
        {"choices": [{"message": {"content": "x"}}], "error": None, "status": "completed"},
        {"choices": [{"message": {"content": "x"}}], "code": 500},  # not of the error's
        {"code": 0, "message": "success"},
        {"code": True, "status": 200},
        {"error": {"message": "something else"}},
        {"error": {"code": 418_000}},
        {"detail": [{"loc": ["body"], "msg": "field required"}]},
        {"error": {}},
        {"http_code": 200, "error_type": "", "message": "fine"},
    ],
)
def test_what_names_none(value):
    assert named_status(value) is None
