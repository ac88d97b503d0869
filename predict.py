r"""Fine-tuned checkpoint + sequences -> what it predicts of them, in one file.

    python predict.py --model_name_or_path runs/demo/checkpoint --input genes.fa.gz --output genes.tsv
    python predict.py --model_name_or_path user/promoters --input genome.fa --bed regions.bed --output regions.parquet
    python predict.py --model_name_or_path user/promoters --input genome.fa --long windows --window_nt 600 \
        --stride_nt 100 --output promoters.bw

The output has a row per sequence, in the order of the input: id, the columns of the source, predicted, and p_NAME, the
probability of each class or label. A regression has numbers alone; a model that labels tokens gives a row per span of
tokens with the same label. Of regions and windows of a genome, .bed has the label and 1000 times its probability, and
.bedgraph and .bw (bigWig) the probability of --track at each base, the mean of all windows that cover it.

Finished parts are kept in OUTPUT.parts until the output is complete: after a kill, an error or Ctrl-C, the same
command computes only what is missing. Code that comes with a checkpoint is not run.
"""

from collections.abc import Sequence
from functools import partial

from dnahub.inference.arguments import CuttingArguments, ModelArguments, PredictArguments, RowOutputArguments
from dnahub.machine.arguments import parse
from dnahub.machine.script import run
from dnahub.sequences.arguments import InputArguments


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program with the command line, or with these arguments; errors are raised."""
    groups = (InputArguments, ModelArguments, PredictArguments, CuttingArguments, RowOutputArguments)
    inputs, model, predict, cutting, output = parse("predict.py", __doc__, groups, arguments)

    # Imported here, for these take seconds, and --help and a wrong argument need none of them.
    from dnahub.inference.flow import compute_rows
    from dnahub.inference.model import load_predictor
    from dnahub.inference.outputs import PREDICTIONS

    compute_rows("predict.py", inputs, output, PREDICTIONS, partial(load_predictor, model, predict, cutting, output))


if __name__ == "__main__":
    run("predict.py", main, goes_on="finished parts are kept, and the same command computes only what is missing")
