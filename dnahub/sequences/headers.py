"""Descriptions of FASTA and FASTQ records -> columns."""

import re
from collections.abc import Iterator, Sequence

import pyarrow as pa

from dnahub.sequences.checks import SequenceFileError, shown

# NAME=value or NAME:value, up to the next such word, ";", "|", a closing bracket or the end; or in quotes:
# UniProt (OS=Plasmodium falciparum OX=5833), https://www.uniprot.org/help/fasta-headers
# NCBI ([gene=dnaA] [protein=replication initiator]), FlyBase (name=Adh-RA; parent=FBgn0000055;), Ensembl (gene:ENSG1).
VALUE = r"""(?:^|[\s;|\[]){}[=:](?:"([^"]*)"|'([^']*)'|(\S.*?))(?=\s*(?:[;|\]]|$|\s\[?[\w.-]+[=:]))"""
# Ensembl's chromosome:GRCh38:1:1000:1059:1, https://ftp.ensembl.org/pub/current_fasta/homo_sapiens/cds/README
LOCATION = re.compile(r"[^\s:]*:([^\s:]+):\d+:\d+:-?[01](?!\S)")


class HeaderColumns:
    """
    A source of records, with columns that are taken from their descriptions.

    Args:
        source: Gives tables with `id` and `description`.
        name: What it is called in messages.
        columns: The columns to take.

    Raises:
        SequenceFileError: While iterating, for a record whose description lacks one of them.
    """

    def __init__(self, source, name: str, columns: Sequence[str]):
        self._source, self._name = source, name
        self._patterns = {column: re.compile(VALUE.format(re.escape(column))) for column in columns}
        self.unit, self.first, self.is_table = source.unit, source.first, source.is_table
        self.is_typed, self.reached = False, source.reached
        self.schema = pa.schema([*source.schema, *(pa.field(column, pa.string()) for column in columns)])

    def __iter__(self) -> Iterator[pa.Table]:
        number = self.first
        for table in self._source:
            descriptions, ids = table["description"].to_pylist(), table["id"].to_pylist()
            for column, pattern in self._patterns.items():
                values = [value_of(pattern, description) for description in descriptions]
                if None in values:
                    i = values.index(None)
                    raise SequenceFileError(
                        f"{self._name}, {self.unit} {number + i} ({shown(ids[i])}): its description has no "
                        f"{column}=… or {column}:…; add it, or name another column."
                    )
                table = table.append_column(column, pa.array(values, pa.string()))
            number += table.num_rows
            yield table


def value_of(pattern: re.Pattern, description: str) -> str | None:
    """The value that the pattern finds in a description; of a location, the name of the sequence region."""
    found = pattern.search(description)
    if found is None:
        return None
    value = next(group for group in found.groups() if group is not None)
    location = LOCATION.match(value)
    return location[1] if location else value
