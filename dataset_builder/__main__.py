"""Sequences of several species or classes -> labelled windows, as Parquet in a folder and on the Hub.

    python -m dataset_builder --source synthetic --output_dir data/nt-species
    python -m dataset_builder --source ensembl --output_dir data/nt-species
    python -m dataset_builder --source FOLDER --output_dir data/nt-species --all_windows
    python -m dataset_builder --source FOLDER --output_dir data/nt-species-genes --all_windows --whole_genes
    python -m dataset_builder --source FOLDER --output_dir data/phage-host --classes files
    python -m dataset_builder --source ensembl --push_to_hub --hub_dataset_id user/nt-species --hub_private_repo
    python -m dataset_builder --push_only --output_dir data/nt-species --hub_dataset_id user/nt-species

Exit status: 0, done; 2, bad input; 130, interrupted; 143, terminated.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataset_builder.arguments import ENSEMBL, FILES, SYNTHETIC, Build, Publishing
from dataset_builder.layout import DEFAULT, SPLITS
from dnahub.machine.arguments import parse
from dnahub.machine.script import run

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def main(arguments: Sequence[str] | None = None, api: "HfApi | None" = None) -> None:
    """Build and publish; `api` is the user who publishes, by default that of the environment."""
    settings, publishing = parse("python -m dataset_builder", __doc__, (Build, Publishing), arguments)
    if settings.source is None and not publishing.push_only:
        raise ValueError(f"--source is missing; give '{ENSEMBL}', '{SYNTHETIC}' or a folder of FASTA files.")

    # Here, because these imports take seconds.
    from huggingface_hub import HfApi

    from dataset_builder.folder import write_folder
    from dataset_builder.publishing import check_data_set, push_folder, read_folder
    from dnahub.hub.faults import HubError
    from dnahub.hub.publishing import Target

    api, folder, target = api or HfApi(), Path(settings.output_dir), None
    if publishing.hub_dataset_id is not None:
        target = Target(publishing.hub_dataset_id, "dataset", publishing.hub_private_repo, publishing.hub_revision)
        build = {"config_name": settings.config_name, "source": settings.source_kind}
        if publishing.push_only:
            build = read_folder(folder)
        target = check_data_set(target, build["config_name"], build["source"], api)
    if not publishing.push_only:
        replaced = folder.is_dir() and any(folder.iterdir())
        build = write_folder(settings)
        print(summary(build, folder))
        if replaced:
            print(f"It replaces the earlier build in {folder}.")
    if target is None:
        return
    try:
        published = push_folder(folder, target, api)
    except HubError as error:
        raise HubError(
            f"{error} The data set is complete in {folder}; the same command with --push_only publishes it."
        ) from error
    print(f"{'published' if published.changed else 'already there, unchanged'}: {published.address}")
    name = "" if build["config_name"] == DEFAULT else f', "{build["config_name"]}"'
    print(f'Load it with load_dataset("{target.repo_id}"{name}, revision="{published.commit}").')


def summary(build: dict[str, Any], folder: Path) -> str:
    """A table of window counts, and how to load the data set."""
    classes, any_dna = build["classes"], build["source"] == FILES
    unit, kind = ("records", "class") if any_dna else ("genes", "species")
    width = max(len(each["name"]) for each in classes)
    lines = [f"{'':{width}}" + "".join(f"{split:>12}" for split in SPLITS)]
    for each in classes:
        lines.append(f"{each['name']:{width}}" + "".join(f"{each['splits'][split]['kept']:>12,}" for split in SPLITS))
    if build["whole_genes"]:
        counts = [each["splits"]["train"] for each in classes]
        genes, cut, nt, kept = (
            sum(count[name] for count in counts) for name in ("genes", "genes_cut", "nt", "nt_kept")
        )
        lines.append(
            f"train contains whole {unit}: {genes:,}, of which {cut:,} were cut, as {100 - 100 * kept / nt:.2f} % "
            f"of their {nt:,} nt occur in another split, in another {kind} or twice (README.md has the counts)."
        )
    if not build["synthetic"]:
        for each in classes:
            lines.append(f"{each['name']:{width}}  {headers_of(each['origin'])}")
        genes = sum(each["genes"] for each in classes)
        related = sum(each["relatives"]["genes" if any_dna else "moved"] for each in classes)
        lines.append(
            f"{related:,} of {genes:,} records share a gene or have relatives, and are in one split with them."
            if any_dna
            else f"{related:,} of {genes:,} genes were moved to the split of their relatives in the same species."
        )
    if any_dna:
        short = sum(sum(each["origin"]["skipped"].values()) for each in classes)
        lines.append(f"{short:,} records were skipped, as they are shorter than a window.")
    if build["audit"]:
        audit = build["audit"]
        lines.append(f"seqleak {audit['seqleak']}: {audit['verdict']}, {audit['summary']}; {audit['homology']}.")
    if build["synthetic"]:
        lines.append(
            "This data set is SYNTHETIC: random genes with the codon pairs of the six species. The Bayes-optimal "
            f"accuracy on its test windows is {build['bayes_optimal_accuracy']:.4f}, and "
            f"{build['codon_usage_accuracy']:.4f} for a classifier that knows codon usage alone."
        )
    lines.append(f'The data set is in {folder}; load it with load_dataset("{folder}").')
    return "\n".join(lines)


def headers_of(origin: dict[str, Any]) -> str:
    """What the headers of a file say about genes, in one sentence."""
    form, without, records = origin["header_form"], origin["without_gene"], origin["records"]
    per_gene = f"{form} headers, {records / origin['genes']:.2f} records per gene" if form else "unknown headers"
    if not without:
        return per_gene
    return (
        f"{per_gene}; {without:,} of {records:,} headers name no gene: each of these records counts as a gene of its "
        "own (--gene_pattern finds genes elsewhere)"
    )


if __name__ == "__main__":
    run("dataset_builder", main, "a finished data set can be published with --push_only")
