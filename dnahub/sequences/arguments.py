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
    format: str | None = field(
        default=None,
        metadata={
            "help": f"{', '.join(FORMATS)}; not given: by the file's suffix. Standard input needs it, unless it "
            "begins with the > of FASTA or the @ of FASTQ."
        },
    )
    sequence_column: str = field(
        default="sequence",
        metadata={
            "help": "Column of a table or data set that holds the sequences; it is called sequence here, and another "
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
            "help": "Column that holds the ids; it is called id in what is written, and another of that name is left "
            "out. Not given: id where there is such a column, else the row's number, from 0, over all files."
        },
    )
    bed: str | None = field(
        default=None,
        metadata={
            "help": "BED file (0-based half-open; strand - is the reverse complement) of regions of the one genome, "
            "plain or bgzip FASTA, that --input names."
        },
    )
    genbank_features: str = field(
        default="cds",
        metadata={
            "help": "What of a GenBank record to take: cds (each CDS, joined, on its strand, from its codon_start on) "
            "or record."
        },
    )
    dataset_name: str | None = field(
        default=None, metadata={"help": "Data set on the Hub, or a folder that holds one, instead of --input."}
    )
    dataset_config_name: str | None = field(
        default=None, metadata={"help": "Configuration of the data set, where it has several."}
    )
    dataset_split: str | None = field(default=None, metadata={"help": "Split, where the data set has several."})
    dataset_revision: str | None = field(
        default=None, metadata={"help": "Branch, tag or commit of the data set on the Hub."}
    )
