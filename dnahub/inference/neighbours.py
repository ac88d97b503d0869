r"""Embeddings + known embeddings -> for each the nearest known ones, by cosine: which known genes are near to mine.

    python -m dnahub.inference.neighbours --input mine.parquet --known known.parquet --k 10 --output nearest.tsv

Both files are outputs of embed.py, made with one checkpoint and the same settings. The table has a row for each of the
k nearest, the nearest first: id, rank (from 1), neighbour (its id), cosine, and the other columns of the known ones,
their names preceded by neighbour_. The search is exact, and takes memory for a few thousand rows at a time; if both
files are the same, a row is no neighbour of itself.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dnahub.machine.arguments import parse
from dnahub.machine.script import run

BLOCK_ROWS, KNOWN_ROWS = 8_192, 4_096  # of the input and of the known ones at a time: 134 MB of cosines
SUFFIXES = (".tsv", ".csv", ".parquet")


@dataclass
class NeighbourArguments:
    """Whose neighbours are looked for, and where."""

    input: str = field(metadata={"help": "Parquet file of embed.py: whose neighbours are looked for."})
    known: str = field(metadata={"help": "Parquet file of embed.py: among which they are looked for."})
    output: str = field(metadata={"help": f"Table to write: {', '.join(SUFFIXES)}."})
    k: int = field(default=10, metadata={"help": "Neighbours of each."})
    overwrite: bool = field(default=False, metadata={"help": "Replace an output that exists."})

    def __post_init__(self):
        if self.k < 1:
            raise ValueError(f"--k {self.k}: give 1 or more.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program with the command line, or with these arguments; errors are raised."""
    (args,) = parse("python -m dnahub.inference.neighbours", __doc__, (NeighbourArguments,), arguments)

    import numpy as np
    import pyarrow as pa
    from tqdm.auto import tqdm

    from dnahub.inference.formats import append_text
    from dnahub.inference.outputs import check_output
    from dnahub.machine.files import replacing

    path = Path(args.output)
    check_output(path, SUFFIXES, (args.input, args.known), args.overwrite)
    mine, known = Vectors(args.input), Vectors(args.known)
    mine.check_like(known)
    skip_self = os.path.samefile(args.input, args.known)
    k = min(args.k, known.num_rows - skip_self)
    if k < 1:
        raise ValueError(f"{args.known}: it has {known.num_rows} rows; give a file with another one besides itself.")
    labels = known.columns()
    delimiter = {".tsv": "\t", ".csv": ","}.get(path.suffix.lower())
    with replacing(path) as scratch, tqdm(total=mine.num_rows, unit=" rows", unit_scale=True) as bar:
        writer, file, first = None, open(scratch, "wb"), 0
        with file:
            for ids, vectors in mine.blocks(BLOCK_ROWS):
                cosines, rows = nearest(vectors, known, k, first if skip_self else None)
                near = labels.take(pa.array(rows.reshape(-1)))
                table = pa.table(
                    {
                        "id": ids.take(pa.array(np.repeat(np.arange(len(ids)), k))),
                        "rank": np.tile(np.arange(1, k + 1), len(ids)),
                        "neighbour": near["id"],
                        "cosine": cosines.reshape(-1),
                        **{f"neighbour_{name}": near[name] for name in near.column_names if name != "id"},
                    }
                )
                if delimiter:
                    append_text(table, file, delimiter, header=not first)
                else:
                    import pyarrow.parquet as pq

                    writer = writer or pq.ParquetWriter(file, table.schema, compression="zstd")
                    writer.write_table(table)
                first += len(ids)
                bar.update(len(ids))
            if writer:
                writer.close()
    print(f"{first:,} rows, the {k} nearest of {known.num_rows:,} each\n{path}")


class Vectors:
    """The rows of an output of embed.py, read in blocks, their vectors scaled to Euclidean length 1."""

    def __init__(self, path: str):
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path = path
        if not Path(path).is_file():
            raise ValueError(f"{path}: there is no such file; give a Parquet file of embed.py.")
        try:
            self.file = pq.ParquetFile(pa.OSFile(os.fsencode(path)))  # arrow takes no `str` that is not UTF-8
        except pa.ArrowInvalid as error:
            raise ValueError(f"{path}: it is not a complete Parquet file ({error}); embed again.") from error
        schema, self.num_rows = self.file.schema_arrow, self.file.metadata.num_rows
        for column in ("id", "embedding"):
            if column not in schema.names:
                raise ValueError(f"{path}: there is no column {column!r}; give a Parquet file of embed.py.")
        kind = schema.field("embedding").type
        if not (pa.types.is_fixed_size_list(kind) and pa.types.is_floating(kind.value_type)):
            raise ValueError(f"{path}: column 'embedding' is {kind}; give one vector a row (no --per_token).")
        self.size = kind.list_size
        self.made_by: dict[str, Any] = json.loads((schema.metadata or {}).get(b"embedding", "{}"))
        self.others = [each.name for each in schema if each.name != "embedding" and not pa.types.is_nested(each.type)]

    def check_like(self, other: "Vectors") -> None:
        """Raises ValueError unless both were made with one checkpoint and the same settings."""
        from dnahub.reports.embeddings import SHARED

        for name in ("length", *SHARED):
            ours, theirs = (each.size if name == "length" else each.made_by.get(name, None) for each in (self, other))
            if ours != theirs:
                raise ValueError(
                    f"{self.path}: its embeddings have {name} {ours}, those of {other.path} {theirs}; embed both with "
                    "one checkpoint and the same settings."
                )

    def columns(self):
        """All rows of the other columns, as a table."""
        return self.file.read(self.others)

    def blocks(self, num_rows: int, with_ids: bool = True) -> Iterator[tuple[Any, Any]]:
        """Ids and vectors, a float32 tensor (rows, hidden)."""
        import numpy as np
        import torch

        first = 0
        for batch in self.file.iter_batches(num_rows, columns=["id", "embedding"] if with_ids else ["embedding"]):
            column = batch["embedding"]
            if column.null_count:
                raise ValueError(f"{self.path}: a row from row {first} on has no embedding; leave it out.")
            vectors = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, self.size)
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            wrong = np.flatnonzero(~(np.isfinite(lengths[:, 0]) & (lengths[:, 0] > 0)))
            if len(wrong):
                raise ValueError(
                    f"{self.path}, row {first + wrong[0]}: its embedding has NaN, infinity, or no length; leave that "
                    "row out."
                )
            yield batch["id"] if with_ids else None, torch.from_numpy(vectors / lengths)
            first += len(vectors)


def nearest(vectors, known: Vectors, k: int, own_row: int | None = None):
    """
    The k nearest known rows of each vector, the nearest first; of equal ones, the first in their file.

    Args:
        vectors: Float32 tensor (rows, hidden), each of length 1.
        known: At least k rows, besides a vector's own.
        own_row: The number of the first vector among the known ones, which are not their own neighbours; None: they
            are others.

    Returns:
        float32 (rows, k), the cosines; and int64 (rows, k), the numbers of the known rows.
    """
    import numpy as np
    import torch

    num_rows = len(vectors)
    best = np.full((num_rows, k), -np.inf, np.float32)
    found = np.zeros((num_rows, k), np.int64)
    first = 0
    for _, block in known.blocks(KNOWN_ROWS, with_ids=False):
        cosines = vectors @ block.T
        if own_row is not None:
            own = np.arange(max(own_row, first), min(own_row + num_rows, first + len(block)))
            cosines[own - own_row, own - first] = -torch.inf
        # After the first blocks, few are nearer than those found: they are sorted, and the others only compared.
        row, column = (cosines > torch.from_numpy(best[:, -1:])).nonzero().numpy().T if first else _highest(cosines, k)
        candidates = np.concatenate((np.repeat(np.arange(num_rows), k), row))
        scores = np.concatenate((best.reshape(-1), cosines.numpy()[row, column]))
        numbers = np.concatenate((found.reshape(-1), first + column))
        order = np.lexsort((numbers, -scores, candidates))
        begins = np.searchsorted(candidates[order], np.arange(num_rows))
        chosen = order[begins[:, None] + np.arange(k)]
        best, found = scores[chosen], numbers[chosen]
        first += len(block)
    return best, found


def _highest(cosines, k: int):
    """Row and column of the k highest of each row, and of those that equal the lowest of them."""
    lowest = cosines.topk(min(k, cosines.shape[1]), dim=1).values[:, -1:]
    return (cosines >= lowest).nonzero().numpy().T


if __name__ == "__main__":
    run("neighbours", main)
