"""Checkpoint + FASTA -> one embedding per sequence, as Parquet.

    python embed.py --model runs/demo/checkpoint --input genes.fa.gz --output genes.parquet
    python embed.py --model InstaDeepAI/nucleotide-transformer-v2-50m-multi-species --input a.fa --output a.parquet

The output has the columns `id` (the FASTA header's first word) and `embedding` (float32, the mean over all tokens of
the last hidden states), in the order of the input. No code of the checkpoint is run.
"""

import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm.auto import tqdm
from transformers import HfArgumentParser

from checkpoints.loading import find_checkpoint, load_checkpoint
from dataset_builder.cds import CDSFileError, Record, read_records
from hub_code import DNAEmbeddingPipeline, NucleotideTransformerModel

ROWS_PER_WRITE = 1024


@dataclass
class EmbedArguments:
    """What to embed, with which checkpoint, and where to write it."""

    model: str = field(metadata={"help": "Folder or Hub id of a checkpoint, ours or a published one."})
    input: str = field(metadata={"help": "FASTA file, plain or .gz."})
    output: str = field(metadata={"help": "Parquet file to write."})
    revision: str | None = field(
        default=None, metadata={"help": "Branch, tag or commit of the checkpoint on the Hub."}
    )
    overwrite: bool = field(default=False, metadata={"help": "Replace the output file if it is there."})
    batch_size: int = field(default=32, metadata={"help": "Sequences a forward pass."})
    max_length: int | None = field(
        default=None,
        metadata={"help": "Tokens to keep of a sequence, <cls> included; not given: a longer one is an error."},
    )
    allow_pickle: bool = field(
        default=False, metadata={"help": "Load weights in pickle format, where the checkpoint has no others."}
    )


def check_files(args: EmbedArguments) -> None:
    """
    Raises:
        ValueError: If the input is no file, or the output is there already or cannot be.
    """
    output = Path(args.output)
    if not Path(args.input).is_file():
        raise ValueError(f"--input {args.input} is no file; give a FASTA file, plain or .gz.")
    if output.exists() and not args.overwrite:
        raise ValueError(f"--output {output} is there already; name another file, or give --overwrite.")
    if output.exists() and output.samefile(args.input):
        raise ValueError(f"--output {output} is the input itself; name another file.")
    if output.is_dir() or not output.parent.is_dir():
        raise ValueError(f"--output {output} cannot be written: give a file name in a folder that is there.")
    if args.batch_size < 1:
        raise ValueError(f"--batch_size {args.batch_size}: give 1 or more.")


def embed_records(pipeline: DNAEmbeddingPipeline, path: str) -> Iterator[tuple[str, np.ndarray]]:
    """
    Ids and embeddings, (hidden,), in the order of the file.

    Raises:
        CDSFileError: If the file cannot be read as FASTA of nucleotides.
        ValueError: If a sequence cannot be embedded; its record is named.
    """
    taken: deque[Record] = deque()

    def sequences() -> Iterator[str]:
        for record in read_records(path):
            taken.append(record)
            yield record.sequence

    embeddings = iter(pipeline(sequences()))
    while True:
        try:
            embedding = next(embeddings, None)
        except CDSFileError:
            raise
        except ValueError as error:  # the pipeline looks at a sequence as soon as it has taken it
            raise ValueError(f"{path}, record {taken[-1].number} ({taken[-1].id}): {error}") from error
        if embedding is None:
            return
        yield taken.popleft().id, embedding


def write_parquet(rows: Iterable[tuple[str, np.ndarray]], hidden_size: int, output: Path) -> int:
    """Write ids and embeddings to a temporary file and move it into place; returns how many there are."""
    schema = pa.schema([("id", pa.string()), ("embedding", pa.list_(pa.float32(), hidden_size))])
    scratch = output.with_name(f".{output.name}.{os.getpid()}.part")
    num_rows = 0
    rows = iter(rows)  # once: tqdm ends after the first `islice` of it
    try:
        with pq.ParquetWriter(scratch, schema) as writer:
            while chunk := list(islice(rows, ROWS_PER_WRITE)):
                ids, embeddings = zip(*chunk, strict=True)
                vectors = pa.FixedSizeListArray.from_arrays(np.concatenate(embeddings), hidden_size)
                writer.write_table(pa.table([pa.array(ids), vectors], schema=schema))
                num_rows += len(chunk)
        os.replace(scratch, output)
    finally:
        scratch.unlink(missing_ok=True)
    return num_rows


def main() -> None:
    try:
        args = HfArgumentParser(EmbedArguments, allow_abbrev=False).parse_args_into_dataclasses()[0]
        check_files(args)
        files = find_checkpoint(args.model, args.revision, args.allow_pickle)
        model, tokenizer = load_checkpoint(NucleotideTransformerModel, files)
        parameters = {} if args.max_length is None else {"max_length": args.max_length}
        pipeline = DNAEmbeddingPipeline(model, tokenizer, batch_size=args.batch_size, **parameters)
        rows = tqdm(embed_records(pipeline, args.input), desc="embedding", unit=" sequences")
        num_rows = write_parquet(rows, model.config.hidden_size, Path(args.output))
    except (ValueError, OSError) as error:
        print(f"embed.py: error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("embed.py: interrupted; nothing was written.", file=sys.stderr)
        sys.exit(130)
    replaced = f" ({pipeline.num_replaced} letters were read as N)" if pipeline.num_replaced else ""
    print(f"{num_rows} embeddings: {args.output}{replaced}")


if __name__ == "__main__":
    main()
