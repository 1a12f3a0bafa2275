"""API keys, and who may reach a service that has none."""

import hashlib

import openai
import pytest
from fake_guard import HTTP, FakeGuard, serving

from waltzjax.serve.errors import RequestError
from waltzjax.serve.keys import check_host, check_host_header, key_hash, read_keys
from waltzjax.serve.service import Settings

HI = {"model": "waltzrl", "messages": [{"role": "user", "content": "bake bread"}]}
KEYS = read_keys("KEYS", {"KEYS": "first-key, second-kéy,"})
GUARDED = [("POST", "/v1/chat/completions"), ("POST", "/v1/guard/check"), ("GET", "/v1/models"),
           ("GET", "/v1/guard/flags"), ("GET", "/metrics"), ("GET", "/openapi.json"),
           ("GET", "/nothing"), ("GET", "/healthz/")]  # fmt: skip


@pytest.fixture(scope="module")
def url():
    with serving(FakeGuard(), keys=KEYS) as address:
        yield address


def test_keys_of_a_variable():
    assert [key.hex() for key in KEYS] == [
        hashlib.sha256(key.encode()).hexdigest() for key in ("first-key", "second-kéy")
    ]
    assert read_keys("", {"": "a"}) == ()


@pytest.mark.parametrize("environ", [{}, {"KEYS": ""}, {"KEYS": " , "}])
def test_a_variable_without_a_key_is_refused(environ):
    with pytest.raises(ValueError, match=r"config\.serve\.key_env: .* KEYS holds no key"):
        read_keys("KEYS", environ)


@pytest.mark.parametrize("method, path", GUARDED)
@pytest.mark.parametrize(
    "given",
    [None, "Bearer", "Bearer first-ke", "Bearer first-key2", "Basic first-key",
     "first-key", "Bearer first-key, second-kéy", "Bearer \xff"],
)  # fmt: skip
def test_nothing_but_health_is_open(url, method, path, given):
    headers = {"Authorization": given.encode("latin-1")} if given is not None else {}
    response = HTTP.request(method, url + path, headers=headers)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"
    assert response.headers["www-authenticate"] == "Bearer"
    assert "first" not in response.text


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_open(url, path):
    assert HTTP.get(url + path).status_code == 200


def test_each_key_opens(url):
    for key in ("first-key", "second-kéy"):
        header = {"Authorization": b"bearer " + key.encode()}
        assert HTTP.get(f"{url}/metrics", headers=header).status_code == 200
    with openai.OpenAI(base_url=f"{url}/v1", api_key="first-key", max_retries=0) as client:
        assert client.chat.completions.create(**HI).choices
    other = openai.OpenAI(base_url=f"{url}/v1", api_key="other", max_retries=0)
    with other, pytest.raises(openai.AuthenticationError):
        other.chat.completions.create(**HI)


def test_a_key_is_known_by_its_hash():
    assert key_hash("Bearer first-key", KEYS) == hashlib.sha256(b"first-key").hexdigest()[:8]
    with pytest.raises(RequestError, match="no key"):
        key_hash("", KEYS)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.5", "guard.example.org"])
def test_other_machines_need_keys(host):
    with pytest.raises(ValueError, match=r"config\.serve\.host: .*config\.serve\.key_env"):
        check_host(host, ())
    check_host(host, KEYS)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "127.0.0.1", "localhost:1", "LOCALHOST", "[::1]:8000", "[::1]"]
)
def test_hosts_of_this_machine(host):
    check_host_header(host)


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost:a", ":1"]
)
def test_a_page_whose_name_leads_here_is_refused(host):
    with pytest.raises(RequestError) as raised:
        check_host_header(host)
    assert raised.value.status_code == 403


def test_the_host_is_looked_at_where_it_has_to_be(url):
    evil = {"Host": "evil.example"}
    key = {"Authorization": "Bearer first-key"}
    assert HTTP.get(f"{url}/v1/models", headers={**evil, **key}).status_code == 200
    for settings, status in ((Settings(), 403), (Settings(host="0.0.0.0"), 200)):
        with serving(FakeGuard(), settings) as other:
            assert HTTP.get(f"{other}/v1/models", headers=evil).status_code == status
            assert HTTP.get(f"{other}/v1/models").status_code == 200
