"""Label column -> targets, against plain loops over the rows; and each column that a task cannot take."""

import re

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, LargeList, List, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from dnahub.tasks.targets import Targets, encode, encode_stream
from tests.messages import naming

SINGLE, MULTI, TOKENS = "single_label_classification", "multi_label_classification", "token_classification"


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
    result, targets = encode(splits, "kind", task, separator)
    for split, rows in result.items():
        assert set(rows.features) == {"row", "label"}
        assert rows["row"][:] == splits[split]["row"][:]
    return {split: rows["label"][:] for split, rows in result.items()}, targets


def fault_of(splits, task="classification", separator=None):
    with pytest.raises(ValueError) as raised:
        encode(splits, "kind", task, separator)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("feature", [None, Value("large_string")])
def test_strings_become_ids_of_the_sorted_labels_of_train(feature):
    splits = splits_of(feature, train=["yeast", "fly", "NA", "fly"], validation=["NA"], test=["yeast", "fly"])

    labels, targets = encoded(splits)

    assert targets == Targets(SINGLE, ["NA", "fly", "yeast"], 3)
    assert labels == {"train": [2, 1, 0, 1], "validation": [0], "test": [2, 1]}


def test_the_ids_of_a_classlabel_stay_as_they_are():
    feature = ClassLabel(names=["yeast", "fly", "absent"])

    labels, targets = encoded(splits_of(feature, train=[1, 0, 1], test=[0, 1]))

    assert targets == Targets(SINGLE, ["yeast", "fly", "absent"], 3)
    assert labels == {"train": [1, 0, 1], "test": [0, 1]}


def test_splits_that_number_their_classes_otherwise_follow_train_by_name():
    splits = splits_of(ClassLabel(names=["yeast", "fly"]), train=[0, 1])
    splits["validation"] = splits_of(ClassLabel(names=["fly", "unused", "yeast"]), rows=[0, 2, 2])["rows"]
    splits["test"] = splits_of(Value("string"), rows=["fly", "yeast"])["rows"]

    assert encoded(splits)[0] == {"train": [0, 1], "validation": [1, 0, 0], "test": [1, 0]}


def test_booleans_and_whole_numbers_are_classes_in_their_own_order():
    assert encoded(splits_of(train=[True, False])) == ({"train": [1, 0]}, Targets(SINGLE, ["False", "True"], 2))
    labels, targets = encoded(splits_of(train=[10, -1, 9, 10], test=[9]))
    assert targets == Targets(SINGLE, ["-1", "9", "10"], 3)
    assert labels == {"train": [2, 0, 1, 2], "test": [1]}


def test_lists_of_labels_become_one_number_a_label():
    labels, targets = encoded(splits_of(train=[["b", "a"], [], ["c", "c"]], validation=[["a"]]))

    assert targets == Targets(MULTI, ["a", "b", "c"], 3)
    assert labels == {"train": [[1, 1, 0], [0, 0, 0], [0, 0, 1]], "validation": [[1, 0, 0]]}


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
    labels, targets = encoded(splits_of(feature, train=train))

    assert targets == Targets(MULTI, names, len(names))
    assert labels == {"train": expected}


def test_a_split_without_any_label_goes_with_a_multi_label_train():
    assert encoded(splits_of(train=[["b", "a"]], test=[[], []]))[0]["test"] == [[0, 0], [0, 0]]


def test_the_multi_label_column_has_a_fixed_length_of_float32():
    result, _ = encode(splits_of(train=[["b", "a"], []]), "kind", "classification")

    assert result["train"].features["label"] == List(Value("float32"), length=2)


def test_a_separator_makes_several_labels_of_a_string_and_none_of_an_empty_one():
    labels, targets = encoded(splits_of(train=["b; a", "", None, ";c ;"], test=["a"]), separator=";")

    assert targets == Targets(MULTI, ["a", "b", "c"], 3)
    assert labels == {"train": [[1, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 1]], "test": [[1, 0, 0]]}


def test_a_separator_goes_with_whole_numbers_for_no_row_of_a_file_may_have_two():
    splits = splits_of(train=["1, 2", "10"])
    splits["test"] = splits_of(rows=[10, 2])["rows"]

    labels, targets = encoded(splits, separator=",")

    assert targets.label_names == ["1", "10", "2"]
    assert labels["test"] == [[0, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize("feature", [Value("int32"), Value("float64"), Value("float16"), Value("uint8")])
def test_numbers_of_any_type_become_float32(feature):
    splits = splits_of(feature, train=[0, 1, 2], test=[3])

    result, targets = encode(splits, "kind", "regression")

    assert targets == Targets("regression", [], 1)
    assert result["train"].features["label"] == Value("float32")
    assert [rows["label"][:] for rows in result.values()] == [[0.0, 1.0, 2.0], [3.0]]


@pytest.mark.parametrize("feature", [List(Value("float64")), List(Value("int64")), List(Value("float32"), length=2)])
def test_lists_of_numbers_become_as_many_outputs(feature):
    result, targets = encode(splits_of(feature, train=[[1, 2], [3, 4]], test=[[5, 6]]), "kind", "regression")

    assert targets == Targets("regression", [], 2)
    assert result["train"].features["label"] == List(Value("float32"), length=2)
    assert [rows["label"][:] for rows in result.values()] == [[[1, 2], [3, 4]], [[5, 6]]]


def test_token_labels_are_ids_and_minus_100_where_a_token_has_none():
    splits = splits_of(train=[["exon", None, "intron"], [], ["exon"]], test=[[None], ["intron"]])

    result, targets = encode(splits, "kind", "token_classification")

    assert targets == Targets(TOKENS, ["exon", "intron"], 2)
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

    labels, targets = encoded(splits)
    assert targets == Targets(MULTI, names, len(names))
    assert labels["train"] == [[float(name in row) for name in names] for row in rows]
    assert labels["test"] == [[float(name in row) for name in names] for row in test]

    labels, targets = encoded(splits, "token_classification")
    assert targets == Targets(TOKENS, names, len(names))
    assert labels["train"] == [[names.index(name) for name in row] for row in rows]


@settings(max_examples=25, deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=8))
def test_separated_labels_are_those_of_plain_loops(texts):
    texts.append("a;b")
    rows = [{piece.strip() for piece in text.split(";")} - {""} for text in texts]
    names = sorted(set.union(*rows))

    labels, targets = encoded(splits_of(train=texts), separator=";")

    assert targets == Targets(MULTI, names, len(names))
    assert labels["train"] == [[float(name in row) for name in names] for row in rows]


def test_rows_that_were_selected_keep_their_labels():
    splits = splits_of(train=["a", "b", "c", "a"])
    splits["train"] = splits["train"].select([3, 1, 1])

    assert encoded(splits) == ({"train": [0, 1, 1]}, Targets(SINGLE, ["a", "b"], 2))


def test_the_column_may_be_called_label_and_another_of_that_name_is_replaced():
    rows = Dataset.from_dict({"label": ["a", "b"], "species": ["y", "x"], "sequence": ["A", "C"]})

    by_label = encode(DatasetDict(train=rows), "label", "classification")[0]["train"]
    by_species = encode(DatasetDict(train=rows), "species", "classification")[0]["train"]

    assert by_label.to_dict() == {"species": ["y", "x"], "sequence": ["A", "C"], "label": [0, 1]}
    assert by_species.to_dict() == {"sequence": ["A", "C"], "label": [1, 0]}


@pytest.mark.parametrize(
    ("splits", "told"),
    [
        (
            splits_of(train=["a", "b"], test=["a", "c"]),
            ["split test", "'c'", "row 1", "train"],
        ),
        (splits_of(train=[["a"]], test=[[], ["a", "c"]]), ["split test", "'c'", "row 1", "train"]),
        (
            splits_of(train=[str(i) for i in range(99)], test=["x"]),
            ["0", "1", "10", "11", "12", "13", "14", "15", "16", "17", "…"],
        ),
        (splits_of(train=["a", "b"], test=["b", None]), ["split test", "row 1", "missing"]),
        (splits_of(train=[["a"], None]), ["split train", "row 1", "missing"]),
        (splits_of(train=[["a"], [], ["a", None]]), ["split train", "row 2", "missing"]),
        (splits_of(Value("null"), train=[None, None]), ["split train", "row 0", "missing"]),
        (splits_of(train=["a", "", "b"]), ["split train", "''", "row 1", "empty"]),
        (splits_of(ClassLabel(names=["a", "b"]), train=[0, 1, -1]), ["-1", "row 2", "0", "1"]),
        (splits_of(train=["a", "a"]), ["'kind'", "1 label", "classification", "2"]),
        (splits_of(ClassLabel(names=["a", "b"]), train=[0, 0]), ["'kind'", "1 label", "classification", "2"]),
        (splits_of(train=[[], []]), ["'kind'", "0 labels", "classification", "1"]),
        (splits_of(train=[0.5, 1.0]), ["'kind'", "Value('float64')", "--task regression"]),
        (
            splits_of(train=[[0.5], [1.0]]),
            ["'kind'", "List(Value('float64'))", "--task regression"],
        ),
        (splits_of(train=[[["a"]]]), ["ClassLabel", "list"]),
        (splits_of(Value("timestamp[s]"), train=[0, 1]), ["ClassLabel"]),
        (splits_of(train=["a", "b"], test=[]), ["split test", "empty"]),
        (
            DatasetDict(train=splits_of(rows=["a", "b"])["rows"], test=splits_of(rows=[["a"]])["rows"]),
            ["split test", "'kind'", "List(Value('string'))", "train"],
        ),
        (
            DatasetDict(train=splits_of(rows=[["a"]])["rows"], test=splits_of(rows=["a"])["rows"]),
            ["split test", "'kind'", "Value('string')", "train", "List(Value('string'))"],
        ),
    ],
)
def test_labels_that_classification_cannot_take_are_refused_with_the_reason(splits, told):
    assert re.search(naming(*told), fault_of(splits))


@pytest.mark.parametrize(
    ("splits", "told"),
    [
        (splits_of(train=[1.0, None]), ["split train", "row 1", "missing"]),
        (splits_of(train=[1.0], test=[2.0, np.nan]), ["split test", "nan", "row 1", "finite"]),
        (splits_of(train=[1.0, -np.inf]), ["split train", "-inf", "row 1", "finite"]),
        (splits_of(train=[1.0, 1e300]), ["split train", "inf", "row 1", "finite", "float32"]),
        (splits_of(train=[[1.0], [np.nan]]), ["split train", "nan", "row 1", "finite"]),
        (splits_of(train=[[1.0, 2.0], [3.0, None]]), ["split train", "row 1", "finite"]),
        (splits_of(train=[[1.0], [2.0]], test=[[1.0], [2.0, 3.0]]), ["split test", "row 1", "list", "2"]),
        (splits_of(train=[[1.0, 2.0], []]), ["split train", "row 1", "list", "0 numbers"]),
        (splits_of(List(Value("float32")), train=[[], []]), ["split train", "row 0", "list", "0 numbers"]),
        (splits_of(train=["1", "2.5"]), ["'kind'", "Value('string')", "--task regression"]),
        (splits_of(train=["1", "NA"]), ["'kind'", "Value('string')", "row 1", "'NA'", "--task regression"]),
        (splits_of(train=[True, False]), ["'kind'", "Value('bool')", "--task regression"]),
        (
            splits_of(ClassLabel(names=["a", "b"]), train=[0, 1]),
            ["--task regression"],
        ),
        (
            DatasetDict(train=splits_of(rows=[1.0])["rows"], test=splits_of(rows=[[1.0]])["rows"]),
            ["split test", "'kind'", "List(Value('float64'))", "train"],
        ),
    ],
)
def test_labels_that_regression_cannot_take_are_refused_with_the_reason(splits, told):
    assert re.search(naming(*told), fault_of(splits, "regression"))


@pytest.mark.parametrize(
    ("splits", "told"),
    [
        (splits_of(train=["a", "b"]), ["--task token_classification", "list"]),
        (splits_of(train=[["a", "b"], None]), ["split train", "row 1", "missing"]),
        (splits_of(train=[["a", None], ["a"]]), ["'kind'", "1 label", "token_classification", "2"]),
        (
            splits_of(train=[["a", "b"]], test=[["a"], [None, "c"]]),
            ["split test", "'c'", "row 1", "train"],
        ),
        (splits_of(train=[[0.5]]), ["--task regression"]),
    ],
)
def test_labels_that_token_classification_cannot_take_are_refused_with_the_reason(splits, told):
    assert re.search(naming(*told), fault_of(splits, "token_classification"))


def test_a_column_that_is_not_there_is_refused_with_those_that_are():
    splits = splits_of(train=["a", "b"], test=["a"])
    splits["test"] = splits["test"].rename_column("kind", "other")

    with pytest.raises(ValueError, match=naming("split test", "'kind'", "other, row")):
        encode(splits, "kind", "classification")


def test_a_separator_goes_with_strings_and_classification_alone_and_a_task_has_a_name():
    splits = splits_of(train=["a", "b"])
    assert re.search(naming("separator", "';'", "classification"), fault_of(splits, "regression", ";"))
    assert re.search(naming("separator", "''"), fault_of(splits, separator=""))
    assert re.search(naming("separator", "strings"), fault_of(splits_of(train=[["a"], ["b"]]), separator=";"))
    tasks = "classification", "regression", "token_classification"
    assert re.search(naming("'mlm'", *tasks), fault_of(splits, "mlm"))


# Labels that another split than train names, and rows that are read one by one


def test_another_split_may_say_what_labels_there_are():
    splits = splits_of(validation=["b", "a", "c"], test=["c", "a"])

    result, targets = encode(splits, "kind", "classification", naming="validation")

    assert targets == Targets(SINGLE, ["a", "b", "c"], 3)
    assert {split: rows["label"][:] for split, rows in result.items()} == {"validation": [1, 0, 2], "test": [2, 0]}
    with pytest.raises(ValueError, match=naming("split test", "'d'", "row 0", "validation", "a, b")):
        encode(splits_of(validation=["a", "b"], test=["d"]), "kind", "classification", naming="validation")
    with pytest.raises(ValueError, match=naming("split validation", "'kind'", "1 label")):
        encode(splits_of(validation=["a", "a"]), "kind", "classification", naming="validation")
    with pytest.raises(ValueError, match=naming("split test", "validation", "List(Value('float64'))")):
        splits = DatasetDict(validation=splits_of(rows=[1.0])["rows"], test=splits_of(rows=[[1.0]])["rows"])
        encode(splits, "kind", "regression", naming="validation")


def stream_of(labels, feature=None, separator=None, targets=None):
    """The rows of a stream, encoded one by one."""
    features = feature and Features({"kind": feature, "sequence": Value("string")})
    columns = {"kind": labels, "sequence": [f"A{i}" for i in range(len(labels))]}
    rows = Dataset.from_dict(columns, features).to_iterable_dataset()
    return encode_stream(rows, "kind", targets, separator)


STREAMS = [
    (None, "classification", ["b", "a", "NA", "b"], None),
    (Value("large_string"), "classification", ["b", "a"], None),
    (ClassLabel(names=["yeast", "fly", "absent"]), "classification", [1, 0, 1], None),
    (None, "classification", [True, False], None),
    (None, "classification", [10, -1, 9, 10], None),
    (None, "classification", [["b", "a"], [], ["c", "c"]], None),
    (List(ClassLabel(names=["b", "a"])), "classification", [[1], [0, 1], []], None),
    (LargeList(Value("string")), "classification", [["x"], ["y", "x"]], None),
    (List(Value("int64")), "classification", [[10, 9], [9]], None),
    (None, "classification", ["b; a", "", None, ";c ;"], ";"),
    (None, "classification", [1, 0, 10], ";"),
    (None, "regression", [0.1, -2.5, 3e38], None),
    (Value("int32"), "regression", [0, 1, 2], None),
    (List(Value("float64")), "regression", [[0.1, 2.0], [3.0, 4.0]], None),
    (List(Value("float32"), length=1), "regression", [[0.5], [1.5]], None),
    (None, "token_classification", [["exon", None, "intron"], [], ["exon"]], None),
    (List(Value("int64")), "token_classification", [[1, -100], [0, None]], None),
    (List(ClassLabel(names=["b", "a"])), "token_classification", [[1, -100, None], [0]], None),
]


@pytest.mark.parametrize(("feature", "task", "labels", "separator"), STREAMS)
def test_a_stream_is_encoded_as_the_same_rows_at_once(feature, task, labels, separator):
    rows = Dataset.from_dict({"kind": labels, "sequence": [f"A{i}" for i in range(len(labels))]})
    if feature is not None:
        rows = rows.cast_column("kind", feature)
    at_once, targets = encode(DatasetDict(validation=rows), "kind", task, separator, naming="validation")
    at_once = at_once["validation"]

    # Out of what `cast_column` made of the rows: -100 is no id that a ClassLabel takes from outside.
    streamed = encode_stream(rows.to_iterable_dataset(), "kind", targets, separator)

    assert streamed.features == at_once.features
    taken = list(streamed)
    assert [row["sequence"] for row in taken] == at_once["sequence"][:]
    for row, expected in zip(taken, at_once["label"][:], strict=True):
        assert set(row) == {"sequence", "label"}
        assert np.array_equal(np.float32(row["label"]), np.float32(expected))
        assert np.shape(row["label"]) == np.shape(expected)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(NAMES.filter(bool), max_size=4), min_size=1, max_size=6))
def test_streams_of_any_lists_are_encoded_as_the_same_rows_at_once(labels):
    labels.append(["a", "b"])
    rows = splits_of(List(Value("string")), rows=labels)["rows"].map(lambda row: {"sequence": "A"})
    for task in ("classification", "token_classification"):
        at_once, targets = encode(DatasetDict(validation=rows), "kind", task, naming="validation")
        streamed = encode_stream(rows.to_iterable_dataset(), "kind", targets)
        assert [row["label"] for row in streamed] == at_once["validation"]["label"][:]


def test_text_of_a_streamed_file_is_taken_for_the_numbers_and_ids_that_it_holds():
    """Of CSV and FASTA, whether all values of a column are numbers is not known before the end."""
    numbers = list(stream_of(["0.5", "-1e3", "7"], targets=Targets("regression", [], 1)))
    assert [row["label"] for row in numbers] == [0.5, -1000, 7]
    _, targets = encode(splits_of(validation=[10, 9]), "kind", "classification", naming="validation")
    assert [row["label"] for row in stream_of(["9", "10"], targets=targets)] == [0, 1]


def test_a_streamed_classlabel_follows_validation_by_name():
    targets = Targets(SINGLE, ["fly", "yeast"], 2)
    rows = stream_of([0, 1, 0], ClassLabel(names=["yeast", "fly"]), targets=targets)
    assert [row["label"] for row in rows] == [1, 0, 1]


@pytest.mark.parametrize(
    ("labels", "feature", "targets", "separator", "told"),
    [
        (
            ["a", "c"],
            None,
            Targets(SINGLE, ["a", "b"], 2),
            None,
            ["'c'", "validation", "b"],
        ),
        (["a", ""], None, Targets(SINGLE, ["a", "b"], 2), None, ["''", "validation"]),
        (["a", None], None, Targets(SINGLE, ["None", "a"], 2), None, ["missing"]),
        ([0, None], None, Targets(SINGLE, ["0", "None"], 2), None, ["missing"]),
        (
            [0, -1],
            ClassLabel(names=["-1", "a"]),
            Targets(SINGLE, ["-1", "a"], 2),
            None,
            ["-1", "validation"],
        ),
        ([["a"], ["a", "c"]], None, Targets(MULTI, ["a", "b"], 2), None, ["'c'", "validation"]),
        ([["a"], None], None, Targets(MULTI, ["a", "b"], 2), None, ["missing"]),
        ([["a"], ["a", None]], None, Targets(MULTI, ["None", "a"], 2), None, ["missing"]),
        (["a; b", "a; c"], None, Targets(MULTI, ["a", "b"], 2), ";", ["'c'", "validation"]),
        ([["a"], [None, "c"]], None, Targets(TOKENS, ["a", "b"], 2), None, ["'c'", "validation"]),
        ([["a"], None], None, Targets(TOKENS, ["a", "b"], 2), None, ["missing"]),
        ([1.0, None], None, Targets("regression", [], 1), None, ["missing"]),
        (
            [1.0, np.nan],
            None,
            Targets("regression", [], 1),
            None,
            ["nan", "1", "finite", "float32"],
        ),
        ([1.0, -np.inf], None, Targets("regression", [], 1), None, ["-inf", "1", "finite"]),
        (
            [1.0, 1e300],
            None,
            Targets("regression", [], 1),
            None,
            ["1e+300", "1", "finite", "float32"],
        ),
        (["1", "NA"], None, Targets("regression", [], 1), None, ["'NA'", "1", "finite"]),
        ([[1.0, 2.0], [3.0]], None, Targets("regression", [], 2), None, ["[3.0]", "2", "finite"]),
        ([[1.0, 2.0], [3.0, None]], None, Targets("regression", [], 2), None, ["[3.0, None]", "2", "finite"]),
    ],
)
def test_a_label_that_a_stream_cannot_have_is_an_error_when_it_is_reached(labels, feature, targets, separator, told):
    rows = iter(stream_of(labels, feature, separator, targets))

    next(rows)
    with pytest.raises(ValueError, match=naming(*told)):
        next(rows)


@pytest.mark.parametrize(
    ("labels", "targets", "separator", "told"),
    [
        (["ab"], Targets(MULTI, ["a", "b"], 2), None, ["Value('string')", "validation", "list"]),
        (["ab"], Targets(TOKENS, ["a", "b"], 2), None, ["Value('string')", "validation", "list"]),
        (
            [["a"]],
            Targets(SINGLE, ["a", "b"], 2),
            None,
            ["validation"],
        ),
        ([["a"]], Targets(MULTI, ["a", "b"], 2), ";", ["validation"]),
        ([1.0], Targets(SINGLE, ["1.0", "a"], 2), None, ["'kind'", "Value('float64')", "--task regression"]),
        ([[["a"]]], Targets(MULTI, ["a"], 1), None, ["ClassLabel"]),
    ],
)
def test_a_streamed_column_that_is_not_as_that_of_validation_is_refused_at_once(labels, targets, separator, told):
    with pytest.raises(ValueError, match=naming("split train", *told)):
        stream_of(labels, None, separator, targets)


def test_a_streamed_column_that_is_not_there_is_refused_at_once():
    rows = Dataset.from_dict({"sequence": ["A"], "other": ["a"]}).to_iterable_dataset()
    with pytest.raises(ValueError, match=naming("split train", "'kind'", "sequence, other")):
        encode_stream(rows, "kind", Targets(SINGLE, ["a", "b"], 2))
