"""Batches -> blocks and their digests, compared with a loop over single records."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from dnahub.hub_code.pipeline_dna_embedding import Cutting
from dnahub.inference.blocks import MAX_NT, MAX_VECTORS, cut_into_blocks, digest, max_nt_of_block
from dnahub.sequences.reader import SequenceBatch


def batches(sequences, sizes) -> list[SequenceBatch]:
    """Sequences in batches of these sizes, the last of what is left; ids are r0, r1, ..."""
    made, start = [], 0
    for size in [*sizes, len(sequences)]:
        part = sequences[start : start + size]
        ids = [f"r{start + i}" for i in range(len(part))]
        table = pa.table({"id": pa.array(ids, pa.string()), "sequence": pa.array(part, pa.large_string())})
        made.append(SequenceBatch(table, "in.fa", "record", range(start + 1, start + 1 + len(part))))
        start += len(part)
    return made


def one_by_one(sequences, max_sequences, max_nt) -> list[list[int]]:
    """The rule, as it is said: a record goes into the block if that is empty, or both limits are kept."""
    blocks, nt = [], 0
    for i, sequence in enumerate(sequences):
        if not blocks or len(blocks[-1]) == max_sequences or nt + len(sequence) > max_nt:
            blocks.append([])
            nt = 0
        blocks[-1].append(i)
        nt += len(sequence)
    return blocks


@given(
    st.lists(st.integers(0, 30).map(lambda nt: "A" * nt), max_size=60),
    st.lists(st.integers(0, 20), max_size=10),
    st.integers(1, 9),
    st.integers(1, 50),
)
def test_blocks_are_those_of_the_rule_however_the_input_comes_in_batches(sequences, sizes, max_sequences, max_nt):
    blocks = list(cut_into_blocks(batches(sequences, sizes), max_sequences, max_nt))

    expected = one_by_one(sequences, max_sequences, max_nt)
    assert [block.table["id"].to_pylist() for block in blocks] == [[f"r{i}" for i in rows] for rows in expected]
    assert [block.number for block in blocks] == list(range(len(expected)))
    assert [block.num_nt for block in blocks] == [sum(len(sequences[i]) for i in rows) for rows in expected]
    for block, rows in zip(blocks, expected, strict=True):
        assert [block.place(i) for i in range(len(rows))] == [f"in.fa, record {i + 1} (r{i})" for i in rows]


def test_many_vectors_a_sequence_make_smaller_blocks():
    for long in ("mean", "windows"):
        assert max_nt_of_block(Cutting(2048, long), per_token=False) == MAX_NT
        assert max_nt_of_block(Cutting(2048, long, 600, 100), per_token=False) == MAX_NT
        assert max_nt_of_block(Cutting(2048, long, 60, 3), per_token=False) == 3 * MAX_VECTORS
        assert max_nt_of_block(Cutting(2, long), per_token=False) == MAX_VECTORS
    for long in ("truncate", "error"):
        assert max_nt_of_block(Cutting(2, long), per_token=False) == MAX_NT
        assert max_nt_of_block(Cutting(2048, long), per_token=True) == MAX_VECTORS


def table(**columns) -> pa.Table:
    return pa.table({"id": ["a", "b", "c"], "sequence": ["ACGT", "", "GG"], **columns})


def test_the_digest_is_of_the_values_and_not_of_how_they_lie_in_memory():
    whole = table(length=[1, None, 3], note=["x", None, ""])
    larger = pa.concat_tables([whole, whole.slice(1), whole])
    cut = pa.concat_tables([larger.slice(5, 1), larger.slice(1, 2)])
    large = whole.set_column(1, "sequence", whole["sequence"].cast(pa.large_string()))

    assert digest(cut) == digest(large) == digest(whole)
    assert digest(whole) != digest(whole.slice(1))


def test_the_digest_tells_any_difference():
    others = [
        table(length=[1, 2, 4]),
        table(length=[1.0, 2.0, 3.0]),
        table(),
        table(length=[1, 2, 3]).set_column(0, "id", pa.array(["a", "b", "d"])),
        table(length=[1, 2, 3]).set_column(1, "sequence", pa.array(["ACG", "T", "GG"])),  # the same letters
        table(length=[1, 2, 3]).set_column(1, "sequence", pa.array(["ACGT", None, "GG"])),
        table(length=[1, 2, 3]).select(["id", "length", "sequence"]),
    ]
    assert len({digest(each) for each in [table(length=[1, 2, 3]), *others]}) == 1 + len(others)
