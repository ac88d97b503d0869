"""One process or two -> the same training, every row measured once."""

import random
from pathlib import Path

import pytest
import torch

from tests.runs import last_state, metrics, weights

GLOBAL_BATCH = 16
# Of train, 11 rows an epoch are left over; neither 2 processes nor batches of 8 divide the rows that are measured.
NUM_ROWS = {"train": 91, "validation": 25, "test": 37}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, write_dataset, toy_rows, launch) -> dict[int, Path]:
    """By number of processes, the folder of a run with the same number of rows a step."""
    folder = tmp_path_factory.mktemp("processes")
    rows = toy_rows["train"] + toy_rows["validation"] + toy_rows["test"]
    # A third of the labels of validation are others, or it would have no errors to find the temperature by.
    validation = [row | {"label": (row["label"] + (i % 9 < 3)) % 3} for i, row in enumerate(rows[-25:])]
    splits = {"train": toy_rows["train"][:91], "validation": validation, "test": rows[:37]}
    assert {split: len(rows) for split, rows in splits.items()} == NUM_ROWS
    data = write_dataset(folder / "data", splits)
    for num_processes in (1, 2):
        result = launch(
            *("--dataset_name", data, "--output_dir", folder / str(num_processes), "--from_scratch", "tiny"),
            *("--learning_rate", "1e-3", "--num_train_epochs", 2, "--use_cpu", "--logging_steps", 1),
            *("--per_device_train_batch_size", GLOBAL_BATCH // num_processes, "--per_device_eval_batch_size", 8),
            *("--report_to", "none", "--disable_tqdm", "true", "--allow_overlap"),
            processes=num_processes,
        )
        assert result.returncode == 0, result.stderr
    return {num_processes: folder / str(num_processes) for num_processes in (1, 2)}


def curve(run: Path) -> list[tuple[float, float, float]]:
    """Loss, norm of the gradient and learning rate at each step."""
    history = last_state(run)["log_history"]
    return [(step["loss"], step["grad_norm"], step["learning_rate"]) for step in history if "grad_norm" in step]


def train_by_one_and_two(launch, folder: Path, batch: int, *arguments) -> int:
    """The same run by one process and by two, in folders named so, which must learn alike; returns its steps."""
    curves = []
    for processes in (1, 2):
        result = launch(
            *(*arguments, "--output_dir", folder / str(processes), "--num_train_epochs", 2, "--use_cpu"),
            *("--per_device_train_batch_size", batch // processes, "--logging_steps", 1, "--disable_tqdm", "true"),
            processes=processes,
        )
        assert result.returncode == 0, result.stderr
        curves.append(curve(folder / str(processes)))
    for step_of_one, step_of_two in zip(*curves, strict=True):
        assert step_of_two == pytest.approx(step_of_one, rel=1e-4)
    return len(curves[0])


@pytest.mark.slow
def test_two_processes_learn_along_the_curve_of_one_and_measure_every_row_once(runs):
    one, two = curve(runs[1]), curve(runs[2])

    assert metrics(runs[2])["training"]["processes"] == 2
    assert len(one) == len(two) == 2 * (NUM_ROWS["train"] // GLOBAL_BATCH)
    assert one[-1][0] < one[0][0] / 2  # a curve, and not a line
    for step_of_one, step_of_two in zip(one, two, strict=True):
        assert step_of_two == pytest.approx(step_of_one, rel=1e-4)
    one, two = (weights(runs[number] / "checkpoint") for number in (1, 2))
    # Sums in another order differ in the last bits, and AdamW divides small gradients by their own size: of a step of
    # up to the learning rate, 1e-3, a hundredth.
    torch.testing.assert_close(two, one, rtol=0, atol=1e-5)
    temperatures = [metrics(runs[number])["training"]["temperature"] for number in (1, 2)]
    assert temperatures[1] == pytest.approx(temperatures[0], rel=1e-4) != 1
    for split in ("validation", "test"):
        one, two = metrics(runs[1])[split], metrics(runs[2])[split]
        assert two.pop("loss") == pytest.approx(one.pop("loss"), rel=1e-6)
        error = two.pop("expected_calibration_error")
        assert error == pytest.approx(one.pop("expected_calibration_error"), abs=1e-4)
        assert two == one
        assert sum(map(sum, two["confusion_matrix"])) == NUM_ROWS[split]


@pytest.mark.slow
def test_two_processes_mask_the_same_tokens_and_learn_along_the_curve_of_one(
    tmp_path, write_dataset, toy_rows, launch
):
    """Sequences of several lengths, grouped: neither order nor masks nor the weight of a token may differ."""
    rng = random.Random(0)
    rows = [row | {"sequence": row["sequence"] * rng.randint(1, 5)} for row in toy_rows["train"]]
    data = write_dataset(tmp_path / "data", {"train": rows[:91], "validation": toy_rows["validation"][:13]})
    arguments = ["--dataset_name", data, "--from_scratch", "tiny", "--task", "mlm", "--test_fraction", 0]
    arguments += ["--per_device_eval_batch_size", 4, "--report_to", "none"]
    num_steps = train_by_one_and_two(launch, tmp_path, GLOBAL_BATCH, *arguments)
    one, two = (metrics(tmp_path / str(num_processes)) for num_processes in (1, 2))

    assert one["training"]["train_sampling_strategy"] == "group_by_length" and two["training"]["processes"] == 2
    assert num_steps == 2 * (91 // GLOBAL_BATCH)
    assert two["validation"] == pytest.approx(one["validation"], rel=1e-4)
