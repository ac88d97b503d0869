"""DNA sequences -> embeddings or answers of a head, in less time than the pipelines take."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from dnahub.hub_code.pipeline_dna_embedding import UNLIMITED_NT, batches_of, complete_settings, cutting_of
from dnahub.inference.cutting import Pieces, begins_of, combine, cut, padded
from dnahub.inference.encoder import Encoder
from dnahub.inference.encoding import owners_and_ranks
from dnahub.inference.readouts import Readout, Vectors
from dnahub.inference.running import Runner

ENCODED_AT_ONCE = 1_024  # sequences


@dataclass(frozen=True)
class Plan:
    """Sequences that are cut and tokenised, the distinct pieces of each batch, and the arguments of the pipeline."""

    pieces: Pieces
    batches: list[np.ndarray]
    settings: dict[str, Any]


@dataclass(frozen=True)
class Results:
    """
    The result of a plan: a row per sequence, or, with `long="windows"`, per window.

    The counts are `sequences`, `rows`, `nt`, `tokens` and `vectors`; letters `replaced` by N; `truncated` sequences;
    `repeats` (pieces that equal another and were not computed); `computed` and `padding` tokens.
    """

    vectors: np.ndarray  # float32 (rows, width of the readout), per token (tokens of all rows, width)
    sequence: np.ndarray  # int64 (rows,), which sequence a row belongs to, ascending
    start: np.ndarray  # int64 (rows,), its place there, in nt without white space, 0-based half-open
    end: np.ndarray
    num_tokens: (
        np.ndarray
    )  # int64 (rows,), `<cls>` and the like included; of a sequence cut into windows, the sum over these
    counts: Counter[str]
    token_nt: np.ndarray | None = None  # int64 (tokens of all rows,), letters of each, if there is a vector of each


class Engine:
    """
    Runs a model on many sequences: the same vectors and answers as the pipelines give, to 1e-5.

    Args:
        model, tokenizer, backend: As those of `Encoder`.
        batch_tokens: The most tokens of a forward pass, padding included; default by the device.
        readout: What is kept of each sequence; default its embedding.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        backend: str = "auto",
        batch_tokens: int | None = None,
        readout: Readout | None = None,
    ):
        self.encoder = Encoder(model, tokenizer, backend)
        self.runner = Runner(self.encoder, batch_tokens)
        self.readout = readout or Vectors()

    def plan(self, sequences: Sequence[str], **settings: Any) -> Plan:
        """All that comes before the model runs, in any thread; the settings are those of `DNAEmbeddingPipeline`."""
        settings = complete_settings(self.encoder, settings)
        cutting = cutting_of(self.encoder, settings)
        if self.readout.cuts_tokens:
            cutting = replace(cutting, window_nt=UNLIMITED_NT, stride_nt=None)
        pieces = cut(sequences, cutting, self.encoder.encoding, settings["reverse_complement"])
        batches = batches_of(pieces.lengths.tolist(), self.runner.batch_tokens)
        return Plan(pieces, [np.array(batch) for batch in batches], settings)

    def compute(self, plan: Plan, progress: Callable[[int], object] = lambda share: None) -> Results:
        """Run the model; `progress` is called after every batch with its share of all tokens."""
        pieces, settings = plan.pieces, plan.settings
        lengths, per_token = pieces.lengths, self.readout.is_per_token(settings)
        ends = np.cumsum(lengths)  # of each distinct piece's tokens
        num_rows = int(ends[-1]) if per_token else len(lengths)
        # Into one array: small ones, kept by the thousand, would leave holes in the memory.
        vectors = np.empty((num_rows, self.readout.width(self.encoder)), np.float32)
        num_padding = sum(int(lengths[batch].max() * len(batch) - lengths[batch].sum()) for batch in plan.batches)
        inputs = partial(padded, pieces, pad_token_id=self.encoder.tokenizer.pad_token_id)
        running = self.runner.run(plan.batches, inputs, lambda ids, mask, _: self._read(ids, mask, settings))
        with closing(running) as every_batch:  # its threads end with it, also where `progress` raises
            for batch, values in zip(plan.batches, every_batch, strict=True):
                if per_token:
                    for i, tokens in zip(batch, values.numpy(), strict=True):
                        vectors[ends[i] - lengths[i] : ends[i]] = tokens[: lengths[i]]
                else:
                    vectors[batch] = values.numpy()
                progress(int(lengths[batch].sum()) / int(ends[-1]))
        if not np.isfinite(vectors).all():
            model = self.encoder.model
            raise ValueError(
                f"The model {model.name_or_path} gives NaN or infinite numbers as {self.readout.name}: its weights "
                f"are damaged (download the checkpoint again), or {model.dtype} is too narrow (load it in float32)."
            )
        strand, start, end = pieces.strands[0], pieces.start, pieces.end
        num_tokens, sequence, token_nt = strand.num_tokens, strand.sequence, None
        if per_token:
            owner, which = owners_and_ranks(num_tokens)
            token_nt = pieces.token_nt(owner, which)
            vectors = self.readout.join([vectors[(ends - lengths)[strand.distinct][owner] + which]], settings)
        else:
            vectors = self.readout.join(combine(pieces, vectors, settings["long"] == "windows"), settings)
            if len(vectors) < len(sequence):  # one row per sequence, of one window or more
                begins = begins_of(sequence)
                num_tokens = np.add.reduceat(num_tokens, begins)
                end = np.maximum.reduceat(end, begins)
                sequence, start = sequence[begins], start[begins]
        counts = Counter(
            sequences=int(sequence[-1]) + 1,
            rows=len(sequence),
            nt=pieces.num_nt,
            tokens=int(num_tokens.sum()),
            replaced=pieces.num_replaced,
            truncated=pieces.num_truncated,
            repeats=sum(len(each.distinct) for each in pieces.strands) - len(pieces.first),
            computed=int(ends[-1]),
            padding=num_padding,
            vectors=len(vectors),
        )
        return Results(vectors, sequence, start, end, num_tokens, counts, token_nt)

    def encode(self, sequences: Sequence[str], show_progress: bool = False) -> np.ndarray:
        """The mean vectors of all sequences, long ones in windows: float32 (sequences, width of the readout)."""
        parts = []
        with tqdm(total=len(sequences), unit=" sequences", disable=not show_progress) as bar:
            for start in range(0, len(sequences), ENCODED_AT_ONCE):
                some = sequences[start : start + ENCODED_AT_ONCE]
                parts.append(self.compute(self.plan(some, long="mean")).vectors)
                bar.update(len(some))
        return np.concatenate(parts)

    def _read(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor, settings: dict[str, Any]) -> torch.Tensor:
        return self.readout.read(self.encoder, ids_BT, mask_BT, settings)
