"""Path or standard input -> a stream of its bytes, decompressed."""

import bz2
import codecs
import io
import lzma
import os
import stat
import sys
import weakref
from pathlib import Path
from typing import BinaryIO

from fsspec import AbstractFileSystem
from xopen import xopen

from dnahub.sequences.checks import SequenceFileError, one_line

STANDARD_INPUT = "-"
# How each kind of compressed file begins; a zstd file also with a skippable frame, as pzstd writes it:
# https://www.rfc-editor.org/rfc/rfc8878#section-3.1.2
MAGICS = {b"\x1f\x8b": "gz", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zst", b"\xfd7zXZ\x00": "xz"}
MAGICS |= {bytes([first, 0x2A, 0x4D, 0x18]): "zst" for first in range(0x50, 0x60)}
COMPRESSIONS = {".gz": "gz", ".bgz": "gz", ".bz2": "bz2", ".zst": "zst", ".xz": "xz"}
BUFFER_BYTES = 1 << 18
LONGEST_LINE = 1 << 28  # bytes; longer than a human chromosome, and a bound on what a compressed file can expand to
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class InputFile:
    """
    One input. It is opened when `open` is first called, and again after `close` only.

    Args:
        path: A file; "-" is standard input.
        filesystem: Where the file is; default this machine.

    Attributes:
        name: What it is called in messages.
        is_regular: Whether it can be opened again, and at any place: neither standard input nor a pipe.
        size: Bytes on disk; None for standard input, pipes and files elsewhere.
        bytes_read: Bytes read so far, compressed as they are.
        longest_line: The most bytes that a line may have; None: any number.

    Raises:
        SequenceFileError: If it is not there, may not be read, is empty, or is not compressed as its name says.
    """

    def __init__(self, path: str, filesystem: AbstractFileSystem | None = None):
        self.path = path
        self.filesystem = filesystem
        self.name = "standard input" if path == STANDARD_INPUT else path
        self.bytes_read = 0
        self.longest_line: int | None = LONGEST_LINE
        self._stream: io.BufferedReader | None = None
        self._stat = None if path == STANDARD_INPUT or filesystem else self._look()
        is_on_disk = self._stat is not None and stat.S_ISREG(self._stat.st_mode)
        self.is_regular = is_on_disk or filesystem is not None
        self.size = self._stat.st_size if is_on_disk else None
        if self.size == 0:
            raise SequenceFileError(f"{path}: the file is empty; give one with sequences.")
        if is_on_disk:
            with self._open_raw() as file:
                self._compression(file.read(max(map(len, MAGICS))))

    @property
    def suffix(self) -> str:
        """The suffix that says the format, in lower case, without that of a compression."""
        return suffix_of(self.path)

    def open(self) -> io.BufferedReader:
        """
        The decompressed bytes, lines ended by \\n.

        Raises:
            SequenceFileError: If it may not be read or is not compressed as its name says; while it is read, too, if
                it is truncated, corrupt or not UTF-8.
        """
        if self._stream:
            return self._stream
        self.bytes_read = 0
        file = io.BufferedReader(_Counted(self._open_raw(), self), BUFFER_BYTES)
        compression = self._compression(file.peek())
        if compression in ("xz", "bz2"):
            file = _Streams(file, compression)
        elif compression:
            file = xopen(file, "rb", threads=0, format=compression)
        self._stream = io.BufferedReader(_Guarded(file, self, compression), BUFFER_BYTES)
        if self._stream.peek(len(BYTE_ORDER_MARK)).startswith(BYTE_ORDER_MARK):
            self._stream.read(len(BYTE_ORDER_MARK))
        return self._stream

    def close(self) -> None:
        if self._stream:
            self._stream.close()
        self._stream = None

    def check_unchanged(self) -> None:
        """Raises SequenceFileError if size or time of the file are not what they were when it was first looked at."""
        if self.size is None:
            return
        now = self._look()
        if (now.st_size, now.st_mtime_ns) != (self.size, self._stat.st_mtime_ns):
            raise SequenceFileError(
                f"{self.path}: the file was changed while it was read; run again when it is complete."
            )

    def _look(self) -> os.stat_result:
        try:
            found = os.stat(self.path)
        except OSError as error:
            raise SequenceFileError(f"{self.path}: {error.strerror}; check the path.") from error
        if stat.S_ISDIR(found.st_mode):
            raise SequenceFileError(
                f"{self.path}: it is a folder; name the files in it, or give a data set as --dataset_name."
            )
        return found

    def _open_raw(self) -> io.RawIOBase:
        if self.filesystem:
            return self.filesystem.open(self.path, "rb")
        if self.path == STANDARD_INPUT:
            return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)
        try:
            return open(self.path, "rb", buffering=0)
        except OSError as error:
            raise SequenceFileError(f"{self.path}: {error.strerror}; check that you may read it.") from error

    def _compression(self, head: bytes) -> str | None:
        found = next((kind for magic, kind in MAGICS.items() if head.startswith(magic)), None)
        suffix = Path(self.path).suffix.lower()
        if suffix in COMPRESSIONS and found != COMPRESSIONS[suffix]:
            raise SequenceFileError(
                f"{self.path}: the name ends in {suffix} but the file is not compressed so; compress or rename it."
            )
        return found


def suffix_of(name: str) -> str:
    path = Path(name)
    return Path(path.stem if path.suffix.lower() in COMPRESSIONS else path.name).suffix.lower()


class _Counted(io.RawIOBase):
    def __init__(self, file: io.FileIO, counter: InputFile):
        self._file = file
        self._counter = weakref.ref(counter)  # a cycle through the decompressors, written in C, would never be freed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        count = self._file.readinto(buffer)
        if (counter := self._counter()) is not None:
            counter.bytes_read += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


class _Streams:
    """
    The bytes of .xz or .bz2 streams that follow one another.

    Python's own readers end without an error where what follows the first stream is damaged, or is padding.
    """

    def __init__(self, file: io.BufferedReader, compression: str):
        self._file = file
        self._new = {"xz": lzma.LZMADecompressor, "bz2": bz2.BZ2Decompressor}[compression]
        self._padding = b"\0" if compression == "xz" else b""  # https://tukaani.org/xz/xz-file-format.txt, 2.2
        self._stream = self._new()

    def read1(self, size: int) -> bytes:
        while True:
            if self._stream.eof:
                block = (self._stream.unused_data or self._file.read1()).lstrip(self._padding)
                while not block and self._file.peek(1):
                    block = self._file.read1().lstrip(self._padding)
                if not block:
                    return b""
                self._stream = self._new()
            else:
                block = self._file.read1() if self._stream.needs_input else b""
                if not block and self._stream.needs_input:
                    raise EOFError
            if data := self._stream.decompress(block, size):
                return data

    def close(self) -> None:
        self._file.close()


class _Guarded(io.RawIOBase):
    """Turns faults of a decompressor, and bytes that are not UTF-8, into one sentence; every line ends with \\n."""

    def __init__(self, file: BinaryIO, source: InputFile, compression: str | None):
        self._file = file
        self._source, self._name = source, source.name
        self._compression = compression
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._line, self._line_bytes = 1, 0
        self._ended_in_return = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        block = self._read(len(buffer))
        if self._ended_in_return and block.startswith(b"\n"):
            block = block[1:] or self._read(len(buffer))
        self._ended_in_return = block.endswith(b"\r")
        if b"\r" in block:  # line ends of Windows and of old Macs
            block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\0" in block:
            line = self._line + block.count(b"\n", 0, block.index(b"\0"))
            raise SequenceFileError(f"{self._name}, line {line}: it has a byte 0x00; give a file of text.")
        if not block.isascii() or self._decoder.getstate()[0]:  # or a letter that began in the block before
            try:
                self._decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                line = self._line + error.object.count(b"\n", 0, error.start)
                raise SequenceFileError(
                    f"{self._name}, line {line}: the byte {error.object[error.start]:#04x} is not UTF-8; save the "
                    "file as ASCII or UTF-8."
                ) from error
        self._line += block.count(b"\n")
        self._line_bytes = len(block) - block.rfind(b"\n") - 1 + (0 if b"\n" in block else self._line_bytes)
        if self._source.longest_line is not None and self._line_bytes > self._source.longest_line:
            raise SequenceFileError(
                f"{self._name}, line {self._line}: it has more than {self._source.longest_line:,} bytes; give "
                "sequences as long as this as FASTA."
            )
        buffer[: len(block)] = block
        return len(block)

    def _read(self, size: int) -> bytes:
        try:
            return self._file.read1(size)
        except EOFError as error:
            fault = f"the .{self._compression} file ends too early, after line {self._line} or later"
            raise SequenceFileError(f"{self._name}: {fault}; fetch it again.") from error
        except MemoryError:  # no fault of the file
            raise
        except Exception as error:  # each decompressor has its own; those of the disk are OSError
            fault = f"the .{self._compression} file is corrupt" if self._compression else "it cannot be read"
            raise SequenceFileError(
                f"{self._name}: {fault}, after line {self._line} or later ({one_line(error)}); fetch it again."
            ) from error

    def close(self) -> None:
        self._file.close()
        super().close()
