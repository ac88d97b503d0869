"""FASTQ -> tables of id, sequence and description."""

from collections.abc import Iterator

import pyarrow as pa
from dnaio import FastqReader
from dnaio.exceptions import FileFormatError

from dnahub.sequences.batching import RecordBatches
from dnahub.sequences.checks import SequenceFileError, one_line
from dnahub.sequences.opening import InputFile


class FastqFile:
    """The records of a FASTQ file, four lines each; the qualities are left out."""

    unit, first, is_table, is_typed = "record", 1, False, False
    schema = RecordBatches.schema

    def __init__(self, file: InputFile):
        self._file = file
        self._stream = file.open()
        self._batch = RecordBatches()

    def reached(self) -> str:
        return f"record {self._batch.count + 1} or after it"

    def __iter__(self) -> Iterator[pa.Table]:
        batch = self._batch
        try:
            for record in FastqReader(self._stream):
                words = record.name.split(None, 1)
                if not words:
                    raise SequenceFileError(
                        f"{self._file.name}, record {batch.count + 1}: no id after '@'; give every record one."
                    )
                table = batch.add(words[0], record.sequence, words[1].rstrip() if len(words) > 1 else "")
                if table:
                    yield table
        except (FileFormatError, ValueError) as error:
            if isinstance(error, SequenceFileError):
                raise
            raise SequenceFileError(
                f"{self._file.name}, record {batch.count + 1}: it is not a FASTQ record of four lines "
                f"({one_line(error)}); correct the file, or fetch it again."
            ) from error
        if not batch.count:
            raise SequenceFileError(f"{self._file.name}: it has no records; give a FASTQ file.")
        yield batch.rest()
