"""DNA sequences -> embeddings, in less time than the pipeline takes, for one that nobody edits while it runs."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from dnahub.checkpoints.tokenizer import first_kmer_id
from dnahub.hub_code.modeling_nucleotide_transformer import NucleotideTransformerModel
from dnahub.hub_code.pipeline_dna_embedding import BATCH_TOKENS, Cutting, batches_of, complete_settings, pool
from dnahub.inference.cutting import Pieces, begins_of, combine, cut, padded
from dnahub.inference.encoding import owners_and_ranks
from dnahub.inference.fused import FusedEncoder, can_fuse


@dataclass(frozen=True)
class Plan:
    """Sequences that are cut and tokenised, the distinct pieces of each batch, and the arguments of the pipeline."""

    pieces: Pieces
    batches: list[np.ndarray]
    settings: dict[str, Any]


@dataclass(frozen=True)
class Embeddings:
    """
    The result of a plan: a row per sequence, or, with `long="windows"`, per window.

    The counts are `sequences`, `rows`, `nt`, `tokens` and `vectors`; letters `replaced` by N; `truncated` sequences;
    `repeats` (pieces that equal another and were not computed); `computed` and `padding` tokens.
    """

    vectors: np.ndarray  # float32 (rows, hidden), with `pooling="none"` (tokens of all rows, hidden)
    sequence: np.ndarray  # int64 (rows,), which sequence a row belongs to, ascending
    start: np.ndarray  # int64 (rows,), its place there, in nt without white space, 0-based half-open
    end: np.ndarray
    num_tokens: np.ndarray  # int64 (rows,), `<cls>` included; of a sequence cut into windows, the sum over these
    counts: Counter[str]


class Engine:
    """
    Embeds many sequences: the same vectors as `DNAEmbeddingPipeline`, to 1e-5.

    Args:
        model: The encoder, on its device and in its dtype. Later changes to its weights may not be seen.
        tokenizer: Its tokenizer.
        backend: `"torch"`, the model's own forward; `"fused"`, the same in fewer passes over the memory, for NT-v2 in
            float32 on a CPU; `"auto"`, `"fused"` where it can be.
        batch_tokens: The most tokens of a forward pass, padding included; default by the device.
    """

    def __init__(
        self,
        model: NucleotideTransformerModel,
        tokenizer: PreTrainedTokenizerFast,
        backend: str = "auto",
        batch_tokens: int | None = None,
    ):
        if backend == "fused" and not can_fuse(model):
            raise ValueError("The backend 'fused' is for an NT-v2 in float32 on a CPU, without adapters; give 'auto'.")
        self.model, self.tokenizer = model, tokenizer
        self.batch_tokens = batch_tokens or BATCH_TOKENS["cpu" if model.device.type == "cpu" else "other"]
        self._first_kmer_id = first_kmer_id(tokenizer)
        self.backend = "fused" if backend != "torch" and can_fuse(model) else "torch"
        self._fused = FusedEncoder(model) if self.backend == "fused" else None

    def plan(self, sequences: Sequence[str], **settings: Any) -> Plan:
        """All that comes before the model runs, in any thread; the settings are those of `DNAEmbeddingPipeline`."""
        settings = complete_settings(self.model, settings)
        cutting = Cutting(*(settings[name] for name in ("max_length", "long", "window_nt", "stride_nt")))
        pieces = cut(sequences, cutting, self._first_kmer_id, settings["reverse_complement"])
        batches = batches_of(pieces.lengths.tolist(), self.batch_tokens)
        return Plan(pieces, [np.array(batch) for batch in batches], settings)

    def compute(self, plan: Plan, progress: Callable[[int], object] = lambda share: None) -> Embeddings:
        """Run the model; `progress` is called after every batch with its share of all tokens."""
        pieces, settings = plan.pieces, plan.settings
        lengths, per_token = pieces.lengths, settings["pooling"] == "none"
        ends = np.cumsum(lengths)  # of each distinct piece's tokens
        num_rows = int(ends[-1]) if per_token else len(lengths)
        # Into one array: small ones, kept by the thousand, would leave holes in the memory.
        vectors = np.empty((num_rows, self.model.config.hidden_size), np.float32)
        num_padding = sum(int(lengths[batch].max() * len(batch) - lengths[batch].sum()) for batch in plan.batches)
        with closing(self._vectors_of(plan)) as every_batch:  # its threads end with it, also where `progress` raises
            for batch, values in zip(plan.batches, every_batch, strict=True):
                if per_token:
                    for i, tokens in zip(batch, values.numpy(), strict=True):
                        vectors[ends[i] - lengths[i] : ends[i]] = tokens[: lengths[i]]
                else:
                    vectors[batch] = values.numpy()
                progress(int(lengths[batch].sum()) / int(ends[-1]))
        if not np.isfinite(vectors).all():
            raise ValueError(
                f"The model {self.model.name_or_path} gives NaN or infinite numbers as embedding: its weights are "
                f"damaged (download the checkpoint again), or {self.model.dtype} is too narrow (load it in float32)."
            )
        strand, start, end = pieces.strands[0], pieces.start, pieces.end
        num_tokens, sequence = strand.num_tokens, strand.sequence
        if per_token:
            owner, which = owners_and_ranks(num_tokens)
            vectors = vectors[(ends - lengths)[strand.distinct][owner] + which]
        else:
            vectors = combine(pieces, vectors, per_piece=settings["long"] == "windows")
            if len(vectors) < len(sequence):  # one row per sequence, of one window or more
                begins = begins_of(sequence)
                num_tokens = np.add.reduceat(num_tokens, begins)
                end = np.maximum.reduceat(end, begins)
                sequence, start = sequence[begins], start[begins]
        if settings["normalize"]:
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
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
        return Embeddings(vectors, sequence, start, end, num_tokens, counts)

    def _vectors_of(self, plan: Plan) -> Iterator[torch.Tensor]:
        """The vectors of each batch, on the CPU, in the order of the batches."""
        num_threads = torch.get_num_threads()
        if self._fused is None or num_threads == 1 or len(plan.batches) < num_threads:
            before = None
            for batch in plan.batches:
                vectors = self._run(plan, batch)
                # A GPU computes this batch while the vectors of the one before are fetched.
                if before is not None:
                    yield before.cpu()
                before = vectors
            yield before.cpu()
            return
        # Several batches at once, one core each: faster than one after the other on all cores, which wait for each
        # other in every layer.
        torch.set_num_threads(1)  # a thread takes this number with its first product
        try:
            with ThreadPoolExecutor(num_threads) as threads:
                yield from threads.map(lambda batch: self._run(plan, batch), plan.batches)
        finally:
            torch.set_num_threads(num_threads)

    @torch.inference_mode()
    def _run(self, plan: Plan, batch: np.ndarray) -> torch.Tensor:
        ids, mask = padded(plan.pieces, batch, self.tokenizer.cls_token_id, self.tokenizer.pad_token_id)
        try:
            # No name for the hidden states, which would keep them where the pooling does not fit.
            return self._pooled(torch.from_numpy(ids), torch.from_numpy(mask), plan.settings)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            self.batch_tokens = max(1, ids.size // 2)  # of the plans to come
        # Outside of the handler, which would keep what did not fit.
        halves = [self._run(plan, half).cpu() for half in np.array_split(batch, 2)]
        if plan.settings["pooling"] == "none":
            widest = max(half.shape[1] for half in halves)
            halves = [torch.nn.functional.pad(half, (0, 0, 0, widest - half.shape[1])) for half in halves]
        return torch.cat(halves)

    def _pooled(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor, settings: dict[str, Any]) -> torch.Tensor:
        ids_BT, mask_BT = ids_BT.to(self.model.device), mask_BT.to(self.model.device)
        padding_mask_BT, layer = None if mask_BT.all() else mask_BT, settings["layer"]
        if self._fused is not None:
            hidden_states_BTH = self._fused(ids_BT, padding_mask_BT, self.model.num_layers_up_to(layer))
        else:
            outputs = self.model(ids_BT, attention_mask=padding_mask_BT, layer=layer, return_dict=True)
            hidden_states_BTH = outputs.last_hidden_state
        return pool(hidden_states_BTH, mask_BT, settings["pooling"])
