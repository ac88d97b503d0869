"""One process or two, launched by accelerate_configs/multi_gpu.yaml -> the same training, every row measured once."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

REPOSITORY = Path(__file__).parent.parent
GLOBAL_BATCH = 16
# Of train, 11 rows an epoch are left over; neither 2 processes nor batches of 8 divide the rows that are measured.
NUM_ROWS = {"train": 91, "validation": 25, "test": 37}
PREDICTED = (1, 2, 7, 8, 9, 15, 16, 17, 25, 32)
MULTI_GPU = ("-m", "accelerate.commands.launch", "--config_file", "accelerate_configs/multi_gpu.yaml")

# Which of 40 rows a process trains on at each step of 2 epochs, and which are predicted, of several numbers of rows.
ROWS = """
import json, sys
import torch
from accelerate.utils import gather_object
from transformers import Trainer, TrainingArguments, set_seed

folder, batch, sizes = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
seen = []


class Model(torch.nn.Linear):
    def forward(self, rows, labels):
        if self.training:
            seen.append(rows.tolist())
        return {"loss": super().forward(rows[:, None].float()).sum(), "logits": rows.float()}


args = TrainingArguments(
    folder, use_cpu=True, per_device_train_batch_size=batch, per_device_eval_batch_size=8, num_train_epochs=2,
    report_to="none", save_strategy="no", disable_tqdm=True, remove_unused_columns=False,
)
set_seed(args.seed)
together = lambda rows: {"rows": torch.tensor(rows), "labels": torch.tensor(rows)}
trainer = Trainer(Model(1, 1), args, data_collator=together, train_dataset=range(40))
trainer.train()
predicted = {size: trainer.predict(range(size)) for size in sizes}
trained = gather_object([seen])
if trainer.is_world_process_zero():
    ids = {size: [output.predictions.tolist(), output.label_ids.tolist()] for size, output in predicted.items()}
    print("ROWS", json.dumps({"trained": trained, "predicted": ids}))
trainer.accelerator.wait_for_everyone()
trainer.accelerator.state.destroy_process_group()
"""


def on(num_processes: int) -> tuple[str, ...]:
    """The words before train.py; a launch file of several processes takes a number above one."""
    return (
        () if num_processes == 1 else (*MULTI_GPU, "--num_processes", str(num_processes), "--main_process_port", "0")
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory, write_dataset, toy_rows, launch) -> dict[int, Path]:
    """By number of processes, the folder of a run with the same number of rows a step."""
    folder = tmp_path_factory.mktemp("processes")
    rows = toy_rows["train"] + toy_rows["validation"] + toy_rows["test"]
    splits = {"train": toy_rows["train"][:91], "validation": rows[-25:], "test": rows[:37]}
    assert {split: len(rows) for split, rows in splits.items()} == NUM_ROWS
    data = write_dataset(folder / "data", splits)
    for num_processes in (1, 2):
        result = launch(
            *("--dataset_name", data, "--output_dir", folder / str(num_processes), "--from_scratch", "tiny"),
            *("--learning_rate", "1e-3", "--num_train_epochs", 2, "--use_cpu", "--logging_steps", 1),
            *("--per_device_train_batch_size", GLOBAL_BATCH // num_processes, "--per_device_eval_batch_size", 8),
            *("--report_to", "none", "--disable_tqdm", "true", "--allow_repeats"),
            launcher=on(num_processes),
        )
        assert result.returncode == 0, result.stderr
    return {num_processes: folder / str(num_processes) for num_processes in (1, 2)}


def metrics_of(run: Path) -> dict:
    return json.loads((run / "checkpoint" / "metrics.json").read_text())


def curve(run: Path) -> list[tuple[float, float, float]]:
    """Loss, norm of the gradient and learning rate at each step."""
    last = max(run.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    history = json.loads((last / "trainer_state.json").read_text())["log_history"]
    return [(step["loss"], step["grad_norm"], step["learning_rate"]) for step in history if "grad_norm" in step]


@pytest.mark.slow
def test_two_processes_learn_along_the_curve_of_one(runs):
    one, two = curve(runs[1]), curve(runs[2])

    assert metrics_of(runs[2])["training"]["processes"] == 2
    assert len(one) == len(two) == 2 * (NUM_ROWS["train"] // GLOBAL_BATCH)
    assert one[-1][0] < one[0][0] / 2  # a curve, and not a line
    for step_of_one, step_of_two in zip(one, two, strict=True):
        assert step_of_two == pytest.approx(step_of_one, rel=1e-4)


@pytest.mark.slow
def test_two_processes_end_with_the_weights_of_one(runs):
    one, two = (load_file(runs[number] / "checkpoint" / "model.safetensors") for number in (1, 2))

    # Sums in another order differ in the last bits of float32, and AdamW divides small gradients by their own size:
    # of a step of up to the learning rate, 1e-3, a hundredth.
    torch.testing.assert_close(two, one, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("split", ["validation", "test"])
def test_two_processes_measure_every_row_once(runs, split):
    one, two = metrics_of(runs[1])[split], metrics_of(runs[2])[split]

    assert two.pop("loss") == pytest.approx(one.pop("loss"), rel=1e-6)
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
    curves = []
    for num_processes in (1, 2):
        result = launch(
            *("--dataset_name", data, "--output_dir", tmp_path / str(num_processes), "--from_scratch", "tiny"),
            *("--task", "mlm", "--test_share", 0, "--num_train_epochs", 2, "--use_cpu", "--logging_steps", 1),
            *("--per_device_train_batch_size", GLOBAL_BATCH // num_processes, "--per_device_eval_batch_size", 4),
            *("--report_to", "none", "--disable_tqdm", "true"),
            launcher=on(num_processes),
        )
        assert result.returncode == 0, result.stderr
        curves.append(curve(tmp_path / str(num_processes)))
    one, two = (metrics_of(tmp_path / str(num_processes)) for num_processes in (1, 2))

    assert one["training"]["train_sampling_strategy"] == "group_by_length" and two["training"]["processes"] == 2
    assert len(curves[0]) == len(curves[1]) == 2 * (91 // GLOBAL_BATCH)
    for step_of_one, step_of_two in zip(*curves, strict=True):
        assert step_of_two == pytest.approx(step_of_one, rel=1e-4)
    assert two["validation"] == pytest.approx(one["validation"], rel=1e-4)


@pytest.fixture(scope="module")
def rows(tmp_path_factory, environment) -> dict[int, dict]:
    """By number of processes, what the script ROWS prints."""
    folder = tmp_path_factory.mktemp("rows")
    (folder / "rows.py").write_text(ROWS)
    printed = {}
    for num_processes in (1, 2):
        command = [sys.executable, *on(num_processes), str(folder / "rows.py"), str(folder / "run")]
        result = subprocess.run(
            [*command, str(8 // num_processes), json.dumps(PREDICTED)],
            **{"cwd": REPOSITORY, "env": environment, "capture_output": True, "text": True, "timeout": 300},
        )
        assert result.returncode == 0, result.stderr
        printed[num_processes] = json.loads(result.stdout.split("ROWS ")[1].splitlines()[0])
    return printed


@pytest.mark.slow
def test_the_rows_of_a_step_are_the_same_however_many_processes_share_them(rows):
    (alone,), (first, second) = rows[1]["trained"], rows[2]["trained"]

    assert [a + b for a, b in zip(first, second, strict=True)] == alone
    assert len(alone) == 10 and sorted(sum(alone[:5], [])) == sorted(sum(alone[5:], [])) == list(range(40))
    assert alone[:5] != alone[5:]  # each epoch in an order of its own


@pytest.mark.slow
@pytest.mark.parametrize("num_processes", [1, 2])
def test_every_row_is_predicted_once_and_in_order_however_the_rows_divide(rows, num_processes):
    for size in PREDICTED:
        predictions, labels = rows[num_processes]["predicted"][str(size)]
        assert predictions == labels == list(range(size))
