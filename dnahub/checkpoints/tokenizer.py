"""Vocabulary -> the 6-mer tokenizer, a `tokenizers` pipeline without code of its own."""

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

from dnahub.hub_code.pipeline_dna_embedding import KMER

SPECIAL_TOKENS_V1 = ("<unk>", "<pad>", "<mask>", "<cls>")
SPECIAL_TOKENS_V2 = (*SPECIAL_TOKENS_V1, "<eos>", "<bos>")


def nt_vocabulary(special_tokens: Sequence[str] = SPECIAL_TOKENS_V2) -> list[str]:
    """The vocabulary in the order of its ids: special tokens, 4096 6-mers in the order of A, T, C, G, and ATCGN."""
    return [*special_tokens, *("".join(kmer) for kmer in product("ATCG", repeat=KMER)), *"ATCGN"]


def build_tokenizer(vocabulary: Sequence[str], max_tokens: int) -> PreTrainedTokenizerFast:
    """
    The tokenizer of a checkpoint: equal to `EsmTokenizer` on upper-case ACGTN, and defined on any text.

    From the left, six letters of ACGT are one token; N, and what is left over before it or at the end, are single
    letters. `<cls>` comes first, nothing at the end. Lower case is read as upper case, U as T, white space is dropped,
    and every other character is read as one N.

    Args:
        vocabulary: The tokens in the order of their ids (`nt_vocabulary`, or the lines of a published vocab.txt).
        max_tokens: The longest input the model takes, `<cls>` included.

    Raises:
        ValueError: If the vocabulary is not one of a 6-mer Nucleotide Transformer.
    """
    if list(vocabulary) not in (nt_vocabulary(SPECIAL_TOKENS_V1), nt_vocabulary(SPECIAL_TOKENS_V2)):
        raise ValueError(
            f"Got a vocabulary of {len(vocabulary)} tokens that is not that of a 6-mer Nucleotide Transformer "
            "(4105 or 4107 tokens: special tokens, the 6-mers in the order of A, T, C, G, then A T C G N)."
        )
    tokenizer = Tokenizer(WordLevel({token: i for i, token in enumerate(vocabulary)}, unk_token="<unk>"))
    # One Replace a letter: tokenizers' own Lowercase takes about three times as long as all of these together.
    tokenizer.normalizer = Normalizers(
        [Replace(Regex(r"[\s\x1c-\x1f]+"), ""), Replace(Regex("[^ACGTNUacgtnu]"), "N")]
        + [Replace(letter, upper) for letter, upper in zip("acgtnuU", "ACGTNTT", strict=True)]
    )
    tokenizer.pre_tokenizer = Split(Regex(f"[ACGT]{{{KMER}}}|."), "isolated")
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


def first_kmer_id(tokenizer: PreTrainedTokenizerFast) -> int:
    """The id of AAAAAA, from which those of all 6-mers and single letters follow, or a ValueError."""
    vocabulary, tokens = tokenizer.get_vocab(), nt_vocabulary(special_tokens=())
    first = vocabulary.get(tokens[0], 0)
    if any(vocabulary.get(token) != id for id, token in enumerate(tokens, start=first)):
        raise ValueError(
            f"The {len(vocabulary)} tokens of the tokenizer are not the 6-mers of a Nucleotide Transformer in the "
            "order of A, T, C, G with consecutive ids; give the tokenizer of such a checkpoint."
        )
    return first
