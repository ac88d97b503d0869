"""DNA sequences -> embeddings, by `pipeline("dna-embedding")`."""

import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset
from transformers import Pipeline, PreTrainedModel
from transformers.utils import logging

logger = logging.get_logger(__name__)

KMER = 6
POOLINGS = ("mean", "mean_without_cls", "cls", "max", "none")
LONG = ("mean", "windows", "truncate", "error")
DEFAULTS = {"pooling": "mean", "layer": -1, "max_length": None, "normalize": False, "reverse_complement": False}
DEFAULTS |= {"long": None, "window_nt": None, "stride_nt": None}
# Which of the three steps of a pipeline takes which argument.
PREPROCESS = ("max_length", "long", "window_nt", "stride_nt", "reverse_complement")
FORWARD = ("pooling", "layer", "return_embedding")
POSTPROCESS = ("pooling", "long", "normalize", "return_logits", "return_embedding")

# Tokens of a batch, padding included. CPU: more of them are no faster (benchmarks/embed_throughput.py, batches). GPU:
# not measured; a batch that does not fit into its memory is divided.
BATCH_TOKENS = {"cpu": 768, "other": 32_768}
PADDING_SHARE = 0.03  # of a batch, at the most: among some hundred sequences there is always one of like length
# What is sorted by length at a time: enough that padding is rare, and some tens of MB.
BUFFER_SEQUENCES, BUFFER_NT = 8192, 2_000_000
BUFFER_NT_PER_TOKEN = 200_000  # with pooling "none", whose vectors take a hundred times the memory

_COMPLEMENT = str.maketrans("ACGTUacgtu", "TGCAAtgcaa")
_NOT_DNA = re.compile(r"[^ACGTNUacgtnu\s]")
_FILE_NAME = re.compile(r"\.(fa|fasta|fna|ffn|fq|fastq|gb|gbk|bed|txt|csv|tsv|parquet)(\.\w+)?$", re.IGNORECASE)
_NOT_LISTS = ("DataFrame", "LazyFrame", "Table", "Seq", "MutableSeq", "SeqRecord")  # of pandas, polars, Biopython, …
_process = os.getpid()


class SequenceError(ValueError):
    """A sequence that cannot be embedded; `index` says which of those that were given."""

    def __init__(self, message: str, index: int = 0):
        super().__init__(message)
        self.index = index


def pool(hidden_states_BTH: torch.Tensor, attention_mask_BT: torch.Tensor, pooling: str) -> torch.Tensor:
    """
    One float32 vector per sequence from the vectors of its tokens; padding never takes part.

    Args:
        hidden_states_BTH: Vectors of the tokens, (batch, tokens, hidden), `<cls>` first, padded on the right.
        attention_mask_BT: 1 for tokens, 0 for padding.
        pooling: As for `DNAEmbeddingPipeline`; `"none"` gives the vectors of the tokens back.

    Raises:
        ValueError: If there is no such pooling.
    """
    _check_choice("pooling", pooling, POOLINGS)
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


@dataclass(frozen=True)
class Cutting:
    """How long sequences are cut; the arguments are those of `DNAEmbeddingPipeline`, `max_tokens` its `max_length`."""

    max_tokens: int
    long: str
    window_nt: int | None = None
    stride_nt: int | None = None

    @property
    def window(self) -> int:
        return self.window_nt or KMER * self.max_letters

    @property
    def stride(self) -> int:
        # A multiple of six keeps the 6-mers of neighbours in one frame.
        return self.stride_nt or min(self.window, max(KMER, self.window * 3 // 4 // KMER * KMER))

    @property
    def max_letters(self) -> int:
        """The most tokens of a piece without `<cls>`, each a 6-mer or a letter."""
        return self.max_tokens - 1

    @property
    def stride_tokens(self) -> int:
        """Between pieces of a window that has too many tokens, as with many N; they overlap by a quarter at most."""
        return max(1, self.max_letters * 3 // 4, self.max_letters * self.stride // self.window)

    def too_long(self, num_nt: int, num_tokens: int | None = None, index: int = 0) -> SequenceError:
        tokens = "" if num_tokens is None else f", {num_tokens} tokens"
        return SequenceError(
            f"Got a sequence of {num_nt} characters{tokens}, but at most {self.max_tokens} tokens are taken, `<cls>` "
            f"included (about {KMER * self.max_letters} nt): give max_length to cut it, or embed it in pieces: long "
            "'mean' or 'windows' of dna-embedding and of embed.py.",
            index,
        )


def complete_settings(model: PreTrainedModel, given: Mapping[str, Any]) -> dict[str, Any]:
    """
    The arguments of `DNAEmbeddingPipeline`, with defaults for those that are not given.

    Raises:
        ValueError: If one is out of range, or two contradict each other.
    """
    check_settings(model, given)
    settings = DEFAULTS | given
    if settings["long"] is None:
        settings["long"] = "error" if settings["max_length"] is None else "truncate"
    settings["max_length"] = settings["max_length"] or model.config.max_tokens
    long, window_nt, stride_nt = settings["long"], settings["window_nt"], settings["stride_nt"]
    reach = KMER * (settings["max_length"] - 1)
    if (window_nt or stride_nt) and long not in ("mean", "windows"):
        raise ValueError(f"Got window_nt or stride_nt with long {long!r}; windows go with 'mean' and 'windows'.")
    if window_nt is not None and window_nt > reach:
        raise ValueError(f"Got window_nt {window_nt}; {settings['max_length']} tokens reach {reach} nt.")
    if stride_nt is not None and stride_nt > (window_nt or reach):
        raise ValueError(f"Got stride_nt {stride_nt}, more than the {window_nt or reach} nt of a window: nt are lost.")
    if settings["pooling"] == "none" and (long == "mean" or settings["reverse_complement"]):
        what = "reverse_complement" if settings["reverse_complement"] else "long 'mean'"
        raise ValueError(
            f"Got {what} with pooling 'none'; two strands, and overlapping windows, have no tokens in common: give "
            "another pooling, or long 'windows', 'truncate' or 'error'."
        )
    return settings


def check_settings(model: PreTrainedModel, given: Mapping[str, Any]) -> None:
    """
    Raises:
        ValueError: If one argument by itself is out of range.
    """
    for name, value in given.items():
        if name == "pooling":
            _check_choice(name, value, POOLINGS)
        elif name == "layer":
            model.base_model.num_layers_up_to(value)  # raises if there is no such layer
        elif name in ("normalize", "reverse_complement", "return_logits", "return_embedding"):
            if not isinstance(value, bool):
                raise ValueError(f"Got {name} {value!r}; give True or False.")
        elif name == "long" and value is not None:
            _check_choice(name, value, LONG)
        elif value is not None:  # max_length, window_nt, stride_nt, batch_size, batch_tokens
            least, most = (2, model.config.max_tokens) if name == "max_length" else (1, np.inf)
            is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
            if not (is_whole and least <= value <= most):
                allowed = f"{least} to {most}" if name == "max_length" else f"{least} or more"
                raise ValueError(f"Got {name} {value!r}; give a whole number, {allowed}.")


def _check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"Got {name} {value!r}; give one of {', '.join(choices)}.")


def reverse_complement(sequence: str) -> str:
    """The other strand, 5' to 3'; letters that are none of A, C, G, T, U stay what they are."""
    return sequence.translate(_COMPLEMENT)[::-1]


def count_replaced(sequence: str) -> int:
    """How many characters of a sequence are read as N although they are not A, C, G, T, U, N or white space."""
    return len(_NOT_DNA.findall(sequence))


def batches_of(lengths: Sequence[int], batch_tokens: int, batch_size: int | None = None) -> list[list[int]]:
    """
    Which pieces go through the model together: those of like length, the longest first.

    Args:
        lengths: Tokens of the pieces.
        batch_tokens: The most tokens of a batch, padding included; a longer piece is a batch of its own.
        batch_size: The most pieces of a batch; None for no such limit.
    """
    batches: list[list[int]] = []
    num_tokens = num_padded = 0  # of the last batch, without and with padding
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batches:
            num_padded = (len(batches[-1]) + 1) * lengths[batches[-1][0]]
        has_padding = num_padded - num_tokens - lengths[i] > PADDING_SHARE * num_padded
        if not batches or num_padded > batch_tokens or has_padding or len(batches[-1]) == batch_size:
            batches.append([])
            num_tokens = 0
        batches[-1].append(i)
        num_tokens += lengths[i]
    return batches


class DNAEmbeddingPipeline(Pipeline):
    """
    DNA sequences -> one float32 vector each; the same vector whatever the batch or the order.

    A string gives an array, a list a list in the same order; a generator, a `datasets` column or any other iterable
    of strings is streamed. Lower case is read as upper case, U as T, white space is dropped; any other character is
    read as N, with one warning, and `num_replaced` counts them all. The arguments below are taken by `pipeline(...)`
    and by the call, which takes precedence; `batch_tokens` by `pipeline(...)` alone.

    An input that has a length is sorted by length, some thousand sequences at a time, and goes through the model in
    batches of like length. Of a generator only `batch_size` sequences are read ahead.

    Args:
        pooling (`str`, default `"mean"`): `"mean"` over all tokens, `<cls>` included, as in the model card of NT;
            `"mean_without_cls"`; `"cls"`; `"max"`; or `"none"` (the vectors of the tokens).
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
        batch_tokens (`int`, default by the device): The most tokens of a forward pass, padding included.

    Returns:
        (hidden,) per sequence; with `pooling="none"` (tokens, hidden).

    Raises:
        SequenceError: A ValueError, for a sequence that is empty, or long where that is an error.
        ValueError: For an argument out of range, an input that is not a string or an iterable of strings, and if the
            model's vectors are not finite.
    """

    _arguments = tuple(DEFAULTS)
    _load_tokenizer = True
    _load_processor = _load_image_processor = _load_video_processor = _load_feature_extractor = False

    def __init__(self, model: PreTrainedModel, *args: Any, batch_tokens: int | None = None, **kwargs: Any):
        if type(model).__module__.startswith("peft."):
            if model.active_peft_config.is_prompt_learning:
                raise ValueError(f"Got a {type(model).__name__} with learned prompts; give one with adapted layers.")
            model = model.get_base_model()  # with the adapter in its layers
        self.num_replaced = 0
        super().__init__(model, *args, **kwargs)
        check_settings(model, {"batch_tokens": batch_tokens})
        self.batch_tokens = batch_tokens or BATCH_TOKENS["cpu" if self.device.type == "cpu" else "other"]

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """The model with all code, and the tokenizer; config.json names both pipelines."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.tokenizer.save_pretrained(save_directory, **kwargs)

    # --- the four methods that transformers documents, for one sequence at a time

    def _sanitize_parameters(self, **parameters: Any) -> tuple[dict, dict, dict]:
        for name in parameters:
            if name not in self._arguments:
                raise ValueError(f"Got the argument {name!r}; give any of {', '.join(self._arguments)}, batch_size.")
        check_settings(self.model, parameters)
        steps = PREPROCESS, FORWARD, POSTPROCESS
        return tuple({name: parameters[name] for name in step if name in parameters} for step in steps)

    def preprocess(self, sequence: str, **settings: Any) -> dict[str, torch.Tensor]:
        """
        One sequence -> its pieces: `input_ids` and `attention_mask` (pieces, tokens), `strand` (pieces,).

        For a mean, the other strand is cut as if it had been given, from its own beginning, so that it makes no
        difference which of the two was. Otherwise its pieces are those of the first strand, in the same order.
        """
        settings = complete_settings(self.model, settings)
        letters = letters_of(sequence)
        cutting = Cutting(*(settings[name] for name in PREPROCESS[:4]))
        strands = [self._pieces_of(letters, cutting)]
        if settings["reverse_complement"] and cutting.long == "mean":
            strands.append(self._pieces_of(reverse_complement(letters), cutting))
        elif settings["reverse_complement"]:
            texts = ["".join(self.tokenizer.convert_ids_to_tokens(piece)) for piece in strands[0]]
            strands.append(self._tokenise([reverse_complement(text) for text in texts]))
        num_replaced = count_replaced(letters)
        if num_replaced and not self.num_replaced:
            logger.warning(
                f"{num_replaced} characters are not A, C, G, T, U or N and were read as N; further ones are counted "
                "in `num_replaced` of this pipeline without a warning."
            )
        self.num_replaced += num_replaced
        pieces = [torch.tensor([self.tokenizer.cls_token_id, *piece]) for strand in strands for piece in strand]
        return self._batch(pieces, [i for i, strand in enumerate(strands) for _ in strand])

    def _forward(
        self, model_inputs: dict[str, torch.Tensor], pooling: str = "mean", layer: int = -1
    ) -> dict[str, Any]:
        """Pieces -> for each one `embedding`, `num_tokens` and `strand`."""
        ids_BT, mask_BT = model_inputs["input_ids"], model_inputs["attention_mask"]
        encoder = self.model.base_model
        states_BTH = encoder(ids_BT, attention_mask=mask_BT, layer=layer, return_dict=True).last_hidden_state
        vectors = pool(states_BTH, mask_BT.to(states_BTH.device), pooling)
        return {"embedding": vectors, "num_tokens": mask_BT.sum(dim=1), "strand": model_inputs["strand"]}

    def postprocess(
        self, model_outputs: dict[str, Any], pooling: str = "mean", long: str | None = None, normalize: bool = False
    ) -> Any:
        """All pieces of one sequence -> its vector; of tokens (tokens, hidden); of windows one each."""
        num_tokens, strand = (np.array([int(n) for n in model_outputs[name]]) for name in ("num_tokens", "strand"))
        vectors = [piece.numpy() for piece in model_outputs["embedding"]]
        if pooling == "none":
            vectors = [piece[:n].copy() for piece, n in zip(vectors, num_tokens, strict=True)]
        self._check_finite("embedding", vectors)
        if pooling == "none":
            vectors = [_unit(piece) for piece in vectors] if normalize else vectors
            return vectors if long == "windows" else vectors[0]
        means = []
        for i in range(strand.max() + 1):
            own = np.stack(vectors)[strand == i]  # (pieces, hidden)
            means.append(own if long == "windows" else np.average(own, axis=0, weights=num_tokens[strand == i]))
        vector = (sum(means) / len(means)).astype(np.float32)
        return _unit(vector) if normalize else vector

    # --- many sequences

    def __call__(
        self,
        inputs: str | Iterable[str],
        *,
        batch_size: int | None = None,
        num_workers: int | None = None,  # as in transformers' pipelines; nothing here is left to workers
        **kwargs: Any,
    ) -> Any:
        batch_size, steps = self._checked(batch_size, kwargs)
        if isinstance(inputs, str):
            [outputs] = self._forward_by_length([self.preprocess(inputs, **steps[0])], batch_size, steps[1])
            return self.postprocess(outputs, **steps[2])
        answers = self._stream(inputs, batch_size, steps, self.postprocess)
        return list(answers) if isinstance(inputs, (list, tuple)) else answers

    def encode(
        self,
        sequences: str | Iterable[str],
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
            show_progress: Whether to show a progress bar.
            kwargs: As for the call, except that `long` is `"mean"` unless given.

        Returns:
            float32 (sequences, hidden), for one string (hidden,). With `pooling="none"` or `long="windows"` a list of
            (tokens or windows, hidden).
        """
        if isinstance(sequences, str):
            return self.encode([sequences], batch_size=batch_size, **kwargs)[0]
        given = self._postprocess_params | kwargs
        if given.get("long") is None and given.get("pooling") != "none" and "long" in self._arguments:
            kwargs["long"] = "mean"
        batch_size, steps = self._checked(batch_size, kwargs)
        _check_iterable(sequences)
        sequences = sequences if isinstance(sequences, Sized) else list(sequences)
        rows = self._stream(sequences, batch_size, steps, self._embedding)
        rows = list(logging.tqdm(rows, total=len(sequences), unit=" sequences", disable=not show_progress))
        if steps[2].get("pooling") == "none" or steps[2].get("long") == "windows":
            return rows
        return np.stack(rows) if rows else np.empty((0, self.model.config.hidden_size), np.float32)

    def _embedding(self, model_outputs: dict[str, Any], **settings: Any) -> Any:
        return self.postprocess(model_outputs, **settings)

    def _checked(self, batch_size: int | None, given: dict[str, Any]) -> tuple[int | None, list[dict[str, Any]]]:
        """The batch size, and the arguments of the three steps: of the call, else of the construction."""
        batch_size = self._batch_size if batch_size is None else batch_size
        check_settings(self.model, {"batch_size": batch_size})
        own = self._preprocess_params, self._forward_params, self._postprocess_params
        steps = [a | b for a, b in zip(own, self._sanitize_parameters(**given), strict=True)]
        complete_settings(self.model, {name: step[name] for step in steps for name in step if name in DEFAULTS})
        return batch_size, steps

    def _stream(
        self, inputs: Iterable[str], batch_size: int | None, steps: list[dict[str, Any]], finish: Callable[..., Any]
    ) -> Iterator[Any]:
        """The answer for each sequence, in order."""
        _check_iterable(inputs)
        # The next sequences of a generator may depend on the answers to those before.
        size = BUFFER_SEQUENCES if isinstance(inputs, Sized) else batch_size or 1
        max_nt = BUFFER_NT_PER_TOKEN if steps[1].get("pooling") == "none" else BUFFER_NT

        def answers() -> Iterator[Any]:
            prepared, num_nt, number = [], 0, 0
            for sequence in inputs:
                try:
                    prepared.append(self.preprocess(sequence, **steps[0]))
                except SequenceError as error:
                    raise SequenceError(f"Sequence {number} (from 0): {error}", number) from error
                num_nt, number = num_nt + len(sequence), number + 1
                if len(prepared) == size or num_nt >= max_nt:
                    for outputs in self._forward_by_length(prepared, batch_size, steps[1]):
                        yield finish(outputs, **steps[2])
                    prepared, num_nt = [], 0
            for outputs in self._forward_by_length(prepared, batch_size, steps[1]):
                yield finish(outputs, **steps[2])

        return answers()

    def _forward_by_length(
        self, prepared: list[dict[str, torch.Tensor]], batch_size: int | None, settings: dict[str, Any]
    ) -> Iterator[dict[str, list[torch.Tensor]]]:
        """`forward` in batches of like length -> what it gives for the pieces of each sequence, in order."""
        _leave_threads_of_parent()
        strands = [strand for each in prepared for strand in each["strand"].tolist()]
        pieces = [
            ids[:n]
            for each in prepared
            for ids, n in zip(each["input_ids"], each["attention_mask"].sum(dim=1).tolist(), strict=True)
        ]
        waiting = batches_of([len(piece) for piece in pieces], self.batch_tokens, batch_size)[::-1]
        results: list[dict[str, torch.Tensor]] = [{}] * len(pieces)
        while waiting:
            rows = waiting.pop()
            batch = self._batch([pieces[i] for i in rows], [strands[i] for i in rows])
            try:
                outputs = self.forward(batch, **settings)
            except torch.OutOfMemoryError:
                if len(rows) == 1:
                    raise
                self.batch_tokens = max(1, self.batch_tokens // 2)  # from the next sequences on
                waiting += [rows[len(rows) // 2 :], rows[: len(rows) // 2]]
                continue
            for row, i in enumerate(rows):
                results[i] = {name: values[row] for name, values in outputs.items()}
        begin = 0
        for each in prepared:
            own = results[begin : begin + len(each["strand"])]
            begin += len(own)
            yield {name: [piece[name] for piece in own] for name in own[0]}

    # --- pieces

    def _pieces_of(self, letters: str, cutting: Cutting) -> list[list[int]]:
        """The ids of each piece of a strand, without `<cls>`."""
        if cutting.long == "truncate":
            return [self._tokenise([letters[: cutting.window]])[0][: cutting.max_letters]]
        if cutting.long == "error":
            [ids] = self._tokenise([letters])
            if len(letters) > cutting.window or len(ids) > cutting.max_letters:
                raise cutting.too_long(len(letters), len(ids) + 1)
            return [ids]
        windows = self._tokenise(_overlapping(letters, cutting.window, cutting.stride))
        return [piece for ids in windows for piece in _overlapping(ids, cutting.max_letters, cutting.stride_tokens)]

    def _tokenise(self, texts: list[str]) -> list[list[int]]:
        # "<mask>" in a sequence is six characters that are no nucleotides.
        return self.tokenizer(texts, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]

    def _batch(self, pieces: list[torch.Tensor], strands: list[int]) -> dict[str, torch.Tensor]:
        ids_BT = pad_sequence(pieces, batch_first=True, padding_value=self.tokenizer.pad_token_id)
        mask_BT = torch.arange(ids_BT.shape[1]) < torch.tensor([len(piece) for piece in pieces])[:, None]
        return {"input_ids": ids_BT, "attention_mask": mask_BT.long(), "strand": torch.tensor(strands)}

    def _check_finite(self, name: str, values: Iterable[np.ndarray]) -> None:
        if not all(np.isfinite(each).all() for each in values):
            is_narrow = self.model.dtype != torch.float32
            advice = f"{self.model.dtype} is too narrow (load it in float32), or " if is_narrow else ""
            raise ValueError(
                f"The model {self.model.name_or_path} gives NaN or infinite numbers as {name}: {advice}its weights "
                "are damaged; download the checkpoint again."
            )


def _overlapping(items: Any, size: int, stride: int) -> list[Any]:
    """Windows of a string or list; the last one may be shorter."""
    return [items[start : start + size] for start in range(0, max(1, len(items) - size + stride), stride)]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _check_iterable(inputs: object) -> None:
    is_other = isinstance(inputs, (bytes, bytearray, Mapping, io.IOBase)) or type(inputs).__name__ in _NOT_LISTS
    if is_other or not isinstance(inputs, (Iterable, Dataset)):
        raise ValueError(f"Got a {type(inputs).__name__}; give a DNA sequence as a string, or an iterable of strings.")


def letters_of(sequence: object) -> str:
    """
    A sequence without white space.

    Raises:
        SequenceError: If it is not a string, is empty, or is in a format of its own.
    """
    if not isinstance(sequence, str):
        raise SequenceError(f"Got {type(sequence).__name__} for a DNA sequence; give a string.")
    if _FILE_NAME.search(sequence) or (re.search(r"[./\\]", sequence[:1000]) and os.path.isfile(sequence)):
        raise SequenceError(f"Got {sequence!r}, which looks like the name of a file; read it, and give its sequences.")
    words = sequence.split()
    if not words:
        raise SequenceError("Got an empty sequence, which has no embedding; leave it out.")
    if words[0].startswith(">"):
        raise SequenceError(f"Got {words[0]!r}, the header of a FASTA record; give the sequences alone.")
    if len(set(words)) > 3 and all(len(a) > 1 and a[1:] == b[:-1] for a, b in zip(words, words[1:], strict=False)):
        raise SequenceError(f"Got overlapping k-mers ({' '.join(words[:3])} …); give the sequence that they are from.")
    return "".join(words)


def _leave_threads_of_parent() -> None:
    """In a forked child, as of `Dataset.map(num_proc=2)`, which would wait forever for the threads of its parent."""
    global _process
    if os.getpid() != _process:
        torch.set_num_threads(1)
        _process = os.getpid()
