"""python -m dataset_builder --push_to_hub, and load_dataset, over HTTP, by the real clients."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from huggingface_hub import DatasetCard

from tests.local_hub import CUT

SMALL = ["--train_per_species=20", "--validation_per_species=5", "--test_per_species=10"]
SPLITS = ("train", "validation", "test")
PATHS = [".gitattributes", "README.md", "build.json", *(f"data/{split}-00000-of-00001.parquet" for split in SPLITS)]


def build(hub, *arguments, **options):
    """The command as a user types it."""
    return hub.run("-m", "dataset_builder", *arguments, ours=True, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small data set, built once and pushed by many tests."""
    from dataset_builder.__main__ import main

    folder = tmp_path_factory.mktemp("built") / "nt-species"
    assert main(["--source", "synthetic", "--output_dir", str(folder), *SMALL]) == 0
    return folder


def push(hub, folder, name="user/nt-species", *flags, token="user", **options):
    options["token"] = token and getattr(hub, token)
    return build(hub, "--push_only", "--output_dir", folder, "--push_to_hub", name, *flags, **options)


def refusal(process) -> str:
    """The one sentence of a process that ended with status 2."""
    assert process.returncode == 2 and "Traceback" not in process.stderr, process.stderr
    (line,) = [line for line in process.stderr.splitlines() if line.startswith("error: ")]
    return line


def test_a_data_set_is_built_and_published_and_loaded_and_streamed_elsewhere(hub):
    flags = ["--source", "synthetic", *SMALL, "--push_to_hub", "user/nt-species", "--private", "--output_dir"]
    done = build(hub, *flags, hub.folder / "d60", token=hub.user)
    assert done.returncode == 0, done.stderr
    wide = ["--window_nt", "120", "--config_name", "w120"]
    done = build(hub, *flags, hub.folder / "d120", *wide, token=hub.user)
    assert done.returncode == 0, done.stderr
    history = hub.server.repository("datasets", "user/nt-species").history()
    assert (
        len(history) == 3 and f'"w120", revision="{history[0]["id"]}"' in done.stdout
    )  # the oldest made the repository
    assert hub.server.repository("datasets", "user/nt-species").private
    assert sorted(hub.server.repository("datasets", "user/nt-species").files()) == sorted(
        [*PATHS, "w120/build.json", *(path.replace("data/", "w120/") for path in PATHS if path.startswith("data/"))]
    )

    hub.server.log.clear()
    load = """
        import json, sys
        from datasets import load_dataset

        default, wide = load_dataset("user/nt-species"), load_dataset("user/nt-species", "w120")
        print(json.dumps({
            "names": default["train"].features["label"].names,
            "start": default["train"].features["start"].dtype,
            "default": {split: rows.to_list() for split, rows in default.items()},
            "w120": {split: rows.to_list() for split, rows in wide.items()},
        }))
    """
    loaded = json.loads(hub.python(load, token=hub.user))
    assert hub.server.requests("GET /objects/") and not any(r.status >= 400 for r in hub.server.requests("GET /obj"))
    local = (
        "from datasets import load_dataset; import json, sys; print(json.dumps({split: rows.to_list() for split, rows"
    )
    local += " in load_dataset(sys.argv[1], sys.argv[2]).items()}))"
    for config, name in (("default", "d60"), ("w120", "d120")):
        assert loaded[config] == json.loads(hub.python(local, hub.folder / name, config))
    assert loaded["names"][0] == "Homo sapiens" and len(loaded["names"]) == 6 and loaded["start"] == "int32"
    assert {len(row["sequence"]) for row in loaded["w120"]["test"]} == {120}

    hub.server.log.clear()
    stream = """
        import json
        from datasets import load_dataset

        rows = [list(load_dataset("user/nt-species", split=split, streaming=True)) for split in ("train", "test")]
        rows += [list(load_dataset("user/nt-species", "w120", split="test", streaming=True))]
        print(json.dumps(rows))
    """
    streamed = json.loads(hub.python(stream, token=hub.user))
    assert streamed == [loaded["default"]["train"], loaded["default"]["test"], loaded["w120"]["test"]]
    assert {request.status for request in hub.server.requests("GET /objects/")} == {206}

    card = DatasetCard(hub.server.read("datasets", "user/nt-species", "README.md").decode())
    assert [config["config_name"] for config in card.data.configs] == ["default", "w120"]
    assert [info["splits"][2]["num_examples"] for info in card.data.dataset_info] == [60, 60]
    assert card.data.license == "cc0-1.0" and card.data.size_categories == ["n<1K"]
    assert 'load_dataset("user/nt-species", "w120")  # 120 nt' in card.text
    for section in ("## Configuration `w120`", "### What the leak filter removed", "### Composition", "## Limits"):
        assert section in card.text.splitlines()
    for command in ("--window_nt 60 ", "--window_nt 120 "):
        assert f"python -m dataset_builder --source synthetic {command}" in card.text
    code = card.text.split("```python\n")[1].split("```")[0]
    hub.python(f"{code}\nassert len(windows['train'][0]['sequence']) == 120", token=hub.user)
    assert "{{" not in card.content and "PATH_OF" not in card.content and str(hub.folder) not in card.content


def test_the_same_content_makes_no_commit_and_another_build_one_that_leaves_nothing_of_the_old(hub, folder):
    assert push(hub, folder).returncode == 0
    again = push(hub, folder)
    assert again.returncode == 0 and "already there, unchanged" in again.stdout
    assert len(hub.server.repository("datasets", "user/nt-species").history()) == 2

    sharded = hub.folder / "sharded"
    shutil.copytree(folder, sharded)
    (sharded / "data" / PATHS[3].removeprefix("data/")).rename(sharded / "data" / "train-00000-of-00002.parquet")
    record = json.loads((sharded / "build.json").read_text())
    record["files"]["data/train-00000-of-00002.parquet"] = record["files"].pop(PATHS[3])
    (sharded / "build.json").write_text(json.dumps(record))
    assert push(hub, sharded).returncode == 0
    repository = hub.server.repository("datasets", "user/nt-species")
    assert len(repository.history()) == 3
    assert PATHS[3] not in repository.files() and "data/train-00000-of-00002.parquet" in repository.files()
    assert not repository.private


def test_a_branch_is_made_and_main_stays_as_it_is(hub, folder):
    assert push(hub, folder, "user/nt-species", "--revision", "draft").returncode == 0
    repository = hub.server.repository("datasets", "user/nt-species")
    assert list(repository.files()) == [".gitattributes"]
    assert sorted(repository.files("draft")) == sorted(PATHS)


def test_what_somebody_added_beside_stays(hub, folder):
    assert push(hub, folder).returncode == 0
    add = 'from huggingface_hub import HfApi; HfApi().upload_file(path_or_fileobj=b"x", path_in_repo="figure.txt",'
    hub.python(f'{add} repo_id="user/nt-species", repo_type="dataset")', token=hub.user)
    shutil.copytree(folder, hub.folder / "changed")
    record = json.loads((folder / "build.json").read_text())
    (hub.folder / "changed" / "build.json").write_text(json.dumps(record | {"seed": 7}))
    assert push(hub, hub.folder / "changed").returncode == 0
    assert sorted(hub.server.repository("datasets", "user/nt-species").files()) == sorted([*PATHS, "figure.txt"])


def test_another_kind_of_source_in_the_same_repository_is_refused(hub, folder):
    assert push(hub, folder).returncode == 0
    other = hub.folder / "other"
    (other / "real").mkdir(parents=True)
    record = json.loads((folder / "build.json").read_text())
    record |= {"config_name": "real", "source": "folder", "synthetic": False, "files": {}}
    (other / "real" / "build.json").write_text(json.dumps(record))
    sentence = refusal(push(hub, other))
    assert "'synthetic', and this one is from 'folder'; name another repository." in sentence
    assert "to publish it later" not in sentence, "the same command would fail again"
    assert len(hub.server.repository("datasets", "user/nt-species").history()) == 2


def test_two_configurations_pushed_at_once_are_both_there(hub, folder):
    commands, processes = [], []
    for name in ("a", "b", "c"):
        config = hub.folder / name
        (config / name).mkdir(parents=True)
        record = json.loads((folder / "build.json").read_text())
        files = {path.replace("data/", f"{name}/"): digest for path, digest in record["files"].items()}
        for path in files:
            shutil.copy(folder / "data" / Path(path).name, config / path)
        (config / name / "build.json").write_text(json.dumps(record | {"config_name": name, "files": files}))
        commands.append(config)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(3) as pool:
        processes = list(pool.map(lambda config: push(hub, config), commands))
    assert [process.returncode for process in processes] == [0, 0, 0], [process.stderr for process in processes]
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


@pytest.mark.parametrize(
    ("status", "calls"), [(503, CALLS), (CUT, CALLS), (500, ["create", "commit"]), (429, ["create", "commit"])]
)
@pytest.mark.slow
def test_a_push_goes_on_after_two_faults_of_every_call(hub, folder, status, calls):
    patterns = [CALLS[call] for call in calls]
    for pattern in patterns:
        hub.server.fail(pattern, status, times=2, retry_after={429: 1, 503: 0}.get(status))
    process = push(hub, folder)
    assert process.returncode == 0, process.stderr
    for pattern in patterns:
        assert [request.status for request in hub.server.requests(pattern)].count(status) == 2, pattern
    repository = hub.server.repository("datasets", "user/nt-species")
    assert len(repository.history()) == 2 and sorted(repository.files()) == sorted(PATHS)


def test_a_fault_that_stays_is_one_sentence_and_nothing_is_lost(hub, folder):
    hub.server.fail(CALLS["commit"], 503, times=1000, retry_after=0)
    sentence = refusal(push(hub, folder))
    assert sentence.startswith("error: user/nt-species: the Hub answered 503, 6 times in a row; try again later.")
    assert f"to publish it later: python -m dataset_builder --push_only --output_dir {folder}" in sentence
    assert list(hub.server.repository("datasets", "user/nt-species").files()) == [".gitattributes"]

    hub.server.stop_failing()
    assert push(hub, folder).returncode == 0
    assert sorted(hub.server.repository("datasets", "user/nt-species").files()) == sorted(PATHS)


@pytest.mark.slow
def test_a_hub_that_does_not_answer_at_all_is_said_before_anything_is_built(hub, tmp_path):
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    flags = ["--source", "synthetic", "--output_dir", tmp_path / "out", "--push_to_hub", "user/nt-species"]
    sentence = refusal(build(hub, *flags, token=hub.user, env=nowhere))
    assert "the connection to http://127.0.0.1:9 failed 6 times (ConnectError)" in sentence
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("token", "name", "flags", "said"),
    [
        (None, "user/nt-species", [], "nobody is logged in; set HF_TOKEN (which goes first), or log in with"),
        ("wrong", "user/nt-species", [], "the Hub does not accept the token; make one at"),
        ("user_read", "user/nt-species", [], "the token may only read"),
        ("user", "reader/nt-species", [], "you are logged in as user, and may not write there"),
        ("user", "user/nt..species", [], "is no name for a repository"),
        ("user", "user/nt/species", [], "is no name for a repository"),
        ("user", "user/taken", [], "is there already, with files of something else (notes.txt"),
        ("user", "user/public", ["--private"], "is there already, and public"),
    ],
)
def test_what_would_be_refused_at_the_end_is_said_before_anything_is_built(hub, tmp_path, token, name, flags, said):
    hub.wrong = "hf_Wrong"
    make = """
        from huggingface_hub import HfApi

        for name in ("user/taken", "user/public"):
            HfApi().create_repo(name, repo_type="dataset")
        HfApi().upload_file(path_or_fileobj=b"", path_in_repo="notes.txt", repo_id="user/taken", repo_type="dataset")
    """
    if name in ("user/taken", "user/public"):
        hub.python(make, token=hub.user)
    arguments = ["--source", "synthetic", "--output_dir", tmp_path / "out", "--push_to_hub", name, *flags]
    sentence = refusal(build(hub, *arguments, token=token and getattr(hub, token)))
    assert said in sentence and name in sentence
    assert not (tmp_path / "out").exists()
    assert not hub.server.requests("POST /api/datasets/.*/commit/.*taken") and "hf_Wrong" not in sentence


def test_a_licence_that_the_hub_does_not_know_and_another_source_are_refused_before_the_building(
    hub, folder, tmp_path
):
    assert push(hub, folder).returncode == 0
    flags = ["--source", tmp_path, "--output_dir", tmp_path / "out", "--push_to_hub"]
    sentence = refusal(build(hub, *flags, "user/new", "--license", "my very own", token=hub.user))
    assert "--license my very own: the Hub knows no such licence" in sentence
    sentence = refusal(build(hub, *flags, "user/nt-species", "--config_name", "real", token=hub.user))
    assert "from the source 'synthetic', and this one is from 'folder'" in sentence


def test_a_repository_with_a_record_of_something_else_is_told_from_ours(hub, folder):
    make = """
        from huggingface_hub import HfApi

        HfApi().create_repo("user/web", repo_type="dataset")
        for path, text in {"web/build.json": b'{"name": "web"}', "build.json": b"[]"}.items():
            HfApi().upload_file(path_or_fileobj=text, path_in_repo=path, repo_id="user/web", repo_type="dataset")
    """
    hub.python(make, token=hub.user)
    sentence = refusal(push(hub, folder, "user/web"))
    assert "user/web is there already, with a build.json of something else" in sentence
    assert hub.server.read("datasets", "user/web", "build.json") == b"[]"


def test_a_fault_while_other_configurations_are_read_passes(hub, folder):
    assert push(hub, folder).returncode == 0
    wide = hub.folder / "w"
    (wide / "w").mkdir(parents=True)
    record = json.loads((folder / "build.json").read_text()) | {"config_name": "w", "files": {}}
    (wide / "w" / "build.json").write_text(json.dumps(record))
    for status in (CUT, 503):
        hub.server.fail("(HEAD|GET) /datasets/user/nt-species/resolve/.*build.json", status, times=2, retry_after=0)
        assert push(hub, wide).returncode == 0
    card = DatasetCard(hub.server.read("datasets", "user/nt-species", "README.md").decode())
    assert [config["config_name"] for config in card.data.configs] == ["default", "w"]


def test_offline_is_said(hub, folder):
    assert "HF_HUB_OFFLINE is set" in refusal(push(hub, folder, env={"HF_HUB_OFFLINE": "1"}))
    assert hub.server.log == []


def test_an_interrupt_in_the_middle_of_a_push_says_how_to_go_on(hub, folder):
    hub.server.fail(CALLS["commit"], 503, times=1000, retry_after=30)
    process = subprocess.Popen(
        [sys.executable, "-m", "dataset_builder", "--push_only", "--output_dir", folder, "--push_to_hub", "user/x"],
        env=hub.environment(token=hub.user, ours=True),
        stderr=subprocess.PIPE,
        text=True,
    )
    hub.server.fail("POST /api/datasets/user/x/commit/.*", 503, times=1000, retry_after=30)
    deadline = time.monotonic() + 60
    while not hub.server.requests("POST /api/datasets/user/x/commit/") and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    process.terminate()  # as an interrupt from the keyboard, which a background job of a shell does not get
    _, errors = process.communicate(timeout=60)
    assert "interrupted. The data set is whole in" in errors and "Traceback" not in errors
    assert list(hub.server.repository("datasets", "user/x").files()) == [".gitattributes"]


def test_a_folder_that_is_no_data_set_or_lacks_a_file_is_refused(hub, folder, tmp_path):
    assert "holds 0 data sets of this program" in refusal(push(hub, tmp_path))
    shutil.copytree(folder, tmp_path / "torn")
    (tmp_path / "torn" / PATHS[3]).unlink()
    assert f"{PATHS[3]} is missing" in refusal(push(hub, tmp_path / "torn"))
    assert hub.server.log == []
