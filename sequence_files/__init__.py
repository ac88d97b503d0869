"""Files, standard input, regions of a genome or a data set -> checked batches of sequences, as a stream."""

from sequence_files.arguments import InputArguments
from sequence_files.checks import SequenceFileError
from sequence_files.reader import SequenceBatch, SequenceReader, open_sequences

__all__ = ["InputArguments", "SequenceBatch", "SequenceFileError", "SequenceReader", "open_sequences"]
