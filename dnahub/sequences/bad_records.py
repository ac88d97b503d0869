"""Bad records -> one error about all of them, or counts and a list of what was skipped."""

import tempfile
from collections import Counter
from pathlib import Path

from dnahub.machine.files import replacing
from dnahub.machine.text import inert
from dnahub.sequences.checks import BadRecord, SequenceFileError, shown
from dnahub.sequences.ids import SeenIds

NUM_NAMED = 10


class BadRecords:
    """
    The bad records of one or more readers, and what they are.

    Args:
        skips: Whether they are left out; else they are an error. None: an error in a program without the choice.
        unique_ids: Whether a record is one whose id an earlier record has.
        need_bases: Whether a sequence is one that has no A, C, G or T, from which nothing can be learned.

    Attributes:
        counts: Their numbers by reason.
    """

    def __init__(self, skips: bool | None = False, unique_ids: bool = False, need_bases: bool = False):
        self.skips, self.need_bases = skips, need_bases
        self.seen_ids = SeenIds() if unique_ids else None
        self.counts: Counter[str] = Counter()
        self._first: list[str] = []
        self._last_file = ""
        if skips:
            # There may be millions; the name of a file may have bytes that are not UTF-8.
            self._list = tempfile.TemporaryFile("w+", encoding="utf-8", errors="backslashreplace")
            self._list.write("file\trecord\tid\treason\tfault\n")

    def note(self, file: str, record: str, name: str | None, fault: BadRecord) -> None:
        """One more: its file, its place there, such as "record 3", its id if it is known, and what is wrong."""
        self.counts[fault.reason] += 1
        if len(self._first) < NUM_NAMED:
            place = place_of(file, record, name)
            place = place.removeprefix(f"{file}, ") if file == self._last_file else place
            self._first.append(f"{place}: {fault}")
            self._last_file = file
        if self.skips:
            values = (file, record, name or "", fault.reason, str(fault))
            self._list.write("\t".join(inert(" ".join(value.split())) for value in values) + "\n")

    def error(self, is_complete: bool) -> SequenceFileError:
        """The first of them and their number, which may be larger if not all of the input was read."""
        number = self.counts.total()
        named = "; ".join(self._first) + "; …" * (number > NUM_NAMED)
        if number > 1 or not is_complete:
            named = f"{number:,} bad records{'' if is_complete else ' so far'}: {named}"
        choice = ", or leave them out by --bad_records skip" if self.skips is False else ""
        return SequenceFileError(
            f"{named}; {'no other is left: ' if self.skips else ''}correct or remove them{choice}."
        )

    def summary(self) -> str:
        """One line: how many were skipped, by reason."""
        reasons = ", ".join(f"{reason}: {number:,}" for reason, number in self.counts.most_common())
        return f"skipped records: {self.counts.total():,} ({reasons})"

    def write(self, path: Path) -> None:
        """A TSV file of what was skipped."""
        self._list.seek(0)
        with replacing(path) as scratch, scratch.open("w", encoding="utf-8") as file:
            file.writelines(self._list)


def place_of(file: str, record: str, name: str | None) -> str:
    """For messages: "genes.fa.gz, record 3 (ENST0001)"."""
    return f"{file}, {record} ({shown(name)})" if name else f"{file}, {record}"
