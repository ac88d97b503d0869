"""Rows of shards -> one .npy or .safetensors file of vectors, with a table of ids beside it."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from safetensors import safe_open

from dnahub.inference.outputs_rows import Part, ShardRows, as_text

# A memory map would be shorter, but a disk that fills up then ends the process by a signal (SIGBUS) without a word.


def ids_file(path: Path) -> Path:
    """The table of ids beside a file of vectors; named after all of it, for genes.npy and genes.h5 are not one."""
    return path.with_name(f"{path.name}.ids.tsv")


def made_by_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def write_npy(rows: ShardRows, path: Path, made_by: dict[str, Any]) -> None:
    """
    (rows, hidden), per token (tokens of all rows, hidden); beside it the table of ids, and what made it as JSON.
    """
    header = {
        "descr": np.lib.format.dtype_to_descr(rows.dtype),
        "fortran_order": False,
        "shape": (rows.num_vectors, rows.hidden_size),
    }
    with open(path, "wb") as file, _ids_table(rows, ids_file(path)) as ids:
        np.lib.format.write_array_header_1_0(file, header)
        for part in rows.parts():
            file.write(part.vectors.data)
            _write_ids(ids, part)
    made_by_file(path).write_text(json.dumps(made_by, indent=1) + "\n", encoding="utf-8")


def write_safetensors(rows: ShardRows, path: Path, made_by: dict[str, Any]) -> None:
    """
    Tensors `embedding` and, per token, `num_tokens`; what made it is in the metadata, the ids in a table beside it.

    The library writes tensors that are in memory as a whole; the format is eight bytes with the size of the header,
    the header, and the tensors: https://github.com/huggingface/safetensors#format
    """
    shapes = {"num_tokens": ("I64", 8, [rows.num_rows])} if rows.per_token else {}
    code = {"float32": "F32", "float16": "F16"}[rows.dtype.name]
    shapes["embedding"] = (code, rows.dtype.itemsize, [rows.num_vectors, rows.hidden_size])
    header: dict[str, Any] = {"__metadata__": {"embedding": json.dumps(made_by)}}
    end = 0
    for name, (dtype, itemsize, shape) in shapes.items():
        begin, end = end, end + itemsize * int(np.prod(shape))
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)  # so that the numbers are aligned where the file is mapped into memory
    with open(path, "wb") as file, _ids_table(rows, ids_file(path)) as ids:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        first = {name: file.tell() + header[name]["data_offsets"][0] for name in shapes}
        for part in rows.parts():
            if rows.per_token:
                file.seek(first["num_tokens"] + 8 * part.first_row)
                file.write(part.columns["num_tokens"].to_numpy().data)
            file.seek(first["embedding"] + rows.dtype.itemsize * rows.hidden_size * part.first_vector)
            file.write(part.vectors.data)
            _write_ids(ids, part)


@contextmanager
def _ids_table(rows: ShardRows, path: Path) -> Iterator[TextIO]:
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(_line([column.name for column in rows.columns]))
        yield file


def _write_ids(file: TextIO, part: Part) -> None:
    columns = [map(as_text, column.to_pylist()) for column in part.columns.columns]
    file.writelines(map(_line, zip(*columns, strict=True)))


def _line(values) -> str:
    return "\t".join(map(_field, values)) + "\n"


def _field(text: str) -> str:
    """Between quotes where it must be; Python 3.11's csv module forgets a lone \\r, which ends a line for pandas."""
    return '"' + text.replace('"', '""') + '"' if re.search(r'["\t\r\n]', text) else text


def read_npy_made_by(path: Path) -> Any:
    return json.loads(made_by_file(path).read_text(encoding="utf-8"))


def read_safetensors_made_by(path: Path) -> Any:
    with safe_open(path, framework="numpy") as file:
        return json.loads(file.metadata()["embedding"])
