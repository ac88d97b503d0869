"""Builder -> finished data set folder, whole or not at all."""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import datasets
from huggingface_hub import DatasetCardData

from dataset_builder.card import render_card
from dataset_builder.layout import DEFAULT, build_file, check_config_name, data_folder, holds_nothing_else
from dataset_builder.nt_species import NtSpecies
from dataset_builder.sources import ENSEMBL, SYNTHETIC
from dataset_builder.windows import SPLITS


def write_folder(
    output_dir: str | Path, config_name: str = DEFAULT, license: str | None = None, **config: Any
) -> dict[str, Any]:
    """Builds the data set and leaves its Parquet files, README.md and build.json in `output_dir`.

    Those of the default configuration are `data/*.parquet` and `build.json`, those of another one `NAME/*.parquet` and
    `NAME/build.json`, so that several go into one repository.

    All is written beside it and moved into place at the end; whatever goes wrong, `output_dir` stays as it was.

    Args:
        output_dir: New or empty folder, or one that an earlier build wrote: that is replaced.
        config_name: By which name `load_dataset` finds this configuration beside others.
        license: Of the sequences in a folder, by its identifier on the Hub; None if it is not known.
        config: Fields of NtSpeciesConfig.

    Returns:
        What build.json holds.

    Raises:
        ValueError: `output_dir` holds something else, or the source cannot give what is asked.
        OSError: A file cannot be read, fetched or written.
    """
    output_dir = Path(output_dir).resolve()
    check_config_name(config_name)
    if license is not None and config["source"] in (ENSEMBL, SYNTHETIC):
        raise ValueError(f"--license {license}: the licence of {config['source']} is known; leave it out.")
    _check_replaceable(output_dir)
    home = next(parent for parent in output_dir.parents if parent.exists())
    with tempfile.TemporaryDirectory(prefix=f".{output_dir.name}.", dir=home) as scratch_name:
        scratch = Path(scratch_name)
        # Its own cache folder: no data set of an earlier build can be taken for this one. Downloads are shared.
        builder = NtSpecies(cache_dir=str(scratch / "cache"), **config)
        builder.download_and_prepare(
            str(scratch / "parquet"),
            download_config=datasets.DownloadConfig(
                cache_dir=str(datasets.config.DOWNLOADED_DATASETS_PATH), use_etag=False
            ),
            file_format="parquet",
        )
        finished = scratch / "finished"
        parquet = finished / data_folder(config_name)
        parquet.mkdir(parents=True)
        for split in SPLITS:
            for name, path in _shards(scratch / "parquet", f"{builder.dataset_name}-{split}"):
                path.rename(parquet / f"{split}-{name}")
        build = {
            "config_name": config_name,
            **builder.build,
            "license": license,
            "dataset_info": _dataset_info(builder.info, parquet),
            "files": {f"{parquet.name}/{path.name}": _sha256(path) for path in sorted(parquet.iterdir())},
        }
        (finished / build_file(config_name)).write_text(
            json.dumps(build, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        (finished / "README.md").write_text(render_card([build]), encoding="utf-8")
        _check_replaceable(output_dir)
        _move_into_place(finished, output_dir, scratch / "replaced")
    return build


def _check_replaceable(output_dir: Path) -> None:
    nearest = next(path for path in (output_dir, *output_dir.parents) if path.exists())
    if not nearest.is_dir():
        raise ValueError(f"--output_dir {output_dir}: {nearest} is a file; give a folder.")
    if not os.access(nearest, os.W_OK):
        raise ValueError(f"--output_dir {output_dir}: you may not write to {nearest}; give another folder.")
    if nearest != output_dir:
        return
    if any(output_dir.iterdir()) and not holds_nothing_else(output_dir):
        raise ValueError(
            f"--output_dir {output_dir} holds other files than one build of this program left there, and is not "
            "replaced; give another folder, or empty it."
        )


def _shards(folder: Path, stem: str) -> list[tuple[str, Path]]:
    """Files of a split, with the numbers of its shards as on the Hub; datasets leaves them out for a single one."""
    single = folder / f"{stem}.parquet"
    if single.exists():
        return [("00000-of-00001.parquet", single)]
    return [(path.name.removeprefix(f"{stem}-"), path) for path in sorted(folder.glob(f"{stem}-*.parquet"))]


def _dataset_info(info: datasets.DatasetInfo, parquet: Path) -> dict[str, Any]:
    """What the card's metadata say of columns and sizes, as `datasets` writes it."""
    download_size = sum(path.stat().st_size for path in parquet.iterdir())
    described = datasets.DatasetInfo(
        features=info.features, splits=info.splits, download_size=download_size, dataset_size=info.dataset_size
    )
    data = DatasetCardData()
    datasets.info.DatasetInfosDict({DEFAULT: described}).to_dataset_card_data(data)
    return data["dataset_info"]


def _move_into_place(finished: Path, output_dir: Path, replaced: Path) -> None:
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    if not output_dir.exists():
        os.rename(finished, output_dir)
        return
    try:
        os.rename(output_dir, replaced)
        os.rename(finished, output_dir)
    except BaseException:
        if not output_dir.exists():
            os.rename(replaced, output_dir)
        raise


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
