"""Command line -> data set folder.

    python -m dataset_builder --source synthetic --output_dir data/nt-species
    python -m dataset_builder --source ensembl --output_dir data/nt-species
    python -m dataset_builder --source DIR --output_dir data/nt-species --all_windows

Exit codes: 0, done; 2, bad input or surroundings that the user can mend, said in one sentence; 130, interrupted.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from typing import Any

from datasets.exceptions import DatasetGenerationError

from dataset_builder.folder import write_folder
from dataset_builder.nt_species import WINDOWS_PER_SPECIES, NtSpeciesConfig
from dataset_builder.sources import ENSEMBL, SYNTHETIC
from dataset_builder.windows import SPLITS, STRETCH_NT


def parse_arguments(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Arguments of `write_folder`."""
    parser = argparse.ArgumentParser(
        prog="python -m dataset_builder",
        description="Builds a data set of windows of coding sequences, labelled with their species, as Parquet.",
    )
    parser.add_argument(
        "--source",
        required=True,
        help=f"'{ENSEMBL}' (downloads the six files), '{SYNTHETIC}' (random genes, no network), or a folder that "
        "holds a FASTA file <Genus_species>*.fa[.gz] of each of the six species",
    )
    parser.add_argument("--output_dir", default="data/nt-species", help="folder to write (default: %(default)s)")
    parser.add_argument(
        "--window_nt",
        type=int,
        default=NtSpeciesConfig.window_nt,
        help=f"window in nt, a multiple of 3 from {STRETCH_NT} on (default: %(default)s)",
    )
    for split in SPLITS:
        parser.add_argument(
            f"--{split}_per_species",
            type=int,
            help=f"windows per species in the {split} split (default: {WINDOWS_PER_SPECIES[split]})",
        )
    parser.add_argument(
        "--all_windows",
        action="store_true",
        help="take every window, of 0.8, 0.1 and 0.1 of the genes, rather than a number per species",
    )
    parser.add_argument(
        "--seed", type=int, default=NtSpeciesConfig.seed, help="decides all that is random (default: %(default)s)"
    )
    given = vars(parser.parse_args(arguments))
    budgets = {f"{split}_per_species": given.pop(f"{split}_per_species") for split in SPLITS}
    if given.pop("all_windows"):
        if any(budget is not None for budget in budgets.values()):
            raise ValueError("--all_windows takes every window there is; leave out the numbers per species.")
        return given | budgets
    return given | {
        f"{split}_per_species": WINDOWS_PER_SPECIES[split] if budget is None else budget
        for split, budget in zip(SPLITS, budgets.values(), strict=True)
    }


def summary(build: dict[str, Any], output_dir: str) -> str:
    """What the user reads at the end: place and counts."""
    width = max(len(species["scientific_name"]) for species in build["species"])
    lines = [f"{'':{width}}" + "".join(f"{split:>12}" for split in SPLITS)]
    for species in build["species"]:
        counts = "".join(f"{species['splits'][split]['kept']:>12,}" for split in SPLITS)
        lines.append(f"{species['scientific_name']:{width}}{counts}")
    if build["synthetic"]:
        lines.append(
            "This data set is SYNTHETIC: random genes with the codon usage of the six species. The best possible "
            f"classifier is right on {build['bayes_optimal_accuracy']:.4f} of the test windows."
        )
    lines.append(f'The data set is in {output_dir}; load it with load_dataset("{output_dir}").')
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    try:
        options = parse_arguments(arguments)
        build = write_folder(**options)
    except (ValueError, OSError, DatasetGenerationError) as error:
        print(f"error: {' '.join(str(_first_cause(error)).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was written.", file=sys.stderr)
        return 130
    print(summary(build, options["output_dir"]))
    return 0


def _first_cause(error: BaseException) -> BaseException:
    """What datasets wraps, once or twice, when writing fails; any other error is meant as it is."""
    if isinstance(error, DatasetGenerationError):
        while error.__cause__ or error.__context__:
            error = error.__cause__ or error.__context__
    return error


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a terminated build cleans up like an interrupted one
    sys.exit(main())
