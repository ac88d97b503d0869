"""Files, standard input, regions of a genome or a data set -> checked batches of sequences, as a stream."""
