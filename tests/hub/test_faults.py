"""Faults of the Hub -> further tries or one sentence; what only a real Hub answers is made by hand here."""

import json

import pytest
from huggingface_hub import HfApi, close_session
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    Response,
    RevisionNotFoundError,
)
from huggingface_hub.utils import get_session

from dnahub.hub.faults import HubError, retrying


def answered(status: int, kind=HfHubHTTPError, message="server's words", **headers):
    """The error that huggingface_hub makes of an answer."""
    response = Response(status, headers=headers, request=get_session().build_request("GET", "http://127.0.0.1"))
    return kind(f"{status}", response=response, server_message=message)


def failing(*errors):
    """A call that raises each of these, then returns; and how often it was called."""
    left, calls = list(errors), []

    def call():
        calls.append(1)
        if left:
            raise left.pop(0)
        return "done"

    return call, calls


@pytest.mark.parametrize(
    ("name", "value", "facts"),
    [
        ("HF_ENDPOINT", "hf-mirror.com", ["HF_ENDPOINT", "'hf-mirror.com'", "https://"]),
        ("HF_ENDPOINT", "", ["HF_ENDPOINT", "''", "https://"]),
        ("ALL_PROXY", "socks5://me:secret@127.0.0.1:9", ["ALL_PROXY", "socksio"]),
        ("HTTPS_PROXY", "socks4://127.0.0.1:9", ["HTTPS_PROXY", "socks4"]),
        ("HTTP_PROXY", "http://127.0.0.1:port", ["HTTP_PROXY", "port"]),
        ("HF_TOKEN", "hf_secret\xe9", ["token", "ASCII"]),
    ],
)
def test_an_environment_with_which_no_request_can_be_made_is_one_sentence_at_once(
    monkeypatch, slept, name, value, facts
):
    monkeypatch.setenv(name, value)
    if name == "HF_ENDPOINT":
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", value)
    api = HfApi(endpoint=value if name == "HF_ENDPOINT" else "http://127.0.0.1:9")
    close_session()  # the next call makes another, by this environment
    try:
        with pytest.raises(HubError, match="^user/x: ") as caught:
            retrying(lambda: api.model_info("user/x"), "user/x")
    finally:
        close_session()
    assert slept == [] and all(fact in str(caught.value) for fact in facts) and "secret" not in str(caught.value)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(slept, status):
    call, calls = failing(answered(status), answered(status))
    assert retrying(call, "user/x") == "done"
    assert len(calls) == 3 and slept == [1, 1]


def test_a_broken_connection_is_tried_again_whatever_it_is_wrapped_in(slept):
    wrapped = RuntimeError("Error while uploading")
    wrapped.__cause__ = HTTPError("cut")
    call, calls = failing(HTTPError("cut"), wrapped, json.JSONDecodeError("no JSON", "<html>", 0))
    assert retrying(call, "user/x") == "done"
    assert len(calls) == 4


def test_the_wait_is_what_the_server_asks_for_up_to_a_minute(slept):
    call, _ = failing(answered(429, **{"Retry-After": "7"}), answered(429, **{"Retry-After": "100000"}))
    retrying(call, "user/x")
    assert slept == [7, 60]


def test_after_six_tries_it_is_given_up(slept):
    call, calls = failing(*[answered(503)] * 6)
    with pytest.raises(HubError, match="^user/x: .* 6 times .*503"):
        retrying(call, "user/x")
    assert len(calls) == 6 and slept == [1, 1, 2, 4, 8]


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (answered(401), ["token", "/settings/tokens", "HF_TOKEN"]),
        (answered(401, RepositoryNotFoundError), ["repository", "private", "HF_TOKEN"]),
        (answered(403), ["403", "server's words", "token"]),
        (answered(403, GatedRepoError), ["access", "HF_TOKEN"]),
        (answered(404, RepositoryNotFoundError), ["repository", "private", "HF_TOKEN"]),
        (answered(404, RevisionNotFoundError), ["branch, tag or commit"]),
        (answered(404, RemoteEntryNotFoundError), ["404", "server's words"]),
        (answered(413), ["413", "server's words"]),
        (LocalTokenNotFoundError("..."), ["HF_TOKEN", "hf auth login"]),
        (OfflineModeIsEnabled("..."), ["HF_HUB_OFFLINE"]),
    ],
)
def test_what_will_not_pass_is_said_at_once(slept, error, facts):
    call, calls = failing(error)
    with pytest.raises(HubError) as raised:
        retrying(call, "user/x")
    message = str(raised.value)
    assert message.startswith("user/x: ") and "\n" not in message
    for fact in facts:
        assert fact in message
    assert len(calls) == 1 and slept == []


def test_what_the_client_says_of_a_refused_card_is_kept(slept):
    refused = ValueError("Invalid metadata in README.md.\n- license")
    refused.__cause__ = answered(400)
    with pytest.raises(HubError, match="user/x: .*400.*Invalid metadata in README.md. - license"):
        retrying(failing(refused)[0], "user/x")


def test_what_is_no_fault_of_the_hub_is_left_as_it_is(slept):
    not_there = FileNotFoundError("no data files")
    not_there.__context__ = answered(404, RemoteEntryNotFoundError)  # which was looked for on the way
    broken_file = ValueError("broken file")
    broken_file.__cause__ = json.JSONDecodeError("not JSON", "{", 1)
    for error in (not_there, broken_file, ValueError("other")):
        with pytest.raises(type(error)) as raised:
            retrying(failing(error)[0], "user/x")
        assert raised.value is error
