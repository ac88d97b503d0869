"""Data set folder or files -> checked sequences and labels: what is read, and each check with what trips it."""

import itertools
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, Features, IterableDataset, List, Value

from dnahub.tasks.task import Labels
from dnahub.training.arguments import DataArguments
from dnahub.training.dataset import load_sequences
from tests.messages import naming

GOOD = [{"sequence": "ACGTAC", "label": 0}, {"sequence": "TTTTTTA", "label": 1}]
LABELS = ClassLabel(names=["fly", "yeast"])
FEATURES = Features({"sequence": Value("string"), "label": LABELS})


def load(name, task="classification", revision=None, **arguments):
    """The data set with the rows as they are: most here have the same in train and validation, and no test split."""
    arguments = {"allow_repeats": True, "test_share": 0, **arguments}
    return load_sequences(DataArguments(dataset_name=str(name), **arguments), task, revision)


@pytest.fixture
def folder(tmp_path, write_dataset):
    def write(splits=None, features=FEATURES, **kwargs):
        return str(
            write_dataset(tmp_path / "data set", splits or {"train": GOOD, "validation": GOOD}, features, **kwargs)
        )

    return write


def test_a_folder_laid_out_as_on_the_hub_gives_its_splits_labels_and_build(toy_dataset, toy_rows):
    data = load_sequences(DataArguments(str(toy_dataset)), "classification")

    assert data.label_names == ["fly", "mouse", "yeast"]
    assert {split: rows.to_list() for split, rows in data.splits.items()} == toy_rows
    assert data.build == json.loads((toy_dataset / "build.json").read_text())


def test_a_configuration_is_found_by_its_name_and_another_name_is_refused_with_those_that_there_are(toy_dataset):
    assert len(load(toy_dataset, dataset_config_name="windows").splits["train"]) == 96

    with pytest.raises(ValueError, match=naming("windows", "--dataset_config_name")):
        load(toy_dataset, dataset_config_name="other")


def test_a_folder_that_was_built_anew_and_another_of_the_same_name_are_read_and_not_remembered(
    tmp_path, write_dataset
):
    def sequence_of(folder, sequence):
        rows = one(sequence)
        write_dataset(folder, {"train": rows, "validation": rows}, FEATURES)
        return load(folder, "mlm").splits["train"][0]["sequence"]

    assert sequence_of(tmp_path / "a" / "same", "AAAA") == "AAAA"
    assert sequence_of(tmp_path / "b" / "same", "CCCC") == "CCCC"
    (tmp_path / "a").rename(tmp_path / "old")
    assert sequence_of(tmp_path / "a" / "same", "GGGG") == "GGGG"


def test_without_a_build_file_and_a_test_split_nothing_is_made_up(folder):
    data = load(folder())

    assert data.build == {}
    assert list(data.splits) == ["train", "validation"]


def test_labels_are_neither_needed_nor_kept_for_masked_language_modelling(folder):
    features = Features({"gene": Value("string"), "sequence": Value("large_string")})
    rows = [{"gene": "g", "sequence": "ACGT"}]

    data = load(folder({"train": rows, "validation": rows}, features), "mlm")

    assert data.label_names == []
    assert data.splits["train"].column_names == ["sequence"]


def test_a_record_of_something_else_is_no_record_of_the_making(folder):
    for foreign in ("{", "[]", '{"name": "web"}', '{"builder": "dataset_builder", "config_name": "other"}'):
        path = Path(folder())
        (path / "build.json").write_text(foreign)
        assert load(path).build == {}
        shutil.rmtree(path)


def test_a_folder_that_holds_several_data_sets_is_not_taken_for_one(tmp_path, write_dataset):
    for name in ("a", "b"):
        write_dataset(tmp_path / name, {"train": GOOD, "validation": GOOD}, FEATURES)
    with pytest.raises(ValueError, match=naming(tmp_path, "a, b")):
        load(tmp_path)


def test_files_that_cannot_be_read_and_a_folder_without_any_are_said_so(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"sequence": "ACGT"')
    with pytest.raises(ValueError, match=naming(tmp_path)):
        load(tmp_path, "mlm")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=naming(tmp_path / "empty", "data files")):
        load(tmp_path / "empty", "mlm")


def one(sequence="ACGT", label=0):
    return [{"sequence": sequence, "label": label}]


@pytest.mark.parametrize(
    ("splits", "features", "told"),
    [
        ({"validation": GOOD, "test": GOOD}, FEATURES, ["split 'train'", "validation", "test"]),
        ({"train": GOOD, "validation": GOOD}, Features({"sequence": Value("string")}), ["'label'"]),
        ({"train": GOOD, "validation": GOOD}, Features({"label": LABELS}), ["'sequence'"]),
        (
            {"train": one(5), "validation": one(6)},
            Features({"sequence": Value("int64"), "label": LABELS}),
            ["'sequence'", "Value('int64')"],
        ),
        (
            {"train": GOOD, "validation": GOOD},
            Features({"sequence": Value("string"), "label": Value("float64")}),
            ["'label'", "Value('float64')", "--task regression"],
        ),
        (
            {"train": one(), "validation": one()},
            Features({"sequence": Value("string"), "label": ClassLabel(names=["all"])}),
            ["'label'", "1 label", "classification", "2"],
        ),
        ({"train": GOOD, "validation": one("")}, FEATURES, ["split validation", "row 0", "empty"]),
        ({"train": GOOD + one(" \t\n"), "validation": GOOD}, FEATURES, ["split train", "row 2", "empty"]),
        ({"train": GOOD + one(None), "validation": GOOD}, FEATURES, ["split train", "row 2", "empty"]),
        ({"train": GOOD, "validation": one(label=None)}, FEATURES, ["split validation", "row 0", "missing"]),
        (
            {"train": GOOD + one(label=-1), "validation": GOOD},
            FEATURES,
            ["split train", "-1", "row 2"],
        ),
        (
            {"train": GOOD + one("N" * 60)},
            FEATURES,
            ["split train", "row 2", "'NNNNNNNNNNNNNNNNNNNN'"],
        ),
        (
            {"train": GOOD, "test": one("n-n")},
            FEATURES,
            ["split test", "row 0", "'n-n'"],
        ),
        ({"train": [], "validation": GOOD}, FEATURES, ["train"]),
        ({"train": GOOD, "validation": GOOD, "test": one(label=None)}, FEATURES, ["split test", "row 0"]),
    ],
)
def test_a_data_set_that_cannot_be_trained_on_is_refused_with_the_reason(folder, splits, features, told):
    with pytest.raises(ValueError, match=naming(*told)):
        load(folder(splits, features))


def test_an_empty_sequence_is_refused_for_masked_language_modelling_too(folder):
    with pytest.raises(ValueError, match=naming("split train", "row 0", "empty")):
        load(folder({"train": one(""), "validation": GOOD}), "mlm")


# Splits that the data do not have, and rows that stand in two


MANY = [{"sequence": "ACGT" * (i + 1), "label": i % 2, "gene": f"gene {i // 4}"} for i in range(100)]
WITH_GENES = Features({**FEATURES, "gene": Value("string")})


def sequences_of(data):
    return {split: rows["sequence"][:] for split, rows in data.splits.items()}


def test_missing_splits_are_cut_off_train_by_row_and_it_is_said_so(folder):
    path = folder({"train": MANY}, WITH_GENES)

    data = load_sequences(DataArguments(path), "classification")

    assert data.cut_off == {
        "test": "0.1 of train, by row, stratified by label",
        "validation": "0.1 of train, by row, stratified by label",
    }
    assert {split: len(rows) for split, rows in data.splits.items()} == {"train": 80, "validation": 10, "test": 10}
    assert sorted(sum(sequences_of(data).values(), [])) == sorted(row["sequence"] for row in MANY)
    label_of = {row["sequence"]: row["label"] for row in MANY}
    for rows in data.splits.values():
        assert rows.column_names == ["sequence", "label"]
        assert rows["label"][:] == [label_of[sequence] for sequence in rows["sequence"]]
    assert sequences_of(load_sequences(DataArguments(path), "classification")) == sequences_of(data)


def test_splits_that_are_there_stay_as_they_are(folder):
    path = folder({"train": MANY[:60], "validation": MANY[60:70], "test": MANY[70:]}, WITH_GENES)
    data = load_sequences(DataArguments(path), "mlm")
    assert data.cut_off == {} and list(map(len, sequences_of(data).values())) == [60, 10, 30]
    shutil.rmtree(path)

    path = folder({"train": MANY[:60], "test": MANY[60:]}, WITH_GENES)
    data = load_sequences(DataArguments(path, validation_share=0.2), "mlm")
    assert data.cut_off == {"validation": "0.2 of train, by row"}
    assert list(data.splits) == ["train", "validation", "test"]
    assert sequences_of(data)["test"] == [row["sequence"] for row in MANY[60:]]


def test_rows_of_one_group_are_cut_off_together(folder):
    path = folder({"train": MANY}, WITH_GENES)

    data = load_sequences(DataArguments(path, group_column="gene", test_share=0.2), "classification")

    assert data.cut_off == {
        "test": "0.2 of train, by gene, stratified by label",
        "validation": "0.1 of train, by gene, stratified by label",
    }
    gene_of = {row["sequence"]: row["gene"] for row in MANY}
    genes = [{gene_of[sequence] for sequence in rows} for rows in sequences_of(data).values()]
    assert sum(map(len, genes)) == len(set.union(*genes)) == 25
    assert all(rows.column_names == ["sequence", "label"] for rows in data.splits.values())
    with pytest.raises(ValueError, match=naming("split train", "'chromosome'", "gene")):
        load_sequences(DataArguments(path, group_column="chromosome"), "mlm")


@pytest.mark.parametrize(
    ("splits", "told"),
    [
        (
            {"validation": ["acgu", "GG"]},
            ["1", "2", "validation", "train", "row 0", "row 1"],
        ),
        ({"validation": ["GG"], "test": ["AA", "GG"]}, ["1", "2", "test", "validation", "row 1"]),
        ({"validation": ["GG"], "test": ["CC", "TT TT"]}, ["1", "2", "test", "train", "row 1"]),
    ],
)
def test_a_sequence_of_train_in_another_split_is_refused_unless_it_is_allowed(folder, splits, told):
    sequences = {"train": ["TTTT", "ACGT"], **splits}
    path = folder(
        {split: [{"sequence": text} for text in texts] for split, texts in sequences.items()},
        Features({"sequence": Value("string")}),
    )

    with pytest.raises(ValueError, match=naming(*told, "--allow_repeats")):
        load_sequences(DataArguments(path, test_share=0), "mlm")
    assert sequences_of(load(path, "mlm")) == sequences


def test_a_sequence_of_two_groups_is_no_repeat_within_train_but_one_across_a_cut(folder):
    rows = [{"sequence": "ACGT" * (i % 2 + 1), "gene": str(i)} for i in range(40)]
    path = folder({"train": rows}, Features({"sequence": Value("string"), "gene": Value("string")}))

    with pytest.raises(ValueError, match=naming("train", "--allow_repeats")):
        load_sequences(DataArguments(path, group_column="gene"), "mlm")


# Columns of other names, and labels of every kind


def test_sequences_and_labels_may_stand_in_columns_of_other_names(folder):
    features = Features(
        {
            "dna": Value("large_string"),
            "species": Value("string"),
            "sequence": Value("int64"),
            "label": Value("string"),
        }
    )
    rows = [
        {"dna": dna, "species": species, "sequence": 1, "label": "other"}
        for dna, species in (("ACGT", "yeast"), ("GGGG", "fly"))
    ]

    data = load(
        folder({"train": rows, "validation": rows[:1]}, features), sequence_column="dna", label_column="species"
    )

    assert data.labels == Labels(["fly", "yeast"], 2)
    assert data.splits["train"].to_list() == [{"sequence": "ACGT", "label": 1}, {"sequence": "GGGG", "label": 0}]
    assert data.splits["validation"].to_list() == [{"sequence": "ACGT", "label": 1}]


@pytest.mark.parametrize(
    ("task", "feature", "labels", "separator", "targets", "encoded"),
    [
        (
            "classification",
            Value("string"),
            ["fly", "bee", "fly"],
            None,
            Labels(["bee", "fly"], 2),
            [1, 0, 1],
        ),
        (
            "classification",
            Value("int64"),
            [10, 9, 10],
            None,
            Labels(["9", "10"], 2),
            [1, 0, 1],
        ),
        (
            "multi_label",
            Value("string"),
            ["a;b", "b", None],
            ";",
            Labels(["a", "b"], 2),
            [[1, 1], [0, 1], [0, 0]],
        ),
        (
            "multi_label",
            List(Value("string")),
            [["a", "b"], ["b"], []],
            None,
            Labels(["a", "b"], 2),
            [[1, 1], [0, 1], [0, 0]],
        ),
        ("regression", Value("float64"), [0.5, -1.0, 2.0], None, Labels([], 1), [0.5, -1, 2]),
        (
            "regression",
            List(Value("float32")),
            [[1, 2], [3, 4], [5, 6]],
            None,
            Labels([], 2),
            [[1, 2], [3, 4], [5, 6]],
        ),
        (
            "token_classification",
            List(Value("string")),
            [["exon", None], ["intron"], []],
            None,
            Labels(["exon", "intron"], 2),
            [[0, -100], [1], []],
        ),
    ],
)
def test_labels_of_every_kind_become_what_the_task_takes(folder, task, feature, labels, separator, targets, encoded):
    rows = [{"sequence": "ACGT" * (i + 1), "label": label} for i, label in enumerate(labels)]
    path = folder({"train": rows, "validation": rows}, Features({"sequence": Value("string"), "label": feature}))

    data = load(path, task, label_separator=separator)

    assert data.labels == targets
    assert [rows["label"][:] for rows in data.splits.values()] == [encoded, encoded]


@pytest.mark.parametrize(
    ("sequence", "good"),
    [
        ("N", False),
        ("NNNNNN", False),
        ("n n", False),
        ("RYKM", False),
        ("NNNA", True),
        ("u", True),
        ("nnUnn", True),
        ("RRRg", True),
    ],
)
def test_a_sequence_needs_one_nucleotide(folder, sequence, good):
    path = folder({"train": one(sequence), "validation": GOOD})

    if good:
        assert load(path, "mlm").splits["train"]["sequence"][:] == [sequence]
    else:
        with pytest.raises(ValueError, match=naming("split train", "row 0", f"'{sequence}'", "A, C, G or T")):
            load(path, "mlm")


@pytest.mark.parametrize(("sequence", "letter"), [("ACGT1", "1"), ("MKVLA", "L"), ("acgte", "e"), ("ACG*", "*")])
def test_letters_that_stand_for_no_base_are_refused(folder, sequence, letter):
    with pytest.raises(ValueError, match=naming("split train", "row 0", f"'{sequence}'", f"'{letter}'")):
        load(folder({"train": one(sequence), "validation": GOOD}), "mlm")


# Files


FASTA = "".join(f">s{i} species={'fly' if i % 2 else 'bee'} gene:g{i // 2}\n{'ACGT' * (i + 1)}\n" for i in range(20))
CSV = "dna,species,gene\n" + "".join(f"{'ACGT' * (i + 1)},{'fly' if i % 2 else 'bee'},g{i // 2}\n" for i in range(20))


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


@pytest.mark.parametrize(("name", "text", "column"), [("a.fa", FASTA, "sequence"), ("a.csv", CSV, "dna")])
def test_one_file_is_read_and_cut_into_splits(write, name, text, column):
    arguments = {"sequence_column": column, "label_column": "species", "group_column": "gene", "validation_share": 0.2}

    data = load_sequences(DataArguments(train_file=[write(name, text)], **arguments), "classification")

    assert (data.name, data.config, data.commit, data.build) == (name, None, None, {})
    assert data.cut_off == {
        "test": "0.1 of train, by gene, stratified by label",
        "validation": "0.2 of train, by gene, stratified by label",
    }
    assert {split: len(rows) for split, rows in data.splits.items()} == {"train": 14, "validation": 4, "test": 2}
    assert data.labels == Labels(["bee", "fly"], 2)
    for rows in data.splits.values():
        for row in rows:  # as the file was written above
            assert row == {"sequence": row["sequence"], "label": (len(row["sequence"]) // 4 - 1) % 2}


def test_files_of_each_split_are_taken_as_they_are_and_several_together(write):
    train = [write("a.csv", "sequence,label\nAA,1.5\n"), write("b.csv", "sequence,label\nCC,2\n")]
    validation, test = (
        write("c.jsonl", '{"sequence": "GG", "label": 3.5}\n'),
        write("d.tsv", "sequence\tlabel\nTT\t4\n"),
    )

    data = load_sequences(
        DataArguments(train_file=train, validation_file=[validation], test_file=[test]), "regression"
    )

    assert data.cut_off == {} and data.name == "a.csv"
    assert {split: rows.to_list() for split, rows in data.splits.items()} == {
        "train": [{"sequence": "AA", "label": 1.5}, {"sequence": "CC", "label": 2.0}],
        "validation": [{"sequence": "GG", "label": 3.5}],
        "test": [{"sequence": "TT", "label": 4.0}],
    }


def test_files_need_no_labels_for_masked_language_modelling(write):
    files = [write("a.fa", ">1\nACGT\n>2\nGG\n>3\nCC\n")]

    data = load_sequences(DataArguments(train_file=files), "mlm")

    assert data.labels == Labels([], 0) and all(rows.column_names == ["sequence"] for rows in data.splits.values())


@pytest.mark.parametrize(
    ("text", "arguments", "told"),
    [
        ("sequence,label\nAC,a\nNN,b\n", {}, ["a.csv", "split train", "row 1", "'NN'", "A, C, G or T"]),
        ("sequence,label\nAC,a\n,b\n", {}, ["a.csv", "split train", "row 1", "empty"]),
        ("sequence,label\nAC,a\nGG,\n", {}, ["split train", "row 1", "missing"]),
        ("sequence,label\nAC,a\n", {"group_column": "gene"}, ["'gene'", "sequence", "label"]),
        ("sequence,label\nAC,a\n", {"label_column": "kind"}, ["'kind'", "sequence", "label"]),
        ("sequence,label\nAC,a\n", {"sequence_column": "dna"}, ["'dna'", "sequence", "label"]),
        ("sequence,label\nAC,a\nGG,b\n", {}, ["2", "3"]),
        ("sequence,label\n1,a\n2,b\n", {}, ["a.csv", "split train", "'sequence'", "Value('int64')"]),
        ("sequence,label\nAC,a\nGG,b\n", {"validation_share": 0}, ["validation", "0", "1"]),
    ],
)
def test_files_that_cannot_be_trained_on_are_refused_with_the_reason(write, text, arguments, told):
    with pytest.raises(ValueError, match=naming(*told)):
        load_sequences(DataArguments(train_file=[write("a.csv", text)], **arguments), "classification")


# Streams


STREAMED = [{"sequence": "ACGT" + "A" * i, "label": "ab"[i % 2], "gene": f"g{i}"} for i in range(9)]
HELD_OUT = [{"sequence": "GGGG" + "C" * i, "label": "cab"[i % 3], "gene": f"h{i}"} for i in range(6)]


def as_jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def as_csv(rows):
    return "sequence,label,gene\n" + "".join(",".join(row.values()) + "\n" for row in rows)


def as_fasta(rows):
    return "".join(f">{row['gene']} label={row['label']}\n{row['sequence']}\n" for row in rows)


@pytest.fixture(params=["csv files", "jsonl files", "fasta files", "jsonl folder", "csv folder", "parquet folder"])
def streamed(request, tmp_path, write):
    """The same rows, as files and as folders of every kind: the arguments that name them."""
    kind, place = request.param.split()
    suffix = {"fasta": "fa"}.get(kind, kind)
    for split, rows in (("train", STREAMED), ("validation", HELD_OUT)):
        if kind == "parquet":
            Dataset.from_list(rows).to_parquet(tmp_path / f"{split}.parquet")
        else:
            write(f"{split}.{suffix}", {"csv": as_csv, "jsonl": as_jsonl, "fasta": as_fasta}[kind](rows))
    if place == "folder":
        return {"dataset_name": str(tmp_path)}
    return {f"{split}_file": [str(tmp_path / f"{split}.{suffix}")] for split in ("train", "validation")}


def test_labelled_rows_cannot_be_streamed(streamed):
    with pytest.raises(ValueError, match=naming("--streaming", "--task mlm")):
        load_sequences(DataArguments(streaming=True, **streamed), "classification")


def test_a_streamed_train_is_read_as_it_is_used_without_end(streamed):
    data = load_sequences(DataArguments(streaming=True, **streamed), "mlm")

    train = data.splits["train"]
    assert isinstance(train, IterableDataset) and isinstance(data.splits["validation"], Dataset)
    taken = list(itertools.islice(train, 4 * 9))
    assert Counter(row["sequence"] for row in taken) == Counter(4 * [row["sequence"] for row in STREAMED])
    assert [row["sequence"] for row in taken[:9]] != [row["sequence"] for row in STREAMED]  # shuffled


def test_a_streamed_train_for_masked_language_modelling_has_sequences_alone(streamed):
    data = load_sequences(DataArguments(streaming=True, **streamed), "mlm")

    assert data.labels == Labels([], 0) and data.splits["validation"].column_names == ["sequence"]
    taken = list(itertools.islice(data.splits["train"], 9))
    assert sorted(map(tuple, map(dict.items, taken))) == sorted((("sequence", row["sequence"]),) for row in STREAMED)


def test_a_streamed_column_may_have_another_name(write):
    arguments = {"sequence_column": "gene", "label_column": "label", "streaming": True}
    rows = [{"sequence": "x", "label": label, "gene": dna} for label, dna in (("a", "AC"), ("b", "GT"))]
    held_out = [row | {"gene": row["gene"] * 2} for row in rows]
    files = {"train_file": [write("a.csv", as_csv(rows))], "validation_file": [write("b.csv", as_csv(held_out))]}

    data = load_sequences(DataArguments(**files, **arguments), "classification")

    taken = list(itertools.islice(data.splits["train"], 2))
    assert sorted((row["sequence"], row["label"]) for row in taken) == [("AC", 0), ("GT", 1)]


@pytest.mark.parametrize(
    ("task", "bad", "told"),
    [
        ("classification", ("ACGT", "new"), ["split train", "'new'", "validation", "1", "2"]),
        ("classification", ("ACGT", ""), ["split train", "missing"]),
        ("regression", ("ACGT", "high"), ["split train", "'high'", "1", "finite"]),
        ("regression", ("ACGT", "nan"), ["split train", "'nan'", "1", "finite"]),
    ],
)
def test_a_bad_label_in_a_stream_is_an_error_when_it_is_reached(write, task, bad, told):
    good = "sequence,label\nAC,1\nGG,2\n"
    files = {"train_file": [write("a.csv", good + ",".join(bad) + "\n")], "validation_file": [write("b.csv", good)]}

    data = load_sequences(DataArguments(streaming=True, allow_repeats=True, **files), task)

    with pytest.raises(ValueError, match=naming(*told)):
        next(iter(data.splits["train"]))  # the buffer that is shuffled holds all three rows


def test_streams_without_validation_without_rows_or_with_repeats_in_what_is_held_out_are_refused(
    tmp_path, write_dataset, write
):
    write_dataset(tmp_path / "one", {"train": GOOD}, FEATURES)
    with pytest.raises(ValueError, match=naming("one", "'validation'", "stream")):
        load(tmp_path / "one", streaming=True)
    write_dataset(tmp_path / "none", {"train": [], "validation": GOOD}, FEATURES)
    with pytest.raises(ValueError, match=naming("none", "split train", "empty")):
        load(tmp_path / "none", streaming=True)
    write_dataset(tmp_path / "same", {"train": GOOD, "validation": GOOD, "test": GOOD[:1]}, FEATURES)
    with pytest.raises(ValueError, match=naming(1, "test", "validation")):
        load_sequences(DataArguments(str(tmp_path / "same"), streaming=True), "classification")


def test_a_revision_is_of_the_hub_and_a_stream_of_a_folder_keeps_its_classes_and_record(toy_dataset, toy_rows):
    with pytest.raises(ValueError, match=naming(toy_dataset, "main")):
        load(toy_dataset, revision="main")

    data = load_sequences(DataArguments(str(toy_dataset), streaming=True), "classification")

    assert data.label_names == ["fly", "mouse", "yeast"] and data.config == "windows"
    assert data.build == json.loads((toy_dataset / "build.json").read_text())
    assert data.splits["test"].to_list() == toy_rows["test"]
    taken = list(itertools.islice(data.splits["train"], 96))
    assert sorted(map(str, taken)) == sorted(map(str, toy_rows["train"]))
