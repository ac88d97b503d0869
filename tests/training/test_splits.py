"""One split or two -> three, against plain loops over rows and groups; overlap against sets of strings."""

import re
from collections import Counter

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, List, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from dnahub.tasks import TASKS
from dnahub.training import splits as splits_module
from dnahub.training.splits import check_overlap, complete

SEQUENCES = [format(i, "b").replace("0", "A").replace("1", "C") for i in range(400)]  # all different


def rows_of(sequences, **columns):
    return Dataset.from_dict({"sequence": sequences, "row": list(range(len(sequences))), **columns})


def cut(splits, *fractions, task="mlm", **arguments):
    """The splits and how they were made."""
    return complete(splits, TASKS[task], *fractions, **arguments)


def overlap(splits):
    check_overlap(splits, lambda split, row: f"<{split} {row}>")


def row_numbers(splits):
    return {split: rows["row"][:] for split, rows in splits.items()}


def read(sequence):
    """The sequence as the tokenizer reads it."""
    return "".join(letter for letter in sequence.upper() if not letter.isspace()).replace("U", "T")


@settings(max_examples=40, deadline=None)
@given(
    groups=st.lists(st.integers(0, 12), min_size=13, max_size=60),
    shares=st.tuples(st.floats(0.01, 0.6), st.floats(0, 0.39)),
    seed=st.integers(0, 5),
)
def test_every_row_is_in_one_split_and_every_group_on_one_side(groups, shares, seed):
    groups += [20, 21, 22]  # enough for three splits
    splits = DatasetDict(train=rows_of(SEQUENCES[: len(groups)], gene=groups))

    result, made = cut(splits, *shares, group_column="gene", seed=seed)

    assert list(result) == (["train", "validation", "test"] if shares[1] else ["train", "validation"])
    assert set(made) == set(result) - {"train"}
    numbers = row_numbers(result)
    assert sorted(sum(numbers.values(), [])) == list(range(len(groups)))
    assert all(rows == sorted(rows) and rows for rows in numbers.values())
    of_split = [{groups[row] for row in rows} for rows in numbers.values()]
    assert sum(map(len, of_split)) == len(set(groups))
    again = cut(splits, *shares, group_column="gene", seed=seed)[0]
    assert row_numbers(again) == numbers


def labelled(labels, feature=None, **columns):
    """A data set with labels as `Task.encode` makes them."""
    sequences = [f"{i:b}".replace("0", "A").replace("1", "C") for i in range(len(labels))]
    rows = rows_of(sequences, label=labels, **columns)
    feature = feature or ClassLabel(names=[str(i) for i in range(max(labels) + 1)])
    return DatasetDict(train=rows.cast_column("label", feature))


def counts_of(splits):
    return {split: Counter(rows["label"]) for split, rows in splits.items()}


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=2, max_size=12),
    shares=st.tuples(st.floats(0.05, 0.4), st.floats(0.05, 0.4)),
    seed=st.integers(0, 5),
)
def test_every_label_has_its_share_within_two_rows_and_so_have_all_together(sizes, shares, seed):
    sizes = [*sizes, 60]
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    result, _ = cut(labelled(labels), *shares, seed=seed, task="classification")

    counts = counts_of(result)
    assert sum(counts.values(), Counter()) == Counter(labels)
    assert set(counts["train"]) == set(labels)
    for split, share in zip(("validation", "test"), shares, strict=True):
        assert all(abs(counts[split][label] - share * size) < 2 for label, size in enumerate(sizes))
        if min(sizes) >= 20:  # or labels of few rows, of which train keeps one, give too little
            assert abs(counts[split].total() - share * len(labels)) < 1


def test_groups_stay_whole_and_are_of_the_stratum_of_their_rarest_label():
    genes = [i // 5 for i in range(250)]  # 50 genes of 5 rows, of which 10 have one row of the rare label
    labels = [int(gene % 5 == 0 and i % 5 == 0) for i, gene in enumerate(genes)]
    for seed in range(3):
        splits = labelled(labels, gene=genes)
        result, made = cut(splits, 0.2, 0.2, group_column="gene", seed=seed, task="classification")
        assert made["test"] == "0.2 of train, by gene (50 groups), stratified by label"
        of_split = {split: set(rows["gene"]) for split, rows in result.items()}
        assert [len(of_split[split]) for split in ("train", "validation", "test")] == [30, 10, 10]
        assert [counts_of(result)[split][1] for split in ("train", "validation", "test")] == [6, 2, 2]


def test_a_label_that_is_rarest_in_no_group_stays_in_train():
    """Ten groups have a row of label 2, and two of them all rows of label 1, which are more."""
    labels = [2] * 10 + [1] * 12 + [0] * 40
    genes = [*"abcdefghij", *"aaaaaabbbbbb", *[f"gene {i}" for i in range(40)]]
    for seed in range(20):
        splits = labelled(labels, gene=genes)
        result, _ = cut(splits, 0.4, 0.4, group_column="gene", seed=seed, task="classification")
        assert set(result["train"]["label"]) == {0, 1, 2}


def test_rows_of_several_labels_are_of_the_stratum_of_the_rarest(monkeypatch):
    monkeypatch.setattr(splits_module, "ROWS_AT_ONCE", 64)
    rng = np.random.default_rng(0)
    hot = np.stack([np.ones(300), rng.random(300) < 0.4, np.arange(300) < 30], axis=1)
    hot[-50:] = 0  # without any label
    splits = labelled(hot.tolist(), List(Value("float32"), length=3))
    result, made = cut(splits, 0.1, 0.2, task="multi_label")
    assert made["validation"] == "0.1 of train, by row, stratified by label"
    for split, share in (("validation", 0.1), ("test", 0.2)):
        labels = np.array(result[split]["label"])
        assert len(labels) == 300 * share and labels[:, 2].sum() == 30 * share
        assert (labels.sum(axis=1) == 0).sum() == 50 * share


def test_splits_that_are_there_stay_as_they_are():
    train, other = rows_of(SEQUENCES[:100]), rows_of(SEQUENCES[100:110])

    with_test, made = cut(DatasetDict(test=other, train=train), 0.3, 0.2)
    assert made == {"validation": "0.3 of train, by row"}
    assert list(with_test) == ["train", "validation", "test"]
    assert {split: len(rows) for split, rows in with_test.items()} == {"train": 70, "validation": 30, "test": 10}
    assert with_test["test"].to_dict() == other.to_dict()

    whole = DatasetDict(train=train, validation=other, test=other)
    result, made = cut(whole, 0, 7, group_column="absent")  # nothing to cut
    assert made == {}
    assert row_numbers(result) == row_numbers(whole)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"validation_fraction": 0}, "--validation_fraction 0 "),
        ({"validation_fraction": float("nan")}, "--validation_fraction nan"),
        ({"test_fraction": -0.1}, "--test_fraction -0.1"),
        ({"validation_fraction": 0.5, "test_fraction": 0.5}, "--validation_fraction 0.5"),
    ],
)
def test_what_cannot_be_cut_is_refused_with_the_reason(arguments, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        cut(DatasetDict(train=rows_of(SEQUENCES[:4])), **arguments)


def test_too_few_groups_or_sequences_for_the_splits_are_refused():
    two = rows_of(SEQUENCES[:10], gene=["a"] * 5 + ["b"] * 5)
    with pytest.raises(ValueError, match="10 rows .* 2 gene groups.* 3 splits"):
        cut(DatasetDict(train=two), group_column="gene")
    assert len(cut(DatasetDict(train=two), test_fraction=0, group_column="gene")[0]["validation"]) == 5

    with pytest.raises(ValueError, match="3 rows .* 2 sequence groups.* 3 splits"):
        cut(DatasetDict(train=rows_of(["ACGU", "acg t", "G"])))


TEXTS = st.lists(st.text(st.sampled_from("aCuT "), max_size=3), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(train=TEXTS, validation=TEXTS, test=TEXTS)
def test_repeats_are_those_that_sets_of_strings_find(train, validation, test):
    splits = DatasetDict(train=rows_of(train), validation=rows_of(validation), test=rows_of(test))
    told = [
        f"{sum(read(text) in set(map(read, first)) for text in second)} of the {len(second)} sequences of {split}"
        for first, second, split in (
            (train, validation, "validation"),
            (train, test, "test"),
            (validation, test, "test"),
        )
        if set(map(read, first)) & set(map(read, second))
    ]

    if not told:
        overlap(splits)
        return
    with pytest.raises(ValueError) as raised:
        overlap(splits)
    assert re.findall(r"\d+ of the \d+ sequences of \w+", str(raised.value)) == told
    for second, row, first, earlier in re.findall(r"<(\w+) (\d+)>: that of <(\w+) (\d+)>", str(raised.value)):
        assert read(splits[second]["sequence"][int(row)]) == read(splits[first]["sequence"][int(earlier)])
