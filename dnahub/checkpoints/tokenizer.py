"""Vocabulary -> the k-mer tokenizer, a `tokenizers` pipeline without code of its own."""

import json
from collections.abc import Sequence
from itertools import product

from tokenizers import Regex, Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import WordLevel
from tokenizers.normalizers import Replace
from tokenizers.normalizers import Sequence as Normalizers
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS_V1 = ("<unk>", "<pad>", "<mask>", "<cls>")
SPECIAL_TOKENS_V2 = (*SPECIAL_TOKENS_V1, "<eos>", "<bos>")
KMERS = (6, 3)  # of NT, and of Codon-NT
ADDED_BY_RUST = ("added_tokens", "truncation", "padding", "post_processor", "decoder", "version")


def nt_vocabulary(special_tokens: Sequence[str] = SPECIAL_TOKENS_V2, kmer: int = 6) -> list[str]:
    """The vocabulary in the order of its ids: special tokens, all k-mers in the order of A, T, C, G, and ATCGN."""
    return [*special_tokens, *("".join(letters) for letters in product("ATCG", repeat=kmer)), *"ATCGN"]


def build_tokenizer(vocabulary: Sequence[str], max_tokens: int) -> PreTrainedTokenizerFast:
    """
    The tokenizer of a checkpoint: equal to `EsmTokenizer` on upper-case ACGTN, and defined on any text.

    From the left, six letters of ACGT (in Codon-NT three) are one token; N, and what is left over before it or at the
    end, are single letters. `<cls>` comes first, nothing at the end. Lower case is read as upper case, U as T, white
    space is dropped, and every other character is read as one N.

    Args:
        vocabulary: The tokens in the order of their ids (`nt_vocabulary`, or the lines of a published vocab.txt).
        max_tokens: The longest input the model takes, `<cls>` included.

    Raises:
        ValueError: If the vocabulary is not one of a Nucleotide Transformer of 6-mers or 3-mers.
    """
    kmer = next((k for k in KMERS if _is_of_kmers(vocabulary, k)), None)
    if kmer is None:
        raise ValueError(
            f"Got a vocabulary of {len(vocabulary)} tokens that is not that of a Nucleotide Transformer of 6-mers or "
            "3-mers (special tokens, all k-mers in the order of A, T, C, G, then A T C G N); give its tokenizer.json."
        )
    tokenizer = Tokenizer(WordLevel({token: i for i, token in enumerate(vocabulary)}, unk_token="<unk>"))
    # One Replace a letter: tokenizers' own Lowercase takes about three times as long as all of these together.
    tokenizer.normalizer = Normalizers(
        [Replace(Regex(r"[\s\x1c-\x1f]+"), ""), Replace(Regex("[^ACGTNUacgtnu]"), "N")]
        + [Replace(letter, upper) for letter, upper in zip("acgtnuU", "ACGTNTT", strict=True)]
    )
    tokenizer.pre_tokenizer = Split(Regex(f"[ACGT]{{{kmer}}}|."), "isolated")
    tokenizer.post_processor = TemplateProcessing(
        single="<cls> $A", pair="<cls> $A $B", special_tokens=[("<cls>", vocabulary.index("<cls>"))]
    )
    tokenizer.decoder = Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        pad_token="<pad>",
        mask_token="<mask>",
        cls_token="<cls>",
        extra_special_tokens=[token for token in vocabulary if token in ("<eos>", "<bos>")],
        model_max_length=max_tokens,
        padding_side="right",
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )


def _is_of_kmers(vocabulary: Sequence[str], kmer: int) -> bool:
    return list(vocabulary) in [nt_vocabulary(special, kmer) for special in (SPECIAL_TOKENS_V1, SPECIAL_TOKENS_V2)]


def kmers_of(tokenizer: PreTrainedTokenizerFast) -> tuple[int, int] | None:
    """
    The id of the first k-mer, AAAAAA, and k, if the tokenizer does what `build_tokenizer` makes; None otherwise.

    Then the ids of all k-mers and single letters follow from their letters.
    """
    vocabulary = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    for kmer in KMERS:
        if _is_of_kmers(vocabulary, kmer) and _rules(tokenizer) == _rules(build_tokenizer(vocabulary, 2)):
            return vocabulary.index("A" * kmer), kmer
    return None


def _rules(tokenizer: PreTrainedTokenizerFast) -> dict[str, object]:
    """What decides the ids of a sequence's letters."""
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    return {name: rule for name, rule in rules.items() if name not in ADDED_BY_RUST}
