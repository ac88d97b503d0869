"""build.json of each configuration -> README.md, the data set card."""

import hashlib
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCard, DatasetCardData

from dataset_builder.arguments import ENSEMBL, FILES, FOLDER
from dataset_builder.composition import CODONS
from dataset_builder.layout import DEFAULT, GENES, SPLITS, build_file, data_folder
from dataset_builder.relatives import MIN_SEEDS, SEEDS
from dataset_builder.species import GENETIC_CODES
from dataset_builder.synthetic import MAX_WINDOWS, MIN_WINDOWS, PSEUDO_COUNT, codon_pairs_notes
from dnahub.machine.text import markdown, markdown_code

TEMPLATE = Path(__file__).with_name("dataset_card.md")


def render_card(builds: Sequence[dict[str, Any]], repo_id: str | None = None) -> str:
    """README.md: metadata and dataset_card.md, from a record for each configuration, the default one first."""
    card = DatasetCard.from_template(
        _metadata(builds),
        template_path=str(TEMPLATE),
        builds=builds,
        title=_title(builds[0]),
        repo_id=repo_id,
        default=DEFAULT,
        splits=SPLITS,
        command=_command,
        build_file=build_file,
        codons=CODONS,
        codon_pairs_notes=codon_pairs_notes(),
        pseudo_count=PSEUDO_COUNT,
        seeds=(MIN_SEEDS, SEEDS),
        genetic_codes=GENETIC_CODES,
        markdown=markdown,
        markdown_code=markdown_code,
        gene_windows=(MIN_WINDOWS, MAX_WINDOWS),
        same_test=len({_test_digest(build) for build in builds}) == 1,
    )
    return str(card)


def _metadata(builds: Sequence[dict[str, Any]]) -> DatasetCardData:
    """The card's YAML block."""
    first = builds[0]
    if first["synthetic"]:
        licence = {"license": "cc0-1.0"}
    elif first["source"] == ENSEMBL:
        licence = {
            "license": "other",
            "license_name": "ensembl-and-embl-ebi-terms-of-use",
            "license_link": first["classes"][0]["origin"]["licence_address"],
        }
    else:
        licences = sorted({build["license"] or "unknown" for build in builds})
        licence = {"license": licences if len(licences) > 1 else licences[0]}
    coding = [] if first["source"] == FILES else ["coding-sequence"]
    synthetic = ["synthetic"] if first["synthetic"] else []
    configs = []
    for build in builds:
        name = build["config_name"]
        files = [{"split": split, "path": f"{data_folder(name)}/{split}-*.parquet"} for split in SPLITS]
        configs.append({"config_name": name, "description": _description(build), "data_files": files})
    return DatasetCardData(
        **licence,
        task_categories=["text-classification"],
        pretty_name=_title(first),
        tags=["biology", "genomics", "dna", *coding, "nucleotide-transformer", *synthetic],
        configs=configs,
    )


def _title(build: dict[str, Any]) -> str:
    if build["source"] == FILES:
        return "DNA windows labelled by class"
    return "Coding-sequence windows labelled by species" + (" (synthetic)" if build["synthetic"] else "")


def _description(build: dict[str, Any]) -> str:
    """
    A text unique to this build.

    `load_dataset` identifies a local folder by its card's metadata: without this it would return an earlier build of
    the same folder from its cache (datasets 5.2).
    """
    digest = hashlib.sha256(json.dumps(build["files"], sort_keys=True).encode()).hexdigest()
    unit = "records" if build["source"] == FILES else "genes"
    train = f"whole {unit} in train, " if build["whole_genes"] else ""
    return f"{train}windows of {build['window_nt']} nt, seed {build['seed']}, build {digest[:16]}"


def _command(build: dict[str, Any]) -> str:
    """The command that rebuilds this data set; a folder is called DIR, to keep its path private."""
    source = "DIR" if build["source"] in (FOLDER, FILES) else build["source"]
    classes = " --classes files" if build["source"] == FILES else ""
    species = f" --species_file {shlex.quote(build['species_file']['name'])}" if build["species_file"] else ""
    budgets = build["windows_per_class"]
    windows = " ".join(f"--{split}_per_class {budgets[split]}" for split in SPLITS) if budgets else "--all_windows"
    whole = " --whole_genes" if build["whole_genes"] else ""
    usual = GENES if whole else DEFAULT
    name = "" if build["config_name"] == usual else f" --config_name {build['config_name']}"
    licence = f" --license {build['license']}" if build["license"] else ""
    pattern = f" --gene_pattern {shlex.quote(build['gene_pattern'])}" if build["gene_pattern"] else ""
    audit = " --audit" if build["audit"] else ""
    options = f"--source {source}{classes}{species} --window_nt {build['window_nt']} {windows} --seed {build['seed']}"
    options += whole + name + licence + pattern + audit
    return f"python -m dataset_builder {options}"


def _test_digest(build: dict[str, Any]) -> str:
    return next(digest for path, digest in build["files"].items() if "/test-" in path)
