"""A step of training, however divided -> one loss and one gradient; and the weights of classes."""

import json

import numpy as np
import pytest
import torch
from datasets import Dataset, List, Value
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import BCEWithLogitsLoss, CrossEntropyLoss, MSELoss

from dnahub.tasks import TASKS
from dnahub.tasks.losses import step_loss
from tests import forked
from tests.checkpoints.test_other_encoders import MODELS, write
from tests.step_losses import step_losses

STEPS = 3
FLAGS = {
    "classification": ["--label_column", "one"],
    "multi_label": ["--label_column", "several", "--label_separator", ";", "--task", "multi_label"],
    "regression": ["--label_column", "number", "--task", "regression"],
    "token_classification": ["--label_column", "tokens", "--task", "token_classification"],
    "mlm": ["--task", "mlm"],
}
NT_TUNINGS = ["full", "frozen", "head", "lora", "ia3"]
WEIGHTED = ["--class_weights", "balanced"]


@pytest.fixture(scope="module")
def cases(tmp_path_factory, toy_rows, mlm_run):
    """By name, arguments of a training of every task and encoder, and of every tuning."""
    folder = tmp_path_factory.mktemp("losses")
    # Of unequal lengths, so that batches have unequal numbers of tokens; the last label is rare.
    rows = [
        {
            "sequence": row["sequence"] * (1 + i % 3),
            "one": "abc"[row["label"]],
            "several": "abc"[row["label"]] + ";x" * (i % 4 == 0),
            "number": -100.0 if i % 5 == 0 else 0.5 * i,
        }
        for i, row in enumerate(toy_rows["train"][:60])
    ]
    bases = {"nt": mlm_run / "checkpoint"}
    for name, make in MODELS.items():
        torch.manual_seed(0)
        model = make()
        model.config.update({"attention_probs_dropout_prob": 0.0})  # what drops out depends on the batches
        bases[name] = write(folder / name, model)
    found = {}
    for name, base in bases.items():
        k = 6 if name == "nt" else 3
        file = folder / f"{name}.jsonl"
        labelled = [row | {"tokens": ["yn"[i % 7 == 0] for i in range(len(row["sequence"]) // k)]} for row in rows]
        file.write_text("\n".join(map(json.dumps, labelled)))
        for task, flags in FLAGS.items():
            flags = [*flags, "--train_file", file, "--test_fraction", 0, "--allow_overlap", "--max_steps", STEPS]
            flags += ["--output_dir", folder / "run", "--learning_rate", "1e-3"]
            flags += ["--train_sampling_strategy", "random", "--model_name_or_path", base]
            found[f"{name}, {task}"] = list(map(str, flags))
    for tuning in NT_TUNINGS[1:]:
        layers = ["--trainable_layers", "1"] if tuning == "frozen" else []
        found[f"nt, {tuning}"] = [*found["nt, classification"], "--tuning", tuning, *layers]
    found["bert, lora"] = [*found["bert, token_classification"], "--tuning", "lora"]
    for task in ("classification", "multi_label", "token_classification"):
        found[f"nt, {task}, weighted"] = [*found[f"nt, {task}"], *WEIGHTED]
    smoothed = ["--label_smoothing_factor", "0.1"]
    found["nt, smoothed"] = [*found["nt, classification"], *smoothed]
    return found


@pytest.fixture(scope="module")
def curves(cases) -> dict[str, list]:
    """Of each case, of one process: with whole batches, and with accumulated ones."""
    return {name: step_losses(arguments, [(16, 1), (4, 4)]) for name, arguments in cases.items()}


def assert_same(curve: list, expected: list, name: str) -> None:
    assert len(curve) == len(expected) == STEPS, name
    for step, step_expected in zip(curve, expected, strict=True):
        assert tuple(step) == pytest.approx(step_expected, rel=1e-4), name


@pytest.mark.slow
def test_accumulated_steps_change_neither_loss_nor_gradient(curves):
    for name, (whole, accumulated) in curves.items():
        assert_same(accumulated, whole, name)


@pytest.mark.slow
def test_two_processes_change_neither_loss_nor_gradient(cases, curves, environment):
    command = ["-m", "tests.step_losses", json.dumps(list(cases.values())), "[[8, 1]]"]

    done = forked.run_together(command, forked.REPOSITORY, environment, processes=2)

    assert done.returncode == 0, done.stderr
    of_two = json.loads(done.stdout.split("CURVES ")[1].splitlines()[0])
    for (name, (whole, _)), (shared,) in zip(curves.items(), of_two, strict=True):
        assert_same(shared, whole, name)


def logits_and_labels(task: str) -> tuple[torch.Tensor, torch.Tensor, torch.nn.Module]:
    """Of a whole step, with what PyTorch calls its loss."""
    generator = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn((6, 4, 3) if task in ("token_classification", "mlm") else (6, 3), generator=generator)
    if task == "regression":
        return logits, torch.randn(6, 3, generator=generator), MSELoss()
    if task == "multi_label":
        return logits, torch.randint(2, (6, 3), generator=generator).float(), BCEWithLogitsLoss()
    if task == "classification":
        return logits, torch.randint(3, (6,), generator=generator), CrossEntropyLoss()
    labels = torch.randint(3, (6, 4), generator=generator)
    labels[:2, 1:] = -100
    return logits, labels, lambda outputs, labels: CrossEntropyLoss()(outputs.flatten(0, 1), labels.flatten())


@pytest.mark.parametrize("task", FLAGS)
def test_the_losses_of_the_batches_of_a_step_add_up_to_that_of_pytorch(task):
    logits, labels, expected = logits_and_labels(task)
    items = (labels != -100).sum()

    parts = [
        step_loss(TASKS[task], {"logits": logits[part]}, labels[part], items) for part in (slice(0, 2), slice(2, 6))
    ]

    assert sum(parts).item() == pytest.approx(expected(logits, labels).item(), rel=1e-6)


def test_label_smoothing_and_weights_are_those_of_pytorch_but_for_the_divisor():
    logits, labels, _ = logits_and_labels("classification")
    weights = torch.tensor([0.5, 2.0, 4.0])

    loss = step_loss(TASKS["classification"], {"logits": logits}, labels, len(labels), weights, 0.2)

    expected = CrossEntropyLoss(weights, reduction="sum", label_smoothing=0.2)(logits, labels) / len(labels)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_balanced_weights_of_classes_are_those_of_scikit_learn():
    labels = [0] * 15 + [2] * 4 + [1]
    expected = compute_class_weight("balanced", classes=np.arange(3), y=np.array(labels))

    weights = TASKS["classification"].class_weights(Dataset.from_dict({"label": labels}), 4)

    assert weights.tolist() == pytest.approx([*expected, 1.0])  # nobody has the last label
    tokens = Dataset.from_dict({"label": [labels[:3], [-100, *labels[3:]]]})
    assert TASKS["token_classification"].class_weights(tokens, 4).tolist() == pytest.approx([*expected, 1.0])


def test_balanced_weights_of_several_labels_are_those_of_each_label_by_itself():
    having = [[1, 1, 0]] + [[0, 1, 0]] * 3
    rows = Dataset.from_dict({"label": having}).cast_column("label", List(Value("float32"), length=3))

    weights = TASKS["multi_label"].class_weights(rows, 3)

    first = compute_class_weight("balanced", classes=np.arange(2), y=np.array(having)[:, 0])
    assert weights[:, 0].tolist() == pytest.approx(first.tolist())
    assert weights[:, 1].tolist() == pytest.approx([1.0, 4 / 8]) and weights[:, 2].tolist() == pytest.approx(
        [4 / 8, 1.0]
    )


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ([*FLAGS["regression"], *WEIGHTED], "--class_weights"),
        ([*FLAGS["mlm"], *WEIGHTED], "--class_weights"),
        ([*FLAGS["regression"], "--label_smoothing_factor", "0.1"], "--label_smoothing_factor"),
        ([*FLAGS["multi_label"], "--label_smoothing_factor", "0.1"], "--label_smoothing_factor"),
    ],
)
def test_what_a_task_does_not_have_is_refused(tmp_path, run_train, toy_rows, flags, named):
    rows = [
        {"sequence": row["sequence"], "one": "ab"[row["label"] > 0], "several": "a;b", "number": 1.0}
        for row in toy_rows["train"]
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))

    status, _, err = run_train(
        "--train_file", tmp_path / "rows.jsonl", "--from_scratch", "tiny", "--output_dir", tmp_path / "run", *flags
    )

    assert status == 2 and named in err
