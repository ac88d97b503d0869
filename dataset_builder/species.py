"""Species -> names, CDS file, release, start codons and licence."""

from dataclasses import dataclass

ENSEMBL = "https://ftp.ensembl.org/pub/release-113/fasta"
PLANTS = "https://ftp.ensemblgenomes.ebi.ac.uk/pub/plants/release-60/fasta"
BACTERIA = "https://ftp.ensemblgenomes.ebi.ac.uk/pub/bacteria/release-60/fasta/bacteria_12_collection"
FUNGI = "https://ftp.ensemblgenomes.ebi.ac.uk/pub/fungi/release-60/fasta"

# NCBI genetic codes, https://www.ncbi.nlm.nih.gov/Taxonomy/Utils/wprintgc.cgi. Code 1 also lists TTG and CTG, which
# are rare in eukaryotic nuclear genes: a CDS without ATG there is nearly always an incomplete gene model.
EUKARYOTIC_STARTS = frozenset({"ATG"})
BACTERIAL_STARTS = frozenset({"TTG", "CTG", "ATT", "ATC", "ATA", "ATG", "GTG"})  # code 11
STOPS = frozenset({"TAA", "TAG", "TGA"})  # codes 1 and 11

ENSEMBL_LICENCE = ("no restrictions (Ensembl)", "https://www.ensembl.org/info/about/legal/disclaimer.html")
EMBL_EBI_LICENCE = ("EMBL-EBI terms of use", "https://www.ebi.ac.uk/about/terms-of-use")


@dataclass(frozen=True)
class Species:
    """One species and the Ensembl release of its coding sequences."""

    scientific_name: str  # the label in the data set
    common_name: str
    folder: str  # address of its folder in a release of Ensembl or Ensembl Genomes
    release: str
    assembly: str
    licence: tuple[str, str] = EMBL_EBI_LICENCE  # name and address
    starts: frozenset[str] = EUKARYOTIC_STARTS

    @property
    def prefix(self) -> str:
        """Beginning of its file names."""
        return self.scientific_name.replace(" ", "_")

    @property
    def file_name(self) -> str:
        """Name of the CDS file (gzip FASTA), as in CHECKSUMS."""
        return f"{self.folder.rpartition('/')[2].capitalize()}.{self.assembly}.cds.all.fa.gz"


# The order is that of the labels.
SPECIES = (
    Species("Homo sapiens", "human", f"{ENSEMBL}/homo_sapiens", "Ensembl 113", "GRCh38", ENSEMBL_LICENCE),
    Species("Mus musculus", "mouse", f"{ENSEMBL}/mus_musculus", "Ensembl 113", "GRCm39", ENSEMBL_LICENCE),
    Species(
        "Drosophila melanogaster",
        "fruit fly",
        f"{ENSEMBL}/drosophila_melanogaster",
        "Ensembl 113",
        "BDGP6.46",
        ENSEMBL_LICENCE,
    ),
    Species("Arabidopsis thaliana", "thale cress", f"{PLANTS}/arabidopsis_thaliana", "Ensembl Plants 60", "TAIR10"),
    Species(
        "Escherichia coli",
        "gut bacterium",
        f"{BACTERIA}/escherichia_coli_gca_001606525",
        "Ensembl Bacteria 60",
        "ASM160652v1",
        starts=BACTERIAL_STARTS,
    ),
    Species(
        "Saccharomyces cerevisiae",
        "baker's yeast",
        f"{FUNGI}/saccharomyces_cerevisiae",
        "Ensembl Fungi 60",
        "R64-1-1",
    ),
)

SPECIES_NAMES = tuple(species.scientific_name for species in SPECIES)
