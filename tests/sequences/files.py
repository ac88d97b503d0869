"""Records -> files of every format; files -> the rows that the reader gives."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dnahub.sequences.arguments import InputArguments
from dnahub.sequences.reader import SequenceReader
from dnahub.sequences.sources import open_sequences


def opened(*paths, **arguments) -> SequenceReader:
    return open_sequences(InputArguments(input=[str(path) for path in paths], **arguments))


def rows_of(*paths, **arguments) -> list[dict]:
    return [row for batch in opened(*paths, **arguments) for row in batch.table.to_pylist()]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def wrapped(sequence: str) -> list[str]:
    return [sequence[i : i + 60] for i in range(0, len(sequence), 60)]


def genbank_record(name: str, sequence: str, features: str = "") -> str:
    lines = [f"LOCUS       {name:<16} {len(sequence)} bp    DNA     linear   BCT 01-JAN-2020"]
    lines += [f"DEFINITION  gene of {name}", f"ACCESSION   {name}", f"VERSION     {name}"]
    lines += ["FEATURES             Location/Qualifiers", f"     source          1..{len(sequence)}"]
    lines += [features] if features else []
    lines += ["ORIGIN", *(f"{60 * i + 1:>9} {line.lower()}" for i, line in enumerate(wrapped(sequence)))]
    return "\n".join([*lines, "//", ""])


def written(folder: Path, name: str, records) -> Path:
    """The pairs of id and sequence in a file of the format that its suffix says."""
    path = folder / name
    rows = [{"id": name, "sequence": dna} for name, dna in records]
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path
    lines = {
        ".fa": lambda name, dna: "\n".join([f">{name} gene of {name}", *wrapped(dna)]),
        ".fq": lambda name, dna: f"@{name} gene of {name}\n{dna}\n+\n{'I' * len(dna)}",
        ".gb": lambda name, dna: genbank_record(name, dna).rstrip(),
        ".csv": "{},{}".format,
        ".tsv": "{}\t{}".format,
        ".jsonl": lambda name, dna: json.dumps({"id": name, "sequence": dna}),
        ".json": lambda name, dna: json.dumps(rows, indent=1),  # a list of all
        ".txt": lambda _, dna: f"{dna}\n",
    }[path.suffix]
    of_file = {".json": records[:1], ".csv": [("id", "sequence"), *records], ".tsv": [("id", "sequence"), *records]}
    return write(path, "".join(f"{lines(*each)}\n" for each in of_file.get(path.suffix, records)))
