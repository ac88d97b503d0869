"""Data set folder -> a configuration of a data set on the Hub."""

import json
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, RepoCard

from dataset_builder.card import render_card
from dataset_builder.layout import DEFAULT, belongs_to, build_file, is_build_file, read_records
from dnahub.hub.downloading import download
from dnahub.hub.faults import HubError, retrying
from dnahub.hub.publishing import Files, Publication, Target, check_target, publish

RECORDS = ("build.json", "*/build.json")


def read_folder(folder: Path) -> dict[str, Any]:
    """
    The record of a folder that `folder.write_folder` wrote.

    Raises:
        ValueError: If it is not one, or a Parquet file is missing.
    """
    records = read_records(folder)
    if len(records) != 1:
        raise ValueError(f"{folder} contains {len(records)} data sets built by this program; give a folder with one.")
    for name in records[0]["files"]:
        if not (folder / name).is_file():
            raise ValueError(f"{folder}: {name} is missing; build the data set again.")
    return records[0]


def check_data_set(target: Target, config_name: str, source: str, license: str | None, api: HfApi) -> Target:
    """
    Check, before anything is built, that the user may publish there and that the configurations fit together.

    Args:
        target: Its name may lack the user.
        config_name: Configuration to publish.
        source: As in a record: "ensembl", "synthetic" or "folder".
        license: Given by the user; the Hub decides whether it is a valid identifier.
        api: The user who publishes.

    Raises:
        HubError: The user may not publish there, or the licence is unknown to the Hub.
        ValueError: The repository has configurations from another kind of source.
    """
    target = check_target(target, is_build_file, api)
    if license is not None:
        card = RepoCard(f"---\nlicense: {json.dumps(license)}\n---\n")
        try:
            retrying(lambda: card.validate(repo_type="dataset"), target.repo_id)
        except ValueError as error:
            raise HubError(
                f"--license {license} is not a licence identifier of the Hub; give one from "
                "https://huggingface.co/docs/hub/repositories-licenses, or leave it out."
            ) from error
    if target.commit is not None:
        folder, records = _records(target, target.commit, api)
        if not records and any(is_build_file(path.relative_to(folder).as_posix()) for path in folder.rglob("*")):
            raise HubError(
                f"{target.repo_id} already contains a build.json of another program; name another repository, or "
                "delete it on the Hub."
            )
        _check_source(target, records, config_name, source)
    return target


def push_folder(folder: Path, target: Target, api: HfApi) -> Publication:
    """
    Publish a folder as one commit; other configurations in the repository stay, and the card describes them all.

    Raises:
        ValueError: The folder is not a data set, or is from another kind of source than those on the Hub.
        HubError: The Hub refuses or does not answer; the branch is unchanged.
    """
    build = read_folder(folder)
    name = build["config_name"]
    own = {path: folder / path for path in (build_file(name), *build["files"])}

    def files(commit: str) -> Files:
        _, records = _records(target, commit, api)
        _check_source(target, records, name, build["source"])
        others = [record for record in records if record["config_name"] != name]
        builds = sorted([build, *others], key=lambda each: (each["config_name"] != DEFAULT, each["config_name"]))
        return {"README.md": render_card(builds, target.repo_id).encode(), **own}

    message = f"Build of {name}, {build['window_nt']} nt, {build['source']}"
    return publish(target, files, lambda path: belongs_to(name, path), message, api)


def _records(target: Target, commit: str, api: HfApi) -> tuple[Path, list[dict[str, Any]]]:
    """The folder to which the build.json files of a commit were downloaded, and the records of this program."""
    folder, _ = download(target.repo_id, "dataset", commit, RECORDS, api=api)
    return folder, read_records(folder)


def _check_source(target: Target, records: list[dict[str, Any]], name: str, source: str) -> None:
    """A repository has one kind of source, because its card has one licence and one warning."""
    for other in records:
        if other["config_name"] != name and other["source"] != source:
            raise ValueError(
                f"{target.repo_id} contains the configuration {other['config_name']!r} from the source "
                f"{other['source']!r}, but this one is from {source!r}; name another repository."
            )
