"""Inputs of every format -> the same sequences, ids and columns, as streams."""

import bz2
import gzip
import io
import lzma
import os
import random
import tracemalloc

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import xopen
from hypothesis import given
from hypothesis import strategies as st

from dnahub.hub_code.pipeline_dna_embedding import reverse_complement
from dnahub.sequences.batching import BATCH_NT, BATCH_RECORDS
from dnahub.sequences.checks import SequenceFileError
from dnahub.sequences.reader import SequenceReader
from tests.sequences.files import genbank_record, opened, rows_of, write, written


@pytest.fixture(scope="module")
def records() -> list[tuple[str, str]]:
    rng = random.Random(0)
    lengths = [1, 5000, *(rng.randint(1, 300) for _ in range(60))]
    return [(f"seq{i}.1", "".join(rng.choices("ACGTNacgturyk", k=nt))) for i, nt in enumerate(lengths)]


@pytest.mark.parametrize("suffix", ["fa", "fq", "gb", "csv", "tsv", "jsonl", "json", "parquet", "txt"])
def test_every_format_gives_the_same_sequences_and_ids(tmp_path, records, suffix):
    name = f"in.{suffix}"
    rows = rows_of(written(tmp_path, name, records), genbank_features="record")

    letters = [sequence.upper() if name == "in.gb" else sequence for _, sequence in records]
    assert [row["sequence"] for row in rows] == letters
    if name == "in.txt":
        assert [row["id"] for row in rows] == [str(i) for i in range(len(records))]
    else:
        assert [row["id"] for row in rows] == [name for name, _ in records]


def zst(data: bytes) -> bytes:
    stream = io.BytesIO()
    with xopen.xopen(stream, "wb", format="zst", threads=0) as file:
        file.write(data)
    return stream.getvalue()


SKIPPABLE = bytes.fromhex("502a4d18 04000000 00000000")  # a frame that pzstd writes before each other one
STREAMS = {  # with the padding that the format has, or a frame to skip
    ".xz": lambda data: lzma.compress(data) + bytes(8),
    ".bz2": bz2.compress,
    ".gz": gzip.compress,
    ".bgz": gzip.compress,
    ".zst": lambda data: SKIPPABLE + zst(data),
}


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        *(("in.fa", suffix) for suffix in STREAMS),
        *((name, ".gz") for name in ("in.fq", "in.gb", "in.csv", "in.jsonl")),
    ],
)
def test_compressed_files_are_read_as_plain_ones(tmp_path, records, name, suffix):
    plain = written(tmp_path, name, records)
    data = plain.read_bytes()
    path = write(tmp_path / (name + suffix), STREAMS[suffix](data[:500]) + STREAMS[suffix](data[500:]))

    reader = opened(path, genbank_features="record")
    rows = [row for batch in reader for row in batch.table.to_pylist()]

    assert rows == rows_of(plain, genbank_features="record")
    assert reader.bytes_read == reader.num_bytes == path.stat().st_size


@pytest.mark.parametrize("suffix", STREAMS)
def test_compressed_files_that_are_damaged_anywhere_are_refused(tmp_path, records, suffix):
    text = written(tmp_path, "plain.fa", records[:30]).read_bytes()
    data = STREAMS[suffix](text)
    garbled = data[:200] + bytes(100) + data[300:]
    damaged = data[:1] + b"\xaa" * 20 + data[21:]
    for content, fault in (
        (data[:20], "ends too early"),
        (data[:-20], "ends too early"),
        (data + data[:-20], "ends too early"),
        (garbled, "(corrupt|IUPAC)"),  # a zstd frame may have no checksum
        (data + damaged, "corrupt"),
        (text, f"name ends in {suffix}"),
        (b"", "empty"),
    ):
        with pytest.raises(SequenceFileError, match=f"in.fa{suffix}.*{fault}"):
            rows_of(write(tmp_path / f"in.fa{suffix}", content))


@pytest.mark.parametrize("block_bytes", [1, 2, 7, 1 << 18])
@pytest.mark.parametrize("name", ["in.fa", "in.fq", "in.csv", "in.jsonl", "in.txt"])
@pytest.mark.parametrize("line_end", ["\r", "\r\n", "\n"])
def test_line_ends_of_every_system_are_read_alike(tmp_path, monkeypatch, records, name, line_end, block_bytes):
    monkeypatch.setattr("dnahub.sequences.opening.BUFFER_BYTES", block_bytes)
    path = written(tmp_path, name, records[2:8])
    path.write_bytes(path.read_bytes().replace(b"\n", line_end.encode()))
    assert [row["sequence"] for row in rows_of(path)] == [sequence for _, sequence in records[2:8]]


@given(
    st.lists(
        st.tuples(
            st.text("abc>é \t", min_size=1).filter(lambda text: text.strip()),
            st.lists(st.text("ACGTacgt \t", max_size=9), min_size=1).filter(lambda lines: "".join(lines).strip()),
        ),
        min_size=1,
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.integers(1, 30),
)
def test_fasta_of_any_layout_is_read_as_line_by_line(tmp_path_factory, records, line_break, block_bytes):
    path = tmp_path_factory.mktemp("fasta") / "in.fa"
    lines = [line for header, sequence in records for line in (f">{header}", *sequence)]
    write(path, line_break.join(lines) + line_break)
    expected = [
        {
            "id": header.split()[0],
            "sequence": "".join("".join(sequence).split()),
            "description": (header.split(None, 1) + [""])[1].rstrip(),
        }
        for header, sequence in records
    ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dnahub.sequences.fasta.BLOCK_BYTES", block_bytes)
        assert rows_of(path) == expected


@pytest.mark.parametrize(("suffix", "separator"), [("csv", ", "), ("tsv", " \t")])
def test_white_space_around_the_names_of_columns_is_dropped(tmp_path, suffix, separator):
    lines = [["id", "sequence", "label"], ["a", "ACGT", "x"]]
    path = write(tmp_path / f"a.{suffix}", "".join(separator.join(line) + "\n" for line in lines))
    (row,) = rows_of(path)
    assert list(row) == ["id", "sequence", "label"] and row["sequence"] == "ACGT"


def test_a_fasta_header_gives_id_and_description_in_any_script_and_a_byte_order_mark_is_no_letter(tmp_path):
    path = write(tmp_path / "in.fa", "\ufeff>gene1 größe 5 \r\nACGT\r\nAC\r\n>gene2\r\nA\r\n")
    assert rows_of(path) == [
        {"id": "gene1", "sequence": "ACGTAC", "description": "größe 5"},
        {"id": "gene2", "sequence": "A", "description": ""},
    ]


@pytest.mark.parametrize("name", ["in.fa", "in.fq", "in.csv", "in.jsonl", "in.parquet", "in.txt"])
def test_batches_are_bounded_in_records_and_nt_and_are_placed_across_batches(tmp_path, name):
    records = [(f"s{i}", "ACGT") for i in range(BATCH_RECORDS * 2)]
    records += [(f"long{i}", "ACGT" * (BATCH_NT // 16)) for i in range(9)] + [("huge", "A" * (BATCH_NT + 5))]
    reader = opened(written(tmp_path, name, records))
    schema, batches = reader.schema, list(reader)

    assert sum(batch.table.num_rows for batch in batches) == len(records)
    seen = 0
    for batch in batches:
        lengths = [len(sequence) for sequence in batch.table["sequence"].to_pylist()]
        assert len(lengths) <= BATCH_RECORDS and sum(lengths[:-1]) < BATCH_NT
        assert batch.table.schema.remove(1) == schema and batch.table.schema.types[1] == pa.large_string()
        shown = str(seen) if name == "in.txt" else records[seen][0]
        assert batch.place(0).endswith(f" {seen + (name in ('in.fa', 'in.fq'))} ({shown})")
        seen += len(lengths)


def test_several_files_are_read_one_after_the_other_and_rows_without_ids_are_numbered_over_all(tmp_path):
    first = write(tmp_path / "a.txt", "AC\n\nGT\n")
    second = write(tmp_path / "b.txt", "TT\n")
    reader = opened(first, second)
    batches = list(reader)

    assert [row for batch in batches for row in batch.table.to_pylist()] == [
        {"id": "0", "sequence": "AC"},
        {"id": "1", "sequence": "GT"},
        {"id": "2", "sequence": "TT"},
    ]
    assert batches[1].place(0) == f"{second}, row 0 (2)"
    assert reader.num_bytes == reader.bytes_read == 10


def test_all_values_of_csv_are_kept_as_they_are_written(tmp_path):
    path = write(tmp_path / "in.csv", 'id,sequence,score,note\r\n007,AC,1e5,"a ""b"",\nc"\r\nNA,GT,,5" end\r\n')
    assert rows_of(path) == [
        {"id": "007", "sequence": "AC", "score": "1e5", "note": 'a "b",\nc'},
        {"id": "NA", "sequence": "GT", "score": "", "note": '5" end'},
    ]


def test_white_space_in_a_sequence_of_a_table_is_dropped_as_in_fasta(tmp_path):
    sequences = ["GG TT", "\tAC\r\nGT \v\f", "ACGT"]
    pq.write_table(pa.table({"sequence": sequences, "note": sequences}), tmp_path / "in.parquet")
    expected = ["GGTT", "ACGT", "ACGT"]
    rows = rows_of(tmp_path / "in.parquet")
    assert [row["sequence"] for row in rows] == expected and [row["note"] for row in rows] == sequences
    for name, text in (
        ("in.csv", 'id,sequence\na, GG TT\nb,"AC\nGT"\n'),
        ("in.tsv", "id\tsequence\na\tGG TT \nb\tACGT\n"),
        ("in.jsonl", '{"id": "a", "sequence": "GG TT"}\n{"id": "b", "sequence": "\\nACGT"}\n'),
    ):
        assert [row["sequence"] for row in rows_of(write(tmp_path / name, text))] == expected[:2]


JOINED = "ACGTTGCAAGGCTTAACTCCAG"


def kmers(k: int, stride: int = 1, to_end: bool = False) -> str:
    """`to_end`: shorter words at the end."""
    return " ".join(JOINED[i : i + k] for i in range(0, len(JOINED) - (0 if to_end else k - 1), stride))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("in.csv", f"sequence\n{kmers(6)}\n"),
        ("in.tsv", f"sequence\nATG CCC TAA\n{kmers(3).lower()}\n"),
        ("in.jsonl", f'{{"sequence": "{kmers(6, stride=2)}"}}\n'),
        ("in.txt", f"{kmers(4)}\n"),
        ("in.fa", f">a\n{kmers(6)}\n"),
        ("in.fa", f">a\n{kmers(6)[:27]}\n{kmers(6)[28:]}\n"),
        ("in.csv", f"sequence\n{kmers(6, to_end=True)}\n"),
        ("in.csv", f"sequence\n{kmers(6, stride=2, to_end=True)}\n"),
    ],
)
def test_overlapping_kmers_are_refused_or_joined(tmp_path, name, text):
    path = write(tmp_path / name, text)
    with pytest.raises(SequenceFileError, match=f"{name}, (row|record) [01]: .*--sequence_format kmers"):
        rows_of(path)
    rows = rows_of(path, sequence_format="kmers", bad_records="skip")
    assert [row["sequence"].upper() for row in rows] == [JOINED]


def test_words_that_do_not_overlap_stay_a_sequence(tmp_path):
    words = "ATG AAA AAA AAA AAA AAA AAA AAA AAA TGG GGA"
    codons = write(tmp_path / "codons.csv", f"sequence\n{words}\n")
    assert [row["sequence"] for row in rows_of(codons)] == [words.replace(" ", "")]
    with pytest.raises(SequenceFileError, match="codons.csv, row 0 .*'AAA' does not overlap with 'ATG'"):
        rows_of(codons, sequence_format="kmers")
    uneven = write(tmp_path / "uneven.csv", "sequence\nAACC ACCT CTGG\n")
    with pytest.raises(SequenceFileError, match="uneven.csv, row 0 .*'CTGG' does not overlap with 'ACCT'"):
        rows_of(uneven, sequence_format="kmers")
    fasta = write(tmp_path / "blocks.fa", ">a\nACGTACGTAC GTACGTACGT\nACGTACGTAC\n")
    assert [row["sequence"] for row in rows_of(fasta)] == ["ACGTACGTACGTACGTACGTACGTACGTAC"]


def test_columns_are_named_and_another_column_of_the_name_id_or_sequence_is_left_out(tmp_path):
    path = write(tmp_path / "in.csv", "id,name,sequence,dna,species\n1,a,x,AC,fly\n2,b,y,GT,mouse\n")
    reader = opened(path, sequence_column="dna", id_column="name")
    assert reader.schema.names == ["id", "species"]
    (batch,) = reader
    assert batch.table.to_pylist() == [
        {"id": "a", "sequence": "AC", "species": "fly"},
        {"id": "b", "sequence": "GT", "species": "mouse"},
    ]


def test_integer_ids_and_categories_become_text_and_other_columns_keep_their_type(tmp_path):
    table = pa.table(
        {
            "id": pa.array([5, 6], pa.uint16()),
            "sequence": pa.array(["AC", "GT"]).dictionary_encode(),
            "score": [0.5, None],
            "tags": [["a"], []],
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    (batch,) = opened(tmp_path / "in.parquet")
    assert batch.table["id"].to_pylist() == ["5", "6"]
    assert batch.table["sequence"].to_pylist() == ["AC", "GT"]
    assert batch.table.select(["score", "tags"]).equals(table.select(["score", "tags"]))


def test_views_become_the_types_that_all_outputs_take(tmp_path):
    views = {"sequence": pa.string_view(), "note": pa.string_view(), "tags": pa.list_(pa.string_view())}
    rows = [{"sequence": "AC", "note": "a", "tags": ["x"]}, {"sequence": "GT", "note": None, "tags": []}]
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(views)), tmp_path / "in.parquet")
    (batch,) = opened(tmp_path / "in.parquet")
    assert batch.table.drop_columns("id").to_pylist() == rows
    assert batch.table.schema.types[2:] == [pa.string(), pa.list_(pa.string())]


def test_times_in_jsonl_stay_as_they_are_written_and_lines_may_be_longer_than_a_block(tmp_path, monkeypatch):
    monkeypatch.setattr("dnahub.sequences.tables.JSON_BLOCK_BYTES", 20)
    lines = [f'{{"sequence": "{"AC" * i}", "day": "2020-01-0{i}", "n": {i}}}' for i in range(1, 10)]
    path = write(tmp_path / "in.jsonl", "\n".join(lines))
    assert rows_of(path) == [
        {"id": str(i - 1), "sequence": "AC" * i, "day": f"2020-01-0{i}", "n": i} for i in range(1, 10)
    ]


GENES = """     CDS             complement(join(2..7,11..16))
                     /gene="abcA"
                     /locus_tag="L_1"
                     /protein_id="P_1.1"
                     /product="a protein"
     CDS             1..6
                     /locus_tag="L_2"
     CDS             4..9
                     /gene="xyz"
     CDS             join(19..20,1..4)"""


def test_genbank_gives_each_cds_joined_on_its_strand_with_the_best_id_that_it_has(tmp_path):
    sequence = "ACCGGTTTACGATTAGCCTG"
    path = write(tmp_path / "in.gbk", genbank_record("CHR1", sequence, GENES))
    reader = opened(path)
    assert reader.schema.names == ["id", "gene", "locus_tag", "product", "record"]
    (batch,) = reader
    joined = reverse_complement(sequence[1:7] + sequence[10:16])
    assert [tuple(row.values()) for row in batch.table.to_pylist()] == [
        ("P_1.1", joined, "abcA", "L_1", "a protein", "CHR1"),
        ("L_2", sequence[:6], None, "L_2", None, "CHR1"),
        ("xyz", sequence[3:9], "xyz", None, None, "CHR1"),
        ("CHR1.4", sequence[18:] + sequence[:4], None, None, None, "CHR1"),
    ]
    assert batch.place(1) == f"{path}, CDS 2 (L_2)"


def test_ids_of_genbank_are_unique_where_a_protein_is_encoded_twice(tmp_path):
    cds = "     CDS             {}\n" + " " * 21 + '/protein_id="WP_1.1"\n'
    tagged = cds + " " * 21 + '/locus_tag="T_2"\n'
    features = (cds.format("1..3") + tagged.format("4..6") + tagged.format("7..9")).rstrip("\n")
    path = write(tmp_path / "in.gb", genbank_record("CHR", "ATGCCCGGGTTT", features))
    assert [row["id"] for row in rows_of(path)] == ["WP_1.1", "T_2", "CHR.3"]


@pytest.mark.parametrize("codon_start", [1, 2, 3])
def test_a_partial_cds_begins_with_its_first_whole_codon(tmp_path, codon_start):
    sequence = "ACCGGTTTACGATTAGCCTG"
    cds = {
        "<1..14": sequence[:14],
        "complement(3..>16)": reverse_complement(sequence[2:16]),
        "join(<1..4,8..17)": sequence[:4] + sequence[7:17],
    }
    features = [f"     CDS             {each}\n                     /codon_start={codon_start}" for each in cds]
    rows = rows_of(write(tmp_path / "in.gb", genbank_record("CHR1", sequence, "\n".join(features))))
    assert [row["sequence"] for row in rows] == [letters[codon_start - 1 :] for letters in cds.values()]


@pytest.fixture
def standard_input(tmp_path, monkeypatch):
    """A function that opens standard input with these bytes."""

    def open_with(content: bytes, **arguments) -> SequenceReader:
        monkeypatch.setattr("sys.stdin", write(tmp_path / "in", content).open())
        return opened("-", **arguments)

    return open_with


@pytest.mark.parametrize(
    ("content", "arguments"),
    [
        (b"@a\nAC\n+\nII\n@b\nGT\n+\nII\n", {}),
        (gzip.compress(b">a\nAC\n>b\nGT\n"), {}),
        (bz2.compress(b'{"id": "a", "sequence": "AC"}\n{"id": "b", "sequence": "GT"}\n'), {"format": "jsonl"}),
    ],
)
def test_standard_input_is_read_and_fasta_and_fastq_are_told_by_their_first_letter(standard_input, content, arguments):
    reader = standard_input(content, **arguments)

    rows = [row for batch in reader for row in batch.table.to_pylist()]

    assert [(row["id"], row["sequence"]) for row in rows] == [("a", "AC"), ("b", "GT")]
    assert reader.num_bytes is None and reader.bytes_read == len(content)
    reader.check_unchanged()


@pytest.mark.parametrize(
    ("content", "arguments", "fact"),
    [
        (b"id,sequence\na,AC\n", {}, "--format"),
        (gzip.compress(b">a\nAC\n")[:15], {}, ".gz"),
        (b"PAR1", {"format": "parquet"}, "Parquet"),
    ],
)
def test_standard_input_that_cannot_be_read_is_one_sentence(standard_input, content, arguments, fact):
    with pytest.raises(SequenceFileError, match=f"^standard input[^\n]*{fact}[^\n]*$"):
        list(standard_input(content, **arguments))


def test_a_pipe_with_a_name_is_read_once():
    read, write = os.pipe()  # a shell's <(zcat in.fa.gz)
    os.write(write, b">a\nAC\n")
    os.close(write)
    reader = opened(f"/dev/fd/{read}")
    assert reader.num_bytes is None and [batch.table["id"][0].as_py() for batch in reader] == ["a"]
    os.close(read)


def test_a_file_that_changes_while_it_is_read_is_found_out(tmp_path, records):
    path = written(tmp_path, "in.fa", records)
    reader = opened(path)
    list(reader)
    reader.check_unchanged()
    with path.open("a") as file:
        file.write(">more\nACGT\n")
    with pytest.raises(SequenceFileError, match="in.fa: .*changed"):
        reader.check_unchanged()


@pytest.mark.parametrize(("num_records", "lines"), [(600, 1700), (1, 200_000)], ids=["many records", "one record"])
def test_a_file_larger_than_the_memory_that_it_takes_is_streamed(tmp_path, num_records, lines):
    line = "".join(random.Random(0).choices("ACGT", k=59)) + "\n"
    path = tmp_path / "in.fa"
    with path.open("w") as file:
        for i in range(num_records):
            file.write(f">record{i}\n" + line * lines)
    reader, nt = opened(path), 0
    arrow_before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        for batch in reader:
            nt += pc.sum(pc.binary_length(batch.table["sequence"])).as_py()
            assert pa.total_allocated_bytes() - arrow_before < max(4 * BATCH_NT, 2 * 59 * lines)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert nt == num_records * lines * 59
    assert peak_bytes < max(10 * BATCH_NT, 4 * 59 * lines)  # of 60 MB, and of 12 MB in one record
