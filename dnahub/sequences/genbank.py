"""GenBank -> tables of coding sequences (CDS), or of whole records."""

import io
import warnings
from collections.abc import Iterator

import pyarrow as pa

from dnahub.sequences.batching import Source, tables
from dnahub.sequences.checks import SequenceFileError, one_line, shown
from dnahub.sequences.opening import InputFile

QUALIFIERS = ("gene", "locus_tag", "product")
CDS_COLUMNS = [(name, pa.string()) for name in (*QUALIFIERS, "record")]


class GenbankFile(Source):
    """
    The CDS of all records of a GenBank file, joined and on their strand, or the records.

    A CDS begins with its first whole codon: of one whose 5' end is unknown, `codon_start` (2 or 3) says where that is.

    The id of a CDS is the first of its protein_id, locus_tag and gene that no CDS of the file before it has (a WP_
    protein may be encoded several times in a genome), else the record's id and the CDS's number in it.
    """

    def __init__(self, file: InputFile, features: str):
        try:
            from Bio import BiopythonParserWarning, SeqIO
        except ImportError as error:
            raise SequenceFileError(
                f"{file.name}: reading GenBank needs biopython; pip install -r requirements-extra.txt."
            ) from error
        self._name = file.name
        self._records = SeqIO.parse(io.TextIOWrapper(file.open(), encoding="utf-8"), "genbank")
        self._warning = BiopythonParserWarning
        self._ids: set[str] = set()
        self._features = features
        if features == "cds":
            self.unit = "CDS"
            self.schema = pa.schema([("id", pa.string()), ("sequence", pa.large_string()), *CDS_COLUMNS])

    def __iter__(self) -> Iterator[pa.Table]:
        return tables(self._rows(), self.schema)

    def _rows(self) -> Iterator[tuple]:
        number, count = 0, 0
        while (record := self._next(number)) is not None:
            number += 1
            where = f"{self._name}, record {number} ({record.id})"
            if not record.seq.defined:
                raise SequenceFileError(
                    f"{where}: it comes without its sequence; fetch it with ORIGIN and letters (the full GenBank "
                    "format)."
                )
            if self._features == "cds":
                rows = self._coding_sequences(record, where)
            else:
                rows = [(record.id, str(record.seq), record.description)]
            for row in rows:
                count += 1
                yield row
        if not number:
            raise SequenceFileError(f"{self._name}: it has no records; a GenBank record begins with LOCUS.")
        if not count:
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

    def _coding_sequences(self, record, where: str) -> Iterator[tuple]:
        for number, feature in enumerate((each for each in record.features if each.type == "CDS"), start=1):
            protein_id, gene, locus_tag, product = (
                feature.qualifiers.get(name, [None])[0] for name in ("protein_id", *QUALIFIERS)
            )
            names = (protein_id, locus_tag, gene)
            name = next((name for name in names if name and name not in self._ids), f"{record.id}.{number}")
            self._ids.add(name)
            # Where its first codon begins, from 1: https://www.insdc.org/submitting-standards/feature-table, 7.3.
            codon_start = feature.qualifiers.get("codon_start", ["1"])[0]
            try:
                if codon_start not in ("1", "2", "3"):
                    raise ValueError(f"its codon_start is {shown(codon_start)!r}, not 1, 2 or 3")
                if feature.location and any(part.end > len(record) for part in feature.location.parts):
                    raise ValueError(f"it ends beyond the record, which has {len(record)} nt")
                sequence = str(feature.extract(record.seq))[int(codon_start) - 1 :]
            except (ValueError, TypeError) as error:  # Biopython's of parts in other records, or a location unread
                raise SequenceFileError(
                    f"{where}: its CDS {name} cannot be cut out ({one_line(error)}); correct or remove that feature."
                ) from error
            yield name, sequence, gene, locus_tag, product, record.id
