"""Species -> names, CDS file, release, start codons and licence."""

from dataclasses import dataclass

ENSEMBL = "https://ftp.ensembl.org/pub/release-113/fasta"
ENSEMBL_GENOMES = "https://ftp.ensemblgenomes.ebi.ac.uk/pub"

# NCBI genetic codes, https://www.ncbi.nlm.nih.gov/Taxonomy/Utils/wprintgc.cgi. Code 1 also lists TTG and CTG, which
# are rare in eukaryotic nuclear genes: a CDS without ATG there is nearly always an incomplete gene model.
EUKARYOTIC_STARTS = frozenset({"ATG"})
BACTERIAL_STARTS = frozenset({"TTG", "CTG", "ATT", "ATC", "ATA", "ATG", "GTG"})  # code 11
STOPS = frozenset({"TAA", "TAG", "TGA"})  # codes 1 and 11

ENSEMBL_LICENCE = ("no restrictions (Ensembl)", "https://www.ensembl.org/info/about/legal/disclaimer.html")
EMBL_EBI_LICENCE = ("EMBL-EBI terms of use", "https://www.ebi.ac.uk/about/terms-of-use")


@dataclass(frozen=True)
class Species:
    """One species and the Ensembl release of its coding sequences.

    Args:
        scientific_name: The label in the data set.
        common_name: Second name, for the card.
        address: Address of its CDS file (gzip FASTA).
        release: Ensembl or Ensembl Genomes release.
        assembly: Genome assembly.
        starts: Valid start codons.
        licence: Name and address of the terms of use.
    """

    scientific_name: str
    common_name: str
    address: str
    release: str
    assembly: str
    starts: frozenset[str] = EUKARYOTIC_STARTS
    licence: tuple[str, str] = ENSEMBL_LICENCE

    @property
    def prefix(self) -> str:
        """Beginning of its file names."""
        return self.scientific_name.replace(" ", "_")

    @property
    def file_name(self) -> str:
        """Name of the CDS file, as in CHECKSUMS."""
        return self.address.rpartition("/")[2]

    @property
    def checksums_address(self) -> str:
        """Address of the CHECKSUMS file beside the CDS file."""
        return self.address.rpartition("/")[0] + "/CHECKSUMS"


# The order is that of the labels.
SPECIES = (
    Species(
        "Homo sapiens",
        "human",
        f"{ENSEMBL}/homo_sapiens/cds/Homo_sapiens.GRCh38.cds.all.fa.gz",
        "Ensembl 113",
        "GRCh38",
    ),
    Species(
        "Mus musculus",
        "mouse",
        f"{ENSEMBL}/mus_musculus/cds/Mus_musculus.GRCm39.cds.all.fa.gz",
        "Ensembl 113",
        "GRCm39",
    ),
    Species(
        "Drosophila melanogaster",
        "fruit fly",
        f"{ENSEMBL}/drosophila_melanogaster/cds/Drosophila_melanogaster.BDGP6.46.cds.all.fa.gz",
        "Ensembl 113",
        "BDGP6.46",
    ),
    Species(
        "Arabidopsis thaliana",
        "thale cress",
        f"{ENSEMBL_GENOMES}/plants/release-60/fasta/arabidopsis_thaliana/cds/"
        "Arabidopsis_thaliana.TAIR10.cds.all.fa.gz",
        "Ensembl Plants 60",
        "TAIR10",
        licence=EMBL_EBI_LICENCE,
    ),
    Species(
        "Escherichia coli",
        "gut bacterium",
        f"{ENSEMBL_GENOMES}/bacteria/release-60/fasta/bacteria_12_collection/escherichia_coli_gca_001606525/cds/"
        "Escherichia_coli_gca_001606525.ASM160652v1.cds.all.fa.gz",
        "Ensembl Bacteria 60",
        "ASM160652v1 (GCA_001606525.1)",
        starts=BACTERIAL_STARTS,
        licence=EMBL_EBI_LICENCE,
    ),
    Species(
        "Saccharomyces cerevisiae",
        "baker's yeast",
        f"{ENSEMBL_GENOMES}/fungi/release-60/fasta/saccharomyces_cerevisiae/cds/"
        "Saccharomyces_cerevisiae.R64-1-1.cds.all.fa.gz",
        "Ensembl Fungi 60",
        "R64-1-1",
        licence=EMBL_EBI_LICENCE,
    ),
)

SPECIES_NAMES = tuple(species.scientific_name for species in SPECIES)
