"""The Hub on 127.0.0.1 -> what the real clients make of it."""

import hashlib
import json
import socket
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value, load_dataset
from datasets.exceptions import DatasetNotFoundError
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, ModelInfo
from huggingface_hub.errors import (
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.hub_cards import card_errors
from tests.local_hub import CUT, Account, LocalHub


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


BIG = b"ACGT" * 500_000  # more than is read at once


def push_folder(api: HfApi, folder: Path, text: str) -> str:
    """The commit of a folder with small and large files."""
    (folder / "adapter").mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(text)
    (folder / "adapter" / "notes.txt").write_text("é")
    (folder / "model.safetensors").write_bytes(bytes(1000))
    (folder / "big.bin").write_bytes(BIG)
    api.create_repo("user/dna", exist_ok=True)
    return api.upload_folder(repo_id="user/dna", folder_path=folder, commit_message="Push").oid


def test_a_pushed_folder_comes_back_by_branch_and_commit(hub, tmp_path):
    api = hub.api(hub.user)
    first = push_folder(api, tmp_path / "folder", "one")
    assert len(hub.server.requests("PUT /objects/.*")) == 2
    api.create_branch("user/dna", branch="v1")
    second = push_folder(api, tmp_path / "folder", "two")
    assert first != second
    assert len(hub.server.requests("PUT /objects/.*")) == 2, "unchanged files were sent again"

    hub.server.log.clear()
    nobody = hub.api()
    assert sorted(nobody.list_repo_files("user/dna")) == [
        *(".gitattributes", "adapter/notes.txt", "big.bin", "config.json", "model.safetensors")
    ]
    for revision, commit in {"main": second, "v1": first, first: first, second: second}.items():
        file = Path(nobody.hf_hub_download("user/dna", "config.json", revision=revision, cache_dir=tmp_path / "cache"))
        assert (file.parent.name, file.read_text()) == (commit, "one" if commit == first else "two")
    folder = Path(nobody.snapshot_download("user/dna", revision="v1", cache_dir=tmp_path / "cache"))
    assert (folder / "big.bin").read_bytes() == BIG
    assert (folder / "adapter" / "notes.txt").read_text() == "é"
    assert hub.server.requests("HEAD /user/dna/resolve/.*/big.bin")[0].status == 302
    assert not any(request.with_token for request in hub.server.log)
    assert hub.server.read("models", "user/dna", "config.json") == b"two"


def test_large_files_travel_by_another_host_which_never_sees_a_token(hub, tmp_path):
    api = hub.api(hub.user)
    push_folder(api, tmp_path / "folder", "one")
    api.snapshot_download("user/dna", cache_dir=tmp_path / "cache")
    on_cdn = [request for request in hub.server.log if request.host == "cdn"]
    assert {request.method for request in on_cdn} == {"PUT", "GET"}
    assert not any(request.with_token for request in on_cdn)
    assert any(request.with_token for request in hub.server.log if request.host == "hub")
    assert not any("hf_" in str(request) for request in hub.server.log)


def test_a_second_push_of_the_same_content_makes_no_commit(hub, tmp_path):
    api = hub.api(hub.user)
    first = push_folder(api, tmp_path, "one")
    hub.server.log.clear()
    assert push_folder(api, tmp_path, "one") == first
    assert len(hub.server.repository("models", "user/dna").history()) == 2  # creating the repository was the first
    assert hub.server.requests("POST /api/models/user/dna/preupload/main")
    assert not hub.server.requests("POST /api/models/user/dna/commit/")
    assert not hub.server.requests("PUT ")


def test_files_are_deleted_by_a_commit(hub, tmp_path):
    api = hub.api(hub.user)
    push_folder(api, tmp_path, "one")
    api.delete_file("config.json", "user/dna")
    api.delete_file("adapter/notes.txt", "user/dna")
    parent = api.model_info("user/dna").sha
    change = [CommitOperationAdd("new.txt", b"new"), CommitOperationDelete("big.bin")]
    api.create_commit("user/dna", operations=change, commit_message="Both", parent_commit=parent)
    assert sorted(api.list_repo_files("user/dna")) == [".gitattributes", "model.safetensors", "new.txt"]
    assert len(hub.server.repository("models", "user/dna").history()) == 5


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


def test_the_client_says_that_a_token_may_not_write(hub):
    with pytest.raises(HfHubHTTPError, match='403 Forbidden: You don\'t have the rights .* namespace "user"'):
        hub.api(hub.user_read).create_repo("dna")


def test_a_taken_name_an_invalid_one_and_a_foreign_one_are_refused(hub, repository):
    create = f"{hub.server.url}/api/repos/create"
    status, answer = ask(create, hub.user, {"name": "dna"})
    assert status == 409 and json.loads(answer)["url"] == f"{hub.server.url}/user/dna"
    for name in ("..", "a/b", "-a", "a--b", "a..b", "", "é", "a" * 97):
        assert ask(create, hub.user, {"name": name})[0] == 400, name
    assert ask(create, hub.user, {"name": "dna", "organization": "reader"})[0] == 403


def test_paths_that_leave_the_repository_are_refused(hub, repository):
    url = hub.server.url
    for path in ("../x", "a/../../x", "/etc/x", "a//b", "./a", ".git/config", "a\\b", "a\0b"):
        file = {"path": path, "content": "", "encoding": "base64"}
        assert ask(f"{url}/api/models/user/dna/commit/main", hub.user, commit_body(("file", file)))[0] == 400, path
        wanted = {"files": [{"path": path, "sample": "", "size": 0}]}
        assert ask(f"{url}/api/models/user/dna/preupload/main", hub.user, wanted)[0] == 400, path
    for oid in ("../../x", "0" * 63, "0" * 40 + "/../" + "0" * 20):
        assert (
            ask(f"{url}/user/dna.git/info/lfs/objects/batch", hub.user, {"objects": [{"oid": oid, "size": 1}]})[0]
            == 400
        )
        pointer = {"path": "x.bin", "algo": "sha256", "oid": oid}
        assert ask(f"{url}/api/models/user/dna/commit/main", hub.user, commit_body(("lfsFile", pointer)))[0] == 400
    for path in ("..%2F..%2Fdna.json", "%2e%2e/%2e%2e/x"):
        assert ask(f"{url}/user/dna/resolve/main/{path}", hub.user)[0] == 404
        assert ask(f"{url}/api/models/{path}/tree/main", hub.user)[0] == 404
    assert ask(f"{url}/api/models/user/dna/branch/..%2Fx", hub.user, {})[0] == 400
    assert [path.name for path in hub.folder.iterdir()] == ["hub"]


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


def test_parts_of_a_file_are_served(hub, repository):
    file = {"path": "a.txt", "content": "QUNHVA==", "encoding": "base64"}  # ACGT
    ask(f"{hub.server.url}/api/models/user/dna/commit/main", hub.user, commit_body(("file", file)))
    url = f"{hub.server.url}/user/dna/resolve/main/a.txt"
    for part, wanted in {"1-2": (206, b"CG"), "2-": (206, b"GT"), "-1": (206, b"T"), "3-99": (206, b"T")}.items():
        assert ask(url, Range=f"bytes={part}") == wanted
    assert ask(url, Range="bytes=4-")[0] == 416
    assert ask(url, method="HEAD") == (200, b"")


def push_data_set(token: str, config: str, width: int, revision: str = "main") -> str:
    """The commit of a configuration with two splits."""
    features = Features({"sequence": Value("string"), "label": ClassLabel(names=["fly", "yeast"])})
    splits = DatasetDict()
    for split, words in {"train": ["ACGT", "TTTT"], "test": ["GGGG", "CCCC"]}.items():
        columns = {"sequence": [word * width for word in words], "label": [0, 1]}
        splits[split] = Dataset.from_dict(columns, features=features)
    return splits.push_to_hub("user/windows", config, private=True, revision=revision, token=token).oid


def test_two_configurations_of_a_data_set_are_pushed_and_loaded_and_streamed(hub):
    widths, token = {"w60": 15, "w120": 30}, hub.user
    commits = [push_data_set(token, config, width) for config, width in widths.items()]
    assert push_data_set(token, "w60", 15, "draft") == commits[1], "the branch began with this configuration in it"
    assert len(hub.server.requests("PUT /objects/")) == 4
    history = hub.server.repository("datasets", "user/windows").history()
    assert [commit["id"] for commit in history][:-1] == [commits[1], commits[0]]

    hub.server.log.clear()
    with pytest.raises(DatasetNotFoundError):  # as long as there is none in the cache
        load_dataset("user/windows", "w60", token=False)
    for config, width in widths.items():
        splits = load_dataset("user/windows", config, token=token)
        assert splits["train"].features["label"].names == ["fly", "yeast"]
        assert list(splits["train"]["sequence"]) == ["ACGT" * width, "TTTT" * width]
        assert list(splits["test"]["sequence"]) == ["GGGG" * width, "CCCC" * width]
    assert hub.server.requests(f"HEAD /datasets/user/windows/resolve/{commits[1]}/w60/train-00000-of-00001.parquet")
    assert [request.status for request in hub.server.requests("GET /objects/")] == [200] * 4

    hub.server.log.clear()
    stream = load_dataset("user/windows", "w120", split="test", streaming=True, token=token)
    assert next(iter(stream)) == {"sequence": "GGGG" * 30, "label": 0}
    stream = load_dataset("user/windows", "w60", split="train", revision="draft", streaming=True, token=token)
    assert len(list(stream)) == 2
    assert {request.status for request in hub.server.requests("GET /objects/")} == {206}
    assert not any(request.with_token for request in hub.server.requests("GET /objects/"))

    hub.server.log.clear()
    assert push_data_set(token, "w120", 30) == commits[1]
    assert not hub.server.requests("(PUT|POST .*/commit/)"), "the same content was sent again"


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


def push_card(api: HfApi, card: str) -> ModelInfo:
    api.create_repo("user/dna", exist_ok=True)
    api.upload_file(path_or_fileobj=card.encode(), path_in_repo="README.md", repo_id="user/dna")
    return api.model_info("user/dna")


def test_a_card_is_pushed_and_read_and_an_invalid_one_refused_before_anything_is_sent(hub):
    api = hub.api(hub.user)
    info = push_card(api, GOOD_CARD)
    assert (info.pipeline_tag, info.card_data.license) == ("text-classification", "cc-by-nc-sa-4.0")
    assert info.card_data.eval_results[0].metric_value == 0.91
    assert hub.server.requests("POST /api/validate-yaml")[-1].status == 200
    hub.server.log.clear()
    bad = GOOD_CARD.replace("cc-by-nc-sa-4.0", "CC BY").replace("name: nt-species", "name: ''")
    with pytest.raises(ValueError, match="Invalid metadata in README.md") as refused:
        push_card(api, bad)
    assert '"license" must be one of' in str(refused.value)
    assert '"model-index[0].results[0].dataset.name" is required' in str(refused.value)
    assert [request.status for request in hub.server.requests("POST /api/validate-yaml")] == [400]
    assert not hub.server.requests("POST .*/(preupload|commit)/")


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


def test_faults_come_as_often_as_asked_for(hub, slept):
    contents = {"a.bin": b"A" * 100, "c.bin": b"C" * 100, "g.bin": b"G" * 100, "t.bin": b"T" * 5_000_000}
    faults = {"a.bin": 500, "c.bin": 503, "g.bin": 429, "t.bin": CUT}
    address = {name: f"PUT /objects/{hashlib.sha256(content).hexdigest()}" for name, content in contents.items()}
    for name, status in faults.items():
        hub.server.fail(address[name], status, times=2, retry_after=7 if status == 429 else None)
    api = hub.api(hub.user)
    api.create_repo("user/dna")
    operations = [CommitOperationAdd(name, content) for name, content in contents.items()]
    api.create_commit("user/dna", operations=operations, commit_message="Push")
    for name, status in faults.items():
        assert [request.status for request in hub.server.requests(address[name])] == [status, status, 200]
        assert hub.server.read("models", "user/dna", name) == contents[name]
    assert len(hub.server.repository("models", "user/dna").history()) == 2
    assert slept.count(7 + 1) == 2  # to what a Retry-After asks for, the client adds a second


def test_a_client_that_dies_in_the_middle_of_a_commit_leaves_none(hub, repository):
    lines = commit_body(("file", {"path": "a.txt", "content": "QQ==", "encoding": "base64"})) + b"\n"
    with socket.create_connection(hub.server.url.removeprefix("http://").split(":")) as connection:
        head = f"POST /api/models/user/dna/commit/main HTTP/1.1\r\nAuthorization: Bearer {hub.user}\r\n"
        connection.sendall(f"{head}Content-Length: {len(lines) + 100}\r\n\r\n".encode() + lines)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    assert len(hub.server.repository("models", "user/dna").history()) == 1
    assert not hub.server.requests("POST .*/commit/")


def test_many_clients_at_once_lose_nothing(hub, repository):
    def push(number: int) -> list[int]:
        file = {"path": f"{number}.txt", "content": "QQ==", "encoding": "base64"}
        url = f"{hub.server.url}/api/models/user/dna"
        return [ask(f"{url}/commit/main", hub.user, commit_body(("file", file)))[0], ask(f"{url}/tree/main")[0]]

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(push, range(64))) == [[200, 200]] * 64
    assert len(hub.server.repository("models", "user/dna").history()) == 65
    assert len(hub.server.repository("models", "user/dna").files()) == 65
    assert len(hub.server.requests("POST .*/commit/")) == 64


def test_a_hub_started_again_on_the_same_folder_has_everything_and_a_stopped_one_answers_nobody(tmp_path):
    with LocalHub(tmp_path) as first:
        first.tokens["hf_a"] = Account("user", "write")
        ask(f"{first.url}/api/repos/create", "hf_a", {"name": "dna", "type": "dataset"})
    with pytest.raises(urllib.error.URLError):
        ask(first.url)
    with LocalHub(tmp_path) as second:
        assert list(second.repository("datasets", "user/dna").files()) == [".gitattributes"]


def test_processes_see_our_packages_only_where_asked(hub):
    code = "import importlib.util as u; print(bool(u.find_spec('dnahub')), bool(u.find_spec('dataset_builder')))"
    assert hub.python(code) == "False False"
    assert hub.python(code, ours=True) == "True True"


def test_a_printed_token_fails_the_test(hub):
    with pytest.raises(AssertionError, match="a token was printed"):
        hub.python("import os; print(os.environ['HF_TOKEN'])", token=hub.user)
