"""Command line -> what to read sequences from."""

from dataclasses import dataclass, field
from typing import Literal

FORMATS = ("fasta", "fastq", "genbank", "csv", "tsv", "jsonl", "parquet", "text")


@dataclass
class InputArguments:
    """Which sequences to read: files, regions of a genome, or a data set."""

    input: list[str] = field(
        default_factory=list,
        metadata={
            "help": "One file or several of one format, plain or compressed (.gz, .bz2, .zst, .xz); - is standard "
            "input. A FASTA or FASTQ record gives its id and description; of tables all columns are kept."
        },
    )
    format: Literal[FORMATS] | None = field(
        default=None,
        metadata={
            "help": "Default: by the suffix of the file. Standard input needs it unless it "
            "begins with the > of FASTA or the @ of FASTQ."
        },
    )
    sequence_column: str = field(
        default="sequence",
        metadata={
            "help": "Column of the sequences in a table or data set; it is called sequence in the output, and another "
            "of that name is left out."
        },
    )
    sequence_format: Literal["letters", "kmers"] = field(
        default="letters",
        metadata={"help": "kmers: overlapping k-mers separated by spaces (ACG CGT GTA), which are joined (ACGTA)."},
    )
    id_column: str | None = field(
        default=None,
        metadata={
            "help": "Column of the ids; it is called id in the output, and another of that name is left out. Default: "
            "id if there is such a column, else the number of the row, from 0, over all files."
        },
    )
    bed: str | None = field(
        default=None,
        metadata={
            "help": "BED file (0-based half-open; strand - is the reverse complement) of regions of the one genome, "
            "FASTA, given as --input; blocks of BED12 are joined. The letters of the genome are kept in a temporary "
            "file meanwhile."
        },
    )
    genbank_features: Literal["cds", "record"] = field(
        default="cds",
        metadata={
            "help": "Sequences of a GenBank record: cds (each CDS, joined, on its strand, from its codon_start on) "
            "or record (the whole)."
        },
    )
    bad_records: Literal["error", "skip"] = field(
        default="error",
        metadata={
            "help": "Records without a sequence or id, of letters that are not DNA, or with the id of an earlier one; "
            "regions and CDS that cannot be cut out. error names the first ten and their number; skip counts them by "
            "reason and lists them in OUTPUT.skipped.tsv. A damaged file is always an error."
        },
    )
    dataset_name: str | None = field(
        default=None, metadata={"help": "Folder or Hub id of a data set, instead of --input."}
    )
    dataset_config_name: str | None = field(
        default=None, metadata={"help": "Configuration of the data set, if it has several."}
    )
    dataset_split: str | None = field(default=None, metadata={"help": "Split, if the data set has several."})
    dataset_revision: str | None = field(
        default=None, metadata={"help": "Branch, tag or commit of the data set on the Hub."}
    )
