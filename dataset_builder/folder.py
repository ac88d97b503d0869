"""Builder -> finished data set folder, whole or not at all."""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import datasets

from dataset_builder.card import render_card
from dataset_builder.nt_species import NtSpecies
from dataset_builder.windows import SPLITS

BUILD_FILE = "build.json"


def write_folder(output_dir: str | Path, **config: Any) -> dict[str, Any]:
    """Builds the data set and leaves `data/*.parquet`, README.md and build.json in `output_dir`.

    All is written beside it and moved into place at the end; whatever goes wrong, `output_dir` stays as it was.

    Args:
        output_dir: New or empty folder, or one that an earlier build wrote: that is replaced.
        config: Fields of NtSpeciesConfig.

    Returns:
        What build.json holds.

    Raises:
        ValueError: `output_dir` holds something else, or the source cannot give what is asked.
        OSError: A file cannot be read, fetched or written.
    """
    output_dir = Path(output_dir).resolve()
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
        (finished / "data").mkdir(parents=True)
        for split in SPLITS:
            for name, path in _shards(scratch / "parquet", f"{builder.dataset_name}-{split}"):
                path.rename(finished / "data" / f"{split}-{name}")
        build = builder.build | {
            "files": {f"data/{path.name}": _sha256(path) for path in sorted((finished / "data").iterdir())}
        }
        (finished / BUILD_FILE).write_text(json.dumps(build, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        (finished / "README.md").write_text(render_card(build), encoding="utf-8")
        _check_replaceable(output_dir)
        _move_into_place(finished, output_dir, scratch / "replaced")
    return build


def _check_replaceable(output_dir: Path) -> None:
    if not output_dir.exists():
        return
    if not output_dir.is_dir():
        raise ValueError(f"--output_dir {output_dir} is a file; give a folder.")
    if any(output_dir.iterdir()) and not (output_dir / BUILD_FILE).is_file():
        raise ValueError(
            f"--output_dir {output_dir} holds files but no {BUILD_FILE}, so no build of this program wrote it and it "
            "is not replaced; give another folder, or empty it."
        )


def _shards(folder: Path, stem: str) -> list[tuple[str, Path]]:
    """Files of a split, with the numbers of its shards as on the Hub; datasets leaves them out for a single one."""
    single = folder / f"{stem}.parquet"
    if single.exists():
        return [("00000-of-00001.parquet", single)]
    return [(path.name.removeprefix(f"{stem}-"), path) for path in sorted(folder.glob(f"{stem}-*.parquet"))]


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
