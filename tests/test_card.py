"""What was measured -> the checkpoint's card: metadata that the Hub reads, and figures that are those measured."""

import copy
import hashlib
import re
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

import hub_code
from checkpoints.loading import CheckpointFiles
from training.card import inherited_licence, render_card

SCORES = {
    "loss": 0.5,
    "accuracy": 0.61234,
    "macro_f1": 0.52347,
    "mcc": 0.43456,
    "recall_per_label": {"Homo sapiens": 0.125, "Mus musculus": None},
    "confusion_matrix": [[1, 7], [0, 0]],
}
RESULTS = {
    "task": "classification",
    "licence": {"license": "cc-by-nc-sa-4.0"},
    "validation": SCORES | {"accuracy": 0.7},
    "test": SCORES,
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
        "parameters": 1234567,
        "parameters_trained": 4321,
        "label_names": ["Homo sapiens", "Mus musculus"],
    },
    "dataset": {
        "name": "user/nt-species",
        "config": "windows",
        "revision": "def456",
        "synthetic": None,
        "bayes_optimal_accuracy": None,
        "rows": {"train": 80, "validation": 9, "test": 8},
    },
    "training": {
        "tuning": "full",
        "learning_rate": 0.0001,
        "max_length": None,
        "steps": 77,
        "best_step": 66,
        "chosen_by": "accuracy",
        "seconds": 12.5,
        "processes": 2,
        "hardware": "CPU (x86_64, 2 cores)",
        "versions": {"torch": "2.13.0"},
    },
}
MLM_SCORES = {"loss": 2.5, "perplexity": 12.18, "masked_accuracy": 0.25}


def results(**sections):
    """The results above with other fields in some sections."""
    changed = copy.deepcopy(RESULTS)
    for name, value in sections.items():
        changed[name] = changed[name] | value if isinstance(value, dict) else value
    return changed


def masked_lm(**sections):
    changed = results(task="mlm", **sections)
    changed["validation"] = changed["test"] = MLM_SCORES
    changed["baselines"] = None
    return changed


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
    }


def test_the_model_index_parses_by_itself():
    data = ModelCard(render_card(results())).data.to_dict()

    name, parsed = model_index_to_eval_results(data["model-index"])

    assert name == "nt-species-classifier"
    assert len(parsed) == 3


@pytest.mark.parametrize("made", [masked_lm(), results(test=None, baselines=None)])
def test_without_measured_classes_on_test_data_there_is_no_model_index(made):
    assert "model-index" not in render_card(made)


def test_the_figures_are_those_measured():
    card = render_card(results())

    assert "| **this model, test** (8 sequences; looked at once) | 0.6123 | 0.296 to 0.856 | 0.5235 | 0.4346 |" in card
    assert (
        "| baseline, test: logistic regression on 3-mer counts | 0.5112 | 0.223 to 0.792 | 0.5235 | 0.4346 |" in card
    )
    assert "The best of the baselines is right on 0.5889 of the test sequences." in card
    assert "fitted on 80 training sequences" in card
    assert (
        "| this model, validation (9 sequences; chose the checkpoint) | 0.7000 | 0.382 to 0.898 | 0.5235 | 0.4346 |"
        in card
    )
    assert "| Homo sapiens | 0.1250 |" in card
    assert "| Mus musculus | none in the split |" in card
    assert "| parameters | 1,234,567, of which 4,321 trained |" in card
    assert "| base model | `user/base`, revision `abc123` |" in card
    assert "`user/nt-species`, configuration `windows`, revision `def456`; 80 train, 9 validation, 8 test |" in card
    assert "| learning rate | 0.0001 |" in card and "| torch | 2.13.0 |" in card
    assert "At most 2048 tokens, about 12282 nt." in card


def test_a_baseline_that_is_better_is_said_to_be():
    better = copy.deepcopy(RESULTS["baselines"])
    better["in-frame codons"]["accuracy"] = 0.7
    said = "**A logistic regression on in-frame codons is right more often than this model**"
    assert said in render_card(results(baselines=better))
    assert "is right more often" not in render_card(results())


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

    assert "| test (8 sequences) | 2.5000 | 12.18 | 0.2500 |" in card
    assert "dna-classification" not in card and "Homo sapiens" not in card
    assert ModelCard(card).data.pipeline_tag == "fill-mask"


def test_synthetic_data_are_called_so_exactly_when_they_are():
    note, bound = "**Trained and measured on synthetic data.**", "best possible classifier"

    synthetic = render_card(results(dataset={"synthetic": True, "bayes_optimal_accuracy": 0.9012}))
    assert note in synthetic and bound in synthetic and "0.9012" in synthetic
    for real in (None, False):
        card = render_card(results(dataset={"synthetic": real}))
        assert "synthetic" not in card.lower() and bound not in card
    assert note in render_card(masked_lm(dataset={"synthetic": True}))


@pytest.mark.parametrize(
    "made", [results(), masked_lm(), results(test=None, baselines=None), results(dataset={"synthetic": True})]
)
def test_nothing_of_the_template_is_left_over(made):
    card = render_card(made)

    text = re.sub(r"```python\n.*?```", "", card, flags=re.DOTALL)
    assert not re.search(r"\{\{|\}\}|\{%|%\}|\{#", card)
    assert not re.search(r"\bNone\b|\bundefined\b|\bnan\b", text)
    tables = [line for line in card.splitlines() if line.startswith("|")]
    assert tables and all(line.endswith("|") for line in tables)


def test_the_code_files_are_listed_with_their_sha256():
    listed = dict(re.findall(r"^\| `(\w+\.py)` \| `([0-9a-f]{64})` \|$", render_card(results()), re.MULTILINE))

    folder = Path(hub_code.__file__).parent
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
