"""Blocks -> parts that are complete or missing: read back, damaged, of other settings, written by a killed process."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dnahub.inference.engine import Results
from dnahub.inference.parts import Parts
from dnahub.inference.rows import Layout

HIDDEN = 4
SETTINGS = {"weights": "0f", "pooling": "mean", "layer": -1, "max_length": None}
RECORDS = pa.table({"id": ["a", "b"], "start": [7, None]})
FACTS = {"settings": SETTINGS, "digest": "d0", "backend": "torch", "counts": {"rows": 2}}


LAYOUT = Layout(RECORDS.schema, HIDDEN, "float32", with_windows=False, per_token=False)


def embedded(number: int) -> Results:
    vectors = np.arange(number * HIDDEN, dtype=np.float32).reshape(number, HIDDEN)
    sequence, one = np.arange(number), np.ones(number, np.int64)
    return Results(vectors, sequence, 0 * one, 60 * one, one, Counter(rows=number))


@pytest.fixture
def parts(tmp_path) -> Parts:
    return Parts(tmp_path / "out.parquet", SETTINGS, LAYOUT)


def test_a_part_has_the_columns_of_the_source_and_the_vectors_and_says_what_it_is(parts):
    embeddings = embedded(2)

    parts.write(7, "d0", RECORDS, embeddings, "torch")

    table = pq.read_table(parts.folder / "part-000007.parquet")
    assert table.drop_columns("embedding").to_pydict() == {"id": ["a", "b"], "start": [7, None]}
    assert table["embedding"].to_pylist() == embeddings.vectors.tolist()
    assert parts.find(7, "d0") == FACTS
    assert parts.find_all(["d0"]) is None  # that is part 0
    assert [path.name for path in parts.folder.iterdir()] == ["part-000007.parquet"]


def test_a_number_beyond_float16_is_an_error():
    embeddings = embedded(2)
    embeddings.vectors[-1, 2] = -70_000
    with pytest.raises(ValueError, match="70000.*--output_dtype float32"):
        replace(LAYOUT, dtype="float16").table(RECORDS, embeddings)


def test_parts_of_other_settings_or_another_block_are_missing(tmp_path, parts):
    parts.write(0, "d0", RECORDS, embedded(2), "torch")
    assert parts.find_all(["d0"]) == [FACTS]
    assert parts.find(0, "d1") is None and parts.find(1, "d0") is None
    for name in SETTINGS:
        assert Parts(tmp_path / "out.parquet", SETTINGS | {name: "x"}, LAYOUT).find(0, "d0") is None
    for content in (b"", b"PAR1", parts.path(0).read_bytes()[:-1]):  # damaged
        parts.path(0).write_bytes(content)
        assert parts.find(0, "d0") is None


def test_one_process_at_a_time_joins_the_parts(tmp_path, parts):
    with parts.locked() as without_folder:
        assert not without_folder
    parts.write(0, "d0", RECORDS, embedded(2), "torch")
    (parts.folder / ".part-000001.parquet.0f.part").write_text("cut off")
    with parts.locked() as first, parts.locked() as second:
        assert (first, second) == (True, False)
        parts.remove_joined()
        assert parts.find_all(["d0"]) is None
    parts.remove_folder()

    assert list(tmp_path.iterdir()) == []
