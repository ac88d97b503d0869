"""A block and its embeddings -> what is known of them: kept in the shard, added up for the summary."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from dnahub.inference.engine import Embeddings


@dataclass(frozen=True)
class Counts:
    """
    Numbers that add up from block to block.

    Args:
        sequences: Those of the input.
        rows: Those of the output; more with --long windows.
        nt: Letters of the sequences.
        tokens: Of the sequences, as the model took them; in a repeated sequence or an overlap of windows each time.
        replaced: Letters read as N.
        truncated: Sequences cut off.
        computed_tokens: Tokens that went through the model.
        padding_tokens: Padding that went through the model.
        repeated_pieces: Pieces (sequences or windows, each strand by itself) like another of their block, with which
            they were computed once.
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
        )

    @classmethod
    def total(cls, several: Iterable["Counts"]) -> "Counts":
        each = [asdict(counts) for counts in several]
        return cls(**{field.name: sum(counts[field.name] for counts in each) for field in fields(cls)})

    @property
    def padding_share(self) -> float:
        """Of what went through the model, how much was padding."""
        return self.padding_tokens / max(1, self.padding_tokens + self.computed_tokens)


@dataclass(frozen=True)
class BlockFacts:
    """
    What a shard says of its block.

    Args:
        block: Its number.
        digest: Of ids, sequences and kept columns.
        run: In which run it was computed.
        backend: With what.
        counts: Of the block.
    """

    block: int
    digest: str
    run: str
    backend: str
    counts: Counts

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> "BlockFacts":
        return cls(**(facts | {"counts": Counts(**facts["counts"])}))
