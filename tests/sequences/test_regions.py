"""Genome + BED -> the regions, compared with slices of the chromosomes."""

import gzip
import random
from pathlib import Path

import pytest
from Bio.bgzf import BgzfWriter
from Bio.Seq import Seq

from dnahub.hub_code.pipeline_dna_embedding import reverse_complement
from dnahub.sequences.checks import SequenceFileError
from dnahub.sequences.regions import COMPLEMENT
from tests.sequences.files import opened, write, written

CHROMOSOMES = {
    name: "".join(random.Random(name).choices("ACGTNacgtnRYkm", k=nt))
    for name, nt in {"chr1": 5003, "chr2": 60, "chrM": 1}.items()
}


@pytest.fixture(params=["genome.fa", "genome.fa.gz"])
def genome(request, tmp_path) -> Path:
    plain = written(tmp_path, "genome.fa", list(CHROMOSOMES.items()))
    if request.param == plain.name:
        return plain
    with BgzfWriter(tmp_path / request.param) as file:
        file.write(plain.read_text())
    return tmp_path / request.param


def write_bed(folder: Path, text: str, name: str = "in.bed") -> Path:
    return write(folder / name, gzip.compress(text.encode()) if name.endswith(".gz") else text)


def rows_of(genome: Path, bed: Path) -> list[dict]:
    reader = opened(genome, bed=str(bed))
    rows = [row for batch in reader for row in batch.table.to_pylist()]
    assert reader.bytes_read == reader.num_bytes == bed.stat().st_size
    return rows


def expected_row(chrom: str, start: int, end: int, strand: str = ".", name: str | None = None) -> dict:
    sequence = CHROMOSOMES[chrom][start:end]
    return {
        "id": name or f"{chrom}:{start}-{end}({strand})",
        "sequence": str(Seq(sequence).reverse_complement()) if strand == "-" else sequence,
        "chrom": chrom,
        "region_start": start,
        "region_end": end,
        "strand": strand,
    }


@pytest.mark.parametrize("bed_name", ["in.bed", "in.bed.gz"])
def test_regions_are_cut_out_0_based_half_open_on_their_strand(tmp_path, genome, bed_name):
    rng = random.Random(0)
    regions = [("chr1", 0, 5003, "-", None), ("chr2", 59, 60, "+", "last"), ("chrM", 0, 1, "-", None)]
    for _ in range(300):
        start, end = sorted(rng.sample(range(5004), 2))
        regions.append(("chr1", start, end, rng.choice("+-."), rng.choice(["a name", None])))
    lines = [f"{chrom}\t{start}\t{end}\t{name or '.'}\t0\t{strand}\n" for chrom, start, end, strand, name in regions]
    text = "track name=x\nbrowser position chr1\n# a comment\n\nchr2 3 9\r\n" + "".join(lines)

    rows = rows_of(genome, write_bed(tmp_path, text, bed_name))
    assert rows == [expected_row(*region) for region in [("chr2", 3, 9), *regions]]


@pytest.mark.parametrize("name", ["track1", "tracks", "browser_2", "trackbrowser"])
def test_a_contig_whose_name_begins_with_track_or_browser_is_no_line_of_a_browser(tmp_path, name):
    (tmp_path / "genome.fa").write_text(f">{name}\nACGTAC\n")
    bed = write_bed(tmp_path, f"track\nbrowser hide all\ntrack\tname=x\n#{name}\t0\t1\n{name}\t1\t4\n{name} 0 2\n")
    assert [row["sequence"] for row in rows_of(tmp_path / "genome.fa", bed)] == ["CGT", "AC"]


def test_the_other_strand_is_that_of_the_models_encoding():
    letters = "ACGTUNacgtun"
    for sequence in (letters, *letters):
        assert sequence.translate(COMPLEMENT)[::-1] == reverse_complement(sequence)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("chr2\t0\t61", "60 nt"),
        ("chr9\t0\t6", "'chr9'"),
        ("chr2\t6\t6", "chr2:6-6"),
        ("chr2\t-1\t6", "numbers"),
        ("chr2\t1.0\t6", "numbers"),
        ("chr2\t1", "numbers"),
        ("chr2\t1\t6\tname\t0\tx", "column 6, is 'x'"),
        ("chr2\t1\t6\t+", "column 4"),
        ("chr2\t1\t6\tname\t-", "column 5"),
        ("chr2\t1\t6\tname\t0\t.\t+", "column 7"),
        ("chr2\t10\t50\tn\t0\t-\t10\t50\t0\t2\t5,5,\t0,30,", "BED12"),
        ("chr2\t10\t50\tn\t0\t-\t10\t50\t0\t3\t5,5,\t0,35,", "BED12"),
        ("chr2\t10\t50\tn\t0\t-\t10\t50\t0\t2\t9,9,\t0,x,", "BED12"),
        ('chr1\tens\tCDS\t101\t200\t.\t-\t0\tgene_id "G1";', "GFF or GTF"),
        ("chr1\t101\trs1\tA\tG\t.\tPASS\t.", "VCF"),
        ("chr1\t101\t200\tA\tG\t.\t.\t.", "VCF"),  # its ID is a number
        ("chr1\t101\tsv1\tN\t<DEL>\t.\t.\t.", "VCF"),
        ("chr1\t101\tsv1\tN\tN]chr2:9]\t.\t.\t.", "VCF"),
        ("#CHROM\tPOS\tID", "VCF"),
        ("##gff-version 3", "GFF"),
        ("chr1\t101\t200\t0.5", "bedGraph"),
        ("track name='a b' type=bedGraph", "bedGraph"),
        ("fixedStep chrom=chr1 start=1", "WIG"),
    ],
)
def test_a_region_that_cannot_be_cut_out_is_named_by_its_line(tmp_path, genome, line, told):
    bed = write_bed(tmp_path, f"# comment\nchr1\t0\t5\n{line}\n")
    with pytest.raises(SequenceFileError) as caught:
        rows_of(genome, bed)
    assert f"{bed}, line 3" in str(caught.value) and told in str(caught.value)


def test_a_bed_file_without_regions_or_truncated_and_a_genome_with_an_id_twice_are_refused(tmp_path, genome):
    with pytest.raises(SequenceFileError, match="in.bed: .*no regions"):
        rows_of(genome, write_bed(tmp_path, "# nothing\n"))
    (tmp_path / "twice.fa").write_text(">a\nACGT\n>a\nACGT\n")
    with pytest.raises(SequenceFileError, match="twice.fa, record 2: .*'a'"):
        rows_of(tmp_path / "twice.fa", write_bed(tmp_path, "a\t0\t3\n"))
    bed = write_bed(tmp_path, "chr1\t0\t5\n" * 9, "in.bed.gz")
    bed.write_bytes(bed.read_bytes()[:-4])
    with pytest.raises(SequenceFileError, match="in.bed.gz: .*ends"):
        rows_of(genome, bed)


@pytest.mark.parametrize("strand", ["+", "-"])
def test_the_blocks_of_bed12_are_joined(tmp_path, genome, strand):
    bed = write_bed(tmp_path, f"chr1\t100\t700\ttx\t0\t{strand}\t130\t650\t0\t3\t50,60,40,\t0,200,560,\n")
    sequence = "".join(CHROMOSOMES["chr1"][start:end] for start, end in ((100, 150), (300, 360), (660, 700)))
    (row,) = rows_of(genome, bed)
    assert row["sequence"] == (str(Seq(sequence).reverse_complement()) if strand == "-" else sequence)
    assert (row["region_start"], row["region_end"], row["id"]) == (100, 700, "tx")


@pytest.mark.parametrize("name", ["t a t a", "+", "gata"])
def test_what_looks_like_another_format_or_a_strand_may_be_a_name(tmp_path, genome, name):
    (row,) = rows_of(genome, write_bed(tmp_path, f"chr1\t0\t9\t{name}\t.\t-\t-\n"))
    assert row == expected_row("chr1", 0, 9, "-", name)


def test_a_name_of_nucleotides_with_another_id_behind_it_is_not_vcf(tmp_path, genome):
    (row,) = rows_of(genome, write_bed(tmp_path, "chr1\t0\t9\tCAT\tENSG00000121691\t-\n"))
    assert row == expected_row("chr1", 0, 9, "-", "CAT")


@pytest.mark.parametrize("line", ["1 ACGTAC", ";a comment", "AC\u00a0GT", "ACGT\x01"])
def test_what_would_move_the_regions_of_a_genome_is_found_before_one_is_cut(tmp_path, line):
    path = write(tmp_path / "genome.fa", f">b\nTTT\n>a\n{line}\nACGTAC\n")
    with pytest.raises(SequenceFileError, match=r"genome.fa, record 2 \(a\)"):
        rows_of(path, write_bed(tmp_path, "b\t1\t3\n"))


@pytest.mark.parametrize(
    "lines", ["ACG  \nTAC\nGT\n", "AC GT\n\nACGT", "ACGTA\tC\nGT  \n \n", "ACGTACG\r\nT\r\n", "ACGTACG\rT\r"]
)
def test_neither_the_layout_of_a_genome_nor_an_index_of_another_nor_a_folder_that_is_read_only_matters(
    tmp_path, lines
):
    (tmp_path / "ro").mkdir()
    path = write(tmp_path / "ro" / "genome.fa", f">b\nTTT\n>a\n{lines}")
    write(tmp_path / "ro" / "genome.fa.fai", "a\t8\t3\t60\t61\n")
    (tmp_path / "ro").chmod(0o500)
    assert [row["sequence"] for row in rows_of(path, write_bed(tmp_path, "a\t1\t8\n"))] == ["CGTACGT"]
    (tmp_path / "ro").chmod(0o700)


def test_a_genome_may_be_compressed_in_any_way_or_come_from_a_pipe(tmp_path, monkeypatch):
    bed = write_bed(tmp_path, "a\t1\t3\n")
    path = tmp_path / "genome.fa.gz"
    path.write_bytes(gzip.compress(b">b\nTT\n") + gzip.compress(b">a\nACGT\n"))
    assert [row["sequence"] for row in rows_of(path, bed)] == ["CG"]
    with path.open() as file:
        monkeypatch.setattr("sys.stdin", file)
        assert [row["sequence"] for row in rows_of("-", bed)] == ["CG"]
