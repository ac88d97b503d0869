"""Results of a block -> the columns that an output has next to those of its source: what is common to all kinds."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa


class Columns(ABC):
    """`are_spans`: a row is a part of a sequence. `track`: the column that is drawn along a genome, if one is."""

    are_spans: bool = False
    track: str | None = None

    @property
    @abstractmethod
    def schema(self) -> pa.Schema:
        """Names and types of the columns."""

    @abstractmethod
    def table(self, results: Any) -> tuple[np.ndarray, pa.Table]:
        """Which record of the block each row is of, (rows,), and the columns."""

    def drawings(self, output: Path) -> list[Path]:
        """The files that `draw` may write next to an output."""
        return []

    def draw(self, rows: Any, output: Path) -> list[Path]:
        """Draw rows of `formats.Rows`; the files of `drawings` that were written."""
        return []
