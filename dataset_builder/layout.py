"""Name of a configuration -> where its files lie, in a folder as on the Hub."""

import json
import re
from pathlib import Path, PurePosixPath
from typing import Any

from dataset_builder.windows import SPLITS

BUILDER = "dataset_builder"  # who wrote a record
DEFAULT = "default"
_FILE = "build.json"


def data_folder(config_name: str) -> str:
    """The folder of a configuration's Parquet files: data/ for the default one, else its name."""
    return "data" if config_name == DEFAULT else config_name


def build_file(config_name: str) -> str:
    """Where the record of a configuration's making is."""
    return _FILE if config_name == DEFAULT else f"{config_name}/{_FILE}"


def is_build_file(path: str) -> bool:
    """Whether a path, by / and relative, is such a record."""
    return re.fullmatch(rf"([^/]+/)?{_FILE}", path) is not None


def belongs_to(config_name: str, path: str) -> bool:
    """Whether a path, by / and relative, is a file of that configuration, of this build or an earlier one."""
    parent, name = PurePosixPath(path).parent, PurePosixPath(path).name
    return path == build_file(config_name) or (str(parent) == data_folder(config_name) and name.endswith(".parquet"))


def read_record(text: str) -> dict[str, Any] | None:
    """What a build.json of this program holds; None for one of something else."""
    try:
        record = json.loads(text)
    except ValueError:
        return None
    return record if isinstance(record, dict) and record.get("builder") == BUILDER else None


def find_build_files(folder: Path) -> list[Path]:
    """The records in a folder that `folder.write_folder` wrote."""
    paths = (folder / _FILE, *sorted(folder.glob(f"*/{_FILE}")))
    return [path for path in paths if path.is_file() and read_record(path.read_text(encoding="utf-8")) is not None]


def holds_nothing_else(folder: Path) -> bool:
    """Whether all files in a folder are of one configuration that this program built there."""
    records = [read_record(path.read_text(encoding="utf-8")) for path in find_build_files(folder)]
    if len(records) != 1:
        return False
    paths = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()]
    return all(path == "README.md" or belongs_to(records[0]["config_name"], path) for path in paths)


def data_files(config_name: str) -> list[dict[str, str]]:
    """What the card's metadata say of where the splits are."""
    return [{"split": split, "path": f"{data_folder(config_name)}/{split}-*.parquet"} for split in SPLITS]


def check_config_name(config_name: str) -> None:
    """
    Raises:
        ValueError: If a configuration cannot be called so.
    """
    if not re.fullmatch(r"[A-Za-z0-9]+([_-][A-Za-z0-9]+)*", config_name) or config_name == data_folder(DEFAULT):
        raise ValueError(
            f"--config_name {config_name!r}: it is a folder's name, too; give letters, digits and single - or _ "
            f"between them, such as w120, and not {data_folder(DEFAULT)!r}."
        )
