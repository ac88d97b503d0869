"""Nearest neighbours -> compared with scikit-learn's brute force; read in blocks; misused."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from dnahub.inference import neighbours
from dnahub.machine.script import outcome

HIDDEN = 16
MADE_BY = {"weights": "0f", "pooling": "mean", "layer": -1, "normalize": False, "reverse_complement": False}


def write(path, vectors: np.ndarray, made_by=MADE_BY, **columns):
    kind = pa.list_(pa.float32(), vectors.shape[1])
    embedding = pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float32).reshape(-1)), type=kind)
    names = [f"{path.stem}{i}" for i in range(len(vectors))]
    table = pa.table({"id": names, **columns, "embedding": embedding})
    pq.write_table(table.replace_schema_metadata({b"embedding": json.dumps(made_by).encode()}), path)
    return vectors


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK_ROWS", 7)
    monkeypatch.setattr(neighbours, "KNOWN_ROWS", 5)
    rng = np.random.default_rng(0)
    mine = write(tmp_path / "mine.parquet", rng.normal(size=(40, HIDDEN)))
    known = write(tmp_path / "known.parquet", rng.normal(size=(63, HIDDEN)), gene=[f"g{i % 9}" for i in range(63)])
    return mine, known


def run(tmp_path, *flags, known="known.parquet", output="out.tsv") -> tuple[int, str]:
    given = ["--input", tmp_path / "mine.parquet", "--known", tmp_path / known, "--output", tmp_path / output]
    return outcome(lambda: neighbours.main([*map(str, [*given, *flags])]))


@pytest.mark.parametrize("k", [1, 4, 100])
@pytest.mark.parametrize("output", ["out.tsv", "out.parquet"])
def test_the_nearest_are_those_of_brute_force(tmp_path, files, k, output):
    assert run(tmp_path, "--k", k, output=output) == (0, "")

    path = tmp_path / output
    table = pd.read_csv(path, sep="\t") if path.suffix == ".tsv" else pq.read_table(path).to_pandas()
    cosines = cosine_similarity(*files)
    order = np.argsort(-cosines, axis=1)[:, :k]
    assert table["id"].tolist() == [f"mine{i}" for i in range(40) for _ in order[0]]
    assert table["rank"].tolist() == [*range(1, len(order[0]) + 1)] * 40
    assert table["neighbour"].tolist() == [f"known{j}" for row in order for j in row]
    assert table["neighbour_gene"].tolist() == [f"g{j % 9}" for row in order for j in row]
    expected = np.take_along_axis(cosines, order, axis=1).reshape(-1)
    np.testing.assert_allclose(table["cosine"], expected, rtol=0, atol=1e-6)


def test_in_one_file_a_row_is_no_neighbour_of_itself_and_of_equal_ones_the_first_counts(tmp_path, files):
    mine, _ = files
    mine[30] = mine[29] = mine[3]
    write(tmp_path / "mine.parquet", mine)
    assert run(tmp_path, "--k", 2, known="mine.parquet") == (0, "")
    table = pd.read_csv(tmp_path / "out.tsv", sep="\t").set_index("id")
    assert table.loc["mine3", "neighbour"].tolist() == ["mine29", "mine30"]
    assert table.loc["mine29", "neighbour"].tolist() == ["mine3", "mine30"]
    assert (table.index != table["neighbour"]).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"made_by": MADE_BY | {"layer": 3}}, ["layer -1", "3"]),
        ({"vectors": np.ones((3, 8))}, ["length 16", "8"]),
        ({"vectors": np.zeros((3, HIDDEN))}, ["known.parquet, row 0", "no length"]),
        ({"vectors": np.full((3, HIDDEN), np.nan)}, ["row 0", "NaN"]),
    ],
)
def test_files_that_do_not_go_together_are_an_error(tmp_path, files, change, words):
    write(tmp_path / "known.parquet", **{"vectors": files[1], "made_by": MADE_BY} | change)
    status, message = run(tmp_path)
    assert status == 2 and all(word in message for word in words), message
    assert not (tmp_path / "out.tsv").exists()


@pytest.mark.parametrize(
    ("flags", "output", "words"),
    [
        (["--k", 0], "out.tsv", "--k 0"),
        ([], "out.npy", ".tsv .csv .parquet"),
        ([], "mine.parquet", "exists"),
        (["--overwrite"], "mine.parquet", "the input"),
        ([], "no/out.tsv", "no folder"),
    ],
)
def test_wrong_flags_are_an_error(tmp_path, files, flags, output, words):
    status, message = run(tmp_path, *flags, output=output)
    assert status == 2 and all(word in message for word in words.split()), message
