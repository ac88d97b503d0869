"""Command line -> what embed.py and predict.py compute and where the result goes."""

from dataclasses import dataclass, field
from typing import Any, Literal

LONG_IN_WINDOWS = ("mean", "windows")


@dataclass
class ModelArguments:
    """The model."""

    model_name_or_path: str = field(metadata={"help": "Checkpoint: a folder, or a repository on the Hub."})
    model_revision: str | None = field(
        default=None, metadata={"help": "Branch, tag or commit of the checkpoint on the Hub. Default: the newest."}
    )
    allow_pickle: bool = field(
        default=False,
        metadata={
            "help": "Load weights in pickle format if the checkpoint has no others. A pickle can run code: use this "
            "only if you trust its author."
        },
    )
    dtype: Literal["float32", "bfloat16", "float16"] = field(
        default="float32", metadata={"help": "Precision of the computation."}
    )


@dataclass
class CuttingArguments:
    """Strands, and sequences that are longer than the model."""

    reverse_complement: bool = field(
        default=False, metadata={"help": "Average what is computed of a sequence and of its reverse complement."}
    )
    max_length: int | None = field(
        default=None,
        metadata={"help": "Most tokens of a forward pass, <cls> included. Default: all positions of the model."},
    )
    long: Literal["mean", "windows", "truncate", "error"] = field(
        default="mean",
        metadata={
            "help": "For sequences of more than --max_length tokens. mean: average over windows, weighted by their "
            "tokens. windows: a row per window, with window_start and window_end (nt, 0-based half-open). truncate: "
            "use the beginning only. error: stop."
        },
    )
    window_nt: int | None = field(
        default=None,
        metadata={"help": "Length of a window in nt, for --long mean and windows. Default: --max_length tokens."},
    )
    stride_nt: int | None = field(
        default=None,
        metadata={"help": "Distance between the starts of two windows in nt. Default: three quarters of a window."},
    )


@dataclass
class EmbedArguments:
    """The embeddings."""

    pooling: Literal["mean", "mean_without_cls", "cls", "max"] = field(
        default="mean", metadata={"help": "How the vectors of the tokens become one; mean includes <cls>."}
    )
    layer: int = field(
        default=-1,
        metadata={
            "help": "0 = the token embeddings, i = after layer i, -1 = the last layer, after the final layer norm. "
            "Deeper layers are not computed."
        },
    )
    normalize: bool = field(default=False, metadata={"help": "Scale each vector to Euclidean length 1."})
    per_token: bool = field(
        default=False, metadata={"help": "Write the vectors of all tokens, <cls> first, instead of pooling them."}
    )

    def __post_init__(self):
        if self.per_token and self.pooling != "mean":
            raise ValueError(f"--per_token with --pooling {self.pooling}: tokens are not pooled; leave one out.")

    def plan_settings(self, cutting: CuttingArguments) -> dict[str, Any]:
        """The settings of the engine's plans."""
        settings = vars(self) | vars(cutting)
        if settings.pop("per_token"):
            # Tokens of overlapping windows have no mean; a sequence that fits the model needs none.
            settings |= {"pooling": "none", "long": "error" if cutting.long == "mean" else cutting.long}
        return settings


@dataclass
class PredictArguments:
    """The predictions."""

    threshold: float | None = field(
        default=None,
        metadata={
            "help": "Probability from which a label is given: of two classes the second one, of several labels each. "
            "Default: that of the checkpoint, which train.py chose on validation for two classes, else 0.5."
        },
    )
    embeddings: bool = field(
        default=False, metadata={"help": "Add the embedding, the mean over all tokens of the last layer."}
    )

    track: str | None = field(
        default=None,
        metadata={
            "help": "Label whose probability, or number, .bedgraph and .bw have. Default: the second of two classes, "
            "or the only one."
        },
    )

    def __post_init__(self):
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise ValueError(f"--threshold {self.threshold:g}: give a probability between 0 and 1.")


@dataclass
class VariantArguments:
    """The variants, and how they are scored."""

    genome: str = field(metadata={"help": "FASTA file of the genome, plain or compressed."})
    vcf: str | None = field(
        default=None,
        metadata={
            "help": "Variants: a .vcf file, plain or compressed, or a table with the columns chrom, pos (1-based), "
            "ref and alt."
        },
    )
    saturate: str | None = field(
        default=None, metadata={"help": "Score every substitution of chrom:start-end instead (1-based, inclusive)."}
    )
    bed: str | None = field(
        default=None, metadata={"help": "Score every substitution of the regions of a BED file instead."}
    )
    scores: list[Literal["llr", "distance", "change"]] = field(
        default_factory=list,
        metadata={
            "help": "llr: log-likelihood ratio of masked tokens. distance: between the embeddings of both alleles, "
            "over all tokens and over those around the variant (_near). change: of what a fine-tuned model predicts. "
            "Default: llr of a masked language model, change of a fine-tuned one, else distance."
        },
    )
    llr: Literal["changed", "middle"] = field(
        default="changed",
        metadata={
            "help": "changed: mask every token in which the alleles differ, and sum over them, the only option for "
            "insertions and deletions. middle: score variants within one token alone."
        },
    )
    window_nt: int | None = field(
        default=None,
        metadata={"help": "Window around the variant, in nt. Default: as many as the model takes."},
    )
    offsets: int = field(
        default=1, metadata={"help": "Average over this many frames of the k-mers, at most the letters of one."}
    )
    reverse_complement: bool = field(default=True, metadata={"help": "Average both strands."})
    track: str | None = field(
        default=None,
        metadata={
            "help": "Score that is drawn of every substitution, a column of the output. Default: the first one, of "
            "two classes the logit of the second."
        },
    )
    allow_mismatches: bool = field(
        default=False,
        metadata={"help": "Go on if more than 1 % of variants do not have the genome's reference allele."},
    )
    bad_records: Literal["error", "skip"] = field(
        default="error", metadata={"help": "Records that cannot be used: error, or skip and list them."}
    )

    def __post_init__(self):
        if sum(each is not None for each in (self.vcf, self.saturate, self.bed)) != 1:
            raise ValueError("give one of --vcf, --saturate and --bed.")
        if self.vcf is not None and self.track is not None:
            raise ValueError(f"--track {self.track} is for --saturate and --bed, which are drawn; leave it out.")


@dataclass
class OutputArguments:
    """Where they go, and how they are computed."""

    output: str = field(
        metadata={
            "help": "File to write: .parquet, .csv or .tsv (with NAME.tsv.json); of embed.py also .npy (with "
            "NAME.npy.ids.tsv and NAME.npy.json) and .h5ad, of predict.py .bed, .bedgraph and .bw, of variants.py "
            ".vcf and .vcf.gz. Finished parts wait in OUTPUT.parts; after an interruption the same command computes "
            "only what is missing there."
        }
    )
    overwrite: bool = field(default=False, metadata={"help": "Replace an output that exists."})
    shard: str | None = field(
        default=None,
        metadata={
            "help": "I/N, with I from 1 to N: compute only every N-th part of the input, starting from the I-th, and "
            "write no output. Run all N, on any machines that share the folder of the output, in any order; then run "
            "the same command without --shard, which writes the output. In a SLURM job array: sbatch --array=1-N and "
            "--shard $SLURM_ARRAY_TASK_ID/N. accelerate launch needs no --shard."
        },
    )
    device: str | None = field(
        default=None,
        metadata={"help": "cpu, cuda:1, mps, ... Default: the best there is; each launched process uses its own GPU."},
    )
    backend: Literal["auto", "torch", "fused"] = field(
        default="auto",
        metadata={"help": "What runs the model; auto is the fastest that can. Their vectors agree to 1e-4."},
    )
    batch_tokens: int | None = field(
        default=None, metadata={"help": "Most tokens of a batch, padding included. Default: by the device."}
    )

    def __post_init__(self):
        if self.batch_tokens is not None and self.batch_tokens < 1:
            raise ValueError(f"--batch_tokens {self.batch_tokens}: give 1 or more.")


@dataclass
class RowOutputArguments(OutputArguments):
    """Where they go, and how they are computed."""

    output_dtype: Literal["float32", "float16"] = field(
        default="float32", metadata={"help": "Precision of the vectors in the output."}
    )
    allow_duplicate_ids: bool = field(default=False, metadata={"help": "Accept several records with the same id."})
