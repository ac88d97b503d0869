"""DNA sequences -> embeddings, by `pipeline("dna-embedding")`."""

import io
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset
from transformers import Pipeline, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

logger = logging.get_logger(__name__)

POOLINGS = ("mean", "mean_without_cls", "cls", "max", "none")
LONG = ("mean", "windows", "truncate", "error")
DEFAULTS = {"pooling": "mean", "layer": -1, "max_length": None, "normalize": False, "reverse_complement": False}
DEFAULTS |= {"long": None, "window_nt": None, "stride_nt": None, "batch_size": None}

# Tokens per batch, padding included. CPU: larger batches are not faster (benchmarks/embed_throughput.py, batches).
# GPU: not measured; a batch that does not fit into its memory is split.
BATCH_TOKENS = {"cpu": 768, "other": 32_768}
LEAST_FILLED = 0.94  # shortest input of a batch as a fraction of the longest; about 3 % is padding
UNLIMITED_NT = 2**40
BUFFER_NT = 1_000_000  # sorted by length at a time; their token vectors (pooling "none") take about 500 MB

_COMPLEMENT = str.maketrans("ACGTUacgtu", "TGCAAtgcaa")
_NOT_DNA = re.compile(r"[^ACGTNUacgtnu\s]")
_NOT_IUPAC = re.compile(r"[^ABCDGHKMNRSTUVWY]", re.IGNORECASE)  # nucleotide codes, doi:10.1093/nar/13.9.3021
_NAME_OR_RECORD = re.compile(r"^\s*[>@]|\n[>@]|[/\\]|\.(?![acgtun]+\s*\Z)[a-z]\w*\s*\Z", re.IGNORECASE)
_NOT_LISTS = ("DataFrame", "LazyFrame", "Table", "Seq", "MutableSeq", "SeqRecord")  # of pandas, polars, Biopython, …
_PROCESS = os.getpid()

Piece = dict[str, Any]  # a window of a sequence as model input, later with its results


class SequenceError(ValueError):
    """A sequence that cannot be embedded; `index` is its position among those given."""

    def __init__(self, message: str, index: int = 0):
        super().__init__(message)
        self.index = index


def pool(hidden_states_BTH: torch.Tensor, attention_mask_BT: torch.Tensor, pooling: str) -> torch.Tensor:
    """Token vectors, `<cls>` first, padding last -> float32 (batch, hidden); with "none" (batch, tokens, hidden)."""
    check_choice("pooling", pooling, POOLINGS)
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
    """
    How long sequences are cut; the arguments are those of `DNAEmbeddingPipeline`, `max_tokens` its `max_length`.

    `kmer` is the number of letters of a token, None where these differ; `num_added` that of tokens such as `<cls>`.
    """

    max_tokens: int
    long: str
    window_nt: int | None = None
    stride_nt: int | None = None
    kmer: int | None = 6
    num_added: int = 1

    @property
    def window(self) -> int:
        # Of tokens of any length, the whole sequence is read, and cut between tokens alone.
        return self.window_nt or (self.kmer * self.max_letters if self.kmer else UNLIMITED_NT)

    @property
    def stride(self) -> int:
        # A multiple of their length keeps the k-mers of neighbours in one frame.
        kmer = self.kmer or 1
        return self.stride_nt or min(self.window, max(kmer, self.window * 3 // 4 // kmer * kmer))

    @property
    def max_letters(self) -> int:
        """The most tokens of a piece without `<cls>`, each a k-mer or a letter."""
        return self.max_tokens - self.num_added

    @property
    def stride_tokens(self) -> int:
        """Between pieces of a window that has too many tokens, as with many N; they overlap by a quarter at most."""
        return max(1, self.max_letters * 3 // 4, self.max_letters * self.stride // self.window)

    def too_long(self, num_nt: int, num_tokens: int | None = None, index: int = 0) -> SequenceError:
        tokens = "" if num_tokens is None else f", {num_tokens} tokens"
        return SequenceError(
            f"Got a sequence of {num_nt} nt{tokens}; at most {self.max_tokens} tokens, "
            f"{'' if self.kmer is None else f'{self.window} nt, '}are taken: give max_length to cut it, or "
            "long 'mean' or 'windows' to embed it in pieces.",
            index,
        )


def complete_settings(pipe: "DNAEmbeddingPipeline", given: Mapping[str, Any]) -> dict[str, Any]:
    """
    The arguments of `DNAEmbeddingPipeline`, checked, with defaults for those that are not given.

    Of the pipeline, or of what stands for it, `max_tokens`, `kmer`, `num_added` and `num_layers_up_to` are used.
    """
    settings = DEFAULTS | given
    check_whole("max_length", settings["max_length"], pipe.num_added + 1, pipe.max_tokens)
    if settings["long"] is None:
        settings["long"] = "error" if settings["max_length"] is None else "truncate"
    settings["max_length"] = settings["max_length"] or pipe.max_tokens
    reach = pipe.kmer * (settings["max_length"] - pipe.num_added) if pipe.kmer else UNLIMITED_NT
    check_whole("window_nt", settings["window_nt"], 1, reach)
    check_whole("stride_nt", settings["stride_nt"], 1, settings["window_nt"] or reach)  # no nt is skipped
    check_whole("batch_size", settings["batch_size"], 1)
    check_choice("pooling", settings["pooling"], POOLINGS)
    check_choice("long", settings["long"], LONG)
    check_choice("normalize", settings["normalize"], (True, False))
    check_choice("reverse_complement", settings["reverse_complement"], (True, False))
    pipe.num_layers_up_to(settings["layer"])  # raises if there is no such layer
    if (settings["window_nt"] or settings["stride_nt"]) and settings["long"] not in ("mean", "windows"):
        raise ValueError(f"Got window_nt or stride_nt with long {settings['long']!r}; give long 'mean' or 'windows'.")
    if settings["pooling"] == "none" and (settings["long"] == "mean" or settings["reverse_complement"]):
        raise ValueError("Got pooling 'none' with long 'mean' or reverse_complement; tokens cannot be averaged.")
    return settings


def cutting_of(pipe: "DNAEmbeddingPipeline", settings: Mapping[str, Any]) -> Cutting:
    """What `complete_settings` says of long sequences."""
    given = (settings[name] for name in ("max_length", "long", "window_nt", "stride_nt"))
    return Cutting(*given, pipe.kmer, pipe.num_added)


def kmer_of(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Letters of a token: 6, in Codon-NT 3; None where tokens are not all words of one length, as of BPE."""
    lengths = Counter(len(token) for token in tokenizer.get_vocab() if set(token) <= set("ACGT"))
    longest = max(lengths, default=0)
    return longest if longest and lengths[longest] == 4**longest and set(lengths) <= {1, longest} else None


def added_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """The ids that the tokenizer puts before and after those of a sequence, such as that of `<cls>`."""
    whole, plain = tokenizer("A").input_ids, tokenizer("A", add_special_tokens=False).input_ids
    first = next(i for i in range(len(whole)) if whole[i : i + len(plain)] == plain)
    return whole[:first], whole[first + len(plain) :]


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    if value not in choices:
        raise ValueError(f"Got {name} {value!r}; give one of {', '.join(map(str, choices))}.")


def check_whole(name: str, value: Any, least: int, most: float = np.inf) -> None:
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    if value is not None and not (is_whole and least <= value <= most):
        raise ValueError(f"Got {name} {value!r}; give a whole number from {least} to {most}.")


def reverse_complement(sequence: str) -> str:
    """The other strand, 5' to 3'; letters other than A, C, G, T, U are unchanged."""
    return sequence.translate(_COMPLEMENT)[::-1]


def count_replaced(sequence: str) -> int:
    """How many characters of a sequence are read as N although they are not A, C, G, T, U, N or white space."""
    return len(_NOT_DNA.findall(sequence))


def batches_of(lengths: Sequence[int], batch_tokens: int, batch_size: int | None = None) -> list[list[int]]:
    """Indices of the pieces in each batch: similar lengths, within both limits, longest first."""
    batches: list[list[int]] = []
    longest = most = 0  # of the last batch
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if not batches or len(batches[-1]) == most or lengths[i] < LEAST_FILLED * longest:
            batches.append([])
            longest = lengths[i]
            most = min(max(1, batch_tokens // longest), batch_size or len(lengths))
        batches[-1].append(i)
    return batches


class DNAEmbeddingPipeline(Pipeline):
    """
    DNA sequences -> one float32 vector each, (hidden,), which does not depend on the batch or the order.

    A string gives an array, a list a list in the same order; any other iterable of strings is streamed, a generator
    read `batch_size` sequences ahead. Lower case is read as upper case, U as T, white space is dropped; any other
    character is read as N, with one warning, and counted in `num_replaced`. The arguments are taken by `pipeline(...)`
    and, except `batch_tokens`, by the call, which takes precedence.

    Args:
        pooling (`str`, default `"mean"`): `"mean"` over all tokens, `<cls>` included, as in the model card of NT;
            `"mean_without_cls"`; `"cls"`; `"max"`; or `"none"`, the vectors of the tokens, (tokens, hidden).
        layer (`int`, default -1): 0 = the embeddings, i = after layer i, -1 = the last, after the final layer norm.
        max_length (`int`, default the model's positions): The most tokens of a sequence, `<cls>` included.
        long (`str`, default `"truncate"` where `max_length` is given, else `"error"`): How to treat sequences of
            more tokens than `max_length`, or more letters than `window_nt`: `"mean"` of overlapping windows, weighted
            by their tokens; `"windows"`, (windows, hidden) instead of (hidden,); `"truncate"`; `"error"`.
        window_nt (`int`, default what `max_length` reaches): Letters of a window.
        stride_nt (`int`, default three quarters of a window): Letters from one window's beginning to the next one's.
        reverse_complement (`bool`, default `False`): Whether to take the mean of both strands' vectors.
        normalize (`bool`, default `False`): Whether to scale each vector to Euclidean length 1, at the end.
        batch_size (`int`, default as many as `batch_tokens` allow): The most sequences of a forward pass.
        batch_tokens (`int`, default by the device): The most tokens of a forward pass, padding included.
    """

    _arguments = tuple(DEFAULTS)
    _load_tokenizer = True
    _load_processor = _load_image_processor = _load_video_processor = _load_feature_extractor = False

    def __init__(self, model: PreTrainedModel, *args: Any, batch_tokens: int | None = None, **kwargs: Any):
        if type(model).__module__.startswith("peft."):
            if any(config.is_prompt_learning for config in model.peft_config.values()):
                raise ValueError(f"Got a {type(model).__name__} with learned prompts; give one with adapted layers.")
            model = model.base_model.model  # with the adapter in its layers
        check_whole("batch_tokens", batch_tokens, 1)
        self.num_replaced = 0
        with device_explained(kwargs.get("device")):
            super().__init__(model, *args, **kwargs)
        self.batch_tokens = batch_tokens or BATCH_TOKENS["cpu" if self.device.type == "cpu" else "other"]

    @property
    def max_tokens(self) -> int:
        """The most tokens that the model takes."""
        return self.model.config.max_tokens

    @cached_property
    def kmer(self) -> int | None:
        """Letters of a token, if these are words of one length."""
        return kmer_of(self.tokenizer)

    @cached_property
    def _added_ids(self) -> tuple[list[int], list[int]]:
        return added_ids(self.tokenizer)

    @property
    def num_added(self) -> int:
        """How many tokens, such as `<cls>`, the tokenizer adds to a sequence."""
        return sum(map(len, self._added_ids))

    def num_layers_up_to(self, layer: int) -> int:
        """How many layers have to be run for `layer`; a ValueError if there is none."""
        return self.model.base_model.num_layers_up_to(layer)

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """The model with all code, and the tokenizer; config.json names the pipelines."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.tokenizer.save_pretrained(save_directory, **kwargs)

    def _sanitize_parameters(self, **given: Any) -> tuple[dict, dict, dict]:
        for name in given:
            if name not in self._arguments:
                raise ValueError(f"Got the argument {name!r}; give any of {', '.join(self._arguments)}.")
        # Checked with "windows", because the call may still give the `long` that window_nt needs.
        complete_settings(self, {"long": "windows"} | given)
        return given, given, given  # every step gets all and uses what it needs

    def preprocess(self, sequence: str, **settings: Any) -> list[Piece]:
        """One sequence -> its pieces: itself, or windows; of one or both strands; with weights that add up to 1."""
        settings = complete_settings(self, settings)
        letters = letters_of(sequence)
        num_replaced = count_replaced(letters)
        if num_replaced and not self.num_replaced:
            logger.warning(f"{num_replaced} characters are not A, C, G, T, U or N: read as N; see `num_replaced`.")
        self.num_replaced += num_replaced
        cutting = cutting_of(self, settings)
        strands = [self._cut(letters, cutting)]
        if settings["reverse_complement"] and cutting.long == "mean":
            # Cut from its own start, so that either strand gives the same vector.
            strands.append(self._cut(reverse_complement(letters), cutting))
        elif settings["reverse_complement"]:
            texts = ["".join(self.tokenizer.convert_ids_to_tokens(ids)) for ids in strands[0]]
            strands.append(self._tokenise([reverse_complement(text) for text in texts]))
        pieces, (before, after) = [], self._added_ids
        for number, strand in enumerate(strands):
            num_tokens = sum(len(ids) + self.num_added for ids in strand) * len(strands)
            for ids in strand:
                ids = np.array([*before, *ids, *after])
                pieces.append({"input_ids": ids, "strand": number, "weight": len(ids) / num_tokens})
        return pieces

    def _forward(self, pieces: list[Piece], pooling: str = "mean", layer: int = -1, **_: Any) -> list[Piece]:
        """Pieces, of one or many sequences -> the same with their `embedding`."""
        ids_BT, mask_BT = self._padded(pieces)
        encoder = self.model.base_model
        states_BTH = encoder(ids_BT, attention_mask=mask_BT, layer=layer, return_dict=True).last_hidden_state
        vectors = pool(states_BTH, mask_BT.to(states_BTH.device), pooling).cpu()
        return [piece | {"embedding": vector} for piece, vector in zip(pieces, vectors, strict=True)]

    def postprocess(self, pieces: list[Piece], **settings: Any) -> Any:
        """The pieces of one sequence -> its vector; of tokens (tokens, hidden); of windows one each."""
        settings = DEFAULTS | settings
        vectors = [piece["embedding"].numpy() for piece in pieces]
        if settings["pooling"] == "none":
            rows = [tokens[: len(piece["input_ids"])].copy() for piece, tokens in zip(pieces, vectors, strict=True)]
        elif settings["long"] == "windows":
            both_strands = np.array_split(vectors, 1 + settings["reverse_complement"])
            rows = [np.mean(both_strands, axis=0)]  # (windows, hidden)
        else:
            weights = [piece["weight"] for piece in pieces]
            rows = [np.average(vectors, axis=0, weights=weights).astype(np.float32)]
        self._check_finite("embedding", rows)
        if settings["normalize"]:
            rows = [row / np.maximum(np.linalg.norm(row, axis=-1, keepdims=True), 1e-12) for row in rows]
        return rows if settings["pooling"] == "none" and settings["long"] == "windows" else rows[0]

    def __call__(self, inputs: str | Iterable[str], *, num_workers: Any = None, **kwargs: Any) -> Any:
        """See the class; `num_workers`, an argument of every pipeline, has no effect."""
        if isinstance(inputs, str):
            return self([inputs], **kwargs)[0]
        _check_iterable(inputs)
        settings = self._settings(kwargs)
        answers = (self.postprocess(pieces, **settings) for pieces in self._stream(inputs, settings))
        return list(answers) if isinstance(inputs, (list, tuple)) else answers

    def encode(self, sequences: str | Iterable[str], *, show_progress: bool = False, **kwargs: Any) -> Any:
        """As the call, with `long` "mean" unless given -> float32 (sequences, hidden); of tokens, windows a list."""
        if isinstance(sequences, str):
            return self.encode([sequences], **kwargs)[0]
        _check_iterable(sequences)
        given = self._preprocess_params | kwargs
        if given.get("long") is None and given.get("pooling") != "none":
            kwargs["long"] = "mean"
        settings = self._settings(kwargs) | {"return_embedding": True}
        sequences = sequences if isinstance(sequences, Sized) else list(sequences)
        stream = self._stream(sequences, settings)
        stream = logging.tqdm(stream, total=len(sequences), unit=" sequences", disable=not show_progress)
        rows = [DNAEmbeddingPipeline.postprocess(self, pieces, **settings) for pieces in stream]
        if settings["pooling"] == "none" or settings["long"] == "windows":
            return rows
        return np.stack(rows) if rows else np.empty((0, self.model.config.hidden_size), np.float32)

    def _settings(self, given: dict[str, Any]) -> dict[str, Any]:
        """All arguments: of the call, else of the construction, else the defaults."""
        self._sanitize_parameters(**given)
        return complete_settings(self, {"batch_size": self._batch_size} | self._preprocess_params | given)

    def _stream(self, inputs: Iterable[str], settings: dict[str, Any]) -> Iterator[list[Piece]]:
        """The pieces of each sequence, in order, with their embeddings."""
        # A generator may compute its next sequence from the results so far.
        most = None if isinstance(inputs, Sized) else settings["batch_size"] or 1
        waiting, num_nt = [], 0
        for number, sequence in enumerate(inputs):
            try:
                waiting.append(self.preprocess(sequence, **settings))
            except SequenceError as error:
                raise SequenceError(f"Sequence {number} (from 0): {error}", number) from error
            num_nt += len(sequence)
            if num_nt >= BUFFER_NT or len(waiting) == most:
                yield from self._run(waiting, settings)
                waiting, num_nt = [], 0
        yield from self._run(waiting, settings)

    def _run(self, sequences: list[list[Piece]], settings: dict[str, Any]) -> Iterator[list[Piece]]:
        """Sort all pieces by length and run them in batches; one that does not fit into the memory is halved."""
        if os.getpid() != _PROCESS:
            torch.set_num_threads(1)  # a forked child would wait forever for the threads of its parent
        pieces = [piece for sequence in sequences for piece in sequence]
        lengths = [len(piece["input_ids"]) for piece in pieces]
        batches = batches_of(lengths, self.batch_tokens, settings["batch_size"])[::-1]
        while batches:
            batch = batches.pop()
            try:
                results = self.forward([pieces[i] for i in batch], **settings)
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise
                self.batch_tokens = max(1, self.batch_tokens // 2)  # from the next sequences on
                batches += [batch[len(batch) // 2 :], batch[: len(batch) // 2]]
                continue
            for i, result in zip(batch, results, strict=True):
                pieces[i] = result
        in_order = iter(pieces)
        for sequence in sequences:
            yield [next(in_order) for _ in sequence]

    def _cut(self, letters: str, cutting: Cutting) -> list[list[int]]:
        """The ids of each piece of a strand, without `<cls>`."""
        if cutting.long == "truncate":
            letters = letters[: cutting.window]
        windows = self._tokenise(_overlapping(letters, cutting.window, cutting.stride))
        pieces = [piece for ids in windows for piece in _overlapping(ids, cutting.max_letters, cutting.stride_tokens)]
        if cutting.long == "error" and len(pieces) > 1:
            raise cutting.too_long(len(letters), len(self._tokenise([letters])[0]) + self.num_added)
        return pieces[:1] if cutting.long == "truncate" else pieces

    def _tokenise(self, texts: list[str]) -> list[list[int]]:
        # Reads "<mask>" as six unknown letters, not as the token.
        return self.tokenizer(texts, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]

    def _padded(self, pieces: list[Piece]) -> tuple[torch.Tensor, torch.Tensor]:
        rows = [torch.from_numpy(piece["input_ids"]) for piece in pieces]
        ids_BT = pad_sequence(rows, batch_first=True, padding_value=self.tokenizer.pad_token_id)
        mask_BT = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        return ids_BT.to(self.device), mask_BT.to(self.device)  # (batch, tokens) each

    def _check_finite(self, name: str, values: Iterable[np.ndarray]) -> None:
        if not all(np.isfinite(each).all() for each in values):
            raise ValueError(
                f"The model {self.model.name_or_path} gives NaN or infinite numbers as {name} in {self.model.dtype}: "
                "load it in float32; if it already is, its weights are damaged: download the checkpoint again."
            )


@contextmanager
def device_explained(device: object) -> Iterator[None]:
    """A device that the model cannot be moved to is a ValueError that names it."""
    try:
        yield
    except (AssertionError, RuntimeError) as error:
        raise ValueError(
            f"Got device {device!r}, which cannot be used ({' '.join(str(error).split())[:200]}); give one that this "
            "machine has, as 'cpu', or leave it out."
        ) from error


def _overlapping(items: Any, size: int, stride: int) -> list[Any]:
    """Windows of a string or list; the last one may be shorter."""
    return [items[start : start + size] for start in range(0, max(1, len(items) - size + stride), stride)]


def _check_iterable(inputs: object) -> None:
    is_other = isinstance(inputs, (bytes, bytearray, Mapping, io.IOBase)) or type(inputs).__name__ in _NOT_LISTS
    if is_other or not isinstance(inputs, (Iterable, Dataset)):
        raise ValueError(f"Got a {type(inputs).__name__}; give a DNA sequence as a string, or an iterable of strings.")


def letters_of(sequence: object) -> str:
    """A sequence without white space; an error if it is empty or in another format."""
    if not isinstance(sequence, str):
        raise SequenceError(f"Got {type(sequence).__name__} for a DNA sequence; give a string.")
    words = sequence.split()
    if not words:
        raise SequenceError("Got an empty sequence, which has no embedding; leave it out.")
    letters = "".join(words)
    # Patterns take 50 times as long as this, and all that they look for is among the letters left.
    others = letters.encode("utf-8", "replace").translate(None, b"ACGTNUacgtnu")
    if others and _NAME_OR_RECORD.search(sequence):
        raise SequenceError(f"Got {sequence[:60]!r}, which looks like a FASTA record or file name; give its sequence.")
    if others and 2 * count_replaced(letters) > len(letters) and _NOT_IUPAC.search(letters):
        raise SequenceError(f"Got {sequence[:60]!r}, most of whose letters are not nucleotides; give a DNA sequence.")
    if _are_kmers(words):
        raise SequenceError(f"Got overlapping k-mers ({' '.join(words[:3])} …); give the sequence that they are from.")
    return letters


def _are_kmers(words: list[str]) -> bool:
    """Whether each word begins with all but the first letters of the one before, for which codons need chance."""
    pairs = set(zip(words, words[1:], strict=False))
    for stride in range(1, len(words[0])):
        if all(len(b) <= len(a) and a[stride:] and b.startswith(a[stride:]) for a, b in pairs):  # the last are shorter
            num_letters = sum(len(a) - stride for a, _ in pairs)
            return (stride == 1 and len(set(words)) > 3) or (len(pairs) >= 8 and num_letters >= 16)
    return False
