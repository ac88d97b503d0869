"""Files -> splits: each format against rows that were written by hand, and each fault that a file can have."""

import bz2
import csv
import gzip
import io
import json
import lzma
import re

import pytest
from datasets import Dataset, Features, IterableDataset, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from dnahub.training.files import load_files

ROWS = [
    {"sequence": "ACGTAC", "label": "fly"},
    {"sequence": "TTTTTTA", "label": "yeast, budding"},
    {"sequence": "acgtnu", "label": "NA"},
]
NEEDED = ("sequence", "label")


def csv_text(rows, separator=","):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=separator, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def fasta_text(rows):
    return "".join(f">s{i} label={row['label']}\n{row['sequence']}\n" for i, row in enumerate(rows))


TEXTS = {
    ".csv": csv_text(ROWS),
    ".tsv": csv_text(ROWS, "\t"),
    ".jsonl": "".join(json.dumps(row) + "\n" for row in ROWS),
    ".json": json.dumps(ROWS, indent=1),
    ".fa": fasta_text(ROWS),
    ".fasta": fasta_text(ROWS),
    ".fna": fasta_text(ROWS),
    ".ffn": fasta_text(ROWS),
}
COMPRESS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


def read(path, columns=NEEDED, streaming=False):
    return list(load_files({"train": [path]}, columns, streaming)["train"])


def fault_of(path, columns=NEEDED, streaming=False):
    """The one sentence that says what is wrong, without the path that it has to name."""
    with pytest.raises(ValueError) as raised:
        read(path, columns, streaming)
    message = str(raised.value)
    assert path in message and "\n" not in message
    return message.replace(path, "")


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("suffix", "compression"), [*((suffix, "") for suffix in TEXTS), *((".csv", each) for each in COMPRESS if each)]
)
def test_a_file_of_each_format_and_compression_gives_the_rows_in_it(write, suffix, compression, streaming):
    path = write(f"rows{suffix}{compression}", COMPRESS[compression](TEXTS[suffix].encode()))
    expected = [row["label"].split()[0] for row in ROWS] if suffix.startswith(".f") else [r["label"] for r in ROWS]

    rows = read(path, streaming=streaming)

    assert [row["sequence"] for row in rows] == [row["sequence"] for row in ROWS]
    assert [row["label"] for row in rows] == expected


@pytest.mark.parametrize("streaming", [False, True])
def test_parquet_gives_its_rows_with_its_types(tmp_path, streaming):
    features = Features({"sequence": Value("string"), "scores": [Value("float32")]})
    Dataset.from_dict({"sequence": ["AC", "GT"], "scores": [[0.5, 1], [2, 3]]}, features).to_parquet(
        tmp_path / "rows.parquet"
    )

    rows = load_files({"test": [str(tmp_path / "rows.parquet")]}, ["sequence", "scores"], streaming)["test"]

    assert rows.features == features
    assert list(rows) == [{"sequence": "AC", "scores": [0.5, 1]}, {"sequence": "GT", "scores": [2, 3]}]


@pytest.mark.parametrize("name", ["ROWS.CSV", "rows.Csv.GZ", "a.b.csv.gz", "st*r?.csv", "{a,b} c.csv.bz2"])
def test_neither_the_case_of_a_suffix_nor_the_rest_of_the_name_matters(write, name):
    compress = COMPRESS.get(f".{name.lower().rpartition('.')[2]}", bytes)
    write(name.replace("*", "a").replace("?", "b"), "sequence,label\nGG,other\n")

    assert read(write(name, compress(TEXTS[".csv"].encode()))) == ROWS


@pytest.mark.parametrize("streaming", [False, True])
def test_splits_may_have_formats_of_their_own_and_the_files_of_one_stand_one_after_the_other(write, streaming):
    files = {
        "train": [write("b.csv", csv_text(ROWS[:1])), write("a.csv.gz", gzip.compress(csv_text(ROWS[1:]).encode()))],
        "test": [write("test.jsonl", TEXTS[".jsonl"])],
    }

    splits = load_files(files, NEEDED, streaming)

    assert {split: list(rows) for split, rows in splits.items()} == {"train": ROWS, "test": ROWS}
    assert {split: str(rows.split) for split, rows in splits.items()} == {"train": "train", "test": "test"}


def test_a_streamed_split_has_a_shard_a_file(write):
    files = {"train": [write("a.csv", csv_text(ROWS)), write("b.csv", csv_text(ROWS))]}

    rows = load_files(files, NEEDED, streaming=True)["train"]

    assert isinstance(rows, IterableDataset)
    assert rows.num_shards == 2


def test_a_file_that_was_changed_is_read_anew(write):
    assert read(write("rows.csv", "sequence,label\nAA,a\n")) == [{"sequence": "AA", "label": "a"}]
    assert read(write("rows.csv", "sequence,label\nCC,b\n")) == [{"sequence": "CC", "label": "b"}]


def test_of_a_csv_file_only_an_empty_field_is_missing(write):
    labels = ["NA", "null", "None", "nan", "", "N/A", "#N/A"]
    path = write("rows.csv", "sequence,label\n" + "".join(f"AC,{label}\n" for label in labels))

    assert [row["label"] for row in read(path)] == ["NA", "null", "None", "nan", None, "N/A", "#N/A"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "-2", "0"], [1, -2, 0]),
        (["1", "", "2"], [1, None, 2]),
        (["1", "2.5", "-1e-3", ".5", "3."], [1.0, 2.5, -0.001, 0.5, 3.0]),
        (["1", "2", "X"], ["1", "2", "X"]),
        (["007", "1", "2"], ["007", "1", "2"]),
        (["1.5", "007", "2"], ["1.5", "007", "2"]),
        (["1234567890123456789", "1"], ["1234567890123456789", "1"]),
        (["0x1f", "1"], ["0x1f", "1"]),
        (["+1", "1"], ["+1", "1"]),
        (["1.5", "NA"], ["1.5", "NA"]),
        (["True", "False"], ["True", "False"]),
        (["", ""], [None, None]),
    ],
)
def test_values_of_text_are_numbers_where_all_of_the_column_are(write, values, expected):
    labels = [
        row["label"] for row in read(write("rows.csv", csv_text([{"sequence": "AC", "label": v} for v in values])))
    ]

    assert labels == expected
    assert [type(label) for label in labels] == [type(label) for label in expected]


def test_the_type_of_a_column_of_text_is_that_of_all_splits_together(write):
    files = {
        "train": [write("train.csv", "sequence,chromosome,y\nAC,1,1\nAC,X,2\n")],
        "validation": [write("validation.tsv", "sequence\tchromosome\ty\nAC\t2\t0.5\n")],
        "test": [write("test.fa", ">a chromosome=3 y:7\nAC\n")],
    }

    splits = load_files(files, ["sequence", "chromosome", "y"])

    assert [rows["chromosome"][:] for rows in splits.values()] == [["1", "X"], ["2"], ["3"]]
    assert [rows["y"][:] for rows in splits.values()] == [[1.0, 2.0], [0.5], [7.0]]


def test_a_column_whose_letters_come_after_many_numbers_is_one_of_strings(write):
    chromosomes = [str(i % 22 + 1) for i in range(11_000)] + ["X"]  # the packaged reader goes by 10,000 rows
    path = write("rows.csv", "sequence,label\n" + "".join(f"ACGT,{name}\n" for name in chromosomes))

    assert [row["label"] for row in read(path)] == chromosomes


def test_sequences_may_be_longer_than_the_fields_that_python_reads_by_default(write):
    sequence = "ACGT" * 50_000

    assert read(write("rows.csv", f"sequence,label\n{sequence},a\n"))[0]["sequence"] == sequence


FIELDS = st.text(st.sampled_from("ACGT,;\"' \t\nx1é"), max_size=8)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=6), st.sampled_from([".csv", ".tsv"]))
def test_whatever_python_writes_as_csv_is_read_back_both_ways(tmp_path_factory, pairs, suffix):
    rows = [{"sequence": f"A{sequence}", "label": f"x{label}"} for sequence, label in pairs]
    path = tmp_path_factory.mktemp("csv") / f"rows{suffix}"
    path.write_text(csv_text(rows, "," if suffix == ".csv" else "\t"), encoding="utf-8", newline="")

    assert read(str(path)) == rows
    assert read(str(path), streaming=True) == rows


@pytest.mark.parametrize("streaming", [False, True])
def test_needed_columns_of_fasta_come_from_the_header_in_both_ways_of_writing(write, streaming):
    path = write(
        "cds.fa",
        ">T1.1 cds chromosome:GRCm39:1:5:9:1 gene:ENSMUSG1 species=mouse\nACG\nTAC\n"
        ">T2.1 species=fly gene=FBgn1 gene=other species_name=no\r\nAC GT\r\n",
    )

    rows = read(path, ["id", "sequence", "gene", "species", "description"], streaming)

    assert [(row["id"], row["sequence"], row["gene"], row["species"]) for row in rows] == [
        ("T1.1", "ACGTAC", "ENSMUSG1", "mouse"),
        ("T2.1", "ACGT", "FBgn1", "fly"),
    ]
    assert rows[1]["description"] == "species=fly gene=FBgn1 gene=other species_name=no"


@pytest.mark.parametrize("header", ["s2", "s2 genes=a", "s2 gene=", "s2 gene = a", "gene=a"])
def test_a_record_without_a_needed_key_is_named_with_file_and_key(write, header):
    path = write("genes.fa", f">s1 gene=a\nACGT\n>{header}\nACGT\n")

    told = fault_of(path, ["sequence", "gene"])

    assert f"record {header.split()[0]}" in told and "gene=" in told


def test_when_streaming_a_record_without_a_needed_key_is_an_error_when_it_is_reached(write):
    path = write("genes.fa", ">s1 gene=a\nACGT\n>s2 gene=b\nACGT\n>s3\nACGT\n")
    rows = iter(load_files({"train": [path]}, ["sequence", "gene"], streaming=True)["train"])

    assert [next(rows)["gene"], next(rows)["gene"]] == ["a", "b"]
    with pytest.raises(ValueError, match=re.escape(f"{path}, record s3") + ".*gene="):
        next(rows)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("rows.txt", "ACGT", ".csv, .tsv, .jsonl, .json, .parquet, .fa, .fasta, .fna, .ffn"),
        ("rows", "ACGT", ".csv, .tsv"),
        ("rows.gz", "ACGT", ".csv, .tsv"),
        ("rows.csv.zst", b"\x28\xb5\x2f\xfd", ".csv, .tsv"),
        ("rows.csv.gz.gz", "ACGT", ".csv, .tsv"),
        ("rows.parquet.gz", gzip.compress(b"PAR1", mtime=0), ".csv, .tsv"),
        ("a::b.csv", TEXTS[".csv"], "'::'"),
        ("rows[1].csv", TEXTS[".csv"], "'::'"),
        ("rows.csv", "", "empty"),
        ("rows.csv", "\ufeff \n\n", "empty"),
        ("rows.fa", "\n", "empty"),
        ("rows.json", "", "empty"),
        ("rows.jsonl", "", "empty"),
        ("rows.parquet", "", "empty"),
        ("rows.csv.gz", gzip.compress(b"", mtime=0), "empty"),
        ("rows.csv", "sequence,label\n", "no rows"),
        ("rows.json", "[ ]", "no rows"),
        ("rows.csv", "seq,label\nAC,a\n", "'sequence'"),
        ("rows.jsonl", '{"sequence": "AC"}\n', "'label'"),
        ("rows.csv", "sequence,label,label\nAC,a,a\n", "sequence, label, label"),
        ("rows.csv", "sequence,label\nAC,a,1\nAC,a,1\n", "line 2: it has 3 fields"),
        ("rows.csv", "sequence,label\nAC\n", "line 2: it has 1 field"),
        ("rows.csv", "sequence,label\nAC,é\n".encode("latin-1"), "UTF-8"),
        ("rows.fa", ">a label=é\nAC\n".encode("latin-1"), "UTF-8"),
        ("rows.jsonl", json.dumps({"label": "é"}, ensure_ascii=False).encode("latin-1"), "UTF-8"),
        ("rows.csv", 'sequence,label\nAC,"a\n', "unexpected end of data"),
        ("rows.fa", "ACGT\n>a label=b\nACGT\n", "'ACGT'"),
        ("rows.fa", "\ufeff>a label=b\nACGT\n", "'\\ufeff>a label=b'"),
        ("rows.json", "5", "rows"),
        ("rows.json", '["ACGT"]', "rows"),
        ("rows.json", "[[1]]", "rows"),
        ("rows.json", '{"sequence":\n ["AC"], "label": ["a"]}', "rows"),
        ("rows.jsonl", '"ACGT"\n', "rows"),
        ("rows.json", '[{"sequence": "AC", "label": "a"}, 5]', ".json"),
        ("rows.json", '[{"sequence": "AC", "label": "a"}, {', ".json"),
        ("rows.jsonl", '{"sequence": "AC", "label": "a"}\n{"sequence"', "JSON parse"),
        ("rows.parquet", b"PAR1 and then nothing", "Parquet magic bytes not found"),
        ("rows.csv.gz", TEXTS[".csv"], "Not a gzipped file"),
        (
            "rows.csv.gz",
            gzip.compress(TEXTS[".csv"].encode())[:-9],
            "Compressed file ended",
        ),
        ("rows.fa.bz2", bz2.compress(TEXTS[".fa"].encode())[:-9], "Compressed file ended"),
        ("rows.fa.xz", TEXTS[".fa"], "Input format not supported"),
    ],
)
def test_a_file_that_cannot_be_trained_on_is_named_with_the_reason(write, name, content, told, streaming):
    assert told in fault_of(write(name, content), streaming=streaming)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("rows.csv", "sequence,label\nAC,a\n\nAC\nAC,b\n", "line 4: it has 1 field"),
        ("rows.csv", 'sequence,label\n"A\nC",a\nAC,a,b\n', "line 4: it has 3 field"),
        ("rows.csv", b"sequence,label\nAC,a\n" * 9000 + b"AC,\xe9\n", "UTF-8"),
        (
            "rows.jsonl",
            (TEXTS[".jsonl"] + '{"sequence": "AC", "label": "é"}').encode("latin-1"),
            "UTF-8",
        ),
        ("rows.jsonl", TEXTS[".jsonl"] + "5\n", "JSON parse error"),
        (
            "rows.fa.gz",
            gzip.compress(TEXTS[".fa"].encode() * 9999)[:-200],
            "Compressed file ended",
        ),
    ],
)
def test_a_fault_far_down_in_a_file_is_found_at_once_or_when_streaming_is_reached(write, name, content, told):
    path = write(name, content)

    assert told in fault_of(path)
    with pytest.raises(ValueError, match=re.escape(path)):
        read(path, streaming=True)


@pytest.mark.parametrize("streaming", [False, True])
def test_what_is_no_file_is_told_from_a_folder(tmp_path, streaming):
    assert "no such file" in fault_of(str(tmp_path / "absent.csv"), streaming=streaming)
    assert "folder" in fault_of(str(tmp_path), streaming=streaming)
    with pytest.raises(ValueError, match="train.*no file"):
        load_files({"train": []}, NEEDED, streaming)


@pytest.mark.parametrize("streaming", [False, True])
def test_files_of_one_split_must_have_one_format_and_the_same_columns(write, streaming):
    one, other = write("a.csv", TEXTS[".csv"]), write("b.jsonl", TEXTS[".jsonl"])
    with pytest.raises(ValueError, match=r"b\.jsonl.*a\.csv.*format"):
        load_files({"train": [one, other]}, NEEDED, streaming)

    more = write("c.csv", "sequence,label,gene\nAC,a,b\n")
    with pytest.raises(ValueError, match=r"c\.csv.*sequence, label, gene.*a\.csv"):
        load_files({"train": [one, more]}, NEEDED, streaming)


def test_files_of_one_split_must_have_the_same_types_and_may_order_their_columns_as_they_like(write):
    strings, numbers = write("a.jsonl", TEXTS[".jsonl"]), write("b.jsonl", '{"sequence": "AC", "label": 1}\n')
    with pytest.raises(ValueError, match=r"b\.jsonl.*'label'.*int64.*a\.jsonl.*string"):
        load_files({"train": [strings, numbers]}, NEEDED)

    turned = write("c.csv", "label,sequence\nb,GG\n")
    rows = load_files({"train": [write("d.csv", "sequence,label\nAA,a\n"), turned]}, NEEDED)["train"]
    assert rows.to_list() == [{"sequence": "AA", "label": "a"}, {"sequence": "GG", "label": "b"}]
    turned = write("e.jsonl", '{"label": "b", "sequence": "GG"}\n')
    rows = load_files({"train": [write("f.jsonl", '{"sequence": "AA", "label": "a"}\n'), turned]}, NEEDED)["train"]
    assert rows.to_list() == [{"sequence": "AA", "label": "a"}, {"sequence": "GG", "label": "b"}]
