"""FASTA text -> genes, or an error that names file and record."""

import gzip
import random
from itertools import product
from pathlib import Path

import pytest

from dataset_builder.cds import (
    CDS,
    IN_FRAME_STOP,
    NO_CODING_REGION,
    NO_START,
    NO_STOP,
    NOT_MULTIPLE_OF_THREE,
    SKIP_REASONS,
    TOO_SHORT,
    read_genes,
    skip_reason,
)
from dataset_builder.species import GENETIC_CODES, SPECIES
from dnahub.sequences.checks import SequenceFileError

GENE = "ATG" + "GCTAAACCC" * 4 + "TAA"


def write(folder: Path, text: str, name: str = "genes.fa") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def genes_of(path: Path):
    return read_genes(path, 1, min_length_nt=30)


@pytest.mark.parametrize("name", ["genes.fa", "genes.fa.gz", "an odd *name?#1.fa.gz"])
def test_a_file_is_read_and_its_skipped_records_are_counted(tmp_path, name):
    soft_masked = GENE.lower().replace("t", "u")
    valid = f">g1 t1\n{GENE[:20]}\n{GENE[20:]}\n>g2 t2\r\n{soft_masked}\r\n"
    skipped = f">b\n{GENE}A\n>c\nCTG{GENE[3:]}\n>d\n{GENE}GCT\n>e\nATGTGA{GENE}\n>f\nATGTAA\n>g\n{GENE}C\n"
    genes, counts = genes_of(write(tmp_path, valid + skipped, name))
    assert genes == [CDS("g1", "t1", GENE), CDS("g2", "t2", GENE)]
    reasons = {NOT_MULTIPLE_OF_THREE: 2, NO_START: 1, NO_STOP: 1, IN_FRAME_STOP: 1, TOO_SHORT: 1, NO_CODING_REGION: 0}
    assert counts["records"] == 8 and counts["skipped"] == reasons


def test_the_longest_valid_cds_of_a_gene_is_kept_whatever_the_order_of_the_file(tmp_path):
    longer = "ATG" + "GCT" * 30 + "TGA"
    records = [
        f">g t3\n{GENE}\n",
        f">g t2\n{longer}\n",
        f">g t1\n{longer.replace('GCT', 'GCA')}\n",  # as long as t2: the smaller transcript id wins
        f">g t0\n{'ATG' + 'GCT' * 90}\n",  # longest, but without a stop codon
        f">h u1\n{GENE}\n",
        f">h u1\n{GENE.replace('CCC', 'CCG')}\n",  # the id of the record before
    ]
    for seed in range(5):
        random.Random(seed).shuffle(records)
        genes, _ = genes_of(write(tmp_path, "".join(records)))
        assert [cds.transcript for cds in genes] == ["t1", "u1"] and genes[1].sequence == GENE


def test_escherichia_coli_may_begin_with_the_starts_of_code_11():
    assert {species.scientific_name: species.genetic_code for species in SPECIES if species.genetic_code != 1} == {
        "Escherichia coli": 11
    }
    starts = {"TTG", "CTG", "ATT", "ATC", "ATA", "ATG", "GTG"}
    for start in map("".join, product("ACGT", repeat=3)):
        assert (skip_reason(start + GENE[3:], 11, 30) is None) == (start in starts)
        assert (skip_reason(start + GENE[3:], 1, 30) is None) == (start == "ATG")


def test_a_stop_codon_of_one_genetic_code_is_a_sense_codon_of_another():
    gene = GENE[:12] + "TGATAA"
    assert skip_reason(gene, 4, 15) is None and skip_reason(gene, 1, 15) == IN_FRAME_STOP
    assert skip_reason(GENE[:12] + "TAATAGTGA", 6, 15) is None and skip_reason(gene, 6, 15) == NO_STOP


def slow_skip_reason(sequence, code, min_length_nt):
    starts, stops = GENETIC_CODES[code]
    codons = [sequence[i : i + 3] for i in range(0, len(sequence), 3)]
    if len(codons[-1]) != 3:
        return NOT_MULTIPLE_OF_THREE
    if codons[0] not in starts:
        return NO_START
    if codons[-1] not in stops:
        return NO_STOP
    if any(codon in stops for codon in codons[:-1]):
        return IN_FRAME_STOP
    return TOO_SHORT if len(sequence) < min_length_nt else None


def test_the_fast_check_agrees_with_a_slow_one_on_random_sequences():
    draw = random.Random(0)
    seen = set()
    for _ in range(5000):
        middle = "".join(draw.choices("ACGTN", weights=[4, 4, 4, 4, 1], k=draw.randrange(0, 60)))
        sequence = draw.choice(["ATG", "GTG", ""]) + middle + draw.choice(["TAA", "TAG", "TGA", "GCT"])
        code = draw.choice(list(GENETIC_CODES))
        reason = skip_reason(sequence, code, 30)
        assert reason == slow_skip_reason(sequence, code, 30), sequence
        seen.add(reason)
    assert seen == {*SKIP_REASONS, None} - {NO_CODING_REGION}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["empty"]),
        (f"ACGT\n>g\n{GENE}\n", ["'ACGT'", "'>'"]),
        (f">a\n{GENE}\n>b empty\n>c\n{GENE}\n", ["record 2 (b)", "sequence"]),
        (f">a\n{GENE}\n>b\nACGTJ\n", ["record 2 (b)", "'J'", "position 4"]),
        (f">a\n{GENE}A\n", [NOT_MULTIPLE_OF_THREE]),
    ],
)
def test_a_file_that_is_not_fasta_of_cds_is_an_error_with_path_and_record(tmp_path, text, parts):
    path = write(tmp_path, text)
    with pytest.raises(SequenceFileError) as caught:
        genes_of(path)
    assert all(part in str(caught.value) for part in [str(path), *parts])
