"""FASTQ -> tables of id, sequence and description."""

from collections.abc import Iterator

import pyarrow as pa
from dnaio import FastqReader
from dnaio.exceptions import FileFormatError

from dnahub.sequences.batching import Source, tables
from dnahub.sequences.checks import SequenceFileError, one_line
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
            for number, record in enumerate(FastqReader(self._stream), start=1):
                words = record.name.split(None, 1)
                if not words:
                    raise SequenceFileError(
                        f"{self._file.name}, record {number}: no id after '@'; give every record one."
                    )
                yield words[0], record.sequence, words[1].rstrip() if len(words) > 1 else ""
        except SequenceFileError:
            raise
        except (FileFormatError, ValueError) as error:  # ValueError: letters that are not ASCII
            raise SequenceFileError(
                f"{self._file.name}, record {number + 1}: it is not a FASTQ record of four lines ({one_line(error)}); "
                "correct the file, or fetch it again."
            ) from error
        if not number:
            raise SequenceFileError(f"{self._file.name}: it has no records; give a FASTQ file.")
