"""FASTA file, plain or bgzip -> any region of its chromosomes."""

import re
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np

from dnahub.sequences.checks import SequenceFileError, one_line, shown
from dnahub.sequences.opening import InputFile

BLOCK_BYTES = 1 << 20
WHITE_SPACE = (b" ", b"\t", b"\v", b"\f")
# https://samtools.github.io/hts-specs/SAMv1.pdf, section 4.1
BGZF_HEADER_BYTES = 18
BGZF_MAGIC, BGZF_FIELD = b"\x1f\x8b\x08\x04", b"BC\x02\x00"


@dataclass
class Chromosome:
    """
    Where a chromosome is.

    Args:
        offset: Of its first letter, in the decompressed file.
        line_bytes: Of each line but the last, with its end.
        line_end_bytes: 1 or, as Windows has it, 2.
        length_nt: Of all lines.
        is_complete: Whether a shorter line was seen, which must be the last.
    """

    offset: int
    line_bytes: int = 0
    line_end_bytes: int = 1
    length_nt: int = 0
    is_complete: bool = False

    def place(self, nt: int) -> int:
        """Where a letter is, in the decompressed file."""
        lines, column = divmod(nt, self.line_bytes - self.line_end_bytes)
        return self.offset + lines * self.line_bytes + column


class Genome:
    """
    The chromosomes of a FASTA file.

    The file is read once to find where they are. An index beside it (.fai) may be of another file: it is not used.

    Args:
        file: Plain or bgzip; the lines of a record are equally long but for the last, which may be shorter.

    Attributes:
        chromosomes: By their ids.

    Raises:
        SequenceFileError: If it is not such a file.
    """

    def __init__(self, file: InputFile):
        if not file.is_regular:
            raise SequenceFileError(f"{file.name}: regions cannot be cut out of a pipe; name a file.")
        self._name = file.name
        self._file = open(file.path, "rb")
        # Of bgzip: where each block begins, in the file and decompressed.
        self._places: list[int] = []
        self._starts: list[int] = []
        self._last_block = (-1, b"")
        self.chromosomes: dict[str, Chromosome] = {}
        self._scan(self._bgzip_blocks() if file.is_compressed else iter(lambda: self._file.read(BLOCK_BYTES), b""))

    def fetch(self, name: str, start: int, end: int) -> str:
        """
        The letters of a region, 0-based half-open, within the chromosome.

        Raises:
            SequenceFileError: If the file cannot be read there.
        """
        place = self.chromosomes[name].place
        data = self._read(place(start), place(end - 1) + 1).translate(None, b"\r\n")
        if len(data) != end - start:
            raise SequenceFileError(f"{self._name}: the file was changed while it was read; run again.")
        return data.decode("ascii", "replace")

    def _read(self, first: int, stop: int) -> bytes:
        if not self._places:
            self._file.seek(first)
            return self._file.read(stop - first)
        data, number = [], bisect_right(self._starts, first) - 1
        begin = self._starts[number]
        while number < len(self._places) and self._starts[number] < stop:
            if self._last_block[0] != number:
                self._file.seek(self._places[number])
                self._last_block = (number, self._bgzip_block())
            data.append(self._last_block[1])
            number += 1
        return b"".join(data)[first - begin : stop - begin]

    def _bgzip_blocks(self) -> Iterator[bytes]:
        place, start, data = 0, 0, b""
        while (block := self._bgzip_block()) is not None:
            data = block
            self._places.append(place)
            self._starts.append(start)
            place, start = self._file.tell(), start + len(data)
            yield data
        if data:  # an empty block is the mark of the end
            raise SequenceFileError(f"{self._name}: the bgzip file ends too early; fetch it again.")

    def _bgzip_block(self) -> bytes | None:
        """The block at this place of the file, decompressed; None at its end."""
        header = self._file.read(BGZF_HEADER_BYTES)
        if not header:
            return None
        if header[:4] != BGZF_MAGIC[: len(header)] or header[12:16] != BGZF_FIELD[: max(len(header) - 12, 0)]:
            raise SequenceFileError(f"{self._name}: it is not compressed by bgzip; give such a file, or a plain one.")
        size = int.from_bytes(header[16:], "little") + 1
        block = header + self._file.read(max(size - len(header), 0))
        if len(header) < BGZF_HEADER_BYTES or len(block) < size:
            raise SequenceFileError(f"{self._name}: the bgzip file ends too early; fetch it again.")
        try:
            return zlib.decompress(block, 31)
        except zlib.error as error:
            raise SequenceFileError(f"{self._name}: it is corrupt ({one_line(error)}); fetch it again.") from error

    def _scan(self, blocks: Iterator[bytes]) -> None:
        """Find all chromosomes, some whole lines at a time."""
        waiting: list[bytes] = []  # of the line that is open
        offset, number, chromosome = 0, 1, None
        for block in chain(blocks, [None]):
            if block is None:  # the last line may lack its end
                is_windows = chromosome is not None and chromosome.line_end_bytes == 2
                block = b"\r\n"[1 - is_windows :] if any(waiting) else b""
            head, line_break, rest = block.rpartition(b"\n")
            if not line_break:
                waiting.append(block)
                continue
            lines = b"".join([*waiting, head, line_break])
            waiting = [rest]
            letters = np.frombuffer(lines, np.uint8)
            ends = np.flatnonzero(letters == ord("\n")) + 1
            starts = np.concatenate([[0], ends[:-1]])
            headers = np.flatnonzero(letters[starts] == ord(">"))
            for first, stop in pairwise([0, *headers.tolist(), len(starts)]):
                if stop > first and letters[starts[first]] == ord(">"):
                    header = lines[starts[first] : ends[first]]
                    chromosome = self._add(header, offset + int(ends[first]), number + first)
                    first += 1
                if stop > first:
                    of_record = lines[starts[first] : ends[stop - 1]]
                    self._extend(chromosome, of_record, (ends - starts)[first:stop], number + first)
            offset, number = offset + len(lines), number + len(ends)
        if not self.chromosomes:
            raise SequenceFileError(f"{self._name}: it has no sequences; give a FASTA file.")

    def _add(self, header: bytes, offset: int, number: int) -> Chromosome:
        if b"\r" in header.rstrip(b"\r\n"):
            raise self._error(number, "it has carriage returns within, as the line ends of old Macs")
        words = header[1:].split(None, 1)
        if not words:
            raise self._error(number, "there is no id after '>'")
        name = words[0].decode("utf-8", "replace")
        if name in self.chromosomes:
            raise self._error(number, f"a record before it has the id {shown(name)!r}, too")
        return self.chromosomes.setdefault(name, Chromosome(offset))

    def _extend(self, chromosome: Chromosome | None, lines: bytes, num_bytes: np.ndarray, number: int) -> None:
        """More lines of a record, the first of this number."""
        if chromosome is None:
            if lines.strip():
                row = lines.count(b"\n", 0, len(lines) - len(lines.lstrip()))
                raise self._error(number + row, "letters stand before the first '>'")
            return
        if not chromosome.line_bytes:
            chromosome.line_bytes = int(num_bytes[0])
            chromosome.line_end_bytes = 2 if lines[: num_bytes[0]].endswith(b"\r\n") else 1
        num_returns = len(num_bytes) if chromosome.line_end_bytes == 2 else 0
        are_alike = lines.count(b"\r") == num_returns and (not num_returns or lines.count(b"\r\n") == num_returns)
        if not are_alike or any(space in lines for space in WHITE_SPACE):
            strange = re.search(rb"[ \t\v\f]|\r(?!\n)|" + (rb"(?<!\r)\n" if num_returns else rb"\r"), lines)
            row = lines.count(b"\n", 0, strange.start())
            raise self._error(number + row, "it has white space among its letters, or another line end")
        # All lines of a record are alike, then one may be shorter, then all are empty.
        is_other = num_bytes != chromosome.line_bytes
        if chromosome.is_complete or is_other.any():
            first_other = 0 if chromosome.is_complete else int(np.argmax(is_other))
            is_long = num_bytes[first_other:] > chromosome.line_end_bytes
            if not chromosome.is_complete:
                is_long[0] = num_bytes[first_other] > chromosome.line_bytes
            if is_long.any():
                raise self._error(
                    number + first_other + int(np.argmax(is_long)),
                    "its length differs from those before it in its record",
                )
            chromosome.is_complete = True
        chromosome.length_nt += int(num_bytes.sum()) - chromosome.line_end_bytes * len(num_bytes)

    def _error(self, number: int, fault: str) -> SequenceFileError:
        return SequenceFileError(
            f"{self._name}, line {number}: {fault}, so that regions cannot be located; write all lines of a record "
            "equally long, but for the last, which may be shorter."
        )
