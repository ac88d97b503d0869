"""Input -> its blocks one after the other: compared with the shards that are there, planned where they are missing."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from dnahub.hub_code.pipeline_dna_embedding import Cutting, SequenceError
from dnahub.inference import blocks
from dnahub.inference.arguments import Arguments
from dnahub.inference.blocks import SEQUENCE, Block, cut_into_blocks, digest, max_nt_of_block
from dnahub.inference.engine import Engine, Plan
from dnahub.inference.ids import Repeat, SeenIds
from dnahub.inference.processes import Processes
from dnahub.inference.shards_folder import ShardsFolder
from dnahub.sequences import SequenceFileError, SequenceReader, open_sequences


class InputError(ValueError):
    """
    What is wrong with the input, and can be mended; the message names file and record.

    Args:
        message: One sentence.
        block: From which block on the input may be another when it is mended.
    """

    def __init__(self, message: str, block: int):
        super().__init__(message)
        self.block = block


class ChangedInputError(ValueError):
    """The input is not the one that finished shards were made of."""


@dataclass(frozen=True)
class Work:
    """
    A block of the input on its way.

    Args:
        number: Which block.
        num_sequences: Its sequences.
        num_nt: Their letters.
        bytes_read: Of the input, when the block was complete.
        digest: Of its records; of the block of another process None, unless this is the first.
        is_finished: Whether its shard was there when this run began.
        rows: Its columns without the sequences, where this process has to compute it; else None.
        plan: What `Engine.compute` takes; else None.
    """

    number: int
    num_sequences: int
    num_nt: int
    bytes_read: int
    digest: str | None = None
    is_finished: bool = False
    rows: pa.Table | None = None
    plan: Plan | None = None


def can_be_read_again(reader: SequenceReader, args: Arguments) -> bool:
    """Files and data sets can; standard input and pipes cannot."""
    return reader.num_bytes is not None or args.input.dataset_name is not None


class BlockReading:
    """
    All blocks of the input, in order; iterated once.

    Args:
        reader: The input.
        args: How to embed it.
        engine: What will embed it.
        folder: Where the shards are.
        processes: The block of number k is computed by process k % count; the first looks for ids that stand twice.

    Raises:
        InputError: While iterating, if the input cannot be read or embedded, has an id twice, or was changed while it
            was read.
        ChangedInputError: While iterating, if a block is not what it was when its shard was made.
        OSError: If the ids cannot be written.
    """

    def __init__(
        self,
        reader: SequenceReader,
        args: Arguments,
        engine: Engine,
        folder: ShardsFolder,
        processes: Processes,
    ):
        self._reader = reader
        self._args = args
        self._engine = engine
        self._folder = folder
        self._processes = processes
        self._before = folder.blocks()
        self._first_fault = folder.first_fault()
        self._seen = SeenIds(folder.ids) if processes.is_first and not args.run.allow_duplicate_ids else None

    def __iter__(self) -> Iterator[Work]:
        settings = self._args.embed.plan_settings
        max_tokens = settings["max_length"] or self._engine.model.config.max_tokens
        cutting = Cutting(max_tokens, settings["long"], settings["window_nt"], settings["stride_nt"])
        max_nt = max_nt_of_block(cutting, self._args.embed.per_token)
        number = 0
        try:
            for block in cut_into_blocks(self._reader, blocks.MAX_SEQUENCES, max_nt):
                yield self._work(block)
                number = block.number + 1
        except SequenceFileError as error:
            self._check_unchanged()  # which would be why
            raise InputError(str(error), number) from error
        self._check_unchanged()
        if self._seen is not None:
            self._seen.close()

    def may_differ(self, number: int) -> bool:
        """Whether the input may be another there than when the shard was made: it was mended, or is overwritten."""
        return self._args.run.overwrite or (self._first_fault is not None and number >= self._first_fault)

    def _work(self, block: Block) -> Work:
        table = block.table
        known = {
            "number": block.number,
            "num_sequences": len(block),
            "num_nt": block.num_nt,
            "bytes_read": self._reader.bytes_read,
        }
        if self._seen is not None:
            repeat = self._seen.add(table["id"].to_pylist())
            if repeat is not None:
                raise InputError(self._told_twice(repeat, block), block.number)
        if block.number % self._processes.count != self._processes.index:
            known["digest"] = digest(table) if self._processes.is_first else None
            return Work(**known, is_finished=block.number in self._before)
        known["digest"] = digest(table)
        facts = self._folder.facts(block.number)
        if facts is not None and facts.digest == known["digest"]:
            return Work(**known, is_finished=True)
        if facts is not None and not self.may_differ(block.number):
            raise ChangedInputError(
                f"{block.place(0)}: the input is not what it was when the finished blocks in {self._folder.path} were "
                "made of it, here or in the records that follow; give that input to go on, --overwrite to compute "
                "anew what differs, or another --output."
            )
        try:
            plan = self._engine.plan(table[SEQUENCE].to_pylist(), **self._args.embed.plan_settings)
        except SequenceError as error:
            raise InputError(f"{block.place(error.index)}: {error}", block.number) from error
        return Work(**known, rows=table.drop_columns(SEQUENCE), plan=plan)

    def _check_unchanged(self) -> None:
        try:
            self._reader.check_unchanged()
        except SequenceFileError as error:
            raise InputError(str(error), 0) from error  # whereabouts, nobody knows

    def _told_twice(self, repeat: Repeat, block: Block) -> str:
        earlier = self._place(repeat.earlier, block)
        return (
            f"{block.place(repeat.later - block.first)}: its id is that of {earlier}, too; give each record an id of "
            "its own, or --allow_duplicate_ids."
        )

    def _place(self, record: int, block: Block) -> str:
        if record >= block.first:
            return block.place(record - block.first)
        if can_be_read_again(self._reader, self._args):
            count = 0
            for batch in open_sequences(self._args.input):
                if record < count + batch.table.num_rows:
                    return batch.place(record - count)
                count += batch.table.num_rows
        return f"record {record + 1} of the input"
