"""Data set folder -> a configuration of a data set on the Hub."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, RepoCard

from dataset_builder.card import render_card
from dataset_builder.layout import DEFAULT, belongs_to, build_file, find_build_files, is_build_file, read_record
from dnahub.hub.downloading import download
from dnahub.hub.faults import HubError, retrying
from dnahub.hub.publishing import Publication, Target, check_target, publish

RECORDS = ("build.json", "*/build.json")


def read_folder(folder: Path) -> dict[str, Any]:
    """
    The record of a folder that `folder.write_folder` wrote, whose Parquet files are all there.

    Raises:
        ValueError: It is none, or a file is missing.
    """
    found = find_build_files(folder)
    if len(found) != 1:
        raise ValueError(
            f"{folder}: this folder holds {len(found)} data sets of this program; give one that holds one."
        )
    build = json.loads(found[0].read_text(encoding="utf-8"))
    for name in build["files"]:
        if not (folder / name).is_file():
            raise ValueError(f"{folder}: {name} is missing, which {found[0].name} lists; build the data set again.")
    return build


def check_data_set(target: Target, config_name: str, source: str, license: str | None, api: HfApi) -> Target:
    """
    See that one may publish there, as `dnahub.hub.publishing.check_target`, and that what shall be published fits.

    Args:
        target: The repository's name may be without user.
        config_name: Of what shall be published.
        source: As a record calls it: "ensembl", "synthetic" or "folder".
        license: As given by the user; the Hub says whether it knows it.
        api: Who publishes, and on which Hub.

    Raises:
        HubError: One may not, or the Hub does not know the licence.
        ValueError: There are configurations from another kind of source.
    """
    target = check_target(target, is_build_file, api)
    if license is not None:
        card = RepoCard(f"---\nlicense: {json.dumps(license)}\n---\n")
        try:
            retrying(lambda: card.validate(repo_type="dataset"), target.repo_id)
        except ValueError as error:
            raise HubError(
                f"--license {license}: the Hub knows no such licence; give an identifier from "
                "https://huggingface.co/docs/hub/repositories-licenses, or leave it out."
            ) from error
    if target.commit is not None:
        folder, records = _records(target, target.commit, api)
        if not records and any(is_build_file(path.relative_to(folder).as_posix()) for path in folder.rglob("*")):
            raise HubError(
                f"{target.repo_id} is there already, with a build.json of something else; name another, or delete it."
            )
        _check_source(target, records, config_name, source)
    return target


def push_folder(folder: Path, target: Target, api: HfApi) -> Publication:
    """
    One commit of a folder; other configurations in the repository stay, and the card tells of them all.

    Raises:
        ValueError: The folder is no data set, or one from another kind of source than those on the Hub.
        HubError: The Hub refuses or does not answer; the branch stands as before.
    """
    build = read_folder(folder)
    name = build["config_name"]
    own = {path: folder / path for path in (build_file(name), *build["files"])}

    def files(commit: str) -> Mapping[str, Path | bytes]:
        _, records = _records(target, commit, api)
        _check_source(target, records, name, build["source"])
        others = [record for record in records if record["config_name"] != name]
        builds = sorted([build, *others], key=lambda each: (each["config_name"] != DEFAULT, each["config_name"]))
        return {"README.md": render_card(builds, target.repo_id).encode(), **own}

    message = f"Build of {name}, {build['window_nt']} nt, {build['source']}"
    return publish(target, files, lambda path: belongs_to(name, path), message, api)


def _records(target: Target, commit: str, api: HfApi) -> tuple[Path, list[dict[str, Any]]]:
    """The records of this program that stand in a commit, and the folder that they were fetched to."""
    folder, _ = download(target.repo_id, "dataset", commit, RECORDS, api=api)
    return folder, [read_record(path.read_text(encoding="utf-8")) for path in find_build_files(folder)]


def _check_source(target: Target, records: list[dict[str, Any]], name: str, source: str) -> None:
    """All configurations of a repository are from one kind of source: the card has one licence and one warning."""
    for other in records:
        if other["config_name"] != name and other["source"] != source:
            raise ValueError(
                f"{target.repo_id} holds the configuration {other['config_name']!r} from the source "
                f"{other['source']!r}, and this one is from {source!r}; name another repository."
            )
