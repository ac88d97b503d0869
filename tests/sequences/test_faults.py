"""Input that is not a complete file of DNA -> one sentence with the file, the record and what to do."""

import gzip
import io
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dnahub.sequences.arguments import InputArguments
from dnahub.sequences.checks import IUPAC, MIN_PROTEIN_LETTERS, MISSING, SequenceFileError, check_sequences
from dnahub.sequences.sources import open_sequences
from tests.sequences.files import genbank_record, opened, rows_of, write, written


def fault_of(*paths, **arguments) -> str:
    with pytest.raises(SequenceFileError) as caught:
        rows_of(*paths, **arguments)
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".")
    return message


PROTEIN_OF_IUPAC_LETTERS = "MKVSAGHKMNRSTVWYDHGSAVKWYSMDHRKNS"

FAULTY = {
    "in.fa": [
        ("", ["the file is empty"]),
        ("\n \n", ["white space"]),
        ("\nACGT\n>g\nAC\n", ["'ACGT'", "'>'"]),
        (">a\nAC\n> \nAC\n", ["record 2", "no id"]),
        (">a\nAC\n>b\n>c\nAC\n", ["record 2 (b)", "no sequence"]),
        (">a\nAC\n>b\nACJ\n", ["record 2 (b)", "'J' at position 2", "IUPAC"]),
        (">a\nACÄGT\n", ["record 1 (a)", "'Ä' at position 2"]),
        (b">a\nAC\n>b\nACG\xff\n>c\nAC\n", ["line 4", "UTF-8", "0xff"]),
        (b">a\nAC\n>b\nAC\xc3", ["line 4", "UTF-8"]),
        (f">p\n{PROTEIN_OF_IUPAC_LETTERS}\n", ["record 1 (p)", "protein", "A, C, G, T, U"]),
    ],
    "in.fq": [
        ("@a\nACGT\n+\nIII\n", ["record 1 (a)", "4 letters", "3 qualities"]),
        ("@a\nACGT\n+\nIII", ["record 1", "FASTQ"]),
        ("@a\nACGT\n+\nIIII\n@b\nAC\n", ["record 2", "four lines"]),
        ("@a\nACGT\n+\nIIII\n@b\nA\u00c4\n+\nII\n", ["record 2 (b)", "'Ä' at position 1"]),
        ("\n\n", ["no records"]),
        ("@a\nAC\nGT\n+\nIIII\n", ["record 1", "four lines"]),
        ("@a\nAC\n+\nII\n@\nAC\n+\nII\n", ["record 2", "no id"]),
        ("@a\n\n+\n\n", ["record 1 (a)", "no sequence"]),
    ],
    "in.csv": [
        ("id,sequence\n", ["no sequences"]),
        ("\n\n", ["Empty"]),
        (" \n\n", ["empty line"]),
        ("name,dna\na,AC\n", ["'sequence'", "name, dna", "--sequence_column"]),
        ("id;sequence\na;AC\n", ["separated by ';'"]),
        ("id,sequence\na,AC\nb\n", ["row 1", "1 fields", "not 2"]),
        ("id,sequence\na,AC\nb,\n", ["row 1 (b)", "no sequence"]),
        ("id,sequence\na,AC\n,GT\n", ["row 1", "no id", "'id'"]),
        ("id,sequence\na,AC\nb,GX\n", ["row 1 (b)", "'X' at position 1"]),
        *(
            (f"id,sequence\na,AC\nb,{text}\n", ["row 1 (b)", f"no sequence ({text.strip()})"])
            for text in ("NA ", *MISSING)
        ),
        ("id,sequence\na,AX\nb,NA\n", ["row 0 (a)", "'X' at position 1"]),
        ('id,sequence,d\na,AC,"x\nb,GT,y\n', ["row 0", "quote"]),
        ('id,sequence,d\na,AC,x\n"b,GT,y\nc,GT,z\n', ["row 1", "quote"]),
        ("id,id\na,AC\n", ["two columns", "'id'"]),
        ("id,sequence,embedding\na,AC,1\n", ["'embedding'", "rename"]),
    ],
    "in.tsv": [
        ("id\tsequence\na\tAC\nb\tGT\t1\n", ["row 1", "3 fields", "not 2"]),
        ('id\tsequence\na\tAC\nb\t"GT"\n', ["row 1 (b)", "'\"' at position 0"]),
    ],
    "in.jsonl": [
        ("\n \n", ["white space"]),
        ('{"id": "a"}\n', ["'sequence'", "--sequence_column"]),
        ("null\n", ["row 0", "null"]),
        ("[" * 5000, ["JSON list"]),
        ('{"sequence": "AC"}\n{"sequence": null}\n', ["row 1 (1)", "no sequence"]),
        ('{"sequence": "AC"}\n{"sequence": "NA"}\n', ["row 1 (1)", "no sequence (NA)"]),
        ('{"sequence": "AC"}\n{"other": 1}\n', ["row 1 (1)", "no sequence"]),
        ('[{"sequence": "AC"}, 5]\n', ["row 1", "JSON"]),
        ('[{"sequence": "AC"}, {"seq', ["complete", "JSON"]),
        ('{"sequence": "AC"}\n{"sequence": 5}\n', ["row 1", "string to number"]),
        ('{"sequence": 5}\n', ["'sequence'", "int64"]),
        ('{"id": 1.5, "sequence": "AC"}\n', ["'id'", "double"]),
        ('{"id": null, "sequence": "AC"}\n{"id": "b", "sequence": "AC"}\n', ["row 0", "no id", "'id'"]),
    ],
    "in.txt": [
        ("\n \n", ["no sequences"]),
        ("AC GT\n", ["row 0 (0)", "' ' at position 2"]),
    ],
    "in.gb": [
        ("\n\n", ["no records"]),
        (
            "LOCUS       X 8 bp DNA linear BCT 01-JAN-2020\nORIGIN\n        1 acgtacgt\n//\n",
            ["CDS", "--genbank_features record"],
        ),
        ("LOCUS       X 8 bp DNA linear BCT 01-JAN-2020\nORIGIN\n        1 acgt\n", ["record 1", "GenBank"]),
    ],
}


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [(name, content, parts) for name, cases in FAULTY.items() for content, parts in cases],
    ids=[f"{name} {i} {parts[-1]}" for name, cases in FAULTY.items() for i, (_, parts) in enumerate(cases)],
)
def test_a_fault_is_one_sentence_with_the_file_the_record_and_what_is_wrong(tmp_path, name, content, parts):
    path = write(tmp_path / name, content)
    message = fault_of(path)
    for part in [str(path), *parts]:
        assert part in message


def test_a_record_of_the_letters_na_is_dna_where_nothing_is_written_for_what_is_missing(tmp_path):
    assert len(rows_of(write(tmp_path / "in.fa", ">a\nNA\n>b\nnan\n"))) == 2


@pytest.mark.parametrize("name", ["in.fq.gz", "in.csv.gz", "in.jsonl.gz", "in.txt.gz", "in.gb.gz"])
def test_a_truncated_file_of_any_format_is_no_shorter_file(tmp_path, name):
    rng = random.Random(0)
    records = [("a", "".join(rng.choices("ACGT", k=60))) for _ in range(20_000)]
    data = gzip.compress(written(tmp_path, name.removesuffix(".gz"), records).read_bytes(), 1)
    path = write(tmp_path / name, data[: len(data) - 1000])
    assert str(path) in fault_of(path) and ".gz file ends" in fault_of(path)


def test_a_full_memory_is_no_fault_of_the_file(tmp_path, monkeypatch):
    def read(self, size):
        raise MemoryError

    path = write(tmp_path / "in.fa.gz", gzip.compress(b">a\nACGT\n"))
    monkeypatch.setattr("gzip.GzipFile.read1", read)
    with pytest.raises(MemoryError):
        rows_of(path)


def test_a_corrupt_parquet_file_says_so(tmp_path):
    pq.write_table(pa.table({"sequence": ["ACGT"] * 5000, "n": list(range(5000))}), tmp_path / "whole.parquet")
    data = (tmp_path / "whole.parquet").read_bytes()
    garbled = bytearray(data)
    garbled[5:60] = bytes(55)
    assert "Parquet" in fault_of(write(tmp_path / "cut.parquet", data[:-20]))
    message = fault_of(write(tmp_path / "bad.parquet", bytes(garbled)))
    assert "bad.parquet, row 0" in message and "corrupt" in message
    assert "in.parquet.gz" in fault_of(write(tmp_path / "in.parquet.gz", gzip.compress(data)))


def test_a_path_that_cannot_be_read_says_why(tmp_path, monkeypatch):
    assert "No such file" in fault_of(tmp_path / "missing.fa")
    assert "is a folder" in fault_of(tmp_path)
    assert "--bed" in fault_of(write(tmp_path / "in.bed", "chr1\t0\t9\n"))
    assert ".fasta, .fna" in fault_of(write(tmp_path / "in.xyz", "AC")) and "--format" in fault_of(tmp_path / "in.xyz")
    assert "File name too long" in fault_of(tmp_path / ("a" * 300 + ".fa"))
    path = write(tmp_path / "in.fa", ">a\nAC\n")

    def refuse(name, *arguments, **options):
        raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr("dnahub.sequences.opening.open", refuse, raising=False)
    assert str(path) in fault_of(path) and "Permission denied" in fault_of(path)


def test_inputs_that_do_not_go_together_are_refused_before_any_is_read(tmp_path):
    fasta, table = write(tmp_path / "a.fa", ">a\nAC\n"), write(tmp_path / "b.csv", "id,sequence\na,AC\n")
    wider = write(tmp_path / "c.csv", "id,sequence,n\na,AC,1\n")

    def told(*paths):
        with pytest.raises(SequenceFileError) as caught:
            opened(*paths)
        return str(caught.value)

    assert "twice" in told(fasta, fasta)
    for part in (str(table), "csv", str(fasta), "fasta"):
        assert part in told(fasta, table)
    for part in (str(wider), "n: string, sequence: string", str(table)):
        assert part in told(table, wider)
    for name, values in (("a.parquet", [1, 2]), ("b.parquet", ["x", "y"])):
        pq.write_table(pa.table({"sequence": ["AC", "GT"], "n": values}), tmp_path / name)
    for part in ("a.parquet", "b.parquet", "n: string", "n: int64"):
        assert part in told(tmp_path / "a.parquet", tmp_path / "b.parquet")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "--input.*--dataset_name"),
        ({"input": ["a.fa"], "dataset_name": "user/data"}, "--input.*--dataset_name"),
        ({"input": ["a.fa"], "dataset_split": "train"}, "--dataset_name"),
        ({"input": ["a.fa", "b.fa"], "bed": "c.bed"}, "--bed.*--input"),
        ({"dataset_name": "user/data", "bed": "c.bed"}, "--bed.*--input"),
        ({"bed": "c.bed"}, "--bed.*--input"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(arguments, told):
    with pytest.raises(ValueError, match=told):
        open_sequences(InputArguments(**arguments))


def test_a_disk_that_fails_while_a_file_is_read_is_said_so(tmp_path, monkeypatch):
    path = write(tmp_path / "in.fa", ">a\nACGT\n" * 100_000)

    class Failing(io.FileIO):
        def readinto(self, buffer):
            if self.tell() >= 1 << 18:
                raise OSError(5, "Input/output error")
            return super().readinto(buffer)

    monkeypatch.setattr("dnahub.sequences.opening.open", lambda name, *_, **__: Failing(name), raising=False)
    message = fault_of(path)
    assert str(path) in message and "Input/output error" in message


def test_a_row_of_csv_longer_than_a_block_is_refused_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("dnahub.sequences.tables.BLOCK_BYTES", 100)
    path = write(tmp_path / "in.csv", "id,sequence\n" + "a,AC\n" * 100 + f"b,{'AC' * 500}\n")
    assert str(path) in fault_of(path) and "100 bytes" in fault_of(path)


@pytest.mark.parametrize(
    ("cds", "fact"),
    [
        ("1..6\n                     /codon_start=0", "'0'"),
        ("join(3..6,OTHER.1:1..4)", "OTHER"),
        ("3..9", "8 nt"),
        ("complement(join(1..3,7..9))", "8 nt"),
        ("7..2", "linear"),
        ("J00194.1:100..202", "J00194"),
        ("join(1..3,7..>9)", "8 nt"),
    ],
)
def test_a_cds_that_cannot_be_cut_out_is_named(tmp_path, cds, fact):
    record = genbank_record("CHR", "ACGTACGT", f"     CDS             {cds}")
    message = fault_of(write(tmp_path / "in.gb", record))
    for part in ("record 1 (CHR)", "CDS 1 (CHR.1)", fact):
        assert part in message


@pytest.mark.parametrize("number", [1, 2])
def test_a_genbank_record_whose_first_line_is_missing_is_not_passed_over(tmp_path, number):
    records = [genbank_record(name, "ACGTACGT", "     CDS             1..3") for name in ("A", "B", "C")]
    records[number - 1] = records[number - 1].partition("\n")[2]
    assert f"in.gb, record {number}: " in fault_of(write(tmp_path / "in.gb", "".join(records)))


def test_a_genbank_record_without_letters_is_refused(tmp_path):
    record = genbank_record("CHR", "ACGTACGT", "     CDS             1..3")
    text = record.replace("ORIGIN\n        1 acgtacgt\n", "CONTIG      join(AB1.1:1..8)\n")
    for features in ("cds", "record"):
        message = fault_of(write(tmp_path / "in.gb", text), genbank_features=features)
        assert "record 1 (CHR)" in message and "without its sequence" in message


def bad_rows(sequences: list[str | None]) -> list[int]:
    """Those that are no DNA, letter by letter."""

    def is_bad(sequence: str | None) -> bool:
        if not sequence or any(letter.upper() not in IUPAC for letter in sequence):
            return True
        bases = sum(letter.upper() in "ACGTUN" for letter in sequence)
        return len(sequence) >= MIN_PROTEIN_LETTERS and 2 * bases < len(sequence)

    return [i for i, sequence in enumerate(sequences) if is_bad(sequence)]


def test_the_vectorised_check_finds_what_one_letter_by_letter_finds():
    rng = random.Random(0)
    verdicts = set()
    for _ in range(3000):
        letters = rng.choice(["ACGT", "ACGTNacgtn", IUPAC, "ACGTRYKM" * 2 + "ACGT" * 4, "RYSW"])
        sequences = ["".join(rng.choices(letters, k=rng.randint(1, 45))) for _ in range(rng.randint(1, 5))]
        if rng.random() < 0.3:
            i = rng.randrange(len(sequences))
            sequences[i] = rng.choice([None, "", "ACX", "A*", "é" + sequences[i], sequences[i] + "\n"])
        table = pa.array(["skipped", *sequences], pa.large_string()).slice(1)
        num_rare, faults = check_sequences(table)
        assert sorted(faults) == bad_rows(sequences), sequences
        good = "".join(sequence for i, sequence in enumerate(sequences) if i not in faults)
        assert num_rare == sum(letter not in "ACGTUNacgtun" for letter in good)
        verdicts.add(len(faults))
    assert verdicts >= {0, 1, 2}
