"""The Hub on 127.0.0.1 -> what the real clients, each in a process of its own, make of it."""

import hashlib
import json
import socket
import textwrap
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

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


PUSH_FOLDER = """
    import sys
    from pathlib import Path
    from huggingface_hub import HfApi

    folder = Path("checkpoint")
    (folder / "adapter").mkdir(parents=True)
    (folder / "config.json").write_text(sys.argv[1])
    (folder / "adapter" / "notes.txt").write_text("é")
    (folder / "model.safetensors").write_bytes(bytes(1000))
    (folder / "big.bin").write_bytes(b"ACGT" * 5_000_000)
    api = HfApi()
    api.create_repo("user/dna", exist_ok=True)
    print(api.upload_folder(repo_id="user/dna", folder_path=folder, commit_message="Push").oid)
"""


def test_a_pushed_folder_comes_back_by_branch_and_commit(hub):
    first = hub.python(PUSH_FOLDER, "one", token=hub.user)
    assert len(hub.server.requests("PUT /objects/.*")) == 2
    hub.python('from huggingface_hub import HfApi; HfApi().create_branch("user/dna", branch="v1")', token=hub.user)
    second = hub.python(PUSH_FOLDER, "two", token=hub.user)
    assert first != second
    assert len(hub.server.requests("PUT /objects/.*")) == 2, "what had not changed was sent again"

    hub.server.log.clear()
    came_back = hub.python(
        """
        import json, sys
        from pathlib import Path
        from huggingface_hub import HfApi, hf_hub_download, snapshot_download

        first, second = sys.argv[1:]
        assert sorted(HfApi().list_repo_files("user/dna")) == [
            ".gitattributes", "adapter/notes.txt", "big.bin", "config.json", "model.safetensors"]
        configs = {}
        for revision in ("main", "v1", first, second):
            file = hf_hub_download("user/dna", "config.json", revision=revision)
            configs[revision] = Path(file).read_text()
            assert Path(file).parent.name == {"main": second, "v1": first}.get(revision, revision)
        folder = Path(snapshot_download("user/dna", revision="v1"))
        assert (folder / "big.bin").read_bytes() == b"ACGT" * 5_000_000
        assert (folder / "adapter" / "notes.txt").read_text() == "é"
        print(json.dumps(configs))
        """,
        first,
        second,
    )
    assert json.loads(came_back) == {"main": "two", "v1": "one", first: "one", second: "two"}
    assert hub.server.requests("HEAD /user/dna/resolve/.*/big.bin")[0].status == 302
    assert not any(request.with_token for request in hub.server.log)  # nobody was logged in
    assert hub.server.read("models", "user/dna", "config.json") == b"two"


def test_large_files_travel_by_another_host_which_never_sees_a_token(hub):
    hub.python(PUSH_FOLDER, "one", token=hub.user)
    hub.python('from huggingface_hub import snapshot_download; snapshot_download("user/dna")', token=hub.user)
    on_cdn = [request for request in hub.server.log if request.host == "cdn"]
    assert {request.method for request in on_cdn} == {"PUT", "GET"}
    assert not any(request.with_token for request in on_cdn)
    assert any(request.with_token for request in hub.server.log if request.host == "hub")
    assert not any("hf_" in str(request) for request in hub.server.log)


def test_a_second_push_of_the_same_content_makes_no_commit(hub):
    first = hub.python(PUSH_FOLDER, "one", token=hub.user)
    hub.server.log.clear()
    assert hub.python(PUSH_FOLDER, "one", token=hub.user) == first
    assert len(hub.server.repository("models", "user/dna").history()) == 2  # the first one made the repository
    assert hub.server.requests("POST /api/models/user/dna/preupload/main")
    assert not hub.server.requests("POST /api/models/user/dna/commit/")
    assert not hub.server.requests("PUT ")


def test_files_are_deleted_by_a_commit(hub):
    hub.python(PUSH_FOLDER, "one", token=hub.user)
    hub.python(
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

        api = HfApi()
        api.delete_file("config.json", "user/dna")
        api.delete_file("adapter/notes.txt", "user/dna")
        parent = api.model_info("user/dna").sha
        add = [CommitOperationAdd("new.txt", b"new"), CommitOperationDelete("big.bin")]
        api.create_commit("user/dna", operations=add, commit_message="Both", parent_commit=parent)
        assert sorted(api.list_repo_files("user/dna")) == [".gitattributes", "model.safetensors", "new.txt"]
        """,
        token=hub.user,
    )
    assert len(hub.server.repository("models", "user/dna").history()) == 5


def test_a_commit_on_top_of_another_than_the_last_one_is_refused(hub, repository):
    header = b'{"key": "header", "value": {"summary": "late", "parentCommit": "%s"}}' % (b"0" * 40)
    assert ask(f"{hub.server.url}/api/models/user/dna/commit/main", hub.user, header)[0] == 412


SEE_PRIVATE = """
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    for look in (
        lambda: hf_hub_download("user/secret", "a.txt"),
        lambda: HfApi().repo_info("user/secret"),
        lambda: HfApi().list_repo_files("user/secret"),
        lambda: HfApi().whoami()["name"],
    ):
        try:
            look()
            print("seen", end=" ")
        except (HfHubHTTPError, OSError) as error:
            print(type(error).__name__, end=" ")
"""


def test_a_private_repository_is_seen_with_its_owners_tokens_only(hub):
    hub.python(
        """
        from huggingface_hub import HfApi

        HfApi().create_repo("user/secret", private=True)
        HfApi().upload_file(path_or_fileobj=b"a", path_in_repo="a.txt", repo_id="user/secret")
        """,
        token=hub.user,
    )
    hidden = "RepositoryNotFoundError"
    assert hub.python(SEE_PRIVATE, token=hub.user) == "seen seen seen seen"
    assert hub.python(SEE_PRIVATE, token=hub.user_read) == "seen seen seen seen"
    assert hub.python(SEE_PRIVATE, token=hub.reader).split() == [hidden, hidden, hidden, "seen"]
    assert hub.python(SEE_PRIVATE).split()[:3] == [hidden] * 3
    wrong = hub.python(SEE_PRIVATE, token="hf_wrong").split()
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
    process = hub.run("-c", "from huggingface_hub import HfApi; HfApi().create_repo('dna')", token=hub.user_read)
    assert process.returncode == 1
    assert '403 Forbidden: You don\'t have the rights to write under the namespace "user"' in process.stderr


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
    names = hub.python(
        """
        from huggingface_hub import HfApi, hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError

        for look in (
            lambda: hf_hub_download("user/nothing", "config.json"),
            lambda: hf_hub_download("user/dna", "config.json"),
            lambda: hf_hub_download("user/dna", "config.json", revision="v9"),
            lambda: list(HfApi().list_repo_tree("user/dna", "nothing")),
        ):
            try:
                look()
            except HfHubHTTPError as error:
                print(type(error).__name__)
        """
    )
    assert names.split() == [
        "RepositoryNotFoundError",
        "RemoteEntryNotFoundError",
        "RevisionNotFoundError",
        "RemoteEntryNotFoundError",
    ]


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


PUSH_DATASET = """
    import sys
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

    features = Features({"sequence": Value("string"), "label": ClassLabel(names=["fly", "yeast"])})
    for argument in sys.argv[1:]:
        config, width, revision = argument.split()
        splits = DatasetDict()
        for split, words in {"train": ["ACGT", "TTTT"], "test": ["GGGG", "CCCC"]}.items():
            columns = {"sequence": [word * int(width) for word in words], "label": [0, 1]}
            splits[split] = Dataset.from_dict(columns, features=features)
        print(splits.push_to_hub("user/windows", config, private=True, revision=revision).oid)
"""
LOAD_DATASET = """
    from datasets import load_dataset

    for config, width in {"w60": 15, "w120": 30}.items():
        splits = load_dataset("user/windows", config)
        assert splits["train"].features["label"].names == ["fly", "yeast"]
        assert list(splits["train"]["sequence"]) == ["ACGT" * width, "TTTT" * width]
        assert list(splits["test"]["sequence"]) == ["GGGG" * width, "CCCC" * width]
"""
STREAM_DATASET = """
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError

    try:
        load_dataset("user/windows", "w60", token=False)
    except DatasetNotFoundError:
        print("refused")
    stream = load_dataset("user/windows", "w120", split="test", streaming=True)
    assert next(iter(stream)) == {"sequence": "GGGG" * 30, "label": 0}
    assert len(list(load_dataset("user/windows", "w60", split="train", revision="draft", streaming=True))) == 2
"""


def test_two_configurations_of_a_data_set_are_pushed_and_loaded_and_streamed(hub):
    commits = hub.python(PUSH_DATASET, "w60 15 main", "w120 30 main", "w60 15 draft", token=hub.user).split()
    assert len(hub.server.requests("PUT /objects/")) == 4
    history = hub.server.repository("datasets", "user/windows").history()
    assert [commit["id"] for commit in history][:-1] == [commits[1], commits[0]]
    assert commits[2] == commits[1], "the branch began with this configuration in it"

    hub.server.log.clear()
    hub.python(LOAD_DATASET, token=hub.user)
    assert hub.server.requests(f"HEAD /datasets/user/windows/resolve/{commits[1]}/w60/train-00000-of-00001.parquet")
    assert [request.status for request in hub.server.requests("GET /objects/")] == [200] * 4
    hub.server.log.clear()
    assert hub.python(STREAM_DATASET, token=hub.user) == "refused"
    assert {request.status for request in hub.server.requests("GET /objects/")} == {206}
    assert not any(request.with_token for request in hub.server.requests("GET /objects/"))

    hub.server.log.clear()
    assert hub.python(PUSH_DATASET, "w120 30 main", token=hub.user) == commits[1]
    assert not hub.server.requests("(PUT|POST .*/commit/)"), "the same content was sent again"


def test_a_model_is_pushed_by_transformers_and_loaded_by_a_pipeline(hub):
    hub.python(
        """
        import torch
        from tokenizers import Tokenizer, models, pre_tokenizers
        from transformers import EsmConfig, EsmForSequenceClassification, PreTrainedTokenizerFast

        torch.manual_seed(0)
        letters = {token: i for i, token in enumerate(["<pad>", "<mask>", "A", "C", "G", "T"])}
        rust = Tokenizer(models.WordLevel(letters, "A"))
        rust.pre_tokenizer = pre_tokenizers.Split("", "isolated")
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=rust, pad_token="<pad>", mask_token="<mask>")
        config = EsmConfig(
            vocab_size=6, pad_token_id=0, mask_token_id=1, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=16, max_position_embeddings=64, num_labels=3,
        )
        EsmForSequenceClassification(config).push_to_hub("user/tiny-esm", private=True)
        tokenizer.push_to_hub("user/tiny-esm")
        """,
        token=hub.user,
    )
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(
        hub.server.repository("models", "user/tiny-esm").files()
    )
    hub.server.log.clear()
    hub.python(
        """
        from transformers import AutoConfig, AutoModelForSequenceClassification, pipeline

        try:
            AutoConfig.from_pretrained("user/tiny-esm", token=False)
        except OSError as error:
            assert "is not a local folder and is not a valid model identifier" in str(error)
        else:
            raise AssertionError("a private model was loaded without a token")
        model = AutoModelForSequenceClassification.from_pretrained("user/tiny-esm")
        assert model.config.num_labels == 3
        found = pipeline("text-classification", model="user/tiny-esm")("ACGT")
        assert found[0]["label"] in model.config.label2id
        """,
        token=hub.user,
    )
    assert hub.server.requests("HEAD /user/tiny-esm/resolve/.*/model.safetensors")[0].status == 302


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
PUSH_CARD = """
    import sys
    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo("user/dna", exist_ok=True)
    try:
        api.upload_file(path_or_fileobj=sys.argv[1].encode(), path_in_repo="README.md", repo_id="user/dna")
    except ValueError as error:
        print(error)
    else:
        info = api.model_info("user/dna")
        print(info.pipeline_tag, info.card_data.eval_results[0].metric_value, info.card_data.license)
"""


def test_a_card_is_pushed_and_read_and_an_invalid_one_refused_before_anything_is_sent(hub):
    assert hub.python(PUSH_CARD, GOOD_CARD, token=hub.user) == "text-classification 0.91 cc-by-nc-sa-4.0"
    assert hub.server.requests("POST /api/validate-yaml")[-1].status == 200
    hub.server.log.clear()
    bad = GOOD_CARD.replace("cc-by-nc-sa-4.0", "CC BY").replace("name: nt-species", "name: ''")
    printed = hub.python(PUSH_CARD, bad, token=hub.user)
    assert "Invalid metadata in README.md" in printed
    assert '"license" must be one of' in printed
    assert '"model-index[0].results[0].dataset.name" is required' in printed
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


def test_uploads_go_on_after_faults(hub):
    contents = {"a.bin": b"A" * 100, "c.bin": b"C" * 100, "g.bin": b"G" * 100, "t.bin": b"T" * 5_000_000}
    sha256 = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    for name, status in {"a.bin": 500, "c.bin": 503, "g.bin": 429, "t.bin": CUT}.items():
        hub.server.fail(f"PUT /objects/{sha256[name]}", status, times=2, retry_after=0 if status == 429 else None)
    hub.python(
        """
        from huggingface_hub import HfApi, CommitOperationAdd

        HfApi().create_repo("user/dna")
        contents = {"a.bin": b"A" * 100, "c.bin": b"C" * 100, "g.bin": b"G" * 100, "t.bin": b"T" * 5_000_000}
        operations = [CommitOperationAdd(name, content) for name, content in contents.items()]
        HfApi().create_commit("user/dna", operations=operations, commit_message="Push")
        """,
        token=hub.user,
    )
    for name, status in {"a.bin": 500, "c.bin": 503, "g.bin": 429, "t.bin": CUT}.items():
        seen = hub.server.requests(f"PUT /objects/{sha256[name]}")
        assert [request.status for request in seen] == [status, status, 200]
        assert hub.server.read("models", "user/dna", name) == contents[name]
    assert len(hub.server.repository("models", "user/dna").history()) == 2


@pytest.mark.parametrize("path", ["repos/create", "validate-yaml", "models/user/dna/commit/main"])
@pytest.mark.parametrize("status", [503, CUT])
def test_the_client_itself_does_not_repeat_these_calls(hub, path, status):
    """Whoever pushes has to, then; nothing half-done stands on the Hub."""
    hub.server.fail(f"POST /api/{path}", status, times=1)
    process = hub.run("-c", textwrap.dedent(PUSH_CARD), GOOD_CARD, token=hub.user)
    assert process.returncode == 1 and ("503" if status else "httpx2.") in process.stderr
    assert [request.status for request in hub.server.requests(f"POST /api/{path}")] == [status]
    assert hub.python(PUSH_CARD, GOOD_CARD, token=hub.user)
    assert len(hub.server.repository("models", "user/dna").history()) == 2


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
    code = "import importlib.util as u; print(bool(u.find_spec('hub_code')), bool(u.find_spec('dataset_builder')))"
    assert hub.python(code) == "False False"
    assert hub.python(code, ours=True) == "True True"


def test_a_printed_token_fails_the_test(hub):
    with pytest.raises(AssertionError, match="a token was printed"):
        hub.python("import os; print(os.environ['HF_TOKEN'])", token=hub.user)
