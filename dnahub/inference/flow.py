"""Input + model -> one file with a row for each sequence, window or span: the work of embed.py and predict.py."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

from dnahub.inference.arguments import OutputArguments, RowOutputArguments
from dnahub.inference.computing import Computed, compute_missing
from dnahub.inference.engine import Engine
from dnahub.inference.model import Job, data_set
from dnahub.inference.outputs import check_columns, check_output, join, skipped_list
from dnahub.inference.parts import Parts
from dnahub.inference.processes import Shard, choose_device, find_shard
from dnahub.inference.progress import Progress, summary
from dnahub.inference.reading import Work, read_blocks
from dnahub.inference.rows import Layout
from dnahub.inference.tracks import TRACKS
from dnahub.inference.variants import VariantScorer
from dnahub.machine.faults import limits_explained
from dnahub.machine.script import is_first_process
from dnahub.sequences.arguments import InputArguments
from dnahub.sequences.bad_records import BadRecords
from dnahub.sequences.sources import open_sequences


def compute_rows(
    program: str,
    inputs: InputArguments,
    output: RowOutputArguments,
    suffixes: Sequence[str],
    load: Callable[[torch.device], Job],
) -> None:
    """
    Compute what is missing and, as the last of several processes, write the output.

    `suffixes` are those that the output may have. Raises ValueError or OSError with what is wrong in one sentence.
    """
    path = Path(output.output)

    # Input
    shard = find_shard(output.shard)
    bad = BadRecords(inputs.bad_records == "skip", unique_ids=not output.allow_duplicate_ids)
    reader = open_sequences(inputs, bad=bad, joins_blocks=path.suffix.lower() not in TRACKS)
    if shard.count > 1 and reader.num_bytes is None and not inputs.dataset_name:
        raise ValueError(f"Standard input and pipes cannot be shared by {shard.count} processes; give a file.")
    # A small output may be there before the last of several processes has started.
    check_output(path, suffixes, inputs.input, output.overwrite or not is_first_process())

    # Model
    disable_progress_bar()  # of the weights
    job = load(choose_device(output.device))
    layout = Layout(
        reader.schema, job.hidden_size, output.output_dtype, job.with_windows, job.per_token, answers=job.answers
    )
    check_columns(path, reader.schema.names, layout)
    parts = Parts(path, job.settings, layout)

    def describe(facts: list[dict[str, Any]], done: Computed, seconds: float) -> str:
        return summary(facts, done.num_parts, done.num_tokens, seconds, job.engine.encoder.backend)

    with limits_explained(path, "a smaller --batch_tokens or --max_length"):
        compute_and_join(
            program=program,
            output=output,
            shard=shard,
            blocks=read_blocks(reader, job, parts, shard),
            computer=job.engine,
            parts=parts,
            num_bytes=reader.num_bytes,
            made_by=lambda: job.settings | data_set(inputs, reader.commit),
            contigs=lambda: reader.contigs,
            bad=bad,
            describe=describe,
        )


def compute_and_join(
    program: str,
    output: OutputArguments,
    shard: Shard,
    blocks: Iterator[Work],
    computer: Engine | VariantScorer,
    parts: Parts,
    num_bytes: int | None,
    made_by: Callable[[], dict[str, Any]],
    contigs: Callable[[], dict[str, int] | None],
    bad: BadRecords,
    describe: Callable[[list[dict[str, Any]], Computed, float], str],
) -> None:
    """
    Compute the blocks that are missing and, as the last of several processes, write the output and print what it is.

    `num_bytes` is the size of the input; `made_by` and `contigs` are called when it was read; `describe` takes what
    all parts say of themselves, what was computed here, and the seconds.
    """
    path, started = Path(output.output), time.perf_counter()
    progress = Progress(program.removesuffix(".py"), num_bytes, is_first_process())
    done = compute_missing(blocks, computer, parts, progress)
    if not shard.joins:
        print(
            f"shard {shard}: {done.num_parts + done.num_reused:,} of {len(done.digests):,} parts, computed now: "
            f"{done.num_parts:,}, in {parts.folder}\nWhen all {shard.count} shards are done, run the same command "
            f"without --shard: it writes {path}."
        )
        return
    is_free = output.overwrite or not path.exists()  # another process may have written it meanwhile
    facts = join(parts, done.digests, path, made_by(), bad, contigs()) if is_free else None
    if facts is not None:
        print(describe(facts, done, time.perf_counter() - started))
        if bad.counts:
            print(f"{bad.summary()}, listed in {skipped_list(path)}")
        print(path)
    elif shard.count > 1:
        print(f"process {shard} is done; the last one writes {path}")
    else:
        raise ValueError(f"{path}: another {program} writes it or has joined its parts; if it failed, run this again.")
