"""GenBank -> tables of coding sequences (CDS), or of whole records."""

import io
import warnings
from collections.abc import Iterator
from itertools import chain, count

import pyarrow as pa

from dnahub.sequences.batching import Numbers, Source, tables
from dnahub.sequences.checks import BadRecord, SequenceFileError, one_line, shown
from dnahub.sequences.opening import InputFile

QUALIFIERS = ("gene", "locus_tag", "product")
CDS_COLUMNS = [(name, pa.string()) for name in (*QUALIFIERS, "record")]


class GenbankFile(Source):
    """
    The CDS of all records of a GenBank file, joined and on their strand, or the records.

    A CDS begins with its first whole codon: of one whose 5' end is unknown, `codon_start` (2 or 3) says where that is.

    The id of a CDS is the first of its protein_id, locus_tag and gene, the record's id with the number of the CDS in
    it, and this with a suffix, that no CDS before it has: a WP_ protein may be encoded several times in a genome, and
    in many genomes. `taken` are the ids of all files; new ones are added.
    """

    def __init__(self, file: InputFile, features: str, taken: set[str]):
        try:
            from Bio import BiopythonParserWarning, SeqIO
        except ImportError as error:
            raise SequenceFileError(
                f"{file.name}: reading GenBank needs biopython; pip install -r requirements-extra.txt."
            ) from error
        self._name = file.name
        self._records = SeqIO.parse(_Lines(file.open(), encoding="utf-8"), "genbank")
        self._warning = BiopythonParserWarning
        self._taken = taken
        self._features = features
        if features == "cds":
            self.unit = "CDS"
            self.schema = pa.schema([("id", pa.string()), ("sequence", pa.large_string()), *CDS_COLUMNS])

    def __iter__(self) -> Iterator[tuple[Numbers, pa.Table]]:
        return tables(self._rows(), self.schema)

    def _rows(self) -> Iterator[tuple[int, tuple]]:
        number, num_cds, num_bad = 0, 0, self.bad.counts.total()
        while (record := self._next(number)) is not None:
            number += 1
            if not record.seq.defined:
                fault = BadRecord(
                    "a record without its sequence",
                    "it comes without its sequence; fetch it with ORIGIN and letters (the full GenBank format)",
                )
                self.bad.note(self._name, f"record {number}", record.id, fault)
            elif self._features == "record":
                yield number, (record.id, str(record.seq), record.description)
            else:
                for of_record, cds in enumerate((each for each in record.features if each.type == "CDS"), start=1):
                    num_cds += 1
                    names = [cds.qualifiers.get(name, [None])[0] for name in ("protein_id", "locus_tag", "gene")]
                    name = self._new_id(names, f"{record.id}.{of_record}")
                    try:
                        sequence = _cut_out(cds, record)
                    except BadRecord as fault:
                        where = f"record {number} ({shown(record.id)}), CDS {num_cds}"
                        self.bad.note(self._name, where, name, fault)
                        continue
                    qualifiers = (cds.qualifiers.get(each, [None])[0] for each in QUALIFIERS)
                    yield num_cds, (name, sequence, *qualifiers, record.id)
        if not number:
            raise SequenceFileError(f"{self._name}: it has no records; a GenBank record begins with LOCUS.")
        if self._features == "cds" and not num_cds and self.bad.counts.total() == num_bad:
            raise SequenceFileError(
                f"{self._name}: its {number} records have no CDS; take them whole (--genbank_features record)."
            )

    def _next(self, number: int):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", self._warning)  # of headers that other programs wrote
                # A record that is cut off has fewer letters than its first line says.
                warnings.filterwarnings("error", "Expected sequence length", self._warning)
                return next(self._records, None)
        except SequenceFileError:
            raise
        except (ValueError, AssertionError, IndexError, KeyError, self._warning) as error:
            raise SequenceFileError(
                f"{self._name}, record {number + 1}: it is not a complete GenBank record ({one_line(error)}); fetch "
                "it again."
            ) from error

    def _new_id(self, names: list[str | None], last: str) -> str:
        candidates = chain(filter(None, names), [last], (f"{last}.{copy}" for copy in count(2)))
        name = next(each for each in candidates if each not in self._taken)
        self._taken.add(name)
        return name


class _Lines(io.TextIOWrapper):
    """Raises ValueError at the end of a record without LOCUS, over which Biopython passes (1.88)."""

    _has_locus = False

    def readline(self, *size: int) -> str:
        line = super().readline(*size)
        self._has_locus |= line.startswith("LOCUS ")
        if line.startswith("//"):
            if not self._has_locus:
                raise ValueError("it does not begin with LOCUS")
            self._has_locus = False
        return line


def _cut_out(cds, record) -> str:
    """Its letters from its first whole codon on; raises BadRecord."""
    try:
        # Where that begins, from 1: https://www.insdc.org/submitting-standards/feature-table, 7.3.
        codon_start = cds.qualifiers.get("codon_start", ["1"])[0]
        if codon_start not in ("1", "2", "3"):
            raise ValueError(f"its codon_start is {shown(codon_start)!r}, not 1, 2 or 3")
        if cds.location is None:
            raise ValueError("its location is not one of this record; it may wrap around, but the record is linear")
        sequence = str(cds.extract(record.seq))
        if any(part.end > len(record) for part in cds.location.parts):
            raise ValueError(f"it ends beyond the record, which has {len(record)} nt")
        return sequence[int(codon_start) - 1 :]
    except (ValueError, TypeError) as error:  # of parts in other records
        raise BadRecord("a CDS that cannot be cut out", f"it cannot be cut out ({one_line(error)})") from error
