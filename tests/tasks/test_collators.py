"""Collators -> compared with the tokenizer alone, and with the proportions of BERT's masking."""

import math
import random

import pytest
import torch
from datasets import Dataset

from dnahub.checkpoints.tokenizer import SPECIAL_TOKENS_V1, build_tokenizer, nt_vocabulary
from dnahub.tasks.collators import label_batch
from dnahub.tasks.masked_lm import MaskingCollator
from dnahub.tasks.token_classification import token_label_batch

PAD, MASK, CLS = 1, 2, 3
FIRST_KMER = {"v1": 4, "v2": 6}


@pytest.fixture(params=["v1", "v2"], scope="module")
def version(request):
    return request.param


@pytest.fixture(scope="module")
def tokenizer(version):
    vocabulary = nt_vocabulary(SPECIAL_TOKENS_V1) if version == "v1" else nt_vocabulary()
    return build_tokenizer(vocabulary, 2048)


def random_rows(count: int, shortest: int, longest: int, seed: int = 0, alphabet: str = "ACGT") -> list[dict]:
    rng = random.Random(seed)
    return [{"sequence": "".join(rng.choices(alphabet, k=rng.randint(shortest, longest)))} for _ in range(count)]


def tokenised(tokenizer, rows: list[dict]) -> list[dict]:
    """The rows as `dnahub.training.tokens` gives them."""
    return [{"input_ids": tokenizer(row["sequence"]).input_ids} | row for row in rows]


def within(count: int, trials: int, probability: float) -> bool:
    """Whether a binomial count lies within five standard deviations of its mean (it fails once in 1.7 million)."""
    return abs(count - trials * probability) <= 5 * math.sqrt(trials * probability * (1 - probability))


@pytest.fixture(scope="module")
def masked(tokenizer):
    """About 200,000 tokens in rows of very different lengths: ids, masked ids, labels, attention mask."""
    rows = random_rows(600, 6, 4000)
    ids = tokenizer([row["sequence"] for row in rows], padding=True, return_tensors="pt")
    torch.manual_seed(0)
    batch = MaskingCollator(tokenizer, seed=1)(tokenised(tokenizer, rows))
    assert torch.equal(batch["attention_mask"], ids["attention_mask"])
    return ids["input_ids"], batch["input_ids"], batch["labels"], batch["attention_mask"].bool()


def test_15_percent_of_the_tokens_are_drawn_and_of_these_80_10_and_10_percent_masked_replaced_and_kept(
    masked, version
):
    ids, inputs, labels, _ = masked
    drawn = labels != -100
    ordinary = (ids != PAD) & (ids != CLS)
    num_drawn = int(drawn.sum())
    num_masked = int((inputs == MASK).sum())
    num_kept = int((drawn & (inputs == ids)).sum())
    num_replaced = int((drawn & (inputs != MASK) & (inputs != ids)).sum())

    assert num_drawn > 20_000
    assert int(inputs[drawn & (inputs != MASK)].min()) >= FIRST_KMER[version]  # no special one is put in
    assert within(num_drawn, int(ordinary.sum()), 0.15)
    assert within(num_masked, num_drawn, 0.8)
    assert within(num_replaced, num_drawn, 0.1 * 4100 / 4101)  # one in 4,101 is drawn as what it was
    assert within(num_kept, num_drawn, 0.1 + 0.1 / 4101)


def test_labels_are_the_original_ids_and_nothing_else_is_changed(masked):
    ids, inputs, labels, attended = masked
    drawn = labels != -100

    assert torch.equal(labels[drawn], ids[drawn])
    assert torch.equal(inputs[~drawn], ids[~drawn])
    special = (ids == PAD) | (ids == CLS)
    assert (~attended).any() and torch.equal(ids == PAD, ~attended) and not drawn[special].any()


def test_masks_are_others_in_each_epoch_and_for_each_row(tokenizer):
    rows, collator = tokenised(tokenizer, random_rows(8, 600, 600)), MaskingCollator(tokenizer, seed=1)
    first = collator(rows)["labels"]
    collator.epoch = 1

    assert not torch.equal(collator(rows)["labels"], first)
    assert len({tuple((row != -100).tolist()) for row in first}) == 8


def test_masks_of_a_row_are_the_same_in_whichever_batch_and_process_it_is(tokenizer):
    rows = tokenised(tokenizer, random_rows(8, 6, 600))
    together = MaskingCollator(tokenizer, seed=1)(rows)
    torch.manual_seed(7)

    for i, row in enumerate(rows):
        alone = MaskingCollator(tokenizer, seed=1)([row])
        tokens = len(row["input_ids"])
        for name in ("input_ids", "labels"):
            assert torch.equal(alone[name][0], together[name][i, :tokens])


@pytest.mark.parametrize("sequence", ["A", "ACGTAC", "ACGTACGTACGT", "N"])
def test_an_evaluation_of_one_short_window_asks_for_something(tokenizer, sequence):
    rows = Dataset.from_list(tokenised(tokenizer, [{"sequence": sequence}]))

    for seed in range(100):
        (row,) = MaskingCollator(tokenizer, seed=seed).mask_once(rows)
        (place, *_) = [i for i, label in enumerate(row["labels"]) if label != -100]
        assert row["labels"][place] == tokenizer(sequence).input_ids[place] and place > 0


def test_labels_of_several_classes_and_of_numbers_are_floats(tokenizer):
    rows = tokenised(tokenizer, random_rows(2, 6, 60))
    several = label_batch(
        tokenizer, [row | {"label": label} for row, label in zip(rows, ([1.0, 0.0], [1.0, 1.0]), strict=True)]
    )
    numbers = label_batch(tokenizer, [row | {"label": label} for row, label in zip(rows, (0.5, -100.0), strict=True)])

    assert several["labels"].tolist() == [[1, 0], [1, 1]] and several["labels"].dtype == torch.float32
    assert numbers["labels"].tolist() == pytest.approx([0.5, -100], abs=1e-4)
    assert not (numbers["labels"] == -100).any()  # which the Trainer would not count
    assert numbers["labels"].dtype == torch.float32


def test_labels_of_tokens_stand_at_their_tokens_and_none_at_cls_and_padding(tokenizer):
    rows = tokenised(
        tokenizer, [{"sequence": "ACGTAC" * 3, "label": [2, 0, 1]}, {"sequence": "ACGTAC", "label": [1, 0]}]
    )
    batch = token_label_batch(tokenizer, rows)  # the second was cut: it has a label too many

    assert batch["labels"].tolist() == [[-100, 2, 0, 1], [-100, 1, -100, -100]]
