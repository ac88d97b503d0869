"""Temperatures against a grid search, and what a checkpoint gives against the Trainer's own, divided by it."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from peft import PeftModel
from scipy.special import expit, log_softmax
from torch import nn

import dnahub.training.calibration
import dnahub.training.run
from dnahub.checkpoints.loading import build_from_scratch, find_checkpoint, load_for_task, load_saved
from dnahub.metrics.calibration import calibration
from dnahub.tasks import TASKS
from dnahub.tasks.task import Labels
from dnahub.training.calibration import calibrate, fit_temperature, last_layer
from dnahub.training.tuning import add_ia3, add_lora
from tests.checkpoints.test_other_encoders import MODELS, SEQUENCES, write
from tests.runs import SCRATCH, metrics, same, weights

LABELS = Labels(["a", "b", "c"], 3)
RNG = np.random.default_rng(0)
IDS = RNG.integers(3, size=400)
LOGITS = RNG.normal(size=(400, 3)) + 1.5 * np.eye(3)[IDS]


def cross_entropy(logits, labels):
    return -log_softmax(logits, axis=-1)[np.arange(len(labels)), labels].mean()


def binary_cross_entropy(logits, labels):
    return -np.log(np.where(labels, expit(logits), expit(-logits))).mean()


@pytest.mark.parametrize("scale", [0.4, 1, 7])
@pytest.mark.parametrize("task", ["classification", "multi_label", "token_classification"])
def test_it_is_that_of_a_grid_search(task, scale):
    outputs, labels, loss = scale * LOGITS, IDS, cross_entropy
    if task == "multi_label":
        labels, loss = np.eye(3)[IDS], binary_cross_entropy
    temperatures = np.geomspace(0.05, 20, 6001)
    expected = temperatures[np.argmin([loss(outputs / temperature, labels) for temperature in temperatures])]
    if task == "token_classification":  # two of four tokens are labelled; the Trainer pads by -100
        padding = np.full((200, 2, 3), -100.0)
        outputs = np.concatenate([outputs.reshape(200, 2, 3), padding], axis=1)
        labels = np.concatenate([labels.reshape(200, 2), padding[..., 0].astype(int)], axis=1)

    temperature, fault = fit_temperature(TASKS[task], outputs.astype(np.float32), labels)

    assert fault is None and temperature == pytest.approx(expected, rel=2e-3)
    assert 0.05 < temperature < 20


@pytest.mark.parametrize(
    ("outputs", "labels", "named"),
    [
        (np.where(LOGITS > 2, np.inf, LOGITS), IDS, "not finite"),
        (LOGITS, np.ones_like(IDS), "the same"),
        (LOGITS[:0], IDS[:0], "there are none"),
        (np.eye(3)[IDS], IDS, "no errors"),
    ],
)
def test_what_validation_does_not_determine_is_one_and_said(outputs, labels, named):
    temperature, fault = fit_temperature(TASKS["classification"], outputs, labels)
    assert temperature == 1 and named in fault


def test_a_model_that_is_wrong_more_often_than_by_chance_becomes_as_unsure_as_it_can():
    assert fit_temperature(TASKS["classification"], -LOGITS, IDS) == (pytest.approx(20, rel=1e-3), None)


@pytest.mark.parametrize(
    ("family", "tuning"),
    [("nt", "ia3"), *((family, tuning) for family in ["nt", *MODELS] for tuning in ("full", "lora"))],
)
@pytest.mark.parametrize("head", ["sequence", "token"])
def test_the_last_layer_gives_the_logits(tmp_path, family, head, tuning):
    fields = TASKS["classification" if head == "sequence" else "token_classification"].head_fields(LABELS)
    if family == "nt":
        model, tokenizer = build_from_scratch("tiny", head, fields)
    else:
        folder = write(tmp_path / family, MODELS[family]())
        model, tokenizer = load_for_task(head, find_checkpoint(str(folder)), fields)
    # A rank of 3: its matrices have as many outputs as there are labels.
    model = {"full": lambda: model, "lora": lambda: add_lora(model, r=3), "ia3": lambda: add_ia3(model)}[tuning]()
    batch = tokenizer(SEQUENCES, padding=True, return_tensors="pt")
    with torch.no_grad():
        before = model.eval()(**batch).logits
        for parameter in last_layer(model, 3).parameters():
            parameter /= 4
        torch.testing.assert_close(model(**batch).logits, before / 4)
    assert last_layer(model, 5) is None


@pytest.mark.parametrize(("num_outputs", "shared"), [(2, True), (3, False)])
def test_a_model_that_processes_share_or_without_such_a_layer_is_not_divided(monkeypatch, num_outputs, shared):
    monkeypatch.setattr(dnahub.training.calibration, "is_sharded", lambda trainer: shared)
    layer, labels = nn.Linear(2, 2), np.array([0, 1, 1])
    logits = np.array([[0.0, 1.0], [0.0, 3.0], [0.0, 4.0]])  # the second class from a probability of 0.85 on
    output = SimpleNamespace(predictions=logits[:, [0, 1, 1][:num_outputs]], label_ids=labels)
    trainer = SimpleNamespace(model=nn.Sequential(layer), eval_dataset=None, predict=lambda *_, **__: output)
    before = layer.weight.clone()

    found = calibrate(trainer, TASKS["classification"], Labels(["a"] * num_outputs, num_outputs))

    assert found["temperature"] is None and torch.equal(layer.weight, before)
    assert found["decision_threshold"] == (pytest.approx(expit([1.0, 3.0]).mean()) if num_outputs == 2 else None)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory, write_dataset, toy_rows):
    """Arguments of a run that becomes too sure: of validation and test, a third of the labels are others."""
    splits = {
        split: [
            row | {"label": (row["label"] + (split != "train" and i % 9 < 3)) % 3}
            for i, row in enumerate(toy_rows[split])
        ]
        for split in toy_rows
    }
    data = write_dataset(tmp_path_factory.mktemp("noisy") / "data", splits)
    return ["--dataset_name", data, *SCRATCH[4:], "--max_steps", 24, "--save_steps", 12]


@pytest.mark.parametrize(
    ("family", "tuning", "rate"), [("nt", "full", "1e-3"), ("nt", "lora", "1e-2"), ("bert", "full", "3e-3")]
)
def test_a_checkpoint_gives_the_logits_of_the_best_trainer_checkpoint_divided_by_the_temperature(
    tmp_path, run_train, noisy, toy_rows, mlm_run, family, tuning, rate
):
    run, base = tmp_path / "run", mlm_run / "checkpoint"
    if family == "bert":
        torch.manual_seed(0)
        base = write(tmp_path / "base", MODELS["bert"]())
    arguments = [*noisy, "--model_name_or_path", base, "--tuning", tuning, "--learning_rate", rate]

    status, _, err = run_train(*arguments, "--output_dir", run)

    assert status == 0 and "not calibrated" not in err, err
    measured = metrics(run)
    temperature, point = measured["training"]["temperature"], run / f"checkpoint-{measured['training']['best_step']}"
    fields = TASKS["classification"].head_fields(Labels(measured["model"]["label_names"], 3))
    model, tokenizer = load_for_task("sequence", find_checkpoint(str(base if tuning == "lora" else point)), fields)
    if tuning == "lora":
        model = PeftModel.from_pretrained(model, point).eval()
    saved = load_saved(run / "checkpoint", "sequence")
    for split in ("validation", "test"):
        batch = tokenizer([row["sequence"] for row in toy_rows[split]], padding=True, return_tensors="pt")
        with torch.no_grad():
            before, after = model(**batch).logits, saved(**batch).logits
        torch.testing.assert_close(after, before / temperature, atol=1e-5, rtol=1e-4)
        assert after.argmax(dim=1).equal(before.argmax(dim=1))
        if split == "validation":
            assert abs(temperature - 1) > 0.05  # else this would not tell
            labels = torch.tensor([(row["label"] + (i % 9 < 3)) % 3 for i, row in enumerate(toy_rows[split])])
            losses = [nn.functional.cross_entropy(each, labels).item() for each in (before, after)]
            errors = [
                calibration(each.softmax(dim=1).numpy(), np.eye(3, dtype=bool)[labels])["expected_calibration_error"]
                for each in (before, after)
            ]
            assert measured[split]["loss"] == pytest.approx(losses[1], abs=1e-4) and losses[1] < losses[0]
            assert measured[split]["expected_calibration_error"] == pytest.approx(errors[1], abs=1e-4)
            assert family == "bert" or (temperature > 1 and errors[1] < errors[0])  # BERT is hardly trained
    card = (run / "checkpoint" / "README.md").read_text()
    assert f"temperature {temperature:.4f}" in card
    assert f"{measured['test']['expected_calibration_error']:.4f}" in card


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_a_run_that_ends_before_or_after_saving_is_not_divided_twice(
    tmp_path, run_train, noisy, mlm_run, tuning, monkeypatch
):
    arguments = [*noisy, "--model_name_or_path", mlm_run / "checkpoint", "--tuning", tuning]
    arguments += ["--learning_rate", "1e-2", "--output_dir"]
    assert run_train(*arguments, tmp_path / "whole")[0] == 0
    run = tmp_path / "run"

    def no_memory(*_):
        raise MemoryError("no memory is left")

    for step in ("save", "measure_all"):
        with monkeypatch.context() as patch:
            patch.setattr(dnahub.training.run, step, no_memory)
            assert run_train(*arguments, run)[0] == 2
        assert (run / "checkpoint").exists() is (step == "measure_all")
    status, _, err = run_train(*arguments, run)

    assert status == 0, err
    assert same(weights(run / "checkpoint"), weights(tmp_path / "whole" / "checkpoint"))
    found, expected = metrics(run), metrics(tmp_path / "whole")
    assert found["training"]["temperature"] == expected["training"]["temperature"] != 1
    assert json.dumps(found["test"]) == json.dumps(expected["test"])
