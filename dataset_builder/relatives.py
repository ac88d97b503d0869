"""Genes, or records of any DNA -> groups of relatives, each of which belongs on one side of a split."""

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np

from dataset_builder.cds import CDS

# Two genes are relatives if MIN_SEEDS of their seeds of one kind agree at one offset. A seed is 12 letters of
# successive codons: the first two of six, as relatives differ most in the third, or all three of four. Chosen with
# benchmarks/split_relatives.py: with 5 seeds, more genes are joined that only look alike by chance.
SEEDS, MIN_SEEDS = ((6, 2), (4, 3)), 6  # codons, letters of each
NEIGHBOURS = 32  # copies of a seed that one is compared with, so that a repeat of n copies costs n, not n squared

_COMPLEMENT = str.maketrans("ACGT", "TGCA")
_CODE = np.full(256, 64, dtype=np.uint16)  # 64: not A, C, G or T; more than any codon of these
_CODE[np.frombuffer(b"ACGT", dtype=np.uint8)] = np.arange(4)


def group_relatives(genes: Sequence[CDS]) -> np.ndarray:
    """
    The group of each gene of a species: int64 (genes,), the index of one of its members.

    Genes are in one group if they share a symbol or seeds (see `SEEDS`), or are related through other genes.
    """
    seeds = (_sharing_seeds(genes, *seed) for seed in SEEDS)
    return _join(len(genes), chain(_sharing([cds.symbol for cds in genes]), *seeds))


def group_records(classes: Sequence[Sequence[CDS]]) -> np.ndarray:
    """
    The group of each record of any DNA, of all classes one after the other: int64 (records,).

    Records are in one group if they share a gene, in any class; if they are of one class and share an id or seeds, in
    any frame and on either strand; or if they are related through other records.
    """
    pairs = _sharing([record.symbol for record in chain(*classes)])
    first = 0
    for records in classes:
        # Three frames of one strand and one of the other meet those of a relative in some frame.
        frames = [_in_frame(record, record.sequence[frame:]) for frame in range(3) for record in records]
        frames += [_in_frame(record, record.sequence.translate(_COMPLEMENT)[::-1]) for record in records]
        size = len(records)
        pairs += [(first + a, first + b) for a, b in _sharing([record.gene for record in records])]
        pairs += [(first + group % size, first + i % size) for i, group in enumerate(group_relatives(frames).tolist())]
        first += size
    return _join(first, pairs)


def _in_frame(record: CDS, sequence: str) -> CDS:
    return record._replace(sequence=sequence[: len(sequence) // 3 * 3])


def _join(size: int, pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    parent = list(range(size))

    def root(gene: int) -> int:
        while parent[gene] != gene:
            parent[gene] = gene = parent[parent[gene]]
        return gene

    for a, b in pairs:
        parent[root(b)] = root(a)
    return np.array([root(gene) for gene in range(size)], dtype=np.int64)


def _sharing(names: Sequence[str]) -> list[tuple[int, int]]:
    first: dict[str, int] = {}
    return [(first.setdefault(name, gene), gene) for gene, name in enumerate(names) if name]


def _sharing_seeds(genes: Sequence[CDS], codons: int, letters: int) -> Iterable[tuple[int, int]]:
    gene = np.repeat(np.arange(len(genes)), [len(cds.sequence) // 3 for cds in genes])  # (codons of all genes,)
    text = "".join(cds.sequence for cds in genes).encode("ascii")
    code = _CODE[np.frombuffer(text, dtype=np.uint8).reshape(-1, 3)[:, :letters]]  # (codons of all genes, letters)
    codon = code @ 4 ** np.arange(letters, dtype=np.uint16)
    plain = codon < 4**letters
    places = max(0, len(gene) - codons + 1)
    seeds, known = np.zeros(places, dtype=np.uint64), np.ones(places, dtype=bool)
    for first in range(codons):
        known &= plain[first : first + places]
        seeds = seeds << np.uint64(2 * letters) | codon[first : first + places]
    known &= gene[:places] == gene[codons - 1 :]
    place = np.flatnonzero(known)
    ordered = np.sort(seeds[place] << np.uint64(32) | place.astype(np.uint64))
    seeds, place = ordered >> np.uint64(32), (ordered & np.uint64(0xFFFFFFFF)).astype(np.int64)

    hits, same = [], np.arange(len(seeds))
    for distance in range(1, NEIGHBOURS + 1):
        same = same[same < len(seeds) - distance]
        same = same[seeds[same] == seeds[same + distance]]
        a, b = place[same], place[same + distance]
        others = gene[a] != gene[b]
        hits.append((b - a)[others] << 32 | a[others])
    hits = np.sort(np.concatenate(hits))
    offset, a = hits >> 32, hits & 0xFFFFFFFF
    last = MIN_SEEDS - 1
    alike = offset[last:] == offset[:-last]
    for there in (a, a + offset):
        alike &= gene[there[last:]] == gene[there[:-last]]
    found = np.flatnonzero(alike)
    return np.unique(np.stack([gene[a[found]], gene[(a + offset)[found]]], axis=1), axis=0).tolist()
