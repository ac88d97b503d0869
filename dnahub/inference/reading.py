"""Input -> its blocks one after the other, planned where they are still to be computed."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from dnahub.hub_code.pipeline_dna_embedding import Cutting, SequenceError
from dnahub.inference import blocks
from dnahub.inference.arguments import EmbedArguments
from dnahub.inference.blocks import SEQUENCE, cut_into_blocks, digest, max_nt_of_block
from dnahub.inference.engine import Engine, Plan
from dnahub.inference.parts import Parts
from dnahub.inference.processes import Shard
from dnahub.sequences.reader import SequenceReader


@dataclass(frozen=True)
class Work:
    """A block of the input; the columns without the sequences and the plan, if this process is to compute it."""

    digest: str
    size: tuple[int, int, int]  # bytes of the input, sequences, nt
    is_found: bool = False  # whether its part is complete
    records: pa.Table | None = None
    plan: Plan | None = None


def read_blocks(
    reader: SequenceReader,
    args: EmbedArguments,
    engine: Engine,
    parts: Parts,
    shard: Shard,
) -> Iterator[Work]:
    """All blocks in order, those to be computed here with a plan."""
    settings = args.plan_settings
    max_tokens = settings["max_length"] or engine.model.config.max_tokens
    cutting = Cutting(max_tokens, settings["long"], settings["window_nt"], settings["stride_nt"])
    bytes_before = 0
    for block in cut_into_blocks(reader, blocks.MAX_SEQUENCES, max_nt_of_block(cutting, args.per_token)):
        table = block.table
        known = digest(table), (reader.bytes_read - bytes_before, len(table), block.num_nt)
        bytes_before = reader.bytes_read
        is_found = shard.has(block.number) and parts.find(block.number, known[0]) is not None
        if is_found or not shard.has(block.number):
            yield Work(*known, is_found)
            continue
        try:
            plan = engine.plan(table[SEQUENCE].to_pylist(), **settings)
        except SequenceError as error:
            raise ValueError(f"{block.place(error.index)}: {error}") from error
        yield Work(*known, records=table.drop_columns(SEQUENCE), plan=plan)
    reader.check_unchanged()
