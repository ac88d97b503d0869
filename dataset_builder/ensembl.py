"""Ensembl address -> local file with a verified checksum."""

import re
from pathlib import Path

import aiohttp
from datasets import DownloadManager

from dataset_builder.species import Species

BLOCK_BYTES = 1024  # of `sum -r`

# The lower 16 bits rotated right by one bit, for every sum of a 16-bit checksum and a byte. Each byte depends on the
# one before, so numpy cannot do it faster; 25 MB take about two seconds.
_ROTATED = [(value & 0xFFFF) >> 1 | (value & 1) << 15 for value in range((1 << 16) + 255)]


def bsd_sum(data: bytes) -> str:
    """Checksum and number of blocks, as `sum -r` prints them: 16 bits, rotated right before each byte is added."""
    value = 0
    for byte in data:
        value = _ROTATED[value] + byte
    return f"{value & 0xFFFF:05d} {-(-len(data) // BLOCK_BYTES)}"


def fetch(species: Species, downloads: DownloadManager) -> tuple[Path, str]:
    """
    Download the CDS file of a species, or take it from the cache: its path, checksum and number of blocks.

    It is compared with the server's CHECKSUMS; what fails, or differs, is downloaded once more.

    Raises:
        OSError: No connection, no such file, or a wrong checksum twice.
    """
    address = species.address
    folder, _, file_name = address.rpartition("/")
    checksums = f"{folder}/CHECKSUMS"
    for again in (False, True):
        downloads.download_config.force_download = again
        try:
            text = Path(downloads.download(checksums)).read_text(encoding="utf-8", errors="replace")
            path = Path(downloads.download(address))
        except (OSError, aiohttp.ClientError) as error:
            # fsspec raises FileNotFoundError for every failed request; its cause is the reason.
            reason = error.__cause__ or error
            problem = f"{address}: the download failed ({str(reason) or type(reason).__name__})."
            continue
        found = bsd_sum(path.read_bytes())
        listed = re.search(rf"^(\d+) +(\d+) +{re.escape(file_name)}$", text, re.MULTILINE)
        if listed and found == f"{int(listed[1]):05d} {int(listed[2])}":
            return path, found
        problem = f"{address}: its `sum` is {found}, but {checksums} says {listed and listed[0]}."
    raise OSError(f"{problem} Try again later, or download the files by hand and give --source FOLDER.")
