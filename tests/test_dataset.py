"""Data set folder -> checked sequences and labels: what is read, and each check with what trips it."""

import json
import re
import shutil
from pathlib import Path

import pytest
from datasets import ClassLabel, Features, Value

from training.dataset import load_sequences

GOOD = [{"sequence": "ACGTAC", "label": 0}, {"sequence": "TTTTTTA", "label": 1}]
LABELS = ClassLabel(names=["fly", "yeast"])
FEATURES = Features({"sequence": Value("string"), "label": LABELS})


@pytest.fixture
def folder(tmp_path, write_dataset):
    def write(splits=None, features=FEATURES, **kwargs):
        return str(
            write_dataset(tmp_path / "data set", splits or {"train": GOOD, "validation": GOOD}, features, **kwargs)
        )

    return write


def test_a_folder_laid_out_as_on_the_hub_gives_its_splits_labels_and_build(toy_dataset, toy_rows):
    data = load_sequences(str(toy_dataset), with_labels=True)

    assert data.label_names == ["fly", "mouse", "yeast"]
    assert {split: rows.to_list() for split, rows in data.splits.items()} == toy_rows
    assert data.build == json.loads((toy_dataset / "build.json").read_text())


def test_a_configuration_is_found_by_its_name_and_another_name_is_refused_with_those_that_there_are(toy_dataset):
    assert len(load_sequences(str(toy_dataset), "windows", with_labels=True).splits["train"]) == 96

    with pytest.raises(ValueError, match="windows.*--dataset_config_name says which"):
        load_sequences(str(toy_dataset), "other", with_labels=True)


def test_a_folder_that_was_built_anew_and_another_of_the_same_name_are_read_and_not_remembered(
    tmp_path, write_dataset
):
    def sequence_of(folder, sequence):
        rows = one(sequence)
        write_dataset(folder, {"train": rows, "validation": rows}, FEATURES)
        return load_sequences(str(folder), with_labels=True).splits["train"][0]["sequence"]

    assert sequence_of(tmp_path / "a" / "same", "AAAA") == "AAAA"
    assert sequence_of(tmp_path / "b" / "same", "CCCC") == "CCCC"
    (tmp_path / "a").rename(tmp_path / "old")
    assert sequence_of(tmp_path / "a" / "same", "GGGG") == "GGGG"


def test_without_a_build_file_and_a_test_split_nothing_is_made_up(folder):
    data = load_sequences(folder(), with_labels=True)

    assert data.build == {}
    assert list(data.splits) == ["train", "validation"]


def test_labels_are_neither_needed_nor_kept_for_masked_language_modelling(folder):
    features = Features({"gene": Value("string"), "sequence": Value("large_string")})
    rows = [{"gene": "g", "sequence": "ACGT"}]

    data = load_sequences(folder({"train": rows, "validation": rows}, features), with_labels=False)

    assert data.label_names == []
    assert data.splits["train"].column_names == ["sequence"]


def test_a_record_of_something_else_is_no_record_of_the_making(folder):
    for foreign in ("{", "[]", '{"name": "web"}', '{"builder": "dataset_builder", "config_name": "other"}'):
        path = Path(folder())
        (path / "build.json").write_text(foreign)
        assert load_sequences(str(path), with_labels=True).build == {}
        shutil.rmtree(path)


def test_a_folder_that_holds_several_data_sets_is_not_taken_for_one(tmp_path, write_dataset):
    for name in ("a", "b"):
        write_dataset(tmp_path / name, {"train": GOOD, "validation": GOOD}, FEATURES)
    with pytest.raises(ValueError, match="holds data sets .a, b., but is none itself"):
        load_sequences(str(tmp_path), with_labels=True)


def test_files_that_cannot_be_read_and_a_folder_without_any_are_said_so(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"sequence": "ACGT"')
    with pytest.raises(ValueError, match=f"^{tmp_path}: its files cannot be read: "):
        load_sequences(str(tmp_path), with_labels=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="there are no data files in it"):
        load_sequences(str(tmp_path / "empty"), with_labels=False)


def one(sequence="ACGT", label=0):
    return [{"sequence": sequence, "label": label}]


@pytest.mark.parametrize(
    ("splits", "features", "told"),
    [
        ({"train": GOOD}, FEATURES, "there is no split 'validation', only train"),
        ({"validation": GOOD, "test": GOOD}, FEATURES, "there is no split 'train', only validation, test"),
        ({"train": GOOD, "validation": GOOD}, Features({"sequence": Value("string")}), "there is no column 'label'"),
        ({"train": GOOD, "validation": GOOD}, Features({"label": LABELS}), "there is no column 'sequence'"),
        (
            {"train": one(5), "validation": one(6)},
            Features({"sequence": Value("int64"), "label": LABELS}),
            "column 'sequence' is Value('int64')",
        ),
        (
            {"train": GOOD, "validation": GOOD},
            Features({"sequence": Value("string"), "label": Value("int64")}),
            "column 'label' is Value('int64'); it must be a ClassLabel",
        ),
        (
            {"train": one(), "validation": one()},
            Features({"sequence": Value("string"), "label": ClassLabel(names=["all"])}),
            "all rows are of the one class ['all']",
        ),
        ({"train": GOOD, "validation": one("")}, FEATURES, "split validation: the sequence of row 0 is empty"),
        ({"train": GOOD + one(" \t\n"), "validation": GOOD}, FEATURES, "split train: the sequence of row 2 is empty"),
        ({"train": GOOD + one(None), "validation": GOOD}, FEATURES, "split train: the sequence of row 2 is empty"),
        ({"train": GOOD, "validation": one(label=None)}, FEATURES, "split validation: the label of row 0 is None"),
        ({"train": GOOD + one(label=-1), "validation": GOOD}, FEATURES, "split train: the label of row 2 is -1"),
        ({"train": [], "validation": GOOD}, FEATURES, "train"),
        ({"train": GOOD, "validation": GOOD, "test": one(label=None)}, FEATURES, "split test: the label of row 0"),
    ],
)
def test_a_data_set_that_cannot_be_trained_on_is_refused_with_the_reason(folder, splits, features, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        load_sequences(folder(splits, features), with_labels=True)


def test_an_empty_sequence_is_refused_for_masked_language_modelling_too(folder):
    with pytest.raises(ValueError, match="row 0 is empty"):
        load_sequences(folder({"train": one(""), "validation": GOOD}), with_labels=False)
