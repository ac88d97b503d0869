"""Engine of other encoders and vocabularies -> compared with transformers' own tokenizer and forward, row by row."""

import random

import numpy as np
import pytest
import torch
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    EsmTokenizer,
    ModernBertConfig,
    ModernBertForMaskedLM,
    ModernBertForSequenceClassification,
    PreTrainedTokenizerFast,
)

from dnahub.checkpoints.loading import find_checkpoint, head_of, load_for_task
from dnahub.checkpoints.tokenizer import build_tokenizer, nt_vocabulary
from dnahub.hub_code import DNAEmbeddingPipeline, NucleotideTransformerForMaskedLM, NucleotideTransformerModel
from dnahub.inference.encoder import Encoder
from dnahub.inference.engine import Engine
from dnahub.inference.readouts import SequenceAnswers
from dnahub.inference.variants import Allele, Settings, VariantScorer
from dnahub.sequences.opening import InputFile
from dnahub.sequences.regions import Genome
from tests.tiny_models import random_model

PIECES = ["A", "C", "G", "T", "N", *(a + b for a in "ACGT" for b in "ACGT"), "ACG", "GATTACA", "TTTTT"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
IDS = {"vocab_size": len(SPECIAL + PIECES), "pad_token_id": 0, "max_position_embeddings": 64}
IDS |= {"cls_token_id": 2, "bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3}
FAMILIES = {
    "modernbert": (ModernBertConfig(**SIZES, **IDS), ModernBertForMaskedLM, ModernBertForSequenceClassification),
    "bert": (BertConfig(**SIZES, **IDS), BertForMaskedLM, BertForSequenceClassification),
}
MOST = 64


def uneven_tokenizer(**names) -> PreTrainedTokenizerFast:
    """Tokens of one to seven letters, the longest first, between [CLS] and [SEP], as of BPE."""
    tokenizer = Tokenizer(WordLevel({token: i for i, token in enumerate(SPECIAL + PIECES)}, unk_token="[UNK]"))
    longest_first = "|".join(sorted(PIECES, key=len, reverse=True))
    tokenizer.pre_tokenizer = Split(Regex(longest_first), "isolated")
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    special = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special, **names)


@pytest.fixture(scope="module")
def sequences() -> list[str]:
    rng = random.Random(0)
    return ["".join(rng.choices("ACGT", k=nt)) for nt in (1, 7, 60, 61, 90, 33)] + ["ACGNNGATTACA", "acgtgattaca"]


@pytest.fixture(scope="module", params=FAMILIES)
def folders(request, tmp_path_factory):
    """A masked language model and a classifier of a family, as their makers would publish them."""
    config, *classes = FAMILIES[request.param]
    made = {}
    for name, model_class in zip(("lm", "classifier"), classes, strict=True):
        torch.manual_seed(0)
        config.num_labels = 3
        model = model_class(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
        made[name] = tmp_path_factory.mktemp(request.param) / name
        model.save_pretrained(made[name])
        uneven_tokenizer().save_pretrained(made[name])
    return made


def loaded(folder, head=None):
    files = find_checkpoint(str(folder))
    return load_for_task(head or head_of(files), files, None)


def by_hand(model, tokenizer, sequence: str, layer: int = -1) -> np.ndarray:
    with torch.no_grad():
        outputs = model(**tokenizer([sequence.upper()], return_tensors="pt"), output_hidden_states=True)
    return (outputs.last_hidden_state if layer == -1 else outputs.hidden_states[layer])[0].numpy()


@pytest.mark.parametrize("layer", [-1, 0, 1])
@pytest.mark.parametrize("head", ["lm", "classifier"])
def test_embeddings_are_those_of_a_plain_loop(folders, sequences, head, layer):
    model, tokenizer = loaded(folders[head], "none")
    engine = Engine(model, tokenizer, batch_tokens=100)
    found = engine.compute(engine.plan(sequences, layer=layer)).vectors
    plain, plain_tokenizer = (
        AutoModel.from_pretrained(folders[head]).eval(),
        AutoTokenizer.from_pretrained(folders[head]),
    )
    expected = [by_hand(plain, plain_tokenizer, sequence, layer).mean(axis=0) for sequence in sequences]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    tokens = engine.compute(engine.plan(sequences, layer=layer, pooling="none"))
    rows = np.split(tokens.vectors, np.cumsum(tokens.num_tokens)[:-1])
    for row, sequence in zip(rows, sequences, strict=True):
        np.testing.assert_allclose(row, by_hand(plain, plain_tokenizer, sequence, layer), rtol=0, atol=1e-5)


def test_long_sequences_are_cut_between_tokens_and_every_letter_is_in_a_window(folders, sequences):
    model, tokenizer = loaded(folders["lm"], "none")
    engine = Engine(model, tokenizer)
    long = "".join(random.Random(1).choices("ACGT", k=700))
    result = engine.compute(engine.plan([sequences[3], long], long="windows"))
    plain = AutoModel.from_pretrained(folders["lm"]).eval()
    plain_tokenizer = AutoTokenizer.from_pretrained(folders["lm"])
    ids = plain_tokenizer(long, add_special_tokens=False).input_ids
    size, stride = MOST - 2, (MOST - 2) * 3 // 4
    windows = [ids[i : i + size] for i in range(0, max(1, len(ids) - size + stride), stride)]
    assert result.sequence.tolist() == [0] + [1] * len(windows) and max(result.num_tokens) <= MOST
    assert result.start[1] == 0 and result.end[-1] == 700 and (result.start[2:] < result.end[1:-1]).all()
    for vector, window, start, end in zip(result.vectors[1:], windows, result.start[1:], result.end[1:], strict=True):
        assert "".join(plain_tokenizer.convert_ids_to_tokens(window)) == long[start:end]
        with torch.no_grad():
            states = plain(torch.tensor([[2, *window, 3]])).last_hidden_state[0]
        np.testing.assert_allclose(vector, states.mean(dim=0), rtol=0, atol=1e-5)


def test_predictions_are_those_of_transformers(folders, sequences):
    model, tokenizer = loaded(folders["classifier"])
    engine = Engine(
        model, tokenizer, batch_tokens=100, readout=SequenceAnswers("single_label_classification", 3, True)
    )
    found = engine.compute(engine.plan(sequences)).vectors
    plain = AutoModelForSequenceClassification.from_pretrained(folders["classifier"]).eval()
    encoder = AutoModel.from_pretrained(folders["classifier"]).eval()
    plain_tokenizer = AutoTokenizer.from_pretrained(folders["classifier"])
    for row, sequence in zip(found, sequences, strict=True):
        with torch.no_grad():
            logits = plain(**plain_tokenizer([sequence.upper()], return_tensors="pt")).logits[0]
        np.testing.assert_allclose(row[:3], logits.softmax(0), rtol=0, atol=1e-5)
        np.testing.assert_allclose(
            row[3:], by_hand(encoder, plain_tokenizer, sequence).mean(axis=0), rtol=0, atol=1e-5
        )


def test_an_encoder_without_a_head_predicts_nothing(folders):
    with pytest.raises(ValueError, match="do not fit config.json"):
        loaded(folders["lm"], "sequence")


def test_variants_are_scored_by_its_own_tokens(folders, tmp_path):
    sequence = "".join(random.Random(2).choices("ACGT", k=200))
    (tmp_path / "g.fa").write_text(f">c\n{sequence}\n")
    genome, window = Genome(InputFile(str(tmp_path / "g.fa"))), 42
    model, tokenizer = loaded(folders["lm"])
    scorer = VariantScorer(Encoder(model, tokenizer), genome, Settings(("llr",), window, False, 1, False))
    alleles = [Allele("c", at, sequence[at], next(b for b in "ACGT" if b != sequence[at])) for at in range(50, 150, 7)]
    found = scorer.compute(scorer.plan(alleles)).scores["llr"]
    plain, plain_tokenizer = AutoModelForMaskedLM.from_pretrained(folders["lm"]).eval(), uneven_tokenizer()
    for score, allele in zip(found, alleles, strict=True):
        start = allele.start - window // 2
        left, right = sequence[start : allele.start], sequence[allele.start + 1 : start + window]
        texts = [left + each + right for each in (allele.ref, allele.alt)]
        ids = [plain_tokenizer(text).input_ids for text in texts]
        first = next(i for i in range(99) if ids[0][i] != ids[1][i])
        last = next(i for i in range(99) if ids[0][-1 - i] != ids[1][-1 - i])
        last = min(last, *(len(each) - first for each in ids))
        total = 0.0
        for sign, each in zip((-1, 1), ids, strict=True):
            places = range(first, len(each) - last)
            if len(ids[0]) == len(ids[1]):
                places = [i for i in range(len(each)) if ids[0][i] != ids[1][i]]
            masked = torch.tensor([[4 if i in places else id for i, id in enumerate(each)]])
            with torch.no_grad():
                logged = plain(masked).logits[0].log_softmax(-1)
            total += sign * sum(float(logged[i, each[i]]) for i in places)
        assert score == pytest.approx(total, abs=2e-5)


def write_published(folder, kmer: int):
    """An NT in the layout of the published ones: config.json, vocab.txt, weights."""
    vocabulary = nt_vocabulary(kmer=kmer)
    model = random_model(NucleotideTransformerForMaskedLM, vocab_size=len(vocabulary), max_position_embeddings=52)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    return model


def test_codon_nt_has_tokens_of_three_letters_everywhere(tmp_path, sequences):
    model = write_published(tmp_path / "codon", 3)
    files = find_checkpoint(str(tmp_path / "codon"))
    encoder, tokenizer = load_for_task("none", files, None)
    theirs = EsmTokenizer(str(tmp_path / "codon" / "vocab.txt"), eos_token=None)
    for sequence in sequences[:-1]:
        assert tokenizer(sequence).input_ids == theirs(sequence).input_ids
    engine = Engine(encoder, tokenizer)
    assert (engine.encoder.kmer, engine.encoder.encoding.is_arithmetic) == (3, True)
    long = "".join(random.Random(1).choices("ACGT", k=400))
    result = engine.compute(engine.plan([*sequences[:-1], long], long="windows"))
    assert result.end[-1] == 400 and result.start[len(sequences)] == 108  # of 147, three quarters in frame
    for vector, sequence in zip(result.vectors, sequences[:-1], strict=False):
        with torch.no_grad():
            states = model.esm(torch.tensor([theirs(sequence).input_ids])).last_hidden_state[0]
        np.testing.assert_allclose(vector, states.mean(dim=0), rtol=0, atol=1e-5)
    pipe = DNAEmbeddingPipeline(encoder, tokenizer, device="cpu")
    expected = pipe([long], long="mean", reverse_complement=True)
    both = engine.compute(engine.plan([long], long="mean", reverse_complement=True)).vectors
    np.testing.assert_allclose(both, expected, rtol=0, atol=1e-5)


def test_an_nt_with_another_tokenizer_is_run_by_that(tmp_path, sequences):
    """As Plant-NT: the body of an NT, and tokens of any length."""
    fields = {
        "vocab_size": len(SPECIAL + PIECES),
        "pad_token_id": 0,
        "mask_token_id": 4,
        "max_position_embeddings": MOST,
    }
    model = random_model(NucleotideTransformerModel, **fields)
    model.save_pretrained(tmp_path)
    uneven_tokenizer().save_pretrained(tmp_path)
    encoder, tokenizer = load_for_task("none", find_checkpoint(str(tmp_path)), None)
    engine = Engine(encoder, tokenizer)
    assert engine.encoder.backend == "fused" and not engine.encoder.encoding.is_arithmetic
    found = engine.compute(engine.plan(sequences)).vectors
    expected = [by_hand(model, uneven_tokenizer(), sequence).mean(axis=0) for sequence in sequences]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    pipe = DNAEmbeddingPipeline(encoder, tokenizer, device="cpu")
    np.testing.assert_allclose(np.stack(pipe(sequences)), expected, rtol=0, atol=1e-5)


def test_a_tokenizer_with_our_vocabulary_but_other_rules_is_not_computed(sequences):
    tokenizer = build_tokenizer(nt_vocabulary(), 100)
    tokenizer.backend_tokenizer.pre_tokenizer = Split(Regex("."), "isolated")
    model = random_model()
    engine = Engine(model, tokenizer)
    assert not engine.encoder.encoding.is_arithmetic
    found = engine.compute(engine.plan(sequences)).vectors
    expected = [by_hand(model, tokenizer, sequence).mean(axis=0) for sequence in sequences]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
