"""Label column -> what a task takes, against plain loops over the rows; and each column that it cannot take."""

import re

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, LargeList, List, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from dnahub.tasks import TASKS
from dnahub.tasks.task import Labels
from tests.messages import naming


def splits_of(feature=None, **labels):
    """Splits with the columns `kind`, which holds the labels, and `row`."""
    features = feature and Features({"kind": feature, "row": Value("int64")})
    return DatasetDict(
        {
            split: Dataset.from_dict({"kind": values, "row": list(range(len(values)))}, features)
            for split, values in labels.items()
        }
    )


def encoded(splits, task="classification", separator=None):
    """The labels of each split, and what they mean."""
    result, meaning = TASKS[task].encode(splits, "kind", separator)
    for split, rows in result.items():
        assert set(rows.features) == {"row", "label"}
        assert rows["row"][:] == splits[split]["row"][:]
    return {split: rows["label"][:] for split, rows in result.items()}, meaning


def fault_of(splits, task="classification", separator=None):
    with pytest.raises(ValueError) as raised:
        TASKS[task].encode(splits, "kind", separator)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("feature", [None, Value("large_string")])
def test_strings_become_ids_of_the_sorted_labels_of_train(feature):
    splits = splits_of(feature, train=["yeast", "fly", "NA", "fly"], validation=["NA"], test=["yeast", "fly"])

    labels, meaning = encoded(splits)

    assert meaning == Labels(["NA", "fly", "yeast"], 3)
    assert labels == {"train": [2, 1, 0, 1], "validation": [0], "test": [2, 1]}


def test_the_ids_of_a_classlabel_stay_as_they_are():
    feature = ClassLabel(names=["yeast", "fly", "absent"])

    labels, meaning = encoded(splits_of(feature, train=[1, 0, 1], test=[0, 1]))

    assert meaning == Labels(["yeast", "fly", "absent"], 3)
    assert labels == {"train": [1, 0, 1], "test": [0, 1]}


def test_splits_that_number_their_classes_otherwise_follow_train_by_name():
    splits = splits_of(ClassLabel(names=["yeast", "fly"]), train=[0, 1])
    splits["validation"] = splits_of(ClassLabel(names=["fly", "unused", "yeast"]), rows=[0, 2, 2])["rows"]
    splits["test"] = splits_of(Value("string"), rows=["fly", "yeast"])["rows"]

    assert encoded(splits)[0] == {"train": [0, 1], "validation": [1, 0, 0], "test": [1, 0]}


def test_booleans_and_whole_numbers_are_classes_in_their_own_order():
    assert encoded(splits_of(train=[True, False])) == ({"train": [1, 0]}, Labels(["False", "True"], 2))
    labels, meaning = encoded(splits_of(train=[10, -1, 9, 10], test=[9]))
    assert meaning == Labels(["-1", "9", "10"], 3)
    assert labels == {"train": [2, 0, 1, 2], "test": [1]}


@pytest.mark.parametrize(
    ("feature", "train", "names", "expected"),
    [
        (List(Value("int64")), [[10, 9], [9]], ["9", "10"], [[1, 1], [1, 0]]),
        (List(ClassLabel(names=["b", "a"])), [[1], [0]], ["b", "a"], [[0, 1], [1, 0]]),
        (List(Value("string"), length=2), [["x", "y"], ["y", "y"]], ["x", "y"], [[1, 1], [0, 1]]),
        (LargeList(Value("string")), [["x"], ["x"]], ["x"], [[1], [1]]),
    ],
)
def test_lists_of_numbers_and_classes_and_of_other_kinds_are_taken_too(feature, train, names, expected):
    labels, meaning = encoded(splits_of(feature, train=train), "multi_label")

    assert meaning == Labels(names, len(names))
    assert labels == {"train": expected}


def test_a_separator_makes_several_labels_of_a_string_and_none_of_an_empty_one():
    splits = splits_of(train=["2; 1", "", None, ";c ;"], test=[1, 2])  # a file where no row happens to have two

    labels, meaning = encoded(splits, task="multi_label", separator=";")

    assert meaning == Labels(["1", "2", "c"], 3)
    assert labels == {"train": [[1, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 1]], "test": [[1, 0, 0], [0, 1, 0]]}


@pytest.mark.parametrize("feature", [Value("int32"), Value("float64"), Value("float16"), Value("uint8")])
def test_numbers_of_any_type_become_float32(feature):
    splits = splits_of(feature, train=[0, 1, 2], test=[3])

    result, meaning = TASKS["regression"].encode(splits, "kind")

    assert meaning == Labels([], 1)
    assert result["train"].features["label"] == Value("float32")
    assert [rows["label"][:] for rows in result.values()] == [[0.0, 1.0, 2.0], [3.0]]


@pytest.mark.parametrize("feature", [List(Value("float64")), List(Value("int64")), List(Value("float32"), length=2)])
def test_lists_of_numbers_become_as_many_outputs(feature):
    result, meaning = TASKS["regression"].encode(splits_of(feature, train=[[1, 2], [3, 4]], test=[[5, 6]]), "kind")

    assert meaning == Labels([], 2)
    assert result["train"].features["label"] == List(Value("float32"), length=2)
    assert [rows["label"][:] for rows in result.values()] == [[[1, 2], [3, 4]], [[5, 6]]]


def test_token_labels_are_ids_and_minus_100_where_a_token_has_none():
    splits = splits_of(train=[["exon", None, "intron"], [], ["exon"]], test=[[None], ["intron"]])

    result, meaning = TASKS["token_classification"].encode(splits, "kind")

    assert meaning == Labels(["exon", "intron"], 2)
    assert result["train"].features["label"] == List(Value("int64"))
    assert result["train"]["label"][:] == [[0, -100, 1], [], [0]]
    assert result["test"]["label"][:] == [[-100], [1]]


@pytest.mark.parametrize("feature", [List(Value("int64")), List(ClassLabel(names=["0", "1"])), List(Value("int8"))])
def test_token_labels_may_be_numbers_and_minus_100_stays(feature):
    splits = splits_of(Value("string"), train=["", ""])
    splits["train"] = Dataset.from_dict({"kind": [[1, -100], [0, None]], "row": [0, 1]}).cast_column("kind", feature)

    assert encoded(splits, "token_classification")[0] == {"train": [[1, -100], [0, -100]]}


NAMES = st.text(st.sampled_from("ab;é "), max_size=3)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(NAMES.filter(bool), max_size=4), min_size=1, max_size=8), st.data())
def test_multi_label_and_token_ids_are_those_of_plain_loops(rows, data):
    rows.append(["a", "b"])
    names = sorted({name for row in rows for name in row})
    test = data.draw(st.lists(st.lists(st.sampled_from(names), max_size=3), min_size=1, max_size=4))
    splits = splits_of(List(Value("string")), train=rows, test=test)

    labels, meaning = encoded(splits, "multi_label")
    assert meaning == Labels(names, len(names))
    assert labels["train"] == [[float(name in row) for name in names] for row in rows]
    assert labels["test"] == [[float(name in row) for name in names] for row in test]

    labels, meaning = encoded(splits, "token_classification")
    assert meaning == Labels(names, len(names))
    assert labels["train"] == [[names.index(name) for name in row] for row in rows]


def test_rows_that_were_selected_keep_their_labels():
    splits = splits_of(train=["a", "b", "c", "a"])
    splits["train"] = splits["train"].select([3, 1, 1])

    assert encoded(splits) == ({"train": [0, 1, 1]}, Labels(["a", "b"], 2))


def test_the_column_may_be_called_label_and_another_of_that_name_is_replaced():
    rows = Dataset.from_dict({"label": ["a", "b"], "species": ["y", "x"], "sequence": ["A", "C"]})

    by_label = TASKS["classification"].encode(DatasetDict(train=rows), "label")[0]["train"]
    by_species = TASKS["classification"].encode(DatasetDict(train=rows), "species")[0]["train"]

    assert by_label.to_dict() == {"species": ["y", "x"], "sequence": ["A", "C"], "label": [0, 1]}
    assert by_species.to_dict() == {"sequence": ["A", "C"], "label": [1, 0]}


CLASSES = [
    (splits_of(train=["a", "b"], test=["a", "c"]), ["split test", "'c'", "row 1", "train"]),
    (
        splits_of(train=[str(i) for i in range(99)], test=["x"]),
        ["0", "1", "10", "11", "12", "13", "14", "15", "16", "17", "…"],
    ),
    (splits_of(train=["a", "b"], test=["b", None]), ["split test", "row 1", "missing"]),
    (splits_of(train=["a", "", "b"]), ["split train", "''", "row 1", "empty"]),
    (splits_of(ClassLabel(names=["a", "b"]), train=[0, 1, -1]), ["-1", "row 2", "0", "1"]),
    (splits_of(train=["a", "a"]), ["'kind'", "1 label", "2"]),
    (splits_of(train=[0.5, 1.0]), ["'kind'", "Value('float64')", "--task regression"]),
    (splits_of(Value("timestamp[s]"), train=[0, 1]), ["ClassLabel"]),
    (splits_of(train=["a", "b"], test=[]), ["split test", "empty"]),
    (splits_of(train=[["a"], ["b"]]), ["'kind'", "--task multi_label", "--task token_classification"]),
    (
        DatasetDict(train=splits_of(rows=["a", "b"])["rows"], test=splits_of(rows=[["a"]])["rows"]),
        ["split test", "'kind'", "List(Value('string'))"],
    ),
]
SETS = [
    (splits_of(train=[["a"]], test=[[], ["a", "c"]]), ["split test", "'c'", "row 1", "train"]),
    (splits_of(train=[["a"], [], ["a", None]]), ["split train", "row 2", "missing"]),
    (splits_of(train=[[], []]), ["'kind'", "0 labels", "1"]),
    (splits_of(train=[[["a"]]]), ["ClassLabel", "list"]),
    (splits_of(train=["a", "b"]), ["'kind'", "Value('string')", "--label_separator"]),
]
NUMBERS = [
    (splits_of(train=[1.0, None]), ["split train", "row 1", "missing"]),
    (splits_of(train=[1.0], test=[2.0, np.nan]), ["split test", "nan", "row 1", "finite"]),
    (splits_of(train=[1.0, 1e300]), ["split train", "inf", "row 1", "finite", "float32"]),
    (splits_of(train=[[1.0, 2.0], [3.0, None]]), ["split train", "row 1", "finite"]),
    (splits_of(train=[[1.0], [2.0]], test=[[1.0], [2.0, 3.0]]), ["split test", "row 1", "list", "2"]),
    (splits_of(train=[[1.0, 2.0], []]), ["split train", "row 1", "list", "0 numbers"]),
    (splits_of(train=["1", "NA"]), ["row 1", "'NA'", "not a number", "--task"]),
    (splits_of(train=[True, False]), ["'kind'", "Value('bool')", "--task regression"]),
    (
        DatasetDict(train=splits_of(rows=[1.0])["rows"], test=splits_of(rows=[[1.0]])["rows"]),
        ["split test", "'kind'", "List(Value('float64'))"],
    ),
]
TOKENS = [
    (splits_of(train=["a", "b"]), ["--task token_classification", "list"]),
    (splits_of(train=[["a", None], ["a"]]), ["'kind'", "1 label", "2"]),
    (splits_of(train=[["a", "b"]], test=[["a"], [None, "c"]]), ["split test", "'c'", "row 1", "train"]),
]
FAULTS = {"classification": CLASSES, "multi_label": SETS, "regression": NUMBERS, "token_classification": TOKENS}


@pytest.mark.parametrize(
    ("task", "splits", "told"), [(task, *fault) for task, faults in FAULTS.items() for fault in faults]
)
def test_labels_that_a_task_cannot_take_are_refused_with_the_reason(task, splits, told):
    assert re.search(naming(*told), fault_of(splits, task))


def test_a_column_that_is_not_there_is_refused_with_those_that_are():
    splits = splits_of(train=["a", "b"], test=["a"])
    splits["test"] = splits["test"].rename_column("kind", "other")

    with pytest.raises(ValueError, match=naming("split test", "'kind'", "other, row")):
        TASKS["classification"].encode(splits, "kind")


def test_a_separator_goes_with_strings_and_multi_label_alone():
    splits = splits_of(train=["a", "b"])
    for task in set(TASKS) - {"multi_label"}:
        assert re.search(naming("--label_separator ';'", "--task multi_label"), fault_of(splits, task, ";"))
    assert re.search(naming("--label_separator", "''"), fault_of(splits, "multi_label", ""))
    told = fault_of(splits_of(train=[["a"], ["b"]]), "multi_label", ";")
    assert re.search(naming("--label_separator", "strings"), told)


def test_a_class_that_no_row_of_train_has_cannot_be_in_another_split():
    feature = ClassLabel(names=["a", "b", "c"])
    splits, meaning = TASKS["classification"].encode(splits_of(feature, train=[0, 1], test=[2, 2, 0]), "kind")

    with pytest.raises(ValueError, match=naming("split test", "'c'", "train")):
        TASKS["classification"].check_splits(splits, meaning)
    TASKS["classification"].check_splits(DatasetDict(train=splits["test"], test=splits["test"]), meaning)
