"""build.json of each configuration -> README.md, the data set card."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCard, DatasetCardData

from dataset_builder.arguments import ENSEMBL
from dataset_builder.composition import CODONS
from dataset_builder.layout import DEFAULT, SPLITS, build_file, data_files
from dataset_builder.species import ENSEMBL_LICENCE
from dataset_builder.synthetic import MAX_WINDOWS, MIN_WINDOWS, codon_usage_notes

TEMPLATE = Path(__file__).with_name("dataset_card.md")
# https://huggingface.co/docs/hub/datasets-cards: the Hub's size categories, by their upper bound.
SIZE_CATEGORIES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
)


def render_card(builds: Sequence[dict[str, Any]], repo_id: str | None = None) -> str:
    """README.md of a data set: metadata for the Hub and the text of dataset_card.md, filled from the records.

    Args:
        builds: A record each of the configurations, the default one first.
        repo_id: Where the data set is on the Hub; None for a folder.
    """
    return str(
        DatasetCard.from_template(
            card_data(builds),
            template_path=str(TEMPLATE),
            builds=builds,
            repo_id=repo_id,
            default=DEFAULT,
            splits=SPLITS,
            command=command,
            build_file=build_file,
            escaped=escaped,
            codons=CODONS,
            codon_usage_notes=codon_usage_notes(),
            gene_windows=(MIN_WINDOWS, MAX_WINDOWS),
            total=total,
        )
    )


def card_data(builds: Sequence[dict[str, Any]]) -> DatasetCardData:
    """The card's YAML block."""
    first = builds[0]
    if first["synthetic"]:
        licence = {"license": "cc0-1.0"}
    elif first["source"] == ENSEMBL:
        licence = {
            "license": "other",
            "license_name": "ensembl-and-embl-ebi-terms-of-use",
            "license_link": ENSEMBL_LICENCE[1],
        }
    else:
        licences = sorted({build["license"] or "unknown" for build in builds})
        licence = {"license": licences if len(licences) > 1 else licences[0]}
    windows = sum(total(build, split) for build in builds for split in SPLITS)
    infos = [{"config_name": build["config_name"], **build["dataset_info"]} for build in builds]
    return DatasetCardData(
        **licence,
        task_categories=["text-classification"],
        size_categories=[next(name for bound, name in SIZE_CATEGORIES if windows < bound)],
        pretty_name="Coding-sequence windows of six species" + (" (synthetic)" if first["synthetic"] else ""),
        tags=["biology", "genomics", "dna", "coding-sequence", "nucleotide-transformer"]
        + (["synthetic"] if first["synthetic"] else []),
        configs=[
            {
                "config_name": build["config_name"],
                "description": _description(build),
                "data_files": data_files(build["config_name"]),
            }
            for build in builds
        ],
        dataset_info=infos if len(infos) > 1 else infos[0],
    )


def _description(build: dict[str, Any]) -> str:
    """A text unique to this build.

    `load_dataset` identifies a local folder by its card's metadata: without this it would return an earlier build of
    the same folder from its cache (datasets 5.2).
    """
    digest = hashlib.sha256(json.dumps(build["files"], sort_keys=True).encode()).hexdigest()
    return f"windows of {build['window_nt']} nt, seed {build['seed']}, build {digest[:16]}"


def total(build: dict[str, Any], split: str) -> int:
    """Windows of all species in a split."""
    return sum(species["splits"][split]["kept"] for species in build["species"])


def command(build: dict[str, Any]) -> str:
    """The command that rebuilds this data set; a folder is called DIR, to keep its path private."""
    source = "DIR" if build["source"] == "folder" else build["source"]
    budgets = build["windows_per_species"]
    windows = " ".join(f"--{split}_per_species {budgets[split]}" for split in SPLITS) if budgets else "--all_windows"
    name = "" if build["config_name"] == DEFAULT else f" --config_name {build['config_name']}"
    licence = f" --license {build['license']}" if build["license"] else ""
    options = f"--source {source} --window_nt {build['window_nt']} {windows} --seed {build['seed']}{name}{licence}"
    return f"python -m dataset_builder {options}"


def escaped(text: str) -> str:
    """Text that Markdown and HTML show unchanged, whatever a file name contains."""
    return re.sub(r"[^\w .-]", lambda character: f"&#{ord(character[0])};", text)
