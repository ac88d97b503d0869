"""Input -> its blocks one after the other, planned where they are still to be computed."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from dnahub.hub_code.pipeline_dna_embedding import SequenceError, complete_settings, cutting_of
from dnahub.inference import blocks
from dnahub.inference.blocks import SEQUENCE, cut_into_blocks, digest, max_nt_of_block
from dnahub.inference.engine import Plan
from dnahub.inference.model import Job
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
    job: Job,
    parts: Parts,
    shard: Shard,
) -> Iterator[Work]:
    """All blocks in order, those to be computed here with a plan."""
    engine = job.engine
    settings = complete_settings(engine.encoder, job.plan_settings)
    per_token = engine.readout.is_per_token(settings)
    max_nt = max_nt_of_block(cutting_of(engine.encoder, settings), per_token)
    bytes_before = 0
    for block in cut_into_blocks(reader, blocks.MAX_SEQUENCES, max_nt):
        table = block.table
        known = digest(table), (reader.bytes_read - bytes_before, len(table), block.num_nt)
        bytes_before = reader.bytes_read
        is_found = shard.has(block.number) and parts.find(block.number, known[0]) is not None
        if is_found or not shard.has(block.number):
            yield Work(*known, is_found)
            continue
        try:
            plan = engine.plan(table[SEQUENCE].to_pylist(), **job.plan_settings)
        except SequenceError as error:
            raise ValueError(f"{block.place(error.index)}: {error}") from error
        yield Work(*known, records=table.drop_columns(SEQUENCE), plan=plan)
    reader.check_unchanged()
