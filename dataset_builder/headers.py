"""FASTA header of a coding sequence -> its gene, transcript and symbol."""

import re
from collections.abc import Sequence
from typing import NamedTuple


class Form(NamedTuple):
    """How a source writes its headers: regular expressions whose group is found in `ID DESCRIPTION`."""

    name: str
    gene: str
    transcript: str | None = None  # otherwise the id
    symbol: str | None = None


# No pattern takes a time that grows with the square of the header, which may be of any length.
NCBI_GENE = r"\[gene=((?:(?!\[gene=)[^\]])+)\]"
GENCODE, GENE_TRANSCRIPT = "GENCODE", "GENE TRANSCRIPT"
# The form of a header is the first one that finds a gene in it.
FORMS = (
    # https://ftp.ncbi.nlm.nih.gov/genomes/all/README.txt; GeneID, else locus_tag, else gene
    Form(
        "NCBI RefSeq or GenBank",
        rf"^(?:.*\[[^\[\]]*\bGeneID[:=](\d+)|.*\[locus_tag=([^\[\]]+)\]|.*{NCBI_GENE})",
        r"\[protein_id=([^\[\]]+)\]",
        NCBI_GENE,
    ),
    # https://ftp.ensembl.org/pub/current_fasta/homo_sapiens/cds/README
    Form("Ensembl", r"(?<!\S)gene:(\S+)", symbol=r"(?<!\S)gene_symbol:(\S+)"),
    # https://ftp.ebi.ac.uk/pub/databases/gencode/_README.TXT; the gene without _PAR_Y, the seventh field is the length
    Form(
        GENCODE,
        r"^ENS[A-Z]*T[^|]*\|(ENS[A-Z]*G[R\d.]+)[^|]*\|(?:[^|]*\|){4}\d+\|",
        r"^([^|]+)",
        r"^(?:[^|]*\|){5}([^|]+)",
    ),
    # https://www.ensembl.org/info/data/biomart
    Form("Ensembl BioMart", r"^(?=\S*\|)(?:\S*\|)?(ENS[A-Z]*G\d[\d.]*)", r"(?:^|\|)(ENS[A-Z]*T\d[\d.]*)"),
    # https://wiki.flybase.org/wiki/FlyBase:Downloads_Overview
    Form(
        "FlyBase",
        r"\bparent=[^;=]*?(FBgn\d+)",
        r"\bparent=[^;=]*?(FBtr\d+)",
        r"\bname=([^;=]+)-[PR][A-Z]+;",
    ),
    # https://sgd-archive.yeastgenome.org/sequence/S288C_reference/orf_dna/orf_dna.README
    Form("SGD", r"\bSGDID:(S\d+)", symbol=r"(?<!\S)(\S+) SGDID:"),
    # https://phytozome-next.jgi.doe.gov
    Form("Phytozome", r"^(?=.*\bpacid=).*\blocus=(\S+)"),
    # https://www.arabidopsis.org/download
    Form("TAIR", r"^(?i:(AT[1-5CM]G\d{5}))\.\d", symbol=r"\bSymbols: (?!no symbol)([^\s,;|]+)"),
    # https://wormbase.org, https://github.com/gpertea/gffread, https://github.com/NBISweden/AGAT
    Form("WormBase, gffread or AGAT", r"(?<![^\s;])gene=([^\s;]+)", symbol=r"(?<!\S)locus=(\S+)"),
    # https://github.com/tseemann/prokka#output-files; a locus tag, bacteria have no isoforms
    Form("Prokka", r"^([A-Z][A-Z\d]*_\d{5})(?!\S)"),
    # docs/files.md
    Form(GENE_TRANSCRIPT, r"^(\S+) [^\s=:|]+(?: [^\s=]+=\S*)*$", r"^\S+ (\S+)"),
)
CODING_REGION = re.compile(r"\|CDS:(\d+)-(\d+)(?!\d)")  # of a GENCODE transcript; 1-based, the end included


class Header(NamedTuple):
    """What a header says; where it names no gene, `form` is None and `gene` the id."""

    form: str | None
    gene: str
    transcript: str
    symbol: str = ""


def parse_header(record_id: str, description: str, forms: Sequence[Form] = FORMS) -> Header:
    """Gene, transcript and symbol of a header, `>record_id description`."""
    text = f"{record_id} {description}".rstrip()
    for form in forms:
        if gene := _found(form.gene, text):
            return Header(form.name, gene, _found(form.transcript, text) or record_id, _found(form.symbol, text))
    return Header(None, record_id, record_id)


def _found(pattern: str | None, text: str) -> str:
    match = re.search(pattern, text) if pattern else None
    return match[match.lastindex] if match and match.lastindex else ""
