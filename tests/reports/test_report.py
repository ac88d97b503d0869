"""The table at the end of a run, letter by letter."""

import ast
from copy import deepcopy
from pathlib import Path

import pytest

from dnahub.reports.report import render_report

RESULTS = {
    "task": "classification",
    "validation": {
        "loss": 1.5,
        "constant": False,
        "accuracy": 0.41,
        "macro_f1": 0.4,
        "mcc": 0.29,
        "confusion_matrix": [[3, 0], [1, 2]],
    },
    "test": {
        "loss": 1.434,
        "accuracy": 0.4,
        "macro_f1": 0.3881,
        "mcc": 0.2834,
        "auroc": 0.7123,
        "auprc": 0.4567,
        "constant": False,
        "recall_per_label": {"fly": 0.3, "yeast": None},
        "confusion_matrix": [[3, 0], [1, 2]],
        "intervals": {"accuracy": [0.388, 0.413], "macro_f1": [0.376, 0.4], "mcc": [-0.01, 0.298]},
    },
    "baselines": {
        "3-mer counts": {"rows": 5400, "accuracy": 0.488, "auprc": 0.51},
        "in-frame codons": {"accuracy": 0.504, "auprc": 0.52},
    },
    "dataset": {
        "name": "user/nt-species",
        "rows": {"train": 5400, "validation": 600, "test": 6000},
        "bayes_optimal_accuracy": 0.576,
    },
    "model": {"type": "nucleotide_transformer"},
    "training": {
        "chosen_by": "accuracy",
        "resumed_at_step": None,
        "seconds": 723.4,
        "tokens_per_second": 12345.6,
        "peak_memory_mib": 1812.3,
    },
}
FOLDER = Path("runs/nt-species-clf/checkpoint")


@pytest.fixture
def results():
    return deepcopy(RESULTS)


def test_a_classifier_stands_beside_its_baselines(results):
    results["baselines"]["3-mer counts"]["intervals"] = {"accuracy": [0.47, 0.5]}
    assert render_report(results, FOLDER).splitlines() == [
        "user/nt-species, test split, 6,000 rows   value  95 % bootstrap interval",
        "  Accuracy                               0.4000  0.3880 to 0.4130",
        "  Macro F1                               0.3881  0.3760 to 0.4000",
        "  MCC                                    0.2834  -0.0100 to 0.2980",
        "  AUROC                                  0.7123",
        "  AUPRC                                  0.4567",
        "  Loss                                   1.4340",
        "  no rows of: yeast",
        "Accuracy, for comparison",
        "  3-mer counts                           0.4880  0.4700 to 0.5000",
        "  in-frame codons                        0.5040",
        "  best possible                          0.5760",
        "",
        "time         12 min 03 s",
        "speed        12,346 tokens/s",
        "peak memory  1,812 MiB",
        "checkpoint   runs/nt-species-clf/checkpoint",
        'use it       pipeline("dna-classification", model="runs/nt-species-clf/checkpoint", trust_remote_code=True)',
    ]


def test_a_regression_without_baselines_that_was_resumed(results):
    results["task"], results["baselines"] = "regression", None
    results["dataset"] = {"name": "mpra.csv", "rows": {"test": 60}, "bayes_optimal_accuracy": None}
    results["test"] = {
        **{"loss": 2.25, "spearman": None, "r2": -0.5, "rmse": 1234.5, "mae": 0.0000123},
        "intervals": {"rmse": [1200, 1300.25]},
    }
    results["training"] = {
        "chosen_by": None,
        "resumed_at_step": 1300,
        "seconds_since_then": 7384.0,
        "tokens_per_second": None,
        "peak_memory_mib": None,
    }
    assert render_report(results, FOLDER).splitlines() == [
        "mpra.csv, test split, 60 rows      value  95 % bootstrap interval",
        "  Spearman correlation         undefined",
        "  R2                             -0.5000",
        "  RMSE                         1234.5000  1200.0000 to 1300.2500",
        "  MAE                           1.23e-05",
        "  Loss                            2.2500",
        "",
        "time        2 h 03 min since step 1,300",
        "checkpoint  runs/nt-species-clf/checkpoint",
        'use it      pipeline("dna-classification", model="runs/nt-species-clf/checkpoint", trust_remote_code=True)',
    ]


def test_without_a_test_split_the_validation_split_is_shown(results):
    results["test"] = results["baselines"] = None
    lines = render_report(results, FOLDER).splitlines()
    assert lines[0] == "user/nt-species, validation split, 600 rows   value"
    assert lines[1].split() == ["Accuracy", "0.4100"]


@pytest.mark.parametrize("chosen_by", ["loss", None])
def test_a_checkpoint_that_was_not_chosen_by_a_metric_of_the_baselines_is_compared_by_the_first(results, chosen_by):
    results["training"]["chosen_by"] = chosen_by
    assert "Accuracy, for comparison" in render_report(results, FOLDER)


def test_others_are_compared_by_the_metric_that_chose_the_checkpoint(results):
    results["training"]["chosen_by"] = "auprc"
    lines = render_report(results, FOLDER).splitlines()
    place = lines.index("AUPRC, for comparison")
    assert [line.split()[-1] for line in lines[place + 1 : place + 3]] == ["0.5100", "0.5200"]
    assert "best possible" not in "".join(lines)  # which is an accuracy


def test_a_collapsed_model_is_reported(results):
    assert "warning: " not in render_report(results, FOLDER)
    results["validation"]["constant"] = True
    assert "warning: the outputs" in render_report(results, FOLDER)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(8.04, "8.0 s"), (59.99, "1 min 00 s"), (60, "1 min 00 s"), (3600, "1 h 00 min")]
)
def test_times_are_in_the_unit_that_one_reads(results, seconds, shown):
    results["training"]["seconds"] = seconds
    assert f"time         {shown}" in render_report(results, FOLDER).splitlines()


def test_the_line_to_use_it_is_python_whatever_the_folder_is_called(results):
    folder = Path('runs/the "best" é\\one')
    call = render_report(results, folder).splitlines()[-1].removeprefix("use it").strip()
    (model,) = [keyword.value for keyword in ast.parse(call, mode="eval").body.keywords if keyword.arg == "model"]
    assert ast.literal_eval(model) == str(folder)


@pytest.mark.parametrize(
    ("task", "model_type", "call"),
    [
        ("multi_label", "nucleotide_transformer", 'pipeline("dna-classification", model="c", trust_'),
        ("regression", "nucleotide_transformer", 'pipeline("dna-classification", model="c", trust_remote_code=True)'),
        ("token_classification", "nucleotide_transformer", 'pipeline("token-classification", model="c", trust_'),
        ("mlm", "modernbert", 'pipeline("fill-mask", model="c")'),
        ("classification", "modernbert", 'pipeline("text-classification", model="c")'),
    ],
)
def test_the_last_line_is_a_call_that_this_checkpoint_has(results, task, model_type, call):
    results["task"], results["model"]["type"] = task, model_type

    assert f"use it       {call}" in render_report(results, Path("c"))


def test_seeds_stand_with_mean_and_deviation_and_labels_without_rows_are_named(results):
    results["seeds"] = {"seeds": [42, 43], "test": {"accuracy": {"mean": 0.41, "deviation": 0.02, "values": []}}}
    lines = render_report(results, FOLDER).splitlines()

    assert "  no rows of: yeast" in lines
    place = lines.index("test, mean and standard deviation of seeds 42, 43")
    assert lines[place + 1].split() == ["Accuracy", "0.4100", "±", "0.0200"]
