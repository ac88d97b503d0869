"""Command line -> data set folder, and the Hub.

    python -m dataset_builder --source synthetic --output_dir data/nt-species
    python -m dataset_builder --source ensembl --output_dir data/nt-species
    python -m dataset_builder --source DIR --output_dir data/nt-species --all_windows
    python -m dataset_builder --source ensembl --push_to_hub user/nt-species --private
    python -m dataset_builder --push_only --output_dir data/nt-species --push_to_hub user/nt-species

Exit codes: 0, done; 2, bad input or surroundings that the user can mend, said in one sentence; 130, interrupted.
"""

import argparse
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets.exceptions import DatasetGenerationError
from huggingface_hub import HfApi

from dataset_builder.folder import write_folder
from dataset_builder.layout import DEFAULT
from dataset_builder.nt_species import WINDOWS_PER_SPECIES, NtSpeciesConfig
from dataset_builder.publishing import check_data_set, push_folder, read_folder
from dataset_builder.sources import ENSEMBL, SYNTHETIC
from dataset_builder.windows import SPLITS, STRETCH_NT
from dnahub.hub.faults import HubError
from dnahub.hub.publishing import Target


def parse_arguments(arguments: Sequence[str] | None = None) -> tuple[dict[str, Any], Target | None, bool]:
    """Arguments of `write_folder`, where to publish, if at all, and whether an earlier build is to be published."""
    parser = argparse.ArgumentParser(
        prog="python -m dataset_builder",
        description="Builds a data set of windows of coding sequences, labelled with their species, as Parquet, and "
        "publishes it on the Hub.",
    )
    parser.add_argument(
        "--source",
        help=f"'{ENSEMBL}' (downloads the six files), '{SYNTHETIC}' (random genes, no network), or a folder that "
        "holds a FASTA file <Genus_species>*.fa[.gz] of each of the six species",
    )
    parser.add_argument("--output_dir", default="data/nt-species", help="folder to write (default: %(default)s)")
    parser.add_argument(
        "--config_name",
        default=DEFAULT,
        help="name of this configuration, where several go into one repository, such as w120 (default: %(default)s)",
    )
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
    parser.add_argument(
        "--license", help="of the sequences in a folder, as the Hub calls it, such as cc-by-4.0 (default: unknown)"
    )
    hub = parser.add_argument_group("publishing")
    hub.add_argument("--push_to_hub", metavar="USER/NAME", help="publish the data set there, as one commit")
    hub.add_argument("--private", action="store_true", help="make the repository private, where it is a new one")
    hub.add_argument("--revision", default="main", help="branch to commit to (default: %(default)s)")
    hub.add_argument(
        "--push_only", action="store_true", help="publish what --output_dir holds, without building it again"
    )
    given = vars(parser.parse_args(arguments))
    publishing = {name: given.pop(name) for name in ("push_to_hub", "private", "revision")}
    push_only, all_windows = given.pop("push_only"), given.pop("all_windows")
    budgets = {f"{split}_per_species": given.pop(f"{split}_per_species") for split in SPLITS}
    if publishing["push_to_hub"] is None and (push_only or publishing["private"] or publishing["revision"] != "main"):
        raise ValueError(
            "--push_only, --private and --revision are about publishing; say where: --push_to_hub USER/NAME."
        )
    ignored = [
        name
        for name in (*given, *budgets)
        if name != "output_dir" and (given | budgets)[name] != parser.get_default(name)
    ]
    if push_only and (ignored or all_windows):
        raise ValueError(f"--push_only builds nothing; leave out --{', --'.join(ignored or ['all_windows'])}.")
    if given["source"] is None and not push_only:
        raise ValueError(f"--source is not given; name '{ENSEMBL}', '{SYNTHETIC}' or a folder of FASTA files.")
    target = None
    if publishing["push_to_hub"] is not None:
        target = Target(publishing["push_to_hub"], "dataset", publishing["private"], publishing["revision"])
    if all_windows:
        if any(budget is not None for budget in budgets.values()):
            raise ValueError("--all_windows takes every window there is; leave out the numbers per species.")
        return given | budgets, target, push_only
    budgets = {
        f"{split}_per_species": WINDOWS_PER_SPECIES[split] if budget is None else budget
        for split, budget in zip(SPLITS, budgets.values(), strict=True)
    }
    return given | budgets, target, push_only


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


def main(arguments: Sequence[str] | None = None, api: HfApi | None = None) -> int:
    """Runs the program and returns its exit code; `api` says who publishes, by default the user of the environment."""
    api = api or HfApi()
    try:
        options, target, push_only = parse_arguments(arguments)
        folder = Path(options["output_dir"])
        if target is not None and push_only:
            build = read_folder(folder)
            target = check_data_set(target, build["config_name"], build["source"], build["license"], api)
        elif target is not None:
            source = options["source"] if options["source"] in (ENSEMBL, SYNTHETIC) else "folder"
            target = check_data_set(target, options["config_name"], source, options["license"], api)
        if not push_only:
            print(summary(write_folder(**options), options["output_dir"]))
    except (ValueError, OSError, DatasetGenerationError) as error:
        return _fail(_first_cause(error))
    except KeyboardInterrupt:
        print("interrupted; nothing was written.", file=sys.stderr)
        return 130
    if target is None:
        return 0
    try:
        published = push_folder(folder, target, api)
    except HubError as error:
        return _fail(f"{error} {_not_pushed(folder, target)}")
    except (ValueError, OSError) as error:  # which the same command would meet again
        return _fail(f"{error} The data set is whole in {folder}.")
    except KeyboardInterrupt:
        print(f"interrupted. {_not_pushed(folder, target)}", file=sys.stderr)
        return 130
    print(f"{'published' if published.changed else 'already there, unchanged'}: {published.address}")
    config_name = read_folder(folder)["config_name"]
    name = "" if config_name == DEFAULT else f', "{config_name}"'
    print(f'Load it with load_dataset("{target.repo_id}"{name}, revision="{published.commit}").')
    return 0


def _fail(error: BaseException | str) -> int:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return 2


def _not_pushed(folder: Path, target: Target) -> str:
    """What to do when the data set is there, but not on the Hub."""
    command = ["python", "-m", "dataset_builder", "--push_only", "--output_dir", str(folder)]
    command += ["--push_to_hub", target.repo_id, *["--private"] * target.private]
    command += ["--revision", target.branch] if target.branch != "main" else []
    return f"The data set is whole in {folder}; to publish it later: {shlex.join(command)}"


def _first_cause(error: BaseException) -> BaseException:
    """What datasets wraps, once or twice, when writing fails; any other error is meant as it is."""
    if isinstance(error, DatasetGenerationError):
        while error.__cause__ or error.__context__:
            error = error.__cause__ or error.__context__
    return error


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a terminated build cleans up like an interrupted one
    sys.exit(main())
