"""Shards -> outputs: each format read back by its own library, and compared with the arrays that went in."""

import io
import json
import os
import re
import resource
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from datasets import List, Value, load_dataset
from safetensors import safe_open
from safetensors.numpy import load_file

from dnahub.inference import outputs_hdf5, outputs_parquet, outputs_zarr, shards
from dnahub.inference.outputs import OUTPUT_SUFFIXES, check_output, output_files, read_made_by, write_output
from dnahub.inference.shards import shard_schema, write_shard
from tests import forked
from tests.made_embeddings import embeddings_of

HIDDEN = 8
MADE_BY = {
    "model": "user/répo",
    "layer": -1,
    "normalize": True,
    "epsilon": 1e-12,
    "inputs": ["a.fa", "b.fa"],
    "block": {"nt": 2_000_000},
}
SUFFIXES = [suffix for suffix in OUTPUT_SUFFIXES if suffix != ".hdf5"]  # .h5 by another name
TAGS = pa.list_(pa.struct([("a", pa.int64())]))
PER_TOKEN_SUFFIXES = [suffix for suffix in SUFFIXES if suffix != ".h5ad"]


@dataclass(frozen=True)
class Made:
    """Shards, and what is in them."""

    paths: list[Path]
    vectors: np.ndarray  # (rows, hidden), per token (tokens of all rows, hidden)
    rows: list[dict]  # id, columns of the source, with windows `window_start` and `window_end`
    num_tokens: list[int]


def source_rows(first: int, count: int) -> pa.Table:
    names = range(first, first + count)
    return pa.table(
        {
            "id": [f"gène{i}" for i in names],
            "sequence": ["ACGT"] * count,
            "species": pa.array([(None, 'yeast "b"\tx\ny\rz', "fly")[i % 3] for i in names], pa.string()),
            "taxon": pa.array([7 * i for i in names], pa.int32()),
            "copies": pa.array([None if i == 2 else i for i in names], pa.int64()),
            "score": pa.array([None if i == 3 else i / 3 for i in names], pa.float64()),
            "coding": [i % 2 == 0 for i in names],
            "tags": pa.array([[{"a": i}] if i % 2 else None for i in names], TAGS),
            "day": [date(2026, 1, 1 + i % 28) for i in names],
        }
    )


def write_shards(
    folder,
    counts=(5, 1, 7),
    output_dtype="float32",
    windows=False,
    per_token=False,
    hidden=HIDDEN,
    source=source_rows,
    seed=0,
) -> Made:
    rng = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    paths, vectors, rows, num_tokens = [], [], [], []
    for number, count in enumerate(counts):
        table = source(sum(counts[:number]), count)
        repeats = rng.integers(1, 4, size=count) if windows else np.ones(count, dtype=np.int64)
        sequence = np.repeat(np.arange(count), repeats)
        start = np.concatenate([np.arange(n) * 100 for n in repeats])
        tokens = rng.integers(1, 6, size=len(sequence))
        num_vectors = tokens.sum() if per_token else len(sequence)
        block = rng.normal(size=(num_vectors, hidden)).astype(np.float32)
        without_sequence = table.drop_columns("sequence")
        schema = shard_schema(without_sequence.schema, hidden, output_dtype, with_windows=windows, per_token=per_token)
        paths.append(folder / f"block-{number:06}.parquet")
        write_shard(
            paths[-1], table, embeddings_of(block, sequence, start, start + 150, tokens), schema, {"block": number}
        )
        taken = without_sequence.to_pylist()
        for i, a in zip(sequence, start, strict=True):
            rows.append({**taken[i], **({"window_start": int(a), "window_end": int(a) + 150} if windows else {})})
        vectors.append(block)
        num_tokens += tokens.tolist()
    return Made(paths, np.concatenate(vectors).astype(output_dtype), rows, num_tokens)


@pytest.fixture
def output_in(tmp_path):
    """A function that writes shards and an output of them."""

    def make(suffix, **options) -> tuple[Made, Path]:
        made = write_shards(tmp_path / "out.shards", **options)
        output = tmp_path / f"out{suffix}"
        write_output(made.paths, output, MADE_BY)
        return made, output

    return make


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """Row groups and chunks of a few rows, so that a small output has many, which do not fall together."""
    monkeypatch.setattr(shards, "ROW_GROUP_BYTES", 3 * HIDDEN * 4)
    monkeypatch.setattr(outputs_parquet, "ROW_GROUP_BYTES", 4 * HIDDEN * 4)
    for module in (outputs_hdf5, outputs_zarr):
        monkeypatch.setattr(module, "CHUNK_BYTES", 5 * HIDDEN * 4)
        monkeypatch.setattr(module, "CHUNK_ROWS", 4)


def as_json(value) -> str:
    return json.dumps(value, ensure_ascii=False)


def flat_rows(made: Made) -> list[dict]:
    """The rows as formats without nesting and missing values have them: NaN is written None here."""
    return [
        {
            **row,
            "species": row["species"] or "",
            "tags": "" if row["tags"] is None else as_json(row["tags"]),
            "day": row["day"].isoformat(),
        }
        for row in made.rows
    ]


def without_nan(values: np.ndarray) -> list:
    return [None if isinstance(value, float) and np.isnan(value) else value for value in values.tolist()]


def vectors_in(path: Path) -> np.ndarray:
    """By the library of the format, as a user does; per token those of all rows."""
    if path.suffix == ".parquet":
        column = pq.read_table(path)["embedding"].combine_chunks().flatten()
        column = column.flatten() if pa.types.is_fixed_size_list(column.type) else column
        return column.to_numpy().reshape(-1, HIDDEN)
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)
    if path.suffix == ".safetensors":
        return load_file(path)["embedding"]
    if path.suffix == ".zarr":
        return zarr.open_group(path, mode="r")["embedding"][:]
    if path.suffix == ".h5ad":
        return anndata.read_h5ad(path).X
    with h5py.File(path) as file:
        return file["embedding"][:]


@pytest.mark.parametrize("suffix", [*OUTPUT_SUFFIXES, ".NPY"])
def test_every_format_has_the_vectors_in_order_and_says_what_made_them(output_in, suffix):
    made, output = output_in(suffix)

    if suffix != ".NPY":
        assert np.array_equal(vectors_in(output), made.vectors) and vectors_in(output).dtype == np.float32
    assert read_made_by(output) == MADE_BY
    assert sorted(path.name for path in output.parent.iterdir()) == sorted(
        ["out.shards", *(path.name for path in output_files(output))]
    )
    assert sorted(output.with_name("out.shards").iterdir()) == made.paths


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_float16_stays_float16_in_every_format(output_in, suffix):
    made, output = output_in(suffix, output_dtype="float16")

    vectors = vectors_in(output)
    assert vectors.dtype == np.float16 and np.array_equal(vectors, made.vectors)


@pytest.mark.parametrize("suffix", PER_TOKEN_SUFFIXES)
@pytest.mark.parametrize("output_dtype", ["float32", "float16"])
def test_per_token_every_format_has_the_vectors_of_all_tokens(output_in, suffix, output_dtype):
    made, output = output_in(suffix, per_token=True, output_dtype=output_dtype)

    assert np.array_equal(vectors_in(output), made.vectors)


def test_parquet_has_the_source_the_fixed_size_lists_and_larger_row_groups(output_in):
    made, output = output_in(".parquet")

    table = pq.read_table(output)
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), HIDDEN)
    assert table.drop_columns("embedding").to_pylist() == made.rows
    metadata = pq.read_metadata(output)
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [3, 3, 3, 4]
    frame = pd.read_parquet(output)
    assert np.array_equal(np.stack(frame["embedding"]), made.vectors)


@pytest.mark.parametrize("output_dtype", ["float32", "float16"])
@pytest.mark.parametrize("per_token", [False, True])
def test_datasets_loads_the_parquet_file_with_its_types(output_in, per_token, output_dtype, tmp_path):
    made, output = output_in(".parquet", per_token=per_token, output_dtype=output_dtype)

    rows = load_dataset("parquet", data_files=str(output), split="train", cache_dir=str(tmp_path / "cache"))

    vector = List(Value(output_dtype), length=HIDDEN)
    assert rows.features["embedding"] == (List(vector) if per_token else vector)
    assert rows["id"] == [row["id"] for row in made.rows]
    loaded = np.concatenate([np.reshape(value, (-1, HIDDEN)) for value in rows["embedding"]])
    assert np.array_equal(loaded.astype(output_dtype), made.vectors)


@pytest.mark.parametrize("suffix", [".npy", ".safetensors"])
@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize("per_token", [False, True])
def test_the_table_of_ids_says_what_each_row_is(output_in, suffix, windows, per_token):
    made, output = output_in(suffix, windows=windows, per_token=per_token)

    ids = pd.read_csv(f"{output}.ids.tsv", sep="\t", float_precision="round_trip")
    added = (["window_start", "window_end"] if windows else []) + (["num_tokens", "offset"] if per_token else [])
    assert list(ids) == [name for name in made.rows[0] if name not in added] + added
    for name in made.rows[0]:
        values = [None if pd.isna(value) else value for value in ids[name]]
        assert values == [None if row[name] == "" else row[name] for row in flat_rows(made)]
    if per_token:
        assert ids["num_tokens"].tolist() == made.num_tokens
        vectors, firsts = vectors_in(output), np.cumsum([0, *made.num_tokens])
        for row, (offset, count) in enumerate(zip(ids["offset"], ids["num_tokens"], strict=True)):
            assert np.array_equal(vectors[offset : offset + count], made.vectors[firsts[row] : firsts[row + 1]])


def test_a_table_of_ids_without_odd_letters_is_plain_text(tmp_path):
    def plain(first, count):
        return pa.table(
            {"id": [f"g{first + i}" for i in range(count)], "sequence": ["A"] * count, "gc": [0.5] * count}
        )

    made = write_shards(tmp_path / "out.shards", source=plain, counts=(1, 2))

    write_output(made.paths, tmp_path / "out.npy", MADE_BY)

    assert (tmp_path / "out.npy.ids.tsv").read_bytes() == b"id\tgc\ng0\t0.5\ng1\t0.5\ng2\t0.5\n"
    assert json.loads((tmp_path / "out.npy.json").read_text()) == MADE_BY


def test_safetensors_has_the_number_of_tokens_and_aligned_tensors(output_in):
    made, output = output_in(".safetensors", per_token=True, counts=(4, 3))

    with safe_open(output, framework="numpy") as file:
        assert sorted(file.keys()) == ["embedding", "num_tokens"]
        assert file.get_tensor("num_tokens").tolist() == made.num_tokens
        assert np.array_equal(file.get_slice("embedding")[2:5], made.vectors[2:5])
    content = output.read_bytes()
    assert int.from_bytes(content[:8], "little") % 8 == 0


@pytest.mark.parametrize("suffix", [".zarr", ".h5", ".h5ad"])
def test_columns_of_the_source_are_numbers_or_text(output_in, suffix):
    made, output = output_in(suffix)

    expected = {name: [row[name] for row in flat_rows(made)] for name in made.rows[0]}
    types = {"taxon": np.int32, "copies": np.float64, "score": np.float64, "coding": np.bool_}
    if suffix == ".zarr":
        group = zarr.open_group(output, mode="r")
        found = {name: group[name][:] for name in group.array_keys() if name != "embedding"}
    elif suffix == ".h5":
        with h5py.File(output) as file:
            found = {name: (column.asstr() if column.dtype == object else column)[:] for name, column in file.items()}
        del found["embedding"]
    else:
        obs = anndata.read_h5ad(output).obs
        found = {"id": obs.index.to_numpy(), **{name: obs[name].to_numpy() for name in obs}}
        assert list(obs) == [name for name in expected if name != "id"]
    assert {name: without_nan(values) for name, values in found.items()} == expected
    assert {name: found[name].dtype for name in types} == types


@pytest.mark.parametrize("suffix", [".zarr", ".h5"])
def test_per_token_each_row_has_its_number_of_tokens_and_its_first_vector(output_in, suffix):
    made, output = output_in(suffix, per_token=True)

    if suffix == ".zarr":
        group = zarr.open_group(output, mode="r")
        num_tokens, offset = group["num_tokens"][:], group["offset"][:]
    else:
        with h5py.File(output) as file:
            num_tokens, offset = file["num_tokens"][:], file["offset"][:]
    assert num_tokens.tolist() == made.num_tokens
    assert offset.tolist() == np.cumsum([0, *made.num_tokens])[:-1].tolist()


@pytest.mark.parametrize("suffix", [".parquet", ".zarr", ".h5"])
def test_windows_have_the_id_and_where_they_start_and_end(output_in, suffix):
    made, output = output_in(suffix, windows=True)

    if suffix == ".parquet":
        found = {name: np.array(pq.read_table(output)[name]) for name in ("id", "window_start", "window_end")}
    elif suffix == ".zarr":
        found = {name: zarr.open_group(output, mode="r")[name][:] for name in ("id", "window_start", "window_end")}
    else:
        with h5py.File(output) as file:
            found = {"id": file["id"].asstr()[:], **{name: file[name][:] for name in ("window_start", "window_end")}}
    assert len(set(found["id"])) < len(found["id"])
    assert {name: values.tolist() for name, values in found.items()} == {
        name: [row[name] for row in made.rows] for name in found
    }


@pytest.mark.parametrize("backed", [None, "r"])
@pytest.mark.parametrize("windows", [False, True])
def test_anndata_reads_it_whole_and_backed_without_a_warning(output_in, recwarn, backed, windows):
    made, output = output_in(".h5ad", windows=windows)

    data = anndata.read_h5ad(output, backed=backed)

    assert np.array_equal(data.X[:], made.vectors)
    assert data.obs_names.is_unique
    if windows:
        assert data.obs_names.tolist() == [
            f"{row['id']}:{row['window_start']}-{row['window_end']}" for row in made.rows
        ]
        assert data.obs["id"].tolist() == [row["id"] for row in made.rows]
        assert data.obs["window_end"].tolist() == [row["window_end"] for row in made.rows]
    else:
        assert data.obs_names.tolist() == [row["id"] for row in made.rows]
    assert data.uns["embedding"]["model"] == "user/répo"
    assert data.n_vars == HIDDEN
    data = data.to_memory() if backed else data
    data.write_h5ad(output.with_name("again.h5ad"))
    assert read_made_by(output.with_name("again.h5ad")) == MADE_BY
    assert [str(warning.message) for warning in recwarn] == []


def test_anndata_leaves_out_what_is_none_and_the_others_keep_it(tmp_path):
    made = write_shards(tmp_path / "out.shards")
    for suffix in OUTPUT_SUFFIXES:
        write_output(made.paths, tmp_path / f"out{suffix}", {"model": "m", "max_length": None})
        expected = {"model": "m"} if suffix == ".h5ad" else {"model": "m", "max_length": None}
        assert read_made_by(tmp_path / f"out{suffix}") == expected


def test_start_and_end_of_the_source_are_no_windows(tmp_path):
    def regions(first, count):
        ids = [f"r{first + i}" for i in range(count)]
        return pa.table(
            {"id": ids, "sequence": ["A"] * count, "window_start": list(range(count)), "window_end": ["x"] * count}
        )

    made = write_shards(tmp_path / "out.shards", source=regions)

    write_output(made.paths, tmp_path / "out.h5ad", MADE_BY)

    data = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert data.obs_names.tolist() == [f"r{i}" for i in range(13)]
    assert data.obs["window_end"].tolist() == ["x"] * 13


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "column",
    [
        pa.array([None, None], pa.null()),
        pa.array(["a", "b"]).dictionary_encode(),
        pa.array(["a", None], pa.large_string()),
        pa.array([1, 2**64 - 1], pa.uint64()),
        pa.array([0.5, None], pa.float32()),
        pa.array([True, None]),
        pa.array([b"\xff", None]),
        pa.array([[], [None, 1.5]]),
    ],
    ids=str,
)
def test_a_column_of_any_type_can_be_written_in_every_format(tmp_path, suffix, column):
    def typed(first, count):
        return pa.table({"id": [f"g{first + i}" for i in range(count)], "sequence": ["A"] * count, "odd": column})

    made = write_shards(tmp_path / "out.shards", source=typed, counts=(2, 2))

    write_output(made.paths, tmp_path / f"out{suffix}", MADE_BY)

    assert np.array_equal(vectors_in(tmp_path / f"out{suffix}"), made.vectors)
    if suffix == ".h5":
        with h5py.File(tmp_path / "out.h5") as file:
            kinds = {"null": "O", "dictionary": "O", "large_string": "O", "uint64": "u", "float": "f", "bool": "f"}
            kind = str(column.type).split("<")[0]
            assert file["odd"].dtype.kind == kinds.get(kind, "O")


@pytest.mark.parametrize("suffix", [".zarr", ".h5", ".h5ad"])
def test_a_number_that_float64_cannot_hold_is_not_rounded_among_missing_ones(tmp_path, suffix):
    def large(first, count):
        return pa.table({"id": ["a", "b"], "sequence": ["A"] * 2, "count": [2**53 + 1, None]})

    made = write_shards(tmp_path / "out.shards", source=large, counts=(2,))
    with pytest.raises(ValueError, match="'count' .*float64"):
        write_output(made.paths, tmp_path / f"out{suffix}", MADE_BY)

    assert list(tmp_path.iterdir()) == [tmp_path / "out.shards"]


@pytest.mark.parametrize("suffix", [".h5", ".h5ad"])
def test_a_nul_in_text_is_told_with_its_column(tmp_path, suffix):
    def nul(first, count):
        return pa.table({"id": ["a", "b"], "sequence": ["A"] * 2, "note": ["x\0y", ""]})

    made = write_shards(tmp_path / "out.shards", source=nul, counts=(2,))
    with pytest.raises(ValueError, match="'note' .*NUL"):
        write_output(made.paths, tmp_path / f"out{suffix}", MADE_BY)

    assert list(tmp_path.iterdir()) == [tmp_path / "out.shards"]


def test_progress_is_told_of_every_row(tmp_path):
    made = write_shards(tmp_path / "out.shards")
    told = []

    write_output(made.paths, tmp_path / "out.npy", MADE_BY, progress=told.append)

    assert sum(told) == 13 and len(told) > 3


def test_no_shards_are_no_output(tmp_path):
    with pytest.raises(ValueError, match="shards"):
        write_output([], tmp_path / "out.parquet", MADE_BY)

    assert list(tmp_path.iterdir()) == []


def test_a_shard_that_is_cut_off_or_absent_is_named(tmp_path):
    made = write_shards(tmp_path / "out.shards")
    made.paths[1].write_bytes(made.paths[1].read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"block-000001\.parquet "):
        write_output(made.paths, tmp_path / "out.parquet", MADE_BY)
    made.paths[1].unlink()
    with pytest.raises(ValueError, match=r"block-000001\.parquet "):
        write_output(made.paths, tmp_path / "out.parquet", MADE_BY)

    assert list(tmp_path.iterdir()) == [tmp_path / "out.shards"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_shard_that_was_damaged_within_is_named_and_the_old_output_stays(tmp_path, suffix):
    made = write_shards(tmp_path / "out.shards")
    output = tmp_path / f"out{suffix}"
    write_output(made.paths, output, MADE_BY)
    chunk = pq.read_metadata(made.paths[2]).row_group(1)
    column = [chunk.column(i) for i in range(chunk.num_columns)][-1]
    content = bytearray(made.paths[2].read_bytes())
    content[column.data_page_offset + column.total_compressed_size - 5] ^= 1
    made.paths[2].write_bytes(content)

    with pytest.raises(ValueError, match=r"block-000002\.parquet .*remove"):
        write_output(made.paths, output, {"model": "another"})

    assert np.array_equal(vectors_in(output), made.vectors)
    assert read_made_by(output) == MADE_BY
    assert sorted(output.with_name("out.shards").iterdir()) == made.paths


@pytest.mark.parametrize(
    "options", [{"hidden": 4}, {"output_dtype": "float16"}, {"per_token": True}, {"windows": True}], ids=str
)
def test_a_shard_of_another_run_is_named(tmp_path, options):
    made = write_shards(tmp_path / "out.shards")
    other = write_shards(tmp_path / "other", **options)

    with pytest.raises(ValueError, match="other/block-000001.parquet .*block-000000.parquet"):
        write_output([made.paths[0], other.paths[1]], tmp_path / "out.parquet", MADE_BY)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_output_that_is_there_is_replaced_with_all_its_files(tmp_path, suffix):
    output = tmp_path / f"out{suffix}"
    write_output(write_shards(tmp_path / "a", seed=1).paths, output, MADE_BY)
    made = write_shards(tmp_path / "b", counts=(2, 2), seed=2)

    write_output(made.paths, output, {"model": "second"})

    assert np.array_equal(vectors_in(output), made.vectors)
    assert read_made_by(output) == {"model": "second"}
    if suffix in (".npy", ".safetensors"):
        assert len(pd.read_csv(f"{output}.ids.tsv", sep="\t")) == 4
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "a", tmp_path / "b", *output_files(output)])
    assert sorted((tmp_path / "b").iterdir()) == made.paths


@contextmanager
def small_files(limit: int):
    """Files of this process may have so many bytes: the system's own refusal, as of a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:  # before pytest writes again: its output may be a larger file
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_full_disk_is_told_with_the_path_and_nothing_changes(tmp_path, monkeypatch, suffix, share):
    monkeypatch.undo()  # pieces of the size that they have
    output = tmp_path / f"out{suffix}"
    write_output(write_shards(tmp_path / "old").paths, output, MADE_BY)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    made = write_shards(tmp_path / "out.shards", counts=(900, 900), hidden=256)
    write_output(made.paths, tmp_path / f"whole{suffix}", MADE_BY)
    sizes = [path.stat().st_size for path in [tmp_path / f"whole{suffix}", *(tmp_path / f"whole{suffix}").rglob("*")]]

    with pytest.raises(ValueError, match=rf"out\{suffix} .*disk"):
        with small_files(int(share * max(sizes))):
            write_output(made.paths, output, {"model": "another"})

    assert {path: path.read_bytes() for path in before} == before
    assert sorted((tmp_path / "out.shards").iterdir()) == made.paths
    write_output(made.paths, output, {"model": "another"})
    assert read_made_by(output) == {"model": "another"}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(5, "Input/output error")], ids=repr)
def test_an_error_within_a_write_of_hdf5_comes_out_as_it_was(tmp_path, error):
    class Failing(io.FileIO):
        """Takes 20 kB."""

        def write(self, content):
            if self.tell() > 20_000:
                raise error
            return super().write(content)

    with Failing(tmp_path / "a.h5", "w+") as file:
        disk = outputs_hdf5._Disk(file)
        with h5py.File(disk, "w") as hdf5:
            for i in range(20):
                hdf5[f"a{i}"] = np.ones(1000)
        with pytest.raises(type(error)) as raised:
            disk.check()

    assert raised.value is error


@pytest.mark.parametrize("suffix", [".h5", ".h5ad"])
def test_hdf5_writes_the_whole_of_what_a_file_takes_in_parts(tmp_path, monkeypatch, suffix):
    class Slow(io.FileIO):
        def write(self, content):
            return super().write(memoryview(content)[:1000])

    made = write_shards(tmp_path / "out.shards", counts=(100, 100))
    monkeypatch.setattr(outputs_hdf5, "open", lambda path, mode, buffering: Slow(path, "w+"), raising=False)

    write_output(made.paths, tmp_path / f"out{suffix}", MADE_BY)

    assert np.array_equal(vectors_in(tmp_path / f"out{suffix}"), made.vectors)


STOP_AFTER_THE_FIRST_ROWS = """
import sys, time
from pathlib import Path
from dnahub.inference.outputs import write_output

def stop(num_rows):
    print("written", flush=True)
    time.sleep(600)

output, *shards = map(Path, sys.argv[1:])
write_output(shards, output, {"model": "new"}, progress=stop)
"""


@pytest.mark.parametrize(
    ("suffix", "number"),
    [(".npy", signal.SIGKILL), (".h5ad", signal.SIGKILL), (".npy", signal.SIGINT), (".h5", signal.SIGINT)],
)
def test_a_process_that_is_stopped_while_writing_leaves_the_old_output_and_no_other_file(
    tmp_path, environment, suffix, number
):
    output = tmp_path / f"out{suffix}"
    write_output(write_shards(tmp_path / "old").paths, output, MADE_BY)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    made = write_shards(tmp_path / "out.shards")
    process = forked.Forked(["-c", STOP_AFTER_THE_FIRST_ROWS, output, *made.paths], forked.REPOSITORY, environment)
    try:
        process.wait_until(lambda: process.stdout == "written\n")
        scratch = list((tmp_path / "out.shards").glob(f".*.part/out{suffix}"))
        process.send_signal(number)
        assert process.wait(60) != 0
    finally:
        process.kill()

    assert len(scratch) == 1
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "old", tmp_path / "out.shards", *output_files(output)])
    if number == signal.SIGINT:
        assert sorted((tmp_path / "out.shards").iterdir()) == made.paths
    write_output(made.paths, output, {"model": "newer"})
    assert read_made_by(output) == {"model": "newer"}


def test_the_table_of_ids_of_another_output_never_stands_beside_an_array(tmp_path, monkeypatch):
    output = tmp_path / "out.npy"
    write_output(write_shards(tmp_path / "old").paths, output, MADE_BY)
    made = write_shards(tmp_path / "out.shards", counts=(2,))
    replace, moved = os.replace, []

    def killed(source, target):
        moved.append(Path(target).name)
        replace(source, target)
        assert not output.exists() or len(moved) == 3
        if len(moved) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_output(made.paths, output, MADE_BY)
    assert not output.exists()

    moved.clear()
    monkeypatch.setattr(os, "replace", replace)
    write_output(made.paths, output, MADE_BY)
    assert len(np.load(output)) == 2


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("out", ".parquet, .npy"),
        ("out.csv", ".parquet, .npy"),
        ("out.parquet.gz", ".parquet, .npy"),
        ("absent/out.npy", "no folder"),
        ("file/out.npy", "no folder"),
        ("folder.parquet", "is a folder"),
        ("taken.npy", "taken.npy.ids.tsv is a folder"),
        ("folder.zarr", "Zarr group"),
        ("file.zarr", "Zarr group"),
    ],
)
def test_a_place_that_an_output_cannot_have_is_told_before_the_work(tmp_path, name, told):
    for folder in ("folder.parquet", "folder.zarr", "taken.npy.ids.tsv"):
        (tmp_path / folder).mkdir()
    for file in ("file", "file.zarr"):
        (tmp_path / file).write_text("precious")

    with pytest.raises(ValueError, match="^[^\n]+$") as raised:
        check_output(tmp_path / name, per_token=False, long_windows=False)

    assert told in str(raised.value) and str(tmp_path / name) in str(raised.value)
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.parametrize("suffix", OUTPUT_SUFFIXES)
def test_a_place_that_an_output_can_have_passes_and_is_left_as_it_was(tmp_path, suffix):
    check_output(tmp_path / f"out{suffix}", per_token=False, long_windows=True, columns=["id", "a b"])
    assert list(tmp_path.iterdir()) == []
    output = tmp_path / f"out{suffix}"
    write_output(write_shards(tmp_path / "shards").paths, output, MADE_BY)

    check_output(output, per_token=False, long_windows=False)

    assert read_made_by(output) == MADE_BY


def test_a_folder_that_takes_no_files_is_told_before_the_work(tmp_path, monkeypatch):
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o555)
    monkeypatch.chdir(folder)  # root may write everywhere, and another user not even look into tmp_path
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        with pytest.raises(ValueError, match=r"out\.npy .*Permission"):
            check_output(Path("out.npy"), per_token=False, long_windows=False)
    finally:
        os.seteuid(user)


@pytest.mark.parametrize(
    ("suffix", "package"), [(".zarr", "zarr"), (".h5", "h5py"), (".hdf5", "h5py"), (".h5ad", "anndata")]
)
def test_a_package_that_is_missing_is_named_with_the_file_that_installs_it(tmp_path, monkeypatch, suffix, package):
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(ValueError, match=f"{package}.*requirements-extra.txt"):
        check_output(tmp_path / f"out{suffix}", per_token=False, long_windows=False)


@pytest.mark.parametrize("suffix", [".parquet", ".npy", ".safetensors"])
def test_the_other_formats_need_no_package_beyond_requirements_txt(tmp_path, environment, suffix):
    made = write_shards(tmp_path / "out.shards")
    code = (
        "import sys\nfrom pathlib import Path\n"
        "for name in ('zarr', 'h5py', 'anndata'):\n    sys.modules[name] = None\n"
        "from dnahub.inference.outputs import check_output, read_made_by, write_output\n"
        "output, *shards = map(Path, sys.argv[1:])\n"
        "check_output(output, False, False)\nwrite_output(shards, output, {'a': 1})\n"
        "assert read_made_by(output) == {'a': 1}"
    )

    done = forked.run(["-c", code, tmp_path / f"out{suffix}", *made.paths], forked.REPOSITORY, environment)

    assert done.returncode == 0, done.stderr


def test_per_token_is_no_anndata(tmp_path):
    with pytest.raises(ValueError, match=r"out\.h5ad.*\.parquet, \.npy"):
        check_output(tmp_path / "out.h5ad", per_token=True, long_windows=False)
    with pytest.raises(ValueError, match="AnnData"):
        write_output(write_shards(tmp_path / "shards", per_token=True).paths, tmp_path / "out.h5ad", MADE_BY)


@pytest.mark.parametrize("name", ["a/b", "_index", "", ".", "..", "__x", "zarr.json", "a\\b", "a\0b"])
@pytest.mark.parametrize("suffix", [".zarr", ".h5", ".h5ad"])
def test_a_column_name_that_a_format_cannot_have_is_told_before_the_work(tmp_path, suffix, name):
    with pytest.raises(ValueError, match=re.escape(repr(name))):
        check_output(tmp_path / f"out{suffix}", False, False, ["id", name])
    check_output(tmp_path / "out.npy", False, False, ["id", name])


def test_a_column_that_the_output_adds_is_told_before_the_work(tmp_path):
    with pytest.raises(ValueError, match="'window_start'"):
        check_output(tmp_path / "out.npy", False, True, ["id", "window_start"])
    check_output(tmp_path / "out.npy", False, False, ["id", "window_start"])


def test_a_file_that_does_not_say_what_made_it_is_no_output(tmp_path):
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "a.parquet")
    (tmp_path / "a.npy").write_bytes(b"")
    zarr.create_group(tmp_path / "a.zarr")
    for name in ("a.h5", "a.h5ad"):
        h5py.File(tmp_path / name, "w").close()
    for name in ("a.parquet", "a.zarr", "a.h5", "a.h5ad"):
        with pytest.raises(ValueError, match=name):
            read_made_by(tmp_path / name)
