"""Name of a configuration -> paths of its files, in a folder as on the Hub."""

import json
from pathlib import Path, PurePosixPath
from typing import Any

SPLITS = ("train", "validation", "test")
BUILDER = "dataset_builder"  # the author of a record
DEFAULT = "default"
GENES = "genes"  # the name of a configuration of whole genes, unless another is given
_FILE = "build.json"


def data_folder(config_name: str) -> str:
    """The folder of a configuration's Parquet files: data/ for the default one, else its name."""
    return "data" if config_name == DEFAULT else config_name


def build_file(config_name: str) -> str:
    """The path of the record of how a configuration was built."""
    return _FILE if config_name == DEFAULT else f"{config_name}/{_FILE}"


def belongs_to(config_name: str, path: str) -> bool:
    """Whether a relative path with / is a file of that configuration, of this build or an earlier one."""
    parent, name = PurePosixPath(path).parent, PurePosixPath(path).name
    return path == build_file(config_name) or (str(parent) == data_folder(config_name) and name.endswith(".parquet"))


def read_records(folder: Path) -> list[dict[str, Any]]:
    """The records that this program wrote into a folder; a build.json of another program is not one."""
    records = []
    for path in (*folder.glob(_FILE), *sorted(folder.glob(f"*/{_FILE}"))):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
        if isinstance(record, dict) and record.get("builder") == BUILDER:
            records.append(record)
    return records


def holds_nothing_else(folder: Path) -> bool:
    """Whether all files in a folder belong to one configuration that this program built there."""
    records = read_records(folder)
    paths = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()]
    return len(records) == 1 and all(
        path == "README.md" or belongs_to(records[0]["config_name"], path) for path in paths
    )
