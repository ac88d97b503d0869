"""Arguments -> every block of the input embedded, in shards, and of these one output."""

import time
import uuid
from pathlib import Path

import pyarrow as pa

from dnahub.checkpoints.identity import checkpoint_digest
from dnahub.inference.arguments import Arguments
from dnahub.inference.engine import Embeddings, Engine
from dnahub.inference.facts import BlockFacts, Counts
from dnahub.inference.faults import memory_told
from dnahub.inference.model import deciding, find_for_all, load_engine, made_by
from dnahub.inference.outputs import check_output, output_files, write_output
from dnahub.inference.outputs_rows import FormatError
from dnahub.inference.processes import join_processes
from dnahub.inference.progress import Progress, Summary, writing_bar
from dnahub.inference.reading import BlockReading, ChangedInputError, Work, can_be_read_again
from dnahub.inference.shards import shard_schema, write_shard
from dnahub.inference.shards_folder import SUFFIX, ShardsFolder
from dnahub.inference.threads import Ahead, Behind
from dnahub.machine.processes import num_launched
from dnahub.sequences import SequenceReader, open_sequences

# What waits between two stages: enough that none waits for another, and few, for each may be of 100 MB.
PLANS_AHEAD = 2
SHARDS_BEHIND = 1


def check(args: Arguments) -> SequenceReader:
    """
    See before the model is loaded that the input can be opened and the output be written.

    Raises:
        ValueError: If one of them cannot.
    """
    output = Path(args.run.output)
    is_windows = args.embed.long == "windows"
    for path in output_files(output) if not args.run.overwrite else []:
        if path.exists():
            folder = ShardsFolder(output)
            left = f" ({folder.path} is left over from making it, and may be removed)" if folder.is_left_over() else ""
            raise ValueError(f"--output {path} is there already{left}; name another file, or give --overwrite.")
    for name in args.input.input:
        if output.exists() and Path(name).exists() and output.samefile(name):
            raise ValueError(f"--output {output} is the input itself; name another file.")
    reader = open_sequences(args.input)
    check_output(output, args.embed.per_token, is_windows, reader.schema.names)
    if num_launched() > 1 and not can_be_read_again(reader, args):
        raise ValueError(
            f"Standard input and pipes cannot be read by {num_launched()} processes; give a file, or launch one."
        )
    return reader


def embed(args: Arguments, reader: SequenceReader, folder: ShardsFolder) -> Summary | None:
    """
    Embed what is missing, and write the output when nothing is.

    Args:
        args: What was asked for.
        reader: From `check`.
        folder: Where the shards lie until all are there.

    Returns:
        What was done; None of a process that is not the first.

    Raises:
        ValueError: If model, input, settings and what is there do not go together, or the machine does not suffice;
            the finished shards stay.
    """
    processes = join_processes(args.run.device)
    files = find_for_all(args.embed, processes)
    engine = load_engine(files, args.embed, args.run, processes.device)
    schema = shard_schema(
        reader.schema,
        engine.model.config.hidden_size,
        args.run.output_dtype,
        with_windows=args.embed.long == "windows",
        per_token=args.embed.per_token,
    )
    weights = checkpoint_digest(files) if processes.is_first else ""
    if processes.is_first:
        folder.begin(deciding(files, weights, args.embed, args.run), args.run.overwrite)
    run = processes.from_first(uuid.uuid4().hex)  # the others go on when the folder is there
    folder.is_open = True
    started = time.perf_counter()
    reading = BlockReading(reader, args, engine, folder, processes)
    digests = _compute_missing(reading, engine, schema, folder, Progress(reader.num_bytes, processes.is_first), run)
    processes.meet()
    processes.part()
    if not processes.is_first:
        return None
    facts = _all_facts(digests, folder, reading)
    backend = ", ".join(sorted({each.backend for each in facts}))
    counts = Counts.total(each.counts for each in facts)
    shards = [folder.shard(each.block) for each in facts]
    made = made_by(files, weights, args.embed, args.run, engine.model.config, backend)
    try:
        with writing_bar(counts.rows) as bar:
            write_output(shards, Path(args.run.output), made, bar.update)
    except FormatError as error:
        raise ValueError(
            f"{error} The finished blocks serve another format, too: rename {folder.path} to the name of the other "
            f"output with {SUFFIX} behind it."
        ) from error
    folder.remove()
    now = [each for each in facts if each.run == run]
    return Summary(
        output=Path(args.run.output),
        counts=counts,
        counts_now=Counts.total(each.counts for each in now),
        blocks=len(facts),
        blocks_now=len(now),
        seconds=time.perf_counter() - started,
        processes=processes.count,
        backend=backend,
    )


def _compute_missing(
    reading: BlockReading,
    engine: Engine,
    schema: pa.Schema,
    folder: ShardsFolder,
    progress: Progress,
    run: str,
) -> list[str]:
    """
    Read and plan in one thread, compute in this one, write in another: the shards of this process's blocks.

    Returns:
        The digests of all blocks, in the first process.
    """
    digests = []

    def write(item: tuple[Work, Embeddings]) -> None:
        work, embeddings = item
        counts = Counts.of(work.num_sequences, work.num_nt, embeddings)
        facts = BlockFacts(work.number, work.digest, run, engine.backend, counts)
        write_shard(folder.shard(work.number), work.rows, embeddings, schema, facts.to_json())

    with progress, Behind(write, SHARDS_BEHIND) as behind, Ahead(reading, PLANS_AHEAD) as ahead:
        for work in ahead:
            digests.append(work.digest)
            if work.is_finished:
                progress.pass_over(work.bytes_read)
                continue
            done = (work.bytes_read, work.num_sequences, work.num_nt)
            if work.plan is None:
                progress.advance(*done)
                continue
            with memory_told():
                embeddings = engine.compute(work.plan, progress.through(*done, work.plan.num_tokens))
            behind.put((work, embeddings))
    return digests


def _all_facts(digests: list[str], folder: ShardsFolder, reading: BlockReading) -> list[BlockFacts]:
    """
    What is known of all blocks, each of which has a shard of this very input.

    Raises:
        ValueError: If one has none.
    """
    facts = []
    for number, digest in enumerate(digests):
        found = folder.facts(number)
        if found is None or found.digest != digest:
            raise ValueError(
                f"{folder.shard(number)} is not there or of another input than the first process read; the same "
                "command makes what is missing, where all processes see the same files."
            )
        facts.append(found)
    for number in sorted(folder.blocks() - set(range(len(digests)))):
        if not reading.may_differ(number):
            raise ChangedInputError(
                f"The input is not what it was: it ends after {len(digests)} blocks, but {folder.shard(number)} is "
                "there; give the whole input to go on, --overwrite to leave out what it no longer has, or another "
                "--output."
            )
        folder.shard(number).unlink()
    return facts
