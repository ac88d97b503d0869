"""Input + model -> one file with a row for each sequence, window or span: the work of embed.py and predict.py."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers.utils.logging import disable_progress_bar

from dnahub.inference.arguments import OutputArguments
from dnahub.inference.computing import compute_missing
from dnahub.inference.model import Job, data_set
from dnahub.inference.outputs import check_columns, check_output, join, skipped_list
from dnahub.inference.parts import Parts
from dnahub.inference.processes import choose_device, find_shard
from dnahub.inference.progress import Progress, summary
from dnahub.inference.reading import read_blocks
from dnahub.inference.rows import Layout
from dnahub.inference.tracks import TRACKS
from dnahub.machine.faults import limits_explained
from dnahub.machine.script import is_first_process
from dnahub.sequences.arguments import InputArguments
from dnahub.sequences.bad_records import BadRecords
from dnahub.sequences.sources import open_sequences


def compute_rows(
    program: str,
    inputs: InputArguments,
    output: OutputArguments,
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
    started = time.perf_counter()

    with limits_explained(path, "a smaller --batch_tokens or --max_length"):
        # Blocks
        parts = Parts(path, job.settings, layout)
        blocks = read_blocks(reader, job, parts, shard)
        progress = Progress(program.removesuffix(".py"), reader.num_bytes, is_first_process())
        done = compute_missing(blocks, job.engine, parts, progress)
        if not shard.joins:
            print(
                f"shard {shard}: {done.num_parts + done.num_reused:,} of {len(done.digests):,} parts, computed now: "
                f"{done.num_parts:,}, in {parts.folder}\nWhen all {shard.count} shards are done, run the same command "
                f"without --shard: it writes {path}."
            )
            return

        # Output
        made_by = job.settings | data_set(inputs, reader.commit)
        is_free = output.overwrite or not path.exists()  # another process may have written it meanwhile
        facts = join(parts, done.digests, path, made_by, bad, reader.contigs) if is_free else None
    if facts is not None:
        seconds = time.perf_counter() - started
        print(summary(facts, done.num_parts, done.num_tokens, seconds, job.engine.encoder.backend))
        if bad.counts:
            print(f"{bad.summary()}, listed in {skipped_list(path)}")
        print(path)
    elif shard.count > 1:
        print(f"process {shard} is done; the last one writes {path}")
    else:
        raise ValueError(f"{path}: another {program} writes it or has joined its parts; if it failed, run this again.")
