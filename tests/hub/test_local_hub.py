"""The Hub on 127.0.0.1 -> what the real clients make of it."""

import hashlib
import json
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.hub_cards import card_errors


def ask(url: str, token: str | None = None, body: dict | bytes | None = None, method: str | None = None, **headers):
    """A request by hand: status and body."""
    if isinstance(body, dict):
        body, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
    if token:
        headers["Authorization"] = f"Bearer {token}"
    method = method or ("GET" if body is None else "POST")
    request = urllib.request.Request(url, data=body, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def commit_body(*operations: tuple[str, dict]) -> bytes:
    lines = [("header", {"summary": "by hand", "description": ""}), *operations]
    return b"\n".join(json.dumps({"key": key, "value": value}).encode() for key, value in lines)


@pytest.fixture
def repository(hub) -> str:
    """The name of an empty model repository of "user"."""
    assert ask(f"{hub.server.url}/api/repos/create", hub.user, {"name": "dna"})[0] == 200
    return "user/dna"


def test_a_commit_on_top_of_another_than_the_last_one_is_refused(hub, repository):
    header = b'{"key": "header", "value": {"summary": "late", "parentCommit": "%s"}}' % (b"0" * 40)
    assert ask(f"{hub.server.url}/api/models/user/dna/commit/main", hub.user, header)[0] == 412


def seen(api: HfApi, cache: Path) -> list[str]:
    """What comes of four attempts to see a private repository: "seen", or the name of the error."""
    looks = (
        lambda: api.hf_hub_download("user/secret", "a.txt", cache_dir=cache),
        lambda: api.repo_info("user/secret"),
        lambda: api.list_repo_files("user/secret"),
        lambda: api.whoami(),
    )
    results = []
    for look in looks:
        try:
            look()
            results.append("seen")
        except OSError as error:
            results.append(type(error).__name__)
    return results


def test_a_private_repository_is_seen_with_its_owners_tokens_only(hub, tmp_path):
    api = hub.api(hub.user)
    api.create_repo("user/secret", private=True)
    api.upload_file(path_or_fileobj=b"a", path_in_repo="a.txt", repo_id="user/secret")
    hidden = "RepositoryNotFoundError"
    assert seen(api, tmp_path / "user") == ["seen"] * 4
    assert seen(hub.api(hub.user_read), tmp_path / "user_read") == ["seen"] * 4
    assert seen(hub.api(hub.reader), tmp_path / "reader") == [hidden, hidden, hidden, "seen"]
    assert seen(hub.api(), tmp_path / "nobody")[:3] == [hidden] * 3
    wrong = seen(hub.api("hf_wrong"), tmp_path / "wrong")
    assert len(wrong) == 4 and "seen" not in wrong and hidden not in wrong


@pytest.mark.parametrize("who, status", [("user_read", 403), ("reader", 403), (None, 401), ("wrong", 401)])
def test_writing_takes_a_token_with_write_rights(hub, repository, who, status):
    token = {"user_read": hub.user_read, "reader": hub.reader, "wrong": "hf_wrong", None: None}[who]
    url = hub.server.url
    assert ask(f"{url}/api/repos/create", token, {"name": "mine"})[0] == status
    assert ask(f"{url}/api/repos/create", token, {"name": "mine", "organization": "user"})[0] == status
    assert ask(f"{url}/api/models/user/dna/branch/b", token, {})[0] == status
    assert ask(f"{url}/api/models/user/dna/preupload/main", token, {"files": []})[0] == status
    assert ask(f"{url}/user/dna.git/info/lfs/objects/batch", token, {"objects": []})[0] == status
    assert ask(f"{url}/user/dna.git/info/lfs/objects/verify", token, {"oid": "0", "size": 0})[0] == status
    assert ask(f"{url}/api/models/user/dna/commit/main", token, commit_body())[0] == status
    assert len(hub.server.repository("models", "user/dna").history()) == 1


def test_unknown_routes_revisions_and_files_are_404_by_their_names(hub, repository):
    for path in ("/", "/api/nothing", "/api/models/user/dna/nothing", "/api/spaces/user/dna"):
        assert ask(f"{hub.server.url}{path}")[0] == 404
    nobody = hub.api()
    with pytest.raises(RepositoryNotFoundError):
        nobody.hf_hub_download("user/nothing", "config.json")
    with pytest.raises(RevisionNotFoundError):
        nobody.hf_hub_download("user/dna", "config.json", revision="v9")
    with pytest.raises(RemoteEntryNotFoundError):
        nobody.hf_hub_download("user/dna", "config.json")
    with pytest.raises(RemoteEntryNotFoundError):
        list(nobody.list_repo_tree("user/dna", "nothing"))


def test_an_upload_whose_sha256_is_another_is_refused(hub, repository):
    url = f"{hub.server.url}/user/dna.git/info/lfs/objects"
    oid = hashlib.sha256(b"right").hexdigest()
    _, answer = ask(f"{url}/batch", hub.user, {"objects": [{"oid": oid, "size": 5}]})
    actions = json.loads(answer)["objects"][0]["actions"]
    put = actions["upload"]["href"]
    pointer = commit_body(("lfsFile", {"path": "x.bin", "algo": "sha256", "oid": oid, "size": 5}))

    assert ask(put, body=b"wrong", method="PUT")[0] == 400
    assert ask(actions["verify"]["href"], hub.user, {"oid": oid, "size": 5})[0] == 400
    assert ask(f"{hub.server.url}/api/models/user/dna/commit/main", hub.user, pointer)[0] == 400
    assert ask(put.split("?")[0], body=b"right", method="PUT")[0] == 403
    assert ask(put, body=b"right", method="PUT")[0] == 200
    assert ask(put)[0] == 403  # signed for one method
    assert ask(actions["verify"]["href"], hub.user, {"oid": oid, "size": 6})[0] == 400
    assert ask(actions["verify"]["href"], hub.user, {"oid": oid, "size": 5})[0] == 200
    assert ask(f"{hub.server.url}/api/models/user/dna/commit/main", hub.user, pointer)[0] == 200
    assert hub.server.read("models", "user/dna", "x.bin") == b"right"


GOOD_CARD = """---
license: cc-by-nc-sa-4.0
pipeline_tag: text-classification
library_name: transformers
base_model: InstaDeepAI/nucleotide-transformer-v2-50m-multi-species
datasets: [user/nt-species]
model-index:
- name: clf
  results:
  - task: {type: text-classification}
    dataset: {type: user/nt-species, name: nt-species, split: test}
    metrics: [{type: accuracy, value: 0.91}]
---
# A card
"""


@pytest.mark.parametrize(
    "right, wrong, said",
    [
        ("license: cc-by-nc-sa-4.0", "license: [mit, CC0]", '"license" must be one of'),
        (
            "pipeline_tag: text-classification",
            "pipeline_tag: [text-classification]",
            '"pipeline_tag" must be a string',
        ),
        ("base_model: InstaDeepAI/", "base_model: /home/me/", '"base_model" with value'),
        ("[user/nt-species]", "[data/nt/species]", '"datasets" with value "data/nt/species" is not valid'),
        ("[user/nt-species]", "{a: b}", '"datasets" must be a string or an array of strings'),
        ("- name: clf", "- nom: clf", '"model-index[0].name" is required'),
        ("task: {type: text-classification}", "task: {}", '"model-index[0].results[0].task.type" is required'),
        (", value: 0.91", "", '"model-index[0].results[0].metrics[0].value" is required'),
        ("model-index:\n", "model-index: clf\nother:\n", '"model-index" must be an array'),
        ("# A card\n", "", ""),
        ("[user/nt-species]", "glue", ""),  # from before there were namespaces
        ("license: cc", "configs: [{}]\nlicense: cc", '"configs[0].config_name" must be a string'),
        ("license: cc", "license: [cc", "YAML metadata is not valid"),
    ],
)
def test_what_is_wrong_in_a_card_is_named(right, wrong, said):
    assert right in GOOD_CARD
    errors = card_errors(GOOD_CARD.replace(right, wrong))
    assert [error for error in errors if said in error] if said else errors == []


def test_a_client_that_dies_in_the_middle_of_a_commit_leaves_none(hub, repository):
    lines = commit_body(("file", {"path": "a.txt", "content": "QQ==", "encoding": "base64"})) + b"\n"
    with socket.create_connection(hub.server.url.removeprefix("http://").split(":")) as connection:
        head = f"POST /api/models/user/dna/commit/main HTTP/1.1\r\nAuthorization: Bearer {hub.user}\r\n"
        connection.sendall(f"{head}Content-Length: {len(lines) + 100}\r\n\r\n".encode() + lines)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    assert len(hub.server.repository("models", "user/dna").history()) == 1
    assert not hub.server.requests("POST .*/commit/")


def test_processes_see_our_packages_only_where_asked(hub):
    code = "import importlib.util as u; print(bool(u.find_spec('dnahub')), bool(u.find_spec('dataset_builder')))"
    assert hub.python(code) == "False False"
    assert hub.python(code, ours=True) == "True True"


def test_a_printed_token_fails_the_test(hub):
    with pytest.raises(AssertionError, match="a token was printed"):
        hub.python("import os; print(os.environ['HF_TOKEN'])", token=hub.user)


def test_large_files_travel_by_another_host_which_never_sees_a_token(hub, tmp_path):
    api = hub.api(hub.user)
    api.create_repo("user/dna")
    api.upload_file(path_or_fileobj=b"ACGT" * 500_000, path_in_repo="big.bin", repo_id="user/dna")
    api.snapshot_download("user/dna", cache_dir=tmp_path / "cache")
    on_cdn = [request for request in hub.server.log if request.host == "cdn"]
    assert {request.method for request in on_cdn} == {"PUT", "GET"}
    assert not any(request.with_token for request in on_cdn)
    assert any(request.with_token for request in hub.server.log if request.host == "hub")
    assert not any("hf_" in str(request) for request in hub.server.log)
