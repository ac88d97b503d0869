"""embed.py -> its Parquet file compared with the pipeline and with the card's recipe, record by record."""

import gzip
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

import embed
from hub_code import DNAEmbeddingPipeline, NucleotideTransformerConfig, NucleotideTransformerForMaskedLM
from hub_code.tokenization_nucleotide_transformer import build_tokenizer, nt_vocabulary

REPOSITORY = Path(__file__).parent.parent
HIDDEN = 16


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small model whose parameters are all random."""
    folder = tmp_path_factory.mktemp("model") / "checkpoint"
    torch.manual_seed(0)
    config = NucleotideTransformerConfig(
        hidden_size=HIDDEN, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24
    )
    model = NucleotideTransformerForMaskedLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    build_tokenizer(nt_vocabulary(), config.max_tokens).save_pretrained(folder)
    return folder


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
def run(monkeypatch, capfd, checkpoint):
    """A function that runs embed.py in this process: status, output, errors."""

    def call(*arguments, model=checkpoint) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["embed.py", "--model", str(model), *map(str, arguments)])
        capfd.readouterr()
        status = 0
        try:
            embed.main()
        except SystemExit as stop:
            status = stop.code
        return status, *capfd.readouterr()

    return call


def vectors_in(path) -> np.ndarray:
    return np.stack(pq.read_table(path)["embedding"].to_numpy())


def by_hand(checkpoint, sequence: str) -> np.ndarray:
    """The recipe of the model's card, for one sequence alone."""
    batch = AutoTokenizer.from_pretrained(checkpoint)([sequence], return_tensors="pt")
    model = AutoModel.from_pretrained(checkpoint)
    with torch.no_grad():
        hidden = model(**batch, output_hidden_states=True).hidden_states[-1]
    return hidden[0].mean(dim=0).numpy()


@pytest.mark.parametrize("name", ["in.fa", "in.fa.gz", "ïn put.FASTA"])
def test_every_record_gets_the_vector_of_the_recipe_in_the_order_of_the_file(tmp_path, run, checkpoint, records, name):
    status, out, err = run("--input", write_fasta(tmp_path / name, records), "--output", tmp_path / "out.parquet")

    assert status == 0, err
    assert f"{len(records)} embeddings" in out and "32 letters were read as N" in out  # 8 x RYKM
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["id"].to_pylist() == [name for name, _ in records]
    expected = np.stack([by_hand(checkpoint, sequence) for _, sequence in records])
    assert np.abs(vectors_in(tmp_path / "out.parquet") - expected).max() <= 1e-5
    assert np.abs(np.diff(expected, axis=0)).max(axis=1).min() > 1e-2  # a record's vector is not its neighbour's


def test_the_vectors_are_those_of_the_pipeline_whatever_the_batch_size(tmp_path, run, checkpoint, records):
    fasta = write_fasta(tmp_path / "in.fa", records)
    run("--input", fasta, "--output", tmp_path / "one.parquet", "--batch_size", 1)
    run("--input", fasta, "--output", tmp_path / "seven.parquet", "--batch_size", 7)

    pipeline = DNAEmbeddingPipeline(AutoModel.from_pretrained(checkpoint), AutoTokenizer.from_pretrained(checkpoint))
    expected = np.stack(pipeline([sequence for _, sequence in records]))
    assert np.array_equal(vectors_in(tmp_path / "one.parquet"), expected)
    assert np.abs(vectors_in(tmp_path / "seven.parquet") - expected).max() <= 1e-5


def test_the_columns_are_id_and_a_float32_list_of_the_hidden_size(tmp_path, run, records):
    run("--input", write_fasta(tmp_path / "in.fa", records), "--output", tmp_path / "out.parquet")

    schema = pq.read_schema(tmp_path / "out.parquet")
    assert schema.names == ["id", "embedding"]
    assert schema.field("id").type == pa.string()
    assert schema.field("embedding").type == pa.list_(pa.float32(), HIDDEN)


def test_more_records_than_a_write_takes_all_arrive(tmp_path, run, monkeypatch, records):
    fasta = write_fasta(tmp_path / "in.fa", records)
    run("--input", fasta, "--output", tmp_path / "whole.parquet")
    monkeypatch.setattr(embed, "ROWS_PER_WRITE", 5)

    run("--input", fasta, "--output", tmp_path / "parts.parquet")

    groups = pq.ParquetFile(tmp_path / "parts.parquet")
    assert [groups.metadata.row_group(i).num_rows for i in range(groups.num_row_groups)] == [5] * 9 + [3]
    assert pq.read_table(tmp_path / "parts.parquet").equals(pq.read_table(tmp_path / "whole.parquet"))


def test_what_just_fits_the_positions_is_embedded_whole_and_one_nt_more_names_its_record(tmp_path, run, checkpoint):
    rng = random.Random(1)
    longest = "".join(rng.choices("ACGT", k=12_282))
    fits = write_fasta(tmp_path / "fits.fa", [("long", longest)])
    too_long = write_fasta(tmp_path / "more.fa", [("short", "ACGT"), ("long", longest + "A")])

    assert run("--input", fits, "--output", tmp_path / "fits.parquet")[0] == 0
    status, _, err = run("--input", too_long, "--output", tmp_path / "more.parquet")

    vector = vectors_in(tmp_path / "fits.parquet")[0]
    assert np.abs(vector - by_hand(checkpoint, longest)).max() <= 1e-5
    assert np.abs(vector - by_hand(checkpoint, longest[:-6])).max() > 1e-6  # the last token counts
    assert status == 2
    assert "record 2 (long)" in err and "2049 tokens" in err and "max_length" in err
    assert not (tmp_path / "more.parquet").exists()


def test_max_length_keeps_that_many_tokens(tmp_path, run, checkpoint):
    sequence = "".join(random.Random(2).choices("ACGT", k=15_000))
    fasta = write_fasta(tmp_path / "in.fa", [("long", sequence)])

    assert run("--input", fasta, "--output", tmp_path / "out.parquet", "--max_length", 11)[0] == 0

    assert np.abs(vectors_in(tmp_path / "out.parquet")[0] - by_hand(checkpoint, sequence[:60])).max() <= 1e-5


def test_an_existing_output_is_kept_unless_overwrite_is_given(tmp_path, run):
    fasta = write_fasta(tmp_path / "in.fa", [("a", "ACGT")])
    output = tmp_path / "out.parquet"
    output.write_bytes(b"precious")

    status, _, err = run("--input", fasta, "--output", output)
    assert status == 2 and "is there already" in err and "--overwrite" in err
    assert output.read_bytes() == b"precious"

    assert run("--input", fasta, "--output", output, "--overwrite")[0] == 0
    assert pq.read_table(output)["id"].to_pylist() == ["a"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file is empty"),
        (b" \n\n", "empty but for white space"),
        (b"ACGT\n", "before the first '>'"),
        (b">a\nACGT\n>b\n>c\nACGT\n", "record 2 (b): no sequence"),
        (b">prot\nMKVLEF\n", "record 1 (prot): 'L'"),
        (b">\nACGT\n", "record 1: no id"),
        (gzip.compress(b">a\n" + b"ACGT" * 5000)[:40], "ends too early"),
        (b">a\nACGT\n>b\n" + b"ACGT" * 4000 + b"\n", "record 2 (b)"),
    ],
)
def test_bad_input_ends_with_status_2_one_sentence_and_no_file(tmp_path, run, content, told):
    fasta = tmp_path / ("in.fa.gz" if content.startswith(b"\x1f\x8b") else "in.fa")
    fasta.write_bytes(content)
    old = tmp_path / "old.parquet"
    old.write_bytes(b"precious")

    for output, flags in ((tmp_path / "new.parquet", []), (old, ["--overwrite"])):
        status, out, err = run("--input", fasta, "--output", output, *flags)
        sentences = [line for line in err.splitlines() if line.startswith("embed.py: error: ")]
        assert status == 2
        assert len(sentences) == 1 and told in sentences[0] and str(fasta) in sentences[0]
        assert "Traceback" not in err

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([fasta.name, "old.parquet"])
    assert old.read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--input", "absent.fa", "--output", "{tmp}/o.parquet"], "--input absent.fa is no file"),
        (["--input", "{tmp}", "--output", "{tmp}/o.parquet"], "is no file"),
        (["--input", "{fasta}", "--output", "{tmp}/absent/o.parquet"], "cannot be written"),
        (["--input", "{fasta}", "--output", "{tmp}", "--overwrite"], "cannot be written"),
        (["--input", "{fasta}", "--output", "{tmp}/o.parquet", "--batch_size", "0"], "--batch_size 0"),
        (["--input", "{fasta}", "--output", "{tmp}/o.parquet", "--max_length", "1"], "max_length 1"),
        (["--input", "{fasta}", "--output", "{tmp}/o.parquet", "--max_length", "9999"], "max_length 9999"),
    ],
)
def test_arguments_that_cannot_be_met_end_with_status_2_and_one_sentence(tmp_path, run, arguments, told):
    fasta = write_fasta(tmp_path / "in.fa", [("a", "ACGT")])

    status, _, err = run(*(argument.format(tmp=tmp_path, fasta=fasta) for argument in arguments))

    assert status == 2
    assert err.splitlines()[-1].startswith("embed.py: error: ") and told in err and "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["in.fa"]


def test_the_input_is_never_the_output(tmp_path, run):
    fasta = write_fasta(tmp_path / "in.fa", [("a", "ACGT")])

    status, _, err = run("--input", fasta, "--output", fasta, "--overwrite")

    assert status == 2 and "--output" in err
    assert Path(fasta).read_text().startswith(">a")


def test_a_model_that_is_not_there_is_named(tmp_path, run):
    fasta = write_fasta(tmp_path / "in.fa", [("a", "ACGT")])

    status, _, err = run("--input", fasta, "--output", tmp_path / "o.parquet", model="runs/absent")

    assert status == 2
    assert "runs/absent" in err and err.count("\n") == 1


def test_an_interrupt_leaves_nothing_and_an_older_output_as_it_was(tmp_path, checkpoint, environment):
    rng = random.Random(3)
    records = [(str(i), "".join(rng.choices("ACGT", k=6_000))) for i in range(5_000)]
    fasta = write_fasta(tmp_path / "in.fa", records)
    output = tmp_path / "out.parquet"
    output.write_bytes(b"precious")
    command = [sys.executable, "embed.py", "--model", checkpoint, "--input", fasta, "--output", output, "--overwrite"]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob(".*.part")):  # it is written to
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()

    assert process.returncode == 130
    assert "interrupted" in err and "Traceback" not in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.fa", "out.parquet"]
    assert output.read_bytes() == b"precious"
