"""Many DNA sequences -> their token ids, all at once: by arithmetic for k-mers, otherwise by the tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerFast

from dnahub.checkpoints.tokenizer import kmers_of
from dnahub.hub_code.pipeline_dna_embedding import added_ids, kmer_of

# What a letter becomes; 0 to 3 are the digits of a k-mer's number, in the order of the vocabulary.
_N, _END = 4, 5
_CODES = np.full(256, _N, np.uint8)
for _code, _letters in (*enumerate(("Aa", "TtUu", "Cc", "Gg")), (_END, "\n")):
    _CODES[list(_letters.encode())] = _code


@dataclass(frozen=True)
class Encoded:
    """The tokens of sequences, without those such as `<cls>`, one sequence after the other."""

    ids: np.ndarray  # uint16 or uint32, (all tokens,)
    ends: np.ndarray  # int64 (sequences,), where each sequence ends in `ids`
    num_nt: np.ndarray  # uint8 or uint32, (all tokens,), letters that each token stands for


class Encoding:
    """
    What a tokenizer does with DNA sequences.

    Attributes:
        kmer: Letters of a token, None where these differ.
        before, after: The ids that it puts before and after those of a sequence.
        is_arithmetic: Whether the ids are computed, some thirty times as fast as the tokenizer makes them.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast):
        self.tokenizer = tokenizer
        self.before, self.after = added_ids(tokenizer)
        found = kmers_of(tokenizer)
        self.is_arithmetic = found is not None
        self.first_kmer_id, self.kmer = found or (None, kmer_of(tokenizer))

    @property
    def num_added(self) -> int:
        return len(self.before) + len(self.after)

    def encode(self, sequences: Sequence[str]) -> Encoded:
        """The tokens of one sequence or more, without white space."""
        if self.is_arithmetic:
            return encode_kmers(sequences, self.first_kmer_id, self.kmer)
        # Special tokens in the text are read as letters, as by the pipelines.
        rust = self.tokenizer(
            list(sequences),
            add_special_tokens=False,
            split_special_tokens=True,
            verbose=False,
            return_offsets_mapping=True,
        )
        ends = np.cumsum([len(ids) for ids in rust["input_ids"]], dtype=np.int64)
        ids = np.array([i for ids in rust["input_ids"] for i in ids], np.uint32)
        places = np.array([place for each in rust["offset_mapping"] for place in each], np.int64).reshape(-1, 2)
        # Letters between two tokens count with the first of them.
        begins = np.concatenate(([0], ends[:-1]))
        until = np.append(places[1:, 0], 0)
        until[ends[ends > begins] - 1] = [len(text) for text, n in zip(sequences, ends - begins, strict=True) if n]
        since = places[:, 0].copy()
        since[begins[ends > begins]] = 0
        return Encoded(ids, ends, (until - since).astype(np.uint32))


def encode_kmers(sequences: Sequence[str], first_kmer_id: int, kmer: int) -> Encoded:
    """
    The token ids that the tokenizer of `build_tokenizer` gives, without `<cls>`.

    Between two letters other than A, C, G, T every six letters, or three, are a token, and each remaining one, like
    every N, is a token of one letter. Lower case, U and other letters are read as by the tokenizer.

    Args:
        sequences: One or more, without white space.
        first_kmer_id: Id of AAAAAA.
        kmer: Letters of a k-mer.
    """
    text = "\n".join([*sequences, ""]).encode("ascii", "replace")
    codes = np.frombuffer(text.translate(_CODES.tobytes()), np.uint8)

    # Every stretch of A, C, G, T ends with another letter or with the end of a sequence.
    stretch_ends = np.flatnonzero(codes >= _N)  # (stretches,)
    is_sequence_end = codes[stretch_ends] == _END
    stretch_starts = np.concatenate(([0], stretch_ends[:-1] + 1))
    num_kmers, num_singles = np.divmod(stretch_ends - stretch_starts, kmer)
    ends = np.cumsum(num_kmers + num_singles + ~is_sequence_end)  # in tokens, the N included
    first_letters = ends - ~is_sequence_end - num_singles
    first_kmers = first_letters - num_kmers
    ids, num_nt = np.empty(ends[-1], np.uint16), np.ones(ends[-1], np.uint8)

    in_stretch, which = owners_and_ranks(num_kmers)
    at = stretch_starts[in_stretch] + kmer * which  # (k-mers,), where they begin
    numbers = np.zeros(len(at), np.uint16)
    for offset in range(kmer):
        numbers += codes[at + offset] * np.uint16(4 ** (kmer - 1 - offset))
    places = first_kmers[in_stretch] + which
    ids[places], num_nt[places] = first_kmer_id + numbers, kmer

    first_letter_id = first_kmer_id + 4**kmer
    in_stretch, which = owners_and_ranks(num_singles)
    letters = codes[stretch_starts[in_stretch] + kmer * num_kmers[in_stretch] + which]
    ids[first_letters[in_stretch] + which] = first_letter_id + letters.astype(np.uint16)
    ids[ends[~is_sequence_end] - 1] = first_letter_id + _N
    return Encoded(ids, ends[is_sequence_end], num_nt)


def owners_and_ranks(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For counts (2, 0, 3): the owner of each item, (0, 0, 2, 2, 2), and its rank there, (0, 1, 0, 1, 2)."""
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(len(owner)) - (np.cumsum(counts) - counts)[owner]
