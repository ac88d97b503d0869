"""Ensembl address -> local file whose checksum was checked."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from datasets import DownloadManager
from datasets.utils import tqdm
from huggingface_hub.errors import OfflineModeIsEnabled

from dataset_builder.species import Species

BLOCK_BYTES = 1024  # of `sum -r`
CHUNK_BYTES = 1 << 20
BY_HAND = "Try again later, or download the six files by hand and give their folder as --source."

# Rotation by one bit to the right of the lower 16 bits, for every sum of a 16-bit checksum and a byte: one look-up and
# one addition per byte. The carry couples the bytes, so numpy has no faster way; 25 MB take about two seconds.
_ROTATED = [(value & 0xFFFF) >> 1 | (value & 1) << 15 for value in range((1 << 16) + 255)]


class DownloadError(OSError):
    """A file that could not be fetched, or not as its server describes it; the message holds its address."""


@dataclass(frozen=True)
class Checksum:
    """A line of an Ensembl CHECKSUMS file: what BSD `sum` prints of a file, its checksum and its size in blocks."""

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


def fetch(species: Species, dl_manager: DownloadManager) -> tuple[Path, Checksum]:
    """Fetches the CDS file of a species, or takes it from the cache of datasets, and checks it.

    A file that differs from the server's CHECKSUMS is fetched anew once, with CHECKSUMS itself.

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
            f"{species.checksums_address} has no line for {species.file_name}; the release may have moved. {BY_HAND}"
        )
    raise DownloadError(
        f"{species.address}: fetched twice, and both times not as CHECKSUMS there says (checksum and 1024-byte "
        f"blocks: expected {expected}, got {found}). {BY_HAND}"
    )


def _download(dl_manager: DownloadManager, address: str, anew: bool) -> Path:
    dl_manager.download_config.force_download = anew
    dl_manager.download_config.download_desc = f"Downloading {address.rpartition('/')[2]}"
    try:
        return Path(dl_manager.download(address))
    except OfflineModeIsEnabled as error:
        raise DownloadError(
            f"{address}: not in the cache, and HF_HUB_OFFLINE forbids the network; unset it. {BY_HAND}"
        ) from error
    except aiohttp.ClientPayloadError as error:
        if not anew:
            return _download(dl_manager, address, anew=True)  # cut on the way: once more
        raise _cannot_fetch(address, error) from error
    except FileNotFoundError as error:  # what fsspec makes of every failed request, the reason being its cause
        raise _cannot_fetch(address, error.__cause__ or error) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise _cannot_fetch(address, error) from error


def _cannot_fetch(address: str, reason: BaseException) -> DownloadError:
    if isinstance(reason, aiohttp.ClientResponseError):
        reason_text = f"HTTP {reason.status} {reason.message}"
    else:
        reason_text = str(reason) or type(reason).__name__
    return DownloadError(f"{address}: cannot be fetched ({reason_text}); check the connection. {BY_HAND}")
