"""Random numbers -> what benchmarks give embed.py: a checkpoint of any shape, DNA, FASTA files."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

LINE_NT = 60  # of a line in the files of Ensembl
LETTERS = np.frombuffer(b"ACGT", np.uint8)

# As small as a model can be: what is measured with it is everything but the model. 256 tokens are 1,530 nt.
TINY = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 16}
TINY |= {"max_position_embeddings": 258}


def random_dna(num_nt: int, rng: np.random.Generator) -> str:
    return LETTERS[rng.integers(0, 4, num_nt, dtype=np.uint8)].tobytes().decode("ascii")


def write_fasta(path: Path, sequences: Iterable[str]) -> None:
    with open(path, "w", encoding="ascii") as file:
        for number, sequence in enumerate(sequences):
            file.write(f">s{number}\n")
            for start in range(0, len(sequence), LINE_NT):
                file.write(f"{sequence[start : start + LINE_NT]}\n")


def write_checkpoint(folder: Path, **config_fields: Any) -> None:
    """An encoder with random weights and its tokenizer; the fields are those of the configuration."""
    # Here, for a process that measures another one's memory must stay small itself (embed_process.py).
    import torch
    from transformers import logging

    from dnahub.checkpoints.tokenizer import build_tokenizer, nt_vocabulary
    from dnahub.hub_code import NucleotideTransformerConfig, NucleotideTransformerModel

    logging.disable_progress_bar()
    torch.manual_seed(0)
    config = NucleotideTransformerConfig(**config_fields)
    NucleotideTransformerModel(config).save_pretrained(folder)
    build_tokenizer(nt_vocabulary(), config.max_tokens).save_pretrained(folder)
