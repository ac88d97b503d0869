"""Data set on the Hub or in a folder -> the files of its splits."""

import glob
import json
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets.config
from datasets import Features, load_dataset_builder
from datasets.data_files import FILES_TO_IGNORE, NON_WORDS_CHARS, SPLIT_KEYWORDS, EmptyDatasetError
from datasets.exceptions import DataFilesNotFoundError
from datasets.packaged_modules.csv.csv import CsvConfig
from huggingface_hub import HfApi, HfFileSystem, is_offline_mode, metadata_load

from dnahub.hub.downloading import download
from dnahub.hub.faults import retrying
from dnahub.machine.files import check_folder_name, replacing
from dnahub.sequences.arguments import InputArguments
from dnahub.sequences.bad_records import BadRecords
from dnahub.sequences.checks import SequenceFileError, one_line
from dnahub.sequences.opening import InputFile, suffix_of
from dnahub.sequences.reader import SequenceReader, open_inputs
from dnahub.sequences.row_filter import RowFilter

# What is fetched with the data: the card, and the record that `dataset_builder` writes.
RECORDS = ("README.md", "build.json", "*/build.json")
ROLE_OF = {word: str(role) for role, words in SPLIT_KEYWORDS.items() for word in words}  # dev: validation
# The column by which `dataset_builder` splits its windows; intervals take them together.
GENE = "gene"
# The word by which `datasets` knows the split of a file, in its name or that of a folder.
KNOWN_WORD = re.compile(rf"(?:^|[{NON_WORDS_CHARS}/])({'|'.join(ROLE_OF)})(?=[{NON_WORDS_CHARS}/]|$)")
# Names by which it does not, and takes the file for train, as Test.csv, heldout.csv and my_devset.csv.
OTHER_WORD = re.compile(
    "(?<![a-z])(test|valid|val|dev|eval|(hold|held)[-_ ]?out)(ing|ation|uation|elopment|[-_ ]?set|data)?(?![a-z])",
    re.IGNORECASE,
)


def roles_of(splits: Iterable[str]) -> dict[str, str]:
    """Split -> train, validation or test, of those that have a known name, in any case."""
    # Next to a test split, eval is what transformers means by it.
    known = ROLE_OF | dict.fromkeys(("eval", "evaluation"), "validation") if "test" in splits else ROLE_OF
    return {split: known[split.lower()] for split in splits if split.lower() in known}


@dataclass(frozen=True)
class DatasetFiles:
    name: str  # folder or Hub id
    commit: str | None  # on the Hub; None for a folder
    folder: Path  # where README.md and the records of its making are
    config: str | None  # the name of the configuration; None for files that are no data set
    paths: dict[str, list[str]]  # the files of each split
    features: Features  # what README.md says of the columns
    separator: str | None  # of the fields of CSV files; None for other files
    filesystem: HfFileSystem | None  # where the files are; None for this machine

    def choose(self, split: str | None) -> str:
        """Raises SequenceFileError if there is no such split, or several and none is named."""
        if split is None and len(self.paths) > 1:
            raise SequenceFileError(
                f"{self.name}: it has the splits {', '.join(self.paths)}; name one as --dataset_split."
            )
        if split is not None and split not in self.paths:
            raise SequenceFileError(f"{self.name}: there is no split {split!r}, only {', '.join(self.paths)}.")
        return split or next(iter(self.paths))

    def open(
        self,
        paths: Iterable[str],
        args: InputArguments,
        needed: Mapping[str, str] | None = None,
        bad: BadRecords | None = None,
        row_filter: RowFilter | None = None,
    ) -> SequenceReader:
        """Some of the files; arguments as those of `SequenceReader`."""
        files = [InputFile(path, self.filesystem) for path in paths]
        return open_inputs(files, args, needed, self.commit, self.features, self.separator, bad, row_filter)


def find_dataset(
    name: str,
    config_name: str | None = None,
    revision: str | None = None,
    api: HfApi | None = None,
    fetch: bool = False,
) -> DatasetFiles:
    """
    Find the files of a data set.

    Args:
        name: Folder or Hub id.
        config_name: Which configuration, where it has several.
        revision: Branch, tag or commit on the Hub.
        api: Who asks, and which Hub; default the user of the environment.
        fetch: Whether to keep the files of a data set on the Hub in the cache, where they are read without it, too;
            else they are read from there.

    Raises:
        SequenceFileError: If there is no such configuration, there are no data files, or a revision is given for a
            folder.
        HubError: If the Hub has no such data set or revision, or does not answer.
    """
    folder, commit, filesystem = Path(name), None, None
    if folder.is_dir():
        check_folder_name(folder)
        if revision is not None:
            raise SequenceFileError(f"{name} is a folder; a revision ({revision}) is of a data set on the Hub.")
        several = sorted(path.parent.name for path in folder.glob("*/README.md"))
        if several and not (folder / "README.md").is_file():  # `datasets` would take their files for one data set
            raise SequenceFileError(
                f"{folder} contains data sets ({', '.join(several)}) but is not one itself; name one of them."
            )
        files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        listing = _list_folder(name, folder, files, config_name)
    else:
        api = api or HfApi()
        folder, commit = download(name, "dataset", revision, RECORDS, api=api)
        known = Path(datasets.config.HF_DATASETS_CACHE) / "listings"
        known = known / f"{name.replace('/', '--')}@{commit}.{config_name or ''}.json"
        if known.is_file():
            listing, fetch = json.loads(known.read_text(encoding="utf-8")), fetch or is_offline_mode()
        else:
            place = f"hf://datasets/{name}@{commit}/"
            listing = retrying(lambda: _list(name, name, place, config_name, revision=commit, token=api.token), name)
            files = retrying(lambda: api.list_repo_files(name, revision=commit, repo_type="dataset"), name)
            listing["splits"] = _all_splits(name, folder, listing["splits"], files)
        if fetch:
            wanted = [glob.escape(path) for paths in listing["splits"].values() for path in paths]
            folder, _ = download(name, "dataset", commit, [*RECORDS, *wanted], api=api)
            # Written when all files are there: without the Hub, nothing else says whether they are.
            known.parent.mkdir(parents=True, exist_ok=True)
            with replacing(known) as scratch:
                scratch.write_text(json.dumps(listing), encoding="utf-8")
        else:
            filesystem = HfFileSystem(endpoint=api.endpoint, token=api.token)
    place = f"datasets/{name}@{commit}/" if filesystem else f"{folder}/"
    paths = {split: [place + path for path in paths] for split, paths in listing["splits"].items()}
    features = Features.from_dict(listing["features"])
    return DatasetFiles(name, commit, folder, listing["config"], paths, features, listing["separator"], filesystem)


def _list_folder(name: str, folder: Path, files: list[str], config_name: str | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        place = folder.resolve()
        if glob.has_magic(str(place)):  # `datasets` would take it for a pattern (5.2): the same names elsewhere
            place = Path(scratch).resolve()
            for file in files:
                (place / file).parent.mkdir(parents=True, exist_ok=True)
                (place / file).symlink_to(folder.resolve() / file)
        listing = _list(name, str(place), f"{place.as_posix()}/", config_name)
    listing["splits"] = _all_splits(name, folder, listing["splits"], files)
    return listing


def _list(name: str, path: str, place: str, config_name: str | None, **options: Any) -> dict[str, Any]:
    try:
        builder = load_dataset_builder(path, config_name, **options)
    except (EmptyDatasetError, DataFilesNotFoundError) as error:
        raise SequenceFileError(
            f"{name}: there are no data files in it; give a data set, or name the files."
        ) from error
    except RuntimeError as error:  # it has a loading script, which `datasets` ran before its version 4
        raise SequenceFileError(f"{name}: {one_line(error)}; download its files and give these.") from error
    except ValueError as error:
        fault = one_line(error).partition(". Got {")[0]
        advice = "--dataset_config_name says which configuration to take" if "onfig" in fault else "give files instead"
        raise SequenceFileError(f"{name}: {fault} ({advice}).") from error
    splits = (builder.config.data_files or {}).items()
    return {
        "config": builder.config.name,
        "splits": {str(split): [file.removeprefix(place) for file in files] for split, files in splits},
        "features": (builder.info.features or Features()).to_dict(),
        "separator": builder.config.sep if isinstance(builder.config, CsvConfig) else None,
    }


def _all_splits(name: str, folder: Path, splits: dict[str, list[str]], files: list[str]) -> dict[str, list[str]]:
    """
    The splits, and as one of its own, called by its path, each file that is of none, or of train by default only.

    Raises SequenceFileError where `datasets` would mix the files of several data sets, or of two names, in one split.
    """
    card = folder / "README.md"
    configs = (metadata_load(card) or {}).get("configs") if card.is_file() else None
    if any({"data_files", "data_dir"} & config.keys() for config in configs or ()):
        return splits  # the card says which files are which
    for split, paths in splits.items():
        named = {found: path for path in reversed(paths) if (found := _named(path))}
        if len(named) > 1:
            first, second, *_ = sorted(named.values())
            raise SequenceFileError(
                f"{name}: {first} and {second} would both be its split {split!r}; name the folder of one data set, "
                "rename or remove one of them, or give files instead."
            )
    known = {path for paths in splits.values() for path in paths}
    suffixes = {suffix_of(path) for path in known}
    visible = [path for path in files if not any(part.startswith((".", "__")) for part in path.split("/"))]
    others = [path for path in visible if path not in known and suffix_of(path) in suffixes and not _is_record(path)]
    others += [path for path in splits.get("train", ()) if not _named(path) and OTHER_WORD.search(path)]
    kept = {split: [path for path in paths if path not in others] for split, paths in splits.items()}
    return {split: paths for split, paths in kept.items() if paths} | {path: [path] for path in others}


def _is_record(path: str) -> bool:
    return path.rpartition("/")[2] in (*FILES_TO_IGNORE, *RECORDS)


def _named(path: str) -> tuple[str, str] | None:
    """The word for a split in a path, and the folder before the name that has it."""
    found = KNOWN_WORD.search(path)
    return found and (path[: path.rfind("/", 0, found.start(1)) + 1], found[1])
