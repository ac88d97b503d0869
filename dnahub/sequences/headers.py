"""Headers of FASTA and FASTQ records -> id, description and values of columns."""

import re
from collections.abc import Iterable
from typing import AnyStr

# [NAME=value]; or NAME=value or NAME:value, in quotes, or up to the next such word or the end; also up to ";" or "|"
# before a space, such a word or the end, for these may stand between several labels, too:
# NCBI ([gene=dnaA] [protein=replication initiator]), UniProt (OS=Plasmodium falciparum OX=5833,
# https://www.uniprot.org/help/fasta-headers), FlyBase (name=Adh-RA; parent=FBgn0000055;), Ensembl (gene:ENSG1).
VALUE = (
    r"""\[{0}=(.*?)\](?=\s*(?:\[[\w.-]+=|$))|(?:^|[\s;|,\[]){0}[=:](?:"([^"]*)"|'([^']*)'"""
    r"""|(\S.*?)(?=\s*(?:[;|](?:\s|$|[\w.-]+[=:])|\]|$|,?\s\[?[\w.'-]+(?:=|:(?=\S))|,[\w.-]+=)))"""
)
# Ensembl's chromosome:GRCh38:1:1000:1059:1, https://ftp.ensembl.org/pub/current_fasta/homo_sapiens/cds/README
LOCATION = re.compile(r"[^\s:]*:([^\s:]+):\d+:\d+:-?[01](?!\S)")


def record_of(header: AnyStr, sequence: AnyStr) -> tuple[AnyStr, AnyStr, AnyStr]:
    """Id, sequence and description; of a header, id and description may be empty."""
    name, description, *_ = [*header.split(None, 1), header[:0], header[:0]]
    return name, sequence, description.rstrip()


def values_of(column: str, descriptions: Iterable[str]) -> list[str | None]:
    """What each description says of the column; of a location, the name of the sequence region; None for nothing."""
    pattern = re.compile(VALUE.format(re.escape(column)))
    return [_value(pattern.search(description)) for description in descriptions]


def _value(found: re.Match | None) -> str | None:
    if found is None:
        return None
    value = next(group for group in found.groups() if group is not None)
    location = LOCATION.match(value)
    return location[1] if location else value or None
