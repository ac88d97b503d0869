"""embed.py -> its output, compared with the model's plain forward pass; interrupted, continued, misused."""

import gzip
import json
import os
import random
import re
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModel, AutoTokenizer
from transformers.utils.logging import enable_progress_bar

import embed
from dnahub.hub_code import NucleotideTransformerForMaskedLM
from dnahub.hub_code.pipeline_dna_embedding import LONG, POOLINGS
from dnahub.inference import blocks
from dnahub.inference.arguments import CuttingArguments, EmbedArguments
from dnahub.inference.engine import Engine
from dnahub.machine.script import outcome
from dnahub.sequences import batching
from dnahub.sequences.reader import SequenceReader
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
    """A function that runs embed.py in this process: status, output, and the error sentence."""

    def call(*arguments, model=checkpoint, backend="torch") -> tuple[int, str, str]:
        given = ["--model_name_or_path", model, "--device", "cpu", "--backend", backend, *arguments]
        capfd.readouterr()
        status, message = outcome(lambda: embed.main([*map(str, given)]))
        return status, capfd.readouterr().out, message

    yield call
    enable_progress_bar()


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "MAX_SEQUENCES", SMALL_BLOCK)
    monkeypatch.setattr(batching, "BATCH_RECORDS", 4)  # read and checked at once


class Computed(list):
    stop_after: int | None = None


@pytest.fixture
def computed(monkeypatch) -> Computed:
    """The number of rows of each block that was computed; after `stop_after` of them comes an interrupt."""
    compute, rows = Engine.compute, Computed()

    def counting(self, plan, progress):
        if len(rows) == rows.stop_after:
            rows.stop_after = None
            raise KeyboardInterrupt
        result = compute(self, plan, progress)
        rows.append(len(result.sequence))
        return result

    monkeypatch.setattr(Engine, "compute", counting)
    return rows


def vectors_in(path) -> np.ndarray:
    return np.stack(pq.read_table(path)["embedding"].to_numpy())


def ids_in(path) -> list[str]:
    return pq.read_table(path)["id"].to_pylist()


@cache
def plain_classes(checkpoint):
    return AutoTokenizer.from_pretrained(checkpoint), AutoModel.from_pretrained(checkpoint)


@cache
def by_hand(checkpoint, sequence: str, layer: int = -1) -> np.ndarray:
    """(tokens, hidden): the recipe of the model's card, for one sequence alone."""
    tokenizer, model = plain_classes(checkpoint)
    with torch.no_grad():
        hidden = model(**tokenizer([sequence], return_tensors="pt"), output_hidden_states=True).hidden_states
    return hidden[layer][0].numpy()


@pytest.fixture(scope="module")
def expected(checkpoint, records) -> np.ndarray:
    return np.stack([by_hand(checkpoint, sequence).mean(axis=0) for _, sequence in records])


def parts_of(output: Path) -> dict[str, tuple[int, int]]:
    """Finished parts: by name, the file and when it was written."""
    found = {path.name: path.stat() for path in output.with_name(output.name + ".parts").glob("part-*.parquet")}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in sorted(found.items())}


def num_parts(out: str) -> tuple[int, int, int]:
    """All, computed now, reused."""
    return tuple(map(int, re.search(r"^parts: (\d+)\D+(\d+)\D+(\d+)$", out, re.MULTILINE).groups()))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("name", "backend"), [("in.fa", "torch"), ("in.fa.gz", "auto"), ("ïn put.FASTA", "fused")])
def test_each_record_has_the_vector_of_a_plain_forward_pass_in_the_order_of_the_file(
    tmp_path, run, records, expected, monkeypatch, name, backend
):
    fasta = write_fasta(tmp_path / name, records)
    status, out, error = run("--input", fasta, "--output", tmp_path / "out.parquet", backend=backend)

    assert status == 0, error
    sizes, odd, *_, path = out.splitlines()
    assert sizes.startswith(f"{len(records)} sequences, {sum(len(sequence) for _, sequence in records):,} nt, ")
    assert odd.startswith("letters read as N: 32, truncated: 0,")  # 8 x RYKM
    assert path == str(tmp_path / "out.parquet") and num_parts(out) == (1, 1, 0)
    assert ids_in(tmp_path / "out.parquet") == [name for name, _ in records]
    assert np.abs(vectors_in(tmp_path / "out.parquet") - expected).max() <= 1e-4
    assert np.abs(np.diff(expected, axis=0)).max(axis=1).min() > 1e-2  # a vector is not that of its neighbour
    assert names_in(tmp_path) == sorted([name, "out.parquet"])

    monkeypatch.setattr(blocks, "MAX_NT", 100)  # of a block
    assert run("--input", fasta, "--output", tmp_path / "small.npy", backend=backend)[0] == 0
    assert np.abs(np.load(tmp_path / "small.npy") - expected).max() <= 1e-4


def test_settings_decide_the_vectors_and_are_recorded_and_columns_of_the_source_are_kept(tmp_path, run, checkpoint):
    rows = pa.table({"gene": ["a", "b"], "sequence": ["ACGT", "GGG"], "score": [0.5, None], "id": ["x", "y"]})
    pq.write_table(rows, tmp_path / "in.parquet")
    names = [tmp_path / f"{name}\udce9.parquet" for name in ("in", "out")]  # with a byte that is not UTF-8
    (tmp_path / "in.parquet").rename(names[0])

    options = ["--pooling", "max", "--layer", 1, "--normalize", "--output_dtype", "float16"]
    status, _, error = run("--input", names[0], "--output", names[1], *options)

    assert status == 0, error
    names[1].rename(tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.drop_columns("embedding").equals(rows.select(["id", "gene", "score"]))
    vectors = [by_hand(checkpoint, sequence, layer=1).max(axis=0) for sequence in ("ACGT", "GGG")]
    vectors = np.stack([vector / np.linalg.norm(vector) for vector in vectors])
    assert np.abs(vectors_in(tmp_path / "out.parquet").astype(np.float32) - vectors).max() < 1e-3
    made_by = json.loads(table.schema.metadata[b"embedding"])
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
    assert len(made_by["weights"]) == 16


def test_a_data_set_on_the_hub_is_recorded_with_its_commit(tmp_path, run, hub):
    api = hub.api(hub.user)
    api.create_repo("user/genes", repo_type="dataset")
    pq.write_table(pa.table({"sequence": ["ACGT", "GGG"]}), tmp_path / "train.parquet")
    file = {"path_or_fileobj": tmp_path / "train.parquet", "path_in_repo": "train.parquet"}
    commit = api.upload_file(**file, repo_id="user/genes", repo_type="dataset").oid

    status, _, error = run("--dataset_name", "user/genes", "--output", tmp_path / "o.npy")

    assert status == 0, error
    made_by = json.loads((tmp_path / "o.npy.json").read_text())
    made_from = [made_by[f"dataset_{name}"] for name in ("name", "config_name", "split", "revision")]
    assert made_from == ["user/genes", "default", "train", commit]


def test_a_long_sequence_is_averaged_cut_into_rows_truncated_or_an_error(tmp_path, run, checkpoint, small_blocks):
    long = "".join(random.Random(2).choices("ACGT", k=150))
    fasta = write_fasta(tmp_path / "in.fa", [("short", "ACGTACGT"), ("long", long), ("other", "CCC")])
    output = tmp_path / "out.parquet"

    def embedded(*options):
        status, out, error = run("--input", fasta, "--output", output, "--max_length", 11, "--overwrite", *options)
        assert status == 0, error
        return pq.read_table(output), out

    pieces = [by_hand(checkpoint, long[start : start + 60]).mean(axis=0) for start in (0, 60, 120)]
    table, out = embedded("--stride_nt", 60)
    assert table["id"].to_pylist() == ["short", "long", "other"]
    assert np.abs(table["embedding"][1].as_py() - np.average(pieces, axis=0, weights=[11, 11, 6])).max() <= 1e-5
    assert "windows" not in out

    table, out = embedded("--long", "windows", "--window_nt", 60, "--stride_nt", 60)
    assert table.drop_columns(["description", "embedding"]).to_pydict() == {
        "id": ["short", "long", "long", "long", "other"],
        "window_start": [0, 0, 60, 120, 0],
        "window_end": [8, 60, 120, 150, 3],
    }
    assert np.abs(vectors_in(output)[1:4] - pieces).max() <= 1e-5
    assert "3 sequences, 5 windows" in out

    table, out = embedded("--long", "truncate")
    assert np.abs(table["embedding"][1].as_py() - pieces[0]).max() <= 1e-5 and "truncated: 1," in out

    for options in (["--long", "error"], ["--per_token"]):  # tokens of windows have no mean
        arguments = ["--input", fasta, "--output", tmp_path / "new.parquet", "--max_length", 11, *options]
        status, _, error = run(*arguments)
        assert status == 2 and f"{fasta}, record 2 (long)" in error


def test_per_token_has_the_vectors_of_all_tokens(tmp_path, run, checkpoint, records, small_blocks):
    fasta = write_fasta(tmp_path / "in.fa", records)

    for name in ("out.parquet", "out.npy"):
        status, _, error = run("--input", fasta, "--output", tmp_path / name, "--per_token")
        assert status == 0, error

    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    for row, (name, sequence) in zip(rows, records, strict=True):
        assert row["id"] == name and np.abs(row["embedding"] - by_hand(checkpoint, sequence)).max() <= 1e-5
    assert np.array_equal(
        np.load(tmp_path / "out.npy"), np.concatenate([row["embedding"] for row in rows], dtype="f4")
    )


def test_standard_input_is_read_by_one_process_alone(tmp_path, run, records, monkeypatch):
    arguments = ["--input", "-", "--output", tmp_path / "out.parquet"]
    for options, expected in (["--shard", "1/2"], 2), ([], 0):
        read, write = os.pipe()
        with os.fdopen(write, "w") as pipe:
            pipe.writelines(f">{name}\n{sequence}\n" for name, sequence in records)
        monkeypatch.setattr(sys, "stdin", os.fdopen(read))
        status, _, error = run(*arguments, *options)
        assert status == expected and ("Standard input" in error or status == 0), error
    assert ids_in(tmp_path / "out.parquet") == [name for name, _ in records]


@pytest.mark.parametrize("later", [3, 30])
def test_a_duplicate_id_is_an_error_in_the_same_block_and_in_another(tmp_path, run, records, small_blocks, later):
    twice = [("gene2.2" if i == later else name, sequence) for i, (name, sequence) in enumerate(records)]
    one, two = (write_fasta(tmp_path / name, part) for name, part in (("1.fa", twice[:2]), ("2.fa", twice[2:])))
    arguments = ["--input", one, two, "--output", tmp_path / "out.parquet"]

    status, _, error = run(*arguments)

    assert status == 2 and f"{two}, record {later - 1} (gene2.2)" in error and "--allow_duplicate_ids" in error
    status, _, error = run(*arguments, "--allow_duplicate_ids")
    assert status == 0, error
    assert ids_in(tmp_path / "out.parquet") == [name for name, _ in twice]


def test_bad_records_are_skipped_alike_by_every_shard_and_listed_next_to_the_output(
    tmp_path, run, records, small_blocks, computed
):
    bad = [("empty", ""), records[0], ("gap", "AC-GT")]  # the second has the id of an earlier one
    fasta = write_fasta(tmp_path / "in.fa", [bad[0], *records[:20], *bad[1:], *records[20:]])
    output = tmp_path / "out.parquet"
    arguments = ["--input", fasta, "--output", output]

    status, _, error = run(*arguments)
    assert status == 2 and f"3 bad records: {fasta}, record 1 (empty)" in error
    for shard in ("2/2", "1/2"):
        assert run(*arguments, "--bad_records", "skip", "--shard", shard)[0] == 0
    num_computed = len(computed)
    status, out, error = run(*arguments, "--bad_records", "skip")

    assert status == 0 and len(computed) == num_computed, error
    assert "skipped records: 3 (no sequence: 1, " in out and f"{output}.skipped.tsv" in out
    assert ids_in(output) == [name for name, _ in records]
    listed = [line.split("\t")[1:3] for line in Path(f"{output}.skipped.tsv").read_text().splitlines()]
    assert listed == [["record", "id"], ["record 1", "empty"], ["record 22", records[0][0]], ["record 23", "gap"]]
    assert sum(json.loads(pq.read_schema(output).metadata[b"embedding"])["skipped"].values()) == 3

    assert run("--input", write_fasta(tmp_path / "in.fa", records), "--output", output, "--overwrite")[0] == 0
    assert names_in(tmp_path) == ["in.fa", "out.parquet"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b">a\nACGT\n>b\n>c\nACGT\n", "record 2 (b)"),
        (b">prot\nMKVLEF\n", "record 1 (prot)"),
    ],
)
def test_bad_input_is_an_error_with_its_place_and_the_old_output_stays(tmp_path, run, content, words):
    fasta = tmp_path / "in.fa"
    fasta.write_bytes(content)
    old = tmp_path / "old.parquet"
    old.write_bytes(b"precious")

    status, _, error = run("--input", fasta, "--output", old, "--overwrite")

    assert status == 2 and str(fasta) in error and words in error
    assert names_in(tmp_path) == sorted([fasta.name, "old.parquet"])
    assert old.read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--input", "absent.fa"], "absent.fa"),
        (["--batch_tokens", "0"], "--batch_tokens 0"),
        (["--per_token", "--pooling", "cls"], "--per_token --pooling cls"),
        (["--model_revision", "main"], "revision main"),
    ],
)
def test_arguments_that_cannot_be_met_are_one_sentence(tmp_path, run, arguments, words):
    given = ["--input", write_fasta(tmp_path / "in.fa", [("a", "ACGT")]), "--output", tmp_path / "o.parquet"]

    status, _, error = run(*given, *(argument.format(tmp=tmp_path) for argument in arguments))

    assert status == 2
    assert all(word in error for word in words.format(tmp=tmp_path).split())
    assert names_in(tmp_path) == ["in.fa"]


def test_help_answers_before_anything_heavy_is_imported():
    code = """
import contextlib, sys, embed
with contextlib.suppress(SystemExit):
    embed.main(["--help"])
print([name for name in ("torch", "transformers", "datasets") if name in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=forked.REPOSITORY, capture_output=True, text=True)
    assert "--shard" in result.stdout and result.stdout.endswith("[]\n")


def test_the_choices_are_those_of_the_engine():
    assert set(EmbedArguments.__annotations__["pooling"].__args__) == set(POOLINGS) - {"none"}
    assert set(CuttingArguments.__annotations__["long"].__args__) == set(LONG)


@pytest.fixture
def interrupted(tmp_path, run, records, small_blocks, computed):
    """The arguments of a run that was interrupted after 2 of 5 blocks, and its parts."""
    arguments = ["--input", write_fasta(tmp_path / "in.fa", records), "--output", tmp_path / "out.parquet"]
    computed.stop_after = 2
    assert run(*arguments)[0] == 130
    computed.clear()
    return arguments, parts_of(tmp_path / "out.parquet")


def test_the_same_command_computes_only_what_is_missing(tmp_path, run, records, interrupted, computed, expected):
    arguments, parts = interrupted
    assert list(parts) == ["part-000000.parquet", "part-000001.parquet"]
    folder = tmp_path / "out.parquet.parts"
    part = folder / "part-000001.parquet"
    part.write_bytes(part.read_bytes()[:-100])
    (folder / ".part-000002.parquet.0f.part").write_bytes(b"cut off")

    status, out, error = run(*arguments, "--batch_tokens", 4096)  # which does not decide the vectors

    assert status == 0, error
    assert computed == [10, 10, 10, 8] and num_parts(out) == (5, 4, 1)
    assert ids_in(tmp_path / "out.parquet") == [name for name, _ in records]
    assert np.abs(vectors_in(tmp_path / "out.parquet") - expected).max() <= 1e-5
    assert out.startswith(f"48 sequences, {sum(len(sequence) for _, sequence in records):,} nt")
    assert "letters read as N: 32" in out
    assert names_in(tmp_path) == ["in.fa", "out.parquet"]


@pytest.mark.parametrize(
    ("change", "options", "rows"),
    [
        (lambda records: [*records[:15], (records[15][0], "ACG"), *records[16:]], [], [10, 10, 10, 8]),
        (lambda records: [*records[:15], ("other", records[15][1]), *records[16:]], [], [10, 10, 10, 8]),
        (lambda records: records[:15] + records[16:], [], [10, 10, 10, 7]),
        (lambda records: records[:10], [], []),
        (list, ["--layer", "1"], [10, 10, 10, 10, 8]),
        (list, ["--max_length", "100"], [10, 10, 10, 10, 8]),
        (list, ["--output_dtype", "float16"], [10, 10, 10, 10, 8]),
    ],
)
def test_parts_of_another_input_or_other_settings_are_computed_again(
    tmp_path, run, records, interrupted, computed, change, options, rows
):
    arguments, _ = interrupted
    write_fasta(tmp_path / "in.fa", change(records))

    status, _, error = run(*arguments, *options)

    assert status == 0, error
    assert computed == rows
    assert run("--input", tmp_path / "in.fa", "--output", tmp_path / "clean.parquet", *options)[0] == 0
    assert pq.read_table(tmp_path / "out.parquet").equals(pq.read_table(tmp_path / "clean.parquet"))
    assert names_in(tmp_path) == ["clean.parquet", "in.fa", "out.parquet"]


def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path, run, records, monkeypatch):
    fasta = Path(write_fasta(tmp_path / "in.fa", records[:25]))
    check_unchanged = SequenceReader.check_unchanged
    monkeypatch.setattr(
        SequenceReader, "check_unchanged", lambda self: (write_fasta(fasta, records), check_unchanged(self))
    )

    status, _, error = run("--input", fasta, "--output", tmp_path / "out.parquet")

    assert status == 2 and str(fasta) in error and "changed" in error
    assert names_in(tmp_path) == ["in.fa"] or not (tmp_path / "out.parquet").exists()


# Runs in processes of their own read standard input, which the test holds back: so a run is in the middle for as long
# as the test wants.

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
        command = ["embed.py", "--model_name_or_path", checkpoint, "--input", "-", "--output", output, *options]
        process = forked.Forked(command, forked.REPOSITORY, environment, stdin=True)
        processes.append(process)
        process.stdin.write(stream)
        process.stdin.flush()
        return process

    yield call
    for process in processes:
        process.kill()
        process.stdin.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_goes_on_with_the_same_command(tmp_path, start, stream, checkpoint, number):
    output = tmp_path / "out.csv"
    output.write_bytes(b"precious")
    process = start(output, "--overwrite")
    process.wait_until(lambda: len(parts_of(output)) == 2)
    process.send_signal(number)  # while it waits for input

    status = process.wait(60)
    assert len(parts_of(output)) == 2 and output.read_bytes() == b"precious"
    if number != signal.SIGKILL:
        assert status == 128 + number
        (sentence,) = [line for line in process.stderr.splitlines() if line.startswith("embed.py: ")]
        assert "same command" in sentence and "Traceback" not in process.stderr

    again = start(output, "--overwrite")
    again.stdin.close()

    assert again.wait() == 0, again.stderr
    assert num_parts(again.stdout) == (3, 1, 2)
    table = pd.read_csv(output)
    assert table["id"].tolist() == [f"r{i}" for i in range(NUM_STREAMED)]
    sequences = stream.decode().split()[1::2]
    vectors = table[[f"e{i}" for i in range(HIDDEN)]].to_numpy()
    for i in (0, 499, 8192, NUM_STREAMED - 1):
        assert np.abs(vectors[i] - by_hand(checkpoint, sequences[i]).mean(axis=0)).max() <= 1e-4
    assert names_in(tmp_path) == ["out.csv", "out.csv.json"]
