"""FASTQ -> tables of id, sequence and description."""

from collections.abc import Iterator

import pyarrow as pa

from dnahub.sequences.batching import Numbers, Source, tables
from dnahub.sequences.checks import BadRecord, SequenceFileError
from dnahub.sequences.headers import record_of
from dnahub.sequences.opening import InputFile


class FastqFile(Source):
    """The records of a FASTQ file, four lines each; the qualities are left out, and so are blank lines between."""

    def __init__(self, file: InputFile):
        self._file = file
        self._stream = file.open()

    def __iter__(self) -> Iterator[tuple[Numbers, pa.Table]]:
        return tables(self._records(), self.schema)

    def _records(self) -> Iterator[tuple[int, tuple[bytes, bytes, bytes]]]:
        number, lines = 0, iter(self._stream)
        for header in lines:
            if header.isspace():
                continue
            number += 1
            sequence, plus, qualities = next(lines, b""), next(lines, b""), next(lines, b"")
            record = record_of(header[1:], sequence.rstrip())
            if plus != b"+\n" or len(sequence) != len(qualities) or not header.startswith(b"@"):  # look closer
                num_letters, num_qualities = len(record[1].decode()), len(qualities.rstrip())
                is_cut_off = not qualities.endswith(b"\n") and num_qualities < num_letters
                if header[:1] != b"@" or plus.rstrip() not in (b"+", b"+" + header[1:].rstrip()) or is_cut_off:
                    raise SequenceFileError(
                        f"{self._file.name}, record {number}: it is not a FASTQ record of four lines (@ and its id, "
                        "sequence, +, as many qualities); correct the file, or fetch it again."
                    )
                if num_qualities != num_letters:
                    fault = f"{num_letters} letters have {num_qualities} qualities"
                    fault = BadRecord("letters and qualities of different number", fault)
                    self.bad.note(self._file.name, f"record {number}", record[0].decode(), fault)
                    continue
            yield number, record
        if not number:
            raise SequenceFileError(f"{self._file.name}: it has no records; give a FASTQ file.")
