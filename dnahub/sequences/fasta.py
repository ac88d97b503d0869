"""FASTA -> tables of id, sequence and description."""

from collections.abc import Iterator

import pyarrow as pa

from dnahub.sequences.batching import RecordBatches
from dnahub.sequences.checks import SequenceFileError, shown
from dnahub.sequences.opening import InputFile

BLOCK_BYTES = 1 << 20
WHITE_SPACE = b" \t\r\n\v\f"


class FastaFile:
    """
    The records of a FASTA file, read by blocks: a record without its white space is the most that is held.

    `dnaio` reads FASTA as fast, but leaves out lines that begin with '#' without a word, reads text in the encoding of
    the locale, and holds a chromosome as millions of lines (1.2.4).
    """

    unit, first, is_table, is_typed = "record", 1, False, False
    schema = RecordBatches.schema

    def __init__(self, file: InputFile):
        self._file = file
        self._stream = file.open()
        self._number = 0  # of the record that is open
        self._header = b""
        self._line = 0  # the line that is open, from 1

    def reached(self) -> str:
        return f"record {self._number} ({shown(_id_of(self._header))}), line {self._line}"

    def __iter__(self) -> Iterator[pa.Table]:
        batch = RecordBatches()
        for header, sequence in self._records():
            words = header.split(None, 1)
            if not words:
                raise SequenceFileError(
                    f"{self._file.name}, record {batch.count + 1}: no id after '>'; give every record one."
                )
            table = batch.add(words[0], sequence, words[1].rstrip() if len(words) > 1 else b"")
            if table:
                yield table
        yield batch.rest()

    def _records(self) -> Iterator[tuple[bytes, bytes]]:
        """Header without '>', sequence without white space."""
        in_header, pieces = False, []
        carried = b"\n"  # a line break at the end of a block, for '>' may follow in the next
        while block := self._stream.read1(BLOCK_BYTES):
            data = carried + block
            carried = b"\n" if data.endswith(b"\n") else b""
            more, *parts = data[: len(data) - len(carried)].split(b"\n>")
            if not self._number:
                self._check_is_white(more)
            elif in_header:
                rest, line_break, body = more.partition(b"\n")
                self._header += rest
                in_header = not line_break
                pieces.append(body.translate(None, WHITE_SPACE))
            else:
                pieces.append(more.translate(None, WHITE_SPACE))
            self._line += more.count(b"\n")
            if not parts:
                continue
            if self._number:
                sequence, pieces = b"".join(pieces), []  # let go of before it is copied again
                yield self._header, sequence
            pieces = []
            for part in parts[:-1]:
                self._number += 1
                self._line += 1 + part.count(b"\n")
                header, _, body = part.partition(b"\n")
                yield header, body.translate(None, WHITE_SPACE)
            self._number += 1
            self._line += 1 + parts[-1].count(b"\n")
            self._header, line_break, body = parts[-1].partition(b"\n")
            in_header = not line_break
            pieces.append(body.translate(None, WHITE_SPACE))
        if not self._number:
            raise SequenceFileError(f"{self._file.name}: the file is empty but for white space; give a FASTA file.")
        sequence, pieces = b"".join(pieces), []
        yield self._header, sequence

    def _check_is_white(self, before: bytes) -> None:
        text = before.lstrip()
        if text:
            line = self._line + before[: len(before) - len(text)].count(b"\n")
            first = shown(text.splitlines()[0].decode("utf-8", "replace").strip())
            raise SequenceFileError(
                f"{self._file.name}, line {line}: {first!r} stands before the first '>'; a FASTA file begins with '>' "
                "and a record's id."
            )


def _id_of(header: bytes) -> str:
    return (header.decode("utf-8", "replace").split() or [""])[0]
