"""Finished parts -> the one output, in the format that its suffix names."""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from dnahub.inference.formats import Rows, output_files, write_csv, write_h5ad, write_npy, write_parquet
from dnahub.inference.parts import Parts, fsync, parts_folder
from dnahub.inference.rows import Layout
from dnahub.inference.tracks import TRACKS, check_places, write_bed, write_bedgraph, write_bigwig
from dnahub.inference.variant_outputs import write_vcf
from dnahub.machine.locks import LOCK, take_lock
from dnahub.sequences.bad_records import BadRecords

# Suffixes of what has vectors alone, a vector for each token, and columns of other kinds.
EMBEDDINGS = (".parquet", ".npy", ".h5ad", ".csv", ".tsv")
PER_TOKEN = (".parquet", ".npy")
PREDICTIONS = (".tsv", ".csv", ".parquet", *TRACKS)
FORMATS: dict[str, Callable[[Rows, Path], None]] = {
    ".parquet": write_parquet,
    ".npy": write_npy,
    ".h5ad": write_h5ad,
    ".csv": write_csv,
    ".tsv": write_csv,
    ".bed": write_bed,
    ".bedgraph": write_bedgraph,
    ".bw": write_bigwig,
    ".vcf": write_vcf,
    ".gz": write_vcf,  # .vcf.gz
}
JOINED = "joined"  # file in the folder of the parts, which says which file has all of them
# Formats that need a package of their own.
PACKAGES = {".h5ad": "anndata", ".bw": "pybigtools", ".vcf": "pysam", ".gz": "pysam"}


def skipped_list(output: Path) -> Path:
    """The file next to an output that lists the bad records which were skipped, if there were any."""
    return output.with_name(output.name + ".skipped.tsv")


def check_output(
    output: Path, suffixes: Sequence[str], inputs: Sequence[str], overwrite: bool, drawings: Sequence[Path] = ()
) -> None:
    """Find before the work what would stop the writing after it."""
    suffix = output.suffix.lower()
    if suffix not in suffixes:
        per_token = " with --per_token" if suffixes == PER_TOKEN else ""
        raise ValueError(f"--output {output}: the suffix{per_token} is one of {', '.join(suffixes)}.")
    folder = parts_folder(output)
    if not overwrite:
        remove_joined(output)
    for path in (*output_files(output), skipped_list(output), *drawings):
        # Files beside an output that does not exist are those of an interrupted run.
        if path.exists() and not overwrite and (path == output or not folder.exists()):
            left = f" ({folder} has parts of an interrupted run)" if folder.exists() else ""
            raise ValueError(f"--output {path} exists{left}; name another file, or give --overwrite.")
    if any(output.exists() and Path(name).exists() and output.samefile(name) for name in inputs):
        raise ValueError(f"--output {output} is the input; name another file.")
    if suffix in PACKAGES and find_spec(PACKAGES[suffix]) is None:
        other = ".bedgraph" if suffix == ".bw" else ".parquet"
        raise ValueError(
            f"--output {output}: {suffix} needs {PACKAGES[suffix]}: pip install -r requirements-extra.txt; or name a "
            f"{other} file."
        )
    if not output.parent.is_dir():
        raise ValueError(f"--output {output}: there is no folder {output.parent}; make it first.")
    tempfile.TemporaryFile(dir=output.parent).close()  # an OSError says why it is not writable


def remove_joined(output: Path) -> None:
    """Remove the parts of an output that is complete, which a process left that was killed before it had done so."""
    folder = parts_folder(output)
    if not output.exists() or not folder.exists():
        return
    joined = folder / JOINED
    is_of_these = joined.exists() and joined.read_text() == _identity(output)
    if (is_of_these or not any(folder.glob("part-*"))) and (lock := take_lock(folder / LOCK)):
        shutil.rmtree(folder, ignore_errors=True)
        lock.close()


def _identity(path: Path) -> str:
    """Which file it is, under any name."""
    return f"{path.stat().st_ino} {path.stat().st_mtime_ns}"


def check_columns(output: Path, columns: Sequence[str], layout: Layout) -> None:
    """Raises ValueError if two columns would have one name, or a format cannot hold one of the source."""
    check_places(output, layout)
    suffix = output.suffix.lower()
    added = [*(field.name for field in layout.added), *(("num_tokens", "offset") if layout.per_token else ())]
    for name in columns:
        if list(columns).count(name) > 1:
            raise ValueError(f"The input has two columns {name!r}; rename one of them.")
        is_dimension = layout.hidden_size and suffix in (".csv", ".tsv") and re.fullmatch(r"e\d+", name)
        if name in added or is_dimension:
            raise ValueError(f"The input has a column {name!r}, a name that the output uses itself; rename it.")
        if suffix == ".h5ad" and ("/" in name or name == "_index"):
            raise ValueError(f"{output}: .h5ad cannot hold a column {name!r}; rename it, or name a .parquet file.")


def join(
    parts: Parts,
    digests: Sequence[str],
    output: Path,
    made_by: dict[str, Any],
    bad: BadRecords,
    contigs: dict[str, int] | None = None,
) -> list[dict[str, Any]] | None:
    """
    Write the output, or replace it, if the parts of all blocks are there, and remove these.

    `made_by` is what the output says of itself; the backends, a digest of the input and the numbers of `bad` records
    are added. Returns what all parts say of themselves; None if one is missing, or another process writes the output.
    """
    if parts.find_all(digests) is None:
        return None
    with parts.locked() as is_mine:
        facts = parts.find_all(digests) if is_mine else None  # again: they may have been joined meanwhile
        if facts is None:
            return None
        made_by = made_by | {
            "backend": ", ".join(sorted({each["backend"] for each in facts})),
            "input_digest": hashlib.blake2b("".join(digests).encode(), digest_size=16).hexdigest(),
        }
        made_by |= {"skipped": dict(bad.counts)} if bad.counts else {}
        paths = [parts.path(block) for block in range(len(digests))]
        num_rows, num_vectors = (sum(each["counts"].get(name, 0) for each in facts) for name in ("rows", "vectors"))
        with tqdm(desc="writing", total=num_rows, unit=" rows", unit_scale=True) as bar:
            rows = Rows(paths, parts.layout, num_vectors, made_by, bar.update, contigs)
            _write(output, rows, parts.folder / "output", bad)
        parts.remove_joined()
    parts.remove_folder()
    return facts


def _write(output: Path, rows: Rows, scratch: Path, bad: BadRecords) -> None:
    """Write the files in a folder of the parts and move them: a kill leaves nothing elsewhere."""
    shutil.rmtree(scratch, ignore_errors=True)  # of a process that was killed
    scratch.mkdir()
    try:
        complete, *beside = output_files(scratch / output.name)
        FORMATS[output.suffix.lower()](rows, complete)
        answers = rows.layout.answers
        beside += answers.draw(rows, complete) if answers else []
        skipped = skipped_list(scratch / output.name)
        if bad.counts:
            bad.write(skipped)
            beside.append(skipped)
        else:
            skipped_list(output).unlink(missing_ok=True)  # of an output that this one replaces
        for path in answers.drawings(output) if answers else []:
            path.unlink(missing_ok=True)  # likewise
        for path in (complete, *beside):
            fsync(path)  # the parts are removed next
        (scratch.parent / JOINED).write_text(_identity(complete))
        if beside:  # an old array must never stand beside the new ids
            output.unlink(missing_ok=True)
        for path in (*beside, complete):
            os.replace(path, output.with_name(path.name))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
