"""FASTA headers of many sources -> genes: the form recognised, transcripts per gene, and what names no gene."""

import random
import time
from pathlib import Path

import pytest

from dataset_builder.__main__ import headers_of
from dataset_builder.arguments import Build
from dataset_builder.cds import CDS, NO_CODING_REGION, read_genes
from dataset_builder.headers import parse_header
from dataset_builder.sources import genes_of_files
from dnahub.sequences.checks import SequenceFileError

NCBI, GENCODE, WORM = "NCBI RefSeq or GenBank", "GENCODE", "WormBase, gffread or AGAT"
GENCODE_IDS = "ENST00000641515.2|ENSG00000186092.7|OTTHUMG00000001094.4|OTTHUMT00000003223.4|OR4F5-201|OR4F5"
# Headers as their sources write them.
HEADERS = [
    (
        "lcl|NC_000001.11_cds_NP_001005484.2_1 [gene=OR4F5] [db_xref=CCDS:CCDS30547.2,Ensembl:ENSP00000334393.4,"
        "GeneID:79501] [protein=olfactory receptor 4F5] [protein_id=NP_001005484.2] [gbkey=CDS]",
        (NCBI, "79501", "NP_001005484.2", "OR4F5"),
    ),
    (
        "lcl|U00096.3_cds_AAC73112.1_1 [gene=thrL] [locus_tag=b0001] [db_xref=UniProtKB/Swiss-Prot:P0AD86] "
        "[protein_id=AAC73112.1] [location=190..255]",
        (NCBI, "b0001", "AAC73112.1", "thrL"),
    ),
    ("lcl|X_cds_1 [gene=rpoB] [location=1..9]", (NCBI, "rpoB", "lcl|X_cds_1", "rpoB")),
    ("NM_000014.6:70-4494 A2M [organism=Homo sapiens] [GeneID=2]", (NCBI, "2", "NM_000014.6:70-4494", "")),
    (
        "ENST01.1 cds chromosome:G:7:1:12:1 gene:ENSG02.1 gene_symbol:ABC description:a gene:like text",
        ("Ensembl", "ENSG02.1", "ENST01.1", "ABC"),
    ),
    (
        f"{GENCODE_IDS}|2618|UTR5:1-60|CDS:61-1041|UTR3:1042-2618|",
        (GENCODE, "ENSG00000186092.7", "ENST00000641515.2", "OR4F5"),
    ),
    ("ENSMUSG00000051951|ENSMUST00000070533", ("Ensembl BioMart", "ENSMUSG00000051951", "ENSMUST00000070533", "")),
    ("ENST00000641515|ENSG00000186092", ("Ensembl BioMart", "ENSG00000186092", "ENST00000641515", "")),
    (
        "FBpp0300206 type=CDS; loc=3R:join(1..2,3..4); name=CG31092-PI; dbxref=FlyBase:FBpp0300206; length=6; "
        "parent=FBgn0051092,FBtr0308195; release=r6.13; species=Dmel;",
        ("FlyBase", "FBgn0051092", "FBtr0308195", "CG31092"),
    ),
    (
        "YAL001C TFC3 SGDID:S000000001, Chr I from 151006-147594, Genome Release 64-3-1, reverse complement",
        ("SGD", "S000000001", "YAL001C", "TFC3"),
    ),
    (
        "AT1G01010.1 pacid=19656964 polypeptide=AT1G01010.1 locus=AT1G01010 ID=AT1G01010.1.TAIR10",
        ("Phytozome", "AT1G01010", "AT1G01010.1", ""),
    ),
    (
        "AT1G01010.1 | Symbols: ANAC001, NAC001 | NAC domain containing protein 1 | chr1:3760-5630 FORWARD",
        ("TAIR", "AT1G01010", "AT1G01010.1", "ANAC001"),
    ),
    ("AT1G01020.2 | Symbols: no symbol available | ARV1", ("TAIR", "AT1G01020", "AT1G01020.2", "")),
    ("2L52.1b wormpep=CE50559 gene=WBGene00007063 locus=abc-1", (WORM, "WBGene00007063", "2L52.1b", "abc-1")),
    ("rna-1 gene=g1 CDS=1-300", (WORM, "g1", "rna-1", "")),
    ("JIGLLPDN_00001 Chromosomal replication initiator protein DnaA", ("Prokka", *["JIGLLPDN_00001"] * 2, "")),
    ("AT3G46440 AT3G46440.1 source=X", ("GENE TRANSCRIPT", "AT3G46440", "AT3G46440.1", "")),
    # No gene, so each is one of its own: UCSC, CCDS, RefSeq transcripts, Ensembl ids alone, and words.
    *[
        (header, (None, header.split()[0], header.split()[0], ""))
        for header in (
            "hg38_knownGene_ENST00000641515.2 range=chr1:65565-70008 5'pad=0 3'pad=0 strand=+ repeatMasking=none",
            "CCDS30547.2|Hs109|chr1",
            "NM_000014.6 Homo sapiens alpha-2-macroglobulin (A2M), transcript variant 1, mRNA",
            "ENST00000641515.2",
            "YLL050C source=X",
            "g gene: t",
        )
    ],
]
GENE = "ATG" + "GCTAAACCC" * 4 + "TAA"


@pytest.mark.parametrize(("header", "expected"), HEADERS, ids=[header[:22] for header, _ in HEADERS])
def test_headers_give_form_gene_transcript_and_symbol(header, expected):
    record_id, _, description = header.partition(" ")
    assert tuple(parse_header(record_id, description)) == expected


def read(folder: Path, *headers: str, sequence: str = GENE, **options):
    path = folder / "Homo_sapiens.fa"
    path.write_text("".join(f">{header}\n{sequence}\n" for header in headers))
    return read_genes(path, 1, 30, **options)


def test_isoforms_are_one_gene_and_records_without_a_gene_are_counted(tmp_path):
    isoforms = [f"AT1G0101{gene}.{number} | Symbols: S{gene}" for gene in (1, 2, 3) for number in (1, 2)]
    genes, counts = read(tmp_path, *isoforms)
    assert [(cds.gene, cds.symbol) for cds in genes] == [(f"AT1G0101{gene}", f"S{gene}") for gene in (1, 2, 3)]
    assert (counts["header_form"], counts["genes"], counts["without_gene"]) == ("TAIR", 3, 0)
    assert headers_of(counts) == "TAIR headers, 2.00 records per gene"

    genes, counts = read(tmp_path, *isoforms, "unknown")
    assert len(genes) == 4 and counts["without_gene"] == 1 and "1 of 7 headers name no gene" in headers_of(counts)
    # The second word is the gene here, or something else: it stands after several ids.
    for headers in (["NM_1.1 A2M", "NM_2.1 A2M", "NM_3.1 B"], ["hg38_refGene_NM_1 range=chr1:1-2 strand=+", "b"]):
        genes, counts = read(tmp_path, *headers)
        assert len(genes) == len(headers) == counts["without_gene"] and counts["header_form"] is None
        assert "--gene_pattern" in headers_of(counts)


def test_the_cds_of_a_gencode_transcript_is_cut_out_or_counted(tmp_path):
    header = f"{GENCODE_IDS}|60|UTR5:1-7|CDS:8-{7 + len(GENE)}|UTR3:50-60|"
    for sequence in ("CATGTAG" + GENE + "ACGTAC", GENE):  # the second was cut out before
        genes, _ = read(tmp_path, header, sequence=sequence)
        assert genes == [CDS("ENSG00000186092.7", "ENST00000641515.2", GENE, "OR4F5")]
    assert read(tmp_path, f"G-204|G|60|CDS:8-{7 + len(GENE)}", sequence="CATGTAG" + GENE)[0][0].sequence == GENE
    path = tmp_path / "Homo_sapiens.fa"
    path.write_text(f">{header}\nCATGTAG{GENE}\n>{GENCODE_IDS}|1657|lncRNA|\n{GENE}\n")
    assert read_genes(path, 1, 30)[1]["skipped"][NO_CODING_REGION] == 1
    with pytest.raises(SequenceFileError, match=r"record 1.*8-49.*20"):
        read(tmp_path, header, sequence=GENE[:20])


def test_a_gene_pattern_finds_genes_and_headers_of_several_forms_are_an_error(tmp_path):
    isoforms = [f"tx{number} my_gene:{number // 2};" for number in range(6)]
    genes, counts = read(tmp_path, *isoforms, gene_pattern="my_gene:([^;]+)")
    assert [cds.gene for cds in genes] == ["0", "1", "2"] and counts["header_form"] == "--gene_pattern"
    for headers, pattern, facts in (
        (["t1 gene:g1", "AT1G01010.1"], None, ["1 of Ensembl", "TAIR (first: record 2 (AT1G01010.1))"]),
        (["AT1G01010.1", "g t", "x"], None, ["GENE TRANSCRIPT (first: record 2 (g))"]),
        ([*isoforms, "tx7 other:1"], "my_gene:([^;]+)", ["6 of --gene_pattern", "record 7 (tx7)"]),
    ):
        with pytest.raises(SequenceFileError) as caught:
            read(tmp_path, *headers, gene_pattern=pattern)
        assert all(fact in str(caught.value) for fact in (*facts, "Homo_sapiens.fa", "--gene_pattern"))
    with pytest.raises(ValueError, match="'nothing=.* matches no header"):
        read(tmp_path, "g t")
        genes_of_files([tmp_path / "Homo_sapiens.fa"], [1], 30, "nothing=(.)")


@pytest.mark.parametrize(
    ("settings", "fact"),
    [
        ({"source": "ensembl", "gene_pattern": "(a)"}, "leave it out"),
        ({"source": "x", "gene_pattern": "(a"}, "not a regular expression"),
        ({"source": "x", "gene_pattern": "a(b)(c)"}, "2 groups"),
    ],
)
def test_a_gene_pattern_that_cannot_work_is_an_error(settings, fact):
    with pytest.raises(ValueError, match=fact):
        Build(**settings)


def test_the_order_of_records_does_not_matter(tmp_path):
    headers = [header for header, (form, *_) in HEADERS if form == NCBI] * 2
    expected = read(tmp_path, *headers)
    random.Random(0).shuffle(headers)
    assert read(tmp_path, *headers) == expected


def test_a_long_header_takes_a_time_that_grows_with_its_length():
    units = ("[", "[a", "[gene=", "parent=", "name=", "gene=a ", "a", "ENST1|ENSG1|")
    before = time.process_time()
    for unit in units:
        for begins in ("", "[gene=", "parent=FBgn1 ", "AT1G01010.1 ", "SGDID:S1 "):
            parse_header("x", begins + 60_000 // len(unit) * unit)
    assert time.process_time() - before < 20  # seconds; of the square, minutes for each
