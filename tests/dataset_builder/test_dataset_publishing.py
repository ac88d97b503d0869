"""python -m dataset_builder --push_to_hub, and load_dataset, over HTTP, by the real clients."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from datasets import load_dataset
from huggingface_hub import DatasetCard

from dataset_builder.__main__ import main
from tests.local_hub import CUT

SMALL = ["--train_per_class=20", "--validation_per_class=5", "--test_per_class=10"]
SPLITS = ("train", "validation", "test")
PATHS = [".gitattributes", "README.md", "build.json", *(f"data/{split}-00000-of-00001.parquet" for split in SPLITS)]


@pytest.fixture
def build(hub, call):
    """A function that runs the command in this process, by default as "user"."""

    def run(*arguments, token: str | None = hub.user):
        return call(main, *arguments, api=hub.api(token))

    return run


@pytest.fixture
def push(build):
    """A function that publishes a folder that was built before."""

    def run(folder: Path, name: str = "user/nt-species", *flags, **options):
        return build("--push_only", "--output_dir", folder, "--hub_dataset_id", name, *flags, **options)

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small data set, built once and pushed by many tests."""
    folder = tmp_path_factory.mktemp("built") / "nt-species"
    main(["--source", "synthetic", "--output_dir", str(folder), *SMALL])
    return folder


def refusal(process) -> str:
    """The one sentence of a process that ended with status 2."""
    assert process.returncode == 2 and "Traceback" not in process.stderr, process.stderr
    (line,) = [line for line in process.stderr.splitlines() if line.startswith("dataset_builder: error: ")]
    return line


def upload(hub, repo_id: str, path: str, content: bytes) -> None:
    hub.api(hub.user).upload_file(
        path_or_fileobj=content, path_in_repo=path, repo_id=repo_id, repo_type="dataset", commit_message="By hand"
    )


LOAD = """
    import json
    from datasets import load_dataset

    found = {}
    for name in ("default", "w120"):
        sets = load_dataset("user/nt-species", name)
        streams = load_dataset("user/nt-species", name, streaming=True)
        found[name] = {split: rows.to_list() for split, rows in sets.items()}
        assert found[name] == {split: list(rows) for split, rows in streams.items()}
    print(json.dumps(found))
"""


def test_a_data_set_is_built_and_published_and_loaded_and_streamed_elsewhere(hub):
    flags = ["--source", "synthetic", *SMALL, "--push_to_hub", "--hub_dataset_id", "user/nt-species"]
    command = ["-m", "dataset_builder", *flags, "--hub_private_repo", "--output_dir"]
    wide = ["--window_nt", "120", "--config_name", "w120"]
    for options in (["d60"], ["d120", *wide]):
        done = hub.run(*command, *options, cwd=hub.folder, ours=True, token=hub.user)
        assert done.returncode == 0, done.stderr
    repository = hub.server.repository("datasets", "user/nt-species")
    history = repository.history()  # its oldest commit made the repository
    assert len(history) == 3 and repository.private and f'"w120", revision="{history[0]["id"]}"' in done.stdout
    parquet = [path for path in PATHS if path.startswith("data/")]
    wanted = [*PATHS, "w120/build.json", *(path.replace("data/", "w120/") for path in parquet)]
    assert sorted(repository.files()) == sorted(wanted)

    hub.server.log.clear()
    loaded = json.loads(hub.python(LOAD, token=hub.user))
    assert {request.status for request in hub.server.requests("GET /objects/")} == {200, 206}  # 206: streamed
    for config, name in (("default", "d60"), ("w120", "d120")):
        local = load_dataset(str(hub.folder / name), config)
        assert loaded[config] == {split: rows.to_list() for split, rows in local.items()}
    assert {len(row["sequence"]) for row in loaded["w120"]["test"]} == {120}

    card = DatasetCard(hub.server.read("datasets", "user/nt-species", "README.md").decode())
    assert [config["config_name"] for config in card.data.configs] == ["default", "w120"]
    assert card.data.license == "cc0-1.0"
    for section in ("## Configuration `w120`", "### Leakage filter", "### Composition", "## Limits"):
        assert section in card.text.splitlines()
    for command in ("--window_nt 60 ", "--window_nt 120 "):
        assert f"python -m dataset_builder --source synthetic {command}" in card.text
    code = card.text.split("```python\n")[1].split("```")[0]
    hub.python(f"{code}\nassert len(windows['train'][0]['sequence']) == 120", token=hub.user)
    assert "{{" not in card.content and "PATH_OF" not in card.content and str(hub.folder) not in card.content


def copy_as(folder: Path, copy: Path, name: str, **fields) -> Path:
    """The data set of `folder` as the configuration `name` of another folder."""
    record = json.loads((folder / "build.json").read_text())
    files = {path.replace("data/", f"{name}/"): digest for path, digest in record["files"].items()}
    shutil.copytree(folder / "data", copy / name)
    (copy / name / "build.json").write_text(json.dumps(record | {"config_name": name, "files": files} | fields))
    return copy


def test_the_same_content_makes_no_commit_and_another_build_one_that_leaves_nothing_of_the_old(hub, push, folder):
    assert push(folder).returncode == 0
    again = push(folder)
    assert again.returncode == 0 and "already there, unchanged" in again.stdout
    assert len(hub.server.repository("datasets", "user/nt-species").history()) == 2

    sharded = hub.folder / "sharded"
    shutil.copytree(folder, sharded)
    (sharded / "data" / PATHS[3].removeprefix("data/")).rename(sharded / "data" / "train-00000-of-00002.parquet")
    record = json.loads((sharded / "build.json").read_text())
    record["files"]["data/train-00000-of-00002.parquet"] = record["files"].pop(PATHS[3])
    (sharded / "build.json").write_text(json.dumps(record))
    assert push(sharded).returncode == 0
    repository = hub.server.repository("datasets", "user/nt-species")
    assert len(repository.history()) == 3
    assert PATHS[3] not in repository.files() and "data/train-00000-of-00002.parquet" in repository.files()
    assert not repository.private


def test_a_branch_is_created_and_main_stays_unchanged(hub, push, folder):
    assert push(folder, "user/nt-species", "--hub_revision", "draft").returncode == 0
    repository = hub.server.repository("datasets", "user/nt-species")
    assert list(repository.files()) == [".gitattributes"]
    assert sorted(repository.files("draft")) == sorted(PATHS)


def test_another_kind_of_source_in_the_same_repository_is_refused(hub, push, folder):
    assert push(folder).returncode == 0
    upload(hub, "user/nt-species", "figure.txt", b"x")
    sentence = refusal(push(copy_as(folder, hub.folder / "other", "real", source="folder", synthetic=False)))
    assert "user/nt-species" in sentence and "'synthetic'" in sentence and "'folder'" in sentence
    assert "figure.txt" in hub.server.repository("datasets", "user/nt-species").files()


def test_a_build_of_an_earlier_version_is_refused_here_and_there(hub, push, folder):
    earlier = copy_as(folder, hub.folder / "earlier", "old")
    record = json.loads((earlier / "old" / "build.json").read_text())
    record["species"] = record.pop("classes")
    (earlier / "old" / "build.json").write_text(json.dumps(record))
    sentence = refusal(push(earlier))
    assert str(earlier) in sentence and "'old'" in sentence and record["builder_version"] in sentence
    assert push(folder).returncode == 0
    upload(hub, "user/nt-species", "old/build.json", json.dumps(record).encode())
    sentence = refusal(push(folder))
    assert "user/nt-species" in sentence and "'old'" in sentence


def test_configurations_pushed_at_once_are_all_there(hub, folder):
    commands = []
    for name in ("a", "b", "c"):
        config = copy_as(folder, hub.folder / name, name)
        commands.append(["--push_only", "--output_dir", str(config), "--hub_dataset_id", "user/nt-species"])
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda command: main(command, api=hub.api(hub.user)), commands))
    card = DatasetCard(hub.server.read("datasets", "user/nt-species", "README.md").decode())
    assert [config["config_name"] for config in card.data.configs] == ["a", "b", "c"]
    assert len(hub.server.repository("datasets", "user/nt-species").history()) == 4


# Every call of a push, with each of the faults that pass; the connection is cut in the middle of a body.
CALLS = {
    "whoami": "GET /api/whoami-v2$",
    "look": "GET /api/datasets/user/nt-species/revision/main$",
    "create": "POST /api/repos/create",
    "tree": "GET /api/datasets/user/nt-species/tree/.*",
    "validate": "POST /api/validate-yaml",
    "preupload": "POST /api/datasets/user/nt-species/preupload/.*",
    "batch": "POST /datasets/user/nt-species.git/info/lfs/objects/batch",
    "upload": "PUT /objects/.*",
    "commit": "POST /api/datasets/user/nt-species/commit/.*",
}


@pytest.mark.parametrize(("status", "calls"), [(503, CALLS), (CUT, CALLS), (429, ["create", "commit"])])
def test_a_push_goes_on_after_two_faults_of_every_call(hub, push, folder, slept, status, calls):
    patterns = [CALLS[call] for call in calls]
    for pattern in patterns:
        hub.server.fail(pattern, status, times=2, retry_after=7 if status == 429 else None)
    process = push(folder)
    assert process.returncode == 0, process.stderr
    for pattern in patterns:
        assert [request.status for request in hub.server.requests(pattern)].count(status) == 2, pattern
    assert (7 in slept) == (status == 429)
    repository = hub.server.repository("datasets", "user/nt-species")
    assert len(repository.history()) == 2 and sorted(repository.files()) == sorted(PATHS)


def test_a_fault_that_stays_is_one_sentence_and_nothing_is_lost(hub, push, folder, slept):
    hub.server.fail(CALLS["commit"], 503, times=1000)
    sentence = refusal(push(folder))
    assert all(fact in sentence for fact in ("user/nt-species: ", "503", "6 times", str(folder), "--push_only"))
    assert slept == [1, 1, 2, 4, 8]
    assert list(hub.server.repository("datasets", "user/nt-species").files()) == [".gitattributes"]

    hub.server.stop_failing()
    assert push(folder).returncode == 0
    assert sorted(hub.server.repository("datasets", "user/nt-species").files()) == sorted(PATHS)


@pytest.mark.parametrize(
    ("token", "name", "flags", "facts"),
    [
        (None, "user/nt-species", [], ["HF_TOKEN", "hf auth login"]),
        ("hf_UserMayWrite", "reader/nt-species", [], ["logged in as user"]),
        ("hf_UserMayWrite", "user/taken", [], ["notes.txt"]),
        ("hf_UserMayWrite", "user/public", ["--hub_private_repo"], ["public"]),
    ],
)
def test_what_would_be_refused_at_the_end_is_said_before_anything_is_built(
    hub, build, tmp_path, token, name, flags, facts
):
    for taken in ("user/taken", "user/public"):
        hub.api(hub.user).create_repo(taken, repo_type="dataset")
    upload(hub, "user/taken", "notes.txt", b"")
    arguments = ["--source", "synthetic", "--output_dir", tmp_path / "out", "--push_to_hub", "--hub_dataset_id", name]
    sentence = refusal(build(*arguments, *flags, token=token))
    assert all(fact in sentence for fact in [name, *facts])
    assert not (tmp_path / "out").exists()
    assert len(hub.server.requests("POST /api/datasets/.*/commit/")) == 1  # that of notes.txt


def test_a_repository_with_a_record_of_something_else_is_told_from_ours(hub, push, folder):
    hub.api(hub.user).create_repo("user/web", repo_type="dataset")
    for path, content in {"web/build.json": b'{"name": "web"}', "build.json": b"[]"}.items():
        upload(hub, "user/web", path, content)
    sentence = refusal(push(folder, "user/web"))
    assert "user/web" in sentence and "build.json" in sentence
    assert hub.server.read("datasets", "user/web", "build.json") == b"[]"


def test_a_folder_that_is_no_data_set_or_lacks_a_file_is_refused(hub, push, folder, tmp_path):
    sentence = refusal(push(tmp_path))
    assert str(tmp_path) in sentence and "0 data sets" in sentence
    shutil.copytree(folder, tmp_path / "torn")
    (tmp_path / "torn" / PATHS[3]).unlink()
    sentence = refusal(push(tmp_path / "torn"))
    assert str(tmp_path / "torn") in sentence and PATHS[3] in sentence
    assert hub.server.log == []
