"""The table at the end of a run, letter by letter."""

import ast
from pathlib import Path

import pytest

from dnahub.reports.comparison import describe
from dnahub.reports.report import render_report
from tests.reports.test_card import OF_TASKS, changed, of_another_encoder, of_seeds, results, without_test

FOLDER = Path("runs/nt-species-clf/checkpoint")


def lines_of(made, folder=FOLDER) -> list[str]:
    return render_report(made, folder).splitlines()


def test_a_classifier_stands_beside_its_baselines():
    made = results(dataset={"rows": {"test": 6000}, "bayes_optimal_accuracy": 0.576}, training={"seconds": 723.4})
    made["baselines"]["3-mer counts"]["intervals"] = {"accuracy": [0.47, 0.5]}
    assert lines_of(made) == [
        "user/nt-species, test split, 6,000 rows   value  95 % bootstrap interval",
        "  Accuracy                               0.6123  0.5000 to 0.7000",
        "  Balanced accuracy                      0.5712",
        "  Macro F1                               0.5235  0.4000 to 0.6000",
        "  MCC                                    0.4346  0.3000 to 0.5000",
        "  AUROC                                  0.7123  0.4100 to 0.8100",
        "  AUPRC                                  0.3123",
        "  Loss                                   0.5000",
        "  no rows of: Mus musculus",
        "Accuracy of the baselines",
        "  3-mer counts                           0.5112  0.4700 to 0.5000",
        "  in-frame codons                        0.5889",
        "  best possible                          0.5760",
        "Balanced accuracy of the baselines",
        "  3-mer counts                           0.5712",
        "  in-frame codons                        0.5712",
        "",
        describe(made["comparison"]),
        "",
        "time         0:12:03",
        "speed        3,456 tokens/s",
        "peak memory  789 MiB",
        "checkpoint   runs/nt-species-clf/checkpoint",
        'use it       pipeline("dna-classification", model="runs/nt-species-clf/checkpoint", trust_remote_code=True)',
    ]


def test_a_run_that_was_resumed_says_from_where_and_leaves_out_what_was_not_measured():
    training = {"resumed_at_step": 1300, "seconds_since_then": 7384.0}
    made = changed(OF_TASKS["regression"], training=training | {"tokens_per_second": None, "peak_memory_mib": None})
    lines = lines_of(made)
    assert lines[lines.index("") + 1] == "time         2:03:04 since step 1,300"
    assert [line.split("  ")[0] for line in lines[lines.index("") + 2 :]] == ["checkpoint", "use it"]


def test_without_a_test_split_the_validation_split_is_shown():
    lines = lines_of(without_test(results()))
    assert lines[0].split("  ")[0] == "user/nt-species, validation split, 9 rows" and lines[0].endswith("value")
    assert lines[1].split() == ["Accuracy", "0.7000"]


def test_a_collapsed_model_is_reported():
    assert "warning: " not in render_report(results(), FOLDER)
    assert "warning: the outputs" in render_report(results(validation={"constant": True}), FOLDER)


@pytest.mark.parametrize(
    ("made", "call"),
    [
        (OF_TASKS["multi_label"], 'pipeline("dna-classification", model="c", trust_remote_code=True)'),
        (OF_TASKS["token_classification"], 'pipeline("token-classification", model="c", trust_remote_code=True)'),
        (of_another_encoder(OF_TASKS["mlm"]), 'pipeline("fill-mask", model="c")'),
        (of_another_encoder(results()), 'pipeline("text-classification", model="c")'),
        (of_another_encoder(OF_TASKS["regression"]), 'AutoModelForSequenceClassification.from_pretrained("c")'),
    ],
)
def test_the_last_line_is_a_call_that_this_checkpoint_has(made, call):
    assert lines_of(made, Path("c"))[-1] == f"use it       {call}"


def test_the_line_to_use_it_is_python_for_any_name_of_the_folder():
    folder = Path('runs/the "best" é\\one')
    call = lines_of(results(), folder)[-1].removeprefix("use it").strip()
    (model,) = [keyword.value for keyword in ast.parse(call, mode="eval").body.keywords if keyword.arg == "model"]
    assert ast.literal_eval(model) == str(folder)


def test_seeds_stand_with_mean_and_deviation():
    lines = lines_of(of_seeds(results()))
    place = lines.index("test, mean and standard deviation of seeds 42, 43")
    assert lines[place + 2].split() == ["Accuracy", "0.6223", "±", "0.0200"]
