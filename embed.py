r"""Checkpoint + sequences -> their embeddings, in one file.

    python embed.py --model_name_or_path runs/demo/checkpoint --input genes.fa.gz --output genes.parquet
    python embed.py --model_name_or_path InstaDeepAI/nucleotide-transformer-v2-50m-multi-species \
        --input a.fq b.fq --output ab.npy
    accelerate launch --quiet --config_file accelerate_config.yaml --multi_gpu --num_processes 4 \
        embed.py --model_name_or_path runs/demo/checkpoint --input genome.fa --bed genes.bed --output genes.h5ad

The output has a row per sequence, in the order of the input: id, the columns of the source, embedding. Finished parts
are kept in OUTPUT.parts until the output is complete: after a kill, an error or Ctrl-C, the same command computes only
what is missing. Code that comes with a checkpoint is not run.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from dnahub.inference.arguments import EmbedArguments, OutputArguments
from dnahub.machine.arguments import parse
from dnahub.machine.script import run
from dnahub.sequences.arguments import InputArguments


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program with the command line, or with these arguments; errors are raised."""
    groups = (InputArguments, EmbedArguments, OutputArguments)
    inputs, args, output = parse("embed.py", __doc__, groups, arguments)
    path = Path(output.output)

    # Imported here, for these take seconds, and --help and a wrong argument need none of them.
    from transformers.utils.logging import disable_progress_bar

    from dnahub.inference.computing import compute_missing
    from dnahub.inference.model import data_set, load_engine
    from dnahub.inference.outputs import check_output, join, skipped_list
    from dnahub.inference.parts import Parts
    from dnahub.inference.processes import choose_device, find_shard
    from dnahub.inference.progress import Progress, summary
    from dnahub.inference.reading import read_blocks
    from dnahub.inference.rows import Layout
    from dnahub.machine.faults import limits_explained
    from dnahub.machine.script import is_first_process
    from dnahub.sequences.bad_records import BadRecords
    from dnahub.sequences.sources import open_sequences

    # Input
    shard = find_shard(output.shard)
    bad = BadRecords(inputs.bad_records == "skip", unique_ids=not output.allow_duplicate_ids)
    reader = open_sequences(inputs, bad=bad)
    if shard.count > 1 and reader.num_bytes is None and not inputs.dataset_name:
        raise ValueError(f"Standard input and pipes cannot be shared by {shard.count} processes; give a file.")
    # A small output may be there before the last of several processes has started.
    overwrite = output.overwrite or not is_first_process()
    with_windows = args.long == "windows"
    check_output(path, inputs.input, reader.schema.names, with_windows, args.per_token, overwrite)

    # Model
    disable_progress_bar()  # of the weights
    engine, settings = load_engine(args, output, choose_device(output.device))
    layout = Layout(reader.schema, settings["hidden_size"], output.output_dtype, with_windows, args.per_token)
    started = time.perf_counter()

    with limits_explained(path, "a smaller --batch_tokens or --max_length"):
        # Blocks
        parts = Parts(path, settings, layout)
        blocks = read_blocks(reader, args, engine, parts, shard)
        done = compute_missing(blocks, engine, parts, Progress(reader.num_bytes, is_first_process()))
        if not shard.joins:
            print(
                f"shard {shard}: {done.num_parts + done.num_reused:,} of {len(done.digests):,} parts, computed now: "
                f"{done.num_parts:,}, in {parts.folder}\nWhen all {shard.count} shards are done, run the same command "
                f"without --shard: it writes {path}."
            )
            return

        # Output
        made_by = settings | data_set(inputs, reader.commit)
        is_free = output.overwrite or not path.exists()  # another process may have written it meanwhile
        facts = join(parts, done.digests, path, made_by, bad) if is_free else None
    if facts is not None:
        seconds = time.perf_counter() - started
        print(summary(facts, done.num_parts, done.num_tokens, seconds, engine.backend))
        if bad.counts:
            print(f"{bad.summary()}, listed in {skipped_list(path)}")
        print(path)
    elif shard.count > 1:
        print(f"process {shard} is done; the last one writes {path}")
    else:
        raise ValueError(f"{path}: another embed.py writes it or has joined its parts; if it failed, run this again.")


if __name__ == "__main__":
    run("embed.py", main, goes_on="finished parts are kept, and the same command computes only what is missing")
