"""Data set -> its sequences, from a folder and from a Hub on 127.0.0.1."""

import gzip
import json
import re

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from dnahub.hub.faults import HubError
from dnahub.sequences.arguments import InputArguments
from dnahub.sequences.checks import SequenceFileError
from dnahub.sequences.sources import open_sequences

FEATURES = Features({"sequence": Value("string"), "label": ClassLabel(names=["fly", "mouse"])})
ROWS = {
    "train": [{"sequence": "ACGT" * i, "label": i % 3 - 1} for i in range(1, 3000)],  # -1: without one
    "test": [{"sequence": "TT", "label": 1}],
}


def opened(name, **arguments):
    return open_sequences(InputArguments(dataset_name=str(name), **arguments))


def test_a_split_of_a_folder_is_streamed_with_its_columns_and_row_numbers(tmp_path, write_dataset):
    folder = write_dataset(tmp_path / "data", ROWS, FEATURES)
    reader = opened(folder, dataset_split="train", dataset_config_name="windows")
    assert reader.schema.names == ["id", "label"]
    size = sum(path.stat().st_size for path in folder.rglob("train*.parquet"))
    assert (reader.num_bytes, reader.bytes_read, reader.commit) == (size, 0, None)
    batches = list(reader)
    reader.check_unchanged()
    assert [row for batch in batches for row in batch.table.to_pylist()] == [
        {"id": str(i), "sequence": row["sequence"], "label": [None, "fly", "mouse"][row["label"] + 1]}
        for i, row in enumerate(ROWS["train"])
    ]
    assert re.fullmatch(rf"{folder}/.*train.*\.parquet, row 2\d+ \(2\d+\)", batches[-1].place(0))


@pytest.mark.parametrize(
    ("rows", "arguments", "facts"),
    [
        (ROWS, {}, ["train, test", "--dataset_split"]),
        (ROWS, {"dataset_split": "dev"}, ["'dev'", "train, test"]),
        (ROWS, {"dataset_split": "test", "dataset_config_name": "other"}, ["other", "--dataset_config_name"]),
        (ROWS, {"dataset_split": "test", "dataset_revision": "main"}, ["folder", "revision", "main"]),
        (ROWS, {"dataset_split": "test", "sequence_column": "dna"}, ["'dna'", "sequence, label"]),
        ({"test": []}, {}, ["test", "no sequences"]),
        ({"test": [{"sequence": "AC", "label": 0}, {"sequence": None, "label": 0}]}, {}, ["parquet, row 1 (1)"]),
        ({"test": [{"sequence": "NA", "label": 0}]}, {}, ["parquet, row 0 (0)", "NA"]),
        ({"test": [{"sequence": "AX", "label": 0}]}, {}, ["parquet, row 0 (0)", "'X' at position 1"]),
    ],
)
def test_what_cannot_be_read_from_a_folder_is_said(tmp_path, write_dataset, rows, arguments, facts):
    folder = write_dataset(tmp_path / "data", rows, FEATURES)
    with pytest.raises(SequenceFileError, match=re.escape(str(folder))) as refused:
        list(opened(folder, **arguments))
    for fact in facts:
        assert fact in str(refused.value)


def test_a_folder_without_data_with_several_data_sets_or_with_broken_files_is_refused(tmp_path, write_dataset):
    (tmp_path / "none").mkdir()
    with pytest.raises(SequenceFileError, match=str(tmp_path / "none")):
        opened(tmp_path / "none")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "old.py").write_text("")  # a loading script, which `datasets` no longer runs
    with pytest.raises(SequenceFileError, match=f"{tmp_path / 'old'}.* script.* files"):
        opened(tmp_path / "old")
    write_dataset(tmp_path / "two" / "a", {"test": ROWS["test"]}, FEATURES)
    write_dataset(tmp_path / "two" / "b", {"test": ROWS["test"]}, FEATURES)
    with pytest.raises(SequenceFileError, match=rf"{tmp_path / 'two'} .*\(a, b\)"):
        opened(tmp_path / "two")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "train.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(SequenceFileError, match=str(tmp_path / "broken")):
        opened(tmp_path / "broken")


@pytest.mark.parametrize("name", ["nt[60]", "star*", "a?[!b]/c"])
def test_a_folder_whose_path_looks_like_a_pattern_is_read_and_no_other(tmp_path, write_dataset, name):
    for other in ("nt6", "star1", "ab/c"):
        write_dataset(tmp_path / other, {"test": [{"sequence": "GG", "label": 0}]}, FEATURES)
    folder = write_dataset(tmp_path / name, {"test": ROWS["test"]}, FEATURES)
    (batch,) = opened(folder)
    assert batch.table["sequence"].to_pylist() == ["TT"] and batch.place(0).startswith(str(folder))


def test_a_file_of_no_split_is_one_of_its_own(tmp_path):
    for name, sequence in (("train.csv", "AC"), ("holdout.csv", "GT")):
        (tmp_path / name).write_text(f"sequence\n{sequence}\n")
    with pytest.raises(SequenceFileError, match="train, holdout.csv"):
        opened(tmp_path)
    (batch,) = opened(tmp_path, dataset_split="holdout.csv")
    assert batch.table["sequence"].to_pylist() == ["GT"]


def test_files_of_one_split_whose_types_differ_are_found_out(tmp_path):
    (tmp_path / "train-0.jsonl").write_text('{"sequence": "AC", "n": 1}\n')
    (tmp_path / "train-1.jsonl").write_text('{"sequence": "AC", "n": "x"}\n')
    with pytest.raises(SequenceFileError, match=rf"{tmp_path}/train-1.jsonl.*n: string"):
        opened(tmp_path)


def test_a_csv_file_in_a_folder_is_text_as_the_same_file_by_itself(tmp_path):
    (tmp_path / "train.csv").write_text("id,sequence,barcode\n007,AC,0012\n008,GT,NA\n")
    rows = [{"id": "007", "sequence": "AC", "barcode": "0012"}, {"id": "008", "sequence": "GT", "barcode": "NA"}]
    for reader in (opened(tmp_path), open_sequences(InputArguments(input=[str(tmp_path / "train.csv")]))):
        assert [row for batch in reader for row in batch.table.to_pylist()] == rows


def test_a_data_set_on_the_hub_is_streamed_and_what_is_not_there_is_one_sentence(hub, monkeypatch):
    splits = {"train": {"id": [5, 6], "sequence": ["ACGT", "GG"]}, "test": {"id": [7], "sequence": ["TT"]}}
    DatasetDict({name: Dataset.from_dict(rows) for name, rows in splits.items()}).push_to_hub(
        "user/dna", token=hub.user, private=True
    )
    commit = hub.server.repository("datasets", "user/dna").resolve("main")
    monkeypatch.setenv("HF_TOKEN", hub.user)

    reader = opened("user/dna", dataset_split="train")
    assert reader.commit == commit
    assert [row for batch in reader for row in batch.table.to_pylist()] == [
        {"id": "5", "sequence": "ACGT"},
        {"id": "6", "sequence": "GG"},
    ]
    (batch,) = opened("user/dna", dataset_split="test", dataset_revision=commit)
    assert batch.table["sequence"].to_pylist() == ["TT"]
    with pytest.raises(HubError, match="user/dna.* branch, tag or commit"):
        opened("user/dna", dataset_split="train", dataset_revision="nope")
    with pytest.raises(HubError, match="user/other"):
        opened("user/other")


def test_text_files_on_the_hub_are_streamed_as_files_here(hub, monkeypatch):
    api = hub.api(hub.user)
    api.create_repo("user/table", repo_type="dataset")
    for name, rows in (("train-0.csv.gz", "a,AC\nb,GG\n"), ("train-1.csv.gz", "c,TT\n")):
        content = gzip.compress(f"id,sequence\n{rows}".encode())
        api.upload_file(path_or_fileobj=content, path_in_repo=name, repo_id="user/table", repo_type="dataset")

    reader = open_sequences(InputArguments(dataset_name="user/table"), api=api)

    batches = list(reader)
    assert [row["id"] for batch in batches for row in batch.table.to_pylist()] == ["a", "b", "c"]
    assert (reader.num_bytes, reader.commit) == (None, api.dataset_info("user/table").sha)
    assert batches[1].place(0) == f"datasets/user/table@{reader.commit}/train-1.csv.gz, row 0 (c)"
    content = gzip.compress(b"id,sequence\nd,AC\n")
    api.upload_file(path_or_fileobj=content, path_in_repo="holdout.csv.gz", repo_id="user/table", repo_type="dataset")
    with pytest.raises(SequenceFileError, match="user/table.* train, holdout.csv.gz"):
        open_sequences(InputArguments(dataset_name="user/table"), api=api)


@pytest.mark.parametrize("separator", ["\t", ",", ";"])
def test_the_separator_that_the_card_names_is_that_of_the_files(tmp_path, separator):
    (tmp_path / "train.csv").write_text(f"sequence{separator}n\nAC{separator}1\n")
    card = f"---\nconfigs:\n- config_name: a\n  data_files: train.csv\n  sep: {json.dumps(separator)}\n---\n"
    (tmp_path / "README.md").write_text(card)
    (batch,) = opened(tmp_path)
    assert batch.table.to_pylist() == [{"id": "0", "sequence": "AC", "n": "1"}]
