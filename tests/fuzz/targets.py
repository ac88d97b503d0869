"""Bytes -> what the project makes of them, as input of each kind: rows, or one of its own errors."""

import contextlib
import io
import json
import os
import re
import tempfile
from pathlib import Path
from zlib import crc32

import torch

from dataset_builder.cds import read_genes
from dataset_builder.headers import parse_header
from dataset_builder.species import read_species
from dnahub.checkpoints.loading import NT_MODEL_TYPES, CheckpointFiles, head_of, load_checkpoint, load_for_task
from dnahub.checkpoints.tokenizer import build_tokenizer, nt_vocabulary
from dnahub.hub_code import NucleotideTransformerConfig, NucleotideTransformerModel
from dnahub.inference.arguments import CuttingArguments, EmbedArguments, ModelArguments, RowOutputArguments
from dnahub.inference.variant_reading import check_reference
from dnahub.inference.variants import Settings
from dnahub.machine.arguments import parse
from dnahub.machine.script import is_for_the_user
from dnahub.machine.text import markdown, markdown_code, printable
from dnahub.sequences.arguments import InputArguments
from dnahub.sequences.bad_records import BadRecords
from dnahub.sequences.batching import Source
from dnahub.sequences.checks import SequenceFileError
from dnahub.sequences.fasta import FastaFile
from dnahub.sequences.fastq import FastqFile
from dnahub.sequences.headers import values_of
from dnahub.sequences.opening import InputFile
from dnahub.sequences.regions import Genome
from dnahub.sequences.sources import open_sequences
from dnahub.sequences.variants import Chromosomes, open_substitutions, open_variants

_FOLDER = tempfile.TemporaryDirectory(prefix="nt-fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
FOLDER = Path(_FOLDER.name)
GENOME = FOLDER / "genome.fa"
GENOME.write_text(">chr1\nACGTACGTAC\nGTNNACGT\n>chrM\nACGTTT\n")
CHROMOSOMES = Chromosomes(Genome(InputFile(str(GENOME))))
SCORING = Settings(("llr",), 12, True, 1, False)
TOKENIZER = build_tokenizer(nt_vocabulary(), 100_000)
SPECIAL = re.compile("<(unk|pad|mask|cls|eos|bos)>")
SMALL = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 5000}
SMALL |= {"max_position_embeddings": 5000}


def _written(name: str, data: bytes) -> Path:
    path = FOLDER / name
    path.write_bytes(data)
    return path


def _rows(path: Path, **arguments) -> list[dict] | None:
    """What the reader gives; None if it refuses the file, by name. Skipping bad records leaves the rest as it is."""
    rows, fault = None, None
    try:
        args = InputArguments(input=[str(path)], **arguments)
        rows = [row for batch in open_sequences(args) for row in batch.table.to_pylist()]
    except SequenceFileError as error:
        fault = str(error)
        assert str(FOLDER) in fault, fault
    if crc32(path.read_bytes()) % 4 == 0:  # for it takes as long again
        bad = BadRecords(skips=True)
        try:
            batches = list(open_sequences(InputArguments(input=[str(path)], **arguments), bad=bad))
            kept = [row for batch in batches for row in batch.table.to_pylist()]
            assert repr(rows) == repr(kept) if not bad.counts else rows is None and kept, (rows, kept, bad.counts)
        except SequenceFileError:
            assert rows is None
    return rows


def plain_fasta(data: bytes) -> list[dict]:
    """Line by line, of a file that is FASTA."""
    records = []
    for line in re.split("\r\n|\r|\n", data.decode("utf-8-sig")):
        if line.startswith(">"):
            name, description, *_ = [*line[1:].encode().split(None, 1), b"", b""]
            records.append([name.decode(), "", description.rstrip().decode()])
        elif records:
            records[-1][1] += re.sub(r"[ \t\n\v\f]", "", line)
    return [dict(zip(("id", "sequence", "description"), record, strict=True)) for record in records]


def _read(path: Path, source: type[Source]) -> list[dict]:
    """What a source gives before anything is checked; nothing if it refuses the file. It takes a tenth of the time."""
    with contextlib.suppress(SequenceFileError):
        opened = source(InputFile(str(path)))
        opened.bad = BadRecords()
        return [row for _, table in opened for row in table.to_pylist()]
    return []


def fasta(data: bytes) -> None:
    path = _written("in.fa", data)
    rows = _read(path, FastaFile)
    assert not rows or _without_spaces(rows) == plain_fasta(data)
    if crc32(data) % 8 == 0:
        checked = _rows(path)
        assert checked is None or checked == plain_fasta(data)


def _without_spaces(rows: list[dict]) -> list[dict]:
    return [row | {"sequence": re.sub(r"[\t-\r ]", "", row["sequence"])} for row in rows]


def fastq(data: bytes) -> None:
    path = _written("in.fq", data)
    rows = _read(path, FastqFile)
    lines = [line for line in re.split(b"\r\n|\r|\n", data.removeprefix(b"\xef\xbb\xbf"))]
    assert {row["sequence"].encode() for row in rows} <= {line.rstrip() for line in lines}
    if crc32(data) % 8 == 0:
        _rows(path)


def compressed(data: bytes) -> None:
    """FASTA, as gzip, bzip2, zstd or xz."""
    _rows(_written("in.fna", data))


def bed(data: bytes) -> None:
    path = _written("in.bed", data)
    args = InputArguments(input=[str(GENOME)], bed=str(path))
    with contextlib.suppress(SequenceFileError):
        for batch in open_sequences(args):
            for row in batch.table.to_pylist():
                whole = CHROMOSOMES.genome.fetch(row["chrom"], row["region_start"], row["region_end"])
                assert 0 < len(row["sequence"]) <= len(whole)
    with contextlib.suppress(ValueError):
        for _ in open_substitutions(None, str(path), CHROMOSOMES, BadRecords()):
            pass


def genbank(data: bytes) -> None:
    path = _written("in.gb", data)
    records = _rows(path, genbank_features="record")
    rows = _rows(path) or []
    assert len({row["id"] for row in rows}) == len(rows)
    longest = max((len(row["sequence"]) for row in records or []), default=0)
    assert records is None or longest or not rows


def _variants(path: Path) -> None:
    try:
        reader = open_variants(str(path), BadRecords())
        counts = check_reference(reader, str(path), CHROMOSOMES, SCORING, 6, True)
        assert counts
    except SequenceFileError as error:
        assert str(path) in str(error), error


def vcf(data: bytes) -> None:
    _variants(_written("in.vcf", data))


def csv(data: bytes) -> None:
    suffix = ("csv", "tsv")[crc32(data) // 4 % 2]
    rows = _rows(_written(f"in.{suffix}", data)) or []
    assert all(isinstance(value, str) for row in rows for value in row.values())
    _variants(FOLDER / f"in.{suffix}")


def jsonl(data: bytes) -> None:
    path = _written("in.jsonl", data)
    _rows(path)
    _variants(path)


def parquet(data: bytes) -> None:
    path = _written("in.parquet", data)
    _rows(path)
    _variants(path)


def text(data: bytes) -> None:
    """A sequence a line; also as k-mers."""
    rows = _rows(_written("in.txt", data), sequence_format=("letters", "kmers")[crc32(data) // 4 % 2])
    assert rows is None or len(rows) == sum(bool(line.strip()) for line in re.split(b"[\r\n]", data))


def headers(data: bytes) -> None:
    """The header of a record, by every form that is known; and where names are printed."""
    line = data.decode("utf-8", "replace").split("\n")[0]
    parse_header(*line.partition(" ")[::2])
    for column in ("gene", "strength"):
        assert all(value is None or value in line for value in values_of(column, [line]))
    assert all(each.isprintable() for each in (printable(line), markdown(line), markdown_code(line)))
    assert not re.search("<[a-zA-Z/!]", markdown(line)) and "`" not in markdown_code(line)[1:-1]


def genes(data: bytes) -> None:
    """The FASTA file of a species or a class."""
    path = _written("genes.fa", data)
    for genetic_code in (1, None):
        with contextlib.suppress(SequenceFileError):
            kept, counts = read_genes(path, genetic_code, 3)
            assert 0 < len(kept) <= counts["records"]


def species(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert all(each.scientific_name.isprintable() for each in read_species(_written("species.yaml", data)))


def config(data: bytes) -> None:
    """A config.json, whose model is built if it is accepted and small."""
    folder = FOLDER / "checkpoint"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_bytes(data)
    files = CheckpointFiles("checkpoint", folder, None)
    try:
        head_of(files)
        load_for_task("none", files, None)
    except Exception as error:
        if not is_for_the_user(error):
            raise
    found = None
    with contextlib.suppress(ValueError):
        found = json.loads(data)
    if not isinstance(found, dict) or found.get("model_type") not in NT_MODEL_TYPES:
        return
    try:
        read = NucleotideTransformerConfig.from_pretrained(folder)
    except Exception:  # as above
        return
    for name in ("hidden_size", "num_attention_heads", "max_position_embeddings", "rope_theta", "rescaling_factor"):
        assert getattr(read, name) == found.get(name, getattr(read, name)), name
    if all(getattr(read, name) <= largest for name, largest in SMALL.items()):
        with contextlib.suppress(ValueError), torch.no_grad():
            model = NucleotideTransformerModel(read).eval()
            ids = torch.arange(4)[None] % read.vocab_size
            assert model(ids[:, : read.max_tokens]).last_hidden_state.shape[-1] == read.hidden_size


def tokenizer(data: bytes) -> None:
    """Any text."""
    given = data.decode("utf-8", "replace")
    if SPECIAL.search(given):
        return
    letters = re.sub(r"[\s\x1c-\x1f]", "", given)
    letters = re.sub("[^ACGTN]", "N", re.sub("[uU]", "T", re.sub("[acgtn]", lambda found: found[0].upper(), letters)))
    ids = TOKENIZER(given).input_ids
    assert len(ids) == 1 + len(re.findall("[ACGT]{6}|.", letters))
    assert TOKENIZER.decode(ids, skip_special_tokens=True) == letters


def tokenizer_file(data: bytes) -> None:
    """A tokenizer.json."""
    folder = FOLDER / "tokenizer"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text('{"model_type": "esm", "vocab_size": 4107}')
    (folder / "tokenizer.json").write_bytes(data)
    try:
        load_checkpoint(NucleotideTransformerModel, CheckpointFiles("checkpoint", folder, None))
    except Exception as error:
        if not is_for_the_user(error):
            raise


def arguments(data: bytes) -> None:
    """A recipe, and its lines as a command line."""
    path = _written("recipe.yaml", data)
    groups = (InputArguments, ModelArguments, EmbedArguments, CuttingArguments, RowOutputArguments)
    given = data.decode("utf-8", "replace").split("\n")
    for argv in ([str(path)], given):
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
                parse("embed.py", "", groups, argv, recipe=True)
        except ValueError:
            pass
        except SystemExit as stop:
            assert stop.code == 0 or (stop.code == 2 and said.getvalue().count("\n") == 1), said.getvalue()


TARGETS = {
    each.__name__: each
    for each in (
        *(fasta, fastq, compressed, bed, genbank, vcf, csv, jsonl, parquet, text),
        *(headers, genes, species, config, tokenizer, tokenizer_file, arguments),
    )
}
