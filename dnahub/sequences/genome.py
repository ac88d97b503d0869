"""FASTA file -> any region of its chromosomes."""

import tempfile

from dnahub.sequences.checks import SequenceFileError, shown
from dnahub.sequences.fasta import FastaFile
from dnahub.sequences.opening import InputFile


class Genome:
    """
    The chromosomes of a FASTA file: read once, their letters are kept in a temporary file, from which regions are cut.

    So neither the layout of lines nor the compression matters, and no index is needed that may be of another file.

    Args:
        file: FASTA, plain or compressed, or standard input.

    Attributes:
        num_nt: The length of each chromosome, by its id.

    Raises:
        SequenceFileError: If it cannot be read, or two chromosomes have one id.
    """

    def __init__(self, file: InputFile):
        self.num_nt: dict[str, int] = {}
        self._starts: dict[str, int] = {}
        self._letters = tempfile.TemporaryFile()
        for number, (raw_id, sequence, _) in enumerate(FastaFile(file).records(), start=1):
            name = raw_id.decode()
            if name in self._starts:
                raise SequenceFileError(
                    f"{file.name}, record {number}: a record before it has the id {shown(name)!r}, too; rename one."
                )
            self._starts[name], self.num_nt[name] = self._letters.tell(), len(sequence)
            self._letters.write(sequence)
        file.check_unchanged()

    def fetch(self, name: str, start: int, end: int) -> str:
        """The letters of a region, 0-based half-open, within the chromosome."""
        self._letters.seek(self._starts[name] + start)
        return self._letters.read(end - start).decode("utf-8", "replace")
