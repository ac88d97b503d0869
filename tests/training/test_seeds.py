"""Results of several seeds -> mean and deviation, and the best of them; no run of train.py is made here."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import save_file

from dnahub.training.arguments import parse_arguments
from dnahub.training.seeds import _spread, train_seeds
from dnahub.training.trainer_arguments import training_arguments
from tests.reports.test_card import OF_TASKS


def test_a_split_that_is_not_there_and_a_metric_that_a_run_left_undefined_are_left_out():
    of_runs = ({"r2": 0.5, "pearson": 0.5}, {"r2": 0.7, "pearson": None})
    runs = [{"validation": each, "test": None} for each in of_runs]
    assert set(_spread(runs)) == {"validation"}
    assert set(_spread(runs)["validation"]) == set(_spread(runs[::-1])["validation"]) == {"r2"}


def written(folder: Path, run: dict) -> Path:
    """A finished checkpoint."""
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(run))
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text("{}")
    (folder / "README.md").write_text("card of one seed")
    save_file({}, folder / "model.safetensors")
    (folder / "adapter").mkdir()
    (folder / "adapter" / "adapter_config.json").write_text("{}")
    return folder


def adopted(folder: Path, runs: list[dict], *flags) -> dict:
    """What comes of seeds that were all finished when the run was cut off: no model is trained."""
    args = parse_arguments(
        "", ["--dataset_name", "d", "--output_dir", str(folder), "--seeds", str(len(runs)), "--use_cpu", *flags]
    )
    for i, run in enumerate(runs):
        written(folder / f"seed-{42 + i}" / "checkpoint", run)
    args = replace(args, training=training_arguments(args))
    found = train_seeds(args, None, None, {"arguments": {}, "environment": {}, "commits": {}}, {})
    assert json.loads((folder / "checkpoint" / "metrics.json").read_text()) == found
    of_seed = folder / f"seed-{found['seeds']['chosen']}" / "checkpoint"
    assert {path.name for path in of_seed.iterdir()} == {path.name for path in (folder / "checkpoint").iterdir()}
    assert f"checkpoint of seed {found['seeds']['chosen']}" in (folder / "checkpoint" / "README.md").read_text()
    assert (of_seed / "README.md").read_text() == "card of one seed"
    return found["seeds"]


@pytest.mark.parametrize(
    ("task", "metric", "values", "flags", "chosen"),
    [
        ("classification", "accuracy", [0.5, 0.7, 0.6], [], 43),
        ("classification", "loss", [0.5, 0.7, 0.3], ["--metric_for_best_model", "eval_loss"], 44),
        ("regression", "rmse", [0.2, 0.7, 0.6], ["--metric_for_best_model", "rmse"], 42),
        ("regression", "spearman", [None, 0.1, 0.3], [], 44),
        ("regression", "spearman", [None, None], [], 42),
        ("mlm", "loss", [2.5, 2.4], [], 43),
        ("token_classification", "accuracy", [0.5, 0.5], [], 42),
    ],
)
def test_the_best_by_validation_is_chosen_though_all_seeds_were_finished_before(
    tmp_path, task, metric, values, flags, chosen
):
    run = OF_TASKS[task]
    runs = [run | {"validation": run["validation"] | {metric: value}} for value in values]

    seeds = adopted(tmp_path, runs, "--task", task, *flags)

    assert seeds["seeds"] == list(range(42, 42 + len(values)))
    assert seeds["chosen"] == chosen


def test_the_checkpoint_with_which_a_run_is_finished_comes_last(tmp_path, monkeypatch):
    def is_killed(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("dnahub.training.seeds.replacing_folder", is_killed)
    (tmp_path / "seed-42").mkdir()
    (tmp_path / "seed-42" / "predictions.parquet").write_bytes(b"rows")
    with pytest.raises(KeyboardInterrupt):
        adopted(tmp_path, [OF_TASKS["classification"]] * 2)
    assert (tmp_path / "predictions.parquet").read_bytes() == b"rows"
