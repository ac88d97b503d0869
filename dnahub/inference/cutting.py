"""DNA sequences -> pieces in batches of like length; vectors of pieces -> vectors of sequences."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dnahub.hub_code.pipeline_dna_embedding import KMER, Cutting, SequenceError, count_replaced, reverse_complement
from dnahub.inference.encoding import TokenIds, encode, owners_and_ranks

# Letters that are encoded at a time: some 8 bytes of memory each, 66 where they are N.
ENCODED_NT = 4_000_000


@dataclass(frozen=True)
class Strand:
    """
    The pieces of one strand of some sequences; of each sequence at least one, in order.

    Args:
        sequence: int64 (pieces,), which sequence a piece is of.
        num_tokens: int64 (pieces,), `<cls>` included.
        distinct: int64 (pieces,), which of `Pieces.first` and `Pieces.last` are its tokens.
    """

    sequence: np.ndarray
    num_tokens: np.ndarray
    distinct: np.ndarray


@dataclass(frozen=True)
class Pieces:
    """
    What the model is to see of some sequences.

    Args:
        strands: The sequences' own; and, where both are wanted, the other one.
        start, end: int64 (pieces of the first strand,), where they lie in their sequences, in nt that are no white
            space, 0-based half-open.
        ids: uint16, the tokens of all distinct pieces, without `<cls>`.
        first, last: int64 (distinct,), where the tokens of each begin and end in `ids`.
        num_sequences: int.
        num_replaced: int, letters read as N that are none.
        num_truncated: int, sequences of which the end was cut off.
    """

    strands: tuple[Strand, ...]
    start: np.ndarray
    end: np.ndarray
    ids: np.ndarray
    first: np.ndarray
    last: np.ndarray
    num_sequences: int
    num_replaced: int
    num_truncated: int

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of the distinct pieces, `<cls>` included."""
        return self.last - self.first + 1


def cut(sequences: Sequence[str], cutting: Cutting, first_kmer_id: int, both_strands: bool) -> Pieces:
    """
    Cut what is long, turn all into tokens, and find what repeats.

    For a mean the other strand is cut as if it had been given, from its own beginning, so that it makes no difference
    which of the two was. Otherwise its pieces are those of the first strand, in the same order.

    Raises:
        SequenceError: For what is no string, is empty, or is long where that is an error.
    """
    texts = _windows(sequences, cutting, first_kmer_id)
    encoded = _encode(texts, first_kmer_id)
    empty = np.flatnonzero(encoded.num_nt == 0)
    if len(empty):
        index = int(texts.sequence[empty[0]])
        raise SequenceError("Got an empty sequence, which has no embedding; leave it out.", index)
    # An N is a token of its own, as is each of up to five letters at the end: of these a window may have too many.
    too_long = encoded.num_tokens > cutting.max_letters
    if cutting.long == "error" and too_long.any():
        index = int(np.flatnonzero(too_long)[0])
        raise cutting.too_long(len(sequences[index]), int(encoded.num_tokens[index]) + 1, index)
    owner, first, last = _cut_tokens(encoded, cutting)
    start, end = _places(texts, encoded, owner, first, last, first_kmer_id)

    ids, sequence, spans = encoded.ids, texts.sequence, [(owner, first, last)]
    if both_strands:
        if cutting.long == "mean":
            backward = _encode(_OtherStrands(texts), first_kmer_id)
            other, others_first, others_last = _cut_tokens(backward, cutting)
        else:
            backward = _encode(_OtherStrandsOfPieces(texts, owner, start, end), first_kmer_id)
            other, others_first, others_last = owner, backward.starts, backward.ends
        spans.append((other, others_first + len(ids), others_last + len(ids)))
        ids = np.concatenate((ids, backward.ids))
    firsts, lasts = (np.concatenate([span[i] for span in spans]) for i in (1, 2))
    distinct, inverse = _distinct(ids, firsts, lasts)
    cut_off = np.union1d(sequence[too_long], texts.truncated) if cutting.long == "truncate" else ()
    return Pieces(
        strands=tuple(
            Strand(sequence[owner], last - first + 1, own)
            for (owner, first, last), own in zip(spans, np.split(inverse, [len(first)]), strict=False)
        ),
        start=start,
        end=end,
        ids=ids,
        first=firsts[distinct],
        last=lasts[distinct],
        num_sequences=len(sequences),
        # Windows overlap: letters of what was cut into them were counted before.
        num_replaced=texts.num_replaced + int(encoded.num_replaced[texts.num_nt == 0].sum()),
        num_truncated=len(cut_off),
    )


def _cut_tokens(encoded: TokenIds, cutting: Cutting) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every piece that the model takes: which text it is of, and where in the ids it begins and ends."""
    first, last = encoded.starts, encoded.ends
    stride = cutting.stride_tokens
    num_beyond = np.maximum(0, last - first - cutting.max_letters) if cutting.long != "truncate" else 0 * first
    owner, which = owners_and_ranks(1 - (-num_beyond // stride))
    first = first[owner] + stride * which
    return owner, first, np.minimum(first + cutting.max_letters, last[owner])


class _Texts:
    """
    The sequences, or windows of them, which are cut out when they are asked for: together they can be large.

    Args:
        sequences: What the texts are of.
        sequence: int64 (texts,), which of them.
        start: int64 (texts,), where in it a window begins.
        num_nt: int64 (texts,), letters of a window; 0 for a sequence as it is.
        truncated: Which sequences were cut off.
        num_replaced: Letters read as N in sequences that have windows.
    """

    def __init__(
        self, sequences: list[str], places: list[tuple[int, int, int]], truncated: list[int], num_replaced: int
    ):
        self.sequences = sequences
        self.sequence, self.start, self.num_nt = np.array(places, np.int64).reshape(-1, 3).T
        self.truncated, self.num_replaced = np.array(truncated, np.int64), num_replaced

    def __len__(self) -> int:
        return len(self.sequence)

    def __getitem__(self, i: int) -> str:
        text, start, num_nt = self.sequences[self.sequence[i]], self.start[i], self.num_nt[i]
        return text[start : start + num_nt] if num_nt else text


class _OtherStrands:
    """The texts of the other strand, windows of it counted from its own beginning; made when they are asked for."""

    def __init__(self, texts: _Texts):
        self.texts = texts

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, i: int) -> str:
        texts = self.texts
        text, num_nt = texts.sequences[texts.sequence[i]], texts.num_nt[i]
        if num_nt:
            end = len(text) - texts.start[i]
            text = text[end - num_nt : end]
        return reverse_complement(text)


class _OtherStrandsOfPieces:
    """The reverse complement of each piece, made when it is asked for."""

    def __init__(self, texts: _Texts, owner: np.ndarray, start: np.ndarray, end: np.ndarray):
        self.texts, self.owner = texts, owner
        self.start, self.num_nt = start - texts.start[owner], end - start

    def __len__(self) -> int:
        return len(self.owner)

    def __getitem__(self, i: int) -> str:
        text = self.texts[self.owner[i]]
        if len(text) != self.num_nt[i]:
            text = "".join(text.split())[self.start[i] :][: self.num_nt[i]]
        return reverse_complement(text)


def _places(
    texts: _Texts, encoded: TokenIds, owner: np.ndarray, first: np.ndarray, last: np.ndarray, first_kmer_id: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where in their sequences the pieces begin and end, in nt."""
    start = texts.start[owner]
    end = start + encoded.num_nt[owner]
    num_nt_of_id = np.where(np.arange(first_kmer_id + 4**KMER + len("ATCGN")) < first_kmer_id + 4**KMER, KMER, 1)
    whole_first, whole_last = encoded.starts[owner], encoded.ends[owner]
    for piece in np.flatnonzero((first > whole_first) | (last < whole_last)):
        start[piece] += num_nt_of_id[encoded.ids[whole_first[piece] : first[piece]]].sum()
        end[piece] = start[piece] + num_nt_of_id[encoded.ids[first[piece] : last[piece]]].sum()
    return start, end


def _windows(sequences: Sequence[str], cutting: Cutting, first_kmer_id: int) -> _Texts:
    """The sequences, and in place of those that are long by their letters alone, windows of them."""
    kept, places, truncated = [], [], []
    num_replaced = 0
    window, stride = cutting.window, cutting.stride
    for i, sequence in enumerate(sequences):
        if not isinstance(sequence, str):
            raise SequenceError(f"Got {type(sequence).__name__} for a DNA sequence; give a string.", i)
        if len(sequence) > window:
            sequence = "".join(sequence.split())
        kept.append(sequence)
        if len(sequence) <= window:
            places.append((i, 0, 0))
            continue
        if cutting.long == "error":
            num_tokens = len(encode([sequence], first_kmer_id).ids) + 1 if len(sequence) <= ENCODED_NT else None
            raise cutting.too_long(len(sequence), num_tokens, i)
        num_replaced += count_replaced(sequence)
        if cutting.long == "truncate":
            truncated.append(i)
            places.append((i, 0, window))
            continue
        past_last = len(sequence) - window + stride
        places += [(i, start, min(window, len(sequence) - start)) for start in range(0, past_last, stride)]
    return _Texts(kept, places, truncated, num_replaced)


def _encode(texts: _Texts | _OtherStrands | _OtherStrandsOfPieces, first_kmer_id: int) -> TokenIds:
    """All texts, some at a time."""
    parts, group, num_nt = [], [], 0
    for i in range(len(texts)):
        group.append(texts[i])
        num_nt += len(group[-1])
        if num_nt >= ENCODED_NT:
            parts.append(encode(group, first_kmer_id))
            group, num_nt = [], 0
    if group or not parts:
        parts.append(encode(group, first_kmer_id))
    if len(parts) == 1:
        return parts[0]
    before = np.cumsum([0, *(len(part.ids) for part in parts[:-1])])
    return TokenIds(
        ids=np.concatenate([part.ids for part in parts]),
        ends=np.concatenate([part.ends + offset for part, offset in zip(parts, before, strict=True)]),
        num_nt=np.concatenate([part.num_nt for part in parts]),
        num_replaced=np.concatenate([part.num_replaced for part in parts]),
    )


def _distinct(ids: np.ndarray, first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which pieces are the first with their tokens, and for every piece, which of those it is like."""
    known: dict[bytes, int] = {}
    inverse = np.empty(len(first), np.int64)
    distinct = []
    text, width = ids.tobytes(), ids.itemsize
    for i, (a, b) in enumerate(zip((first * width).tolist(), (last * width).tolist(), strict=True)):
        number = known.setdefault(text[a:b], len(distinct))
        if number == len(distinct):
            distinct.append(i)
        inverse[i] = number
    return np.array(distinct, np.int64), inverse


def padded(pieces: Pieces, batch: np.ndarray, cls_token_id: int, pad_token_id: int) -> tuple[np.ndarray, np.ndarray]:
    """The tokens of a batch and its mask, int64 (batch, tokens) each, `<cls>` first, padded on the right."""
    first, num_letters = pieces.first[batch], pieces.last[batch] - pieces.first[batch]
    places = np.arange(num_letters.max())
    mask = places < num_letters[:, None]
    ids = np.full((len(batch), len(places) + 1), pad_token_id, np.int64)
    ids[:, 0] = cls_token_id
    ids[:, 1:][mask] = pieces.ids[(first[:, None] + places)[mask]]
    return ids, np.concatenate((np.ones((len(batch), 1), bool), mask), axis=1).astype(np.int64)


def combine(pieces: Pieces, vectors: np.ndarray, per_piece: bool) -> np.ndarray:
    """
    Vectors of distinct pieces -> of sequences, (sequences, hidden), or, `per_piece`, of pieces.

    Both strands count alike; the pieces of a strand by their tokens.
    """
    both = [vectors[strand.distinct] for strand in pieces.strands]
    if not per_piece:
        both = [_means(own, strand, pieces.num_sequences) for own, strand in zip(both, pieces.strands, strict=True)]
    return both[0] if len(both) == 1 else (both[0] + both[1]) / 2


def _means(vectors: np.ndarray, strand: Strand, num_sequences: int) -> np.ndarray:
    if len(vectors) == num_sequences:
        return vectors
    weights = strand.num_tokens.astype(np.float32)
    begins = begins_of(strand.sequence)
    sums = np.add.reduceat(vectors * weights[:, None], begins, axis=0)
    return sums / np.add.reduceat(weights, begins)[:, None]


def begins_of(sequence: np.ndarray) -> np.ndarray:
    """Where each sequence's first row is, int64 (sequences,), of rows in the order of their sequences."""
    return np.flatnonzero(np.diff(sequence, prepend=-1))
