"""build.json -> README.md, the card of the data set."""

import re
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCard, DatasetCardData

from dataset_builder.composition import CODONS
from dataset_builder.sources import ENSEMBL
from dataset_builder.species import ENSEMBL_LICENCE
from dataset_builder.synthetic import MAX_WINDOWS, MIN_WINDOWS, codon_usage_notes
from dataset_builder.windows import SPLITS

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


def render_card(build: dict[str, Any]) -> str:
    """README.md of a data set: metadata for the Hub and the text of dataset_card.md, filled from build.json."""
    return str(
        DatasetCard.from_template(
            card_data(build),
            template_path=str(TEMPLATE),
            build=build,
            splits=SPLITS,
            command=command(build),
            escaped=escaped,
            codons=CODONS,
            codon_usage_notes=codon_usage_notes(),
            gene_windows=(MIN_WINDOWS, MAX_WINDOWS),
            totals={split: sum(each["splits"][split]["kept"] for each in build["species"]) for split in SPLITS},
        )
    )


def card_data(build: dict[str, Any]) -> DatasetCardData:
    """The card's YAML block."""
    if build["synthetic"]:
        licence = {"license": "cc0-1.0"}
    elif build["source"] == ENSEMBL:
        licence = {
            "license": "other",
            "license_name": "ensembl-and-embl-ebi-terms-of-use",
            "license_link": ENSEMBL_LICENCE[1],
        }
    else:
        licence = {"license": "unknown"}
    windows = sum(counts["kept"] for species in build["species"] for counts in species["splits"].values())
    return DatasetCardData(
        **licence,
        task_categories=["text-classification"],
        size_categories=[next(name for bound, name in SIZE_CATEGORIES if windows < bound)],
        pretty_name="Coding-sequence windows of six species" + (" (synthetic)" if build["synthetic"] else ""),
        tags=["biology", "genomics", "dna", "coding-sequence", "nucleotide-transformer"]
        + (["synthetic"] if build["synthetic"] else []),
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"data/{split}-*.parquet"} for split in SPLITS],
            }
        ],
    )


def command(build: dict[str, Any]) -> str:
    """The command that builds this data set again; a folder is called DIR, its place is nobody's business."""
    source = "DIR" if build["source"] == "folder" else build["source"]
    budgets = build["windows_per_species"]
    windows = " ".join(f"--{split}_per_species {budgets[split]}" for split in SPLITS) if budgets else "--all_windows"
    options = f"--source {source} --window_nt {build['window_nt']} {windows} --seed {build['seed']}"
    return f"python -m dataset_builder {options}"


def escaped(text: str) -> str:
    """Text that Markdown and HTML show as it is, whatever a file's name contains."""
    return re.sub(r"[^\w .-]", lambda character: f"&#{ord(character[0])};", text)
