"""Flags that say what to read -> its reader."""

from functools import partial
from typing import TYPE_CHECKING

from dnahub.sequences.arguments import InputArguments
from dnahub.sequences.bad_records import BadRecords
from dnahub.sequences.opening import InputFile
from dnahub.sequences.reader import SequenceReader, open_inputs
from dnahub.sequences.regions import BedFile

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def open_sequences(
    args: InputArguments, api: "HfApi | None" = None, bad: BadRecords | None = None, joins_blocks: bool = True
) -> SequenceReader:
    """
    Look at all that is to be read, and open the first of it.

    Args:
        args: Files, regions of a genome, or a data set.
        api: Who asks for a data set, and which Hub; default the user of the environment.
        bad: As that of `SequenceReader`.
        joins_blocks: As that of `BedFile`.

    Raises:
        ValueError: If the arguments do not go together.
        SequenceFileError: If an input is not there, is empty, may not be read, is of a format that is not known or
            another than the first, or lacks a column.
        HubError: If the Hub has no such data set or revision, or does not answer.
    """
    _check_arguments(args)
    if args.dataset_name:
        from dnahub.sequences.dataset import find_dataset  # here, for loading `datasets` takes a second

        found = find_dataset(args.dataset_name, args.dataset_config_name, args.dataset_revision, api)
        # Those that it has chosen, for what records them.
        args.dataset_config_name, args.dataset_split = found.config, found.choose(args.dataset_split)
        return found.open(found.paths[args.dataset_split], args, bad=bad)
    files = [InputFile(path) for path in args.input]
    if args.bed:
        opener = partial(BedFile, genome=files[0], joins_blocks=joins_blocks)
        return SequenceReader([InputFile(args.bed)], opener, args, bad=bad)
    return open_inputs(files, args, bad=bad)


def _check_arguments(args: InputArguments) -> None:
    if args.bed and (len(args.input) != 1 or args.format not in (None, "fasta")):
        raise ValueError("--bed needs exactly one --input, a genome as FASTA; it does not go with --dataset_name.")
    if bool(args.input) == bool(args.dataset_name):
        raise ValueError("give either --input or --dataset_name; one of them, and not both.")
    if args.dataset_name and args.format:
        raise ValueError("--format is of --input; leave it out with --dataset_name.")
    if args.input and (args.dataset_config_name or args.dataset_split or args.dataset_revision):
        raise ValueError("--dataset_config_name, --dataset_split and --dataset_revision need --dataset_name.")
