"""Parts -> outputs: each format read by the tools of its users, and compared with the arrays that went in."""

import json
import re
import resource
import sys
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import NamedTuple

import anndata
import duckdb
import h5py
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from datasets import List, Value, load_dataset
from safetensors.numpy import load_file

from dnahub.inference import formats, rows
from dnahub.inference.answers import Answers
from dnahub.inference.engine import Results
from dnahub.inference.outputs import (
    EMBEDDINGS,
    PER_TOKEN,
    PREDICTIONS,
    check_columns,
    check_output,
    join,
    output_files,
)
from dnahub.inference.parts import Parts
from dnahub.inference.rows import Layout
from dnahub.machine.faults import limits_explained
from dnahub.sequences.bad_records import BadRecords
from tests import forked

HIDDEN = 8
NONE_BAD = BadRecords()
MADE_BY = {"model": "user/répo", "revision": None, "layer": -1, "normalize": True, "inputs": ["a.fa", "b.fa"]}
SUFFIXES = list(EMBEDDINGS)
TWO_CLASSES = Answers("single_label_classification", ("no", "yes"))
TAGS = pa.list_(pa.struct([("a", pa.int64())]))


class Made(NamedTuple):
    """Parts, and what is in them."""

    parts: Parts
    digests: list[str]
    vectors: np.ndarray  # (rows, hidden), per token (tokens of all rows, hidden)
    rows: list[dict]  # the columns of the source, and those of windows
    num_tokens: list[int]


def source_rows(first: int, count: int) -> pa.Table:
    names = range(first, first + count)
    return pa.table(
        {
            "id": [f"gène{i}" for i in names],
            "species": pa.array([(None, 'yeast "b"\tx\ny\rz, w', "fly")[i % 3] for i in names], pa.string()),
            "taxon": pa.array([7 * i for i in names], pa.int32()),
            "copies": pa.array([None if i == 2 else i for i in names], pa.int64()),
            "score": pa.array([None if i == 3 else i / 3 for i in names], pa.float64()),
            "coding": [i % 2 == 0 for i in names],
            "known": pa.array([(None, True, False)[i % 3] for i in names], pa.bool_()),
            "tags": pa.array([[{"a": i}] if i % 2 else None for i in names], TAGS),
            "day": [date(2026, 1, 1 + i % 28) for i in names],
            "strand": pa.array([("+", "-")[i % 2] for i in names]).dictionary_encode(),
        }
    )


def write_parts(
    output: Path, counts=(5, 1, 7), dtype="float32", windows=False, per_token=False, hidden=HIDDEN
) -> Made:
    rng = np.random.default_rng(0)
    parts = Parts(output, {}, Layout(source_rows(0, 1).schema, hidden, dtype, windows, per_token))
    vectors, all_rows, num_tokens = [], [], []
    for number, count in enumerate(counts):
        records = source_rows(sum(counts[:number]), count)
        repeats = rng.integers(1, 4, size=count) if windows else np.ones(count, dtype=np.int64)
        sequence = np.repeat(np.arange(count), repeats)
        start = np.concatenate([np.arange(n) * 100 for n in repeats])
        tokens = rng.integers(1, 6, size=len(sequence))
        block = rng.normal(size=(tokens.sum() if per_token else len(sequence), hidden)).astype(np.float32)
        counted = Counter(rows=len(sequence), vectors=len(block))
        embeddings = Results(block, sequence, start, start + 150, tokens, counted)
        parts.write(number, f"d{number}", records, embeddings, "torch")
        taken = records.to_pylist()
        for i, a in zip(sequence, start, strict=True):
            all_rows.append({**taken[i], **({"window_start": a, "window_end": a + 150} if windows else {})})
        vectors.append(block)
        num_tokens += tokens.tolist()
    digests = [f"d{number}" for number in range(len(counts))]
    return Made(parts, digests, np.concatenate(vectors).astype(dtype), all_rows, num_tokens)


def write(output: Path, **options) -> Made:
    made = write_parts(output, **options)
    assert join(made.parts, made.digests, output, MADE_BY, NONE_BAD) is not None
    return made


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """Row groups of a few rows, so that a small output has several."""
    monkeypatch.setattr(rows, "ROW_GROUP_BYTES", 3 * HIDDEN * 4)


def files_in(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


READERS = {
    (".parquet", "pandas"): pd.read_parquet,
    (".parquet", "polars"): lambda path: pd.DataFrame(pl.read_parquet(path).to_dict(as_series=False)),
    (".parquet", "duckdb"): lambda path: duckdb.sql(f"SELECT * FROM '{path}'").df(),
    (".tsv", "pandas"): lambda path: pd.read_csv(path, sep="\t"),
    (".tsv", "duckdb"): lambda path: duckdb.sql(f"SELECT * FROM '{path}'").df(),
}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(("suffix", "reader"), READERS)
def test_pandas_polars_and_duckdb_read_every_table(tmp_path, reader, suffix, dtype):
    made = write(tmp_path / f"out{suffix}", dtype=dtype)

    table = READERS[suffix, reader](tmp_path / f"out{suffix}")

    for name in ("id", "taxon", "coding"):
        assert table[name].tolist() == [row[name] for row in made.rows]
    species = [row["species"] or "" for row in made.rows]
    spaced = [re.sub(r"[\t\r\n]", " ", each) for each in species] if suffix == ".tsv" else species
    assert table["species"].fillna("").tolist() == spaced
    columns = ["embedding"] if suffix == ".parquet" else [f"e{i}" for i in range(HIDDEN)]
    assert [name for name in table.columns if name not in made.rows[0]] == columns
    vectors = np.stack(table["embedding"].tolist()) if suffix == ".parquet" else table[columns].to_numpy()
    assert np.array_equal(vectors.astype(dtype), made.vectors)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_anndata_reads_h5ad_whole_and_backed(tmp_path, dtype):
    made = write(tmp_path / "out.h5ad", dtype=dtype)

    for table in (anndata.read_h5ad(tmp_path / "out.h5ad"), anndata.read_h5ad(tmp_path / "out.h5ad", backed="r")):
        assert table.X[:].dtype == dtype and np.array_equal(table.X[:], made.vectors)
        assert table.obs_names.tolist() == [row["id"] for row in made.rows]
        assert table.obs["species"].astype(str).tolist() == [row["species"] or "" for row in made.rows]
        assert table.obs["taxon"].tolist() == [row["taxon"] for row in made.rows]
        assert table.obs["copies"].isna().tolist() == [row["copies"] is None for row in made.rows]
        assert table.obs["coding"].tolist() == [row["coding"] for row in made.rows]
        assert table.obs["tags"].iloc[1] == '[{"a": 1}]' and table.obs["day"].iloc[0] == "2026-01-01"
        assert table.uns["embedding"]["model"] == "user/répo" and "revision" not in table.uns["embedding"]


@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_npy_has_all_vectors_and_its_tsv_says_what_each_row_is(tmp_path, dtype, per_token):
    output = tmp_path / "out.npy"
    made = write(output, dtype=dtype, per_token=per_token)

    vectors = np.load(output)
    assert vectors.dtype == dtype and np.array_equal(vectors, made.vectors)
    path = tmp_path / "out.npy.ids.tsv"
    table = pd.read_csv(path, sep="\t")
    assert table["id"].tolist() == [row["id"] for row in made.rows]
    assert table["strand"].tolist() == [row["strand"] for row in made.rows]
    if per_token:
        assert table["num_tokens"].tolist() == made.num_tokens
        assert table["offset"].tolist() == [sum(made.num_tokens[:i]) for i in range(len(made.rows))]


def test_text_has_quotes_only_where_it_needs_them(tmp_path):
    table = pa.table({"id": ["x", "w"], "a": ["007", None], "e0": np.array([0.1, 3e-9], np.float32)})
    quoted = table.set_column(0, "id", [['y"z', "w"]])
    with open(tmp_path / "plain.csv", "wb") as file:
        for header, each in ((True, table), (False, quoted)):
            formats.append_text(each, file, ",", header)

    lines = (tmp_path / "plain.csv").read_text().splitlines()
    assert lines == ["id,a,e0", "x,007,0.1", "w,,3e-9", '"y""z","007",0.1', '"w",,3e-9']


def test_tsv_has_no_quotes_so_that_it_is_read_back_as_it_is(tmp_path):
    table = pa.table({"id": ['y"z', "w"], "a\tb": ["one\ttwo\nthree", None], "e0": np.array([0.1, 3e-9], np.float32)})
    with open(tmp_path / "plain.tsv", "wb") as file:
        formats.append_text(table, file, "\t", True)
        formats.append_text(table.slice(1), file, "\t", False)

    lines = (tmp_path / "plain.tsv").read_text().splitlines()
    assert lines == ["id\ta b\te0", 'y"z\tone two three\t0.1', "w\t\t3e-9", "w\t\t3e-9"]


def test_the_recipes_of_the_documentation_convert_into_other_formats(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = write(Path("genes.npy"))
    write(Path("genes.parquet"))
    text = (forked.REPOSITORY / "docs" / "embedding.md").read_text().split("## Other formats")[1].split("\n## ")[0]

    exec("\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)), {})

    with h5py.File("genes.h5") as file:
        assert np.array_equal(file["embedding"][:], made.vectors)
        assert file["id"].asstr()[:].tolist() == [row["id"] for row in made.rows]
    assert np.array_equal(zarr.open_group("genes.zarr")["embedding"][:], made.vectors)
    assert np.array_equal(load_file("genes.safetensors")["embedding"], made.vectors)


@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_parquet_keeps_all_columns_and_datasets_loads_it(tmp_path, per_token, dtype):
    output = tmp_path / "out.parquet"
    made = write(output, per_token=per_token, dtype=dtype)

    with pq.ParquetFile(output) as file:
        assert file.num_row_groups > len(made.digests)
        split = "BYTE_STREAM_SPLIT" in file.metadata.row_group(0).column(file.metadata.num_columns - 1).encodings
        assert split == (dtype == "float32")  # DuckDB, polars and older pyarrow cannot read half floats so
    table = pq.read_table(output)
    assert table.schema.field("species").type == pa.string() and table.schema.field("tags").type == TAGS
    assert table.drop_columns("embedding").to_pylist() == made.rows
    dataset = load_dataset("parquet", data_files=str(output), split="train", cache_dir=str(tmp_path / "cache"))
    vector = List(Value(dtype), length=HIDDEN)
    assert dataset.features["embedding"] == (List(vector) if per_token else vector)
    found = np.concatenate(dataset["embedding"][:]) if per_token else np.array(dataset["embedding"][:])
    assert np.array_equal(found.astype(dtype), made.vectors)


def test_windows_are_named_by_id_start_and_end(tmp_path):
    made = write(tmp_path / "out.h5ad", windows=True)
    names = [f"{row['id']}:{row['window_start']}-{row['window_end']}" for row in made.rows]
    assert anndata.read_h5ad(tmp_path / "out.h5ad").obs_names.tolist() == names
    write(tmp_path / "out.parquet", windows=True)
    assert pq.read_table(tmp_path / "out.parquet").drop_columns("embedding").to_pylist() == made.rows


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_says_what_made_it(tmp_path, suffix):
    output = tmp_path / f"out{suffix}"
    write(output)
    if suffix == ".parquet":
        made_by = json.loads(pq.read_schema(output).metadata[b"embedding"])
    elif suffix == ".h5ad":
        made_by = {**anndata.read_h5ad(output).uns["embedding"], "revision": None}
        made_by["inputs"] = made_by["inputs"].tolist()
    else:
        made_by = json.loads(Path(f"{output}.json").read_text())
    digest = made_by.pop("input_digest")
    assert made_by == MADE_BY | {"backend": "torch"}
    assert len(digest) == 32
    assert sorted(tmp_path.iterdir()) == sorted(output_files(output))  # the parts are removed


def test_missing_parts_or_a_process_that_joins_them_write_nothing(tmp_path):
    output = tmp_path / "out.parquet"
    made = write_parts(output)
    assert join(made.parts, [*made.digests, "d3"], output, MADE_BY, NONE_BAD) is None
    assert join(made.parts, ["d0", "other", "d2"], output, MADE_BY, NONE_BAD) is None
    with made.parts.locked():
        assert join(made.parts, made.digests, output, MADE_BY, NONE_BAD) is None
    assert not output.exists()
    assert join(made.parts, made.digests[:2], output, MADE_BY, NONE_BAD) is not None  # of a shorter input
    assert pq.read_table(output)["id"].to_pylist() == [row["id"] for row in made.rows[:6]]
    assert list(tmp_path.iterdir()) == [output]


def test_a_part_that_was_damaged_within_is_named_and_the_old_output_stays(tmp_path):
    output = tmp_path / "out.parquet"
    output.write_bytes(b"precious")
    made = write_parts(output)
    path = made.parts.path(1)
    content = bytearray(path.read_bytes())
    place = pq.ParquetFile(path).metadata.row_group(0).column(0).data_page_offset + 40
    content[place : place + 8] = bytes(8)
    path.write_bytes(content)

    with pytest.raises(ValueError, match="part-000001.parquet is damaged"):
        join(made.parts, made.digests, output, MADE_BY, NONE_BAD)

    assert output.read_bytes() == b"precious" and len(list(made.parts.folder.glob("part-*"))) == 3


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of h5py's objects
def test_a_full_disk_is_one_sentence_and_nothing_changes(tmp_path, monkeypatch, suffix):
    monkeypatch.undo()  # row groups as they are
    output = tmp_path / f"out{suffix}"
    output.write_bytes(b"precious")
    made = write_parts(output, counts=(900, 900), hidden=64)
    before = files_in(tmp_path)

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))  # the system refuses more, as on a full disk
    try:
        with pytest.raises(ValueError, match=rf"{output.name}: .* full"), limits_explained(output, ""):
            join(made.parts, made.digests, output, MADE_BY, NONE_BAD)
    finally:  # before pytest writes again: its output may be a larger file
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert files_in(tmp_path) == before
    assert join(made.parts, made.digests, output, MADE_BY, NONE_BAD) is not None


def stop(*arguments):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("suffix", "where"), [(".h5ad", "fsync"), (".npy", "os.replace"), (".csv", "Parts.remove_joined")]
)
def test_a_stop_while_joining_leaves_a_complete_output_or_all_parts(tmp_path, monkeypatch, suffix, where):
    output = tmp_path / f"out{suffix}"
    output.write_bytes(b"precious")
    made = write_parts(output)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(f"dnahub.inference.outputs.{where}", stop)
        join(made.parts, made.digests, output, MADE_BY, NONE_BAD)

    if where == "fsync":
        assert output.read_bytes() == b"precious"
    elif where == "os.replace":
        assert not output.exists()  # rather than beside the ids of another one
    else:
        assert len(pd.read_csv(output)) == 13
    assert len(list(made.parts.folder.glob("part-*"))) == 3
    check_output(output, EMBEDDINGS, [], overwrite=output.exists())
    (made.parts.folder / "output").mkdir()  # of a process that was killed
    assert join(made.parts, made.digests, output, MADE_BY, NONE_BAD) is not None
    assert sorted(tmp_path.iterdir()) == sorted(output_files(output))


def test_the_parts_of_a_complete_output_are_removed_and_those_of_another_one_kept(tmp_path, monkeypatch):
    """As after a kill between both."""
    output = tmp_path / "out.csv"
    made = write_parts(output)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("dnahub.inference.outputs.Parts.remove_joined", stop)
        join(made.parts, made.digests, output, MADE_BY, NONE_BAD)
    complete = output.read_bytes()

    output.rename(tmp_path / "moved")
    output.write_bytes(b"precious")
    with pytest.raises(ValueError, match="interrupted"):
        check_output(output, EMBEDDINGS, [], overwrite=False)
    (tmp_path / "moved").rename(output)
    check_output(output, EMBEDDINGS, [], overwrite=True)
    assert len(list(made.parts.folder.glob("part-*"))) == 3
    with pytest.raises(ValueError, match="exists; name another"):
        check_output(output, EMBEDDINGS, [], overwrite=False)
    assert output.read_bytes() == complete and sorted(tmp_path.iterdir()) == sorted(output_files(output))


@pytest.mark.parametrize(
    ("name", "suffixes", "words"),
    [
        ("out.xlsx", EMBEDDINGS, ".parquet"),
        ("out.h5ad", PER_TOKEN, "--per_token .parquet .npy"),
        ("out.npy", PREDICTIONS, ".tsv .parquet .bw"),
        ("no/folder/out.npy", EMBEDDINGS, "no/folder first"),
        ("there.npy", EMBEDDINGS, "there.npy --overwrite"),
        ("ids.npy", EMBEDDINGS, "ids.npy.ids.tsv --overwrite"),
        ("in.parquet", EMBEDDINGS, "input"),
    ],
)
def test_what_cannot_be_written_is_an_error_before_the_work(tmp_path, name, suffixes, words):
    for there in ("there.npy", "ids.npy.ids.tsv", "in.parquet"):
        (tmp_path / there).write_text("precious")
    before = sorted(tmp_path.iterdir())

    with pytest.raises(ValueError) as raised:
        check_output(tmp_path / name, suffixes, [str(tmp_path / "in.parquet")], overwrite=name == "in.parquet")

    assert all(word in str(raised.value) for word in words.split())
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("name", "columns", "options", "words"),
    [
        ("out.npy", ["id", "embedding"], {}, "'embedding'"),
        ("out.npy", ["id", "a", "a"], {}, "two 'a'"),
        ("out.npy", ["window_end"], {"with_windows": True}, "'window_end'"),
        ("out.npy", ["offset"], {"per_token": True}, "'offset'"),
        ("out.csv", ["e12"], {}, "'e12'"),
        ("out.h5ad", ["a/b"], {}, "'a/b'"),
        ("out.tsv", ["predicted"], {"answers": TWO_CLASSES}, "'predicted'"),
        ("out.tsv", ["p_yes"], {"answers": TWO_CLASSES}, "'p_yes'"),
    ],
)
def test_a_column_that_does_not_fit_is_an_error_before_the_work(tmp_path, name, columns, options, words):
    layout = replace(Layout(pa.schema([]), HIDDEN, "float32", with_windows=False, per_token=False), **options)
    check_columns(tmp_path / name, ["id", "other"], layout)
    with pytest.raises(ValueError) as raised:
        check_columns(tmp_path / name, columns, layout)
    assert all(word in str(raised.value) for word in words.split())


def test_a_missing_package_is_an_error_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "anndata", None)
    with pytest.raises(ValueError, match="requirements-extra.txt"):
        check_output(tmp_path / "out.h5ad", EMBEDDINGS, [], overwrite=False)
