"""Data set folder -> a configuration of a data set on the Hub."""

from pathlib import Path
from typing import Any

from huggingface_hub import HfApi

from dataset_builder.card import render_card
from dataset_builder.layout import DEFAULT, belongs_to, build_file, read_records
from dnahub.hub.downloading import download
from dnahub.hub.publishing import Files, Publication, Target, check_target, publish

RECORDS = ("build.json", "*/build.json")


def read_folder(folder: Path) -> dict[str, Any]:
    """The record of a folder that `folder.write_folder` wrote; ValueError if it is incomplete or something else."""
    records = read_records(folder)
    if len(records) != 1:
        raise ValueError(f"{folder} contains {len(records)} data sets built by this program; give a folder with one.")
    _check_version(records[0], folder)
    for name in records[0]["files"]:
        if not (folder / name).is_file():
            raise ValueError(f"{folder}: {name} is missing; build the data set again.")
    return records[0]


def check_data_set(target: Target, config_name: str, source: str, api: HfApi) -> Target:
    """
    Check, before anything is built, that the user may publish there, or raise HubError.

    ValueError if the repository has other configurations from another kind of source ("ensembl", "synthetic",
    "folder" or "files") than this one, or of an earlier version of this program.
    """
    target = check_target(target, RECORDS, lambda folder: bool(read_records(folder)), api)
    if target.commit is not None:
        _others(target, target.commit, config_name, source, api)
    return target


def push_folder(folder: Path, target: Target, api: HfApi) -> Publication:
    """
    Publish a folder as one commit; other configurations in the repository stay, and the card describes them all.

    Raises:
        HubError: The Hub refuses or does not answer; the branch is unchanged.
    """
    build = read_folder(folder)
    name, source = build["config_name"], build["source"]
    own = {path: folder / path for path in (build_file(name), *build["files"])}

    def files(commit: str) -> Files:
        builds = [build, *_others(target, commit, name, source, api)]
        builds.sort(key=lambda each: (each["config_name"] != DEFAULT, each["config_name"]))
        return {"README.md": render_card(builds, target.repo_id).encode(), **own}

    message = f"Build of {name}, {build['window_nt']} nt, {source}"
    return publish(target, files, lambda path: belongs_to(name, path), message, api)


def _others(target: Target, commit: str, name: str, source: str, api: HfApi) -> list[dict[str, Any]]:
    """The records of the other configurations; all of one kind of source, as the card has one licence and warning."""
    folder, _ = download(target.repo_id, "dataset", commit, RECORDS, api=api)
    others = [record for record in read_records(folder) if record["config_name"] != name]
    for other in others:
        _check_version(other, target.repo_id)
        if other["source"] != source:
            raise ValueError(
                f"{target.repo_id} contains the configuration {other['config_name']!r} from the source "
                f"{other['source']!r}, but this one is from {source!r}; name another repository."
            )
    return others


def _check_version(build: dict[str, Any], place: Path | str) -> None:
    if "classes" not in build:
        raise ValueError(
            f"{place}: the configuration {build['config_name']!r} was built by version {build['builder_version']} of "
            "this program, whose build.json has other fields; build it again, or name another folder or repository."
        )
