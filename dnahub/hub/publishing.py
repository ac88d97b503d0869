"""Finished files -> one commit on the Hub, or one sentence."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
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
WRITING = {"contributor", "write", "admin"}  # roles; the others are read and no_access
NOT_CONTENT = (".gitattributes", "README.md")

Result = TypeVar("Result")
# Path in the repository -> the file or its content.
Files = Mapping[str, Path | bytes]


@dataclass(frozen=True)
class Target:
    """Where to publish."""

    repo_id: str  # user/name
    kind: Literal["model", "dataset"]
    private: bool = False
    branch: str = "main"  # created from main if it does not exist
    # Of the branch, or of main without one, when `check_target` looked; None without a repository.
    commit: str | None = None


@dataclass(frozen=True)
class Publication:
    """The result of publishing."""

    commit: str  # of the branch, 40 hexadecimal digits
    address: str  # of the repository
    changed: bool  # whether there was anything to commit


def check_target(target: Target, records: Sequence[str], ours: Callable[[Path], bool], api: HfApi) -> Target:
    """
    Check, before hours of work, that the user can publish there. Nothing is changed.

    Args:
        target: Its name may lack the user.
        records: Patterns of the files by which a repository of ours is known.
        ours: Whether a folder with these files is of ours; a repository with only other content is refused.
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
    account = retrying(api.whoami, target.repo_id)
    if "/" not in target.repo_id:
        target = replace(target, repo_id=f"{account['name']}/{target.repo_id}")
    known = retrying(lambda: _look(api, target), target.repo_id)
    _check_rights(account, target, known is not None, api)
    if known is None:
        return target
    _check_private(target, known)
    content = sorted({sibling.rfilename for sibling in known.siblings} - set(NOT_CONTENT))
    if content and not ours(download(target.repo_id, target.kind, known.sha, records, api=api)[0]):
        raise HubError(
            f"{target.repo_id} already exists with other content ({', '.join(content[:3])}); name another "
            "repository, or delete it on the Hub."
        )
    return replace(target, commit=known.sha)


def _check_rights(account: dict[str, Any], target: Target, exists: bool, api: HfApi) -> None:
    """https://huggingface.co/docs/hub/security-tokens and .../organizations-security"""
    token = account.get("auth", {}).get("accessToken", {})  # none after a login by browser
    if token.get("role") == "read":
        raise HubError(f"{target.repo_id}: the token is read-only; {LOG_IN}, with a token that can write.")
    user, namespace = account["name"], target.repo_id.split("/")[0]
    roles = {each["name"]: _roles(each) for each in account.get("orgs", [])}
    writable = [user, *(name for name, of_user in roles.items() if of_user & WRITING)]
    if namespace not in writable:
        raise HubError(
            f"{target.repo_id}: you are logged in as {user}, who cannot write there; name a repository of "
            f"{' or '.join(writable)}."
        )
    if namespace != user and exists and roles[namespace] & WRITING == {"contributor"}:
        commits = retrying(lambda: api.list_repo_commits(target.repo_id, repo_type=target.kind), target.repo_id)
        if not any(user in commit.authors for commit in commits):
            raise HubError(
                f"{target.repo_id}: a contributor of {namespace}, as {user} is, can write only to repositories that "
                f"{user} created; name a new one, or ask an admin of {namespace} for the role write."
            )
    named = {namespace, *([target.repo_id] if exists else [])}  # a token for one repository cannot create it
    scopes = token.get("fineGrained", {}).get("scoped")
    if scopes is not None and not any(
        "repo.write" in scope["permissions"]
        and scope["entity"].get("name") in named
        and scope["entity"].get("type") in ("user", "org", target.kind)
        for scope in scopes
    ):
        raise HubError(
            f"{target.repo_id}: the fine-grained token has no write access (repo.write) to {namespace}; add it at "
            f"{api.endpoint}/settings/tokens."
        )


def _roles(org: dict[str, Any]) -> set[str]:
    """Those in an organization and in its resource groups; "write" if it does not say."""
    return {each["role"] for each in org.get("resourceGroups", [])} | {org.get("roleInOrg", "write")}


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
        files: Function of a commit that returns the files to publish on top of it, README.md as bytes.
        replaced: Whether a path of the repository is deleted if it is not among the new files.
        message: First line of the commit message.
        api: The user who publishes.

    Raises:
        HubError: If the Hub refuses, or fails six times. The branch is unchanged.
        ValueError: If the Hub rejects the card's metadata.
    """
    where = {"repo_id": target.repo_id, "repo_type": target.kind}
    address = f"{api.endpoint}/{'datasets/' if target.kind == 'dataset' else ''}{target.repo_id}"

    def tried(call: Callable[..., Result], **options: Any) -> Result:
        return retrying(lambda: call(**where, **options), target.repo_id)

    tried(api.create_repo, private=target.private or None, exist_ok=True)
    if target.branch != "main":
        tried(api.create_branch, branch=target.branch, exist_ok=True)
    first = None
    for race in count(1):
        info = tried(api.repo_info, revision=target.branch)
        _check_private(target, info)  # it may have become public since `check_target`
        parent = info.sha
        first = first or parent
        there = tried(api.list_repo_files, revision=parent)
        new = dict(files(parent))
        if "README.md" in there:
            folder, _ = download(target.repo_id, target.kind, parent, ("README.md",), api=api)
            old = (folder / "README.md").read_text(encoding="utf-8", errors="replace")
        else:
            old = None
        new["README.md"] = merge_cards(new["README.md"].decode(), old).encode()
        operations = [CommitOperationAdd(path, file) for path, file in new.items()]
        operations += [CommitOperationDelete(path) for path in there if replaced(path) and path not in new]
        change = {"operations": operations, "commit_message": message, "parent_commit": parent}
        try:
            made = tried(api.create_commit, revision=target.branch, **change)
        except HubError as error:
            cause = error.__cause__
            if race < RACES and isinstance(cause, HfHubHTTPError) and cause.response.status_code == 412:
                continue  # somebody else has committed in the meantime
            raise
        return Publication(made.oid, address, made.oid != first)


def _check_private(target: Target, info: ModelInfo | DatasetInfo) -> None:
    if target.private and not info.private:
        raise HubError(
            f"{target.repo_id} already exists and is public; name another repository, or leave out --hub_private_repo."
        )


def _look(api: HfApi, target: Target) -> ModelInfo | DatasetInfo | None:
    """The repository at that branch, or at main without one; None if there is no repository."""
    try:
        try:
            return api.repo_info(target.repo_id, repo_type=target.kind, revision=target.branch)
        except RevisionNotFoundError:
            return api.repo_info(target.repo_id, repo_type=target.kind)
    except RepositoryNotFoundError:
        return None
