"""FASTA -> tables of id, sequence and description."""

from collections.abc import Iterator

import psutil
import pyarrow as pa

from dnahub.sequences.batching import Numbers, Source, tables
from dnahub.sequences.checks import SequenceFileError, shown
from dnahub.sequences.headers import record_of
from dnahub.sequences.opening import InputFile

BLOCK_BYTES = 1 << 20
LONGEST_HEADER = 1 << 20
WHITE_SPACE = b" \t\n\v\f"


class FastaFile(Source):
    """
    The records of a FASTA file, read by blocks: a record is the most that is held.

    White space stays where there is more of it than line breaks, for it may separate k-mers.
    """

    def __init__(self, file: InputFile):
        self._file = file
        file.longest_line = None  # a chromosome may stand in one
        self._stream = file.open()

    def __iter__(self) -> Iterator[tuple[Numbers, pa.Table]]:
        return tables(enumerate(self.records(), start=1), self.schema)

    def records(self) -> Iterator[tuple[bytes, bytes, bytes]]:
        """Id, sequence and description."""
        header, in_header, pieces, held = None, False, [], 0
        most = psutil.virtual_memory().total // 4  # copies are made of it, up to the batch
        carried = b"\n"  # a line break at the end of a block, for '>' may follow in the next
        while block := self._stream.read1(BLOCK_BYTES):
            data = carried + block
            carried = b"\n" if data.endswith(b"\n") else b""
            more, *parts = data[: len(data) - len(carried)].split(b"\n>")
            if header is None:
                if more.strip():
                    line = more.strip().splitlines()[0].decode("utf-8", "replace")
                    raise SequenceFileError(
                        f"{self._file.name}: {shown(line)!r} stands before the first '>'; a FASTA file begins "
                        "with '>' and a record's id."
                    )
            else:
                if in_header:
                    rest, line_break, more = more.partition(b"\n")
                    header += rest
                    if len(header) > LONGEST_HEADER:
                        raise SequenceFileError(
                            f"{self._file.name}: a header has more than {LONGEST_HEADER:,} bytes; shorten it."
                        )
                    in_header = not line_break
                pieces.append(_without_breaks(more))
                held += len(pieces[-1])
                if held > most:
                    raise SequenceFileError(
                        f"{self._file.name}: a record has more than {most:,} letters, a quarter of this machine's "
                        "memory; split it, or use a larger machine."
                    )
            for part in parts:
                if header is not None:
                    sequence, pieces = b"".join(pieces), []  # let go of before it is copied again
                    yield record_of(header, sequence)
                header, line_break, body = part.partition(b"\n")
                in_header = not line_break
                pieces, held = [_without_breaks(body)], len(body)
        if header is None:
            raise SequenceFileError(f"{self._file.name}: the file is empty but for white space; give a FASTA file.")
        sequence, pieces = b"".join(pieces), []
        yield record_of(header, sequence)


def _without_breaks(lines: bytes) -> bytes:
    letters = lines.translate(None, WHITE_SPACE)
    return letters if len(letters) + lines.count(b"\n") == len(lines) else lines
