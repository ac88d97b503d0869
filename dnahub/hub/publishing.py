"""Finished files -> one commit on the Hub, or one sentence."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, DatasetInfo, HfApi, ModelInfo
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils import validate_repo_id

from dnahub.hub.cards import merge_cards
from dnahub.hub.downloading import download
from dnahub.hub.faults import LOG_IN, HubError, retrying

# So often the commit is repeated on top of commits by others at the same time.
RACES = 5
NOT_CONTENT = (".gitattributes", "README.md")

Result = TypeVar("Result")
# Path in the repository -> the file or its content.
Files = Mapping[str, Path | bytes]


@dataclass(frozen=True)
class Target:
    """
    Where to publish.

    Args:
        repo_id: user/name.
        kind: "model" or "dataset".
        private: Whether only its owner can see it.
        branch: Created from main if it does not exist.
        commit: Of the branch, or of main without one, when `check_target` looked; None without a repository.
    """

    repo_id: str
    kind: Literal["model", "dataset"]
    private: bool = False
    branch: str = "main"
    commit: str | None = None


@dataclass(frozen=True)
class Publication:
    """
    The result of publishing.

    Args:
        commit: The branch's commit, 40 hexadecimal digits.
        address: Web address of the repository.
        changed: Whether there was anything to commit.
    """

    commit: str
    address: str
    changed: bool


def check_target(target: Target, ours: Callable[[str], bool], api: HfApi) -> Target:
    """
    Check, before hours of work, that the user can publish there. Nothing is changed.

    Args:
        target: Its name may lack the user.
        ours: Whether a path is a file that identifies a repository of ours; one with only other files is refused.
        api: The user who publishes.

    Returns:
        The target with its full name.

    Raises:
        HubError: If nobody is logged in, the user or the token cannot write there, or the name is invalid or taken.
    """
    try:
        validate_repo_id(target.repo_id)
    except HFValidationError as error:
        raise HubError(f"{target.repo_id!r} is not a valid repository name: {error}") from error
    if re.fullmatch("[0-9a-f]{7,40}", target.branch) or not re.fullmatch(
        r"(?!refs/)\w[\w.-]*(/[\w.-]+)*", target.branch
    ):
        raise HubError(
            f"{target.branch!r} is not a valid branch name; use letters and digits with single . - _ between them."
        )
    account = retrying(api.whoami, target.repo_id)
    if "/" not in target.repo_id:
        target = replace(target, repo_id=f"{account['name']}/{target.repo_id}")
    _check_rights(account, target, api)
    known = retrying(lambda: _look(api, target), target.repo_id)
    if known is None:
        return target
    _check_private(target, known)
    _check_contributor(account, target, api)
    files = [sibling.rfilename for sibling in known.siblings]
    content = sorted(set(files) - set(NOT_CONTENT))
    if content and not any(ours(path) for path in content):
        raise HubError(
            f"{target.repo_id} already exists with other content ({', '.join(content[:3])}); name another "
            "repository, or delete it on the Hub."
        )
    return replace(target, commit=known.sha)


def _check_rights(account: dict[str, Any], target: Target, api: HfApi) -> None:
    """https://huggingface.co/docs/hub/security-tokens and .../organizations-security"""
    token = account.get("auth", {}).get("accessToken", {})  # none after a login by browser
    if token.get("role") == "read":
        raise HubError(f"{target.repo_id}: the token is read-only; {LOG_IN}, with a token that can write.")
    user, namespace = account["name"], target.repo_id.split("/")[0]
    writable = [user, *(name for name, role in _roles(account).items() if role != "read")]
    if namespace not in writable:
        raise HubError(
            f"{target.repo_id}: you are logged in as {user}, who cannot write there; name a repository of "
            f"{' or '.join(writable)}."
        )
    scopes = token.get("fineGrained", {}).get("scoped")
    if scopes is not None and not any(
        "repo.write" in scope["permissions"] and scope["entity"].get("name") in (namespace, target.repo_id)
        for scope in scopes
    ):
        raise HubError(
            f"{target.repo_id}: the fine-grained token has no write access (repo.write) to {namespace}; add it at "
            f"{api.endpoint}/settings/tokens."
        )


def _roles(account: dict[str, Any]) -> dict[str, str | None]:
    """The user's role in each organisation: "read", "contributor", "write" or "admin"."""
    return {each["name"]: each.get("roleInOrg") for each in account.get("orgs", [])}


def _check_contributor(account: dict[str, Any], target: Target, api: HfApi) -> None:
    """A contributor of an organisation can only write to repositories that they created."""
    namespace = target.repo_id.split("/")[0]
    if _roles(account).get(namespace) != "contributor":
        return
    commits = retrying(lambda: api.list_repo_commits(target.repo_id, repo_type=target.kind), target.repo_id)
    if account["name"] not in commits[-1].authors:
        raise HubError(
            f"{target.repo_id}: as a contributor to {namespace}, {account['name']} can only write to their own "
            "repositories there; name a new one."
        )


def publish(
    target: Target,
    files: Callable[[str], Files],
    replaced: Callable[[str], bool],
    message: str,
    api: HfApi,
) -> Publication:
    """
    Create the repository and the branch, if necessary, and make one commit, or none if nothing changed.

    What people wrote into README.md stays: see `merge_cards`.

    Args:
        target: As `check_target` returned it.
        files: Function of a commit that returns the files to publish on top of it.
        replaced: Whether a path of the repository is deleted if it is not among the new files.
        message: First line of the commit message.
        api: The user who publishes.

    Raises:
        HubError: If the Hub refuses, or fails six times. The branch is unchanged.
        ValueError: If the Hub rejects the card's metadata.
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
        _check_private(target, info)  # it may have been created since the check
        parent = info.sha
        first = first or parent
        there = tried(lambda: api.list_repo_files(**where, revision=parent))  # noqa: B023, called in this turn
        new = dict(files(parent))
        if "README.md" in new:
            new["README.md"] = _merged_card(new["README.md"], there, target, parent, api)
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


def _merged_card(card: Path | bytes, there: Sequence[str], target: Target, commit: str, api: HfApi) -> bytes:
    new = card if isinstance(card, bytes) else card.read_bytes()
    old = None
    if "README.md" in there:
        folder, _ = download(target.repo_id, target.kind, commit, ("README.md",), api=api)
        old = (folder / "README.md").read_text(encoding="utf-8")
    return merge_cards(new.decode(), old).encode()


def _is_race(error: HubError) -> bool:
    """Whether somebody else has committed in the meantime."""
    cause = error.__cause__
    return isinstance(cause, HfHubHTTPError) and cause.response.status_code == 412


def _look(api: HfApi, target: Target) -> ModelInfo | DatasetInfo | None:
    """The repository at that branch, or at main without one; None if there is no repository."""
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
            f"{target.repo_id} already exists and is public; name another repository, or leave out --hub_private_repo."
        )
