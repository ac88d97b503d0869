"""Genome + BED -> the regions, compared with slices of the chromosomes."""

import gzip
import os
import random
from pathlib import Path

import pytest
from Bio.bgzf import BgzfWriter
from Bio.Seq import Seq

from dnahub.hub_code.pipeline_dna_embedding import reverse_complement
from dnahub.sequences import InputArguments, SequenceFileError, open_sequences
from dnahub.sequences.regions import COMPLEMENT

CHROMOSOMES = {
    name: "".join(random.Random(name).choices("ACGTNacgtnRYkm", k=nt))
    for name, nt in {"chr1": 5003, "chr2": 60, "chrM": 1}.items()
}


@pytest.fixture(params=["genome.fa", "genome.fa.gz"])
def genome(request, tmp_path) -> Path:
    (tmp_path / "genomes").mkdir()
    path = tmp_path / "genomes" / request.param
    lines = []
    for name, sequence in CHROMOSOMES.items():
        lines += [f">{name} a chromosome", *(sequence[i : i + 60] for i in range(0, len(sequence), 60))]
    text = "\n".join([*lines, ""])
    if path.suffix == ".gz":
        with BgzfWriter(path) as file:
            file.write(text)
    else:
        path.write_text(text)
    return path


def write_bed(folder: Path, text: str, name: str = "in.bed") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def rows_of(genome: Path, bed: Path) -> list[dict]:
    reader = open_sequences(InputArguments(input=[str(genome)], bed=str(bed)))
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
    text = "track name=x\nbrowser position chr1\n# a comment\n\n" + "".join(lines)

    assert rows_of(genome, write_bed(tmp_path, text, bed_name)) == [expected_row(*region) for region in regions]


def test_three_columns_are_enough_and_may_be_set_apart_by_spaces(tmp_path, genome):
    bed = write_bed(tmp_path, "chr2 3 9\r\nchr1 0 7\r\n")
    assert rows_of(genome, bed) == [expected_row("chr2", 3, 9), expected_row("chr1", 0, 7)]


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
        ("chr2\t9\t6", "chr2:9-6"),
        ("chr2\t-1\t6", "numbers"),
        ("chr2\tx\t6", "numbers"),
        ("chr2\t1.0\t6", "numbers"),
        ("chr2\t1", "numbers"),
        ("chr2\t1\t6\tname\t0\tx", "strand is 'x'"),
    ],
)
def test_a_region_that_cannot_be_cut_out_is_named_by_its_line(tmp_path, genome, line, told):
    bed = write_bed(tmp_path, f"# comment\nchr1\t0\t5\n{line}\n")
    with pytest.raises(SequenceFileError) as caught:
        rows_of(genome, bed)
    assert f"{bed}, line 3" in str(caught.value) and told in str(caught.value)


def test_a_bed_file_without_regions_or_that_is_truncated_is_refused(tmp_path, genome):
    with pytest.raises(SequenceFileError, match="in.bed: .*no regions"):
        rows_of(genome, write_bed(tmp_path, "# nothing\n"))
    bed = write_bed(tmp_path, "chr1\t0\t5\n" * 9, "in.bed.gz")
    bed.write_bytes(bed.read_bytes()[:-4])
    with pytest.raises(SequenceFileError, match="in.bed.gz: .*ends"):
        rows_of(genome, bed)


def test_a_genome_that_is_truncated_is_named_and_not_the_bed_file(tmp_path, genome):
    bed = write_bed(tmp_path, "chr1\t0\t5\n")
    if genome.suffix == ".gz":
        genome.write_bytes(genome.read_bytes()[:-200])
        with pytest.raises(SequenceFileError, match="genome.fa.gz: .*ends"):
            rows_of(genome, bed)


def test_the_index_is_kept_beside_the_genome_whole_and_used_again(tmp_path, genome):
    bed = write_bed(tmp_path, "chr2\t3\t9\n")
    rows = rows_of(genome, bed)
    suffixes = ["", ".fai"] + [".gzi"] * (genome.suffix == ".gz")
    assert sorted(os.listdir(genome.parent)) == sorted(genome.name + suffix for suffix in suffixes)
    index = genome.with_name(genome.name + ".fai")
    made = index.stat().st_mtime_ns
    assert rows_of(genome, bed) == rows and index.stat().st_mtime_ns == made
    os.utime(genome, (made / 1e9 + 9, made / 1e9 + 9))  # the genome is newer than its index
    index.write_text("chr2\t5\t0\t60\t61\n")
    os.utime(index, (made / 1e9, made / 1e9))
    assert rows_of(genome, bed) == rows and index.read_text().startswith("chr1\t5003\t")


def test_in_a_folder_that_cannot_be_written_to_the_genome_is_read_without_leaving_anything(
    tmp_path, genome, monkeypatch
):
    def refuse(made, target):
        raise PermissionError(13, "Permission denied", str(target))

    monkeypatch.setattr("dnahub.sequences.regions._place", refuse)
    assert rows_of(genome, write_bed(tmp_path, "chr2\t3\t9\n")) == [expected_row("chr2", 3, 9)]
    assert os.listdir(genome.parent) == [genome.name]


def test_an_index_whose_writing_is_cut_off_is_not_left_behind(tmp_path, genome, monkeypatch):
    def full(self, data):
        raise OSError(28, "No space left on device")

    bed = write_bed(tmp_path, "chr2\t3\t9\n")
    monkeypatch.setattr(Path, "write_bytes", full)
    assert rows_of(genome, bed) == [expected_row("chr2", 3, 9)]
    assert os.listdir(genome.parent) == [genome.name]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("uneven.fa", b">a\nACGT\nAC\nACGT\n"),
        ("twice.fa", b">a\nACGT\n>a\nACGT\n"),
        ("no.fa", b"ACGT\n"),
        ("gzip.fa.gz", gzip.compress(b">a\nACGT\n")),
        ("shorter.fa", b">a\nACGT\nACG\nAC\n"),
    ],
)
def test_a_genome_that_cannot_be_indexed_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SequenceFileError, match="index") as caught:
        rows_of(tmp_path / name, write_bed(tmp_path, "a\t0\t3\n"))
    assert str(tmp_path / name) in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == sorted([name, "in.bed"])


@pytest.mark.parametrize("suffix", [".fa", ".fa.gz"])
def test_a_genome_whose_last_line_is_longer_is_refused_for_other_letters_would_be_cut_out(tmp_path, suffix):
    text = f">a\n{'ACGT' * 5}\n{'ACGT' * 6}\n>b\n{'ACGT' * 5}\n"
    path = tmp_path / f"genome{suffix}"
    if suffix == ".fa":
        path.write_text(text)
    else:
        with BgzfWriter(path) as file:
            file.write(text)
    with pytest.raises(SequenceFileError, match=f"genome{suffix}, line 3"):
        rows_of(path, write_bed(tmp_path, "a\t30\t44\n"))


def test_a_genome_that_is_a_pipe_is_refused(tmp_path):
    with pytest.raises(SequenceFileError, match="standard input.*pipe"):
        rows_of("-", write_bed(tmp_path, "a\t0\t3\n"))


def test_an_index_of_another_file_is_found_out(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_text(">a\nACGT\n")
    (tmp_path / "genome.fa.fai").write_text("a\t5000\t3\t60\t61\n")
    with pytest.raises(SequenceFileError, match="line 1.*a:0-4000.* 4 nt.*index"):
        rows_of(path, write_bed(tmp_path, "a\t0\t4000\n"))


def test_a_bgzip_genome_that_is_corrupt_where_a_region_is_says_so(tmp_path):
    path = tmp_path / "genome.fa.gz"
    sequence = "".join(random.Random(0).choices("ACGT", k=600_000))
    with BgzfWriter(path) as file:
        file.write(">a\n" + "\n".join(sequence[i : i + 60] for i in range(0, len(sequence), 60)) + "\n")
    bed = write_bed(tmp_path, "a\t0\t9\na\t599000\t599009\n")
    rows_of(path, bed)
    times = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) - 3000 : len(data) - 2000] = bytes(1000)
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(SequenceFileError, match="genome.fa.gz.*a:599000-599009"):
        rows_of(path, bed)
