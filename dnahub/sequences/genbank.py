"""GenBank -> tables of coding sequences (CDS), or of whole records."""

import io
import warnings
from collections.abc import Iterator

import pyarrow as pa

from dnahub.sequences.batching import tables
from dnahub.sequences.checks import SequenceFileError, one_line, shown
from dnahub.sequences.opening import InputFile

QUALIFIERS = ("gene", "locus_tag", "product")


class GenbankFile:
    """
    The CDS of all records of a GenBank file, joined and on their strand, or the records.

    A CDS begins with its first whole codon: of one whose 5' end is unknown, `codon_start` (2 or 3) says where that is.

    The id of a CDS is the first of its protein_id, locus_tag and gene that no CDS of the file before it has (a WP_
    protein may be encoded several times in a genome), else the record's id and the CDS's number in it.

    Args:
        file: What to read.
        features: "cds" or "record".

    Raises:
        SequenceFileError: If biopython is not installed.
    """

    is_table, is_typed = False, False

    def __init__(self, file: InputFile, features: str):
        try:
            from Bio import BiopythonParserWarning, SeqIO
        except ImportError as error:
            raise SequenceFileError(
                f"{file.name}: reading GenBank needs biopython; pip install -r requirements-extra.txt."
            ) from error
        self._file = file
        self._stream = io.TextIOWrapper(file.open(), encoding="utf-8")
        self._parse = SeqIO.parse
        self._warning = BiopythonParserWarning
        self._features = features
        self._number = 0
        self._id = ""
        self._ids: set[str] = set()
        self.unit, self.first = ("CDS", 1) if features == "cds" else ("record", 1)
        others = (*QUALIFIERS, "record") if features == "cds" else ("description",)
        self.schema = pa.schema(
            [("id", pa.string()), ("sequence", pa.large_string()), *((name, pa.string()) for name in others)]
        )

    def reached(self) -> str:
        return f"after record {self._number} ({shown(self._id)})" if self._number else "record 1"

    def __iter__(self) -> Iterator[pa.Table]:
        return tables(self._rows(), self.schema)

    def _rows(self) -> Iterator[dict[str, str | None]]:
        count = 0
        for record in self._records():
            for row in self._coding_sequences(record) if self._features == "cds" else [self._whole(record)]:
                count += 1
                yield row
        if not self._number:
            raise SequenceFileError(f"{self._file.name}: it has no records; a GenBank record begins with LOCUS.")
        if not count:
            raise SequenceFileError(
                f"{self._file.name}: its {self._number} records have no CDS; take them whole "
                "(--genbank_features record)."
            )

    def _records(self) -> Iterator:
        records = self._parse(self._stream, "genbank")
        while True:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", self._warning)  # of headers that other programs wrote
                    # A record that is cut off has fewer letters than its first line says.
                    warnings.filterwarnings("error", "Expected sequence length", self._warning)
                    record = next(records, None)
            except (ValueError, AssertionError, IndexError, KeyError, self._warning) as error:
                raise SequenceFileError(
                    f"{self._file.name}, {self.reached()}: it is not a complete GenBank record ({one_line(error)}); "
                    "fetch it again."
                ) from error
            if record is None:
                return
            self._number += 1
            self._id = record.id
            if not record.seq.defined:
                raise SequenceFileError(
                    f"{self._file.name}, record {self._number} ({self._id}): it comes without its sequence; fetch it "
                    "with ORIGIN and letters (the full GenBank format)."
                )
            yield record

    def _whole(self, record) -> dict[str, str]:
        return {"id": record.id, "sequence": str(record.seq), "description": record.description}

    def _coding_sequences(self, record) -> Iterator[dict[str, str | None]]:
        for number, feature in enumerate((each for each in record.features if each.type == "CDS"), start=1):
            values = {name: (feature.qualifiers.get(name) or [None])[0] for name in ("protein_id", *QUALIFIERS)}
            protein_id = values.pop("protein_id")
            names = (protein_id, values["locus_tag"], values["gene"])
            name = next((name for name in names if name and name not in self._ids), f"{record.id}.{number}")
            self._ids.add(name)
            if feature.location and any(part.end > len(record) for part in feature.location.parts):
                raise SequenceFileError(
                    f"{self._file.name}, record {self._number} ({record.id}): its CDS {name} ends beyond the record, "
                    f"which has {len(record)} nt; remove that feature."
                )
            try:
                sequence = feature.extract(record.seq)
            except (ValueError, TypeError) as error:  # of parts that lie in other records, or a location unread
                raise SequenceFileError(
                    f"{self._file.name}, record {self._number} ({record.id}): its CDS {name} cannot be cut out "
                    f"({one_line(error)}); remove that feature."
                ) from error
            # Where its first codon begins, from 1: https://www.insdc.org/submitting-standards/feature-table, 7.3.
            codon_start = (feature.qualifiers.get("codon_start") or ["1"])[0]
            if codon_start not in ("1", "2", "3"):
                raise SequenceFileError(
                    f"{self._file.name}, record {self._number} ({record.id}): the codon_start of its CDS {name} is "
                    f"{shown(codon_start)!r}, not 1, 2 or 3; correct or remove that feature."
                )
            sequence = sequence[int(codon_start) - 1 :]
            yield {"id": name, "sequence": str(sequence), **values, "record": record.id}
