"""Blocks -> parts that are complete or missing: read back, damaged, of other settings, written by a killed process."""

import resource
import signal
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dnahub.inference import rows
from dnahub.inference.counts import Counts
from dnahub.inference.parts import Facts, Parts
from dnahub.inference.rows import Layout
from tests import forked
from tests.made_embeddings import embeddings_of

HIDDEN = 4
SETTINGS = {"weights": "0f", "pooling": "mean", "layer": -1, "max_length": None}
RECORDS = pa.table({"id": ["a", "b"], "start": [7, None]})


def layout_of(dtype="float32", with_windows=False, per_token=False, source=RECORDS.schema) -> Layout:
    return Layout(source, HIDDEN, dtype, with_windows, per_token)


def embedded(sequence, num_tokens, vectors=None, per_token=False):
    sequence, num_tokens = np.array(sequence), np.array(num_tokens)
    number = num_tokens.sum() if per_token else len(sequence)
    if vectors is None:
        vectors = np.arange(number * HIDDEN, dtype=np.float32).reshape(number, HIDDEN)
    start = 10 * np.arange(len(sequence))
    return embeddings_of(vectors, sequence, start, start + 60, num_tokens)


def facts_of(embeddings, digest="d0", **changed) -> Facts:
    return Facts(SETTINGS | changed, digest, "torch", Counts.of(2, 8, embeddings))


@pytest.fixture
def parts(tmp_path) -> Parts:
    return Parts(tmp_path / "out.parquet", SETTINGS, layout_of())


def test_a_part_has_the_columns_of_the_source_and_the_vectors_and_says_what_it_is(parts):
    embeddings = embedded([0, 1], [3, 2])

    parts.write(7, RECORDS, embeddings, facts_of(embeddings))

    table = pq.read_table(parts.folder / "part-000007.parquet")
    assert table.drop_columns("embedding").to_pydict() == {"id": ["a", "b"], "start": [7, None]}
    assert table["embedding"].to_pylist() == embeddings.vectors.tolist()
    assert parts.find(7, "d0") == facts_of(embeddings)
    assert parts.find(7, "d0").counts == Counts(2, 2, 8, 5, computed_tokens=5, vectors=2)
    assert parts.find_all(["d0"]) is None  # that is part 0
    assert [path.name for path in parts.folder.iterdir()] == ["part-000007.parquet"]


def test_windows_repeat_the_columns_of_the_source(tmp_path):
    table = layout_of(with_windows=True).table(RECORDS, embedded([0, 0, 1], [3, 3, 2]))

    assert table.drop_columns("embedding").to_pydict() == {
        **{"id": ["a", "a", "b"], "start": [7, 7, None]},
        **{"window_start": [0, 10, 20], "window_end": [60, 70, 80]},
    }


def test_per_token_a_row_has_a_list_of_vectors():
    layout = layout_of(per_token=True)
    embeddings = embedded([0, 1], [3, 2], per_token=True)

    table = layout.table(RECORDS, embeddings)

    assert table["embedding"].to_pylist() == [embeddings.vectors[:3].tolist(), embeddings.vectors[3:].tolist()]
    assert np.array_equal(layout.vectors(table), embeddings.vectors)
    assert layout.num_tokens(table).tolist() == [3, 2]
    assert layout.vectors(table.slice(1)).tolist() == embeddings.vectors[3:].tolist()


@pytest.mark.parametrize("per_token", [False, True])
def test_a_number_beyond_float16_names_the_sequence(per_token):
    vectors = np.ones((5 if per_token else 2, HIDDEN), np.float32)
    vectors[-1, 2] = -70_000

    with pytest.raises(ValueError, match="embedding of b contains -70000"):
        layout_of("float16", per_token=per_token).table(RECORDS, embedded([0, 1], [3, 2], vectors, per_token))


@pytest.mark.parametrize(("dtype", "per_token"), [("float32", False), ("float16", False), ("float32", True)])
def test_row_groups_are_whole_rows_of_a_bounded_size(monkeypatch, dtype, per_token):
    monkeypatch.setattr(rows, "ROW_GROUP_BYTES", 5 * HIDDEN * np.dtype(dtype).itemsize)
    records = pa.table({"id": list("abcdefghijkl"), "start": range(12)})
    num_tokens = [2, 2, 2, 9, 1, 1, 1, 1, 1, 1, 1, 1]
    layout = layout_of(dtype, per_token=per_token)
    table = layout.table(records, embedded(range(12), num_tokens, per_token=per_token))

    groups = list(layout.row_groups(table))

    assert pa.concat_tables(groups).equals(table)
    assert all(len(group) == 1 or len(layout.vectors(group)) <= 6 for group in groups)
    assert len(groups) < 8


def test_parts_of_other_settings_or_another_block_or_another_version_are_missing(tmp_path, parts):
    embeddings = embedded([0, 1], [3, 2])
    parts.write(0, RECORDS, embeddings, facts_of(embeddings))
    assert parts.find(0, "d0") is not None
    assert parts.find(0, "d1") is None and parts.find(1, "d0") is None
    for name in SETTINGS:
        assert Parts(tmp_path / "out.parquet", SETTINGS | {name: "x"}, layout_of()).find(0, "d0") is None

    for changed in (
        b'{"new": 1}',
        b"{",
        b"[]",
        b'{"settings": {}, "digest": "d0", "backend": "", "counts": {"n": 1}}',
    ):
        pq.write_table(pq.read_table(parts.path(0)).replace_schema_metadata({b"part": changed}), parts.path(0))
        assert parts.find(0, "d0") is None


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_bytes_are_a_missing_part_or_its_facts_and_never_an_error(parts, data):
    embeddings = embedded([0, 1], [3, 2])
    parts.write(0, RECORDS, embeddings, facts_of(embeddings))
    content = bytearray(parts.path(0).read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    parts.path(0).write_bytes(content)

    assert parts.find(0, "d0") in (None, facts_of(embeddings))


@contextmanager
def small_files(limit: int):
    """The files of this process may have so many bytes: the system refuses more, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:  # before pytest writes again: its output may be a larger file
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("limit", [0, 200, 1200])
def test_a_full_disk_names_the_part_and_leaves_the_old_one(parts, limit):
    embeddings = embedded([0, 1], [3, 2])
    parts.write(0, RECORDS, embeddings, facts_of(embeddings))

    with pytest.raises(ValueError, match=r"part-000000.parquet .* full"), small_files(limit):
        parts.write(0, RECORDS, embeddings, facts_of(embeddings, "d1"))

    assert parts.find(0, "d0") == facts_of(embeddings)
    assert [path.name for path in parts.folder.iterdir()] == ["part-000000.parquet"]


def test_a_folder_that_another_process_removes_is_made_again(parts, monkeypatch):
    embeddings = embedded([0, 1], [3, 2])
    write = Parts._write
    times = []

    def removed_meanwhile(self, *arguments):
        times.append(1)
        if len(times) == 1:
            raise FileNotFoundError
        write(self, *arguments)

    monkeypatch.setattr(Parts, "_write", removed_meanwhile)
    parts.write(0, RECORDS, embeddings, facts_of(embeddings))

    assert parts.find_all(["d0"]) == [facts_of(embeddings)]


def test_one_process_at_a_time_joins_the_parts_and_other_files_stay(tmp_path, parts):
    embeddings = embedded([0, 1], [3, 2])
    with parts.locked() as without_folder:
        assert not without_folder
    parts.write(0, RECORDS, embeddings, facts_of(embeddings))
    (parts.folder / "thesis.tex").write_text("precious")
    (parts.folder / ".part-000001.parquet.0f.part").write_text("cut off")
    (parts.folder / ".x.part").mkdir()
    with parts.locked() as first, parts.locked() as second:
        assert (first, second) == (True, False)
        parts.remove_scratch()
        parts.remove()
    parts.remove_folder()

    assert [path.name for path in parts.folder.iterdir()] == ["thesis.tex"]
    (parts.folder / "thesis.tex").unlink()
    parts.remove_folder()
    assert list(tmp_path.iterdir()) == []


WRITE_PARTS = """
import sys
from pathlib import Path
import numpy as np, pyarrow as pa
from dnahub.inference.counts import Counts
from dnahub.inference.parts import Facts, Parts
from dnahub.inference.rows import Layout
from tests.made_embeddings import embeddings_of

records = pa.table({"id": [f"r{i}" for i in range(2000)]})
parts = Parts(Path(sys.argv[1]), {}, Layout(records.schema, 64, "float32", False, False))
numbers = np.arange(2000)
embeddings = embeddings_of(np.ones((2000, 64), np.float32), numbers, numbers, numbers, numbers)
for block in range(100_000):
    parts.write(block, records, embeddings, Facts({}, "d", "torch", Counts()))
"""


def test_a_process_that_is_killed_leaves_complete_parts(tmp_path, environment):
    output = tmp_path / "out.parquet"
    options = environment | {"PYTHONPATH": str(forked.REPOSITORY)}
    process = forked.Forked(["-c", WRITE_PARTS, output], forked.REPOSITORY, options)
    folder = Path(f"{output}.parts")
    process.wait_until(lambda: folder.is_dir() and len(list(folder.glob("part-*"))) >= 3)
    process.send_signal(signal.SIGKILL)
    process.wait()

    paths = sorted(folder.glob("part-*.parquet"))
    assert len(paths) >= 3
    assert all(pq.read_table(path).num_rows == 2000 for path in paths)
