"""embed.py -> its output compared with the pipeline and with the card's recipe; interrupted, continued, misused."""

import errno
import fcntl
import gzip
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModel, AutoTokenizer
from transformers.utils.logging import enable_progress_bar

import embed
from dnahub.hub_code import DNAEmbeddingPipeline, NucleotideTransformerForMaskedLM
from dnahub.inference import blocks
from dnahub.inference.engine import Engine
from dnahub.inference.outputs import read_made_by
from dnahub.inference.shards_folder import ShardsFolder
from dnahub.sequences import SequenceReader, batching
from tests import forked
from tests.tiny_models import write_checkpoint

HIDDEN = 16
SMALL_BLOCK = 10  # records; of 48


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "checkpoint"
    return write_checkpoint(folder, NucleotideTransformerForMaskedLM, hidden_size=HIDDEN, num_hidden_layers=2)


@pytest.fixture(scope="module")
def records():
    rng = random.Random(0)
    lengths = [1, 700, 5, 6, 7, 60, 61, 2000, *(rng.randint(1, 300) for _ in range(40))]
    made = [("".join(rng.choices("ACGTN", weights=(9, 9, 9, 9, 1), k=nt))) for nt in lengths]
    made[3], made[5] = "acguac", "ACGTRYKM" * 8
    return [(f"gene{i % 45}.{i}", sequence) for i, sequence in enumerate(made)]


def write_fasta(path, records) -> str:
    text = "".join(f">{name} chromosome:1 of it\n{sequence}\n" for name, sequence in records)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return str(path)


@pytest.fixture
def run(capfd, checkpoint):
    """A function that runs embed.py in this process: status, output, errors."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def call(*arguments, model=checkpoint, backend="torch") -> tuple[int, str, str]:
        given = ["--model", model, "--device", "cpu", "--backend", backend, *arguments]
        capfd.readouterr()
        status = 0
        try:
            embed.main([*map(str, given)])
        except SystemExit as stop:
            status = stop.code
        return status, *capfd.readouterr()

    yield call
    enable_progress_bar()
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "MAX_SEQUENCES", SMALL_BLOCK)
    monkeypatch.setattr(batching, "BATCH_RECORDS", 4)  # what is read and checked at once


class Computed(list):
    stop_after: int | None = None
    error: BaseException = KeyboardInterrupt()


@pytest.fixture
def computed(monkeypatch) -> Computed:
    """How many rows each block had that was computed; after `stop_after` of them comes an interrupt, or `error`."""
    compute, rows = Engine.compute, Computed()

    def counting(self, plan, progress):
        if len(rows) == rows.stop_after:
            rows.stop_after = None
            raise rows.error
        result = compute(self, plan, progress)
        rows.append(len(result.sequence))
        return result

    monkeypatch.setattr(Engine, "compute", counting)
    return rows


def vectors_in(path) -> np.ndarray:
    return np.stack(pq.read_table(path)["embedding"].to_numpy())


@cache
def plain_classes(checkpoint):
    return AutoTokenizer.from_pretrained(checkpoint), AutoModel.from_pretrained(checkpoint)


@cache
def by_hand(checkpoint, sequence: str) -> np.ndarray:
    """The recipe of the model's card, for one sequence alone."""
    tokenizer, model = plain_classes(checkpoint)
    batch = tokenizer([sequence], return_tensors="pt")
    with torch.no_grad():
        hidden = model(**batch, output_hidden_states=True).hidden_states[-1]
    return hidden[0].mean(dim=0).numpy()


def shards_of(output: Path) -> dict[str, tuple[int, int]]:
    """What is finished: by name of the shard, which file it is and when it was written."""
    folder = output.with_name(output.name + ".shards")
    found = {path.name: path.stat() for path in folder.glob("block-*.parquet")}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in sorted(found.items())}


def sentence(err: str) -> str:
    """The one error there is."""
    assert "Traceback" not in err
    (found,) = [line for line in err.splitlines() if line.startswith("embed.py: ")]
    return found


def has_number(number: int, text: str) -> bool:
    return re.search(rf"(?<![\d.,]){number:,}(?![\d.,]*\d)", text) is not None


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["in.fa", "in.fa.gz", "ïn put.FASTA"])
def test_every_record_gets_the_vector_of_the_recipe_in_the_order_of_the_file(tmp_path, run, checkpoint, records, name):
    status, out, err = run(
        "--input", write_fasta(tmp_path / name, records), "--output", tmp_path / "out.parquet", backend="auto"
    )

    assert status == 0, err
    num_nt = sum(len(sequence) for _, sequence in records)
    assert f"{len(records)} sequences" in out and f"{num_nt:,} nt" in out
    assert has_number(32, out)  # letters read as N: 8 x RYKM
    assert "1 process" in out and out.endswith(f"{tmp_path}/out.parquet\n")
    assert "sequences/s" in err and "nt/s" in err
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["id"].to_pylist() == [name for name, _ in records]
    expected = np.stack([by_hand(checkpoint, sequence) for _, sequence in records])
    assert np.abs(vectors_in(tmp_path / "out.parquet") - expected).max() <= 1e-4
    assert np.abs(np.diff(expected, axis=0)).max(axis=1).min() > 1e-2  # a record's vector is not its neighbour's
    assert names_in(tmp_path) == sorted([name, "out.parquet"])


def test_the_vectors_are_those_of_the_pipeline_whatever_the_blocks(tmp_path, run, checkpoint, records, monkeypatch):
    fasta = write_fasta(tmp_path / "in.fa", records)
    run("--input", fasta, "--output", tmp_path / "one.parquet")
    monkeypatch.setattr(blocks, "MAX_SEQUENCES", 7)
    run("--input", fasta, "--output", tmp_path / "seven.parquet")
    monkeypatch.setattr(blocks, "MAX_NT", 100)
    run("--input", fasta, "--output", tmp_path / "few_nt.parquet")

    pipeline = DNAEmbeddingPipeline(AutoModel.from_pretrained(checkpoint), AutoTokenizer.from_pretrained(checkpoint))
    expected = np.stack(list(pipeline([sequence for _, sequence in records])))
    for name in ("one", "seven", "few_nt"):
        assert pq.read_table(tmp_path / f"{name}.parquet")["id"].to_pylist() == [name for name, _ in records]
        assert np.abs(vectors_in(tmp_path / f"{name}.parquet") - expected).max() <= 1e-5


def test_the_output_says_what_made_it_and_keeps_the_columns_of_the_source(tmp_path, run, checkpoint):
    rows = pa.table({"gene": ["a", "b"], "sequence": ["ACGT", "GGG"], "score": [0.5, None], "id": ["x", "y"]})
    pq.write_table(rows, tmp_path / "in.parquet")

    options = ["--pooling", "max", "--layer", 1, "--normalize", "--output_dtype", "float16"]
    status, _, err = run("--input", tmp_path / "in.parquet", "--output", tmp_path / "out.parquet", *options)

    assert status == 0, err
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["id", "gene", "score", "embedding"]
    assert table.select(["id", "gene", "score"]).to_pydict() == {
        **{"id": ["x", "y"], "gene": ["a", "b"], "score": [0.5, None]}
    }
    assert table.schema.field("embedding").type == pa.list_(pa.float16(), HIDDEN)
    pipeline = DNAEmbeddingPipeline(AutoModel.from_pretrained(checkpoint), AutoTokenizer.from_pretrained(checkpoint))
    expected = list(pipeline(["ACGT", "GGG"], pooling="max", layer=1, normalize=True))
    assert np.abs(np.stack(table["embedding"].to_numpy()).astype(np.float32) - np.stack(expected)).max() < 1e-3
    made_by = read_made_by(tmp_path / "out.parquet")
    assert (
        made_by.items()
        >= {
            **{"model": "checkpoint", "revision": None, "pooling": "max", "layer": 1, "normalize": True},
            **{
                "dtype": "float32",
                "output_dtype": "float16",
                "hidden_size": HIDDEN,
                "long": "mean",
                "backend": "torch",
            },
        }.items()
    )


def test_other_formats_are_made_of_the_same_vectors(tmp_path, run, records, small_blocks):
    fasta = write_fasta(tmp_path / "in.fa", records)
    run("--input", fasta, "--output", tmp_path / "out.parquet")

    status, _, err = run("--input", fasta, "--output", tmp_path / "out.npy")

    assert status == 0, err
    assert np.array_equal(np.load(tmp_path / "out.npy"), vectors_in(tmp_path / "out.parquet"))


def test_a_long_sequence_is_averaged_cut_into_rows_truncated_or_an_error(tmp_path, run, checkpoint, small_blocks):
    long = "".join(random.Random(2).choices("ACGT", k=150))
    fasta = write_fasta(tmp_path / "in.fa", [("short", "ACGTACGT"), ("long", long), ("other", "CCC")])

    def embedded(*options):
        output = tmp_path / "out.parquet"
        status, out, err = run("--input", fasta, "--output", output, "--max_length", 11, "--overwrite", *options)
        assert status == 0, err
        return pq.read_table(output), out

    pieces = [by_hand(checkpoint, long[start : start + 60]) for start in (0, 60, 120)]
    table, out = embedded("--stride_nt", 60)
    assert table["id"].to_pylist() == ["short", "long", "other"]
    expected = np.average(pieces, axis=0, weights=[11, 11, 6])
    assert np.abs(table["embedding"][1].as_py() - expected).max() <= 1e-5
    assert "5 windows" not in out

    table, out = embedded("--long", "windows", "--window_nt", 60, "--stride_nt", 60)
    assert table.select(["id", "window_start", "window_end"]).to_pydict() == {
        "id": ["short", "long", "long", "long", "other"],
        "window_start": [0, 0, 60, 120, 0],
        "window_end": [8, 60, 120, 150, 3],
    }
    assert np.abs(vectors_in(tmp_path / "out.parquet")[1:4] - pieces).max() <= 1e-5
    assert "3 sequences" in out and "5 windows" in out

    table, out = embedded("--long", "truncate")
    assert np.abs(table["embedding"][1].as_py() - pieces[0]).max() <= 1e-5
    assert re.search(r"truncated\D{0,3}1\b", out)

    arguments = ["--input", fasta, "--output", tmp_path / "new.parquet", "--max_length", 11, "--long", "error"]
    status, _, err = run(*arguments)
    assert status == 2 and f"{fasta}, record 2 (long)" in sentence(err)
    assert names_in(tmp_path) == ["in.fa", "out.parquet"]


def test_windows_have_columns_of_their_own_beside_those_of_regions(tmp_path, run):
    sequence = "".join(random.Random(2).choices("ACGT", k=150))
    regions, output = tmp_path / "regions.tsv", tmp_path / "out.parquet"
    regions.write_text(f"id\tstart\tend\tsequence\nx\t7\t157\t{sequence}\n")
    status, _, err = run("--input", regions, "--output", output, "--long", "windows", "--window_nt", 60)
    assert status == 0, err
    assert pq.read_table(output).drop_columns("embedding").to_pydict() == {
        **{"id": ["x"] * 4, "start": ["7"] * 4, "end": ["157"] * 4},
        **{"window_start": [0, 42, 84, 126], "window_end": [60, 102, 144, 150]},
    }


def test_per_token_gives_the_vectors_of_all_tokens(tmp_path, run, checkpoint, records, small_blocks):
    fasta = write_fasta(tmp_path / "in.fa", records)

    status, _, err = run("--input", fasta, "--output", tmp_path / "out.parquet", "--per_token")

    assert status == 0, err
    table = pq.read_table(tmp_path / "out.parquet")
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    for row, (name, sequence) in zip(table.to_pylist(), records, strict=True):
        assert row["id"] == name and len(row["embedding"]) == len(tokenizer(sequence).input_ids)
        assert np.abs(np.mean(row["embedding"], axis=0) - by_hand(checkpoint, sequence)).max() <= 1e-5


def test_per_token_has_no_mean_of_windows(tmp_path, run):
    fasta = write_fasta(tmp_path / "in.fa", [("a", "ACGT"), ("long", "ACGT" * 5000)])

    status, _, err = run("--input", fasta, "--output", tmp_path / "out.parquet", "--per_token")

    assert status == 2 and "record 2 (long)" in sentence(err)


@pytest.fixture
def standard_input(monkeypatch):
    """A function that puts a FASTA file of records into standard input."""

    def put(records) -> None:
        read, write = os.pipe()
        with os.fdopen(write, "w") as pipe:
            pipe.writelines(f">{name}\n{sequence}\n" for name, sequence in records)
        monkeypatch.setattr(sys, "stdin", os.fdopen(read))

    return put


def test_standard_input_is_read(tmp_path, run, standard_input, records):
    standard_input(records)

    status, _, err = run("--input", "-", "--output", tmp_path / "out.parquet")

    assert status == 0, err
    assert pq.read_table(tmp_path / "out.parquet")["id"].to_pylist() == [name for name, _ in records]


def test_an_existing_output_is_kept_unless_overwrite_is_given(tmp_path, run):
    fasta = write_fasta(tmp_path / "in.fa", [("a", "ACGT")])
    output = tmp_path / "out.parquet"
    output.write_bytes(b"precious")

    status, _, err = run("--input", fasta, "--output", output)
    assert status == 2 and str(output) in sentence(err) and "--overwrite" in sentence(err)
    assert output.read_bytes() == b"precious"

    assert run("--input", fasta, "--output", output, "--overwrite")[0] == 0
    assert pq.read_table(output)["id"].to_pylist() == ["a"]


def test_the_ids_beside_an_array_are_kept_too(tmp_path, run):
    fasta = write_fasta(tmp_path / "in.fa", [("a", "ACGT")])
    assert run("--input", fasta, "--output", tmp_path / "out.npy")[0] == 0
    (tmp_path / "out.npy").unlink()

    status, _, err = run("--input", fasta, "--output", tmp_path / "out.npy")

    assert status == 2 and f"{tmp_path}/out.npy.ids.tsv" in sentence(err)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"ACGT\n", "in.fa"),
        (b">a\nACGT\n>b\n>c\nACGT\n", "{fasta}, record 2 (b)"),
        (b">prot\nMKVLEF\n", "{fasta}, record 1 (prot)"),
        (gzip.compress(b">a\n" + b"ACGT" * 5000, mtime=0)[:40], ".gz"),
        (b">a\nACGT\n>a\nACC\n", "{fasta}, record 2 (a)"),
    ],
)
def test_bad_input_ends_with_status_2_one_sentence_and_no_file(tmp_path, run, content, told):
    fasta = tmp_path / ("in.fa.gz" if content.startswith(b"\x1f\x8b") else "in.fa")
    fasta.write_bytes(content)
    old = tmp_path / "old.parquet"
    old.write_bytes(b"precious")

    for output, flags in ((tmp_path / "new.parquet", []), (old, ["--overwrite"])):
        status, out, err = run("--input", fasta, "--output", output, *flags)
        assert status == 2
        assert told.format(fasta=fasta) in sentence(err) and str(fasta) in sentence(err)

    assert names_in(tmp_path) == sorted([fasta.name, "old.parquet"])
    assert old.read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--input", "absent.fa"], "absent.fa"),
        (["--input", "{tmp}"], "{tmp}"),
        (["--output", "{tmp}/absent/o.parquet"], "{tmp}/absent"),
        (["--output", "{tmp}/folder.parquet", "--overwrite"], "{tmp}/folder.parquet"),
        (["--output", "{tmp}/o.xlsx"], "{tmp}/o.xlsx"),
        (["--max_length", "1"], "max_length 1"),
        (["--max_length", "9999"], "max_length 9999"),
        (["--layer", "9"], "layer 9"),
        (["--device", "quantum"], "--device quantum"),
        (["--device", "cuda:7"], "--device cuda:7"),
        (["--batch_tokens", "0"], "--batch_tokens 0"),
        (["--window_nt", "0"], "--window_nt 0"),
        (["--stride_nt", "-6"], "--stride_nt -6"),
        (["--per_token", "--reverse_complement"], "--per_token --reverse_complement"),
        (["--per_token", "--pooling", "cls"], "--per_token --pooling cls"),
        (["--per_token", "--window_nt", "600"], "--window_nt --per_token"),
        (["--per_token", "--output", "{tmp}/o.h5ad"], "{tmp}/o.h5ad"),
        (["--long", "error", "--window_nt", "600"], "--window_nt --long error"),
        (["--long", "truncate", "--stride_nt", "600"], "--stride_nt --long truncate"),
        (["--window_nt", "60", "--stride_nt", "61"], "--stride_nt 61 --window_nt 60"),
        (["--revision", "main"], "revision main"),
    ],
)
@pytest.mark.filterwarnings("ignore:CUDA")
def test_arguments_that_cannot_be_met_end_with_status_2_and_one_sentence(tmp_path, run, arguments, told):
    (tmp_path / "folder.parquet").mkdir()
    given = ["--input", write_fasta(tmp_path / "in.fa", [("a", "ACGT")]), "--output", tmp_path / "o.parquet"]

    status, _, err = run(*given, *(argument.format(tmp=tmp_path) for argument in arguments))

    assert status == 2
    assert all(word in sentence(err) for word in told.format(tmp=tmp_path).split())
    assert names_in(tmp_path) == ["folder.parquet", "in.fa"]


def test_the_input_is_never_the_output(tmp_path, run):
    table = tmp_path / "in.parquet"
    pq.write_table(pa.table({"id": ["a"], "sequence": ["ACGT"]}), table)

    status, _, err = run("--input", table, "--output", table, "--overwrite")

    assert status == 2 and str(table) in sentence(err)
    assert pq.read_table(table).column_names == ["id", "sequence"]


def test_a_model_that_is_not_there_is_named(tmp_path, run):
    fasta = write_fasta(tmp_path / "in.fa", [("a", "ACGT")])

    status, _, err = run("--input", fasta, "--output", tmp_path / "o.parquet", model="runs/absent")

    assert status == 2
    assert "runs/absent" in sentence(err) and err.count("\n") == 1


def test_a_model_file_that_is_cut_off_is_one_sentence(tmp_path, run, checkpoint):
    fasta = write_fasta(tmp_path / "in.fa", [("a", "ACGT")])
    model = shutil.copytree(checkpoint, tmp_path / "cut")
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])

    status, _, err = run("--input", fasta, "--output", tmp_path / "o.parquet", model=model)

    assert status == 2 and str(model) in sentence(err) and "weights" in sentence(err)


@pytest.fixture
def interrupted(tmp_path, run, records, small_blocks, computed):
    """The arguments of a run that was interrupted after 2 of 5 blocks, and its shards."""
    arguments = ["--input", write_fasta(tmp_path / "in.fa", records), "--output", tmp_path / "out.parquet"]
    computed.stop_after = 2
    status, _, err = run(*arguments)
    assert status == 130, err
    assert "2 finished blocks" in sentence(err) and f"{tmp_path}/out.parquet.shards" in sentence(err)
    computed.clear()
    return arguments, shards_of(tmp_path / "out.parquet")


@pytest.fixture(scope="module")
def expected(checkpoint, records) -> np.ndarray:
    """What the pipeline makes of all records."""
    pipeline = DNAEmbeddingPipeline(AutoModel.from_pretrained(checkpoint), AutoTokenizer.from_pretrained(checkpoint))
    return np.stack(list(pipeline([sequence for _, sequence in records])))


def test_the_same_command_computes_only_what_is_missing(tmp_path, run, records, interrupted, computed, expected):
    arguments, shards = interrupted
    assert list(shards) == ["block-000000.parquet", "block-000001.parquet"]
    computed.stop_after = 2
    status, _, err = run(*arguments, "--batch_tokens", 4096)  # which does not decide of the vectors
    assert status == 130 and "4 finished blocks" in sentence(err)
    assert shards_of(tmp_path / "out.parquet").items() > shards.items()

    status, out, err = run(*arguments)

    assert status == 0, err
    assert computed == [10, 10, 8]
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["id"].to_pylist() == [name for name, _ in records]
    assert np.abs(vectors_in(tmp_path / "out.parquet") - expected).max() <= 1e-5
    assert "48 sequences" in out and f"{sum(len(sequence) for _, sequence in records):,} nt" in out
    assert has_number(32, out) and "4 of 5 blocks" in out
    assert names_in(tmp_path) == ["in.fa", "out.parquet"]


def test_an_interrupted_overwrite_goes_on_too(tmp_path, run, records, small_blocks, computed, expected):
    output = tmp_path / "out.parquet"
    output.write_bytes(b"precious")
    arguments = ["--input", write_fasta(tmp_path / "in.fa", records), "--output", output, "--overwrite"]
    computed.stop_after = 3
    assert run(*arguments)[0] == 130
    assert output.read_bytes() == b"precious"

    assert run(*arguments)[0] == 0

    assert computed == [10, 10, 10, 10, 8]
    assert np.abs(vectors_in(output) - expected).max() <= 1e-5


def test_what_a_kill_left_half_done_is_made_again(tmp_path, run, interrupted, computed, expected):
    arguments, _ = interrupted
    folder = tmp_path / "out.parquet.shards"
    shard = folder / "block-000001.parquet"
    shard.write_bytes(shard.read_bytes()[:-100])
    (folder / ".block-000002.parquet.0f.part").write_bytes(b"cut off")
    (folder / ".xyz.part").mkdir()
    (folder / ".xyz.part" / "out.parquet").write_bytes(b"cut off")
    (folder / "ids.sqlite").write_bytes(b"cut off")

    status, _, err = run(*arguments)

    assert status == 0, err
    assert computed == [10, 10, 10, 8]
    assert np.abs(vectors_in(tmp_path / "out.parquet") - expected).max() <= 1e-5
    assert names_in(tmp_path) == ["in.fa", "out.parquet"]


def test_a_block_that_another_version_made_is_made_again(tmp_path, run, interrupted, computed):
    arguments, _ = interrupted
    shard = tmp_path / "out.parquet.shards" / "block-000001.parquet"
    table = pq.read_table(shard)
    facts = json.loads(table.schema.metadata[b"block"])
    counts = {"letters": 1}
    for other in (facts | {"new": 1}, facts | {"counts": counts}, {name: facts[name] for name in ("block", "digest")}):
        metadata = table.schema.metadata | {b"block": json.dumps(other).encode()}
        pq.write_table(table.replace_schema_metadata(metadata), shard)
        assert ShardsFolder(tmp_path / "out.parquet").facts(1) is None

    status, _, err = run(*arguments)

    assert status == 0, err
    assert computed == [10, 10, 10, 8]


@pytest.mark.parametrize("suffix", [".parquet", ".npy", ".h5", ".zarr"])
def test_a_folder_that_a_kill_after_the_last_step_left_over_is_told(tmp_path, run, records, monkeypatch, suffix):
    output = tmp_path / f"out{suffix}"
    arguments = ["--input", write_fasta(tmp_path / "in.fa", records), "--output", output]

    def killed(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ShardsFolder, "remove", killed)
        assert run(*arguments)[0] == 130

    status, _, err = run(*arguments)

    assert status == 2
    assert f"{output} " in sentence(err) and f"{output}.shards" in sentence(err)


def test_finished_blocks_of_an_interrupted_overwrite_are_not_called_left_over(tmp_path, run, interrupted):
    arguments, shards = interrupted
    output = tmp_path / "out.parquet"
    output.write_bytes(b"precious")
    os.utime(output, (1, 1))

    status, _, err = run(*arguments)

    assert status == 2 and f"{output} " in sentence(err) and f"{output}.shards" not in sentence(err)
    assert shards_of(output) == shards


def test_blocks_that_one_format_cannot_take_serve_another_after_a_renaming(tmp_path, run, computed):
    pq.write_table(pa.table({"id": ["a"], "sequence": ["ACGT"], "note": ["x\0y"]}), tmp_path / "in.parquet")
    arguments = ["--input", tmp_path / "in.parquet", "--output"]

    status, _, err = run(*arguments, tmp_path / "out.h5")

    assert status == 2 and "NUL" in sentence(err) and "'note'" in sentence(err)
    assert f"rename {tmp_path}/out.h5.shards" in sentence(err)
    computed.clear()
    (tmp_path / "out.h5.shards").rename(tmp_path / "other.parquet.shards")
    status, _, err = run(*arguments, tmp_path / "other.parquet")
    assert status == 0, err
    assert computed == []
    assert pq.read_table(tmp_path / "other.parquet")["note"].to_pylist() == ["x\0y"]


@pytest.mark.parametrize("options", [["--max_length", 6], ["--max_length", 6, "--long", "windows"]])
def test_blocks_are_smaller_where_a_sequence_has_many_windows(tmp_path, run, records, computed, monkeypatch, options):
    monkeypatch.setattr(blocks, "MAX_VECTORS", 100)

    status, _, err = run(
        "--input", write_fasta(tmp_path / "in.fa", records), "--output", tmp_path / "out.parquet", *options
    )

    assert status == 0, err
    assert len(computed) > 4  # of 10,000 nt, whose 500 windows would else be one block


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--pooling", "max"], "pooling mean max"),
        (["--layer", "1"], "layer -1 1"),
        (["--normalize"], "normalize False True"),
        (["--reverse_complement"], "reverse_complement False True"),
        (["--max_length", "100"], "max_length None 100"),
        (["--long", "truncate"], "long mean truncate"),
        (["--window_nt", "600"], "window_nt None 600"),
        (["--stride_nt", "600"], "stride_nt None 600"),
        (["--per_token"], "pooling mean none"),
        (["--dtype", "bfloat16"], "dtype float32 bfloat16"),
        (["--output_dtype", "float16"], "output_dtype float32 float16"),
    ],
)
def test_other_settings_do_not_go_on_with_the_shards(tmp_path, run, interrupted, options, told):
    arguments, shards = interrupted

    status, _, err = run(*arguments, *options)

    assert status == 2
    assert all(word in sentence(err) for word in [*told.split(), "--overwrite"])
    assert shards_of(tmp_path / "out.parquet") == shards


def test_overwrite_starts_anew_with_other_settings(tmp_path, run, interrupted, computed):
    arguments, _ = interrupted

    status, _, err = run(*arguments, "--normalize", "--overwrite")

    assert status == 0, err
    assert computed == [10, 10, 10, 10, 8]
    assert np.linalg.norm(vectors_in(tmp_path / "out.parquet"), axis=1) == pytest.approx(1)


def test_another_model_of_the_same_name_does_not_go_on_with_the_shards(
    tmp_path, run, checkpoint, records, small_blocks, computed
):
    model = shutil.copytree(checkpoint, tmp_path / "model")
    arguments = ["--input", write_fasta(tmp_path / "in.fa", records), "--output", tmp_path / "out.parquet"]
    computed.stop_after = 1
    assert run(*arguments, model=model)[0] == 130
    (model / "README.md").write_text("a card is no weight")
    os.utime(model / "model.safetensors", (1, 1))
    computed.clear()
    computed.stop_after = 1
    status, _, err = run(*arguments, model=model)
    assert status == 130 and "2 finished blocks" in sentence(err)
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")

    status, _, err = run(*arguments, model=model)

    assert status == 2 and "weights" in sentence(err) and "--overwrite" in sentence(err)


def test_shards_whose_settings_are_lost_are_not_gone_on_with(tmp_path, run, interrupted):
    arguments, shards = interrupted
    record = tmp_path / "out.parquet.shards" / "run.json"
    assert json.loads(record.read_text())["pooling"] == "mean"
    record.write_text("{")

    status, _, err = run(*arguments)

    assert status == 2 and "run.json" in sentence(err)
    assert shards_of(tmp_path / "out.parquet") == shards


def test_a_folder_that_holds_other_things_is_left_alone(tmp_path, run):
    fasta = write_fasta(tmp_path / "in.fa", [("a", "ACGT")])
    folder = tmp_path / "out.parquet.shards"
    folder.mkdir()
    (folder / "thesis.tex").write_text("precious")

    status, _, err = run("--input", fasta, "--output", tmp_path / "out.parquet", "--overwrite")

    assert status == 2 and "thesis.tex" in sentence(err)
    assert names_in(folder) == ["thesis.tex"]
    shutil.rmtree(folder)
    folder.write_text("precious")
    status, _, err = run("--input", fasta, "--output", tmp_path / "out.parquet", "--overwrite")
    assert status == 2 and str(folder) in sentence(err) and folder.read_text() == "precious"


def test_two_runs_do_not_write_to_one_output(tmp_path, run, interrupted):
    arguments, shards = interrupted
    with open(tmp_path / "out.parquet.shards" / "lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status, _, err = run(*arguments)

    assert status == 2 and "another" in sentence(err) and f"{tmp_path}/out.parquet.shards" in sentence(err)
    assert shards_of(tmp_path / "out.parquet") == shards
    assert run(*arguments)[0] == 0


def test_a_file_system_without_locks_will_do(tmp_path, run, records, monkeypatch):
    def no_locks(file, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)

    status, _, err = run("--input", write_fasta(tmp_path / "in.fa", records), "--output", tmp_path / "out.parquet")

    assert status == 0, err


@pytest.mark.parametrize(("fault", "told"), [("", "no sequence"), ("ACGT!", "'!'")], ids=["empty", "letter"])
@pytest.mark.parametrize("mended", ["ACGTACGTACGT", None])
def test_after_the_mending_blocks_before_the_fault_are_not_computed_again(
    tmp_path, run, records, small_blocks, computed, fault, told, mended
):
    bad = [(name, fault if i == 33 else sequence) for i, (name, sequence) in enumerate(records)]
    arguments = ["--input", write_fasta(tmp_path / "in.fa", bad), "--output", tmp_path / "out.parquet"]

    status, _, err = run(*arguments)

    assert status == 2
    assert f"{tmp_path}/in.fa, record 34 (gene33.33)" in sentence(err) and told in sentence(err)
    assert "3 finished blocks" in sentence(err)
    shards = shards_of(tmp_path / "out.parquet")
    assert len(shards) == 3
    computed.clear()
    good = [(name, mended if i == 33 else sequence) for i, (name, sequence) in enumerate(records)]
    good = [(name, sequence) for name, sequence in good if sequence]
    write_fasta(tmp_path / "in.fa", good)

    status, _, err = run(*arguments)

    assert status == 0, err
    assert computed == [10, len(good) - 40]
    write_fasta(tmp_path / "in.fa", good)
    assert run("--input", tmp_path / "in.fa", "--output", tmp_path / "clean.parquet")[0] == 0
    assert pq.read_table(tmp_path / "out.parquet")["id"].to_pylist() == [name for name, _ in good]
    assert np.abs(vectors_in(tmp_path / "out.parquet") - vectors_in(tmp_path / "clean.parquet")).max() <= 1e-5


def test_blocks_behind_a_fault_that_another_process_had_finished_are_made_anew_where_they_differ(
    tmp_path, run, records, interrupted, computed
):
    arguments, _ = interrupted
    folder = tmp_path / "out.parquet.shards"
    (folder / "fault-1").touch()
    write_fasta(tmp_path / "in.fa", records[:10] + records[11:])  # what follows moves up by one

    status, _, err = run(*arguments)

    assert status == 0, err
    assert computed == [10, 10, 10, 7]
    ids = [name for name, _ in records[:10] + records[11:]]
    assert pq.read_table(tmp_path / "out.parquet")["id"].to_pylist() == ids


@pytest.mark.parametrize("change", ["sequence", "id", "description", "shorter", "removed"])
def test_another_input_does_not_go_on_with_the_shards_and_overwrite_replaces_what_differs(
    tmp_path, run, records, interrupted, computed, change
):
    arguments, shards = interrupted
    changed = list(records)
    if change == "sequence":
        changed[15] = (changed[15][0], "ACG")
    elif change == "id":
        changed[15] = ("other", changed[15][1])
    elif change == "removed":
        del changed[15]
    elif change == "shorter":
        changed = changed[:10]
    write_fasta(tmp_path / "in.fa", changed)
    if change == "description":
        text = (tmp_path / "in.fa").read_text()
        place = text.index(changed[15][0])
        (tmp_path / "in.fa").write_text(text[:place] + text[place:].replace("of it", "of them", 1))

    status, _, err = run(*arguments)

    assert status == 2
    assert f"{tmp_path}/out.parquet.shards" in sentence(err) and "--overwrite" in sentence(err)
    assert shards_of(tmp_path / "out.parquet") == shards

    assert run(*arguments, "--overwrite")[0] == 0

    assert computed == {"shorter": [], "removed": [10, 10, 10, 7]}.get(change, [10, 10, 10, 8])
    assert pq.read_table(tmp_path / "out.parquet")["id"].to_pylist() == [name for name, _ in changed]


def test_a_file_that_grows_while_it_is_read_is_told_and_its_blocks_are_of_use(
    tmp_path, run, records, small_blocks, computed, monkeypatch
):
    fasta = Path(write_fasta(tmp_path / "in.fa", records[:25]))
    check_unchanged = SequenceReader.check_unchanged

    def grown(self):  # at the end of the reading
        if "gene30" not in fasta.read_text():
            write_fasta(fasta, records)
        check_unchanged(self)

    monkeypatch.setattr(SequenceReader, "check_unchanged", grown)
    arguments = ["--input", fasta, "--output", tmp_path / "out.parquet"]

    status, _, err = run(*arguments)

    assert status == 2 and str(fasta) in sentence(err) and "changed" in sentence(err)
    assert "3 finished blocks" in sentence(err)
    assert not (tmp_path / "out.parquet").exists()
    computed.clear()
    status, out, err = run(*arguments)
    assert status == 0, err
    assert computed == [10, 10, 8]  # the third was of 5 records
    assert "2 of 5 blocks" in out
    assert pq.read_table(tmp_path / "out.parquet")["id"].to_pylist() == [name for name, _ in records]


@pytest.mark.parametrize("later", [3, 30])
def test_an_id_that_stands_twice_names_both_records(tmp_path, run, records, small_blocks, later):
    twice = [("gene2.2" if i == later else name, sequence) for i, (name, sequence) in enumerate(records)]
    one = write_fasta(tmp_path / "one.fa", twice[:2])
    two = write_fasta(tmp_path / "two.fa", twice[2:])
    arguments = ["--input", one, two, "--output", tmp_path / "out.parquet"]

    status, _, err = run(*arguments)

    assert status == 2
    for told in (f"{two}, record {later - 1} (gene2.2)", f"{two}, record 1 (gene2.2)", "--allow_duplicate_ids"):
        assert told in sentence(err)
    status, _, err = run(*arguments, "--allow_duplicate_ids")
    assert status == 0, err
    assert pq.read_table(tmp_path / "out.parquet")["id"].to_pylist() == [name for name, _ in twice]


def test_an_id_that_stands_twice_in_standard_input_is_told_too(tmp_path, run, records, small_blocks, standard_input):
    standard_input(("gene2.2" if i == 30 else name, sequence) for i, (name, sequence) in enumerate(records))

    status, _, err = run("--input", "-", "--output", tmp_path / "out.parquet")

    assert status == 2
    assert "record 31 (gene2.2)" in sentence(err) and "record 3 " in sentence(err)


def test_a_full_disk_is_one_sentence_and_what_was_finished_stays(tmp_path, run, monkeypatch):
    monkeypatch.setattr(blocks, "MAX_NT", 6000)
    rng = random.Random(4)
    lengths = [6000, *[6] * 1000]  # a block of one row, and one of a thousand
    many = [(f"r{i}", "".join(rng.choices("ACGT", k=nt))) for i, nt in enumerate(lengths)]
    arguments = ["--input", write_fasta(tmp_path / "in.fa", many), "--output", tmp_path / "out.parquet"]
    arguments += ["--allow_duplicate_ids"]  # of which no list is written
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        status, _, err = run(*arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert status == 2, err
    assert "block-000001.parquet" in sentence(err) and "disk" in sentence(err)
    assert list(shards_of(tmp_path / "out.parquet")) == ["block-000000.parquet"]
    assert run(*arguments)[0] == 0
    assert pq.read_table(tmp_path / "out.parquet")["id"].to_pylist() == [name for name, _ in many]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_quota_is_told_with_its_file(tmp_path, run, records, small_blocks, computed, number):
    arguments = ["--input", write_fasta(tmp_path / "in.fa", records), "--output", tmp_path / "out.parquet"]
    computed.stop_after, computed.error = 1, OSError(number, os.strerror(number), "somewhere")

    status, _, err = run(*arguments)

    assert status == 2 and os.strerror(number) in sentence(err)
    assert len(shards_of(tmp_path / "out.parquet")) == 1


def test_a_batch_that_does_not_fit_into_memory_says_what_to_do(tmp_path, run, records, small_blocks, computed):
    arguments = ["--input", write_fasta(tmp_path / "in.fa", records), "--output", tmp_path / "out.parquet"]
    computed.stop_after, computed.error = 1, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    status, _, err = run(*arguments)

    assert status == 2 and "memory" in sentence(err) and "--batch_tokens" in sentence(err)
    assert len(shards_of(tmp_path / "out.parquet")) == 1


# Runs in processes of their own read standard input, which a test holds back: so a run is in the middle for as long as
# the test wants.


NUM_STREAMED = 5 * blocks.MAX_SEQUENCES // 2


@pytest.fixture(scope="module")
def stream() -> bytes:
    """More than two blocks of tiny records."""
    rng = random.Random(5)
    kmers = ["".join(rng.choices("ACGT", k=rng.randint(1, 12))) for _ in range(500)]
    return "".join(f">r{i}\n{kmers[i % 500]}\n" for i in range(NUM_STREAMED)).encode()


@pytest.fixture
def start(checkpoint, environment, stream):
    """A function that starts a run, which takes all of the stream and waits for more."""
    processes = []

    def call(output: Path, *options) -> forked.Forked:
        command = ["embed.py", "--model", checkpoint, "--input", "-", "--output", output, *options]
        process = forked.Forked(command, forked.REPOSITORY, environment, stdin=True)
        processes.append(process)
        process.stdin.write(stream)
        process.stdin.flush()
        return process

    yield call
    for process in processes:
        process.kill()
        process.stdin.close()


def test_a_run_that_is_killed_goes_on_with_the_same_command(tmp_path, start, stream, checkpoint):
    output = tmp_path / "out.parquet"
    process = start(output)
    process.wait_until(lambda: len(shards_of(output)) == 2)
    process.kill()
    process.wait()
    assert not output.exists()

    again = start(output)
    again.stdin.close()

    assert again.wait() == 0, again.stderr
    # Each shard says in which run it was computed.
    assert "2 of 3 blocks" in again.stdout
    assert pq.read_table(output)["id"].to_pylist() == [f"r{i}" for i in range(NUM_STREAMED)]
    pipeline = DNAEmbeddingPipeline(AutoModel.from_pretrained(checkpoint), AutoTokenizer.from_pretrained(checkpoint))
    expected = pipeline.encode(stream.decode().split()[1::2])
    assert np.abs(vectors_in(output) - expected).max() <= 1e-5


@pytest.mark.parametrize(("number", "by"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_a_signal_ends_it_though_it_waits_for_input_and_the_finished_blocks_stay(tmp_path, start, number, by):
    output = tmp_path / "out.parquet"
    output.write_bytes(b"precious")
    process = start(output, "--overwrite")
    process.wait_until(lambda: len(shards_of(output)) == 2)

    process.send_signal(number)

    assert process.wait(60) == 128 + number
    assert by in sentence(process.stderr) and "2 finished blocks" in sentence(process.stderr)
    assert names_in(tmp_path) == ["out.parquet", "out.parquet.shards"]
    assert len(shards_of(output)) == 2
    assert output.read_bytes() == b"precious"
