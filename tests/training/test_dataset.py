"""Data set folder or files -> checked sequences and labels: what is read, and each check with what trips it."""

import itertools
import json
import random
import shutil
from collections import Counter

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, IterableDataset, Value
from huggingface_hub import constants

from dnahub.tasks.task import Labels
from dnahub.training.arguments import DataArguments
from dnahub.training.dataset import load_sequences
from tests.messages import naming

GOOD = [{"sequence": "ACGTAC", "label": 0}, {"sequence": "TTTTTTA", "label": 1}]
LABELS = ClassLabel(names=["fly", "yeast"])
FEATURES = Features({"sequence": Value("string"), "label": LABELS})


def load(name, task="classification", revision=None, **arguments):
    """The data set with the rows as they are: most here have the same in train and validation, and no test split."""
    arguments = {"allow_overlap": True, "test_fraction": 0, **arguments}
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

    assert data.labels.names == ["fly", "mouse", "yeast"]
    assert {split: rows.to_list() for split, rows in data.splits.items()} == toy_rows
    assert data.build == json.loads((toy_dataset / "build.json").read_text())
    first, second = (load(toy_dataset).splits["test"] for _ in range(2))
    assert first.cache_files == second.cache_files != []  # the same rows are kept once


def one(sequence="ACGT", label=0):
    return [{"sequence": sequence, "label": label}]


@pytest.mark.parametrize(
    ("splits", "features", "told"),
    [
        ({"validation": GOOD, "test": GOOD}, FEATURES, ["split 'train'", "validation", "test"]),
        ({"train": GOOD, "validation": GOOD}, Features({"sequence": Value("string")}), ["'label'"]),
        ({"train": GOOD, "validation": one(label=None)}, FEATURES, ["validation.parquet, row 0", "missing"]),
        ({"train": GOOD + one(label=-1), "validation": GOOD}, FEATURES, ["train.parquet, row 2", "missing"]),
        ({"train": GOOD + one("N" * 60)}, FEATURES, ["train.parquet", "row 2", "A, C, G or T"]),
    ],
)
def test_a_data_set_that_cannot_be_trained_on_is_refused_with_the_reason(folder, splits, features, told):
    with pytest.raises(ValueError, match=naming(*told)):
        load(folder(splits, features))


def sequences_of(data):
    return {split: rows["sequence"][:] for split, rows in data.splits.items()}


def test_a_sequence_of_train_in_another_split_is_refused_unless_it_is_allowed(folder):
    sequences = {"train": ["TTTT", "ACGT"], "test": ["CC", "TT TT"]}
    rows = {split: [{"sequence": text} for text in texts] for split, texts in sequences.items()}
    path = folder(rows | {"validation": [{"sequence": "GG"}]}, Features({"sequence": Value("string")}))

    with pytest.raises(ValueError, match=naming("1", "2", "test.parquet, row 1", "train.parquet", "--allow_overlap")):
        load_sequences(DataArguments(path, test_fraction=0), "mlm")
    assert sequences_of(load(path, "mlm"))["test"] == ["CC", "TTTT"]


def test_columns_may_have_other_names_and_letters_that_become_n_are_counted(folder):
    kinds = {"dna": "large_string", "species": "string", "sequence": "int64", "label": "string"}
    features = Features({name: Value(kind) for name, kind in kinds.items()})
    other = {"sequence": 1, "label": "other"}
    rows = [{"dna": "ACGTRyU", "species": "yeast", **other}, {"dna": "NNg", "species": "fly", **other}]

    data = load(folder({"train": rows, "validation": rows}, features), sequence_column="dna", label_column="species")

    assert (data.labels, data.num_replaced) == (Labels(["fly", "yeast"], 2), 4)
    for split in ("train", "validation"):
        assert data.splits[split].to_list() == [{"sequence": "ACGTRyU", "label": 1}, {"sequence": "NNg", "label": 0}]


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
    columns = {"sequence_column": column, "label_column": "species", "group_column": "gene"}
    arguments = DataArguments(train_file=[write(name, text)], validation_fraction=0.2, **columns)

    data = load_sequences(arguments, "classification")

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


@pytest.mark.parametrize(
    ("text", "arguments", "told"),
    [
        ("sequence,label\nAC,a\nNN,b\n", {}, ["a.csv", "row 1", "A, C, G or T"]),
        ("sequence,label\nAC,a\nGG,\n", {}, ["a.csv, row 1", "missing"]),
        ("sequence,label\nAC,a\n", {"label_column": "sequence"}, ["'sequence'", "something else"]),
        ("sequence,label,gene\nAC,a,g\nGG,b,\n", {"group_column": "gene"}, ["a.csv, row 1", "no gene"]),
        ("sequence,label\nAC,a\nGG,b\n", {"validation_fraction": 0}, ["validation_fraction", "0", "1"]),
    ],
)
def test_files_that_cannot_be_trained_on_are_refused_with_the_reason(write, text, arguments, told):
    with pytest.raises(ValueError, match=naming(*told)):
        load_sequences(DataArguments(train_file=[write("a.csv", text)], **arguments), "classification")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "", "2"], [1, None, 2]),
        (["1", "2.5", "-1e-3", ".5", "3."], [1.0, 2.5, -0.001, 0.5, 3.0]),
        (["007", "1", "2"], ["007", "1", "2"]),
        (["1234567890123456789", "1"], ["1234567890123456789", "1"]),
        (["0x1f", "+1"], ["0x1f", "+1"]),
        (["NA", "null", "None", "nan", "", "N/A"], ["NA", "null", "None", "nan", None, "N/A"]),
        (["", ""], [None, None]),
    ],
)
@pytest.mark.parametrize("place", ["file", "folder"])
def test_text_is_numbers_where_all_of_a_column_is_in_a_file_as_in_a_folder(
    monkeypatch, tmp_path, write, values, expected, place
):
    """The group is what is kept unchanged until splits are cut."""
    write("train.csv", "sequence,group\n" + "".join(f"AC,{value}\n" for value in values))
    seen = {}

    def complete(splits, *_):
        seen.update({split: rows["group"][:] for split, rows in splits.items()})
        return splits, {}

    monkeypatch.setattr("dnahub.training.dataset.complete", complete)
    monkeypatch.setattr("dnahub.training.dataset.check_groups", lambda *_: None)
    source = {"dataset_name": str(tmp_path)} if place == "folder" else {"train_file": [str(tmp_path / "train.csv")]}
    load_sequences(DataArguments(**source, group_column="group"), "mlm")
    assert seen == {"train": expected}
    assert [type(value) for value in seen["train"]] == [type(value) for value in expected]


def test_the_files_of_each_split_are_read_and_the_type_of_a_column_of_text_is_that_of_all_together(write):
    train = [write("a.csv", "sequence,label\nAC,1\n"), write("b.csv", "sequence,label\nAG,2\n")]
    validation = [write("validation.tsv", "sequence\tlabel\nACC\t0.5\n")]
    test = [write("test.fa", ">a label:7\nAAC\n")]

    data = load_sequences(DataArguments(train_file=train, validation_file=validation, test_file=test), "regression")

    assert data.cut_off == {} and data.name == "a.csv"
    assert {split: rows.to_list() for split, rows in data.splits.items()} == {
        "train": [{"sequence": "AC", "label": 1.0}, {"sequence": "AG", "label": 2.0}],
        "validation": [{"sequence": "ACC", "label": 0.5}],
        "test": [{"sequence": "AAC", "label": 7.0}],
    }


def test_bad_records_are_skipped_and_counted_or_an_error_that_names_them(write):
    rows = "".join(f"{'ACGT'[i % 4] * 9}{'AC'[i % 2] * i}C,{'ab'[i % 2]}\n" for i in range(30))
    path = write("in.csv", f"sequence,label\n{rows},a\nAC-GT,b\nNNN,a\nACG,a,b\n")
    data = load_sequences(DataArguments(train_file=[path], bad_records="skip"), "classification")
    assert sum(map(len, data.splits.values())) == 30 and data.bad.counts.total() == 4
    assert data.bad.counts["no A, C, G or T"] == 1
    with pytest.raises(
        ValueError, match="^4 bad records: .*in.csv, row 33: .*; row 30 .30.: no seq.*; row 31 .*; row 32 "
    ):
        load_sequences(DataArguments(train_file=[path]), "classification")


def test_standard_input_is_read_once_by_one_process(monkeypatch):
    for arguments in ({"validation_file": ["-"]}, {"streaming": True}):
        with pytest.raises(ValueError, match="standard input"):
            load_sequences(DataArguments(train_file=["-"], **arguments), "mlm")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="standard input"):
        load_sequences(DataArguments(train_file=["-"]), "mlm")


def test_kmers_are_joined_where_asked(write):
    texts = ["".join(random.Random(i).choices("ACGT", k=100)) for i in range(20)]
    path = write("a.txt", "".join(" ".join(text[j : j + 6] for j in range(95)) + "\n" for text in texts))
    data = load_sequences(DataArguments(train_file=[path], sequence_format="kmers"), "mlm")
    assert sorted(sum(sequences_of(data).values(), [])) == sorted(texts)


def test_rows_are_named_by_their_file_and_number_also_after_a_cut(write):
    train = [write("a.fa", "".join(f">{i}\n{'ACGT' * (i + 1)}\n" for i in range(10)))]
    train.append(write("b.fa", "".join(f">{i}\n{'GGCT' * (i + 1)}\n" for i in range(10))))

    data = load_sequences(DataArguments(train_file=train), "mlm")

    for split, rows in data.splits.items():
        for row, sequence in enumerate(rows["sequence"]):
            path = train[sequence.startswith("GG")]
            assert data.place(split, row) == f"{path}, record {len(sequence) // 4}"


def test_a_group_in_two_given_splits_is_refused(write):
    files = {
        f"{split}_file": [write(f"{split}.csv", f"sequence,gene\n{dna}A,g0\n{dna}C,g0\n{dna}G,{gene}\n")]
        for split, dna, gene in (("train", "A", "g1"), ("validation", "C", "g2"), ("test", "G", "g2"))
    }
    with pytest.raises(ValueError, match=naming("gene", "'g0'", "train", "validation")):
        load_sequences(DataArguments(group_column="gene", **files), "mlm")
    with pytest.raises(ValueError, match=naming("'nonsense'", "gene", "sequence")):
        load_sequences(DataArguments(group_column="nonsense", **files), "mlm")


@pytest.mark.parametrize("names", [["train", "val", "testing"], ["training", "valid", "eval"]])
def test_splits_of_other_names_are_recognised(folder, names):
    data = load(folder({name: one("ACGT" * (i + 1)) for i, name in enumerate(names)}), "mlm")
    assert sequences_of(data) == {"train": ["ACGT"], "validation": ["ACGTACGT"], "test": ["ACGTACGTACGT"]}


def test_splits_that_cannot_be_recognised_are_named_where_they_may_be_what_is_cut_off(folder):
    path = folder({"training": GOOD, "dev": GOOD, "holdout": GOOD})
    with pytest.raises(ValueError, match=naming("'holdout'", "test")):
        load(path, "mlm", test_fraction=0.1)
    assert list(load(path, "mlm").splits) == ["train", "validation"]
    shutil.rmtree(path)
    with pytest.raises(ValueError, match=naming("dev", "val", "remove")):
        load(folder({"train": GOOD, "dev": GOOD, "val": GOOD}), "mlm")


def test_rows_of_one_task_are_filtered_and_named_by_their_place_in_the_file(tmp_path, write):
    rows = [f"{'ACGT' * (i + 1)},c{i % 2},{['site', '1'][i // 30]}\n" for i in range(60)]
    path = write("train.csv", "".join(["sequence,label,task\n", *rows]))

    data = load_sequences(DataArguments(str(tmp_path), dataset_filter="task=1"), "classification")

    assert sorted(len(text) // 4 - 1 for text in sum(sequences_of(data).values(), [])) == list(range(30, 60))
    for split, of_split in data.splits.items():
        for row, sequence in enumerate(of_split["sequence"]):
            assert data.place(split, row) == f"{path}, row {len(sequence) // 4 - 1}"
    for wrong, facts in (("task=2", ["split train", "task=2"]), ("kind=2", ["'kind'", "task"])):
        with pytest.raises(ValueError, match=naming(*facts)):
            load_sequences(DataArguments(str(tmp_path), dataset_filter=wrong), "classification")


def test_a_data_set_of_the_hub_is_kept_and_read_without_the_hub(hub, monkeypatch):
    splits = {"train": {"sequence": ["ACGT", "GG"]}, "dev": {"sequence": ["TT"]}}
    DatasetDict({name: Dataset.from_dict(rows) for name, rows in splits.items()}).push_to_hub(
        "user/kept", token=hub.user
    )
    commit = hub.server.repository("datasets", "user/kept").resolve("main")
    arguments = DataArguments("user/kept", test_fraction=0)

    data = load_sequences(arguments, "mlm", api=hub.api(hub.user))

    expected = {"train": ["ACGT", "GG"], "validation": ["TT"]}
    assert (data.name, data.commit, sequences_of(data)) == ("user/kept", commit, expected)
    Dataset.from_dict({"sequence": ["CCCC"]}).push_to_hub("user/kept", split="test", token=hub.user)
    newest = hub.server.repository("datasets", "user/kept").resolve("main")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert sequences_of(load_sequences(arguments, "mlm", commit)) == expected
    with pytest.raises(ValueError, match="user/kept"):  # not in the cache, which has another commit
        load_sequences(arguments, "mlm", newest)


STREAMED = [{"sequence": "ACGT" + "A" * i} for i in range(9)]
HELD_OUT = [{"sequence": "GGGG" + "C" * i} for i in range(6)]


def fasta(rows):
    return "".join(f">r\n{row['sequence']}\n" for row in rows)


def test_a_streamed_train_is_read_as_it_is_used_shuffled_and_without_end(tmp_path):
    for split, rows in (("train", STREAMED), ("validation", HELD_OUT)):
        Dataset.from_list(rows).to_parquet(tmp_path / f"{split}.parquet")
    data = load_sequences(DataArguments(str(tmp_path), streaming=True), "mlm")

    train = data.splits["train"]
    assert isinstance(train, IterableDataset) and isinstance(data.splits["validation"], Dataset)
    assert data.splits["validation"].to_list() == HELD_OUT and data.cut_off == {}
    taken = list(itertools.islice(train, 4 * 9))
    assert Counter(row["sequence"] for row in taken) == Counter(4 * [row["sequence"] for row in STREAMED])
    assert taken[:9] != STREAMED


def test_a_fault_in_a_stream_is_an_error_when_it_is_reached(write):
    bad = write("a.fa", ">a\nACGT\n" + ">n\nNNN\n")
    files = {"train_file": [write("b.fa", ">b\nACGG\n"), bad], "validation_file": [write("v.fa", ">a\nGG\n")]}
    data = load_sequences(DataArguments(streaming=True, **files), "mlm")
    with pytest.raises(ValueError, match=naming(bad, "record 2", "A, C, G or T")):
        next(iter(data.splits["train"]))  # the buffer that is shuffled contains all three


def test_streams_with_labels_without_validation_or_with_overlap_of_the_rest_are_refused(tmp_path, write_dataset):
    write_dataset(tmp_path / "one", {"train": GOOD}, FEATURES)
    with pytest.raises(ValueError, match=naming("one", "'validation'", "stream")):
        load(tmp_path / "one", "mlm", streaming=True)
    with pytest.raises(ValueError, match=naming("--streaming", "mlm")):
        load(tmp_path / "one", "classification", streaming=True)
    write_dataset(tmp_path / "same", {"train": GOOD, "validation": GOOD, "test": GOOD[:1]}, FEATURES)
    with pytest.raises(ValueError, match=naming(1, "test", "validation")):
        load_sequences(DataArguments(str(tmp_path / "same"), streaming=True), "mlm")


def test_labels_that_differ_by_case_only_are_named(write):
    rows = "".join(f"{'ACGT' * (i + 1)},{('TRUE', 'True', 'False')[i % 3]}\n" for i in range(30))
    with pytest.warns(UserWarning, match="'TRUE', 'True'"):
        data = load_sequences(DataArguments(train_file=[write("a.csv", f"sequence,label\n{rows}")]), "classification")
    assert data.labels.names == ["False", "TRUE", "True"]
