"""Settings -> finished data set folder, complete or not at all."""

import json
from pathlib import Path
from typing import Any

from dataset_builder.arguments import Build
from dataset_builder.audit import audit, check_linter
from dataset_builder.card import render_card
from dataset_builder.layout import build_file, data_folder, holds_nothing_else
from dataset_builder.nt_species import build_splits
from dataset_builder.sources import sha256
from dnahub.machine.files import replacing_folder, write_text

ROW_GROUP = 1000  # rows, so that streaming reads little at a time


def write_folder(settings: Build) -> dict[str, Any]:
    """
    Build the data set and write its Parquet files, README.md and build.json to `settings.output_dir`.

    The files of the default configuration are `data/*.parquet` and `build.json`, those of another one
    `NAME/*.parquet` and `NAME/build.json`, so that a repository can have several. After an error the folder is
    unchanged.

    Returns:
        The content of build.json.

    Raises:
        ValueError: The folder contains something other than an earlier build, or the source has too few windows.
    """
    output_dir = Path(settings.output_dir).resolve()
    if output_dir.exists() and any(output_dir.iterdir()) and not holds_nothing_else(output_dir):
        raise ValueError(
            f"--output_dir {output_dir} contains files other than an earlier build, which would be replaced; give "
            "another folder, or empty it."
        )
    if settings.audit:
        check_linter()
    with replacing_folder(output_dir) as folder:
        splits, record = build_splits(settings)
        parquet = folder / data_folder(settings.config_name)
        parquet.mkdir()
        files = {split: parquet / f"{split}-00000-of-00001.parquet" for split in splits}
        for split, rows in splits.items():
            rows.to_parquet(files[split], batch_size=ROW_GROUP)
        build = {
            "config_name": settings.config_name,
            **record,
            "license": settings.license,
            "audit": audit(files) if settings.audit else None,
            "files": {f"{parquet.name}/{path.name}": sha256(path) for path in sorted(files.values())},
        }
        text = json.dumps(build, indent=2, ensure_ascii=False) + "\n"
        write_text(folder / build_file(settings.config_name), text)
        write_text(folder / "README.md", render_card([build]))
    return build
