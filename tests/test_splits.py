"""One split or two -> three, against plain loops over rows and groups; repeats against sets of strings."""

import re

import pytest
from datasets import Dataset, DatasetDict, Features, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from training.splits import check_repeats, complete, refuse_repeats

SEQUENCES = [format(i, "b").replace("0", "A").replace("1", "C") for i in range(400)]  # all different


def rows_of(sequences, **columns):
    return Dataset.from_dict({"sequence": sequences, "row": list(range(len(sequences))), **columns})


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

    result, made = complete(splits, *shares, group_column="gene", seed=seed)

    assert list(result) == (["train", "validation", "test"] if shares[1] else ["train", "validation"])
    assert set(made) == set(result) - {"train"}
    numbers = row_numbers(result)
    assert sorted(sum(numbers.values(), [])) == list(range(len(groups)))
    assert all(rows == sorted(rows) and rows for rows in numbers.values())
    of_split = [{groups[row] for row in rows} for rows in numbers.values()]
    assert sum(map(len, of_split)) == len(set(groups))
    again = complete(splits, *shares, group_column="gene", seed=seed)[0]
    assert row_numbers(again) == numbers


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(st.sampled_from("ACU "), max_size=3).filter(str.strip), min_size=1, max_size=40))
def test_by_row_every_row_is_in_one_split_and_no_sequence_on_two_sides(sequences):
    sequences += ["ggg", "gggg", "ggggg"]

    result, made = complete(DatasetDict(train=rows_of(sequences)), 0.2, 0.3)

    assert made == {"test": "0.3 of train, by row", "validation": "0.2 of train, by row"}
    assert sorted(sum(row_numbers(result).values(), [])) == list(range(len(sequences)))
    of_split = [{read(sequence) for sequence in rows["sequence"]} for rows in result.values()]
    assert sum(map(len, of_split)) == len(set(map(read, sequences)))
    check_repeats(result)


@pytest.mark.parametrize(("validation", "test"), [(0.1, 0.1), (0.25, 0.5), (0.05, 0), (0.333, 0.2)])
def test_shares_of_rows_that_are_all_different_are_met_to_the_row(validation, test):
    result, _ = complete(DatasetDict(train=rows_of(SEQUENCES)), validation, test)

    assert len(result["validation"]) == round(validation * 400)
    assert len(result["test"]) == round(test * 400) if test else "test" not in result


def test_shares_are_met_by_groups_as_well_as_their_sizes_allow():
    groups = ["large"] * 200 + ["medium"] * 41 + [f"gene {i}" for i in range(159)]
    splits = DatasetDict(train=rows_of(SEQUENCES, gene=groups))

    for seed in range(5):
        result, made = complete(splits, 0.1, 0.2, group_column="gene", seed=seed)

        assert made == {"test": "0.2 of train, by gene", "validation": "0.1 of train, by gene"}
        assert (len(result["validation"]), len(result["test"])) == (40, 80)
        assert "large" in result["train"]["gene"]


def test_where_every_group_is_larger_than_the_share_the_smallest_is_taken():
    splits = DatasetDict(train=rows_of(SEQUENCES[:30], gene=["a"] * 12 + ["b"] * 8 + ["c"] * 10))

    result, _ = complete(splits, 0.1, 0.1, group_column="gene")

    assert {split: set(rows["gene"]) for split, rows in result.items()} == {
        "train": {"a"},
        "validation": {"c"},
        "test": {"b"},
    }


def test_another_seed_makes_other_splits():
    splits = DatasetDict(train=rows_of(SEQUENCES))

    results = [row_numbers(complete(splits, seed=seed)[0])["test"] for seed in (1, 2, 3)]

    assert results[0] != results[1] != results[2] != results[0]


def test_splits_that_are_there_stay_as_they_are():
    train, other = rows_of(SEQUENCES[:100]), rows_of(SEQUENCES[100:110])

    with_test, made = complete(DatasetDict(test=other, train=train), 0.3, 0.2)
    assert made == {"validation": "0.3 of train, by row"}
    assert list(with_test) == ["train", "validation", "test"]
    assert {split: len(rows) for split, rows in with_test.items()} == {"train": 70, "validation": 30, "test": 10}
    assert with_test["test"].to_dict() == other.to_dict()

    with_validation, made = complete(DatasetDict(train=train, validation=other), 0.3, 0.2)
    assert made == {"test": "0.2 of train, by row"}
    assert with_validation["validation"].to_dict() == other.to_dict()

    whole = DatasetDict(train=train, validation=other, test=other)
    result, made = complete(whole, 0, 7, "absent")  # nothing to cut
    assert made == {}
    assert row_numbers(result) == row_numbers(whole)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"validation_share": 0}, "the validation share is 0; it must be below 1 and above 0"),
        ({"validation_share": -0.1}, "the validation share is -0.1"),
        ({"validation_share": 1}, "the validation share is 1"),
        ({"validation_share": float("nan")}, "the validation share is nan"),
        ({"test_share": -0.1}, "the test share is -0.1; it must be below 1 and 0 or above 0"),
        ({"test_share": 1.5}, "the test share is 1.5"),
        ({"validation_share": 0.5, "test_share": 0.5}, "validation and test, 0.5 and 0.5, leave no row for train"),
        ({"group_column": "exon"}, "split train: there is no column 'exon', only sequence, row, gene, parts"),
        ({"group_column": "gene"}, "split train: row 1 has no gene"),
        ({"group_column": "parts"}, "column 'parts' is List(Value('int64')); a group is a string or a number"),
    ],
)
def test_what_cannot_be_cut_is_refused_with_the_reason(arguments, told):
    train = rows_of(SEQUENCES[:4], gene=["a", None, "b", "c"], parts=[[1], [2], [3], [4]])

    with pytest.raises(ValueError, match=re.escape(told)):
        complete(DatasetDict(train=train), **arguments)


def test_too_few_groups_or_sequences_for_the_splits_are_refused():
    two = rows_of(SEQUENCES[:10], gene=["a"] * 5 + ["b"] * 5)
    with pytest.raises(ValueError, match="its 10 rows are of 2 gene groups, too few for 3 splits"):
        complete(DatasetDict(train=two), group_column="gene")
    assert len(complete(DatasetDict(train=two), test_share=0, group_column="gene")[0]["validation"]) == 5

    with pytest.raises(ValueError, match="its 3 rows are of 2 sequence groups, too few for 3 splits"):
        complete(DatasetDict(train=rows_of(["ACGU", "acg t", "G"])))


def test_without_train_there_is_nothing_to_cut_from():
    with pytest.raises(ValueError, match="there is no split 'train', only validation, test"):
        complete(DatasetDict(validation=rows_of(["A"]), test=rows_of(["C"])))


def test_a_missing_sequence_is_named():
    splits = DatasetDict(train=Dataset.from_dict({"sequence": ["A", "C", None]}))

    for function in (complete, check_repeats):
        with pytest.raises(ValueError, match="split train: the sequence of row 2 is missing"):
            function(splits)


def test_splits_without_a_common_sequence_pass_though_they_repeat_within_and_resemble_each_other():
    check_repeats(
        DatasetDict(
            train=rows_of(["ACGT", "ACGT", "AAAA"]),
            validation=rows_of(["TTTT", "ACGTA"]),  # reverse complement, and one nt more
            test=rows_of(["CGT", "CGT"]),
        )
    )


def test_repeats_of_each_two_splits_are_counted_with_the_rows_of_the_first():
    splits = DatasetDict(
        train=rows_of(["AAAA", "ACGT", "ACGT", "GGGG"]),
        validation=rows_of(["CCCC", "acgu", "AC\nGT ", "TTTTT"]),
        test=rows_of(["tttt t", "CC", "gg gg"]),
    )

    with pytest.raises(ValueError) as raised:
        check_repeats(splits)

    assert str(raised.value) == (
        "2 of the 4 rows of validation hold a sequence of train (row 1 that of row 1); "
        "1 of the 3 rows of test hold a sequence of train (row 2 that of row 3); "
        "1 of the 3 rows of test hold a sequence of validation (row 0 that of row 3): "
        "leave them out of one, or give --allow_repeats."
    )


def test_large_strings_and_selected_rows_are_compared_alike():
    large = rows_of(["GG", "AC"]).cast(Features({"sequence": Value("large_string"), "row": Value("int64")}))

    with pytest.raises(ValueError, match=re.escape("1 of the 1 rows of test hold a sequence of train (row 0 that")):
        check_repeats(DatasetDict(train=large, test=rows_of(["C", "GG"]).select([1])))


TEXTS = st.lists(st.text(st.sampled_from("aCuT "), max_size=3), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(train=TEXTS, validation=TEXTS, test=TEXTS)
def test_repeats_are_those_that_sets_of_strings_find(train, validation, test):
    splits = DatasetDict(train=rows_of(train), validation=rows_of(validation), test=rows_of(test))
    told = [
        f"{sum(read(text) in set(map(read, first)) for text in second)} of the {len(second)} rows of {split}"
        for first, second, split in (
            (train, validation, "validation"),
            (train, test, "test"),
            (validation, test, "test"),
        )
        if set(map(read, first)) & set(map(read, second))
    ]

    if not told:
        check_repeats(splits)
        return
    with pytest.raises(ValueError) as raised:
        check_repeats(splits)
    assert re.findall(r"\d+ of the \d+ rows of \w+", str(raised.value)) == told


def test_a_stream_is_refused_where_it_holds_what_is_held_out_and_read_as_it_is_otherwise():
    rows = [{"sequence": text} for text in ("AAAA", "CCCC", "a cgu", "GGGG")]
    stream = Dataset.from_list(rows).to_iterable_dataset()

    assert list(refuse_repeats(stream, DatasetDict(test=Dataset.from_list([{"sequence": "TTTT"}])))) == rows
    with pytest.raises(ValueError, match="split train holds a sequence of test, which begins with 'a cgu'"):
        list(refuse_repeats(stream, DatasetDict(test=Dataset.from_list([{"sequence": "ACGT"}]))))
