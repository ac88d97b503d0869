"""Errors of a full disk or a full memory -> told from others, and in short."""

import errno

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, the quota, what a file may have
LONGEST_SHOWN = 200


def first_line(error: Exception) -> str:
    """What an error says, of which torch adds a page, to stand within a sentence."""
    return str(error).strip().partition("\n")[0][:LONGEST_SHOWN]
