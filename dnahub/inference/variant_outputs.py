"""Scored alleles -> columns of a table, INFO of a VCF file, a heat map of a region, a track of mean effects."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from dnahub.inference.formats import Rows, write_made_by
from dnahub.inference.tracks import write_runs
from dnahub.inference.variants import VariantResults
from dnahub.sequences.opening import InputFile
from dnahub.sequences.variants import BASES

STATUS, STATUS_KEY = "status", "SCORE_STATUS"
INFO = {"llr": "log-likelihood ratio of alternative and reference", "l2": "Euclidean distance", "cosine": "cosine"}
INFO |= {"inner": "inner product"}
MOST_PLACES = 600  # of a heat map
PLACE_INCHES, FEWEST_LETTERS_WIDE = 0.16, 4.0


@dataclass(frozen=True)
class VariantColumns:
    """What a scorer adds to the rows: `status`, and its scores; in the place of `Answers`."""

    names: tuple[str, ...]
    vcf: str | None = None  # the file that is annotated, where the output is one
    draws: bool = False  # whether every substitution of a region is scored, and drawn

    are_spans = False
    track = None

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([(STATUS, pa.string()), *((name, pa.float32()) for name in self.names)])

    def draw(self, rows: Rows, path: Path) -> list[Path]:
        """
        NAME.png, a heat map of the first score, where there are at most `MOST_PLACES` places; and NAME.bw, where
        pybigtools is installed, its mean over the substitutions at each place.
        """
        if not self.draws:
            return []
        made, score = [], self.names[0]
        table = pa.concat_tables(rows.tables())
        if len(table) <= (len(BASES) - 1) * MOST_PLACES:
            made.append(path.with_name(f"{path.name}.png"))
            draw_heat_map(table, score, made[-1])
        if find_spec("pybigtools"):
            made.append(path.with_name(f"{path.name}.bw"))
            of_place = table.group_by(["chrom", "pos"], use_threads=False).aggregate([(score, "mean")])
            runs = [
                (row["chrom"], row["pos"] - 1, row["pos"], row[f"{score}_mean"])
                for row in of_place.sort_by([("chrom", "ascending"), ("pos", "ascending")]).to_pylist()
                if row[f"{score}_mean"] is not None
            ]
            write_runs(runs, rows.contigs, made[-1])
        return made

    def table(self, results: VariantResults) -> tuple[np.ndarray, pa.Table]:
        """Which allele each row is of, and the columns; a score that is not there is null."""
        scores = [pa.array(results.scores[name], mask=np.isnan(results.scores[name])) for name in self.names]
        table = pa.Table.from_arrays([pa.array(results.status, pa.string()), *scores], schema=self.schema)
        return np.arange(len(results.status)), table


def info_key(column: str) -> str:
    """The name of a column in INFO, as VCF allows it."""
    return re.sub(r"[^0-9A-Za-z_.]", "_", column).upper()


def write_vcf(rows: Rows, path: Path) -> None:
    """
    The lines of the file that was scored, with the scores of each alternative in INFO; .gz is compressed as by bgzip.

    Lines, not pysam's records: these cannot be written if the header lacks one of their contigs or tags.
    """
    columns = rows.layout.answers
    values = (row for table in rows.tables() for row in table.select([STATUS, *columns.names]).to_pylist())
    with _opened(path) as output:
        for line in InputFile(columns.vcf).open():
            text = line.decode().rstrip("\n")
            if text.startswith("#CHROM"):
                output.write(
                    "".join(f"{each}\n" for each in _info_lines(columns.names, rows.made_by["model"])).encode()
                )
            elif text and not text.startswith("#"):
                fields = text.split("\t")
                alts = [] if fields[4] == "." else fields[4].split(",")
                of_record = [next(values) for _ in alts]
                found = [f"{STATUS_KEY}=" + ",".join(row[STATUS].replace(" ", "_") for row in of_record)]
                found += [
                    f"{info_key(name)}=" + ",".join(_number(row[name]) for row in of_record) for name in columns.names
                ]
                if of_record:
                    fields[7] = ";".join([fields[7]] * (fields[7] != ".") + found)
                text = "\t".join(fields)
            output.write(f"{text}\n".encode())
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
        what = INFO.get(name.removesuffix("_near"), f"change of what the model gives, {name.removeprefix('d_')}")
        what = what.replace('"', "'").replace("\\", "/")
        yield f'##INFO=<ID={info_key(name)},Number=A,Type=Float,Description="{what}, by {model}">'


def _number(value: float | None) -> str:
    return "." if value is None else f"{value:.6g}"


def draw_heat_map(table: pa.Table, score: str, path: Path) -> None:
    """
    A score of every substitution: places from left to right, the base that is put there from top to bottom.

    The reference base of each place is dotted and written below; blue lowers the score, red raises it.
    """
    places = sorted(set(zip(table["chrom"].to_pylist(), table["pos"].to_pylist(), strict=True)))
    column = {place: i for i, place in enumerate(places)}
    values, letters = np.full((len(BASES), len(places)), np.nan), [""] * len(places)
    for row in table.select(["chrom", "pos", "ref", "alt", score]).to_pylist():
        i = column[row["chrom"], row["pos"]]
        letters[i] = row["ref"].upper()
        if row[score] is not None:
            values[BASES.index(row["alt"]), i] = row[score]
    figure = Figure(figsize=(max(FEWEST_LETTERS_WIDE, 1.6 + PLACE_INCHES * len(places)), 1.9), layout="constrained")
    axes = figure.add_subplot()
    largest = np.nanmax(np.abs(values), initial=0.0) or 1.0
    image = axes.imshow(values, cmap="RdBu_r", norm=TwoSlopeNorm(0, -largest, largest), aspect="auto")
    for i, letter in enumerate(letters):
        if letter in BASES:
            axes.plot(i, BASES.index(letter), ".", color="0.3", markersize=3)
    axes.set_yticks(range(len(BASES)), list(BASES))
    axes.set_xticks(range(len(places)), letters, fontsize=6, family="monospace")
    axes.tick_params(axis="x", length=0)
    (chrom, start), (_, end) = places[0], places[-1]
    axes.set_xlabel(
        f"{chrom}:{start:,}–{end:,}" if len({name for name, _ in places}) == 1 else "places of all regions"
    )
    axes.set_ylabel("alternative")
    figure.colorbar(image, label=score, shrink=0.9, pad=0.01)
    figure.savefig(path, dpi=300)
