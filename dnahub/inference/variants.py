"""
Alleles and a genome -> scores of variants: what the model makes of the alternative instead of the reference.

Each allele is seen in a window of the genome, at the place of the reference, both strands averaged where asked for.

- `llr`: the log-likelihood ratio of the tokens in which the two differ, all of them masked: log P(alternative's) less
  log P(reference's), summed over the tokens (DART-Eval, https://arxiv.org/abs/2412.05430). Of a variant in one token
  it is also that of TraitGym (https://doi.org/10.1101/2025.02.11.637758), which masks the middle token.
- `l2`, `cosine`, `inner`: of the mean vectors of both windows in the last layer, over all tokens, and over those
  around the variant (`_near`).
- change of each logit and probability of a fine-tuned head.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from dnahub.hub_code.pipeline_dna_embedding import batches_of, pool, reverse_complement
from dnahub.inference.encoder import Encoder
from dnahub.inference.readouts import ACTIVATIONS
from dnahub.inference.running import Read, Runner
from dnahub.sequences.regions import Genome

LLR, DISTANCE, CHANGE = "llr", "distance", "change"
DISTANCES = ("l2", "cosine", "inner")
NEAR_TOKENS = 2  # on each side of the tokens that a variant touches
# What `status` says of an allele.
SCORED, SYMBOLIC, MISMATCH, TOO_LONG = "scored", "symbolic allele", "reference mismatch", "longer than the window"
UNKNOWN = "no such chromosome"
TOO_MANY_TOKENS = "more tokens than the model takes"
SEVERAL_TOKENS = "several tokens"  # which --llr middle does not take; other scores are there
LETTERS = frozenset("ACGT")


@dataclass(frozen=True)
class Allele:
    """A variant with one alternative; `start` is 0-based."""

    chrom: str
    start: int
    ref: str
    alt: str


@dataclass(frozen=True)
class Window:
    """Both alleles in their surroundings, on one strand, of one length; before `place` they are the same."""

    ref: str
    alt: str
    place: int  # where the alleles begin
    num_ref: int  # their letters
    num_alt: int


@dataclass(frozen=True)
class Settings:
    """How variants are scored; the fields are those of `variants.py`."""

    scores: tuple[str, ...]  # of LLR, DISTANCE, CHANGE
    window_nt: int
    reverse_complement: bool
    offsets: int
    middle_only: bool  # whether `llr` is of variants in one token alone


def status_of(allele: Allele, genome: Genome, settings: Settings, kmer: int) -> str:
    """Whether it can be scored, and why not."""
    if not allele.alt or not set(allele.alt + allele.ref) <= LETTERS or allele.start < 0:
        return SYMBOLIC
    if allele.chrom not in genome.num_nt:
        return UNKNOWN
    end = allele.start + len(allele.ref)
    if end > genome.num_nt[allele.chrom] or genome.fetch(allele.chrom, allele.start, end).upper() != allele.ref:
        return MISMATCH
    before = [_before(settings.window_nt, kmer, shift) for shift in range(settings.offsets)]
    fits = max(before) + max(len(allele.ref), len(allele.alt)) <= settings.window_nt
    return SCORED if fits and len(allele.alt) - len(allele.ref) <= min(before) else TOO_LONG


def _before(window_nt: int, kmer: int, shift: int) -> int:
    """Letters before the variant: half of the k-mers of the window, and half of the one in which it is."""
    return window_nt // kmer // 2 * kmer + (kmer // 2 + shift) % kmer


def windows_of(allele: Allele, genome: Genome, window_nt: int, kmer: int, shift: int = 0) -> tuple[Window, Window]:
    """
    `window_nt` letters around an allele on both strands, fewer at the ends of a chromosome.

    The variant is in the middle k-mer, in its middle, `shift` letters later, counted round. Where the chromosome
    begins later, whole k-mers are left out. Of the other strand, the window of the reference is the same stretch; that
    of an alternative of another length begins there, too, and ends elsewhere, at most `window_nt` letters later.
    """
    chrom, at, num_ref, num_alt = allele.chrom, allele.start, len(allele.ref), len(allele.alt)
    start = at - _before(window_nt, kmer, shift)
    end = min(genome.num_nt[chrom], start + window_nt)
    if start < 0:
        start += -(start // kmer) * kmer
        start = start if start <= at else 0  # its k-mer would begin before the chromosome
    left, right = genome.fetch(chrom, start, at), genome.fetch(chrom, at + num_ref, end)
    more_right = genome.fetch(chrom, at + num_ref, min(genome.num_nt[chrom], end + max(0, num_ref - num_alt)))
    more_left = genome.fetch(chrom, max(0, start - max(0, num_ref - num_alt)), at)
    ref = (left + allele.ref + right).upper()
    forward = (left + allele.alt + more_right).upper()[:window_nt]
    backward = (more_left + allele.alt + right).upper()[-window_nt:]
    return (
        Window(ref, forward, len(left), num_ref, num_alt),
        Window(reverse_complement(ref), reverse_complement(backward), len(right), num_ref, num_alt),
    )


class _Pieces:
    """Distinct token sequences, without `<cls>` and the like, and what else tells them apart."""

    def __init__(self):
        self.ids: list[np.ndarray] = []
        self.keys: list[Any] = []
        self._known: dict[tuple, int] = {}

    def add(self, ids: np.ndarray, key: Any) -> int:
        """The number of the piece, the same for the same tokens and key."""
        number = self._known.setdefault((ids.tobytes(), key), len(self.ids))
        if number == len(self.ids):
            self.ids.append(ids)
            self.keys.append(key)
        return number


@dataclass(frozen=True)
class VariantPlan:
    """The distinct sequences that the model is to see of a block of alleles."""

    status: list[str]
    masked: _Pieces
    # Of each masked token of each view: piece, place, id, 1 of the alternative or -1 of the reference, allele.
    terms: np.ndarray  # int64 (terms, 5), by piece
    plain: _Pieces  # their keys are the first and last + 1 of the tokens around the variant
    # Of each view (strand, frame) of each allele: the pieces of reference and alternative, allele, strand.
    views: np.ndarray  # int64 (views, 4)
    masked_batches: list[np.ndarray]
    plain_batches: list[np.ndarray]
    num_nt: int


@dataclass(frozen=True)
class VariantResults:
    """A row for each allele; NaN where it is not scored."""

    status: list[str]
    scores: dict[str, np.ndarray]  # float32 (alleles,)
    counts: Counter[str]


class VariantScorer:
    """
    Scores alleles by an encoder, with a head for masked tokens or a fine-tuned one or none.

    Args:
        encoder: The model.
        genome: Where the alleles lie.
        settings: Which scores, and how.
        problem, names: What the head gives, and of what, where `settings` ask for the change of it.
        batch_tokens: As of `Runner`.
    """

    def __init__(
        self,
        encoder: Encoder,
        genome: Genome,
        settings: Settings,
        problem: str | None = None,
        names: Sequence[str] = (),
        batch_tokens: int | None = None,
    ):
        self.encoder, self.genome, self.settings = encoder, genome, settings
        self.problem, self.names = problem, list(names)
        self.runner = Runner(encoder, batch_tokens)

    @property
    def columns(self) -> list[str]:
        """The names of the scores, in their order."""
        columns = [LLR] if LLR in self.settings.scores else []
        if DISTANCE in self.settings.scores:
            columns += [f"{name}{where}" for where in ("", "_near") for name in DISTANCES]
        if CHANGE in self.settings.scores:
            if self.problem == "regression":
                columns += [f"d_{name}" for name in self.names]
            else:
                columns += [f"d_{what}_{name}" for what in ("logit", "p") for name in self.names]
        return columns

    def plan(self, alleles: Sequence[Allele]) -> VariantPlan:
        """All that comes before the model runs, in any thread."""
        settings, kmer, most = self.settings, self.encoder.kmer or 1, self.encoder.max_tokens - self.encoder.num_added
        status = [status_of(allele, self.genome, settings, kmer) for allele in alleles]
        windows: list[tuple[int, int, Window]] = []
        for i, allele in enumerate(alleles):
            if status[i] == SCORED:
                for shift in range(settings.offsets):
                    both = windows_of(allele, self.genome, settings.window_nt, kmer, shift)
                    windows += [(i, strand, both[strand]) for strand in range(1 + settings.reverse_complement)]
        tokens = self._encode([text for _, _, window in windows for text in (window.ref, window.alt)])
        masked, plain, terms, views = _Pieces(), _Pieces(), [], []
        for (i, strand, window), ref, alt in zip(windows, tokens[::2], tokens[1::2], strict=True):
            fitting = fit_tokens(window, ref, alt, most)
            if fitting is None:
                status[i] = TOO_MANY_TOKENS
                continue
            ref, alt, place = fitting
            if LLR in settings.scores:
                places = differing(ref[0], alt[0])
                if settings.middle_only and max(map(len, places)) > 1:
                    status[i] = SEVERAL_TOKENS
                for sign, (ids, _), at in ((-1, ref, places[0]), (1, alt, places[1])):
                    hidden = ids.copy()
                    hidden[at] = self.encoder.tokenizer.mask_token_id
                    piece = masked.add(hidden, None)
                    terms += [(piece, place, int(ids[place]), sign, i) for place in at.tolist()]
            if {DISTANCE, CHANGE} & set(settings.scores):
                pieces = []
                for (ids, ends), num in ((ref, window.num_ref), (alt, window.num_alt)):
                    first, last = np.searchsorted(ends, [place, place + num - 1], side="right")
                    near = max(0, int(first) - NEAR_TOKENS), min(len(ids), int(last) + 1 + NEAR_TOKENS)
                    pieces.append(plain.add(ids, near))
                views.append((*pieces, i, strand))
        batches = [
            [np.array(batch) for batch in batches_of([len(ids) for ids in each.ids], self.runner.batch_tokens)]
            for each in (masked, plain)
        ]
        num_nt = sum(len(window.ref) for _, _, window in windows)
        terms = np.array(sorted(terms), np.int64).reshape(-1, 5)
        views = np.array(views, np.int64).reshape(-1, 4)
        return VariantPlan(status, masked, terms, plain, views, *batches, num_nt)

    def _encode(self, texts: list[str]) -> list["Tokens"]:
        distinct = list(dict.fromkeys(texts))
        if not distinct:
            return []
        encoded = self.encoder.encoding.encode(distinct)
        bounds = np.concatenate(([0], encoded.ends))
        made = {}
        for text, a, b in zip(distinct, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            made[text] = encoded.ids[a:b], np.cumsum(encoded.num_nt[a:b], dtype=np.int64)
        return [made[text] for text in texts]

    def compute(self, plan: VariantPlan, progress: Callable[[float], object] = lambda share: None) -> VariantResults:
        """Run the model; `progress` is called after every batch with its share of all tokens."""
        num_tokens = [[len(ids) for ids in pieces.ids] for pieces in (plan.masked, plan.plain)]
        total = max(1, sum(map(sum, num_tokens)))
        scores: dict[str, np.ndarray] = {}
        if LLR in self.settings.scores:
            starts = np.searchsorted(plan.terms[:, 0], np.arange(len(plan.masked.ids) + 1))  # of the pieces' terms

            def read(ids_BT: torch.Tensor, mask_BT: torch.Tensor, batch: np.ndarray) -> torch.Tensor:
                return self._read_masked(ids_BT, mask_BT, [plan.terms[starts[i] : starts[i + 1]] for i in batch])

            log_probabilities = np.empty(len(plan.terms))
            for batch, values in self._run(plan.masked, plan.masked_batches, read):
                terms = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in batch])
                log_probabilities[terms] = values.numpy()
                progress(sum(num_tokens[0][i] for i in batch) / total)
            num_views = self.settings.offsets * (1 + self.settings.reverse_complement)
            signed = plan.terms[:, 3] * log_probabilities
            scores[LLR] = np.bincount(plan.terms[:, 4], signed, len(plan.status)) / num_views
        if {DISTANCE, CHANGE} & set(self.settings.scores):
            found: list[np.ndarray] = [np.empty(0)] * len(plan.plain.ids)

            def read_plain(ids_BT: torch.Tensor, mask_BT: torch.Tensor, batch: np.ndarray) -> torch.Tensor:
                return self._read_plain(ids_BT, mask_BT, [plan.plain.keys[i] for i in batch])

            for batch, values in self._run(plan.plain, plan.plain_batches, read_plain):
                for i, row in zip(batch, values.numpy(), strict=True):
                    found[i] = row
                progress(sum(num_tokens[1][i] for i in batch) / total)
            scores |= self._compare(plan, np.array(found, np.float64))
        is_scored = np.isin(plan.status, (SCORED, SEVERAL_TOKENS))
        if not all(np.isfinite(each[is_scored]).all() for each in scores.values()):
            raise ValueError(
                f"The model {self.encoder.model.name_or_path} gives NaN or infinite numbers: its weights are damaged "
                "(download the checkpoint again), or its dtype is too narrow (give float32)."
            )
        scores = {name: np.where(is_scored, scores[name], np.nan).astype(np.float32) for name in self.columns}
        if LLR in scores:
            scores[LLR][np.array(plan.status) == SEVERAL_TOKENS] = np.nan
        counts = Counter(plan.status) + Counter(rows=len(plan.status), tokens=total, nt=plan.num_nt)
        return VariantResults(plan.status, scores, counts)

    def _run(self, pieces: _Pieces, batches: list[np.ndarray], read: Read) -> Iterator[tuple[list[int], torch.Tensor]]:
        with closing(self.runner.run(batches, partial(self._padded, pieces), read)) as every_batch:
            for batch, values in zip(batches, every_batch, strict=True):
                yield batch.tolist(), values

    def _padded(self, pieces: _Pieces, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        before, after = self.encoder.encoding.before, self.encoder.encoding.after
        rows = [np.concatenate((before, pieces.ids[i], after)) for i in batch]
        ids = np.full((len(rows), max(map(len, rows))), self.encoder.tokenizer.pad_token_id, np.int64)
        mask = np.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row)], mask[i, : len(row)] = row, 1
        return ids, mask

    def _read_masked(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor, terms: list[np.ndarray]) -> torch.Tensor:
        """The log-probability of each term, one piece's after the other's, (terms,)."""
        rows = np.repeat(np.arange(len(terms)), list(map(len, terms)))
        joined = np.concatenate(terms)
        places, of_term = np.unique(np.stack((rows, joined[:, 1])), axis=1, return_inverse=True)
        rows, places = torch.from_numpy(places).to(ids_BT.device)
        found = self.encoder.log_probabilities(ids_BT, mask_BT, rows, places + len(self.encoder.encoding.before))
        return found[torch.from_numpy(of_term.reshape(-1)), torch.from_numpy(joined[:, 2])]

    def _read_plain(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor, near: list[tuple[int, int]]) -> torch.Tensor:
        """Logits of a head, and the mean vectors of all tokens and of those around the variant, (batch, numbers)."""
        if CHANGE in self.settings.scores:
            logits, states_BTH = self.encoder.logits(ids_BT, mask_BT)
        else:
            states_BTH = self.encoder.hidden_states(ids_BT, mask_BT)
            logits = states_BTH.new_zeros(len(states_BTH), 0)
        states_BTH, before = states_BTH.float(), len(self.encoder.encoding.before)
        near_BT = torch.zeros_like(mask_BT)
        for i, (first, last) in enumerate(near):
            near_BT[i, before + first : before + last] = 1
        return torch.cat((logits.float(), *(pool(states_BTH, each, "mean") for each in (mask_BT, near_BT))), dim=1)

    def _compare(self, plan: VariantPlan, values: np.ndarray) -> dict[str, np.ndarray]:
        """Numbers of each piece, as of `_read_plain` -> distances and changes, means over the views of each allele."""
        num_outputs = len(self.names) if CHANGE in self.settings.scores else 0
        num_alleles = len(plan.status)
        if not len(values):
            return dict.fromkeys(self.columns, np.full(num_alleles, np.nan))
        ref, alt, allele = values[plan.views[:, 0]], values[plan.views[:, 1]], plan.views[:, 2]
        num_views = np.maximum(1, np.bincount(allele, minlength=num_alleles))
        made: dict[str, np.ndarray] = {}

        def mean(of_views: np.ndarray) -> np.ndarray:
            return np.bincount(allele, of_views, num_alleles) / num_views

        if DISTANCE in self.settings.scores:
            size = (values.shape[1] - num_outputs) // 2
            for where, start in (("", num_outputs), ("_near", num_outputs + size)):
                a, b = ref[:, start : start + size], alt[:, start : start + size]
                inner = (a * b).sum(axis=1)
                lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
                made |= {
                    f"l2{where}": mean(np.linalg.norm(a - b, axis=1)),
                    f"cosine{where}": mean(inner / np.maximum(lengths, 1e-30)),
                    f"inner{where}": mean(inner),
                }
        for i, name in enumerate(self.names[:num_outputs]):
            is_number = self.problem == "regression"
            made[f"d_{name}" if is_number else f"d_logit_{name}"] = mean(alt[:, i] - ref[:, i])
            if not is_number:
                p_ref, p_alt = (ACTIVATIONS[self.problem](each[:, :num_outputs])[:, i] for each in (ref, alt))
                made[f"d_p_{name}"] = mean(p_alt - p_ref)
        return made


Tokens = tuple[np.ndarray, np.ndarray]  # the ids of a text, and where each of its tokens ends, in nt


def fit_tokens(window: Window, ref: Tokens, alt: Tokens, most: int) -> tuple[Tokens, Tokens, int] | None:
    """
    At most `most` tokens of either allele, those around the variant, and where it begins in them, in nt.

    A window has more where letters stand alone: around an N, and where a chromosome ends within a k-mer. None if the
    alleles alone have more, or are not preceded by the same tokens.
    """
    longest = max(len(ref[0]), len(alt[0]))
    if longest <= most:
        return ref, alt, window.place
    of_both = ((ref[1], window.num_ref), (alt[1], window.num_alt))
    first = min(int(np.searchsorted(ends, window.place, side="right")) for ends, _ in of_both)
    last = max(int(np.searchsorted(ends, window.place + num - 1, side="right")) for ends, num in of_both)
    start = min(max(0, first - (most - (last + 1 - first)) // 2), longest - most)
    cut = [int(ends[start - 1]) if start else 0 for ends, _ in of_both]
    if last + 1 - first > most or cut[0] != cut[1]:
        return None
    ref, alt = ((ids[start : start + most], ends[start : start + most] - cut[0]) for ids, ends in (ref, alt))
    return ref, alt, window.place - cut[0]


def differing(ref: np.ndarray, alt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the tokens of two sequences differ; of unequally many, all but the beginning and the end they share."""
    if len(ref) == len(alt):
        places = np.flatnonzero(ref != alt)
        return places, places
    shorter = min(len(ref), len(alt))
    same = ref[:shorter] == alt[:shorter]
    first = shorter if same.all() else int(np.argmin(same))
    same = (ref[-shorter:] == alt[-shorter:])[::-1][: shorter - first]
    last = len(same) if same.all() else int(np.argmin(same))
    return np.arange(first, len(ref) - last), np.arange(first, len(alt) - last)
