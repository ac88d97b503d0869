"""Blocks -> parts that are complete or missing: read back, damaged, of other settings, written by a killed process."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dnahub.inference import rows
from dnahub.inference.engine import Embeddings
from dnahub.inference.parts import Parts
from dnahub.inference.rows import Layout

HIDDEN = 4
SETTINGS = {"weights": "0f", "pooling": "mean", "layer": -1, "max_length": None}
RECORDS = pa.table({"id": ["a", "b"], "start": [7, None]})
FACTS = {"settings": SETTINGS, "digest": "d0", "backend": "torch", "counts": {"rows": 2}}


def layout_of(dtype="float32", with_windows=False, per_token=False) -> Layout:
    return Layout(RECORDS.schema, HIDDEN, dtype, with_windows, per_token)


def embedded(sequence, num_tokens, per_token=False) -> Embeddings:
    sequence, num_tokens = np.array(sequence), np.array(num_tokens)
    number = num_tokens.sum() if per_token else len(sequence)
    vectors = np.arange(number * HIDDEN, dtype=np.float32).reshape(number, HIDDEN)
    start = 10 * np.arange(len(sequence))
    return Embeddings(vectors, sequence, start, start + 60, num_tokens, Counter(rows=len(sequence)))


@pytest.fixture
def parts(tmp_path) -> Parts:
    return Parts(tmp_path / "out.parquet", SETTINGS, layout_of())


def test_a_part_has_the_columns_of_the_source_and_the_vectors_and_says_what_it_is(parts):
    embeddings = embedded([0, 1], [3, 2])

    parts.write(7, "d0", RECORDS, embeddings, "torch")

    table = pq.read_table(parts.folder / "part-000007.parquet")
    assert table.drop_columns("embedding").to_pydict() == {"id": ["a", "b"], "start": [7, None]}
    assert table["embedding"].to_pylist() == embeddings.vectors.tolist()
    assert parts.find(7, "d0") == FACTS
    assert parts.find_all(["d0"]) is None  # that is part 0
    assert [path.name for path in parts.folder.iterdir()] == ["part-000007.parquet"]


def test_a_number_beyond_float16_is_an_error():
    embeddings = embedded([0, 1], [3, 2])
    embeddings.vectors[-1, 2] = -70_000
    with pytest.raises(ValueError, match="70000.*--output_dtype float32"):
        layout_of("float16").table(RECORDS, embeddings)


def test_row_groups_are_of_a_bounded_size(monkeypatch, tmp_path):
    monkeypatch.setattr(rows, "ROW_GROUP_BYTES", 300)
    records = pa.table({"id": list("abcdefghijkl"), "start": range(12)})
    layout = layout_of()
    table = layout.table(records, embedded(range(12), [1] * 12))
    layout.write_parquet([table], tmp_path / "x.parquet", {})

    assert pq.read_table(tmp_path / "x.parquet").equals(table)
    assert pq.ParquetFile(tmp_path / "x.parquet").num_row_groups == 2


def test_parts_of_other_settings_or_another_block_are_missing(tmp_path, parts):
    parts.write(0, "d0", RECORDS, embedded([0, 1], [3, 2]), "torch")
    assert parts.find_all(["d0"]) == [FACTS]
    assert parts.find(0, "d1") is None and parts.find(1, "d0") is None
    for name in SETTINGS:
        assert Parts(tmp_path / "out.parquet", SETTINGS | {name: "x"}, layout_of()).find(0, "d0") is None


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_bytes_are_a_missing_part_or_its_facts_and_never_an_error(parts, data):
    parts.write(0, "d0", RECORDS, embedded([0, 1], [3, 2]), "torch")
    content = bytearray(parts.path(0).read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    parts.path(0).write_bytes(content)

    found = parts.find(0, "d0")
    assert found is None or (found["settings"], found["digest"]) == (SETTINGS, "d0")


def test_one_process_at_a_time_joins_the_parts(tmp_path, parts):
    with parts.locked() as without_folder:
        assert not without_folder
    parts.write(0, "d0", RECORDS, embedded([0, 1], [3, 2]), "torch")
    (parts.folder / ".part-000001.parquet.0f.part").write_text("cut off")
    with parts.locked() as first, parts.locked() as second:
        assert (first, second) == (True, False)
        parts.remove_joined()
        assert parts.find_all(["d0"]) is None
    parts.remove_folder()

    assert list(tmp_path.iterdir()) == []
