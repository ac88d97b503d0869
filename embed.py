"""Checkpoint + sequences -> their embeddings, in one file.

    python embed.py --model runs/demo/checkpoint --input genes.fa.gz --output genes.parquet
    python embed.py --model InstaDeepAI/nucleotide-transformer-v2-50m-multi-species --input a.fq b.fq --output ab.npy
    accelerate launch --config_file accelerate_config.yaml --num_processes 4 \
        embed.py --model runs/demo/checkpoint --input genome.fa --bed genes.bed --output genes.h5ad

A row a sequence, in the order of the input: `id`, the columns of the source, `embedding`. While it is made, finished
parts lie in OUTPUT.shards/: after a kill, an error or Ctrl-C the same command computes only what is missing, with as
many processes as it is then given. No code of the checkpoint is run.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from transformers.utils.logging import disable_progress_bar

from dnahub.inference.arguments import parse_arguments
from dnahub.inference.reading import InputError
from dnahub.inference.run import check, embed
from dnahub.inference.shards_folder import ShardsFolder
from dnahub.inference.threads import READING
from dnahub.machine.processes import is_first_process, num_launched

ERROR = 2
SECONDS_OF_THE_FIRST = 10  # to tell, before another process does


class Terminated(BaseException):
    """SIGTERM came."""


def on_sigterm(number: int, frame: object) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # it may come twice, from a launcher and to its group
    raise Terminated


def end(status: int) -> NoReturn:
    """Exit without waiting for a thread that is stuck in a read of standard input, or for other processes."""
    sys.stdout.flush()
    sys.stderr.flush()
    if num_launched() > 1 or any(thread.name == READING for thread in threading.enumerate()):
        os._exit(status)
    sys.exit(status)


def fail(message: str, status: int, folder: ShardsFolder | None, command: str | None = None) -> NoReturn:
    """
    One sentence, by one of the processes, and the status.

    Args:
        message: What happened.
        status: Of this process.
        folder: Of the shards; None before the arguments are known.
        command: What goes on from the finished blocks, where that has to be said.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # no further one is of interest
        signal.signal(number, signal.SIG_DFL)
    if num_launched() > 1:
        if folder is not None and folder.is_open:
            if folder.is_told():
                end(status)
        elif not is_first_process():  # the first most likely fails at the same, and then the launcher ends this one
            time.sleep(SECONDS_OF_THE_FIRST)
    elif folder is not None:
        folder.remove_if_nothing_is_finished()
    if command is not None:
        num_blocks = len(folder.blocks()) if folder is not None else 0
        blocks = "1 finished block" if num_blocks == 1 else f"{num_blocks} finished blocks"
        stays = f"{blocks} in {folder.path}, where {command} goes on" if num_blocks else "nothing was written"
        message += f" ({stays})"
    after_the_bar = "" if is_first_process() else "\n"  # which the first process shows, and has not closed
    print(f"{after_the_bar}embed.py: {' '.join(message.split())}", file=sys.stderr)
    end(status)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program with the command line, or with these arguments."""
    disable_progress_bar()  # of loading the weights
    folder = None
    try:
        args = parse_arguments(sys.argv[1:] if arguments is None else arguments)
        reader = check(args)
        folder = ShardsFolder(Path(args.run.output))
        summary = embed(args, reader, folder)
    except InputError as error:
        folder.note_fault(error.block)
        fail(f"error: {error}", ERROR, folder, "the same command, when the input is mended,")
    except (ValueError, OSError, ImportError) as error:
        fail(f"error: {error}", ERROR, folder)
    except (KeyboardInterrupt, Terminated) as stop:
        by, number = ("SIGTERM", signal.SIGTERM) if isinstance(stop, Terminated) else ("Ctrl-C", signal.SIGINT)
        if not is_first_process():
            end(128 + number)
        fail(f"interrupted by {by}", 128 + number, folder, "the same command")
    finally:
        if folder is not None:
            folder.release()
    if summary is not None:
        print(summary)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, on_sigterm)
    main()
