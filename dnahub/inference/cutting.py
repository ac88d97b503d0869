"""DNA sequences -> pieces that the model takes; vectors of pieces -> vectors of sequences."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from dnahub.hub_code.pipeline_dna_embedding import Cutting, SequenceError, count_replaced, reverse_complement
from dnahub.inference.arguments import LONG_IN_WINDOWS
from dnahub.inference.encoding import Encoded, Encoding, owners_and_ranks

# Letters that are encoded at a time: some 8 bytes of memory each, 66 where they are N.
ENCODED_NT = 4_000_000


@dataclass(frozen=True)
class Strand:
    """The pieces of one strand of some sequences, int64 (pieces,); of each sequence at least one, in order."""

    sequence: np.ndarray  # which sequence a piece is of
    num_tokens: np.ndarray  # `<cls>` and the like included
    distinct: np.ndarray  # which of `Pieces.first` and `Pieces.last` are its tokens


@dataclass(frozen=True)
class Pieces:
    """What the model is to see of some sequences."""

    strands: tuple[Strand, ...]  # the sequences' own; and, where both are wanted, the other one
    # int64 (pieces of the first strand,): places in the sequences, in nt without white space, 0-based half-open.
    start: np.ndarray
    end: np.ndarray
    ids: np.ndarray  # uint16 or uint32, the tokens of all pieces, without `<cls>`
    num_nt_of: np.ndarray  # letters of each of these tokens
    # int64 (distinct pieces,): where the tokens of each begin and end in `ids`.
    first: np.ndarray
    last: np.ndarray
    encoding: Encoding
    num_nt: int
    num_replaced: int  # letters other than nucleotide codes, read as N
    num_truncated: int  # sequences whose end was cut off

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of the distinct pieces, `<cls>` and the like included."""
        return self.last - self.first + self.encoding.num_added

    def token_nt(self, piece: np.ndarray, which: np.ndarray) -> np.ndarray:
        """Letters of tokens of the first strand, 0 of `<cls>` and the like: token `which` of each piece, (tokens,)."""
        distinct = self.strands[0].distinct[piece]
        at = self.first[distinct] + which - len(self.encoding.before)
        is_letters = (which >= len(self.encoding.before)) & (at < self.last[distinct])
        return np.where(is_letters, self.num_nt_of[np.minimum(at, len(self.num_nt_of) - 1)], 0).astype(np.int64)


def cut(sequences: Sequence[str], cutting: Cutting, encoding: Encoding, both_strands: bool) -> Pieces:
    """
    Cut what is long, tokenise all, and find what repeats.

    For a mean the other strand is cut as if it had been given, from its own beginning, so that it makes no difference
    which of the two was. Otherwise its pieces are those of the first strand, in the same order.
    """
    letters = ["".join(sequence.split()) for sequence in sequences]
    if "" in letters:
        raise SequenceError("Got an empty sequence, which has no embedding; leave it out.", letters.index(""))
    num_nt = np.array([len(each) for each in letters])
    is_cut = cutting.long in LONG_IN_WINDOWS
    reach = cutting.window + (cutting.long == "error")  # one more tells that it is too long
    sequence, start, end = _spans(num_nt, reach, cutting.stride, is_cut)
    encoded = _encode((letters[i][a:b] for i, a, b in _rows(sequence, start, end)), encoding)
    ids, ends, num_nt_of = encoded.ids, encoded.ends, encoded.num_nt
    # An N is a token of its own, as is each of up to five letters at the end: of these a window may have too many.
    is_long = np.diff(ends, prepend=0) > cutting.max_letters
    if cutting.long == "error" and is_long.any():
        i = int(np.argmax(is_long))
        num_tokens = int(np.diff(ends, prepend=0)[i]) + encoding.num_added if num_nt[i] <= reach else None
        raise cutting.too_long(int(num_nt[i]), num_tokens, i)
    owner, first, last = _cut_tokens(ends, cutting)
    sequence, start, end = sequence[owner], start[owner], end[owner]
    if is_long.any():  # rare, and the places of all tokens take memory
        starts_nt, ends_nt = _places(encoded, owner, first, last)
        start, end = start + starts_nt, start + ends_nt

    strands = [(sequence, first, last)]
    if both_strands:
        if cutting.long == "mean":
            of_texts, a, b = _spans(num_nt, reach, cutting.stride, is_cut)
            a, b = num_nt[of_texts] - b, num_nt[of_texts] - a
        else:
            of_texts, a, b = sequence, start, end
        backward = (reverse_complement(letters[i][a:b]) for i, a, b in _rows(of_texts, a, b))
        more = _encode(backward, encoding)
        owner, first, last = _cut_tokens(more.ends, cutting)
        strands.append((of_texts[owner], first + len(ids), last + len(ids)))
        ids, num_nt_of = np.concatenate((ids, more.ids)), np.concatenate((num_nt_of, more.num_nt))
    firsts, lasts = (np.concatenate([strand[i] for strand in strands]) for i in (1, 2))
    distinct, inverse = _distinct(ids, firsts, lasts)
    return Pieces(
        strands=tuple(
            Strand(of_pieces, last - first + encoding.num_added, own)
            for (of_pieces, first, last), own in zip(strands, np.split(inverse, [len(sequence)]), strict=False)
        ),
        start=start,
        end=end,
        ids=ids,
        num_nt_of=num_nt_of,
        first=firsts[distinct],
        last=lasts[distinct],
        encoding=encoding,
        num_nt=int(num_nt.sum()),
        num_replaced=sum(map(count_replaced, letters)),
        num_truncated=int((is_long | (num_nt > cutting.window)).sum()) if cutting.long == "truncate" else 0,
    )


def _rows(*columns: np.ndarray) -> Iterable[tuple[int, ...]]:
    return zip(*(column.tolist() for column in columns), strict=True)


def _spans(lengths: np.ndarray, size: int, stride: int, is_cut: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Overlapping spans of things so long: which thing, where each begins and ends; only the first unless `is_cut`."""
    beyond = np.maximum(0, lengths - size) if is_cut else np.zeros_like(lengths)
    owner, which = owners_and_ranks(1 - (-beyond // stride))
    return owner, stride * which, np.minimum(stride * which + size, lengths[owner])


def _cut_tokens(ends: np.ndarray, cutting: Cutting) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every piece that the model takes: which text it is of, and where in the ids it begins and ends."""
    starts = np.concatenate(([0], ends[:-1]))
    size, stride, is_cut = cutting.max_letters, cutting.stride_tokens, cutting.long in LONG_IN_WINDOWS
    owner, first, last = _spans(ends - starts, size, stride, is_cut)
    return owner, starts[owner] + first, starts[owner] + last


def _places(encoded: Encoded, owner: np.ndarray, first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where in their texts the pieces begin and end, in nt."""
    before = np.zeros(len(encoded.ids) + 1, np.int64)  # nt before each token
    np.cumsum(encoded.num_nt, out=before[1:])
    begin = before[np.concatenate(([0], encoded.ends[:-1]))][owner]
    return before[first] - begin, before[last] - begin


def _encode(texts: Iterable[str], encoding: Encoding) -> Encoded:
    """`Encoding.encode`, some texts at a time."""
    parts, group, num_nt = [], [], 0
    for text in texts:
        group.append(text)
        num_nt += len(text)
        if num_nt >= ENCODED_NT:
            parts.append(encoding.encode(group))
            group, num_nt = [], 0
    if group:
        parts.append(encoding.encode(group))
    before = np.cumsum([0, *(len(part.ids) for part in parts[:-1])])
    ends = [part.ends + offset for part, offset in zip(parts, before, strict=True)]
    joined = (np.concatenate([getattr(part, name) for part in parts]) for name in ("ids", "num_nt"))
    ids, num_nt_of = joined
    return Encoded(ids, np.concatenate(ends), num_nt_of)


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


def padded(pieces: Pieces, batch: np.ndarray, pad_token_id: int) -> tuple[np.ndarray, np.ndarray]:
    """The tokens of a batch, as the tokenizer gives them, and its mask, int64 (batch, tokens), padded on the right."""
    first, num_letters = pieces.first[batch], pieces.last[batch] - pieces.first[batch]
    before, after = pieces.encoding.before, pieces.encoding.after
    places = np.arange(num_letters.max() + pieces.encoding.num_added) - len(before)
    ids = np.full((len(batch), len(places)), pad_token_id, np.int64)
    ids[:, : len(before)] = before
    is_letter = (places >= 0) & (places < num_letters[:, None])
    ids[is_letter] = pieces.ids[(first[:, None] + places)[is_letter]]
    for i, id in enumerate(after):
        ids[np.arange(len(batch)), len(before) + num_letters + i] = id
    return ids, (places < num_letters[:, None] + len(after)).astype(np.int64)


def combine(pieces: Pieces, vectors: np.ndarray, per_piece: bool) -> list[np.ndarray]:
    """
    Vectors of distinct pieces -> of each strand those of its pieces, or means for each sequence, weighted by the
    tokens of its pieces.
    """
    both = [vectors[strand.distinct] for strand in pieces.strands]
    for i, strand in enumerate(pieces.strands):
        begins = begins_of(strand.sequence)
        if not per_piece and len(begins) < len(both[i]):
            weights = strand.num_tokens.astype(np.float32)
            sums = np.add.reduceat(both[i] * weights[:, None], begins, axis=0)
            both[i] = sums / np.add.reduceat(weights, begins)[:, None]
    return both


def begins_of(sequence: np.ndarray) -> np.ndarray:
    """Where each sequence's first row is, int64 (sequences,), of rows in the order of their sequences."""
    return np.flatnonzero(np.diff(sequence, prepend=-1))
