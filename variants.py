r"""Checkpoint + genome + variants -> a score of each variant, in one file.

    python variants.py --model_name_or_path user/dna-lm --vcf patient.vcf.gz --genome hg38.fa --output scores.tsv
    python variants.py --model_name_or_path user/dna-lm --vcf my.vcf.gz --genome hg38.fa --output scored.vcf.gz
    python variants.py --model_name_or_path user/promoters --vcf variants.tsv --genome hg38.fa --output effects.parquet
    python variants.py --model_name_or_path user/promoters --saturate chr1:1000-1100 --genome hg38.fa \
        --output effects.tsv

The output has a row per alternative allele, in the order of the input: its columns, status (scored, or why not), and
the scores. Of a masked language model that is llr, the log-likelihood ratio of alternative and reference; of a
fine-tuned one the change of each logit and probability; of any, on request, distances between the embeddings of both.
--saturate scores every substitution of a region, and draws a heat map next to the output.

Finished parts are kept in OUTPUT.parts until the output is complete: after a kill, an error or Ctrl-C, the same
command computes only what is missing. Code that comes with a checkpoint is not run.
"""

from collections.abc import Sequence

from dnahub.inference.arguments import ModelArguments, OutputArguments, VariantArguments
from dnahub.machine.arguments import parse
from dnahub.machine.script import run


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program with the command line, or with these arguments; errors are raised."""
    groups = (VariantArguments, ModelArguments, OutputArguments)
    variants, model, output = parse("variants.py", __doc__, groups, arguments)

    # Imported here, for these take seconds, and --help and a wrong argument need none of them.
    from dnahub.inference.variant_flow import score_variants

    score_variants(variants, model, output)


if __name__ == "__main__":
    run("variants.py", main, goes_on="finished parts are kept, and the same command computes only what is missing")
