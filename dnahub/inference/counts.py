"""A block and its embeddings -> numbers that add up to those of the whole input."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

from dnahub.inference.engine import Embeddings


@dataclass(frozen=True)
class Counts:
    """
    Args:
        sequences: Sequences of the input.
        rows: Rows of the output; more than sequences with --long windows.
        nt: Letters of the sequences.
        tokens: Tokens of all rows.
        replaced: Letters read as N.
        truncated: Sequences whose end was cut off.
        computed_tokens: Tokens that went through the model.
        padding_tokens: Padding that went through the model.
        repeated_pieces: Sequences, windows or strands that equal another one of their block and were not computed.
        vectors: Vectors of the output: one per row, or per token.
    """

    sequences: int = 0
    rows: int = 0
    nt: int = 0
    tokens: int = 0
    replaced: int = 0
    truncated: int = 0
    computed_tokens: int = 0
    padding_tokens: int = 0
    repeated_pieces: int = 0
    vectors: int = 0

    @classmethod
    def of(cls, num_sequences: int, num_nt: int, embeddings: Embeddings) -> "Counts":
        return cls(
            sequences=num_sequences,
            rows=len(embeddings.sequence),
            nt=num_nt,
            tokens=int(embeddings.num_tokens.sum()),
            replaced=int(embeddings.num_replaced),
            truncated=int(embeddings.num_truncated),
            computed_tokens=int(embeddings.num_computed_tokens),
            padding_tokens=int(embeddings.num_padding_tokens),
            repeated_pieces=int(embeddings.num_repeats),
            vectors=len(embeddings.vectors),
        )

    @classmethod
    def total(cls, several: Iterable["Counts"]) -> "Counts":
        each = [asdict(counts) for counts in several]
        return cls(**{field.name: sum(counts[field.name] for counts in each) for field in fields(cls)})
