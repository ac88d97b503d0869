"""The list of tasks: names without imports, a new task in one file, and no other place that asks which task it is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dnahub.checkpoints.loading import load_saved
from dnahub.tasks import TASKS
from tests.runs import SCRATCH, metrics

ROOT = Path(__file__).parents[2]


def test_the_names_of_tasks_are_known_without_importing_anything_heavy():
    code = "import sys; from dnahub.tasks import TASKS; print(list(TASKS), {'torch', 'datasets'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)

    assert done.stdout == f"{list(TASKS)} set()\n", done.stderr
    with pytest.raises(KeyError, match="ranking"):
        TASKS["ranking"]


def test_a_new_task_is_one_file_and_one_entry(tmp_path, run_train, toy_rows, monkeypatch):
    """It is trained, evaluated, described, saved and loaded again, and nothing else knows of it."""
    monkeypatch.setitem(TASKS, "huber", "tests.tasks.huber_regression")
    rows = [{"sequence": row["sequence"], "label": 2.0 * row["label"] - 2} for row in toy_rows["train"]]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))

    status, out, err = run_train(
        *("--task", "huber", "--train_file", tmp_path / "rows.jsonl", "--output_dir", tmp_path / "run", *SCRATCH),
        *("--num_train_epochs", 4, "--per_device_train_batch_size", 8, "--baselines", "true"),
    )

    assert status == 0, err
    measured = metrics(tmp_path / "run")
    assert measured["task"] == "huber" and measured["training"]["chosen_by"] == "mae"
    assert measured["training"]["temperature"] is None and "expected_calibration_error" not in measured["test"]
    assert set(measured["test"]["intervals"]) == {"mae", "spearman", "pearson", "r2", "rmse"}
    assert measured["baselines"]["3-mer counts"]["mae"] > 0
    card = (tmp_path / "run" / "checkpoint" / "README.md").read_text()
    assert "a number with outliers" in card and f"| MAE | {measured['validation']['mae']:.4f} |" in card
    assert f"{measured['test']['mae']:.4f}" in out and 'pipeline("dna-classification"' in out
    assert load_saved(tmp_path / "run" / "checkpoint", TASKS["huber"].head).config.problem_type == "regression"
