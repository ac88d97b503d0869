"""Outputs of a model on validation and test -> predictions.parquet, a row for each sequence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dnahub.machine.files import replacing
from dnahub.tasks.task import PREDICTED, PROBABILITY, Labels, RowResults

PREDICTIONS = "predictions.parquet"


@dataclass(frozen=True)
class PredictedRows:
    """Of one split."""

    ids: Sequence[str]  # those that embed.py gives the same sequences
    group_column: str | None
    groups: Sequence[Any] | None
    of_rows: RowResults | None  # None where a task has no labels of sequences


def write_predictions(splits: Mapping[str, PredictedRows], meaning: Labels, path: Path) -> None:
    """
    Columns `id`, `split`, the groups (by the name of their column), `label`, `predicted`, and the probability of each
    class, such as `p_mouse`.
    """
    tables = []
    for split, rows in splits.items():
        columns = {"id": pa.array(rows.ids, pa.string()), "split": pa.repeat(split, len(rows.ids))}
        if rows.groups is not None:
            columns[rows.group_column] = rows.groups
        columns |= {"label": rows.of_rows.label, PREDICTED: rows.of_rows.predicted}
        if rows.of_rows.probabilities is not None:
            names = map(PROBABILITY.format, meaning.names)
            columns |= dict(zip(names, rows.of_rows.probabilities.T, strict=True))
        tables.append(pa.table(columns))
    with replacing(path) as scratch:
        pq.write_table(pa.concat_tables(tables, promote_options="permissive"), scratch)
