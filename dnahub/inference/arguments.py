"""Command line -> typed arguments of embed.py that do not contradict each other."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from transformers import HfArgumentParser

from dnahub.hub_code.pipeline_dna_embedding import LONG, POOLINGS
from dnahub.inference.engine import BACKENDS
from dnahub.sequences import InputArguments

POOLED = tuple(pooling for pooling in POOLINGS if pooling != "none")  # that is --per_token
LONG_WITH_WINDOWS = ("mean", "windows")


@dataclass
class EmbedArguments:
    """What the embeddings are: all that decides of them beside the sequences."""

    model: str = field(metadata={"help": "Folder or Hub id of a checkpoint, ours or a published one."})
    revision: str | None = field(
        default=None,
        metadata={"help": "Branch, tag or commit of the checkpoint on the Hub; default: its newest."},
    )
    allow_pickle: bool = field(
        default=False,
        metadata={"help": "Load weights in pickle format, where the checkpoint has no others: trust who made them."},
    )
    pooling: Literal[POOLED] = field(
        default="mean",
        metadata={"help": "One vector out of the tokens': mean (of all, <cls> included), mean_without_cls, cls, max."},
    )
    layer: int = field(
        default=-1,
        metadata={
            "help": "0 = the embeddings, i = after layer i, -1 = the last, after the final layer norm; deeper ones "
            "are not computed."
        },
    )
    normalize: bool = field(default=False, metadata={"help": "Scale each vector to Euclidean length 1."})
    reverse_complement: bool = field(
        default=False, metadata={"help": "Mean of the vectors of a sequence and of its reverse complement."}
    )
    max_length: int | None = field(
        default=None,
        metadata={"help": "Tokens a forward pass takes at the most, <cls> included; default: the model's positions."},
    )
    long: Literal[LONG] = field(
        default="mean",
        metadata={
            "help": "A sequence of more tokens than --max_length: mean (of windows, weighted by their tokens), "
            "windows (a row each, with window_start and window_end in nt, 0-based half-open), truncate (its begin "
            "alone), error."
        },
    )
    window_nt: int | None = field(
        default=None,
        metadata={"help": "With --long mean or windows: nt of a window; default: as many as --max_length takes."},
    )
    stride_nt: int | None = field(
        default=None,
        metadata={"help": "With --long mean or windows: nt from the start of a window to that of the next one."},
    )
    per_token: bool = field(
        default=False, metadata={"help": "The vectors of all tokens, <cls> first, instead of one of the sequence."}
    )
    dtype: Literal["float32", "bfloat16", "float16"] = field(
        default="float32", metadata={"help": "In what the model computes."}
    )

    def __post_init__(self):
        if self.per_token and self.reverse_complement:
            raise ValueError(
                "--per_token with --reverse_complement: the tokens of the two strands are of other nucleotides and "
                "have no mean; leave one of the two out."
            )
        if self.per_token and self.pooling != "mean":
            raise ValueError(f"--per_token with --pooling {self.pooling}: tokens are not pooled; leave one out.")
        for name, value in (("window_nt", self.window_nt), ("stride_nt", self.stride_nt)):
            if value is None:
                continue
            if value < 1:
                raise ValueError(f"--{name} {value}: give 1 or more nt.")
            if self.long not in LONG_WITH_WINDOWS:
                raise ValueError(
                    f"--{name} with --long {self.long}: there are windows with --long mean and --long windows only."
                )
            if self.per_token and self.long == "mean":
                raise ValueError(
                    f"--{name} with --per_token: the tokens of overlapping windows have no mean; give --long windows."
                )
        if self.window_nt is not None and self.stride_nt is not None and self.stride_nt > self.window_nt:
            raise ValueError(
                f"--stride_nt {self.stride_nt} is more than --window_nt {self.window_nt}, and the nt between two "
                "windows would be left out; give that or less."
            )

    @property
    def plan_settings(self) -> dict[str, Any]:
        """What `Engine.plan` takes beside the sequences."""
        return {
            "pooling": "none" if self.per_token else self.pooling,
            "layer": self.layer,
            "normalize": self.normalize,
            "reverse_complement": self.reverse_complement,
            "max_length": self.max_length,
            # The tokens of overlapping windows have no mean; what fits the model needs none.
            "long": "error" if self.per_token and self.long == "mean" else self.long,
            "window_nt": self.window_nt,
            "stride_nt": self.stride_nt,
        }


@dataclass
class RunArguments:
    """Where the embeddings go, and on what they are computed."""

    output: str = field(
        metadata={
            "help": "File to write, in the format that its ending says; while it is made, finished parts lie in "
            "OUTPUT.shards, and the same command goes on from there."
        }
    )
    overwrite: bool = field(
        default=False,
        metadata={"help": "Replace the output, and what OUTPUT.shards holds of other settings or another input."},
    )
    output_dtype: Literal["float32", "float16"] = field(
        default="float32", metadata={"help": "In what the embeddings are written."}
    )
    device: str | None = field(
        default=None,
        metadata={
            "help": "Such as cpu, cuda:1 or mps; default: the machine's best, and of several processes each its own."
        },
    )
    backend: Literal[BACKENDS] = field(
        default="auto",
        metadata={
            "help": "What computes the model; auto takes the fastest that can run it, and the vectors are the same "
            "to 1e-4."
        },
    )
    batch_tokens: int | None = field(
        default=None, metadata={"help": "Tokens of a batch, padding included; default: chosen for the device."}
    )
    allow_duplicate_ids: bool = field(
        default=False, metadata={"help": "Take records of the same id; not given, they are an error."}
    )

    def __post_init__(self):
        if self.batch_tokens is not None and self.batch_tokens < 1:
            raise ValueError(f"--batch_tokens {self.batch_tokens}: give 1 or more.")


class Arguments(NamedTuple):
    """All of them."""

    input: InputArguments
    embed: EmbedArguments
    run: RunArguments


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """
    Read the arguments of the command line.

    Raises:
        ValueError: If two of them contradict each other, or a number is out of range.
        SystemExit: If one is unknown, missing or none of its choices; argparse has told it.
    """
    parser = HfArgumentParser((InputArguments, EmbedArguments, RunArguments), allow_abbrev=False, prog="embed.py")
    return Arguments(*parser.parse_args_into_dataclasses(argv))
