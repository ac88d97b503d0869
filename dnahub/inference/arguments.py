"""Command line -> what embed.py computes and where the result goes."""

from dataclasses import dataclass, field
from typing import Any, Literal

LONG_IN_WINDOWS = ("mean", "windows")


@dataclass
class EmbedArguments:
    """The embeddings."""

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
    reverse_complement: bool = field(
        default=False, metadata={"help": "Average the vectors of a sequence and its reverse complement."}
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
    per_token: bool = field(
        default=False, metadata={"help": "Write the vectors of all tokens, <cls> first, instead of pooling them."}
    )
    dtype: Literal["float32", "bfloat16", "float16"] = field(
        default="float32", metadata={"help": "Precision of the computation."}
    )

    def __post_init__(self):
        if self.per_token and self.pooling != "mean":
            raise ValueError(f"--per_token with --pooling {self.pooling}: tokens are not pooled; leave one out.")

    @property
    def plan_settings(self) -> dict[str, Any]:
        """The settings of the engine's plans."""
        names = ("pooling", "layer", "normalize", "reverse_complement", "max_length", "long", "window_nt", "stride_nt")
        settings = {name: vars(self)[name] for name in names}
        if self.per_token:
            # Tokens of overlapping windows have no mean; a sequence that fits the model needs none.
            settings |= {"pooling": "none", "long": "error" if self.long == "mean" else self.long}
        return settings


@dataclass
class OutputArguments:
    """Where they go, and how they are computed."""

    output: str = field(
        metadata={
            "help": "File to write: .parquet, .npy (with NAME.npy.ids.tsv and NAME.npy.json), .h5ad, .csv or .tsv "
            "(with NAME.csv.json). Finished parts wait in OUTPUT.parts; after an interruption the same command "
            "computes only what is missing there."
        }
    )
    overwrite: bool = field(default=False, metadata={"help": "Replace an output that exists."})
    output_dtype: Literal["float32", "float16"] = field(
        default="float32", metadata={"help": "Precision of the vectors in the output."}
    )
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
    allow_duplicate_ids: bool = field(default=False, metadata={"help": "Accept several records with the same id."})

    def __post_init__(self):
        if self.batch_tokens is not None and self.batch_tokens < 1:
            raise ValueError(f"--batch_tokens {self.batch_tokens}: give 1 or more.")
