"""Ensembl address -> local file with a verified checksum."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import datasets
from datasets import DownloadConfig, DownloadManager
from datasets.utils import tqdm
from huggingface_hub.errors import OfflineModeIsEnabled

from dataset_builder.species import Species

BLOCK_BYTES = 1024  # of `sum -r`
CHUNK_BYTES = 1 << 20
BY_HAND = "Try again later, or download the six files by hand and give their folder as --source."

# The lower 16 bits rotated right by one bit, for every sum of a 16-bit checksum and a byte. Each byte depends on the
# one before, so numpy cannot do it faster; 25 MB take about two seconds.
_ROTATED = [(value & 0xFFFF) >> 1 | (value & 1) << 15 for value in range((1 << 16) + 255)]


class DownloadError(OSError):
    """A file that could not be downloaded, or whose checksum is wrong; the message contains its address."""


@dataclass(frozen=True)
class Checksum:
    """A line of an Ensembl CHECKSUMS file: checksum and size in blocks, as BSD `sum` prints them."""

    value: int
    blocks: int

    def __str__(self) -> str:
        return f"{self.value:05d} {self.blocks}"


def bsd_sum(chunks: Iterator[bytes]) -> Checksum:
    """BSD checksum of bytes (`sum -r`): 16 bits, rotated right by one before each byte is added."""
    rotated = _ROTATED
    value = size = 0
    for chunk in chunks:
        for byte in chunk:
            value = rotated[value] + byte
        size += len(chunk)
    return Checksum(value & 0xFFFF, -(-size // BLOCK_BYTES))


def bsd_sum_of_file(path: str | Path) -> Checksum:
    """BSD checksum of a file, with a progress bar."""
    path = Path(path)
    with (
        path.open("rb") as file,
        tqdm(desc="Checking the download", total=path.stat().st_size, unit="B", unit_scale=True, delay=1) as progress,
    ):

        def chunks() -> Iterator[bytes]:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
                progress.update(len(chunk))

        return bsd_sum(chunks())


def listed_checksum(text: str, file_name: str) -> Checksum | None:
    """The line of `file_name` in the text of a CHECKSUMS file (`checksum blocks name`), or None."""
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[2] == file_name and fields[0].isdecimal() and fields[1].isdecimal():
            return Checksum(int(fields[0]), int(fields[1]))
    return None


def download_manager() -> DownloadManager:
    """Downloads go to the cache of `datasets`."""
    settings = DownloadConfig(cache_dir=datasets.config.DOWNLOADED_DATASETS_PATH, use_etag=False)
    return DownloadManager(dataset_name="nt_species", download_config=settings)


def fetch(species: Species, dl_manager: DownloadManager) -> tuple[Path, Checksum]:
    """Download the CDS file of a species, or take it from the cache of `datasets`, and verify it.

    If the checksum differs from the server's CHECKSUMS, both files are downloaded again, once.

    Returns:
        The local file and its checksum.

    Raises:
        DownloadError: No connection, no such file, or a wrong checksum twice.
    """
    expected = found = None
    for anew in (False, True):
        text = _download(dl_manager, species.checksums_address, anew).read_bytes().decode("utf-8", "replace")
        expected = listed_checksum(text, species.file_name)
        if expected is None:
            continue
        path = _download(dl_manager, species.address, anew)
        found = bsd_sum_of_file(path)
        if found == expected:
            return path, found
    if expected is None:
        raise DownloadError(
            f"{species.checksums_address} does not list {species.file_name}; the release may have moved. {BY_HAND}"
        )
    raise DownloadError(
        f"{species.address}: the checksum was wrong in two downloads (checksum and 1024-byte blocks: expected "
        f"{expected}, got {found}). {BY_HAND}"
    )


def _download(dl_manager: DownloadManager, address: str, anew: bool) -> Path:
    dl_manager.download_config.force_download = anew
    dl_manager.download_config.download_desc = f"Downloading {address.rpartition('/')[2]}"
    try:
        return Path(dl_manager.download(address))
    except OfflineModeIsEnabled as error:
        raise DownloadError(f"{address} is not in the cache and HF_HUB_OFFLINE is set; unset it. {BY_HAND}") from error
    except aiohttp.ClientPayloadError as error:
        if not anew:
            return _download(dl_manager, address, anew=True)  # cut off: once more
        raise _cannot_fetch(address, error) from error
    except FileNotFoundError as error:  # fsspec raises it for every failed request; its cause is the reason
        raise _cannot_fetch(address, error.__cause__ or error) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise _cannot_fetch(address, error) from error


def _cannot_fetch(address: str, reason: BaseException) -> DownloadError:
    if isinstance(reason, aiohttp.ClientResponseError):
        reason_text = f"HTTP {reason.status} {reason.message}"
    else:
        reason_text = str(reason) or type(reason).__name__
    return DownloadError(f"{address}: the download failed ({reason_text}); check the connection. {BY_HAND}")
