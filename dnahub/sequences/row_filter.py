"""COLUMN=VALUE, and a table -> which rows have the value."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnahub.sequences.checks import SequenceFileError

VALUES_SHOWN = 10  # in an error


class RowFilter:
    """
    The rows whose value is that of the flag: as a number or truth value where the column is of these, else as text.

    Attributes:
        column: Its name, which the tables have.
    """

    def __init__(self, flag: str):
        self._flag = flag
        self.column, _, self._text = flag.partition("=")
        self._seen: dict[object, None] = {}

    def rows(self, table: pa.Table, name: str) -> np.ndarray:
        """Their numbers; `name` is what the input is called in messages."""
        values = table[self.column]
        kind = values.type
        try:
            if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
                values = pc.utf8_trim_whitespace(values.cast(pa.string()))
            wanted = pa.scalar(self._text.strip()).cast(values.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise SequenceFileError(
                f"{name}: column {self.column!r} is {kind}; --dataset_filter {self._flag} is not of that kind."
            ) from error
        if len(self._seen) <= VALUES_SHOWN:
            self._seen |= dict.fromkeys(values.unique().to_pylist())
        return np.flatnonzero(pc.fill_null(pc.equal(values, wanted), False))

    def nothing_found(self) -> str:
        """What to say if no row had it."""
        values = ", ".join(map(str, list(self._seen)[:VALUES_SHOWN])) + ", …" * (len(self._seen) > VALUES_SHOWN)
        return f"--dataset_filter {self._flag} leaves no row; in column {self.column!r} there are {values}."
