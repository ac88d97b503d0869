"""Model with random weights -> the same, whose k-mers begin similar where they share letters.

transformers draws an unrelated vector for each of 4,096 6-mers: nothing tells the network that AAAAAA and AAAAAT have
five letters in common, and it has to see each 6-mer often enough to find out. Here a 6-mer begins as the sum of random
vectors of its parts: for each place in it, of the letter there, and of the pair and the triplet that begin there. So
the first layer reads letters, dinucleotides and codons of 6-mers that it has never seen. Scale and weights were chosen
by validation on four tasks: docs/experiments.md.
"""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

INPUT_SCALE = 1.0  # deviation of each number; transformers' own table has 0.02
OUTPUT_SCALE = 0.1  # the same of the output table of masked language modelling
PARTS = (1, 2, 3)  # nt
OUT_OF_FRAME = 0.5  # weight of triplets that are not codons of a sequence read from its first nt


@torch.no_grad()
def compose_kmers(model: PreTrainedModel, vocabulary: Sequence[str]) -> None:
    """
    Overwrite the vectors of k-mers and letters in the input table and, where there is one, in the output table.

    Args:
        model: With random weights; drawn from torch's generator.
        vocabulary: Tokens in the order of their ids; those with other letters than A, C, G, T keep their vectors.
    """
    table = model.get_input_embeddings().weight  # (tokens, hidden)
    ids = [i for i, token in enumerate(vocabulary) if set(token) <= set("ACGT")]
    composed = compose([vocabulary[i] for i in ids], table.shape[1])
    table[ids] = INPUT_SCALE * composed
    if model.get_output_embeddings() is not None:
        model.get_output_embeddings().weight[ids] = OUTPUT_SCALE * composed


def compose(tokens: Sequence[str], hidden_size: int) -> torch.Tensor:
    """Vectors of k-mers, all of one k, and of single letters: (tokens, hidden), each number of deviation 1."""
    k = max(map(len, tokens))
    sums, squares = torch.zeros(len(tokens), hidden_size), torch.zeros(len(tokens), 1)
    for size in PARTS:
        for place in range(k - size + 1):
            weight = OUT_OF_FRAME if size == 3 and place % 3 else 1.0
            # A letter alone has no place: it takes the mean of what it is at each.
            parts = [token[place : place + size] if len(token) == k else token for token in tokens]
            index = {part: i for i, part in enumerate(sorted({part for part in parts if len(part) == size}))}
            vectors = torch.randn(len(index), hidden_size)
            rows = [i for i, part in enumerate(parts) if part in index]
            sums[rows] += weight * vectors[[index[parts[i]] for i in rows]]
            squares[rows] += weight**2
    return sums / squares.sqrt()
