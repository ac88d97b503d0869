"""What was measured -> the checkpoint's card: metadata that the Hub reads, and figures that are those measured."""

import copy
import hashlib
import itertools
import json
import re
from functools import cache
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from dnahub.checkpoints.loading import CheckpointFiles
from dnahub.metrics.names import name_of
from dnahub.reports.card import CITATION_DOI, inherited_licence, render_card
from dnahub.tasks import TASKS

SCORES = {
    "loss": 0.5,
    "accuracy": 0.61234,
    "macro_f1": 0.52347,
    "mcc": 0.43456,
    "auroc": 0.71234,
    "auprc": 0.31234,
    "recall_per_label": {"Homo sapiens": 0.125, "Mus musculus": None},
    "auroc_per_label": {"Homo sapiens": 0.75, "Mus musculus": None},
    "auprc_per_label": {"Homo sapiens": 0.25, "Mus musculus": None},
    "confusion_matrix": [[1, 7], [0, 0]],
    "constant": False,
}
RESULTS = {
    "task": "classification",
    "measured": True,
    "licence": {"license": "cc-by-nc-sa-4.0"},
    "validation": SCORES | {"accuracy": 0.7},
    "test": SCORES
    | {
        "intervals": {"accuracy": [0.5, 0.7], "macro_f1": [0.4, 0.6], "mcc": [0.3, 0.5], "auroc": [0.41, 0.81]},
        "resamples": 300,
    },
    "baselines": {
        "3-mer counts": SCORES | {"accuracy": 0.51119, "rows": 80, "C": 0.1},
        "in-frame codons": SCORES | {"accuracy": 0.58889, "rows": 80, "C": 0.01},
    },
    "model": {
        "base": "user/base",
        "revision": "abc123",
        "from_scratch": None,
        "hidden_size": 128,
        "max_tokens": 2048,
        "type": "nucleotide_transformer",
        "parameters": 1234567,
        "parameters_trained": 4321,
        "label_names": ["Homo sapiens", "Mus musculus"],
        "outputs": 2,
    },
    "dataset": {
        "name": "user/nt-species",
        "config": "windows",
        "revision": "def456",
        "synthetic": None,
        "bayes_optimal_accuracy": None,
        "rows": {"train": 80, "validation": 9, "test": 8},
        "cut_off": {},
    },
    "training": {
        "tuning": "full",
        "learning_rate": 0.0001,
        "max_length": None,
        "max_steps": -1,
        "seed": 42,
        "steps": 77,
        "best_step": 66,
        "chosen_by": "accuracy",
        "seconds": 12.5,
        "tokens_per_second": 3456,
        "peak_memory_mib": 789,
        "processes": 2,
        "hardware": "CPU (x86_64, 2 cores)",
        "versions": {"torch": "2.13.0"},
    },
}
MLM_SCORES = {"loss": 2.5, "perplexity": 12.18, "masked_accuracy": 0.25, "unigram_loss": 3.5, "uniform_loss": 8.32}


def results(**sections):
    """The results above with other fields in some sections."""
    changed = copy.deepcopy(RESULTS)
    for name, value in sections.items():
        changed[name] = changed[name] | value if isinstance(value, dict) else value
    return changed


def masked_lm(**sections):
    changed = results(task="mlm", **sections)
    changed["model"] |= {"label_names": [], "outputs": 0}
    changed["validation"] = MLM_SCORES
    changed["test"] = MLM_SCORES | {"intervals": {"perplexity": [11, 13]}, "resamples": 300}
    changed["baselines"] = None
    return changed


def unlike_classes(task, validation, test, intervals, **model):
    """The results of a task that is not of one class a sequence."""
    changed = results(task=task, model=model)
    changed["validation"] = {"loss": 0.5, **validation}
    changed["test"] = {"loss": 0.6, **test, "intervals": intervals, "resamples": 300}
    changed["baselines"] = None
    return changed


OF_TASKS = {
    "classification": results(),
    "multi_label": unlike_classes(
        "multi_label",
        {"micro_f1": 0.61111, "macro_f1": 0.5, "subset_accuracy": 0.3, "auroc": 0.7, "auprc": 0.4},
        {"micro_f1": 0.62222, "macro_f1": None, "subset_accuracy": 0.0, "auroc": 0.71, "auprc": 0.41}
        | {
            "recall_per_label": {"Homo sapiens": 0.5, "Mus musculus": None},
            "auroc_per_label": {"Homo sapiens": 0.71, "Mus musculus": None},
            "auprc_per_label": {"Homo sapiens": 0.41, "Mus musculus": None},
        },
        {"micro_f1": [0.51, 0.71], "auprc": [0.31, 0.51], "subset_accuracy": [0.0, 0.0]},
    ),
    "regression": unlike_classes(
        "regression",
        {"spearman": 0.81111, "pearson": 0.8, "r2": -0.25, "rmse": 12.5, "mae": 9.75},
        {"spearman": 0.82222, "pearson": None, "r2": -0.26, "rmse": 12.6, "mae": 9.76},
        {"spearman": [0.71, 0.91], "r2": [-0.5, 0.1], "rmse": [11.0, 13.0], "mae": [8.0, 10.0]},
        label_names=[],
        outputs=1,
    ),
    "token_classification": unlike_classes(
        "token_classification",
        {"accuracy": 0.91111, "macro_f1": 0.7, "mcc": 0.6, "auroc": 0.8, "auprc": 0.5},
        {"accuracy": 0.92222, "macro_f1": 0.71, "mcc": 0.61, "auroc": 0.81, "auprc": 0.51}
        | {
            "recall_per_label": {"exon": 0.9, "intron": 0.1},
            "auroc_per_label": {"exon": 0.83, "intron": 0.84},
            "auprc_per_label": {"exon": 0.95, "intron": 0.05},
            "confusion_matrix": [[90, 10], [9, 1]],
        },
        {"accuracy": [0.9, 0.95], "macro_f1": [0.6, 0.8], "mcc": [0.5, 0.7], "auroc": [0.7, 0.9]},
        label_names=["exon", "intron"],
    ),
    "mlm": masked_lm(),
}
SEARCH = {
    "metric": "macro_f1",
    "chosen": {"learning_rate": 1e-4, "weight_decay": 0.01, "warmup_steps": 0.1, "macro_f1": 0.5},
    "trials": [{"learning_rate": 1e-4, "weight_decay": 0.01, "warmup_steps": 0.1, "macro_f1": 0.5}] * 7,
}


def without_test(made):
    changed = copy.deepcopy(made)
    changed["test"] = changed["baselines"] = None
    del changed["dataset"]["rows"]["test"]
    return changed


def of_another_encoder(made):
    changed = copy.deepcopy(made)
    changed["model"] |= {"type": "modernbert", "base": "user/dna-modernbert", "max_tokens": 8192}
    return changed


def of_seeds(made):
    """With mean and deviation of each number, as `dnahub.training.seeds` makes them."""
    spread = {
        split: {
            name: {"mean": value + 0.01, "deviation": 0.02, "values": [value, value + 0.02]}
            for name, value in made[split].items()
            if isinstance(value, float)
        }
        for split in ("validation", "test")
        if made[split]
    }
    return copy.deepcopy(made) | {"seeds": {"seeds": [42, 43], "chosen": 43, **spread}}


def cut_off(made):
    changed = copy.deepcopy(made)
    changed["dataset"]["cut_off"] = {
        "test": "0.2 of train, by gene, stratified by label",
        "validation": "0.1 of train, by gene, stratified by label",
    }
    return changed


VARIANTS = {
    "as it is": lambda made: made,
    "without test": without_test,
    "another encoder": of_another_encoder,
    "seeds": of_seeds,
    "search": lambda made: made | {"search": SEARCH},
    "cut off": cut_off,
    "all": lambda made: cut_off(of_seeds(made)) | {"search": SEARCH},
    "all without test": lambda made: cut_off(of_seeds(without_test(made))) | {"search": SEARCH},
    "lora": lambda made: made | {"training": made["training"] | {"tuning": "lora", "lora_targets": "query, value"}},
    "no baselines": lambda made: made | {"baselines": None},
    "streamed": lambda made: made | {"dataset": made["dataset"] | {"rows": {"validation": 9, "test": 8}}},
    "synthetic": lambda made: made | {"dataset": made["dataset"] | {"synthetic": True, "bayes_optimal_accuracy": 0.9}},
    "files": lambda made: made | {"dataset": made["dataset"] | {"config": None, "revision": None, "name": "a.csv"}},
}
MADE = {
    f"{task}, {variant}": VARIANTS[variant](OF_TASKS[task]) for task, variant in itertools.product(OF_TASKS, VARIANTS)
}


@cache
def card_of(name):
    return render_card(MADE[name])


def tables_of(card):
    """Runs of lines that begin with a bar, each a list of rows, each a list of cells."""
    lines = card.splitlines()
    runs = [list(run) for is_row, run in itertools.groupby(lines, lambda line: line.startswith("|")) if is_row]
    return [[re.split(r"(?<!\\)\|", line) for line in run] for run in runs]


def python_blocks(card):
    return re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)


def test_the_metadata_are_what_the_hub_reads():
    data = ModelCard(render_card(results())).data

    assert (data.library_name, data.license, data.pipeline_tag) == (
        "transformers",
        "cc-by-nc-sa-4.0",
        "text-classification",
    )
    assert "dna-embedding" in data.tags
    assert {
        (result.metric_type, result.metric_value, result.dataset_split, result.dataset_type, result.dataset_revision)
        for result in data.eval_results
    } == {
        ("accuracy", 0.6123, "test", "user/nt-species", "def456"),
        ("macro_f1", 0.5235, "test", "user/nt-species", "def456"),
        ("mcc", 0.4346, "test", "user/nt-species", "def456"),
        ("auroc", 0.7123, "test", "user/nt-species", "def456"),
        ("auprc", 0.3123, "test", "user/nt-species", "def456"),
    }


def test_the_model_index_parses_by_itself():
    data = ModelCard(render_card(results())).data.to_dict()

    name, parsed = model_index_to_eval_results(data["model-index"])

    assert name == "nt-species-classification"
    assert len(parsed) == 5


@pytest.mark.parametrize("made", [results(test=None, baselines=None)])
def test_without_test_data_there_is_no_model_index(made):
    assert "model-index" not in render_card(made)


def test_the_figures_are_those_measured():
    card = render_card(results())

    assert "| Accuracy | 0.7000 | 0.6123 | 0.5000 to 0.7000 |" in card
    assert "| AUROC | 0.7123 | 0.7123 | 0.4100 to 0.8100 |" in card and "| AUPRC | 0.3123 | 0.3123 |  |" in card
    assert re.search(r"\| validation \(9 .*\| \*\*test\*\* \(8 ", card)
    assert (
        "logistic regression on | Accuracy | Macro F1 | MCC | AUROC | AUPRC | Loss | 95 % interval of Accuracy |"
        in card
    )
    assert "| 3-mer counts | 0.5112 | 0.5235 | 0.4346 | 0.7123 | 0.3123 | 0.5000 |" in card
    assert re.search("best baseline by Accuracy .* in-frame codons: 0.5889", card)
    assert "on 80 training sequences" in card
    assert re.search(r"\| Homo sapiens \| \d+ \| 0.1250 \| 0.7500 \| 0.2500 \|", card)
    assert "| Mus musculus | 0 | undefined | undefined | undefined |" in card
    assert "| parameters | 1,234,567, of which 4,321 trained |" in card
    assert "| base model | `user/base`, revision `abc123` |" in card
    assert "`user/nt-species`, configuration `windows`, revision `def456`; 80 train, 9 validation, 8 test |" in card
    assert "| learning rate | 0.0001 |" in card and "| torch | 2.13.0 |" in card
    assert "2048 tokens" in card and "12282 nt" in card


def against(metric, model, baseline, name="in-frame codons", made=None, **others):
    """The card of a model and a baseline with these values and intervals of a metric."""
    made = copy.deepcopy(made or results())
    made["training"]["chosen_by"] = metric
    other = made["baselines"][name] if made["baselines"] else {"rows": 80, "alpha": 1.0, "spearman": 0.1}
    made["baselines"] = (made["baselines"] or {}) | {name: other}
    for scores, (value, *interval) in ((made["test"], model), (other, baseline)):
        scores[metric] = value
        scores["intervals"] = scores.get("intervals", {}) | ({metric: interval} if interval else {})
    other["intervals"] |= others
    return render_card(made)


def test_a_baseline_is_called_better_only_where_its_interval_lies_beyond_the_models():
    said = re.compile(r"\*\*A logistic regression on in-frame codons has a higher AUPRC than this model\*\*")
    assert said.search(against("auprc", (0.5, 0.4, 0.6), (0.7, 0.61, 0.8)))
    for baseline in ((0.7, 0.59, 0.8), (0.4, 0.3, 0.45)):  # they overlap, or it is worse
        card = against("auprc", (0.5, 0.4, 0.6), baseline)
        assert "than this model" not in card and "best baseline by AUPRC" in card
    assert said.search(against("auprc", (None,), (0.7, 0.6, 0.8)))  # the model's is undefined
    assert "than this model" not in against("auprc", (0.0, 0.0, 0.1), (0.05, 0.0, 0.2))
    assert "than this model" not in render_card(results()) and "95 % interval" in render_card(results())


def test_accuracy_alone_calls_no_baseline_better_on_unbalanced_classes():
    """It names the most common class nearly always, which the macro F1 shows."""
    model, baseline = (0.5, 0.45, 0.55), (0.95, 0.9, 0.99)
    assert "than this model" not in against("accuracy", model, baseline, macro_f1=[0.3, 0.5])
    assert "than this model" in against("accuracy", model, baseline, macro_f1=[0.7, 0.9])


def test_errors_are_better_when_lower_and_the_loss_is_not_measured_of_baselines():
    regression = OF_TASKS["regression"]
    said = "A ridge regression on worse has a lower RMSE than this model"
    assert said in against("rmse", (12.6, 11, 13), (9.0, 8, 10), "worse", regression)
    assert "than this model" not in against("rmse", (12.6, 11, 13), (99.0, 90, 110), "worse", regression)
    assert "best baseline by Accuracy" in render_card(results(training={"chosen_by": "loss"}))


def test_a_model_that_has_collapsed_is_said_to_have():
    warning = "do not depend on its input"
    assert warning in render_card(results(validation={"constant": True}))
    assert warning not in render_card(results()) and warning not in render_card(masked_lm())


@pytest.mark.parametrize("task", ["classification", "token_classification"])
def test_one_class_for_every_row_is_a_fact_and_no_collapse(task):
    made = copy.deepcopy(OF_TASKS[task])
    name = made["model"]["label_names"][0]
    made["test"]["confusion_matrix"] = [[90, 0], [10, 0]]
    card = render_card(made)
    assert re.search(rf"every (sequence|token) is {name}", card) and "do not depend" not in card
    assert "The most likely class of every" not in render_card(OF_TASKS["regression"])
    made["test"]["confusion_matrix"] = [[89, 1], [10, 0]]
    assert "The most likely class of every" not in render_card(made)


def test_base_model_and_data_set_are_linked_where_they_are_on_the_hub_and_named_where_they_are_not():
    data = ModelCard(render_card(results())).data
    assert (data.base_model, data.datasets) == ("user/base", ["user/nt-species"])

    folders = results(model={"base": "base", "revision": None}, dataset={"name": "nt-species", "revision": None})
    data = ModelCard(render_card(folders)).data
    assert (data.base_model, data.datasets) == (None, None)
    assert "| base model | `base` |" in render_card(folders)
    assert data.eval_results[0].dataset_type == "nt-species"


def test_validation_data_that_chose_nothing_are_not_said_to_have_chosen():
    assert "chose the checkpoint" not in render_card(results(training={"chosen_by": None}))


def test_the_figures_of_masked_language_modelling_are_those_measured():
    card = render_card(masked_lm())

    assert (
        "| Loss | 2.5000 | 2.5000 |  |" in card and "| Perplexity | 12.1800 | 12.1800 | 11.0000 to 13.0000 |" in card
    )
    assert "| Masked-token accuracy | 0.2500 | 0.2500 |  |" in card
    assert "| Loss of token frequencies alone | 3.5000 |" in card
    assert "| Loss of the uniform distribution | 8.3200 |" in card
    assert "dna-classification" not in card and "Homo sapiens" not in card
    assert ModelCard(card).data.pipeline_tag == "fill-mask"


@pytest.mark.parametrize("task", OF_TASKS)
def test_a_metric_of_exactly_zero_is_a_figure(task):
    made = copy.deepcopy(OF_TASKS[task])
    for split in ("validation", "test"):
        made[split] |= {name: 0.0 for name in TASKS[task].metrics}
    card = render_card(made)
    for name in TASKS[task].metrics:
        assert f"| {name_of(name)} | 0.0000 | 0.0000 |" in card
    values = {result.metric_type: result.metric_value for result in ModelCard(card).data.eval_results}
    assert values == {name: 0.0 for name in TASKS[task].metrics if name != "loss"}


@pytest.mark.parametrize(("replaced", "told"), [(4, "4 letters "), (1, "1 letter "), (0, "")])
def test_letters_that_were_read_as_n_are_counted(replaced, told):
    card = render_card(results(dataset={"num_replaced": replaced}))

    assert told in card and ("and read as N.\n" in card.split("## Results")[1]) is bool(replaced)


def test_intervals_are_said_to_be_of_a_bootstrap_over_sequences():
    assert re.search("bootstrap over sequences .300 resamples", render_card(results()))
    assert "bootstrap" not in render_card(without_test(results()))


def test_synthetic_data_are_called_so_exactly_when_they_are():
    note, bound = "synthetic data.**", "best possible"

    synthetic = render_card(results(dataset={"synthetic": True, "bayes_optimal_accuracy": 0.9012}))
    assert note in synthetic and bound in synthetic and "0.9012" in synthetic
    for real in (None, False):
        card = render_card(results(dataset={"synthetic": real}))
        assert "synthetic" not in card.lower() and bound not in card
    assert note in render_card(masked_lm(dataset={"synthetic": True}))


@pytest.mark.parametrize("name", MADE)
def test_nothing_of_the_template_is_left_over(name):
    made, card = MADE[name], card_of(name)

    text = re.sub(r"```python\n.*?```", "", card, flags=re.DOTALL)
    assert not re.search(r"\{\{|\}\}|\{%|%\}|\{#", card)
    assert not re.search(r"\bNone\b|\bnan\b", text)
    has_undefined = "null" in json.dumps([made["validation"], made["test"]])
    assert has_undefined or not re.search(r"\bundefined\b", text)
    assert "\n\n\n\n" not in card


@pytest.mark.parametrize("name", MADE)
def test_every_table_is_whole(name):
    card = card_of(name)

    tables = tables_of(card)
    assert len(tables) == len(re.findall(r"^\|(---\|)+$", card, re.MULTILINE))
    for table in tables:
        assert len(table) > 2, table
        assert set(table[1][1:-1]) == {"---"}
        assert {len(row) for row in table} == {len(table[1])}
        assert all(row[0] == row[-1] == "" for row in table)
    lines = ["", *card.splitlines(), ""]
    for before, line in itertools.pairwise(lines):
        if line.startswith("|") != before.startswith("|"):
            assert "" in (before, line)  # or a table would go on with the text, or the text with the table


@pytest.mark.parametrize("name", MADE)
def test_every_python_block_compiles(name):
    blocks = python_blocks(card_of(name))

    assert blocks
    for block in blocks:
        compile(block, "card", "exec")


@pytest.mark.parametrize("name", MADE)
def test_the_metadata_parse_for_every_problem(name):
    made, data = MADE[name], ModelCard(card_of(name)).data

    assert data.pipeline_tag == TASKS[made["task"]].hub_tag
    assert (data.library_name, data.license) == ("transformers", "cc-by-nc-sa-4.0")
    ours = made["model"]["type"] == "nucleotide_transformer"
    assert {"nucleotide-transformer", "dna-embedding"} & set(data.tags) == (
        {"nucleotide-transformer", "dna-embedding"} if ours else set()
    )
    assert {"biology", "genomics", "dna"} <= set(data.tags)
    if made["test"] is None:
        assert "model-index" not in data.to_dict()
        return
    measured = {
        result.metric_type: (result.metric_value, result.dataset_split, result.task_type)
        for result in data.eval_results
    }
    numbers = {
        name: (round(value, 4), "test", data.pipeline_tag or "regression")
        for name, value in made["test"].items()
        if name in TASKS[made["task"]].metrics and value is not None and name != "loss"
    }
    assert measured == numbers


def test_the_figures_of_several_labels_are_those_measured_with_their_intervals():
    card = render_card(OF_TASKS["multi_label"])

    assert re.search(r"^# .*fine-tuned .* 2 labels", card, re.MULTILINE)
    assert ": Homo sapiens, Mus musculus." in card
    assert "# labels, scores" in card
    assert re.search(r"\| validation \(9 .*\| \*\*test\*\* \(8 .*\| 95 % interval \|", card)
    assert "| Micro F1 | 0.6111 | 0.6222 | 0.5100 to 0.7100 |" in card
    assert "| Macro F1 | 0.5000 | undefined |  |" in card
    assert "| Subset accuracy | 0.3000 | 0.0000 | 0.0000 to 0.0000 |" in card
    assert "| AUPRC | 0.4000 | 0.4100 | 0.3100 to 0.5100 |" in card
    assert (
        "| label | recall on test | AUROC | AUPRC |" in card and "| Homo sapiens | 0.5000 | 0.7100 | 0.4100 |" in card
    )


def test_the_figures_of_a_regression_are_those_measured_with_their_intervals():
    card = render_card(OF_TASKS["regression"])

    assert re.search("^# .*fine-tuned .* number", card, re.MULTILINE)
    assert "a number." in card and "# value" in card
    assert "| Spearman correlation | 0.8111 | 0.8222 | 0.7100 to 0.9100 |" in card
    assert "| Pearson correlation | 0.8000 | undefined |  |" in card
    assert "| R2 | -0.2500 | -0.2600 | -0.5000 to 0.1000 |" in card
    assert "| RMSE | 12.5000 | 12.6000 | 11.0000 to 13.0000 |" in card and "| MAE | 9.7500 |" in card
    several = copy.deepcopy(OF_TASKS["regression"])
    several["model"]["outputs"] = 3
    assert "3 numbers." in render_card(several)


def test_the_figures_of_labels_of_tokens_are_those_measured_with_their_intervals():
    card = render_card(OF_TASKS["token_classification"])

    assert re.search("^# .*fine-tuned .* each token", card, re.MULTILINE)
    assert ": exon, intron." in card
    assert 'pipeline("token-classification", ' in card and "dna-classification" not in card
    assert "| Accuracy | 0.9111 | 0.9222 | 0.9000 to 0.9500 |" in card
    assert "| AUROC | 0.8000 | 0.8100 | 0.7000 to 0.9000 |" in card and re.search(
        r"\| intron \| \d+ \| 0.1000 \| 0.8400 \| 0.0500 \|", card
    )


def test_without_test_data_the_figures_are_those_of_validation():
    card = render_card(without_test(OF_TASKS["regression"]))

    assert re.search(r"\| validation \(9 .*\) \|\n\|---\|---\|\n\| Spearman correlation \| 0.8111 \|", card)
    assert "**test**" not in card and "95 % interval" not in card
    assert "| | validation |\n|---|---|\n" in render_card(of_seeds(without_test(OF_TASKS["regression"])))


@pytest.mark.parametrize(
    ("task", "auto_class"),
    [
        ("classification", "AutoModelForSequenceClassification"),
        ("multi_label", "AutoModelForSequenceClassification"),
        ("regression", "AutoModelForSequenceClassification"),
        ("token_classification", "AutoModelForTokenClassification"),
        ("mlm", "AutoModelForMaskedLM"),
    ],
)
def test_another_encoder_is_used_by_transformers_own_classes_and_is_not_called_ours(task, auto_class):
    card = render_card(of_another_encoder(OF_TASKS[task]))

    assert "# DNA language model (modernbert), " in card
    blocks = python_blocks(card)
    assert len(blocks) == 1 and f"from transformers import {auto_class}, AutoTokenizer" in blocks[0]
    assert "8192 tokens" in card
    body = card.split("---\n", 2)[2]
    for ours in ("trust_remote_code", "dna-embedding", "sha256", "Nucleotide Transformer", "Python files"):
        assert ours not in body
    assert f"https://doi.org/{CITATION_DOI}" in render_card(OF_TASKS[task])


@pytest.mark.parametrize("other", [False, True])
def test_an_adapter_is_told_of_where_there_is_one(other):
    made = VARIANTS["lora"](of_another_encoder(results()) if other else results())

    assert "LoRA" in render_card(made) and "| lora targets | query, value |" in render_card(made)
    made["training"]["tuning"] = "ia3"
    assert "IA3" in render_card(made) and "`adapter/`" in render_card(made)
    made["training"]["tuning"] = "full"
    assert "`adapter/`" not in render_card(made)


def test_seeds_are_told_with_mean_and_deviation():
    card = render_card(of_seeds(results()))

    assert re.search(r"seed 43.* 2 runs .*\(42, 43\)", card)
    assert "| | validation | test |\n|---|---|---|\n| Accuracy | 0.7100 ± 0.0200 | 0.6223 ± 0.0200 |" in card
    card = render_card(of_seeds(masked_lm()))
    assert "| Loss | 2.5100 ± 0.0200 | 2.5100 ± 0.0200 |" in card
    assert "| Masked-token accuracy | 0.2600 ± 0.0200 | 0.2600 ± 0.0200 |" in card
    assert "(42, 43)" not in render_card(results())


def test_a_metric_that_one_split_leaves_undefined_is_told_so_beside_that_of_the_other():
    card = render_card(of_seeds(OF_TASKS["regression"]))

    assert "| Pearson correlation | 0.8100 ± 0.0200 | undefined |" in card


def test_a_search_is_told_with_its_trials_and_metric():
    card = render_card(results() | {"search": SEARCH})

    assert re.search("7 trials.* Macro F1", card)
    assert "trials" not in render_card(results())


def test_splits_that_were_cut_off_are_told_with_how_they_were_made():
    card = render_card(made := cut_off(results()))

    for how in made["dataset"]["cut_off"].values():
        assert how in card
    assert "had no test and no validation split" in card
    assert "The data set had no" not in render_card(results())


def test_what_the_training_took_is_listed():
    card = render_card(results())

    assert "| tokens per second | 3456 |" in card and "| peak memory mib | 789 |" in card
    assert "| seed | 42 |" in card and "max steps" not in card and "max length" not in card
    assert "| max steps | 9 |" in render_card(results(training={"max_steps": 9}))


def test_a_label_with_a_bar_in_its_name_does_not_break_the_table():
    scores = {f"{name}_per_label": {"a|b": 0.25} for name in ("recall", "auroc", "auprc")}
    card = render_card(results(test=scores | {"confusion_matrix": [[8]]}))

    assert re.search(r"\| a\\\|b \| \d+ \| 0.2500 \| 0.2500 \| 0.2500 \|", card)


def test_the_code_files_are_listed_with_their_sha256():
    listed = dict(re.findall(r"^\| `(\w+\.py)` \| `([0-9a-f]{64})` \|$", render_card(results()), re.MULTILINE))

    folder = Path(__file__).parents[2] / "dnahub" / "hub_code"
    travelling = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert listed == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in travelling}


def test_the_licence_of_random_weights_is_that_of_the_code():
    assert inherited_licence(None) == {"license": "apache-2.0"}


def test_the_published_weights_keep_their_licence(tmp_path):
    base = CheckpointFiles("InstaDeepAI/nucleotide-transformer-v2-50m-multi-species", tmp_path, "abc")
    assert inherited_licence(base) == {"license": "cc-by-nc-sa-4.0"}


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: cc-by-nc-sa-4.0\n---\n", {"license": "cc-by-nc-sa-4.0"}),
        ("---\nlicense: mit\n---\n# A model", {"license": "mit"}),
        (
            "---\nlicense: other\nlicense_name: ours\nlicense_link: LICENSE\n---\n",
            {"license": "other", "license_name": "ours", "license_link": "LICENSE"},
        ),
        ("---\ntags: [dna]\n---\n", {"license": "unknown"}),
        ("# No metadata at all", {"license": "unknown"}),
        (None, {"license": "unknown"}),
    ],
)
def test_a_base_model_hands_down_the_licence_of_its_card(tmp_path, card, licence):
    if card is not None:
        (tmp_path / "README.md").write_text(card)

    assert inherited_licence(CheckpointFiles("base", tmp_path, None)) == licence
    assert ModelCard(render_card(results(licence=licence))).data.license == licence["license"]
