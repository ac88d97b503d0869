"""Rare classes, rare sites, labels of little spread -> a training that ends, measured by what suits them."""

import json
import random

import pytest

from tests.runs import metrics

QUICK = ("--from_scratch", "tiny", "--report_to", "none", "--num_train_epochs", "3", "--baselines", "false")


def window(rng: random.Random, num_nt: int = 60, gc: float = 0.5) -> str:
    return "".join(rng.choices("ACGT", [1 - gc, gc, gc, 1 - gc], k=num_nt))


def promoters(rng: random.Random) -> list[dict]:
    """One row in twenty has a TATA box."""
    rows = [{"sequence": window(rng), "label": "other"} for _ in range(400)]
    for row in rows[::20]:
        row |= {"sequence": f"{row['sequence'][:24]}TATAAAAGGCGC{row['sequence'][36:]}", "label": "promoter"}
    return rows


def sites(rng: random.Random) -> list[dict]:
    """One token in a hundred is a site, and every other row has one."""
    rows = []
    for i in range(100):
        sequence, labels, k = window(rng, 300), ["no"] * 50, rng.randrange(50)
        if i % 2 == 0:
            sequence, labels[k] = f"{sequence[: 6 * k]}TATAAA{sequence[6 * k + 6 :]}", "site"
        rows.append({"sequence": sequence, "label": labels})
    return rows


@pytest.fixture
def write(tmp_path):
    def write(rows: list[dict]):
        path = tmp_path / "rows\udce9.jsonl"  # a byte that is not UTF-8, which the card names
        path.write_text("\n".join(map(json.dumps, rows)))
        return path

    return write


@pytest.mark.parametrize(
    ("made", "flags", "score"),
    [
        (promoters, [], "auprc"),
        (promoters, ["--class_weights", "balanced", "--metric_for_best_model", "auroc"], "auroc"),
        (sites, ["--task", "token_classification"], "auprc"),
    ],
)
def test_training_ends_and_the_scores_of_rare_classes_are_in_metrics_terminal_and_card(
    tmp_path, run_train, write, made, flags, score
):
    file = write(made(random.Random(0)))

    status, out, err = run_train("--train_file", file, "--output_dir", tmp_path / "run", *QUICK, *flags)

    assert status == 0, err
    measured = metrics(tmp_path / "run")
    assert measured["training"]["num_train_epochs"] == 3 and measured["validation"]["constant"] is False
    card = (tmp_path / "run" / "checkpoint" / "README.md").read_text()
    for split in ("validation", "test"):
        assert f"{measured[split][score]:.4f}" in card
    assert f"{measured['test'][score]:.4f}" in out and score in out.lower()
    low, high = measured["test"]["intervals"][score]
    assert low <= measured["test"][score] <= high
    if made is promoters:  # both classes are in both splits, or nothing would be defined
        matrix = measured["test"]["confusion_matrix"]
        assert [sum(row) for row in matrix] == [38, 2]
        assert set(measured["test"]["auprc_per_label"]) == {"other", "promoter"}
        assert (measured["training"]["chosen_by"] == "auroc") is ("auroc" in flags)


@pytest.mark.parametrize("flags", [[], ["--hyperparameter_search", 1, "--max_steps", 1]], ids=["run", "search"])
def test_a_metric_that_validation_leaves_undefined_cannot_choose(tmp_path, run_train, write, flags):
    rows = promoters(random.Random(0))
    (tmp_path / "validation.jsonl").write_text(json.dumps({"sequence": "ACGT" * 15, "label": "other"}))

    status, _, err = run_train(
        *("--train_file", write(rows), "--validation_file", tmp_path / "validation.jsonl", *QUICK),
        *("--output_dir", tmp_path / "run", "--metric_for_best_model", "auroc", *flags),
    )

    assert status == 2 and "auroc is undefined" in err and "Traceback" not in err
