"""Finished files -> one commit on the Hub, or one sentence."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, DatasetInfo, HfApi, ModelInfo
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils import validate_repo_id

from dnahub.hub.faults import LOG_IN, HubError, retrying

# Whoever else commits at the same time, this often the commit is made anew upon theirs.
RACES = 5
NOT_CONTENT = (".gitattributes", "README.md")

Result = TypeVar("Result")
# Path in the repository -> the file, or its content.
Files = Mapping[str, Path | bytes]


@dataclass(frozen=True)
class Target:
    """
    Where to publish.

    Args:
        repo_id: user/name.
        kind: "model" or "dataset".
        private: Whether only its owner may see it.
        branch: Made from main, where it is not there.
        commit: Where the branch, or main in its stead, stood when `check_target` looked; None without repository.
    """

    repo_id: str
    kind: Literal["model", "dataset"]
    private: bool = False
    branch: str = "main"
    commit: str | None = None


@dataclass(frozen=True)
class Publication:
    """
    What came of it.

    Args:
        commit: The branch's commit, 40 hexadecimal digits.
        address: Where to see it.
        changed: Whether there was anything to commit.
    """

    commit: str
    address: str
    changed: bool


def check_target(target: Target, ours: Callable[[str], bool], api: HfApi) -> Target:
    """
    See that one may publish there, before hours are spent on what shall be published. Nothing is changed.

    Args:
        target: The repository's name may be without user.
        ours: Whether a path is a file by which a repository of ours is known; a repository with other files is not
            published into.
        api: Who publishes, and on which Hub.

    Returns:
        The target with its name in full.

    Raises:
        HubError: If nobody is logged in, the token may not write or the name is not valid, foreign or taken.
    """
    try:
        validate_repo_id(target.repo_id)
    except HFValidationError as error:
        raise HubError(f"{target.repo_id!r} is no name for a repository: {error}") from error
    if re.fullmatch("[0-9a-f]{7,40}", target.branch) or not re.fullmatch(
        r"(?!refs/)\w[\w.-]*(/[\w.-]+)*", target.branch
    ):
        raise HubError(
            f"{target.branch!r} is no name for a branch; give letters, digits and single . - _ between them."
        )
    account = retrying(api.whoami, target.repo_id)
    user, organisations = account["name"], [each["name"] for each in account.get("orgs", [])]
    role = account.get("auth", {}).get("accessToken", {}).get("role")  # none after a login by browser
    if role == "read":  # a "fineGrained" one may write to some repositories; which ones, it does not say
        raise HubError(f"{target.repo_id}: the token may only read; {LOG_IN}, with a token that may write.")
    if "/" not in target.repo_id:
        target = replace(target, repo_id=f"{user}/{target.repo_id}")
    if target.repo_id.split("/")[0] not in (user, *organisations):
        raise HubError(
            f"{target.repo_id}: you are logged in as {user}, and may not write there; name a repository under "
            f"{' or '.join((user, *organisations))}."
        )
    known = retrying(lambda: _look(api, target), target.repo_id)
    if known is None:
        return target
    _check_private(target, known)
    files = [sibling.rfilename for sibling in known.siblings]
    content = sorted(set(files) - set(NOT_CONTENT))
    if content and not any(ours(path) for path in content):
        raise HubError(
            f"{target.repo_id} is there already, with files of something else ({', '.join(content[:3])}); "
            "name another, or delete it on the Hub."
        )
    return replace(target, commit=known.sha)


def publish(
    target: Target,
    files: Callable[[str], Files],
    replaced: Callable[[str], bool],
    message: str,
    api: HfApi,
) -> Publication:
    """
    Make the repository and the branch, where they are not there, and one commit; the same content makes none.

    The branch's tip holds all of the old files or all of the new ones at any time.

    Args:
        target: As `check_target` returned it.
        files: Commit -> what shall stand in the repository on top of that commit.
        replaced: Whether a path of the repository belongs to what is published; such a file goes where it is not
            among the new ones.
        message: First line of the commit.
        api: Who publishes, and on which Hub.

    Raises:
        HubError: If the Hub refuses, or does not answer well in six tries. The branch stands as before.
        ValueError: If the Hub finds the card's metadata wrong.
    """
    where = {"repo_id": target.repo_id, "repo_type": target.kind}
    address = f"{api.endpoint}/{'datasets/' if target.kind == 'dataset' else ''}{target.repo_id}"

    def tried(call: Callable[[], Result]) -> Result:
        return retrying(call, target.repo_id)

    tried(lambda: api.create_repo(**where, private=target.private or None, exist_ok=True))
    if target.branch != "main":
        tried(lambda: api.create_branch(**where, branch=target.branch, exist_ok=True))
    first = None
    for race in range(RACES):
        info = tried(lambda: api.repo_info(**where, revision=target.branch))
        _check_private(target, info)  # it may be there since we looked
        parent = info.sha
        first = first or parent
        there = tried(lambda: api.list_repo_files(**where, revision=parent))  # noqa: B023, called in this turn
        new = files(parent)
        additions = [
            CommitOperationAdd(path, file if isinstance(file, bytes) else str(file)) for path, file in new.items()
        ]
        deletions = [
            CommitOperationDelete(path, is_folder=False) for path in there if replaced(path) and path not in new
        ]
        change = {"operations": [*additions, *deletions], "commit_message": message, "parent_commit": parent}
        try:
            made = tried(lambda: api.create_commit(**where, **change, revision=target.branch))  # noqa: B023
        except HubError as error:
            if _is_race(error) and race < RACES - 1:
                continue
            raise
        return Publication(made.oid, address, made.oid != first)
    raise AssertionError("the last turn returns or raises")


def _is_race(error: HubError) -> bool:
    """Whether somebody else has committed since we looked."""
    cause = error.__cause__
    return isinstance(cause, HfHubHTTPError) and cause.response.status_code == 412


def _look(api: HfApi, target: Target) -> ModelInfo | DatasetInfo | None:
    """The repository at that branch, or at main where there is none; None if there is no repository."""
    try:
        try:
            return api.repo_info(target.repo_id, repo_type=target.kind, revision=target.branch)
        except RevisionNotFoundError:
            return api.repo_info(target.repo_id, repo_type=target.kind)
    except RepositoryNotFoundError:
        return None


def _check_private(target: Target, info: ModelInfo | DatasetInfo) -> None:
    if target.private and not info.private:
        raise HubError(
            f"{target.repo_id} is there already, and public; name another, or leave out that it be private."
        )
