"""Parquet files of embeddings: every type of column that is read, and what is refused."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset

import embed
from dnahub.reports.embeddings import SPLITS, read_embeddings
from tests.tiny_models import write_checkpoint

LABELS = ["b", "a", "b", "a"]
VECTORS = np.arange(12, dtype=np.float32).reshape(4, 3)


def fixed(vectors=VECTORS, kind=np.float32) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.asarray(vectors, kind).ravel()), np.shape(vectors)[1])


@pytest.fixture
def write(tmp_path):
    """Write a file for each split, some columns of one of them replaced (None: left out); gives the files."""

    def write_files(changed: str = "test", **columns) -> dict[str, str]:
        files = {}
        for split in SPLITS:
            given = {"id": [f"{split} {i}" for i in range(4)], "embedding": fixed(), "label": LABELS}
            given |= columns if changed in (split, "all") else {}
            table = pa.table({name: values for name, values in given.items() if values is not None})
            files[f"{split}_embeddings"] = str(tmp_path / f"{split}.parquet")
            pq.write_table(table, files[f"{split}_embeddings"])
        return files

    return write_files


@pytest.mark.parametrize("vectors", [fixed(), fixed(kind=np.float16), VECTORS.tolist(), VECTORS.astype(int).tolist()])
def test_vectors_of_every_type_are_float32(write, vectors):
    data = read_embeddings(write("all", embedding=vectors), "label")
    for split in SPLITS:
        assert data.vectors[split].dtype == np.float32
        np.testing.assert_array_equal(data.vectors[split], VECTORS)
    assert data.name == "test.parquet" and "sequence" not in data.rows["test"].features


@pytest.mark.parametrize(
    ("labels", "names", "ids"),
    [(pa.array(LABELS).dictionary_encode(), ["a", "b"], [1, 0, 1, 0]), ([10, 9, 10, 9], ["9", "10"], [1, 0, 1, 0])],
)
def test_labels_of_any_column_are_encoded_as_for_training(write, labels, names, ids):
    data = read_embeddings(write("all", kind=labels, label=None), "kind")
    assert data.meaning.names == names
    assert data.labels["test"].tolist() == ids


def test_a_class_label_of_datasets_keeps_its_names(write):
    files = write()
    for file in files.values():
        rows = Dataset.from_dict({"id": [file] * 4, "embedding": VECTORS.tolist(), "label": [0, 1, 0, 1]})
        rows.cast_column("label", ClassLabel(names=["yeast", "fly"])).to_parquet(file)
    data = read_embeddings(files, "label")
    assert (data.meaning.names, data.labels["test"].tolist()) == (["yeast", "fly"], [0, 1, 0, 1])


def test_one_file_with_splits_and_sequences(tmp_path):
    columns = {"embedding": VECTORS[[0, 1, 2, 3] * 3].tolist(), "label": LABELS * 3, "sequence": list("ACGT") * 3}
    table = pa.table(columns | {"split": ["train", "test", "train", "test"] * 2 + ["validation"] * 4})
    table = table.set_column(1, "label", pa.array([*"bbaa", *"baab", *LABELS]))
    pq.write_table(table, tmp_path / "all.parquet")
    data = read_embeddings({"embeddings": str(tmp_path / "all.parquet")}, "label")
    np.testing.assert_array_equal(data.vectors["test"], VECTORS[[1, 3, 1, 3]])
    assert data.labels["test"].tolist() == [1, 0, 0, 1]
    assert data.rows["test"][:] == {"sequence": ["C", "T", "C", "T"], "label": [1, 0, 0, 1]}
    assert {split: len(rows) for split, rows in data.rows.items()} == {"train": 4, "validation": 4, "test": 4}
    pq.write_table(
        table.set_column(1, "label", pa.array([*"bba", None, *table["label"].to_pylist()[4:]])), tmp_path / "b"
    )
    with pytest.raises(ValueError, match="b, row 3: "):
        read_embeddings({"embeddings": str(tmp_path / "b")}, "label")


def test_splits_have_the_names_that_those_of_data_sets_have_and_all_others_are_named_in_an_error(tmp_path):
    def read(*splits):
        columns = {"embedding": fixed(VECTORS[[0, 1, 2, 3] * 2]), "label": LABELS * 2, "split": splits}
        pq.write_table(pa.table(columns), tmp_path / "all.parquet")
        return read_embeddings({"embeddings": str(tmp_path / "all.parquet")}, "label")

    for of_validation in ("dev", "Valid", "eval"):  # eval: next to test
        rows = read("train", "training", *["test"] * 3, *[of_validation] * 3).rows
        assert {split: len(each) for split, each in rows.items()} == {"train": 2, "validation": 3, "test": 3}
    with pytest.raises(ValueError, match="all.parquet.*'fold1', 'None'; allowed.*validation.*dev"):
        read("train", "train", "fold1", None, *["test"] * 4)


def test_the_column_gene_is_that_of_groups_if_all_files_have_it(write):
    data = read_embeddings(write("all", gene=["g", "g", "h", "h"]), "label")
    assert data.group_column == "gene" and data.groups["test"].to_pylist() == ["g", "g", "h", "h"]
    assert read_embeddings(write("test", gene=["g"] * 4), "label").group_column is None
    assert read_embeddings(write("all", gene=LABELS), "gene").group_column is None
    assert read_embeddings(write("all", gene=LABELS, kind=LABELS), "label", "kind").group_column == "kind"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"embedding": None}, "test.parquet.*'embedding'.*embed.py"),
        ({"label": None}, "test.parquet.*'label', only id, embedding; name one as --label_column"),
        (
            {"label": [0.5, 1.0, 0.5, 1.0]},
            "'label' is .*; name another --label_column, .* train.py with --task reg",
        ),
        ({"label": ["a", "b", None, "a"]}, "test.parquet, row 2"),
        ({"label": ["a", "c", "b", "c"]}, "test.parquet, row 1.*'c'"),
        ({"embedding": [[1.0], [1.0, 2.0], [1.0], [1.0, 2.0]]}, "test.parquet.*row 0.*one checkpoint"),
        ({"embedding": [[1.0, 2.0]] * 4}, r"test.parquet.*length 2.*3"),
        ({"embedding": [[[1.0]]] * 4}, "test.parquet.*--per_token"),
        ({"embedding": [None, *VECTORS.tolist()[1:]]}, "test.parquet.*row 0"),
        ({"embedding": fixed(np.where(VECTORS == 7, np.nan, VECTORS))}, "test.parquet.*row 2.*NaN"),
        ({"id": [], "embedding": fixed().slice(0, 0), "label": pa.array([], pa.string())}, "test.parquet.*no rows"),
    ],
)
def test_what_cannot_be_used_is_an_error_with_split_and_row(write, columns, message):
    with pytest.raises(ValueError, match=message):
        read_embeddings(write(**columns), "label")


def test_outputs_of_embed_py_are_read_and_must_share_their_settings(tmp_path):
    checkpoint = str(write_checkpoint(tmp_path / "checkpoint"))
    files = {f"{split}_embeddings": str(tmp_path / f"{split}.parquet") for split in SPLITS}
    flags = ["--model_name_or_path", checkpoint, "--input", str(tmp_path / "in.csv"), "--output"]
    for split, file in files.items():
        (tmp_path / "in.csv").write_text(f"id,sequence,label\n{split}1,ACGTAC,a\n{split}2,GGGTTT,b\n")
        embed.main([*flags, file])
    data = read_embeddings(files, "label")
    assert data.rows["test"]["label"][:] == [0, 1]
    embed.main([*flags, files["test_embeddings"], "--pooling", "max", "--overwrite"])
    with pytest.raises(ValueError, match="test.parquet.*pooling max.*mean"):
        read_embeddings(files, "label")


def test_a_file_that_is_not_parquet_or_not_there_is_an_error(tmp_path):
    (tmp_path / "all.csv").write_text("id,embedding")
    for name, message in (("all.csv", "not a complete Parquet file; .* embed.py"), ("no.parquet", "no such file; ")):
        with pytest.raises(ValueError, match=f"{name}: .*{message}"):
            read_embeddings({"embeddings": str(tmp_path / name)}, "label")


def test_rows_of_train_that_are_in_test_too_are_refused(write):
    files = write()  # of the same rows in all splits, with ids of their own
    with pytest.raises(ValueError, match="train.parquet, split test: 4 of its rows are in train, too"):
        read_embeddings(files | {"test_embeddings": files["train_embeddings"]}, "label")
