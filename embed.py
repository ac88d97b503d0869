r"""Checkpoint + sequences -> their embeddings, in one file.

    python embed.py --model_name_or_path runs/demo/checkpoint --input genes.fa.gz --output genes.parquet
    python embed.py --model_name_or_path InstaDeepAI/nucleotide-transformer-v2-50m-multi-species \
        --input a.fq b.fq --output ab.npy
    accelerate launch --quiet --config_file accelerate_config.yaml --multi_gpu --num_processes 4 \
        embed.py --model_name_or_path runs/demo/checkpoint --input genome.fa --bed genes.bed --output genes.h5ad

The output has a row per sequence, in the order of the input: id, the columns of the source, embedding. Finished parts
are kept in OUTPUT.parts until the output is complete: after a kill, an error or Ctrl-C, the same command computes only
what is missing. Code that comes with a checkpoint is not run.
"""

from collections.abc import Sequence
from functools import partial

from dnahub.inference.arguments import CuttingArguments, EmbedArguments, ModelArguments, RowOutputArguments
from dnahub.machine.arguments import parse
from dnahub.machine.script import run
from dnahub.sequences.arguments import InputArguments


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program with the command line, or with these arguments; errors are raised."""
    groups = (InputArguments, ModelArguments, EmbedArguments, CuttingArguments, RowOutputArguments)
    inputs, model, embed, cutting, output = parse("embed.py", __doc__, groups, arguments)

    # Imported here, for these take seconds, and --help and a wrong argument need none of them.
    from dnahub.inference.flow import compute_rows
    from dnahub.inference.model import load_embedder
    from dnahub.inference.outputs import EMBEDDINGS, PER_TOKEN

    load = partial(load_embedder, model, embed, cutting, output)
    compute_rows("embed.py", inputs, output, PER_TOKEN if embed.per_token else EMBEDDINGS, load)


if __name__ == "__main__":
    run("embed.py", main, goes_on="finished parts are kept, and the same command computes only what is missing")
