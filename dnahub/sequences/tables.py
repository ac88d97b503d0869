"""CSV, TSV, JSONL, Parquet or plain text -> tables with the columns of the file."""

import io
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from functools import reduce
from itertools import count, islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from dnahub.sequences.batching import Numbers, Source
from dnahub.sequences.checks import BadRecord, SequenceFileError, one_line, shown
from dnahub.sequences.opening import LONGEST_LINE, InputFile

BLOCK_BYTES = 1 << 24  # of CSV, where it is the longest row, too
MOST_COLUMNS = 100_000  # of CSV; arrow takes 8 KB for each (pyarrow 26)
JSON_BLOCK_BYTES = 1 << 22
JSON_HEAD_BYTES = 1 << 10
TEXT_BLOCK_BYTES = 1 << 20
PARQUET_ROWS = 1024


class Rows(Source):
    """Rows are counted from 0."""

    unit = "row"
    is_table = is_typed = True

    def __init__(self, file: InputFile):
        self._file = file
        self._count = 0

    def _check_names(self, names: list[str]) -> None:
        repeated, times = Counter(names).most_common(1)[0] if names else ("", 0)
        if times > 1:
            raise SequenceFileError(f"{self._file.name}: two columns are called {repeated!r}; rename one of them.")

    def _counted(self, table: pa.Table) -> tuple[Numbers, pa.Table]:
        self._count += table.num_rows
        return range(self._count - table.num_rows, self._count), table


class CsvFile(Rows):
    """
    The rows of a CSV or TSV file with a header line; all values are text, as they stand there.

    In TSV a quote is a letter like any other: no field contains a tab or a line break.
    """

    is_typed = False

    def __init__(self, file: InputFile, delimiter: str):
        super().__init__(file)
        self._has_quotes = delimiter != "\t"
        header = rb'(?:"[^"]*"|[^"\n]+)*' if self._has_quotes else rb"[^\n]*"
        self._stream = _CsvStream(file, re.compile(header), delimiter.encode())
        self._invalid = _InvalidRows()
        try:
            self._reader = pyarrow.csv.open_csv(
                self._stream,
                pyarrow.csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
                pyarrow.csv.ParseOptions(
                    delimiter=delimiter,
                    quote_char='"' if self._has_quotes else False,
                    newlines_in_values=self._has_quotes,
                    invalid_row_handler=self._invalid.set_aside,
                ),
                pyarrow.csv.ConvertOptions(default_column_type=pa.string()),
            )
        except pa.ArrowException as error:
            raise self._fault(error) from error
        names = [name.strip() for name in self._reader.schema.names]  # "sequence, label"
        self.schema = pa.schema([(name, pa.string()) for name in names])
        if not any(names):
            raise SequenceFileError(f"{file.name}: it begins with an empty line; give a header line.")
        other = next((each for each in ";\t," if each in self.schema.names[0]), None)
        if other and len(self.schema.names) == 1:
            raise SequenceFileError(
                f"{file.name}: its fields are separated by {other!r}, not {delimiter!r}; a .csv file has commas, a "
                ".tsv file tabs."
            )
        self._check_names(self.schema.names)

    def __iter__(self) -> Iterator[tuple[Numbers, pa.Table]]:
        names = self.schema.names
        last, valid = "", (number for number in count() if number not in self._invalid.numbers)
        try:
            for batch in self._reader:
                last = batch.column(batch.num_columns - 1)[-1].as_py() if batch.num_rows else last
                self._note_invalid()
                self._count += batch.num_rows
                table = pa.Table.from_batches([batch]).rename_columns(names)
                yield _without_blank(list(islice(valid, batch.num_rows)), table)
        except pa.ArrowException as error:
            raise self._fault(error) from error
        # A quote that is not closed takes all lines after it into one value, without an error (pyarrow 26).
        if self._has_quotes and self._stream.quotes % 2 and ("\n" in last or self._invalid.has_open_quote):
            raise SequenceFileError(
                f"{self._file.name}, row {next(valid) - 1}: a quote is not closed before the end of the file; close "
                "it."
            )
        self._note_invalid()

    def _note_invalid(self) -> None:
        for number, fault in self._invalid.to_note.items():
            self.bad.note(self._file.name, f"row {number}", None, fault)
        self._invalid.to_note.clear()

    def _fault(self, error: pa.ArrowInvalid) -> SequenceFileError:
        return SequenceFileError(
            f"{self._file.name}, after {self._count} rows: {one_line(error)} (row 1 is the header); correct that row, "
            f"close its quotes, or give sequences longer than {BLOCK_BYTES} bytes as FASTA."
        )


class _InvalidRows:
    """
    Rows of more or fewer fields than the header.

    Not methods of `CsvFile`, which holds arrow's reader: held by it as well, neither would ever be freed.
    """

    def __init__(self):
        self.numbers: set[int] = set()  # lines of white space among them
        self.to_note: dict[int, BadRecord] = {}
        self.has_open_quote = False  # one that ends neither in its row nor in any other

    def set_aside(self, row: pyarrow.csv.InvalidRow) -> str:
        number = row.number - 2  # of the header, 1
        self.numbers.add(number)
        self.has_open_quote |= "\n" in row.text and row.text.count('"') % 2 == 1
        if row.text.strip():
            fault = (
                f"it has {row.actual_columns} fields, not {row.expected_columns} as the header ({shown(row.text)!r})"
            )
            self.to_note[number] = BadRecord("a row of more or fewer fields than the header", fault)
        return "skip"


def _without_blank(numbers: list[int], table: pa.Table) -> tuple[Numbers, pa.Table]:
    """The rows in which anything is written: spreadsheets end with lines of separators."""
    blank = (pc.equal(pc.utf8_trim_whitespace(column), "") for column in table.columns)
    is_blank = next(blank)
    if not pc.any(is_blank).as_py():
        return numbers, table
    kept = pc.indices_nonzero(pc.invert(reduce(pc.and_, blank, is_blank)))
    return [numbers[row] for row in kept.to_pylist()], table.take(kept)


class _CsvStream(io.RawIOBase):
    """Counts quotes, and the columns of the header, before arrow allocates them."""

    def __init__(self, file: InputFile, header: re.Pattern[bytes], delimiter: bytes):
        self._stream, self._name = file.open(), file.name
        self._header: re.Pattern[bytes] | None = header
        self._delimiter = delimiter
        self.quotes = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        block = self._stream.read(size)
        if self._header and self._header.match(block)[0].count(self._delimiter) >= MOST_COLUMNS:
            raise SequenceFileError(f"{self._name}: the header has more than {MOST_COLUMNS:,} columns; remove some.")
        self._header = None
        self.quotes += block.count(b'"')
        return block


class JsonlFile(Rows):
    """
    The rows of a JSONL file, a JSON object a line; the types of the columns are those of the first rows.

    A JSON list of objects is read as a whole, and then as JSONL. pyarrow is given blocks of whole lines: its own
    streaming reader refuses lines longer than a block.
    """

    def __init__(self, file: InputFile):
        super().__init__(file)
        self._stream = file.open()
        self._blocks = self._read_blocks()
        first = next(self._blocks, None)
        if first is None:
            raise SequenceFileError(f"{file.name}: the file is empty but for white space; give a JSON object a line.")
        # What looks like a time is text, as it stands there, and so is what the first rows do not have.
        inferred = self._parse(first, pyarrow.json.ParseOptions()).schema
        is_text = [pa.types.is_timestamp(kind) or pa.types.is_null(kind) for kind in inferred.types]
        types = [pa.string() if text else kind for text, kind in zip(is_text, inferred.types, strict=True)]
        self.schema = pa.schema(zip(inferred.names, types, strict=True))
        self._options = pyarrow.json.ParseOptions(self.schema, unexpected_field_behavior="error")
        self._first = self._parse(first, self._options)

    def __iter__(self) -> Iterator[tuple[Numbers, pa.Table]]:
        first, self._first = self._first, None
        yield self._counted(first)
        for block in self._blocks:
            yield self._counted(self._parse(block, self._options))

    def _read_blocks(self) -> Iterator[bytes]:
        if self._stream.peek(JSON_HEAD_BYTES).lstrip()[:1] == b"[":
            yield self._read_list()
            return
        while block := self._stream.read(JSON_BLOCK_BYTES):
            block += self._stream.readline()
            if not block.isspace():
                yield block

    def _read_list(self) -> bytes:
        text = self._stream.read(LONGEST_LINE + 1)
        if len(text) > LONGEST_LINE:
            raise SequenceFileError(
                f"{self._file.name}: it is a JSON list of more than {LONGEST_LINE:,} bytes; write an object a line."
            )
        try:
            return "".join(json.dumps(row) + "\n" for row in json.loads(text)).encode()
        except (ValueError, RecursionError) as error:
            raise SequenceFileError(
                f"{self._file.name}: it is not a complete JSON list ({one_line(error)}); write a list of objects."
            ) from error

    def _parse(self, block: bytes, options: pyarrow.json.ParseOptions) -> pa.Table:
        if block.lstrip().startswith(b"null"):  # which ends the process by a segmentation fault (pyarrow 26)
            raise SequenceFileError(f"{self._file.name}, row {self._count}: null; write a JSON object a line.")
        try:
            return pyarrow.json.read_json(
                pa.BufferReader(block),
                pyarrow.json.ReadOptions(use_threads=False, block_size=len(block) + 1),
                options,
            )
        except pa.ArrowException as error:
            fault = one_line(error).removeprefix("JSON parse error: ")
            where = re.search(r" in row (\d+)$", fault)
            row = self._count + int(where[1]) if where else f"{self._count} or after it"
            raise SequenceFileError(
                f"{self._file.name}, row {row}: {fault.removesuffix(where[0] if where else '')}; write a JSON object "
                "a line, with the same columns of the same types in all."
            ) from error


class ParquetFile(Rows):
    """The rows of a Parquet file on disk or on the Hub; it is read from its end, and not from a pipe."""

    def __init__(self, file: InputFile):
        super().__init__(file)
        if not file.is_regular:
            raise SequenceFileError(f"{file.name}: Parquet cannot be read from a pipe; name a Parquet file.")
        try:
            # As bytes, for arrow takes no `str` of a path that is not UTF-8.
            source = file.path if file.filesystem else pa.OSFile(os.fsencode(file.path))
            self._parquet = pq.ParquetFile(source, pre_buffer=False, filesystem=file.filesystem)
        except (pa.ArrowException, ValueError, OSError) as error:
            raise SequenceFileError(
                f"{file.name}: it is not a complete Parquet file ({one_line(error)}); fetch it again."
            ) from error
        schema = self._parquet.schema_arrow
        if b"huggingface" in (schema.metadata or {}):
            self.features = self._features(schema)
        self.schema = pa.schema([(field.name, _without_views(field.type)) for field in schema])
        self._check_names(self.schema.names)

    def _features(self, schema: pa.Schema) -> dict[str, Any]:
        from datasets import ClassLabel, Features  # here, for loading `datasets` takes a second

        try:
            features = Features.from_arrow_schema(schema)
            for each in features.values():
                pa.array(each.names if isinstance(each, ClassLabel) else [], pa.string())
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise SequenceFileError(
                f"{self._file.name}: what `datasets` wrote of its columns is damaged ({one_line(error)}); write the "
                "file again."
            ) from error
        return features

    def __iter__(self) -> Iterator[tuple[Numbers, pa.Table]]:
        try:
            for batch in self._parquet.iter_batches(batch_size=PARQUET_ROWS, use_threads=False):
                batch.validate(full=True)  # or text that is not UTF-8 is found later, by what uses it
                counted = self._counted(pa.Table.from_batches([batch]).cast(self.schema))
                self._file.bytes_read = (self._file.size or 0) * self._count // max(1, self._parquet.metadata.num_rows)
                yield counted
        except (pa.ArrowException, ValueError, OSError) as error:
            raise SequenceFileError(
                f"{self._file.name}, row {self._count} or after it: the Parquet file is corrupt ({one_line(error)}); "
                "fetch it again."
            ) from error


def _without_views(kind: pa.DataType) -> pa.DataType:
    """Types that all functions of pyarrow take, for those that polars may write (pyarrow 26)."""
    for is_list, list_of in ((pa.types.is_list, pa.list_), (pa.types.is_large_list, pa.large_list)):
        if is_list(kind):
            return list_of(_without_views(kind.value_type))
    return {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}.get(kind, kind)


class TextFile(Rows):
    """The lines of a text file, a sequence each; lines of white space are neither read nor counted."""

    is_table = is_typed = drops_spaces = False
    schema = pa.schema([("sequence", pa.large_string())])

    def __init__(self, file: InputFile):
        super().__init__(file)
        self._stream = file.open()

    def __iter__(self) -> Iterator[tuple[Numbers, pa.Table]]:
        while lines := self._stream.readlines(TEXT_BLOCK_BYTES):
            sequences = [sequence for line in lines if (sequence := line.strip())]
            yield self._counted(pa.table([pa.array(sequences, pa.large_string())], schema=self.schema))
