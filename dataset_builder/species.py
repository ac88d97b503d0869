"""Species -> names, CDS file, release, start codons and licence: the table that everything else reads."""

from dataclasses import dataclass

ENSEMBL = "https://ftp.ensembl.org/pub/release-113/fasta"
ENSEMBL_GENOMES = "https://ftp.ensemblgenomes.ebi.ac.uk/pub"

# NCBI genetic codes, https://www.ncbi.nlm.nih.gov/Taxonomy/Utils/wprintgc.cgi. Code 1 also lists TTG and CTG, which
# are rare in eukaryotic nuclear genes: there a CDS that does not begin with ATG is nearly always an incomplete model.
EUKARYOTIC_STARTS = frozenset({"ATG"})
BACTERIAL_STARTS = frozenset({"TTG", "CTG", "ATT", "ATC", "ATA", "ATG", "GTG"})  # code 11
STOPS = frozenset({"TAA", "TAG", "TGA"})  # codes 1 and 11

ENSEMBL_LICENCE = ("no restrictions (Ensembl)", "https://www.ensembl.org/info/about/legal/disclaimer.html")
EMBL_EBI_LICENCE = ("EMBL-EBI terms of use", "https://www.ebi.ac.uk/about/terms-of-use")


@dataclass(frozen=True)
class Species:
    """One species and the Ensembl release that its coding sequences come from.

    Args:
        scientific_name: The label in the data set.
        common_name: What the card calls it besides.
        prefix: How the names of its files begin.
        host: First part of the address, up to what the two Ensembl servers share.
        path: The rest of the address of its CDS file (gzip FASTA).
        release: Ensembl or Ensembl Genomes release.
        assembly: Genome assembly.
        starts: Start codons that make a CDS valid.
        licence: Name of the source's terms and their address.
    """

    scientific_name: str
    common_name: str
    prefix: str
    host: str
    path: str
    release: str
    assembly: str
    starts: frozenset[str]
    licence: tuple[str, str]

    @property
    def address(self) -> str:
        """Address of the CDS file."""
        return f"{self.host}/{self.path}"

    @property
    def file_name(self) -> str:
        """Name of the CDS file, as the folder's CHECKSUMS lists it."""
        return self.path.rpartition("/")[2]

    @property
    def checksums_address(self) -> str:
        """Address of the CHECKSUMS file that lies beside the CDS file."""
        return self.address.rpartition("/")[0] + "/CHECKSUMS"


# The order is that of the labels.
SPECIES = (
    Species(
        scientific_name="Homo sapiens",
        common_name="human",
        prefix="Homo_sapiens",
        host=ENSEMBL,
        path="homo_sapiens/cds/Homo_sapiens.GRCh38.cds.all.fa.gz",
        release="Ensembl 113",
        assembly="GRCh38",
        starts=EUKARYOTIC_STARTS,
        licence=ENSEMBL_LICENCE,
    ),
    Species(
        scientific_name="Mus musculus",
        common_name="mouse",
        prefix="Mus_musculus",
        host=ENSEMBL,
        path="mus_musculus/cds/Mus_musculus.GRCm39.cds.all.fa.gz",
        release="Ensembl 113",
        assembly="GRCm39",
        starts=EUKARYOTIC_STARTS,
        licence=ENSEMBL_LICENCE,
    ),
    Species(
        scientific_name="Drosophila melanogaster",
        common_name="fruit fly",
        prefix="Drosophila_melanogaster",
        host=ENSEMBL,
        path="drosophila_melanogaster/cds/Drosophila_melanogaster.BDGP6.46.cds.all.fa.gz",
        release="Ensembl 113",
        assembly="BDGP6.46",
        starts=EUKARYOTIC_STARTS,
        licence=ENSEMBL_LICENCE,
    ),
    Species(
        scientific_name="Arabidopsis thaliana",
        common_name="thale cress",
        prefix="Arabidopsis_thaliana",
        host=ENSEMBL_GENOMES,
        path="plants/release-60/fasta/arabidopsis_thaliana/cds/Arabidopsis_thaliana.TAIR10.cds.all.fa.gz",
        release="Ensembl Plants 60",
        assembly="TAIR10",
        starts=EUKARYOTIC_STARTS,
        licence=EMBL_EBI_LICENCE,
    ),
    Species(
        scientific_name="Escherichia coli",
        common_name="gut bacterium",
        prefix="Escherichia_coli",
        host=ENSEMBL_GENOMES,
        path="bacteria/release-60/fasta/bacteria_12_collection/escherichia_coli_gca_001606525/cds/"
        "Escherichia_coli_gca_001606525.ASM160652v1.cds.all.fa.gz",
        release="Ensembl Bacteria 60",
        assembly="ASM160652v1 (GCA_001606525.1)",
        starts=BACTERIAL_STARTS,
        licence=EMBL_EBI_LICENCE,
    ),
    Species(
        scientific_name="Saccharomyces cerevisiae",
        common_name="baker's yeast",
        prefix="Saccharomyces_cerevisiae",
        host=ENSEMBL_GENOMES,
        path="fungi/release-60/fasta/saccharomyces_cerevisiae/cds/Saccharomyces_cerevisiae.R64-1-1.cds.all.fa.gz",
        release="Ensembl Fungi 60",
        assembly="R64-1-1",
        starts=EUKARYOTIC_STARTS,
        licence=EMBL_EBI_LICENCE,
    ),
)

SPECIES_NAMES = tuple(species.scientific_name for species in SPECIES)
