"""Settings -> finished data set folder, complete or not at all."""

import json
import os
from pathlib import Path
from typing import Any

import datasets
from huggingface_hub import DatasetCardData

from dataset_builder.arguments import Build
from dataset_builder.card import render_card
from dataset_builder.layout import DEFAULT, build_file, data_folder, holds_nothing_else
from dataset_builder.nt_species import build_splits
from dataset_builder.sources import sha256
from dnahub.machine.files import replacing_folder

ROW_GROUP = 1000  # rows, so that streaming reads little at a time


def write_folder(settings: Build) -> dict[str, Any]:
    """Build the data set and write its Parquet files, README.md and build.json to `settings.output_dir`.

    The files of the default configuration are `data/*.parquet` and `build.json`, those of another one
    `NAME/*.parquet` and `NAME/build.json`, so that a repository can have several. After an error the folder is
    unchanged.

    Returns:
        The content of build.json.

    Raises:
        ValueError: The folder contains something else than an earlier build, or the source has too few windows.
        OSError: A file cannot be read, downloaded or written.
    """
    output_dir = Path(settings.output_dir).resolve()
    _check_replaceable(output_dir)
    with replacing_folder(output_dir) as folder:
        splits, record = build_splits(settings)
        parquet = folder / data_folder(settings.config_name)
        parquet.mkdir()
        num_bytes = {
            split: rows.to_parquet(parquet / f"{split}-00000-of-00001.parquet", batch_size=ROW_GROUP)
            for split, rows in splits.items()
        }
        build = {
            "config_name": settings.config_name,
            **record,
            "license": settings.license,
            "dataset_info": _dataset_info(splits, num_bytes, parquet),
            "files": {f"{parquet.name}/{path.name}": sha256(path) for path in sorted(parquet.iterdir())},
        }
        (folder / build_file(settings.config_name)).write_text(
            json.dumps(build, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        (folder / "README.md").write_text(render_card([build]), encoding="utf-8")
    return build


def _check_replaceable(output_dir: Path) -> None:
    nearest = next(path for path in (output_dir, *output_dir.parents) if path.exists())
    if not nearest.is_dir():
        raise ValueError(f"--output_dir {output_dir}: {nearest} is a file; give a folder.")
    if not os.access(nearest, os.W_OK):
        raise ValueError(f"--output_dir {output_dir}: no permission to write to {nearest}; give another folder.")
    if nearest == output_dir and any(output_dir.iterdir()) and not holds_nothing_else(output_dir):
        raise ValueError(
            f"--output_dir {output_dir} contains files other than an earlier build, which would be replaced; give "
            "another folder, or empty it."
        )


def _dataset_info(splits: datasets.DatasetDict, num_bytes: dict[str, int], parquet: Path) -> dict[str, Any]:
    """The card's metadata on columns and sizes, as `datasets` writes it."""
    described = datasets.DatasetInfo(
        features=splits["train"].features,
        splits=[
            {"name": split, "num_bytes": num_bytes[split], "num_examples": len(rows)} for split, rows in splits.items()
        ],
        download_size=sum(path.stat().st_size for path in parquet.iterdir()),
        dataset_size=sum(num_bytes.values()),
    )
    data = DatasetCardData()
    datasets.info.DatasetInfosDict({DEFAULT: described}).to_dataset_card_data(data)
    return data["dataset_info"]
