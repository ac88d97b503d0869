"""Scored alleles -> columns of a table, INFO of a VCF file, a heat map of a region, a track of mean effects."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from dnahub.inference.columns import Columns
from dnahub.inference.formats import Rows, write_made_by
from dnahub.inference.tracks import write_runs
from dnahub.inference.variants import VariantResults
from dnahub.sequences.opening import InputFile
from dnahub.sequences.variants import BASES, NO_ALLELE

STATUS, STATUS_KEY = "status", "SCORE_STATUS"
INFO = {"llr": "log-likelihood ratio of alternative and reference", "l2": "Euclidean distance", "cosine": "cosine"}
INFO |= {"inner": "inner product"}
MOST_PLACES = 600  # of a heat map
PLACE_INCHES, FEWEST_LETTERS_WIDE = 0.16, 4.0
NUMBERED = 10  # every tenth position has its number


@dataclass(frozen=True)
class VariantColumns(Columns):
    """What a scorer adds to the rows: `status`, and its scores."""

    names: tuple[str, ...]
    vcf: str | None = None  # the file that is annotated, where the output is one
    drawn: str | None = None  # the score that is drawn, where every substitution of a region is scored

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([(STATUS, pa.string()), *((name, pa.float32()) for name in self.names)])

    def table(self, results: VariantResults) -> tuple[np.ndarray, pa.Table]:
        """A score that is not there is null."""
        scores = [pa.array(results.scores[name], mask=np.isnan(results.scores[name])) for name in self.names]
        table = pa.Table.from_arrays([pa.array(results.status, pa.string()), *scores], schema=self.schema)
        return np.arange(len(results.status)), table

    def drawings(self, output: Path) -> list[Path]:
        return list(drawings(output)) if self.drawn else []

    def draw(self, rows: Rows, output: Path) -> list[Path]:
        """
        A heat map of at most `MOST_PLACES` places, and where pybigtools is installed the mean at each place as
        bigWig; nothing where no substitution was scored.
        """
        if not self.drawn:
            return []
        table = pa.concat_tables(rows.tables())
        if table[self.drawn].null_count == len(table):
            return []
        (heat_map, track), made = drawings(output), []
        if len(table) <= (len(BASES) - 1) * MOST_PLACES:
            draw_heat_map(table, self.drawn, heat_map)
            made.append(heat_map)
        if find_spec("pybigtools"):
            of_place = table.group_by(["chrom", "pos"], use_threads=False).aggregate([(self.drawn, "mean")])
            runs = [
                (row["chrom"], row["pos"] - 1, row["pos"], row[f"{self.drawn}_mean"])
                for row in of_place.sort_by([("chrom", "ascending"), ("pos", "ascending")]).to_pylist()
                if row[f"{self.drawn}_mean"] is not None
            ]
            write_runs(runs, rows.contigs, track)
            made.append(track)
        return made


def drawings(output: Path) -> tuple[Path, Path]:
    """The files of a heat map and of a track next to a table."""
    return output.with_name(f"{output.name}.png"), output.with_name(f"{output.name}.bw")


def info_key(column: str) -> str:
    """The name of a column in INFO, as VCF allows it."""
    return re.sub(r"[^0-9A-Za-z_.]", "_", column).upper()


def check_info(names: Sequence[str], vcf: str) -> None:
    """Raises ValueError if two scores would have one key in INFO, or the file has one of them already."""
    keys = [STATUS_KEY, *map(info_key, names)]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f"Two scores would both be called {key} in INFO of a VCF file; name a .tsv file.")
    file = InputFile(vcf)
    for line in file.open():  # all of it, for a line that is not UTF-8 cannot be written
        found = re.match(rb"##INFO=<ID=([^,>]+)", line)
        if found and found[1].decode("latin-1") in keys:
            name = found[1].decode("latin-1")
            raise ValueError(
                f"{vcf} has {name} in INFO already; remove it (bcftools annotate --remove INFO/{name}), or name "
                "a .tsv file."
            )
    file.close()


def write_vcf(rows: Rows, path: Path) -> None:
    """
    The lines of the file that was scored, with the scores of each alternative in INFO; .gz is compressed as by bgzip.

    Lines, not pysam's records: these cannot be written if the header lacks one of their contigs or tags.
    """
    columns = rows.layout.answers
    values = (row for table in rows.tables() for row in table.select([STATUS, *columns.names]).to_pylist())
    with _opened(path) as output:
        for line in InputFile(columns.vcf).open():
            line = line.rstrip(b"\n")
            if line.startswith(b"#CHROM"):
                info = _info_lines(columns.names, rows.made_by["model"])
                output.write("".join(f"{each}\n" for each in info).encode())
            elif line and not line.startswith(b"#"):
                fields = line.split(b"\t")
                of_record = [next(values) for _ in fields[4].split(b",")]
                found = [f"{STATUS_KEY}=" + ",".join(row[STATUS].replace(" ", "_") for row in of_record)]
                found += [
                    f"{info_key(name)}=" + ",".join(_number(row[name]) for row in of_record) for name in columns.names
                ]
                if fields[4] != NO_ALLELE.encode():
                    fields[7] = b";".join([fields[7]] * (fields[7] != b".") + [each.encode() for each in found])
                line = b"\t".join(fields)
            output.write(line + b"\n")
    write_made_by(rows, path)


def _opened(path: Path) -> BinaryIO:
    if path.suffix != ".gz":
        return open(path, "wb")
    import pysam

    return pysam.BGZFile(str(path), "wb")


def _info_lines(names: Sequence[str], model: str) -> Iterator[str]:
    yield f'##INFO=<ID={STATUS_KEY},Number=A,Type=String,Description="Whether it was scored, and why not">'
    model = model.replace("\\", "").replace('"', "")
    for name in names:
        what = INFO.get(name.removesuffix("_near"), f"alternative minus reference: {name.removeprefix('d_')}")
        what = what.replace('"', "'").replace("\\", "/")
        yield f'##INFO=<ID={info_key(name)},Number=A,Type=Float,Description="{what}, by {model}">'


def _number(value: float | None) -> str:
    return "." if value is None else f"{value:.6g}"


def draw_heat_map(table: pa.Table, score: str, path: Path) -> None:
    """
    A score of every substitution: positions from left to right, the alternative base from top to bottom.

    The reference base of each position is dotted and written below, the position above; regions are apart. Blue
    lowers the score, red raises it.
    """
    places = sorted(set(zip(table["chrom"].to_pylist(), table["pos"].to_pylist(), strict=True)))
    scored = set(places)
    starts = [place for place in places if (place[0], place[1] - 1) not in scored]
    column = {place: i + bisect_right(starts, place) - 1 for i, place in enumerate(places)}
    num_columns = len(places) + len(starts) - 1
    values, letters = np.full((len(BASES), num_columns), np.nan), [""] * num_columns
    for row in table.select(["chrom", "pos", "ref", "alt", score]).to_pylist():
        i = column[row["chrom"], row["pos"]]
        letters[i] = row["ref"].upper()
        if row[score] is not None:
            values[BASES.index(row["alt"]), i] = row[score]
    figure = Figure(figsize=(max(FEWEST_LETTERS_WIDE, 1.6 + PLACE_INCHES * num_columns), 2.2), layout="constrained")
    axes = figure.add_subplot()
    largest = np.nanmax(np.abs(values), initial=0.0) or 1.0
    image = axes.imshow(values, cmap="RdBu_r", norm=TwoSlopeNorm(0, -largest, largest), aspect="auto")
    for i, letter in enumerate(letters):
        if letter in BASES:
            axes.plot(i, BASES.index(letter), ".", color="0.3", markersize=3)
    axes.set_yticks(range(len(BASES)), list(BASES))
    axes.set_xticks(range(num_columns), letters, fontsize=6, family="monospace")
    axes.tick_params(axis="x", length=0)
    numbered = [place for place in places if place in starts or (place[1] % NUMBERED == 0 and place[1] > NUMBERED)]
    positions = axes.secondary_xaxis("top")
    positions.set_xticks([column[place] for place in numbered], [f"{pos:,}" for _, pos in numbered], fontsize=6)
    axes.set_xlabel(", ".join(dict.fromkeys(chrom for chrom, _ in places)))
    axes.set_ylabel("alternative")
    figure.colorbar(image, label=score, shrink=0.9, pad=0.01)
    figure.savefig(path, dpi=300)
