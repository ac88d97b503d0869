"""The table at the end of a run, letter by letter."""

import ast
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest

from dnahub.reports.report import render_report

RESULTS = {
    "problem": "single_label_classification",
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
    assert render_report(results, FOLDER).splitlines() == [
        "user/nt-species, test split, 6,000 rows  value  95 % interval",
        "  accuracy                               0.400  0.388 to 0.413",
        "  macro F1                               0.388  0.376 to 0.400",
        "  MCC                                    0.283  -0.010 to 0.298",
        "  AUROC                                  0.712",
        "  AUPRC                                  0.457",
        "  loss                                   1.434",
        "  no rows of: yeast",
        "accuracy, for comparison",
        "  3-mer counts                           0.488",
        "  in-frame codons                        0.504",
        "  best possible                          0.576",
        "",
        "time         12 min 03 s",
        "speed        12,346 tokens/s",
        "peak memory  1,812 MiB",
        "checkpoint   runs/nt-species-clf/checkpoint",
        'use it       pipeline("dna-classification", model="runs/nt-species-clf/checkpoint", trust_remote_code=True)',
    ]


def test_a_regression_has_no_baselines(results):
    results["problem"], results["baselines"] = "regression", None
    results["dataset"] = {"name": "mpra.csv", "rows": {"test": 60}, "bayes_optimal_accuracy": None}
    results["test"] = {
        "loss": 2.25,
        "spearman": None,
        "r2": -0.5,
        "rmse": 1234.5,
        "mae": 0.0000123,
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
        "mpra.csv, test split, 60 rows      value  95 % interval",
        "  Spearman                     undefined",
        "  R2                              -0.500",
        "  RMSE                          1234.500  1200.000 to 1300.250",
        "  MAE                           1.23e-05",
        "  loss                             2.250",
        "",
        "time        2 h 03 min since step 1,300",
        "checkpoint  runs/nt-species-clf/checkpoint",
        'use it      pipeline("dna-classification", model="runs/nt-species-clf/checkpoint", trust_remote_code=True)',
    ]


def test_without_a_test_split_the_validation_split_is_shown(results):
    results["test"] = results["baselines"] = None
    lines = render_report(results, FOLDER).splitlines()
    assert lines[0] == "user/nt-species, validation split, 600 rows  value"
    assert lines[1].split() == ["accuracy", "0.410"]


@pytest.mark.parametrize("chosen_by", ["loss", None])
def test_a_checkpoint_that_was_not_chosen_by_a_metric_of_the_baselines_is_compared_by_the_first(results, chosen_by):
    results["training"]["chosen_by"] = chosen_by
    assert "accuracy, for comparison" in render_report(results, FOLDER)


def test_others_are_compared_by_the_metric_that_chose_the_checkpoint(results):
    results["training"]["chosen_by"] = "auprc"
    lines = render_report(results, FOLDER).splitlines()
    place = lines.index("AUPRC, for comparison")
    assert [line.split()[-1] for line in lines[place + 1 : place + 3]] == ["0.510", "0.520"]
    assert "best possible" not in "".join(lines)  # which is an accuracy


def test_a_collapsed_model_is_reported(results):
    assert "warning: " not in render_report(results, FOLDER)
    results["validation"]["constant"] = True
    assert "warning: the outputs" in render_report(results, FOLDER)


def test_accuracies_of_others_are_not_set_beside_other_problems(results):
    results["problem"], results["baselines"] = "masked_lm", None
    assert "best possible" not in render_report(results, FOLDER)


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


def test_it_needs_nothing_but_the_standard_library():
    code = "import sys, dnahub.reports.report; print({'torch', 'numpy', 'transformers'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True).stdout == "set()\n"


@pytest.mark.parametrize(
    ("problem", "model_type", "call"),
    [
        ("multi_label_classification", "nucleotide_transformer", 'pipeline("dna-classification", model="c", trust_'),
        ("regression", "nucleotide_transformer", 'pipeline("dna-classification", model="c", trust_remote_code=True)'),
        ("token_classification", "nucleotide_transformer", 'pipeline("token-classification", model="c", trust_'),
        ("masked_lm", "modernbert", 'pipeline("fill-mask", model="c")'),
        ("single_label_classification", "modernbert", 'pipeline("text-classification", model="c")'),
    ],
)
def test_the_last_line_is_a_call_that_this_checkpoint_has(results, problem, model_type, call):
    results["problem"], results["model"]["type"] = problem, model_type

    assert f"use it       {call}" in render_report(results, Path("c"))


def test_seeds_stand_with_mean_and_deviation_and_labels_without_rows_are_named(results):
    results["seeds"] = {"seeds": [42, 43], "test": {"accuracy": {"mean": 0.41, "deviation": 0.02, "values": []}}}
    lines = render_report(results, FOLDER).splitlines()

    assert "  no rows of: yeast" in lines
    place = lines.index("test, mean and deviation of seeds 42, 43")
    assert lines[place + 1].split() == ["accuracy", "0.410", "±", "0.020"]
