"""CSV, TSV, JSONL, Parquet or plain text -> tables with the columns of the file."""

import io
import json
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from dnahub.sequences.checks import SequenceFileError, one_line, shown
from dnahub.sequences.opening import InputFile, UnreadableError

BLOCK_BYTES = 1 << 24  # of CSV, where it is the longest row, too
JSON_BLOCK_BYTES = 1 << 22
JSON_HEAD_BYTES = 1 << 10
JSON_LIST_ROWS = 10_000
TEXT_BLOCK_BYTES = 1 << 20
PARQUET_ROWS = 1024


class Rows:
    """Rows are counted from 0."""

    unit, first, is_table, is_typed = "row", 0, True, True

    def __init__(self, file: InputFile):
        self._file = file
        self._count = 0

    def reached(self) -> str:
        return f"row {self._count} or after it"

    def _check_names(self, names: list[str]) -> None:
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated is not None:
            raise SequenceFileError(f"{self._file.name}: two columns are called {repeated!r}; rename one of them.")

    def _counted(self, batch: pa.RecordBatch | pa.Table) -> pa.Table:
        self._count += batch.num_rows
        return pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch


class CsvFile(Rows):
    """
    The rows of a CSV or TSV file with a header line; all values are text, as they stand there.

    In TSV a quote is a letter like any other: no field contains a tab or a line break.

    Args:
        file: What to read.
        delimiter: What separates the fields.
    """

    is_typed = False

    def __init__(self, file: InputFile, delimiter: str):
        super().__init__(file)
        self._stream = _QuoteCounter(file.open())
        self._has_quotes = delimiter != "\t"
        self._invalid: list[pyarrow.csv.InvalidRow] = []
        try:
            self._reader = pyarrow.csv.open_csv(
                self._stream,
                pyarrow.csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
                pyarrow.csv.ParseOptions(
                    delimiter=delimiter,
                    quote_char='"' if self._has_quotes else False,
                    newlines_in_values=self._has_quotes,
                    invalid_row_handler=self._refuse,
                ),
                pyarrow.csv.ConvertOptions(default_column_type=pa.string()),
            )
        except pa.ArrowInvalid as error:
            raise self._fault(error) from error
        self.schema = self._reader.schema
        if not any(name.strip() for name in self.schema.names):
            raise SequenceFileError(f"{file.name}: it begins with an empty line; give a header line.")
        self._check_names(self.schema.names)

    def __iter__(self) -> Iterator[pa.Table]:
        last = None
        while True:
            try:
                batch = self._reader.read_next_batch()
            except StopIteration:
                break
            except pa.ArrowInvalid as error:
                raise self._fault(error) from error
            last = batch if batch.num_rows else last
            yield self._counted(batch)
        # A quote that is not closed takes all lines after it into one value, without an error (pyarrow 26).
        is_open = self._has_quotes and self._stream.quotes % 2
        if last is not None and is_open and "\n" in last.column(last.num_columns - 1)[-1].as_py():
            raise SequenceFileError(
                f"{self._file.name}, row {self._count - 1}: a quote is not closed before the end of the file; close "
                "it."
            )

    def _refuse(self, row: pyarrow.csv.InvalidRow) -> str:
        self._invalid.append(row)
        return "error"

    def _fault(self, error: pa.ArrowInvalid) -> SequenceFileError:
        if self._invalid:
            row = self._invalid[0]
            return SequenceFileError(
                f"{self._file.name}, row {row.number - 2} ({shown(row.text)!r}): it has {row.actual_columns} fields, "
                f"but the header has {row.expected_columns}; correct the line"
                + (", with quotes around a field that contains a separator." if self._has_quotes else ".")
            )
        if "straddling" in str(error):
            return SequenceFileError(
                f"{self._file.name}, {self.reached()}: a row is longer than {BLOCK_BYTES} bytes"
                + (", or a quote is not closed" if self._has_quotes else "")
                + "; correct it, or give such sequences as FASTA."
            )
        if "Empty CSV" in str(error):
            return SequenceFileError(f"{self._file.name}: the file is empty but for white space; give a header line.")
        return SequenceFileError(f"{self._file.name}, {self.reached()}: {one_line(error)}.")


class _QuoteCounter(io.RawIOBase):
    def __init__(self, stream: io.BufferedReader):
        self._stream = stream
        self.quotes = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        block = self._stream.read(size)
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
        self._schema: pa.Schema | None = None
        first = next(self._blocks, None)
        if first is None:
            raise SequenceFileError(f"{file.name}: the file is empty but for white space; give a JSON object a line.")
        self._schema = pa.schema([_as_written(column) for column in self._parse(first).schema])
        self._first = self._parse(first)
        self.schema = self._first.schema

    def __iter__(self) -> Iterator[pa.Table]:
        first, self._first = self._first, None
        yield self._counted(first)
        for block in self._blocks:
            yield self._counted(self._parse(block))

    def _read_blocks(self) -> Iterator[bytes]:
        if self._stream.peek(JSON_HEAD_BYTES).lstrip()[:1] == b"[":
            for start in range(0, len(rows := self._read_list()), JSON_LIST_ROWS):
                yield "".join(json.dumps(row) + "\n" for row in rows[start : start + JSON_LIST_ROWS]).encode()
            return
        while block := self._stream.read(JSON_BLOCK_BYTES):
            block += self._stream.readline()
            if not block.isspace():
                yield block

    def _read_list(self) -> list[dict[str, Any]]:
        try:
            rows = json.loads(self._stream.read())
        except ValueError as error:
            raise SequenceFileError(
                f"{self._file.name}: it is not a complete JSON list ({one_line(error)}); write a list of objects."
            ) from error
        row = next((i for i, each in enumerate(rows) if not isinstance(each, dict)), None)
        if row is not None:
            raise SequenceFileError(f"{self._file.name}, row {row}: it is not a JSON object, as the rows must be.")
        return rows

    def _parse(self, block: bytes) -> pa.Table:
        try:
            return pyarrow.json.read_json(
                pa.BufferReader(block),
                pyarrow.json.ReadOptions(use_threads=False, block_size=len(block) + 1),
                pyarrow.json.ParseOptions(
                    self._schema, unexpected_field_behavior="error" if self._schema else "infer"
                ),
            )
        except pa.ArrowInvalid as error:
            fault = one_line(error).removeprefix("JSON parse error: ")
            where = re.search(r" in row (\d+)$", fault)
            row = f"row {self._count + int(where[1])}" if where else self.reached()
            fault = (fault[: where.start()] if where else fault).rstrip(".")
            raise SequenceFileError(
                f"{self._file.name}, {row}: {fault}; write a JSON object a line, with the same columns of "
                f"the same types in all{_listed(self._schema)}."
            ) from error


def _listed(schema: pa.Schema | None) -> str:
    return f" ({', '.join(f'{column.name}: {column.type}' for column in schema)})" if schema else ""


def _as_written(column: pa.Field) -> pa.Field:
    """What looks like a time is text, as it stands there, and so is what the first rows do not have."""
    is_text = pa.types.is_timestamp(column.type) or pa.types.is_null(column.type)
    return pa.field(column.name, pa.string() if is_text else column.type)


class ParquetFile(Rows):
    """
    The rows of a Parquet file.

    Attributes:
        features: What `datasets` says of the columns, where it wrote the file.

    Raises:
        SequenceFileError: If it is compressed as a whole, or standard input: Parquet is read from its end.
    """

    def __init__(self, file: InputFile):
        super().__init__(file)
        if not file.is_regular:
            raise SequenceFileError(f"{file.name}: Parquet cannot be read from a pipe; name a file.")
        if file.is_compressed:
            raise SequenceFileError(
                f"{file.name}: Parquet is read from its end, and compressed within; decompress it."
            )
        try:
            self._parquet = pq.ParquetFile(file.path, pre_buffer=False, filesystem=file.filesystem)
        except (pa.ArrowInvalid, OSError) as error:
            raise SequenceFileError(
                f"{file.name}: it is not a complete Parquet file ({one_line(error)}); fetch it again."
            ) from error
        schema = self._parquet.schema_arrow
        self.features: dict[str, Any] = {}
        if b"huggingface" in (schema.metadata or {}):
            from datasets import Features  # here, for loading `datasets` takes a second

            self.features = Features.from_arrow_schema(schema)
        self.schema = schema.remove_metadata()
        self._check_names(self.schema.names)

    def __iter__(self) -> Iterator[pa.Table]:
        batches = self._parquet.iter_batches(batch_size=PARQUET_ROWS, use_threads=False)
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowInvalid, OSError) as error:
                raise UnreadableError(f"the Parquet file is corrupt ({one_line(error)}); fetch it again") from error
            if batch is None:
                return
            table = self._counted(batch)
            self._file.bytes_read = (self._file.size or 0) * self._count // self._parquet.metadata.num_rows
            yield table


class TextFile(Rows):
    """The lines of a text file, a sequence each; lines of white space are neither read nor counted."""

    is_table, is_typed = False, False
    schema = pa.schema([("sequence", pa.large_string())])

    def __init__(self, file: InputFile):
        super().__init__(file)
        self._stream = file.open()

    def __iter__(self) -> Iterator[pa.Table]:
        while lines := self._stream.readlines(TEXT_BLOCK_BYTES):
            sequences = [sequence for line in lines if (sequence := line.strip())]
            array = pa.array(sequences, pa.large_binary()).view(pa.large_string())
            yield self._counted(pa.table([array], schema=self.schema))
