"""Data set folder or files -> checked sequences and labels: what is read, and each check with what trips it."""

import itertools
import json
import os
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
        "test": "0.1 of train, by gene (10 groups), stratified by label",
        "validation": "0.2 of train, by gene (10 groups), stratified by label",
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
    ("task", "arguments"),
    [
        ("classification", {"validation_fraction": 0.2}),
        ("classification", {"test_fraction": 0.3}),
        ("mlm", {"label_column": "species"}),
    ],
)
def test_a_flag_that_this_data_or_task_does_not_need_is_refused(folder, task, arguments):
    path = folder({"train": GOOD, "validation": GOOD, "test": GOOD})
    assert len(load(path, task).splits) == 3
    with pytest.raises(ValueError, match=naming(f"--{next(iter(arguments))}", "no effect")):
        load(path, task, **arguments)


def test_a_row_is_named_by_its_number_in_its_file_whatever_was_read_before_it(write):
    files = [
        write("a.csv", "sequence,label,task\nAC,1,x\n"),
        write("b.csv", "sequence,label,task\nAG,?,y\nAT,n.d.,x\n"),
    ]
    with pytest.raises(ValueError, match=naming("b.csv, row 1", "'n.d.'")):
        load_sequences(DataArguments(train_file=files, dataset_filter="task=x"), "regression")


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
    monkeypatch.setattr("dnahub.training.dataset.check_groups", lambda *_: [])
    source = {"dataset_name": str(tmp_path)} if place == "folder" else {"train_file": [str(tmp_path / "train.csv")]}
    load_sequences(DataArguments(**source, group_column="group"), "mlm")
    assert seen == {"train": expected}
    assert [type(value) for value in seen["train"]] == [type(value) for value in expected]


CLASSES = "{class_label: {names: {'0': fly, '1': bee}}}"


@pytest.mark.parametrize(
    ("kind", "labels", "expected"),
    [
        (CLASSES, ("fly", "bee "), ["fly", "bee"]),
        (CLASSES, ("1", "0"), ["fly", "bee"]),
        (CLASSES, ("fly", "Bee"), ("row 1", "'Bee'", "fly, bee")),
        ("int64", ("1", "NA"), ("or after it", "'NA'", "int64")),
        ("string", ("01", "1"), ["01", "1"]),
    ],
)
def test_text_in_a_folder_is_of_the_type_that_the_card_says(tmp_path, write, kind, labels, expected):
    features = f"[{{name: sequence, dtype: string}}, {{name: label, dtype: {kind}}}]"
    write("README.md", f"---\ndataset_info: {{features: {features}}}\n---\n")
    for split in ("train", "dev", "test"):
        write(f"{split}.csv", f"sequence,label\nAC,{labels[0]}\nAG,{labels[1]}\n")
    if isinstance(expected, list):
        assert load(tmp_path).labels.names == expected
        return
    with pytest.raises(ValueError, match=naming(tmp_path / "train.csv", *expected)):
        load(tmp_path)


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


GIVEN = {
    f"{split}_file": f"sequence,gene,locus\n{dna}A,g0,{dna}0\n{dna}C,g0,{dna}1\n{dna}G,{gene},{dna}2\n"
    for split, dna, gene in (("train", "A", "g1"), ("validation", "C", "g2"), ("test", "G", "g2"))
}


@pytest.mark.parametrize(
    ("column", "told"),
    [
        ("gene", ["gene", "(g0)", "train", "validation"]),
        ("locus", ["locus", "9 values", "all different"]),
        ("nonsense", ["'nonsense'", "gene"]),
    ],
)
def test_groups_of_given_splits_are_checked(write, column, told):
    files = {flag: [write(f"{flag}.csv", text)] for flag, text in GIVEN.items()}
    with pytest.raises(ValueError, match=naming(*told)):
        load_sequences(DataArguments(group_column=column, **files), "mlm")


@pytest.mark.parametrize(
    ("build", "arguments", "expected"),
    [
        ({"synthetic": True}, {}, "gene"),  # of dataset_builder
        (None, {}, None),
        ({"synthetic": True}, {"group_column": "place"}, "place"),
        (None, {"group_column": "gene"}, "gene"),
    ],
)
def test_groups_are_the_given_ones_or_the_genes_of_dataset_builder(folder, build, arguments, expected):
    rows = {
        split: [{**row, "gene": f"{split}{i // 2}", "place": f"{split} end"} for i, row in enumerate(GOOD * 2)]
        for split in ("train", "validation")
    }
    features = Features({**FEATURES, "gene": Value("string"), "place": Value("string")})
    data = load(folder(rows, features, build=build), **arguments)
    assert data.group_column == expected
    groups = {split: [row[expected] for row in rows[split]] for split in rows} if expected else {}
    assert {split: values.to_pylist() for split, values in data.groups.items()} == groups
    assert set(data.splits["train"].column_names) == {"sequence", "label"}  # what is tokenised


def test_groups_of_text_and_of_numbers_are_the_same(write):
    train = write("train.jsonl", "".join(json.dumps({"sequence": f"{dna}A", "chr": 7}) + "\n" for dna in "AC"))
    files = {"train_file": [train], "validation_file": [write("v.csv", "sequence,chr\nGG, 7\nGT,8\nGC,8\n")]}
    with pytest.raises(ValueError, match=naming("1 groups", "(7)", "validation")):
        load_sequences(DataArguments(group_column="chr", test_fraction=0, **files), "mlm")


def test_columns_by_which_rows_may_not_belong_together_are_named(write, recwarn):
    text = CSV.replace("\n", ",splice,x\n").replace("splice,x", "task,split", 1)
    columns = {"sequence_column": "dna", "label_column": "species"}
    load_sequences(DataArguments(train_file=[write("a.csv", text)], **columns), "classification")
    told = [f"a.csv: rows of every {each} are used; --dataset_filter {each}=VALUE" for each in ("task", "split")]
    assert [str(each.message).rpartition(" chooses")[0] for each in recwarn] == told


def test_groups_that_differ_by_spelling_only_are_named(write):
    rows = "".join(f"{'ACGT' * (i + 1)},{('chr1', 'Chr1', 'chrX', 'chrY')[i % 4]}\n" for i in range(12))
    with pytest.warns(UserWarning, match="groups .'Chr1', 'chr1'. differ"):
        load_sequences(DataArguments(train_file=[write("a.csv", f"sequence,chr\n{rows}")], group_column="chr"), "mlm")


@pytest.mark.parametrize(
    "names",
    [["train", "val", "testing"], ["training", "valid", "eval"], ["Train", "DEV", "Test"], ["train", "eval", "test"]],
)
def test_splits_of_other_names_are_recognised(folder, names):
    data = load(folder({name: one("ACGT" * (i + 1)) for i, name in enumerate(names)}), "mlm")
    assert sequences_of(data) == {"train": ["ACGT"], "validation": ["ACGTACGT"], "test": ["ACGTACGTACGT"]}


def test_splits_that_cannot_be_recognised_are_named(folder):
    path = folder({"training": GOOD, "dev": GOOD, "holdout": GOOD})
    with pytest.raises(ValueError, match=naming("'holdout'", "test")):
        load(path, "mlm", test_fraction=0.1)
    with pytest.warns(UserWarning, match="not used.* holdout"):
        assert list(load(path, "mlm").splits) == ["train", "validation"]
    shutil.rmtree(path)
    with pytest.raises(ValueError, match=naming("dev", "val", "remove")):
        load(folder({"train": GOOD, "dev": GOOD, "val": GOOD}), "mlm")
    shutil.rmtree(path)
    path = folder({"train": GOOD, "test": GOOD[:1], "test_mouse": GOOD})  # not the missing validation
    with pytest.warns(UserWarning, match="not used.* test_mouse"):
        assert list(load(path, "mlm").splits) == ["train", "validation", "test"]
    shutil.rmtree(path)
    with pytest.raises(ValueError, match=naming("'dev_mouse'", "validation")):
        load(folder({"train": GOOD, "dev_mouse": GOOD, "test": GOOD}), "mlm")


def written(folder, paths):
    """A folder of CSV files, whose path each has in its sequence, by the length."""
    for i, path in enumerate(paths):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(f"sequence\n{'ACGT' * (i + 1)}\n")
    return folder


@pytest.mark.parametrize(
    "paths",
    [
        ["train.csv", "dev.csv", "testing.csv"],
        ["training/a.csv", "valid/a.csv", "eval/a.csv"],
        ["my_train-1.csv", "my val.csv", "sub/my_test.csv"],
        ["train/human/a.csv", "dev/mouse/a.csv", "test/human/a.csv"],
    ],
)
@pytest.mark.parametrize("name", ["set", "set[12]"])
def test_files_of_a_folder_are_recognised_by_their_names(tmp_path, paths, name):
    written(tmp_path / "set1", ["train.csv"])
    data = load(written(tmp_path / name, [*paths, ".cache/train.csv"]), "mlm")
    assert sequences_of(data) == {"train": ["ACGT"], "validation": ["ACGTACGT"], "test": ["ACGTACGTACGT"]}


@pytest.mark.parametrize(
    ("paths", "told"),
    [
        (["train.csv", "dev.csv", "holdout.csv"], ["holdout.csv"]),
        (["Train.csv", "Test.csv"], ["Test.csv"]),
        (["a_trainset.csv", "a_devset.csv"], ["a_devset.csv"]),
        (["training.csv", "development.csv"], ["development.csv"]),
        (["train/a.csv", "dev.csv"], ["dev.csv"]),
        (["train/a.csv", "held_out/a.csv"], ["held_out/a.csv"]),
        (["train.csv", "eval.csv", "test.csv"], ["eval.csv", "test.csv", "'test'"]),
        (["H3/train.csv", "H4/train.csv", "H4/test.csv"], ["H3/train.csv", "H4/train.csv", "'train'"]),
        (["H3/dev/a.csv", "H4/dev/a.csv", "train.csv"], ["H3/dev/a.csv", "H4/dev/a.csv", "'validation'"]),
    ],
)
def test_files_that_would_be_left_out_or_mixed_are_named(tmp_path, paths, told):
    with pytest.raises(ValueError, match=naming(*told, "set")):
        load(written(tmp_path / "set", paths), "mlm", test_fraction=0.1)


def test_files_that_are_all_train_because_none_is_named_as_a_split_are_named(tmp_path, recwarn):
    chunks = [f"data/train-0000{i}-of-00002.csv" for i in range(2)]
    for name, paths in {"chunks": chunks, "halves": ["tr.csv", "te.csv"]}.items():
        load(written(tmp_path / name, paths), "mlm", validation_fraction=0.5)
    assert [str(each.message) for each in recwarn] == [
        "halves: none of its files is named as a split, all are train: te.csv, tr.csv"
    ]


def test_a_folder_whose_content_changed_but_not_its_dates_and_sizes_is_read_anew(tmp_path):
    for sequence in ("ACGT", "TTTT"):
        for split in ("train", "test", "validation"):
            path = tmp_path / f"{split}.csv"
            path.write_text(f"sequence\n{sequence}\n")
            os.utime(path, (1e9, 1e9))
        assert sequences_of(load(tmp_path, "mlm"))["train"] == [sequence]


def test_rows_of_one_task_are_filtered_and_named_by_their_place_in_the_file(tmp_path, write):
    rows = [f"{'ACGT' * (i + 1)},c{i % 2},{['site', '1'][i // 30]}\n" for i in range(60)]
    path = write("train.csv", "".join(["sequence,label,task\n", *rows]))

    data = load_sequences(DataArguments(str(tmp_path), dataset_filter="task=1"), "classification")

    assert sorted(len(text) // 4 - 1 for text in sum(sequences_of(data).values(), [])) == list(range(30, 60))
    for split, of_split in data.splits.items():
        for row, sequence in enumerate(of_split["sequence"]):
            assert data.place(split, row) == f"{path}, row {len(sequence) // 4 - 1}"
    for wrong, facts in (("task=2", ["split train", "task=2", "site, 1"]), ("kind=2", ["'kind'", "task"])):
        with pytest.raises(ValueError, match=naming(*facts)):
            load_sequences(DataArguments(str(tmp_path), dataset_filter=wrong), "classification")


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ("task= b ", ["AC", "AR"]),
        ("number=2", ["AG", "AR"]),
        ("half=2.50", ["AT"]),
        ("good=False", ["AG"]),
        ("name=b=c", ["AC"]),
    ],
)
def test_rows_are_filtered_by_values_of_any_kind_and_others_do_not_count(write, chosen, expected):
    """The row that has no nucleotide is of another task, and so are letters that become N but for one."""
    rows = [
        {"sequence": "AC", "task": "b ", "number": 1, "half": 0.5, "good": True, "name": "b=c"},
        {"sequence": "AG", "task": "c", "number": 2, "half": 0.5, "good": False, "name": "b"},
        {"sequence": "AR", "task": "b", "number": 2, "half": None, "good": True, "name": None},
        {"sequence": "AT", "task": "c", "number": 3, "half": 2.5, "good": True, "name": "c"},
        {"sequence": "NY", "task": "d", "number": 4, "half": 4, "good": True, "name": "d"},
    ]
    path = write("train.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    arguments = {"validation_file": [path], "allow_overlap": True, "test_fraction": 0, "dataset_filter": chosen}
    data = load_sequences(DataArguments(train_file=[path], **arguments), "mlm")
    assert sequences_of(data)["train"] == expected and data.num_replaced == 2 * ("AR" in expected)


def test_a_filter_that_does_not_suit_its_column_is_refused(write):
    path = write("train.jsonl", '{"sequence": "AC", "task": ["a"], "number": 1}\n')
    for wrong, facts in (("task=a", ["'task'", "list"]), ("number=a", ["'number'", "int64"])):
        with pytest.raises(ValueError, match=naming(*facts, wrong)):
            load_sequences(DataArguments(train_file=[path], dataset_filter=wrong), "mlm")


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


def labelled(labels):
    return "".join(["sequence,label\n", *(f"{'ACGT' * (i + 1)},{label}\n" for i, label in enumerate(labels))])


@pytest.mark.parametrize(
    ("labels", "names", "warned"),
    [
        (["promoter", "promoter ", " enhancer"], ["enhancer", "promoter"], None),
        (["TRUE", "True", "False"], ["False", "TRUE", "True"], "'TRUE', 'True'"),
        (["E. coli", "E.coli", "fly"], ["E. coli", "E.coli", "fly"], "'E. coli', 'E.coli'"),
        (["caf\u00e9", "cafe\u0301", "a"], ["a", "cafe\u0301", "caf\u00e9"], "'cafe\u0301', 'caf\u00e9'"),
    ],
)
def test_labels_are_trimmed_and_those_that_differ_by_spelling_only_are_named(write, recwarn, labels, names, warned):
    data = load_sequences(DataArguments(train_file=[write("a.csv", labelled(labels * 10))]), "classification")
    assert data.labels.names == names
    told = [str(each.message) for each in recwarn if "differ only" in str(each.message)]
    assert len(told) == (warned is not None) and all(f"[{warned}]" in each for each in told)


def test_labels_too_rare_for_every_split_stay_in_train_and_are_named(write):
    path = write("a.csv", labelled(["a"] * 57 + ["rare"] * 3))
    with pytest.warns(UserWarning, match="no row of rare") as told:
        data = load_sequences(DataArguments(train_file=[path]), "classification")
    assert [str(each.message).split(",")[0] for each in told] == ["test", "validation"]
    assert {split: sum(rows["label"]) for split, rows in data.splits.items()} == {
        "train": 3,
        "validation": 0,
        "test": 0,
    }


def test_the_index_that_pandas_writes_is_a_column_that_is_not_read(write):
    rows = "".join(f"{i},a{i},{'ACGT' * (i + 1)},{'xy'[i % 2]}\n" for i in range(40))
    data = load_sequences(DataArguments(train_file=[write("a.csv", f",id,sequence,label\n{rows}")]), "classification")
    assert data.splits["train"].column_names == ["sequence", "label"] and data.labels.names == ["x", "y"]


def test_so_many_rows_of_train_are_used_the_same_ones_with_any_seed(toy_dataset, toy_rows):
    used = [
        load_sequences(DataArguments(dataset_name=str(toy_dataset), max_train_samples=most), "classification").splits
        for most in (20, 20, 1000)
    ]
    few = used[0]["train"]["sequence"][:]
    assert (
        len(few) == 20 and few == used[1]["train"]["sequence"][:] and len(used[2]["train"]) == len(toy_rows["train"])
    )
    every = [row["sequence"] for row in toy_rows["train"]]
    assert [every.index(each) for each in few] == sorted(every.index(each) for each in few) and few != every[:20]
    assert len(used[0]["test"]) == len(toy_rows["test"])
