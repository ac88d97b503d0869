"""Name of a repository on the Hub -> its files in the cache, and the commit that they are of."""

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
    Some files of a repository, of one commit; from the cache alone where HF_HUB_OFFLINE is set.

    Args:
        repo_id: user/name.
        kind: "model" or "dataset".
        revision: Branch, tag or commit; None for main.
        patterns: Which files, as "*.json"; the wildcard stands for / too.
        ignored: Which of these not.
        api: Who asks, and which Hub; default the user of the environment.

    Returns:
        The folder that holds them, and the commit, 40 hexadecimal digits.

    Raises:
        HubError: If there is no such repository or revision, or the Hub does not answer well in six tries.
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
            f"{repo_id} (which is no folder here)",
        )
    except HFValidationError as error:
        raise HubError(f"{repo_id}: there is no such folder, and no {kind} on the Hub can be called so.") from error
    return Path(folder), Path(folder).name
