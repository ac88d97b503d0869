"""Inputs of every format with bad records -> the good ones and a list of the others, or one error about all."""

import csv

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dnahub.sequences.arguments import InputArguments
from dnahub.sequences.bad_records import BadRecords
from dnahub.sequences.checks import SequenceFileError
from dnahub.sequences.sources import open_sequences
from tests.sequences.files import genbank_record, opened, write, written

CDS = '     CDS             {}\n                     /locus_tag="{}"'
FEATURES = [("1..6", "T_1"), ("3..900", "T_2"), ("join(1..3,AB1.1:1..4)", "T_3"), ("19..20", "T_4")]
GENBANK = genbank_record("CHR", "ACGTACGTACGTACGTACGT", "\n".join(CDS.format(*each) for each in FEATURES))
ROWS = [{"id": "a", "sequence": "AC"}, {"id": None, "sequence": "GT"}, {"id": "c", "sequence": None}]
NO_SEQUENCE, NO_ID, NOT_DNA = "no sequence", "no id", "a letter that is not a nucleotide code"
OUT = "a CDS that cannot be cut out"

# The good ids, and of each bad record its place, id and reason.
CASES = {
    "in.fa": (
        ">a\nAC\n>b\n>c\nAX\n> \nAC\n>d\nGT\n>a\nCC\n",
        ["a", "d"],
        [
            ("record 2", "b", NO_SEQUENCE),
            ("record 3", "c", NOT_DNA),
            ("record 4", "", NO_ID),
            ("record 6", "a", "the id of an earlier record"),
        ],
    ),
    "in.fq": (
        "@a\nAC\n+\nII\n@b\n\n+\n\n\n@c\nACG\n+\nII\n@d\nAC\n+d\nII\n@e\n\n+\n\n \n\n",
        ["a", "d"],
        [
            ("record 3", "c", "letters and qualities of different number"),
            ("record 2", "b", NO_SEQUENCE),
            ("record 5", "e", NO_SEQUENCE),
        ],
    ),
    "in.gb": (GENBANK, ["T_1", "T_4"], [("record 1 (CHR), CDS 2", "T_2", OUT), ("record 1 (CHR), CDS 3", "T_3", OUT)]),
    "in.bed": (
        "# x\nc\t1\t3\nc\t3\t3\n\nd\t1\t3\nc\t1\t9\nc\t1\t3\t.\t0\t+\nc\t1\t3\t.\t0\t.\t+\nc\t1\t3\n",
        ["c:1-3(.)", "c:1-3(+)", "c:1-3(.).9"],
        [
            ("line 3", "", "a region without length"),
            ("line 5", "", "no such chromosome"),
            ("line 6", "", "a region beyond its chromosome"),
            ("line 8", ".", "a strand in another column, or none"),
        ],
    ),
    "in.csv": (
        "id,sequence\na,AC\nb\n\nc,NA\n,GT\nd,GG\n ,\n , \n  \n",
        ["a", "d"],
        [
            ("row 1", "", "a row of more or fewer fields than the header"),
            ("row 2", "c", NO_SEQUENCE),
            ("row 3", "", NO_ID),
        ],
    ),
    "in.parquet": (ROWS, ["a"], [("row 1", "", NO_ID), ("row 2", "c", NO_SEQUENCE)]),
}


@pytest.fixture(params=CASES)
def case(request, tmp_path):
    content, good, bad = CASES[request.param]
    path = tmp_path / request.param
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(content), path)
    else:
        write(path, content)
    genome = {"input": [str(write(tmp_path / "genome.fa", ">c\nACGTAC\n"))], "bed": str(path)}
    return path, genome if path.suffix == ".bed" else {"input": [str(path)]}, good, bad


def test_bad_records_of_every_format_are_skipped_counted_and_listed_with_their_place(case, tmp_path):
    path, inputs, good, bad = case
    reader = open_sequences(InputArguments(**inputs), bad=BadRecords(True, unique_ids=True))
    batches = list(reader)

    assert [name for batch in batches for name in batch.table["id"].to_pylist()] == good
    assert reader.bad.counts == {reason: [each[2] for each in bad].count(reason) for *_, reason in bad}
    assert f"skipped records: {len(bad)} (" in reader.bad.summary()
    reader.bad.write(tmp_path / "list.tsv")
    with (tmp_path / "list.tsv").open(newline="") as file:
        listed = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert [(row["record"], row["id"], row["reason"]) for row in listed] == bad
    assert all(row["file"] == str(path) and row["fault"] for row in listed)


def test_bad_records_of_every_format_are_one_error_that_names_them_and_their_number(case):
    path, inputs, _, bad = case
    with pytest.raises(SequenceFileError, match="--bad_records skip") as caught:
        list(open_sequences(InputArguments(**inputs), bad=BadRecords(unique_ids=True)))
    assert str(caught.value).startswith(f"{len(bad)} bad records: {path}, ")
    for record, name, _ in bad:
        assert (f"{record} ({name}): " if name else f"{record}: ") in str(caught.value)


def test_the_first_ten_of_many_are_named_and_no_more_of_a_pipe_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("dnahub.sequences.batching.BATCH_RECORDS", 12)
    path = write(tmp_path / "in.fa", ">a\nAC\n" + "".join(f">b{i}\n" for i in range(30)) + ">c\nGT\n")
    with pytest.raises(SequenceFileError, match=r"^30 bad records: .* \(b9\): no sequence; …; ") as caught:
        list(opened(path))
    assert "(b10)" not in str(caught.value)
    with path.open() as file:
        monkeypatch.setattr("sys.stdin", file)
        with pytest.raises(SequenceFileError, match="^11 bad records so far: standard input, record 2"):
            list(opened("-"))


def test_an_input_of_bad_records_alone_is_an_error(tmp_path):
    path = write(tmp_path / "in.fa", ">a\n>b\n")
    with pytest.raises(SequenceFileError, match="^2 bad records: "):
        list(opened(path, bad_records="skip"))


def test_ids_of_cds_are_unique_over_all_files(tmp_path):
    protein = '     CDS             1..6\n                     /protein_id="WP_1.1"'
    names = []
    for name in ("a.gb", "b.gb", "c.gb"):
        write(tmp_path / name, genbank_record("CHR", "ACGTACGT", protein))
        names.append(tmp_path / name)
    ids = [name for batch in opened(*names) for name in batch.table["id"].to_pylist()]
    assert ids == ["WP_1.1", "CHR.1", "CHR.1.2"]


@pytest.mark.parametrize("end", ["\n", "\n\n\n\n\n", " \n", "\t\n", "\r\n\r\n", "  ", "\n \n\n"])
@pytest.mark.parametrize("suffix", ["fa", "fq", "gb", "csv", "tsv", "jsonl", "json", "txt"])
def test_blank_lines_at_the_end_are_no_record(tmp_path, suffix, end):
    path = written(tmp_path, f"in.{suffix}", [("a", "ACGT"), ("b", "GGTT")])
    path.write_bytes(path.read_bytes() + end.encode())
    rows = [row for batch in opened(path, genbank_features="record") for row in batch.table.to_pylist()]
    assert [row["sequence"] for row in rows] == ["ACGT", "GGTT"]


def test_the_list_names_a_file_whose_name_is_not_utf_8(tmp_path):
    path, bad = write(tmp_path / "caf\udce9.fa", ">a\nAC\n>b\n"), BadRecords(skips=True)
    list(open_sequences(InputArguments(input=[str(path)]), bad=bad))
    bad.write(tmp_path / "list.tsv")
    assert "caf\\udce9.fa\trecord 2\tb\t" in (tmp_path / "list.tsv").read_text(encoding="utf-8")


def test_the_id_of_a_region_without_a_name_is_not_the_name_of_one_before(tmp_path):
    genome, bed = write(tmp_path / "in.fa", ">c\nACGT\n"), write(tmp_path / "in.bed", "c\t1\t3\tc:1-3(.)\nc\t1\t3\n")
    reader = open_sequences(InputArguments(input=[str(genome)], bed=str(bed)), bad=BadRecords(unique_ids=True))
    assert [name for batch in reader for name in batch.table["id"].to_pylist()] == ["c:1-3(.)", "c:1-3(.).2"]
