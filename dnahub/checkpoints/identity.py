"""Checkpoint files -> a digest of all that decides what the model computes."""

import hashlib

from dnahub.checkpoints.loading import FILES, PICKLES, CheckpointFiles

DIGEST_BYTES = 8


def checkpoint_digest(files: CheckpointFiles) -> str:
    """
    The commit of a repository on the Hub; of a folder a digest, 16 hexadecimal digits, of the files that are loaded.

    The folder's name and place do not count, nor do the card and pickles next to weights in safetensors format.
    """
    if files.commit:
        return files.commit
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    patterns = FILES if any(files.folder.glob("*.safetensors")) else (*FILES, *PICKLES)
    paths = {path for pattern in patterns for path in files.folder.glob(pattern) if path.suffix != ".md"}
    for path in sorted(paths):
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, hashlib.blake2b)
        digest.update(path.name.encode() + b"\0" + content.digest())
    return digest.hexdigest()
