"""DNA sequences -> embeddings, by `pipeline("dna-embedding")`."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import Pipeline
from transformers.dynamic_module_utils import custom_object_save
from transformers.utils import logging

from .backends_nucleotide_transformer import BATCH_TOKENS, Backend, make_backend
from .batching_nucleotide_transformer import (
    LONG,
    Cutting,
    Pieces,
    SequenceError,
    batches_of,
    begins_of,
    buffers,
    combine,
    cut,
    padded,
)
from .encoding_nucleotide_transformer import owners_and_ranks
from .tokenization_nucleotide_transformer import KMER, count_replaced, first_kmer_id  # noqa: F401

logger = logging.get_logger(__name__)

# What is sorted by length at a time: enough that padding is rare, and a few tens of MB.
BUFFER_SEQUENCES = 8192
BUFFER_NT = 2_000_000
# Vectors of tokens take a hundred times the memory of vectors of sequences.
BUFFER_NT_PER_TOKEN = 200_000

POOLINGS = ("mean", "mean_without_cls", "cls", "max", "none")

_process = os.getpid()


def pool(hidden_states_BTH: torch.Tensor, attention_mask_BT: torch.Tensor, pooling: str) -> torch.Tensor:
    """
    One vector a sequence out of its tokens' vectors, in float32; padding never takes part.

    Args:
        hidden_states_BTH: Tokens' vectors, (batch, tokens, hidden), `<cls>` first, padded on the right.
        attention_mask_BT: 1 for tokens, 0 for padding.
        pooling: `"mean"` over all tokens, `<cls>` included, as in the model card of NT; `"mean_without_cls"`;
            `"cls"`; `"max"` over all tokens; `"none"` gives the tokens' vectors back.

    Returns:
        (batch, hidden), for `"none"` (batch, tokens, hidden).
    """
    hidden_states_BTH = hidden_states_BTH.float()
    if pooling == "none":
        return hidden_states_BTH
    if pooling == "cls":
        return hidden_states_BTH[:, 0]
    mask_BT1 = attention_mask_BT[..., None].bool()
    if pooling == "max":
        return hidden_states_BTH.masked_fill(~mask_BT1, -torch.inf).amax(dim=1)
    if pooling == "mean_without_cls":
        hidden_states_BTH, mask_BT1 = hidden_states_BTH[:, 1:], mask_BT1[:, 1:]
    return hidden_states_BTH.masked_fill(~mask_BT1, 0.0).sum(dim=1) / mask_BT1.sum(dim=1)


_DEFAULTS = {
    "pooling": "mean",
    "layer": -1,
    "max_length": None,
    "normalize": False,
    "reverse_complement": False,
    "long": None,
    "window_nt": None,
    "stride_nt": None,
}


@dataclass(frozen=True)
class Plan:
    """What `compute` is to do: sequences cut, tokenised and put into batches; and how."""

    pieces: Pieces
    batches: list[np.ndarray]
    settings: dict[str, Any]

    @property
    def num_tokens(self) -> int:
        """Tokens that the model will see, without padding."""
        return int(self.pieces.lengths.sum())


@dataclass(frozen=True)
class Embeddings:
    """
    What came of some sequences.

    Args:
        vectors: float32 (rows, hidden), a row a sequence, or, with `long="windows"`, a window; with `pooling="none"`
            (tokens of all rows, hidden).
        sequence: int64 (rows,), which sequence a row is of, ascending.
        start, end: int64 (rows,), where it lies there, in nt that are no white space, 0-based half-open.
        num_tokens: int64 (rows,), `<cls>` included; of a sequence cut into windows, the sum over these.
        num_replaced: Letters read as N that are none.
        num_truncated: Sequences of which the end was cut off.
        num_computed_tokens, num_padding_tokens: What the model has seen.
        num_repeats: Pieces that were not computed, because they are like another.
        extra: float32 arrays (rows, …) by name, as "logits".
    """

    vectors: np.ndarray
    sequence: np.ndarray
    start: np.ndarray
    end: np.ndarray
    num_tokens: np.ndarray
    num_replaced: int
    num_truncated: int
    num_computed_tokens: int
    num_padding_tokens: int
    num_repeats: int
    extra: dict[str, np.ndarray]


class DNAEmbeddingPipeline(Pipeline):
    """
    DNA sequences -> one float32 vector each; the same vector whatever the batch or the order.

    A string gives an array, a list a list in the same order; a generator, a `datasets` column or any other iterable
    of strings is streamed. Lower case is read as upper case, U as T, white space is dropped; any other character is
    read as N, with one warning, and `num_replaced` counts them all. The arguments below are taken by `pipeline(...)`
    and by the call, which goes first; `backend` and `batch_tokens` by `pipeline(...)` alone.

    What has a length is sorted by it, some thousands of sequences at a time, and goes through the model in batches of
    like length; identical sequences are computed once. Of a generator only `batch_size` sequences are read ahead.

    Args:
        pooling (`str`, default `"mean"`): `"mean"` (over all tokens, `<cls>` included), `"mean_without_cls"`, `"cls"`,
            `"max"`, or `"none"` (the tokens' vectors).
        layer (`int`, default -1): 0 = the embeddings, i = after layer i, -1 = the last, after the final layer norm.
            Deeper layers are not computed.
        max_length (`int`, default the model's positions): The most tokens of a sequence, `<cls>` included.
        long (`str`, default `"truncate"` where `max_length` is given, else `"error"`): What becomes of sequences of
            more tokens than `max_length`, or more letters than `window_nt`: `"mean"` of overlapping windows, weighted
            by their tokens; `"windows"`, (windows, hidden) instead of (hidden,); `"truncate"`; `"error"`.
        window_nt (`int`, default what `max_length` reaches): Letters of a window.
        stride_nt (`int`, default three quarters of a window): Letters from one window's beginning to the next one's.
        reverse_complement (`bool`, default `False`): Whether to take the mean of both strands' vectors.
        normalize (`bool`, default `False`): Whether to scale each vector to Euclidean length 1, at the end.
        batch_size (`int`, default as many as `batch_tokens` allow): The most sequences of a forward pass.
        backend (`str`, default `"auto"`): `"torch"`, the model's own forward; `"fused"`, a faster one for NT-v2 in
            float32 on a CPU, which `"auto"` takes where it can, and which calls no hooks of the model's layers;
            `"compile"`; `"openvino"`. The same vectors to 1e-4.
        batch_tokens (`int`, default by the device): The most tokens of a forward pass, padding included.

    Returns:
        (hidden,) a sequence; with `pooling="none"` (tokens, hidden).

    Raises:
        SequenceError: A ValueError, for a sequence that is empty, or long where that is an error.
        ValueError: For an argument out of range, and if the model's vectors are not finite.
    """

    _arguments = tuple(_DEFAULTS)
    _load_tokenizer = True
    _load_processor = False
    _load_image_processor = False
    _load_video_processor = False
    _load_feature_extractor = False

    def __init__(self, *args, backend: str = "auto", batch_tokens: int | None = None, **kwargs):
        self.num_replaced = 0
        if batch_tokens is not None and not _is_whole(batch_tokens, 1):
            raise ValueError(f"Got batch_tokens {batch_tokens!r}; it is a whole number of 1 or more.")
        super().__init__(*args, **kwargs)
        # Only then is the model where it is to be run.
        self._backend: Backend = make_backend(backend, self.model.base_model)
        kind = self.device.type
        self.batch_tokens = batch_tokens or BATCH_TOKENS[kind if kind in BATCH_TOKENS else "other"]
        self._first_kmer_id = first_kmer_id(self.tokenizer)

    @property
    def backend(self) -> str:
        """Which backend runs the model; never "auto"."""
        return self._backend.name

    def save_pretrained(self, save_directory, **kwargs) -> None:
        """As `Pipeline.save_pretrained`, which takes this file along only where the task is registered."""
        super().save_pretrained(save_directory, **kwargs)
        custom_object_save(self, save_directory)

    def _sanitize_parameters(self, **parameters: Any) -> tuple[dict, dict, dict]:
        limit = self.model.config.max_tokens
        for name, value in parameters.items():
            if name not in self._arguments:
                raise ValueError(
                    f"Got the argument {name!r}; this pipeline takes {', '.join(self._arguments)} and batch_size."
                )
            if name == "pooling" and value not in POOLINGS:
                raise ValueError(f"Got pooling {value!r}; it is one of {', '.join(POOLINGS)}.")
            if name == "layer":
                self.model.base_model.num_layers_up_to(value)  # raises where there is no such layer
            if name == "max_length" and not (value is None or _is_whole(value, 2, limit)):
                raise ValueError(f"Got max_length {value!r}; this model takes 2 to {limit} tokens, with `<cls>`.")
            if name in ("normalize", "reverse_complement") and not isinstance(value, bool):
                raise ValueError(f"Got {name} {value!r}; it is True or False.")
            if name == "long" and not (value is None or value in LONG):
                raise ValueError(f"Got long {value!r}; it is one of {', '.join(LONG)}.")
            if name in ("window_nt", "stride_nt") and not (value is None or _is_whole(value, 1)):
                raise ValueError(f"Got {name} {value!r}; it is a number of nt, 1 or more.")
        return {}, parameters, {}

    def _settings(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Those of the construction and of the call, and defaults for what neither says, checked together."""
        settings = _DEFAULTS | self._forward_params | self._sanitize_parameters(**parameters)[1]
        if settings["long"] is None:
            settings["long"] = "error" if settings["max_length"] is None else "truncate"
        if settings["max_length"] is None:
            settings["max_length"] = self.model.config.max_tokens
        long, window_nt, stride_nt = settings["long"], settings["window_nt"], settings["stride_nt"]
        if (window_nt or stride_nt) and long not in ("mean", "windows"):
            raise ValueError(f"Got window_nt or stride_nt with long {long!r}; windows go with 'mean' and 'windows'.")
        reach = KMER * (settings["max_length"] - 1)
        if window_nt is not None and window_nt > reach:
            raise ValueError(f"Got window_nt {window_nt}; {settings['max_length']} tokens reach {reach} nt.")
        window_nt = window_nt or reach
        if stride_nt is not None and stride_nt > window_nt:
            raise ValueError(f"Got stride_nt {stride_nt}, more than the {window_nt} nt of a window: nt would be lost.")
        if settings["pooling"] == "none" and (long == "mean" or settings["reverse_complement"]):
            what = "reverse_complement" if settings["reverse_complement"] else "long 'mean'"
            raise ValueError(
                f"Got {what} with pooling 'none'; two strands, and overlapping windows, have no tokens in common: "
                "give another pooling, or long 'windows', 'truncate' or 'error'."
            )
        return settings

    def __call__(
        self,
        inputs: str | Iterable[str],
        *,
        batch_size: int | None = None,
        num_workers: int | None = None,  # as transformers' pipelines; nothing here is left to workers
        **kwargs: Any,
    ) -> Any:
        settings, batch_size = self._settings(kwargs), self._checked(batch_size)
        if isinstance(inputs, str):
            return self.run_single([inputs], {"batch_size": batch_size, "settings": settings}, {}, settings)[0]
        _check_iterable(inputs)
        # What is not all there yet may be waiting for the answers to what was given.
        size = BUFFER_SEQUENCES if isinstance(inputs, Sized) else batch_size or 1
        answers = (
            answer
            for embeddings in self._stream(inputs, size, batch_size, settings)
            for answer in self.postprocess(embeddings, **settings)
        )
        return list(answers) if isinstance(inputs, (list, tuple)) else answers

    def _checked(self, batch_size: int | None) -> int | None:
        batch_size = self._batch_size if batch_size is None else batch_size
        if batch_size is not None and not _is_whole(batch_size, 1):
            raise ValueError(f"Got batch_size {batch_size!r}; it is a whole number of 1 or more.")
        return batch_size

    def _stream(
        self, inputs: Iterable[str], size: int, batch_size: int | None, settings: dict[str, Any]
    ) -> Iterator[Embeddings]:
        """So many sequences at a time."""
        by_index = isinstance(inputs, Dataset) and isinstance(inputs, Sized)
        sequences = (inputs[i] for i in range(len(inputs))) if by_index else inputs
        num_before = 0
        for buffer in buffers(sequences, size, _buffer_nt(settings)):
            try:
                plan = self._plan(buffer, batch_size, settings)
            except SequenceError as error:
                index = num_before + error.index
                raise SequenceError(index, f"Sequence {index} (from 0): {error}") from error
            yield self.forward(plan)
            num_before += len(buffer)

    def encode(
        self,
        sequences: str | Sequence[str],
        *,
        batch_size: int | None = None,
        show_progress: bool = False,
        **kwargs: Any,
    ) -> np.ndarray | list[np.ndarray]:
        """
        All embeddings in one array.

        Args:
            sequences: One or more.
            batch_size: The most sequences of a forward pass; default as many as `batch_tokens` allow.
            show_progress: Whether to show a bar.
            kwargs: As for the call, except that `long` is `"mean"` where it is not given.

        Returns:
            float32 (sequences, hidden), for one string (hidden,). With `pooling="none"` or `long="windows"` a list of
            (tokens or windows, hidden).
        """
        if isinstance(sequences, str):
            return self.encode([sequences], batch_size=batch_size, **kwargs)[0]
        _check_iterable(sequences)
        sequences = sequences if isinstance(sequences, Sized) else list(sequences)
        given = self._forward_params | kwargs
        if "long" in self._arguments and given.get("long") is None and given.get("pooling") != "none":
            kwargs["long"] = "mean"
        settings, batch_size = self._settings(kwargs), self._checked(batch_size)
        rows = []
        with logging.tqdm(total=len(sequences), unit=" sequences", disable=not show_progress) as bar:
            for embeddings in self._stream(sequences, BUFFER_SEQUENCES, batch_size, settings):
                self._count(embeddings.num_replaced)
                more = _vectors_of_sequences(embeddings, settings["pooling"], settings["long"])
                rows += more
                bar.update(len(more))
        if settings["pooling"] == "none" or settings["long"] == "windows":
            return rows
        return np.stack(rows) if rows else np.empty((0, self.model.config.hidden_size), np.float32)

    def plan(self, sequences: Sequence[str], batch_size: int | None = None, **kwargs: Any) -> Plan:
        """
        Everything that is to be done before the model runs; other threads may do it meanwhile.

        Args:
            sequences: One or more; all are sorted together, and stay in the memory together.
            batch_size: The most sequences of a forward pass.
            kwargs: As for the call.

        Raises:
            SequenceError: As the call; `index` says which sequence.
            ValueError: For an argument out of range, and for no sequences at all.
        """
        if not len(sequences):
            raise ValueError("Got no sequences; a plan is for one or more.")
        return self._plan(sequences, self._checked(batch_size), self._settings(kwargs))

    def _plan(self, sequences: Sequence[str], batch_size: int | None, settings: dict[str, Any]) -> Plan:
        cutting = Cutting(*(settings[name] for name in ("max_length", "long", "window_nt", "stride_nt")))
        pieces = cut(sequences, cutting, self._first_kmer_id, settings["reverse_complement"])
        return Plan(pieces, batches_of(pieces.lengths, self.batch_tokens, batch_size), settings)

    def compute(self, plan: Plan, progress: Callable[[int], object] = lambda num_tokens: None) -> Embeddings:
        """
        Run the model.

        Args:
            plan: What `plan` gave.
            progress: Called after every batch with how many tokens it had, without padding.

        Raises:
            ValueError: If a vector is not finite, for which weights that hold NaN are one reason.
        """
        _leave_threads_of_parent()
        self._backend.refresh()
        pieces, settings = plan.pieces, plan.settings
        lengths, per_token = pieces.lengths, settings["pooling"] == "none"
        ends = np.cumsum(lengths)  # of each distinct piece's tokens, where these are wanted
        # Into arrays that are there, by name: small ones, kept by the thousand, would leave holes in the memory.
        results: dict[str, np.ndarray] = {}
        num_padding = 0
        with closing(self._outputs_of(plan)) as every_output:  # its threads end with it, also where `progress` raises
            for batch, outputs in zip(plan.batches, every_output, strict=True):
                for name, values in outputs.items():
                    rows = int(ends[-1]) if values.dim() == 3 else len(lengths)
                    if name not in results:
                        results[name] = np.empty((rows, values.shape[-1]), np.float32)
                    if values.dim() == 3:
                        for i, vectors in zip(batch, values.numpy(), strict=True):
                            results[name][ends[i] - lengths[i] : ends[i]] = vectors[: lengths[i]]
                    else:
                        results[name][batch] = values.numpy()
                num_tokens_of_batch = int(lengths[batch].sum())
                num_padding += int(lengths[batch].max() * len(batch)) - num_tokens_of_batch
                progress(num_tokens_of_batch)

        for name, values in results.items():
            self._check_finite(name, values)
        vectors = results.pop("embedding")
        strand, start, end = pieces.strands[0], pieces.start, pieces.end
        num_tokens, sequence = strand.num_tokens, strand.sequence
        if per_token:
            owner, which = owners_and_ranks(num_tokens)
            combined = vectors[(ends - lengths)[strand.distinct][owner] + which]
        else:
            combined = combine(pieces, vectors, per_piece=settings["long"] == "windows")
            if len(combined) < len(sequence):  # one row a sequence, of one window or more
                begins = begins_of(sequence)
                num_tokens = np.add.reduceat(num_tokens, begins)
                end = np.maximum.reduceat(end, begins)
                sequence, start = sequence[begins], start[begins]
        if settings["normalize"]:
            combined = combined / np.maximum(np.linalg.norm(combined, axis=-1, keepdims=True), 1e-12)
        return Embeddings(
            vectors=combined,
            sequence=sequence,
            start=start,
            end=end,
            num_tokens=num_tokens,
            num_replaced=pieces.num_replaced,
            num_truncated=pieces.num_truncated,
            num_computed_tokens=plan.num_tokens,
            num_padding_tokens=num_padding,
            num_repeats=sum(len(each.distinct) for each in pieces.strands) - len(pieces.first),
            extra={name: values[strand.distinct] for name, values in results.items()},
        )

    def _check_finite(self, name: str, values: np.ndarray) -> None:
        if not np.isfinite(values).all():
            is_wide = self.model.dtype == torch.float32
            cause = "" if is_wide else f", or {self.model.dtype} is too narrow for it"
            mend = "" if is_wide else "load it in float32, or "
            raise ValueError(
                f"The model {self.model.name_or_path} gives NaN or infinite numbers as {name}: its weights are "
                f"damaged{cause}; {mend}get the checkpoint anew."
            )

    def _outputs_of(self, plan: Plan) -> Iterator[dict[str, torch.Tensor]]:
        """What the model makes of each batch, moved to the CPU, in the order of the batches."""
        num_threads = torch.get_num_threads()
        if not self._backend.one_core_each or num_threads == 1 or len(plan.batches) < num_threads:
            before = None
            for batch in plan.batches:
                outputs = self._run(plan, batch)
                # A GPU, which was only told, has this batch to do while the results of the one before are fetched.
                if before is not None:
                    yield _on_cpu(before)
                before = outputs
            yield _on_cpu(before)
            return
        ready = threading.Barrier(num_threads + 1)

        def begin() -> None:
            torch.get_num_threads()  # or the first product would, once more, take the number of all threads
            torch.set_num_threads(1)
            ready.wait()

        with ThreadPoolExecutor(num_threads, initializer=begin) as threads:
            try:
                outputs = threads.map(lambda batch: _on_cpu(self._run(plan, batch)), plan.batches)
                try:
                    ready.wait()
                except BaseException:
                    ready.abort()  # or the threads would wait for ever
                    raise
                torch.set_num_threads(num_threads)  # also what threads yet to come begin with: one number for all
                yield from outputs
            finally:
                threads.shutdown(cancel_futures=True)

    @torch.inference_mode()
    def _run(self, plan: Plan, batch: np.ndarray) -> dict[str, torch.Tensor]:
        tokenizer = self.tokenizer
        ids, mask = padded(plan.pieces, batch, tokenizer.cls_token_id, tokenizer.pad_token_id)
        ids_BT = torch.from_numpy(ids).to(self.device)
        mask_BT = torch.from_numpy(mask).to(self.device)
        try:
            # No name for the hidden states, which would keep them where the pooling does not fit.
            return self._pooled(
                self._backend(ids_BT, None if mask.all() else mask_BT, plan.settings["layer"]),
                mask_BT,
                plan.settings["pooling"],
            )
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            self.batch_tokens = max(1, ids.size // 2)  # of the plans to come
        # Outside of the handler, which would keep what did not fit.
        del ids_BT, mask_BT
        halves = [_on_cpu(self._run(plan, half)) for half in np.array_split(batch, 2)]
        return {name: _stacked([half[name] for half in halves]) for name in halves[0]}

    def _pooled(self, hidden_states_BTH, attention_mask_BT, pooling: str) -> dict[str, torch.Tensor]:
        # Of a model on several devices, the last layer may be elsewhere than the input.
        return self._outputs(hidden_states_BTH, attention_mask_BT.to(hidden_states_BTH.device), pooling)

    def _outputs(self, hidden_states_BTH, attention_mask_BT, pooling: str) -> dict[str, torch.Tensor]:
        """By name, what is wanted of each sequence, (batch, n), or of each token, (batch, tokens, n), in float32."""
        return {"embedding": pool(hidden_states_BTH, attention_mask_BT, pooling)}

    # --- transformers' three steps, on some sequences at a time

    def preprocess(self, sequences: list[str], batch_size: int | None, settings: dict[str, Any]) -> Plan:
        return self._plan(sequences, batch_size, settings)

    def _forward(self, plan: Plan) -> Embeddings:
        return self.compute(plan)

    def postprocess(self, embeddings: Embeddings, pooling: str, long: str, **_: Any) -> list[Any]:
        """What the call gives for each sequence."""
        self._count(embeddings.num_replaced)
        return _vectors_of_sequences(embeddings, pooling, long)

    def _count(self, num_replaced: int) -> None:
        if num_replaced and not self.num_replaced:
            logger.warning(
                f"{num_replaced} characters are none of A, C, G, T, U, N and were read as N; further ones are counted "
                "in `num_replaced` of this pipeline without a warning."
            )
        self.num_replaced += num_replaced


def _on_cpu(outputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: values.cpu() for name, values in outputs.items()}


def _stacked(halves: list[torch.Tensor]) -> torch.Tensor:
    """One after the other; where they are vectors of tokens, as wide as the wider one."""
    if halves[0].dim() == 3:
        widest = max(half.shape[1] for half in halves)
        halves = [torch.nn.functional.pad(half, (0, 0, 0, widest - half.shape[1])) for half in halves]
    return torch.cat(halves)


def _leave_threads_of_parent() -> None:
    """
    In a forked child, as of `Dataset.map(num_proc=2)`: use one thread, once; the user may then set more.

    The threads of GNU's OpenMP are not there any more, and whoever waits for them waits for ever.
    """
    global _process
    if os.getpid() != _process:
        torch.set_num_threads(1)
        _process = os.getpid()


def _vectors_of_sequences(embeddings: Embeddings, pooling: str, long: str) -> list[Any]:
    """(hidden,) each; of tokens (tokens, hidden), of windows (windows, hidden), and of both a list of the former."""
    if pooling == "none":
        rows = np.split(embeddings.vectors, np.cumsum(embeddings.num_tokens)[:-1])
    else:
        rows = list(embeddings.vectors)
    if long != "windows":
        return rows
    begins = begins_of(embeddings.sequence).tolist()
    of_sequences = [rows[a:b] for a, b in zip(begins, [*begins[1:], len(rows)], strict=True)]
    return of_sequences if pooling == "none" else [np.stack(windows) for windows in of_sequences]


def _check_iterable(inputs: object) -> None:
    if isinstance(inputs, (bytes, dict)) or not isinstance(inputs, (Iterable, Dataset)):
        raise ValueError(f"Got {type(inputs).__name__}; give a DNA sequence as a string, or an iterable of them.")


def _buffer_nt(settings: dict[str, Any]) -> int:
    return BUFFER_NT_PER_TOKEN if settings["pooling"] == "none" else BUFFER_NT


def _is_whole(value: Any, least: int, most: int | None = None) -> bool:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return is_number and value >= least and (most is None or value <= most)


def complete_settings(model: Any, given: dict[str, Any]) -> dict[str, Any]:
    """All settings, checked: those given, and defaults for the rest; the engine of embed.py uses it, too."""
    pipeline = DNAEmbeddingPipeline.__new__(DNAEmbeddingPipeline)
    pipeline.model, pipeline._forward_params = model, {}
    return pipeline._settings(given)
