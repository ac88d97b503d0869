"""Data set -> its sequences, from a folder and from a Hub on 127.0.0.1."""

import json
import re

import pytest
from datasets import ClassLabel, Features, Value

from sequence_files import InputArguments, SequenceFileError, open_sequences

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
    assert (reader.num_bytes, reader.bytes_read, reader.commit) == (None, 0, None)
    batches = list(reader)
    reader.check_unchanged()
    assert [row for batch in batches for row in batch.table.to_pylist()] == [
        {"id": str(i), "sequence": row["sequence"], "label": [None, "fly", "mouse"][row["label"] + 1]}
        for i, row in enumerate(ROWS["train"])
    ]
    assert batches[-1].place(0).startswith(f"{folder}, split train, row ")


def test_a_data_set_of_one_split_needs_no_name_for_it(tmp_path, write_dataset):
    folder = write_dataset(tmp_path / "data", {"test": ROWS["test"]}, FEATURES)
    assert [batch.table.num_rows for batch in opened(folder)] == [1]


def test_a_folder_of_plain_files_is_a_data_set_too_whose_numbers_stay_numbers(tmp_path):
    (tmp_path / "train.csv").write_text("id,sequence\n7,AC\n8,GT\n")
    (batch,) = opened(tmp_path)
    assert batch.table.to_pylist() == [{"id": "7", "sequence": "AC"}, {"id": "8", "sequence": "GT"}]


def test_white_space_in_a_sequence_of_a_data_set_is_dropped(tmp_path, write_dataset):
    folder = write_dataset(tmp_path / "data", {"test": [{"sequence": "AC GT\n", "label": 0}]}, FEATURES)
    (batch,) = opened(folder)
    assert batch.table["sequence"].to_pylist() == ["ACGT"]


@pytest.mark.parametrize(
    ("rows", "arguments", "told"),
    [
        (ROWS, {}, "it has the splits train, test; name one as --dataset_split"),
        (ROWS, {"dataset_split": "dev"}, "there is no split 'dev', only train, test"),
        (ROWS, {"dataset_split": "test", "dataset_config_name": "other"}, "--dataset_config_name"),
        (ROWS, {"dataset_split": "test", "dataset_revision": "main"}, "is a folder; a revision (main)"),
        (ROWS, {"dataset_split": "test", "sequence_column": "dna"}, "no column 'dna', only sequence, label"),
        ({"test": []}, {}, "split test: it is empty"),
        ({"test": [{"sequence": "AC", "label": 0}, {"sequence": None, "label": 0}]}, {}, "split test, row 1 (1): no"),
        ({"test": [{"sequence": "NA", "label": 0}]}, {}, "split test, row 0 (0): no sequence (NA)"),
        ({"test": [{"sequence": "AX", "label": 0}]}, {}, "split test, row 0 (0): 'X' at position 1"),
    ],
)
def test_what_cannot_be_read_from_a_folder_is_said_so(tmp_path, write_dataset, rows, arguments, told):
    folder = write_dataset(tmp_path / "data", rows, FEATURES)
    with pytest.raises(SequenceFileError, match=re.escape(told)):
        list(opened(folder, **arguments))


def test_a_folder_without_data_with_several_data_sets_or_with_broken_files_is_refused(tmp_path, write_dataset):
    (tmp_path / "none").mkdir()
    with pytest.raises(SequenceFileError, match="no data files"):
        opened(tmp_path / "none")
    write_dataset(tmp_path / "two" / "a", ROWS, FEATURES)
    write_dataset(tmp_path / "two" / "b", ROWS, FEATURES)
    with pytest.raises(SequenceFileError, match=r"holds data sets \(a, b\), but is none itself"):
        opened(tmp_path / "two")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "train.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(SequenceFileError, match="its files cannot be read"):
        opened(tmp_path / "broken")


def test_files_of_one_split_whose_types_differ_are_found_out(tmp_path):
    (tmp_path / "train-0.csv").write_text("sequence,n\n" + "AC,1\n" * 2000)
    (tmp_path / "train-1.csv").write_text("sequence,n\nAC,x\n")
    with pytest.raises(SequenceFileError, match="row 1024 or after it: its files cannot be read"):
        list(opened(tmp_path))


PUSH = """
    from datasets import Dataset, DatasetDict
    splits = {"train": {"id": [5, 6], "sequence": ["ACGT", "GG"]}, "test": {"id": [7], "sequence": ["TT"]}}
    DatasetDict({name: Dataset.from_dict(rows) for name, rows in splits.items()}).push_to_hub("user/dna")
    """
READ = """
    import json, sys
    from sequence_files import InputArguments, open_sequences
    try:
        reader = open_sequences(InputArguments(**json.loads(sys.argv[1])))
        rows = [row for batch in reader for row in batch.table.to_pylist()]
        print(json.dumps([reader.commit, rows]))
    except ValueError as error:
        print(json.dumps(str(error)))
    """


@pytest.mark.slow
def test_a_data_set_on_the_hub_is_streamed_and_what_is_not_there_is_one_sentence(hub):
    hub.python(PUSH, token=hub.user)
    commit = hub.server.repository("datasets", "user/dna").resolve("main")

    def read(**arguments):
        return json.loads(hub.python(READ, json.dumps(arguments), ours=True).splitlines()[-1])

    rows = [{"id": "5", "sequence": "ACGT"}, {"id": "6", "sequence": "GG"}]
    assert read(dataset_name="user/dna", dataset_split="train") == [commit, rows]
    assert read(dataset_name="user/dna", dataset_split="test", dataset_revision=commit)[1][0]["sequence"] == "TT"
    assert "no such branch" in read(dataset_name="user/dna", dataset_split="train", dataset_revision="nope")
    assert "user/other" in read(dataset_name="user/other") and "no such repository" in read(dataset_name="user/other")
