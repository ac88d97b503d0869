"""Ensembl address -> local file with a verified checksum."""

import re
from pathlib import Path

import aiohttp
import datasets
from datasets import DownloadConfig, DownloadManager
from huggingface_hub.errors import OfflineModeIsEnabled

from dataset_builder.species import Species

BLOCK_BYTES = 1024  # of `sum -r`
# fsspec raises FileNotFoundError for every failed request; its cause is the reason.
FAULTS = (aiohttp.ClientError, TimeoutError, FileNotFoundError, OfflineModeIsEnabled)

# The lower 16 bits rotated right by one bit, for every sum of a 16-bit checksum and a byte. Each byte depends on the
# one before, so numpy cannot do it faster; 25 MB take about two seconds.
_ROTATED = [(value & 0xFFFF) >> 1 | (value & 1) << 15 for value in range((1 << 16) + 255)]


class DownloadError(OSError):
    """A file that could not be downloaded, or whose checksum is wrong."""


def bsd_sum(data: bytes) -> str:
    """Checksum and number of blocks, as `sum -r` prints them: 16 bits, rotated right before each byte is added."""
    value = 0
    for byte in data:
        value = _ROTATED[value] + byte
    return f"{value & 0xFFFF:05d} {-(-len(data) // BLOCK_BYTES)}"


def listed_checksum(text: str, file_name: str) -> str | None:
    """The checksum and number of blocks of a file in the text of an Ensembl CHECKSUMS file."""
    found = re.search(rf"^(\d+) +(\d+) +{re.escape(file_name)}$", text, re.MULTILINE)
    return f"{int(found[1]):05d} {int(found[2])}" if found else None


def download_manager() -> DownloadManager:
    """Downloads go to the cache of `datasets`."""
    settings = DownloadConfig(cache_dir=datasets.config.DOWNLOADED_DATASETS_PATH, use_etag=False)
    return DownloadManager(dataset_name="nt_species", download_config=settings)


def fetch(species: Species, downloads: DownloadManager) -> tuple[Path, str]:
    """Download the CDS file of a species, or take it from the cache, and compare it with the server's CHECKSUMS.

    What fails, or differs, is downloaded once more.

    Returns:
        The local file, and its checksum and number of blocks.

    Raises:
        DownloadError: No connection, no such file, or a wrong checksum twice.
    """
    problem = ""
    for again in (False, True):
        downloads.download_config.force_download = again
        address = species.checksums_address
        try:
            text = Path(downloads.download(address)).read_text(encoding="utf-8", errors="replace")
            expected = listed_checksum(text, species.file_name)
            if expected is None:
                problem = f"{address} does not list {species.file_name}; the release may have moved."
                continue
            address = species.address
            path = Path(downloads.download(address))
        except FAULTS as error:
            reason = error.__cause__ or error
            problem = f"{address}: the download failed ({str(reason) or type(reason).__name__})."
            continue
        found = bsd_sum(path.read_bytes())
        if found == expected:
            return path, found
        problem = f"{address}: the checksum is wrong (`sum` of the file {found}, in CHECKSUMS {expected})."
    raise DownloadError(f"{problem} Try again later, or download the six files by hand and give --source FOLDER.")
