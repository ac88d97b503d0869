"""The Hub on 127.0.0.1 -> what the real clients make of it."""

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from huggingface_hub import HfApi

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


@pytest.fixture
def repository(hub) -> str:
    """The name of an empty model repository of "user"."""
    assert ask(f"{hub.server.url}/api/repos/create", hub.user, {"name": "dna"})[0] == 200
    return "user/dna"


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
    assert (
        ask(f"{url}/api/models/user/dna/commit/main", token, {"key": "header", "value": {"summary": "x"}})[0] == status
    )
    assert len(hub.server.repository("models", "user/dna").history()) == 1


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
        (", value: 0.91", "", '"model-index" is not valid'),
        ("model-index:\n", "model-index: clf\nother:\n", '"model-index" is not valid'),
        ("# A card\n", "", ""),
        ("license: cc", "configs: [{}]\nlicense: cc", '"configs[0].config_name" must be a string'),
        ("license: cc", "license: [cc", "YAML metadata is not valid"),
    ],
)
def test_what_is_wrong_in_a_card_is_named(right, wrong, said):
    assert right in GOOD_CARD
    errors = card_errors(GOOD_CARD.replace(right, wrong))
    assert [error for error in errors if said in error] if said else errors == []


def test_processes_see_our_packages_only_where_asked(hub):
    code = "import importlib.util as u; print(bool(u.find_spec('dnahub')), bool(u.find_spec('dataset_builder')))"
    assert hub.python(code) == "False False"
    assert hub.python(code, ours=True) == "True True"


def test_a_printed_token_fails_the_test(hub):
    with pytest.raises(AssertionError, match="a token was printed"):
        hub.python("import os; print(os.environ['HF_TOKEN'])", token=hub.user)
