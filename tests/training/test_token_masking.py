import shutil

import pytest
import torch

from dnahub.training.token_masking import mask_in_training
from tests.runs import SCRATCH, metrics, same, weights
from tests.tiny_models import random_model, tokenizer_of


def test_ordinary_tokens_are_masked_in_training_only():
    model = random_model()
    tokenizer = tokenizer_of(model)
    ids = torch.randint(6, 4102, (200, 50))
    ids[:, 0], ids[:, 40:] = tokenizer.cls_token_id, tokenizer.pad_token_id
    seen = []
    model.embeddings.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["input_ids"]), with_kwargs=True
    )
    mask_in_training(model, 0.3, tokenizer.mask_token_id, tokenizer.all_special_ids)
    for _ in range(2):
        model.train()(input_ids=ids)
    model.eval()(input_ids=ids)
    first, second, evaluated = seen
    assert torch.equal(evaluated, ids) and not torch.equal(first, second)
    masked = first == tokenizer.mask_token_id
    assert torch.equal(first[~masked], ids[~masked]) and not masked[:, 0].any() and not masked[:, 40:].any()
    assert masked[:, 1:40].float().mean() == pytest.approx(0.3, abs=0.015)  # 7,800 tokens: 3 deviations


def test_an_interrupted_run_masks_the_same_tokens(tmp_path, run_train, toy_dataset):
    flags = ["--dataset_name", toy_dataset, *SCRATCH, "--max_steps", 9, "--save_steps", 3, "--mask_fraction", 0.2]
    flags += ["--save_total_limit", 9]
    assert run_train(*flags, "--output_dir", tmp_path / "whole")[0] == 0
    shutil.copytree(tmp_path / "whole", tmp_path / "resumed")
    for name in ("checkpoint", "checkpoint-6", "checkpoint-9"):
        shutil.rmtree(tmp_path / "resumed" / name)
    status, out, _ = run_train(*flags, "--output_dir", tmp_path / "resumed")
    assert status == 0 and "going on from" in out and "checkpoint-3" in out
    assert same(weights(tmp_path / "whole" / "checkpoint"), weights(tmp_path / "resumed" / "checkpoint"))
    assert metrics(tmp_path / "whole")["training"]["mask_fraction"] == 0.2


@pytest.mark.parametrize("flags", [["--task", "mlm"], ["--tuning", "head"]])
def test_where_it_would_have_no_effect_it_is_refused(tmp_path, run_train, toy_dataset, mlm_run, flags):
    start = SCRATCH if "mlm" in flags else ["--model_name_or_path", mlm_run / "checkpoint"]
    arguments = ["--dataset_name", toy_dataset, *start, *flags, "--output_dir", tmp_path / "run"]
    status, _, err = run_train(*arguments, "--mask_fraction", 0.2)
    assert status == 2 and "--mask_fraction 0.2" in err
