"""Rows that lie on a genome -> BED, bedGraph or bigWig, as genome browsers read them."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from dnahub.inference.answers import DRAWN, SPAN_COLUMNS
from dnahub.inference.formats import Rows, write_made_by
from dnahub.inference.rows import WINDOW_COLUMNS, Layout
from dnahub.sequences.regions import REGION_COLUMNS
from dnahub.tasks.task import PREDICTED

TRACKS = (".bed", *DRAWN)
MOST_SCORE = 1000  # of BED; https://genome.ucsc.edu/FAQ/FAQformat.html#format1


def check_places(path: Path, layout: Layout) -> None:
    """Raises ValueError if the rows have no place on a genome."""
    spans = layout.with_windows or (layout.answers is not None and layout.answers.are_spans)
    if path.suffix.lower() in TRACKS and not spans and not set(REGION_COLUMNS) <= set(layout.source.names):
        raise ValueError(
            f"--output {path}: sequences as a whole have no place on a genome; give its regions with --bed, or cut it "
            "with --long windows, or name a .tsv file."
        )


def check_whole(path: Path, long: str) -> None:
    """Raises ValueError if a value of the beginning of a region would be drawn along all of it."""
    if path.suffix.lower() in DRAWN and long == "truncate":
        raise ValueError(f"--output {path} with --long truncate: what is not read has no value; give --long mean.")


def write_bed(rows: Rows, path: Path) -> None:
    """BED6 in the order of the rows: the label is the name, 1000 times its probability the score."""
    answers = rows.layout.answers
    with open(path, "w", encoding="utf-8") as file:
        for table in rows.tables():
            chrom, start, end, strand = places(table)
            names = table[PREDICTED].to_pylist()
            scores = [round(MOST_SCORE * each) for each in answers.confidence(table)]
            for each in zip(map(_word, chrom), start, end, map(_name, names), scores, strand, strict=True):
                file.write("\t".join(map(str, each)) + "\n")
    write_made_by(rows, path)


def write_bedgraph(rows: Rows, path: Path) -> None:
    """By chromosome and place, the mean of the rows that cover each base; bases without any are left out."""
    with open(path, "w", encoding="utf-8") as file:
        for chrom, start, end, value in _runs(_values(rows)):
            file.write(f"{_word(chrom)}\t{start}\t{end}\t{value:.6g}\n")
    write_made_by(rows, path)


def write_bigwig(rows: Rows, path: Path) -> None:
    """The same as in bedGraph, in the indexed format."""
    values = _values(rows)
    sizes = rows.contigs or {chrom: int(max(end.max() for _, end, _ in each)) for chrom, each in values.items()}
    write_runs(list(_runs(values)), {chrom: sizes[chrom] for chrom in sorted(values)}, path)
    write_made_by(rows, path)


def write_runs(runs: list[tuple[str, int, int, float]], sizes: dict[str, int], path: Path) -> None:
    """Chromosome, start, end and value, in order, and the nt of each chromosome -> bigWig; OSError if it fails."""
    import pybigtools

    pybigtools.open(str(path), "w").write(sizes, iter(runs))
    # It prints what is wrong, and goes on.
    written = pybigtools.open(str(path))
    found = sum(1 for chrom in written.chroms() for _ in written.records(chrom))
    if found != len(runs):
        raise OSError(f"{path}: of {len(runs)} intervals {found} were written; name a .bedgraph file.")


def places(table: pa.Table) -> tuple[list[str], np.ndarray, np.ndarray, list[str]]:
    """Chromosome, start and end (nt, 0-based half-open) and strand of each row."""
    of_part = next((names for names in (SPAN_COLUMNS, WINDOW_COLUMNS) if names[0] in table.column_names), None)
    first, last = (table[name].to_numpy() for name in of_part) if of_part else (None, None)
    if not set(REGION_COLUMNS) <= set(table.column_names):
        return table["id"].to_pylist(), first, last, ["."] * len(table)
    chrom, start, end, strand = (table[name] for name in REGION_COLUMNS)
    start, end, strand = start.to_numpy(), end.to_numpy(), strand.to_pylist()
    if of_part:
        is_reverse = np.array([each == "-" for each in strand], bool)
        first, last = np.where(is_reverse, end - last, start + first), np.where(is_reverse, end - first, start + last)
    else:
        first, last = start, end
    return chrom.to_pylist(), first, last, strand


def mean_coverage(start: np.ndarray, end: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, ...]:
    """Intervals with values -> start, end and mean value of each run of bases that the same of them cover."""
    points = np.unique(np.concatenate((start, end)))
    first, last = np.searchsorted(points, start), np.searchsorted(points, end)
    counts = np.cumsum(np.bincount(first, minlength=len(points)) - np.bincount(last, minlength=len(points)))
    sums = np.bincount(first, value, len(points)) - np.bincount(last, value, len(points))
    covered = counts[:-1] > 0
    means = np.cumsum(sums)[:-1][covered] / counts[:-1][covered]
    return points[:-1][covered], points[1:][covered], means


def _values(rows: Rows) -> dict[str, list[tuple[np.ndarray, ...]]]:
    """Chromosome -> start, end and value of the rows there, in pieces."""
    of_chrom: dict[str, list[tuple[np.ndarray, ...]]] = {}
    for table in rows.tables():
        chrom, start, end, _ = places(table)
        value = table[rows.layout.answers.track].to_numpy().astype(np.float64)
        chrom = np.array(chrom, object)
        for name in dict.fromkeys(chrom.tolist()):
            own = chrom == name
            of_chrom.setdefault(name, []).append((start[own], end[own], value[own]))
    return of_chrom


def _runs(values: dict[str, list[tuple[np.ndarray, ...]]]) -> Iterator[tuple[str, int, int, float]]:
    for chrom in sorted(values):
        for start, end, mean in zip(
            *mean_coverage(*map(np.concatenate, zip(*values[chrom], strict=True))), strict=True
        ):
            yield chrom, int(start), int(end), float(mean)


def _name(predicted: str | list[str]) -> str:
    return (",".join(map(_word, predicted)) or ".") if isinstance(predicted, list) else _word(predicted)


def _word(name: str) -> str:
    """A name without tabs and ends of lines, which separate columns and rows."""
    return " ".join(re.split(r"[\t\r\n]+", name)) or "."
