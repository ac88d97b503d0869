"""Table of species in a YAML file -> names, files, addresses and genetic codes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from dnahub.machine.arguments import TextLoader

STOPS = frozenset({"TAA", "TAG", "TGA"})  # codes 1 and 11
# Start and stop codons of NCBI genetic codes, https://www.ncbi.nlm.nih.gov/Taxonomy/Utils/wprintgc.cgi. Code 1 also
# lists TTG and CTG, which are rare in eukaryotic nuclear genes: a CDS without ATG there is nearly always an incomplete
# gene model.
GENETIC_CODES = {
    1: (frozenset({"ATG"}), STOPS),
    4: (frozenset({"TTA", "TTG", "CTG", "ATT", "ATC", "ATA", "ATG", "GTG"}), frozenset({"TAA", "TAG"})),
    6: (frozenset({"ATG"}), frozenset({"TGA"})),
    11: (frozenset({"TTG", "CTG", "ATT", "ATC", "ATA", "ATG", "GTG"}), STOPS),
}
ALLOWED_CODES = ", ".join(map(str, GENETIC_CODES))


@dataclass(frozen=True)
class Species:
    """One species and where its coding sequences are."""

    scientific_name: str  # the label in the data set
    common_name: str = ""
    files: str = ""  # pattern of the name of its file in a folder; by default, it begins with <Genus_species>
    genetic_code: int = 1  # of NCBI, a key of GENETIC_CODES
    address: str = ""  # of its CDS file (gzip FASTA) at Ensembl, in a folder with CHECKSUMS
    release: str = ""
    assembly: str = ""
    licence: str = ""
    licence_address: str = ""

    @property
    def prefix(self) -> str:
        """<Genus_species>."""
        return self.scientific_name.replace(" ", "_")

    @property
    def pattern(self) -> str:
        """Of the name of its file in a folder."""
        return self.files or f"{self.prefix}*"


FIELDS = tuple(field.name for field in fields(Species))
OF_ENSEMBL = ("address", "release", "assembly", "licence", "licence_address")
UNIQUE = ("scientific_name", "pattern", "address")


def read_species(path: Path) -> tuple[Species, ...]:
    """
    The species of a table, in the order of their labels.

    The table is a YAML list with the fields of `Species` for each; only `scientific_name` is required.

    Raises:
        ValueError: It is not such a list, or has fewer than two species.
    """
    try:
        entries = yaml.load(path.read_text(encoding="utf-8"), TextLoader)  # nosec B506
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); give a table of species in YAML.") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path} is not a table of species in YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(entries, list) or len(entries) < 2:
        found = f"{len(entries)} species" if isinstance(entries, list) else "no list"
        raise ValueError(f"{path} contains {found}; give a list of at least two species, `- scientific_name: NAME`.")
    species = [_species(entry, f"{path}, entry {number}") for number, entry in enumerate(entries, 1)]
    for name in UNIQUE:
        seen: dict[str, int] = {}
        for number, each in enumerate(species, 1):
            value = getattr(each, name)
            if value and seen.setdefault(value, number) != number:
                raise ValueError(
                    f"{path}, entry {number}: {name} {value!r} is also that of entry {seen[value]}; each species "
                    "needs its own."
                )
    return tuple(species)


def _species(entry: Any, place: str) -> Species:
    if not isinstance(entry, dict):
        raise ValueError(f"{place}: {entry!r} is not a species; write fields, of {', '.join(FIELDS)}.")
    for name, value in entry.items():
        if name not in FIELDS:
            raise ValueError(f"{place}: {name!r} is not a field; the fields are {', '.join(FIELDS)}.")
        if not isinstance(value, str) or not value or not value.isprintable():
            raise ValueError(f"{place}: {name} is {value!r}; give one line of text.")
    if "scientific_name" not in entry:
        raise ValueError(f"{place} has no scientific_name, which is the label of the species; give one.")
    code = entry.get("genetic_code", "1")
    if code not in map(str, GENETIC_CODES):
        raise ValueError(f"{place}: genetic_code {code!r} is not known; give one of {ALLOWED_CODES}.")
    if "/" in entry.get("files", ""):
        raise ValueError(f"{place}: files {entry['files']!r} is not the pattern of a file name; leave out the folder.")
    if not re.fullmatch(r"(https?://\S+/[^\s/]+)?", entry.get("address", "")):
        raise ValueError(
            f"{place}: address {entry['address']!r} is not that of a file; give one that begins with https://."
        )
    return Species(**{name: str(value) for name, value in entry.items()} | {"genetic_code": int(code)})


def check_addresses(species: Sequence[Species]) -> None:
    """ValueError if one lacks what a download from Ensembl needs."""
    for each in species:
        missing = [name for name in OF_ENSEMBL if not getattr(each, name)]
        if missing:
            raise ValueError(
                f"--source ensembl: {each.scientific_name} has no {', '.join(missing)} in the table of species; add "
                "what is missing, or give --source FOLDER."
            )


SPECIES = read_species(Path(__file__).with_name("species.yaml"))
