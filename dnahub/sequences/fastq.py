"""FASTQ -> tables of id, sequence and description."""

from collections.abc import Iterator

import pyarrow as pa
from dnaio import FastqReader
from dnaio.exceptions import FileFormatError

from dnahub.sequences.batching import Source, tables
from dnahub.sequences.checks import SequenceFileError, one_line
from dnahub.sequences.headers import record_of
from dnahub.sequences.opening import InputFile


class FastqFile(Source):
    """The records of a FASTQ file, four lines each; the qualities are left out."""

    def __init__(self, file: InputFile):
        self._file = file
        self._stream = file.open()

    def __iter__(self) -> Iterator[pa.Table]:
        return tables(self._records(), self.schema)

    def _records(self) -> Iterator[tuple[str, str, str]]:
        number = 0
        try:
            for record in FastqReader(self._stream):
                number += 1
                yield record_of(record.name, record.sequence)
        except SequenceFileError:
            raise
        except (FileFormatError, ValueError) as error:  # ValueError: letters that are not ASCII
            raise SequenceFileError(
                f"{self._file.name}, record {number + 1}: it is not a FASTQ record of four lines ({one_line(error)}); "
                "correct the file, or fetch it again."
            ) from error
        if not number:
            raise SequenceFileError(f"{self._file.name}: it has no records; give a FASTQ file.")
