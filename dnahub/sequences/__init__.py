"""Files, standard input, regions of a genome or a data set -> checked batches of sequences, as a stream."""

from dnahub.sequences.arguments import InputArguments
from dnahub.sequences.checks import SequenceFileError
from dnahub.sequences.reader import SequenceBatch, SequenceReader, open_sequences

__all__ = ["InputArguments", "SequenceBatch", "SequenceFileError", "SequenceReader", "open_sequences"]
