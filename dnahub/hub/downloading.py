"""Name of a repository on the Hub -> its files in the cache, and their commit."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from huggingface_hub import HfApi
from huggingface_hub.errors import HFValidationError

from dnahub.hub.faults import HubError, retrying


def download(
    repo_id: str,
    kind: Literal["model", "dataset"],
    revision: str | None,
    patterns: Sequence[str],
    ignored: Sequence[str] = (),
    api: HfApi | None = None,
) -> tuple[Path, str]:
    """
    Some files of one commit of a repository; only from the cache if HF_HUB_OFFLINE is set.

    Args:
        revision: Branch, tag or commit; None for main.
        patterns: Files to download, as "*.json"; the wildcard matches / too.
        ignored: Files to leave out.
        api: The user; default that of the environment.

    Returns:
        Their folder and the commit, 40 hexadecimal digits.

    Raises:
        HubError: If there is no such repository or revision, or the Hub fails six times.
    """
    try:
        folder = retrying(
            lambda: (api or HfApi()).snapshot_download(
                repo_id,
                repo_type=kind,
                revision=revision,
                allow_patterns=list(patterns),
                ignore_patterns=list(ignored),
            ),
            f"{repo_id} (not a local folder)",
        )
    except HFValidationError as error:
        raise HubError(f"{repo_id} is neither a folder nor a valid name of a {kind} on the Hub.") from error
    return Path(folder), Path(folder).name
