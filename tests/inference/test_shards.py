"""Rows and vectors -> shards: what a file holds against the arrays it was made of, and files that are not whole."""

import json
import resource
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dnahub.inference import shards
from dnahub.inference.engine import Embeddings
from dnahub.inference.shards import check_columns, read_facts, shard_schema, write_shard
from tests import forked
from tests.made_embeddings import embeddings_of

HIDDEN = 8
FACTS = {"block": 3, "digest": "ab12", "num_replaced": 7, "name": "ï"}
SOURCE = pa.schema([("id", pa.string()), ("score", pa.float64())])


def result(sequence, num_tokens=None, hidden=HIDDEN, seed=0) -> Embeddings:
    sequence = np.asarray(sequence, dtype=np.int64)
    tokens = np.full(len(sequence), 4) if num_tokens is None else np.asarray(num_tokens, dtype=np.int64)
    num_vectors = len(sequence) if num_tokens is None else tokens.sum()
    vectors = np.random.default_rng(seed).normal(size=(num_vectors, hidden)).astype(np.float32)
    start = np.arange(len(sequence), dtype=np.int64) * 10
    return embeddings_of(vectors, sequence, start, start + 20, tokens)


def source_rows(count: int) -> pa.Table:
    ids = [f"gene{i}" for i in range(count)]
    return pa.table({"id": ids, "sequence": ["ACGT"] * count, "score": [i / 2 for i in range(count)]})


def schema_of(output_dtype="float32", with_windows=False, per_token=False, source=SOURCE, hidden=HIDDEN) -> pa.Schema:
    return shard_schema(source, hidden, output_dtype, with_windows=with_windows, per_token=per_token)


def test_a_shard_has_the_rows_of_the_source_their_vectors_and_the_facts(tmp_path):
    made = result(range(5))

    write_shard(tmp_path / "block.parquet", source_rows(5), made, schema_of(), FACTS)

    table = pq.read_table(tmp_path / "block.parquet")
    assert table.schema.names == ["id", "score", "embedding"]
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), HIDDEN)
    assert table["id"].to_pylist() == [f"gene{i}" for i in range(5)]
    assert table["score"].to_pylist() == [0, 0.5, 1, 1.5, 2]
    assert np.array_equal(np.stack(table["embedding"].to_numpy()), made.vectors)
    assert read_facts(tmp_path / "block.parquet") == FACTS
    assert [path.name for path in tmp_path.iterdir()] == ["block.parquet"]


def test_windows_repeat_the_rows_of_the_source_with_start_and_end(tmp_path):
    made = result([0, 0, 0, 1, 2, 2])

    write_shard(tmp_path / "block.parquet", source_rows(3), made, schema_of(with_windows=True), FACTS)

    table = pq.read_table(tmp_path / "block.parquet")
    assert table.schema.names == ["id", "score", "window_start", "window_end", "embedding"]
    assert table["id"].to_pylist() == ["gene0"] * 3 + ["gene1"] + ["gene2"] * 2
    assert table["score"].to_pylist() == [0, 0, 0, 0.5, 1, 1]
    assert table["window_start"].to_pylist() == [0, 10, 20, 30, 40, 50]
    assert table["window_end"].to_pylist() == [20, 30, 40, 50, 60, 70]
    assert np.array_equal(np.stack(table["embedding"].to_numpy()), made.vectors)


def test_per_token_a_row_has_a_list_of_vectors(tmp_path):
    made = result(range(4), num_tokens=[3, 1, 5, 2])

    write_shard(tmp_path / "block.parquet", source_rows(4), made, schema_of(per_token=True), FACTS)

    table = pq.read_table(tmp_path / "block.parquet")
    assert table.schema.field("embedding").type == pa.list_(pa.list_(pa.float32(), HIDDEN))
    expected = [made.vectors[a:b].tolist() for a, b in [(0, 3), (3, 4), (4, 9), (9, 11)]]
    assert table["embedding"].to_pylist() == expected


def test_a_column_start_of_the_source_stays_where_there_are_no_windows(tmp_path):
    rows = source_rows(2).append_column("window_start", pa.array(["a", "b"]))
    schema = schema_of(source=pa.schema([("id", pa.string()), ("window_start", pa.string())]))

    write_shard(tmp_path / "block.parquet", rows, result(range(2)), schema, FACTS)

    assert pq.read_table(tmp_path / "block.parquet")["window_start"].to_pylist() == ["a", "b"]


@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize("output_dtype", ["float32", "float16"])
def test_row_groups_are_whole_rows_of_a_bounded_size(tmp_path, monkeypatch, output_dtype, per_token):
    itemsize = np.dtype(output_dtype).itemsize
    monkeypatch.setattr(shards, "ROW_GROUP_BYTES", 4 * HIDDEN * itemsize)  # four vectors
    made = result(range(7), num_tokens=[1, 1, 2, 9, 3, 3, 1] if per_token else None)

    schema = schema_of(output_dtype, per_token=per_token)
    write_shard(tmp_path / "block.parquet", source_rows(7), made, schema, FACTS)

    metadata = pq.read_metadata(tmp_path / "block.parquet")
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert sizes == ([3, 2, 2] if per_token else [4, 3])  # four vectors, and one row more at most
    table = pq.read_table(tmp_path / "block.parquet")
    flat = table["embedding"].combine_chunks().flatten()
    flat = (flat.flatten() if per_token else flat).to_numpy()
    assert np.array_equal(flat.reshape(-1, HIDDEN), made.vectors.astype(output_dtype))


def test_a_value_beyond_float16_names_the_sequence_and_leaves_no_file(tmp_path):
    made = result(range(4), num_tokens=[3, 1, 5, 2])
    made.vectors[8, 2] = -70_000

    with pytest.raises(ValueError, match="gene2 .*-70000.*float16"):
        schema = schema_of("float16", per_token=True)
        write_shard(tmp_path / "block.parquet", source_rows(4), made, schema, FACTS)
    with pytest.raises(ValueError, match="gene1 .*-70000"):
        pooled = embeddings_of(
            made.vectors[6:9], np.array([0, 0, 1]), made.start[:3], made.end[:3], made.num_tokens[:3]
        )
        schema = schema_of("float16", with_windows=True)
        write_shard(tmp_path / "block.parquet", source_rows(2), pooled, schema, FACTS)

    assert list(tmp_path.iterdir()) == []
    made.vectors[8, 2] = 65_504
    write_shard(tmp_path / "block.parquet", source_rows(4), made, schema_of("float16", per_token=True), FACTS)
    assert pq.read_table(tmp_path / "block.parquet")["embedding"].to_pylist()[2][4][2] == 65_504


def test_vectors_of_another_size_are_no_rows_at_other_places(tmp_path):
    with pytest.raises(ValueError, match=r"\(4, 16\).*\(4, 8\)"):
        write_shard(tmp_path / "block.parquet", source_rows(4), result(range(4), hidden=16), schema_of(), FACTS)


@pytest.mark.parametrize(
    ("columns", "with_windows", "per_token", "told"),
    [
        (["id", "embedding"], False, False, "'embedding'"),
        (["id", "window_start"], True, False, "'window_start'"),
        (["id", "window_end"], True, False, "'window_end'"),
        (["id", "num_tokens"], False, True, "'num_tokens'"),
        (["id", "offset"], False, True, "'offset'"),
        (["id", "a", "a"], False, False, "two columns 'a'"),
    ],
)
def test_names_that_cannot_be_told_apart_are_errors(columns, with_windows, per_token, told):
    with pytest.raises(ValueError, match=told):
        check_columns(columns, with_windows=with_windows, per_token=per_token)
    with pytest.raises(ValueError, match=told):
        source = pa.schema([(name, pa.string()) for name in columns])
        shard_schema(source, HIDDEN, "float32", with_windows=with_windows, per_token=per_token)


def test_the_schema_takes_two_dtypes_and_none_of_the_metadata_of_the_source():
    with pytest.raises(ValueError, match="'float64'.*float32.*float16"):
        schema_of("float64")
    source = SOURCE.with_metadata({b"huggingface": b"{}"}).set(0, pa.field("id", pa.string(), metadata={b"a": b"b"}))

    schema = schema_of(source=source)

    assert b"huggingface" not in schema.metadata and schema.field("id").metadata is None


def test_a_shard_that_is_there_is_replaced_and_stays_when_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "block.parquet"
    write_shard(path, source_rows(2), result(range(2)), schema_of(), {"block": 1})

    write_shard(path, source_rows(2), result(range(2)), schema_of(), {"block": 2})
    assert read_facts(path) == {"block": 2}

    def interrupted(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(shards.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_shard(path, source_rows(2), result(range(2)), schema_of(), {"block": 3})
    assert read_facts(path) == {"block": 2}
    assert list(tmp_path.iterdir()) == [path]


@contextmanager
def small_files(limit: int):
    """Files of this process may have so many bytes: the system's own refusal, as of a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:  # before pytest writes again: its output may be a larger file
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("limit", [0, 1000, 60_000])
def test_a_full_disk_is_told_with_the_path_and_leaves_nothing(tmp_path, limit):
    made = result(range(100), hidden=256)
    with pytest.raises(ValueError, match=r"block\.parquet .*disk"):
        with small_files(limit):
            write_shard(tmp_path / "block.parquet", source_rows(100), made, schema_of(hidden=256), FACTS)

    assert list(tmp_path.iterdir()) == []


def test_what_is_no_whole_shard_has_no_facts(tmp_path):
    whole = tmp_path / "block.parquet"
    write_shard(whole, source_rows(3), result(range(3)), schema_of(), FACTS)
    content = whole.read_bytes()
    other = tmp_path / "other"
    for kept in [*range(0, len(content) - 40, 17), *range(len(content) - 40, len(content))]:
        other.write_bytes(content[:kept])
        assert read_facts(other) is None, kept
    pq.write_table(pa.table({"id": ["a"]}), other)
    assert read_facts(other) is None
    for block in (b"[]", b"{", b"\xff"):
        metadata = {b"block": block, b"num_vectors": b"1"}
        pq.write_table(pa.table({"id": ["a"]}).replace_schema_metadata(metadata), other)
        assert read_facts(other) is None
    assert read_facts(tmp_path / "absent") is None
    assert read_facts(tmp_path) is None


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_give_facts_or_none_but_never_an_error(tmp_path, data):
    path = tmp_path / "block.parquet"
    if not path.exists():
        write_shard(path, source_rows(3), result(range(3)), schema_of(), FACTS)
    content = bytearray(path.read_bytes())
    footer = len(content) - int.from_bytes(content[-8:-4], "little") - 8
    for position in data.draw(st.lists(st.integers(footer, len(content) - 1), min_size=1, max_size=4)):
        content[position] = data.draw(st.integers(0, 255))
    (tmp_path / "damaged").write_bytes(content)

    facts = read_facts(tmp_path / "damaged")

    assert facts is None or isinstance(facts, dict)


WRITE_FOR_EVER = """
import sys
from pathlib import Path
from tests.inference.test_shards import result, schema_of, source_rows, write_shard
made = result(range(2000), hidden=512)
for number in range(10**6):
    path = Path(sys.argv[1]) / f"block-{number % 3}.parquet"
    write_shard(path, source_rows(2000), made, schema_of(hidden=512), {"block": number % 3})
"""


def test_a_process_that_is_killed_leaves_shards_that_are_whole(tmp_path, environment):
    for _ in range(3):
        process = forked.Forked(["-c", WRITE_FOR_EVER, tmp_path], forked.REPOSITORY, environment)
        try:
            process.wait_until(lambda: list(tmp_path.glob(".*.part")) and (tmp_path / "block-2.parquet").exists())
        finally:
            process.kill()
            process.wait()

        for path in tmp_path.glob("block-*"):
            assert read_facts(path) == {"block": int(path.stem[-1])}
            assert pq.read_table(path, page_checksum_verification=True).num_rows == 2000


def test_the_facts_are_json_in_the_metadata(tmp_path):
    write_shard(tmp_path / "block.parquet", source_rows(1), result([0]), schema_of(), FACTS)

    assert json.loads(pq.read_schema(tmp_path / "block.parquet").metadata[b"block"]) == FACTS
