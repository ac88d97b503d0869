"""What was measured -> the checkpoint's card: metadata that the Hub reads, and figures that are those measured."""

import copy
import hashlib
import itertools
import json
import re
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from dnahub.checkpoints.licence import inherited_licence
from dnahub.checkpoints.loading import CheckpointFiles
from dnahub.checkpoints.presets import PRESETS
from dnahub.checkpoints.tokenizer import build_tokenizer, nt_vocabulary
from dnahub.hub_code import NucleotideTransformerConfig, NucleotideTransformerForSequenceClassification
from dnahub.hub_code.pipeline_dna_classification import DNAClassificationPipeline
from dnahub.metrics.names import interval, name_of, number
from dnahub.reports.card import metrics_of, render_card
from dnahub.reports.comparison import describe
from dnahub.reports.report import render_report
from dnahub.tasks import TASKS

SCORES = {
    "loss": 0.5,
    "accuracy": 0.61234,
    "balanced_accuracy": 0.57123,
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
    "comparison": {
        "baseline": "in-frame codons",
        "groups": None,
        "metrics": {
            "accuracy": {"difference": 0.02345, "interval": [0.01, 0.03], "verdict": "better"},
            "balanced_accuracy": {"difference": 0.0, "interval": [-0.01, 0.01], "verdict": "no difference"},
        },
        "verdict": "no difference",
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
        "group_column": None,
    },
    "training": {
        "tuning": "full",
        "learning_rate": 0.0001,
        "max_length": None,
        "max_steps": None,
        "seed": 42,
        "resumed_at_step": None,
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

THRESHOLDS = {name: {"threshold": 0.3, "score": 0.6, "at_half": 0.5} for name in ("mcc", "f1")}

BEST = "the baseline that was best on validation, 3-mer counts"


def results(**sections):
    """The results above with other fields in some sections."""
    changed = copy.deepcopy(RESULTS)
    for name, value in sections.items():
        changed[name] = changed[name] | value if isinstance(value, dict) else value
    return changed


def of_task(task, validation, test, intervals, **model):
    """The results of a task that is not of one class a sequence."""
    changed = results(task=task, model=model, baselines=None, comparison=None)
    changed["validation"] = {"loss": 0.5, **validation}
    changed["test"] = {"loss": 0.6, **test, "intervals": intervals, "resamples": 300}
    return changed


OF_TASKS = {
    "classification": results(),
    "multi_label": of_task(
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
    "regression": of_task(
        "regression",
        {"spearman": 0.81111, "pearson": 0.8, "r2": -0.25, "rmse": 12.5, "mae": 9.75},
        {"spearman": 0.82222, "pearson": None, "r2": -0.26, "rmse": 12.6, "mae": 9.76},
        {"spearman": [0.71, 0.91], "r2": [-0.5, 0.1], "rmse": [11.0, 13.0], "mae": [8.0, 10.0]},
        label_names=[],
        outputs=1,
    ),
    "token_classification": of_task(
        "token_classification",
        {"accuracy": 0.91111, "balanced_accuracy": 0.68, "macro_f1": 0.7, "mcc": 0.6, "auroc": 0.8, "auprc": 0.5},
        {"accuracy": 0.92222, "balanced_accuracy": 0.69, "macro_f1": 0.71, "mcc": 0.61, "auroc": 0.81, "auprc": 0.51}
        | {
            "recall_per_label": {"exon": 0.9, "intron": 0.1},
            "auroc_per_label": {"exon": 0.83, "intron": 0.84},
            "auprc_per_label": {"exon": 0.95, "intron": 0.05},
            "confusion_matrix": [[90, 10], [9, 1]],
        },
        {"accuracy": [0.9, 0.95], "macro_f1": [0.6, 0.8], "mcc": [0.5, 0.7], "auroc": [0.7, 0.9]},
        label_names=["exon", "intron"],
    ),
    "mlm": of_task(
        "mlm",
        {"perplexity": 12.18, "masked_accuracy": 0.25, "unigram_loss": 3.5, "uniform_loss": 8.32},
        {"perplexity": 12.19, "masked_accuracy": 0.26, "unigram_loss": 3.6, "uniform_loss": 8.32},
        {"perplexity": [11, 13]},
        label_names=[],
        outputs=0,
    ),
}
SEARCH = {"metric": "macro_f1", "trials": [{"learning_rate": 1e-4, "macro_f1": 0.5}] * 7}


def changed(made, **sections):
    return {**made, **{name: {**made[name], **fields} for name, fields in sections.items()}}


def without_test(made):
    return changed(made, dataset={"rows": {"train": 80, "validation": 9}}) | {
        "test": None,
        "baselines": None,
        "comparison": None,
    }


def of_another_encoder(made):
    return changed(made, model={"type": "modernbert", "base": "user/dna-modernbert", "max_tokens": 8192})


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
    return {**made, "seeds": {"seeds": [42, 43], "chosen": 43, **spread}, "search": SEARCH}


def cut_off(made):
    how = {"test": "0.2 of train, by gene", "validation": "0.1 of train, by gene"}
    return changed(made, dataset={"cut_off": how})


VARIANTS = {
    "as it is": lambda made: made,
    "all": lambda made: cut_off(of_seeds(changed(made, training={"tuning": "lora", "lora_targets": "query"}))),
    "all without test": lambda made: cut_off(of_seeds(without_test(made))),
    "another encoder": lambda made: of_another_encoder(made) | {"baselines": None, "comparison": None},
    "synthetic": lambda made: changed(made, dataset={"synthetic": True, "bayes_optimal_accuracy": 0.9}),
    "files": lambda made: changed(made, dataset={"config": None, "revision": None, "name": "a.csv"}),
}
MADE = {f"{task}, {name}": change(OF_TASKS[task]) for task in OF_TASKS for name, change in VARIANTS.items()}


def python_blocks(card):
    return re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)


@pytest.mark.parametrize("name", MADE)
def test_a_card_of_every_task_is_whole(name):
    made, card = MADE[name], render_card(MADE[name])

    assert "\n\n\n\n" not in card
    text = re.sub(r"```python\n.*?```", "", card, flags=re.DOTALL)
    assert not re.search(r"\{\{|\}\}|\{%|%\}|\{#|\bNone\b|\bnan\b", text)
    assert "null" in json.dumps([made["validation"], made["test"]]) or not re.search(r"\bundefined\b", text)

    lines = card.splitlines()
    runs = [list(run) for is_row, run in itertools.groupby(lines, lambda line: line.startswith("|")) if is_row]
    assert len(runs) == len(re.findall(r"^\|(---\|)+$", card, re.MULTILINE))
    for table in ([re.split(r"(?<!\\)\|", line) for line in run] for run in runs):
        assert len(table) > 2 and set(table[1][1:-1]) == {"---"}, table
        assert {(len(row), row[0], row[-1]) for row in table} == {(len(table[1]), "", "")}
    for before, line in itertools.pairwise(["", *lines, ""]):
        if line.startswith("|") != before.startswith("|"):
            assert "" in (before, line)  # or a table would go on with the text, or the text with the table

    blocks = python_blocks(card)
    for block in blocks:
        compile(block, "card", "exec")
    task = TASKS[made["task"]]
    if made["model"]["type"] == "nucleotide_transformer":
        assert ("dna-classification" in card) == (task.pipeline == "dna-classification")
        assert "https://doi.org/10.1038/s41592-024-02523-z" in card
    else:
        assert f"from transformers import {task.auto_class}, AutoTokenizer" in blocks[0] and len(blocks) == 1
        assert "# DNA language model (modernbert), " in card and "8192 tokens" in card
        ours = ("trust_remote_code", "dna-embedding", "sha256", "Nucleotide Transformer", "Python files")
        assert ("stride=" in card) == (task.head == "token")  # transformers' own pipeline cuts without a message
        assert not [word for word in ours if word in card.split("---\n", 2)[2]]


@pytest.mark.parametrize("name", MADE)
def test_every_metric_is_in_card_and_terminal_by_the_same_name_and_in_the_metadata(name):
    made, card = MADE[name], render_card(MADE[name])
    task, validation, test = TASKS[made["task"]], made["validation"], made["test"]
    terminal = [re.split(" {2,}", line.strip()) for line in render_report(made, Path("checkpoint")).splitlines()]
    names = metrics_of(validation, task)
    assert set(task.metrics) <= set(names) and "constant" not in names
    for metric in names:
        shown = [name_of(metric), number(validation[metric])]
        if test:
            shown += [number(test[metric]), interval(test, metric)]
        assert f"| {' | '.join(shown)} |" in card.replace("|  |", "| |").replace("| |", "|  |")
        assert [shown[0], *shown[-2:]] in terminal or [shown[0], number((test or validation)[metric])] in terminal
        if "seeds" in made:
            spread = [made["seeds"][split].get(metric) for split in ("validation", "test") if made[split]]
            spread = [
                f"{number(each['mean'])} ± {number(each['deviation'])}" if each else "undefined" for each in spread
            ]
            assert f"| {name_of(metric)} | {' | '.join(spread)} |" in card

    data = ModelCard(card).data
    ours = made["model"]["type"] == "nucleotide_transformer"
    assert (data.library_name, data.license, data.pipeline_tag) == ("transformers", "cc-by-nc-sa-4.0", task.hub_tag)
    assert set(data.tags) == {"biology", "genomics", "dna", *["nucleotide-transformer", "dna-embedding"] * ours}
    if not test:
        assert "model-index" not in card
        return
    _, index = model_index_to_eval_results(data.to_dict()["model-index"])
    assert {each.metric_type: each.metric_value for each in index} == {
        metric: round(test[metric], 4) for metric in task.metrics if metric != "loss" and test[metric] is not None
    }
    about = {(each.task_type, each.dataset_type, each.dataset_split, each.dataset_revision) for each in index}
    dataset = made["dataset"]
    assert about == {(task.hub_tag or made["task"], dataset["name"], "test", dataset["revision"])}


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            results(),
            [
                r"\| Accuracy \| 0.7000 \| 0.6123 \| 0.5000 to 0.7000 \|",
                r"\| validation \(9 .*chose the checkpoint.*\| \*\*test\*\* \(8 .*\| 95 % interval \|",
                r"baseline, test \| Accuracy \| .* \| Loss \|( 95 % interval of (Accuracy|Balanced accuracy) \|){2}",
                r"\| 3-mer counts \| 0.5112 \| 0.5712 \| 0.5235 \| 0.4346 \| 0.7123 \| 0.3123 \| 0.5000 \|",
                r"on validation, in-frame codons: no clear difference; Accuracy 0.0234 higher .*0.0100 to \+0.0300",
                "on 80 training sequences",
                "bootstrap over sequences .300 resamples",
                r"\| Homo sapiens \| \d+ \| 0.1250 \| 0.7500 \| 0.2500 \|",
                r"\| Mus musculus \| 0 \| undefined \| undefined \| undefined \|",
                r"\| parameters \| 1,234,567, of which 4,321 trained \|",
                r"\| base model \| `user/base`, revision `abc123` \|",
                "`user/nt-species`, configuration `windows`, revision `def456`; 80 train, 9 validation, 8 test",
                r"\| learning rate \| 0.0001 \|\n(.*\n)*\| seed \| 42 \|\n(.*\n)*\| peak memory mib \| 789 \|",
                "2048 tokens, about 12282 nt",
                "# label, score, scores of all classes\n```\n\n`return_logits=True` and `return_embedding=True` add",
            ],
        ),
        (
            OF_TASKS["multi_label"],
            ["fine-tuned .* 2 labels", ": Homo sapiens, Mus musculus", "# label, score, labels"],
        ),
        (
            OF_TASKS["multi_label"],
            [r"\| label \| recall on test \|", r"\| Homo sapiens \| 0.5000 \| 0.7100 \| 0.4100 \|"],
        ),
        (OF_TASKS["regression"], ["fine-tuned .* number", r"a number\.", r"# value"]),
        (changed(OF_TASKS["regression"], model={"outputs": 3}), [r"3 numbers\."]),
        (OF_TASKS["token_classification"], ["each token", ": exon, intron", r'pipeline\("token-classification", ']),
        (OF_TASKS["token_classification"], [r"\| intron \| \d+ \| 0.1000 \| 0.8400 \| 0.0500 \|"]),
        (of_seeds(results()), [r"seed 43.* 2 runs .*\(42, 43\)", "7 trials.* Macro F1"]),
        (of_seeds(without_test(results())), [r"\| \| validation \|\n\|---\|---\|\n"]),
        (
            cut_off(results()),
            ["0.2 of train, by gene", "0.1 of train, by gene", "had no test and no validation split"],
        ),
        (VARIANTS["synthetic"](results()), [r"synthetic data\.\*\*", r"best possible .* 0\.9000"]),
        (results(training={"max_steps": 9}), [r"\| max steps \| 9 \|"]),
        (results(validation={"constant": True}), ["do not depend on its input"]),
        (results(dataset={"num_replaced": 4}), ["4 letters .* were .* and read as N"]),
        (results(dataset={"num_replaced": 1}), ["1 letter .* was .* and read as N"]),
        (results(training={"tuning": "lora"}), ["LoRA", "`adapter/`"]),
        (of_another_encoder(results(training={"tuning": "ia3"})), ["IA3", "`adapter/`"]),
        (
            results(test={"confusion_matrix": [[7, 0], [1, 0]]}),
            ["every sequence is Homo sapiens", "class alone would have an accuracy of 0.8750"],
        ),
        (results(training={"thresholds": THRESHOLDS}), ["from a probability of 0.3000 on", "pipeline applies it"]),
        (of_another_encoder(results(training={"thresholds": THRESHOLDS})), ["own pipelines predict from 0.5 on"]),
        (
            changed(OF_TASKS["token_classification"], test={"confusion_matrix": [[7, 0], [1, 0]]}),
            ["every token is exon"],
        ),
    ],
)
def test_a_card_says(made, said):
    card = render_card(made)
    for pattern in said:
        assert re.search(pattern, card), pattern


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (
            results(),
            "synthetic|best possible|and read as N|do not depend|The most likely class|The data set had no",
        ),
        (results(), "`adapter/`|max steps|max length|trials|42, 43|use that"),
        (results(training={"chosen_by": None}), "chose the checkpoint"),
        (without_test(results()), r"bootstrap|\*\*test\*\*|95 % interval"),
        (OF_TASKS["regression"], "The most likely class|do not depend"),
        (OF_TASKS["mlm"], "dna-classification|Homo sapiens|do not depend"),
    ],
)
def test_a_card_does_not_say(made, words):
    assert not re.search(words, render_card(made))


def compared(baseline="3-mer counts", verdict="better", groups=None, **metrics):
    """A comparison with these differences and intervals; no interval: undefined."""
    found = {
        name: {"difference": each and each[0], "interval": each and each[1:], "verdict": verdict}
        for name, each in metrics.items()
    }
    return {"baseline": baseline, "groups": groups, "metrics": found, "verdict": verdict}


@pytest.mark.parametrize(
    ("comparison", "said"),
    [
        (
            compared(auprc=(0.2, 0.1, 0.3)),
            f"**This model is better than {BEST}; AUPRC 0.2000",
        ),
        (
            compared(loss=(-0.2, -0.3, -0.1)),
            "3-mer counts; Loss 0.2000 lower (95 % interval of the difference -0.3000",
        ),
        (compared(verdict="worse", mcc=(-0.1, -0.2, -0.05)), "to -0.0500).** It takes seconds to fit"),
        (compared(verdict="no difference", mcc=(0.1, -0.2, 0.3)), "no clear difference; MCC 0.1000 higher"),
        (compared(verdict="mixed", mcc=(0.1, 0.05, 0.2), loss=(1, 0.5, 2)), "by one score and worse by another; MCC"),
        (
            compared(verdict="worse", auroc=None),
            f"worse than {BEST}; AUROC undefined.**",
        ),
    ],
)
def test_the_verdict_states_each_difference_with_its_interval(comparison, said):
    made = results(comparison=comparison)
    assert said in render_card(made)
    assert describe(comparison) in render_report(made, Path("checkpoint")).splitlines()


def test_a_card_says_what_the_bootstrap_draws():
    assert "bootstrap over sequences" in render_card(results())
    card = render_card(results(dataset={"group_column": "gene"}))
    assert "bootstrap over the values of `gene`" in card and "independent" not in card


@pytest.mark.parametrize(("task", "outputs"), [("classification", 3), ("multi_label", 3), ("regression", 1)])
def test_the_card_names_what_the_pipeline_returns(task, outputs):
    config = NucleotideTransformerConfig(**PRESETS["tiny"], num_labels=outputs, problem_type=TASKS[task].problem_type)
    tokenizer = build_tokenizer(nt_vocabulary(), config.max_tokens)
    pipeline = DNAClassificationPipeline(NucleotideTransformerForSequenceClassification(config), tokenizer)
    card = render_card(OF_TASKS[task])
    said = set(re.findall(r"(?:^|, )(\w+)", re.search("# (.*)", python_blocks(card)[1])[1]))
    flags, more = (re.findall(words, card) for words in ("`(return_\\w+)=True`", "`(logits|embedding)`"))
    assert set(pipeline("ACGTAC")) == said
    assert set(pipeline("ACGTAC", **dict.fromkeys(flags, True))) == {*said, *more} and len(flags) == len(more) == 2


def test_base_model_and_data_set_are_linked_where_they_are_on_the_hub_and_named_where_they_are_not():
    data = ModelCard(render_card(results())).data
    assert (data.base_model, data.datasets) == ("user/base", ["user/nt-species"])

    folders = results(model={"base": "base", "revision": None}, dataset={"name": "nt-species", "revision": None})
    data = ModelCard(render_card(folders)).data
    assert (data.base_model, data.datasets) == (None, None)
    assert "| base model | `base` |" in render_card(folders)
    assert data.eval_results[0].dataset_type == "nt-species"


@pytest.mark.parametrize("task", OF_TASKS)
def test_a_metric_of_exactly_zero_is_a_figure(task):
    zeros = dict.fromkeys(TASKS[task].metrics, 0.0)
    card = render_card(changed(OF_TASKS[task], validation=zeros, test=zeros))
    for name in zeros:
        assert f"| {name_of(name)} | 0.0000 | 0.0000 |" in card
    assert {each.metric_type for each in ModelCard(card).data.eval_results} == zeros.keys() - {"loss"}


@pytest.mark.parametrize(
    ("label", "shown"),
    [("a|b", r"a\|b"), ("c\nd\te\x1b", r"c\\nd\\te\\x1b"), ("<script>&*_", r"&lt;script&gt;&amp;\*\_")],
)
def test_a_label_with_a_bar_or_a_line_break_in_its_name_does_not_break_the_table(label, shown):
    scores = {f"{name}_per_label": {label: 0.25} for name in ("recall", "auroc", "auprc")}
    made = results(test=scores | {"confusion_matrix": [[8]]}, model={"label_names": [label]})
    card = render_card(made)
    assert f"| {shown} | 8 | 0.2500 | 0.2500 | 0.2500 |" in card
    assert f"gives one of: {shown}." in card and f"every sequence is {shown}." in card


def test_names_of_columns_and_data_sets_are_code_in_a_card_and_harmless_on_a_terminal():
    scores = {f"{name}_per_label": {"c\x1b": None} for name in ("recall", "auroc", "auprc")}
    made = results(dataset={"name": "a|`b\x1b", "group_column": "<b>"}, test=scores | {"confusion_matrix": [[8]]})
    card, table = render_card(made), render_report(made, Path("checkpoint"))
    assert r"| data set | `a\|'b\x1b`, configuration" in card and "values of `<b>`" in card
    assert r"a|`b\x1b, test split" in table and r"no rows of: c\x1b" in table and "\x1b" not in table + card


def test_the_code_files_are_listed_with_their_sha256():
    listed = dict(re.findall(r"^\| `(\w+\.py)` \| `([0-9a-f]{64})` \|$", render_card(results()), re.MULTILINE))
    folder = Path(__file__).parents[2] / "dnahub" / "hub_code"
    travelling = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert listed == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in travelling}


def test_the_licence_is_that_of_the_weights_it_began_from(tmp_path):
    assert inherited_licence(None) == {"license": "apache-2.0"}
    published = CheckpointFiles("InstaDeepAI/nucleotide-transformer-v2-50m-multi-species", tmp_path, "abc")
    assert inherited_licence(published) == {"license": "cc-by-nc-sa-4.0"}
    base = CheckpointFiles("base", tmp_path, None)
    assert inherited_licence(base) == {"license": "unknown"}
    other = "license: other\nlicense_name: ours\nlicense_link: LICENSE"
    for card, licence in (
        ("---\nlicense: mit\n---\n# A model", {"license": "mit"}),
        (f"---\n{other}\n---\n", {"license": "other", "license_name": "ours", "license_link": "LICENSE"}),
        ("---\ntags: [dna]\n---\n", {"license": "unknown"}),
        ("# No metadata at all", {"license": "unknown"}),
    ):
        (tmp_path / "README.md").write_text(card)
        assert inherited_licence(base) == licence
        assert ModelCard(render_card(results(licence=licence))).data.license == licence["license"]
