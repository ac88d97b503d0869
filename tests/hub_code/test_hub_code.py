"""The files that travel with a checkpoint -> used in fresh processes that know nothing of this repository."""

import ast
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import Trainer, TrainingArguments, pipeline

from dnahub.checkpoints.tokenizer import build_tokenizer, nt_vocabulary
from dnahub.hub_code import (
    DNAClassificationPipeline,
    DNAEmbeddingPipeline,
    NucleotideTransformerForSequenceClassification,
    NucleotideTransformerForTokenClassification,
)
from dnahub.hub_code.configuration_nucleotide_transformer import AUTO_MAP, CUSTOM_PIPELINES
from tests import forked
from tests.tiny_models import write_checkpoint

HUB_CODE = Path(__file__).parents[2] / "dnahub" / "hub_code"
FILES = sorted(path for path in HUB_CODE.glob("*.py") if path.name != "__init__.py")
COPIED = [path.name for path in FILES if path.name != "handler.py"]  # by transformers; handler.py by `save_checkpoint`
SEQUENCES = ["ATGGTAGCTACATCATCTNNA", "G", "acguac" * 30, "ATG RYK"]
LABELS = ["Homo sapiens", "Mus musculus", "Escherichia coli"]
# What every machine that can load a checkpoint has.
ALLOWED = sys.stdlib_module_names | {"torch", "numpy", "transformers", "tokenizers", "huggingface_hub"}


def imports(path: Path) -> list[tuple[ast.stmt, str, int]]:
    """(statement, module, level) of every import in a file, also of those inside functions."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(node, alias.name, 0) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node, node.module or "", node.level))
    return found


def test_the_folder_is_flat_and_holds_the_files_that_config_json_names():
    assert [path.name for path in HUB_CODE.iterdir() if path.is_dir() and path.name != "__pycache__"] == []
    named = {reference.partition(".")[0] for reference in AUTO_MAP.values()}
    named |= {entry["impl"].partition(".")[0] for entry in CUSTOM_PIPELINES.values()}
    assert sorted(f"{name}.py" for name in named) == COPIED
    assert len(COPIED) == 4


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_only_siblings_and_what_every_machine_has_is_imported(path):
    found = imports(path)
    assert found
    for node, module, level in found:
        if level:
            # `from .name import X`: the only form that transformers finds, and copies.
            assert level == 1 and module and "." not in module, ast.unparse(node)
            assert (HUB_CODE / f"{module}.py").is_file(), ast.unparse(node)
            assert module != "__init__" and all(alias.name != "*" for alias in node.names), ast.unparse(node)
        else:
            package = module.partition(".")[0]
            assert package in ALLOWED, ast.unparse(node)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_other_line_looks_like_an_import(path):
    # transformers.dynamic_module_utils searches the text with these patterns, docstrings and comments included.
    text = path.read_text()
    lines = {line for node, _, _ in imports(path) for line in range(node.lineno, node.end_lineno + 1)}
    for number, line in enumerate(text.splitlines(), start=1):
        if number not in lines:
            assert not re.match(r"\s*(import\s+\S+|from\s+\S+\s+import)", line), f"{path.name}:{number}: {line}"
    stated = {module for _, module, level in imports(path) if level}
    assert set(re.findall(r"^\s*from\s+\.(\S+)\s+import", text, flags=re.MULTILINE)) == stated


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A folder as `save_pretrained` leaves it: weights, config, tokenizer, and the files that transformers copies."""
    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(folder, NucleotideTransformerForSequenceClassification, id2label=dict(enumerate(LABELS)))
    assert sorted(path.name for path in folder.glob("*.py")) == COPIED
    return folder


@pytest.fixture(scope="module")
def expected(checkpoint):
    """What this process computes from the checkpoint, by the classes of this repository."""
    model = NucleotideTransformerForSequenceClassification.from_pretrained(checkpoint)
    tokenizer = build_tokenizer(nt_vocabulary(), 2048)
    classify = DNAClassificationPipeline(model=model, tokenizer=tokenizer, device="cpu")
    embed = DNAEmbeddingPipeline(model=model, tokenizer=tokenizer, device="cpu")
    with torch.no_grad():
        states = model.esm(**tokenizer(SEQUENCES[0], return_tensors="pt")).last_hidden_state.numpy()
    results = classify(SEQUENCES, return_logits=True, return_embedding=True)
    heads = ("", "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification")
    return {f"states{head}": states for head in heads} | {
        "embeddings": np.array(embed(SEQUENCES)),
        "layer 1": np.array(embed(SEQUENCES, layer=1, pooling="max")),
        "class logits": np.array([result["logits"] for result in results]),
        "class embeddings": np.array([result["embedding"] for result in results]),
        "labels": np.array([result["label"] for result in results]),
        "plain labels": np.array([result["label"] for result in results]),
    }


# Runs without this repository; its arguments are the checkpoint, the sequences as JSON, a file for the results, and
# folders in which the model and the pipeline are saved again.
USE = """
import importlib.util, json, sys
import numpy as np, torch, transformers
from transformers import AutoConfig, AutoTokenizer, pipeline

checkpoint, sequences, output = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
assert importlib.util.find_spec("dnahub") is None
results = {}
assert type(AutoConfig.from_pretrained(checkpoint, trust_remote_code=True)).__name__ == "NucleotideTransformerConfig"
tokenizer = AutoTokenizer.from_pretrained(checkpoint, trust_remote_code=True)
ids = tokenizer(sequences[0], return_tensors="pt")
for head in ("", "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification"):
    cls = getattr(transformers, f"AutoModel{head}")
    model = cls.from_pretrained(checkpoint, trust_remote_code=True)
    assert type(model).__name__ == "NucleotideTransformer" + (head or "Model"), type(model)
    assert type(model).__module__.startswith("transformers_modules."), type(model)
    with torch.no_grad():
        results[f"states{head}"] = model.base_model(**ids).last_hidden_state.numpy()
embed = pipeline("dna-embedding", model=checkpoint, trust_remote_code=True, device="cpu")
assert type(embed).__module__.startswith("transformers_modules."), type(embed)
results["embeddings"] = np.array(embed(sequences, batch_size=3))
results["layer 1"] = np.array(embed(sequences, layer=1, pooling="max"))
assert embed.num_replaced == 6
classify = pipeline("dna-classification", model=checkpoint, trust_remote_code=True, device="cpu")
classified = classify(sequences, batch_size=3, return_logits=True, return_embedding=True)
results["class logits"] = np.array([result["logits"] for result in classified])
results["class embeddings"] = np.array([result["embedding"] for result in classified])
results["labels"] = np.array([result["label"] for result in classified])
plain = pipeline("text-classification", model=checkpoint, trust_remote_code=True, device="cpu")
results["plain labels"] = np.array([result["label"] for result in plain(sequences)])
if len(sys.argv) > 4:
    cls = transformers.AutoModelForSequenceClassification
    cls.from_pretrained(checkpoint, trust_remote_code=True).save_pretrained(sys.argv[4])
    tokenizer.save_pretrained(sys.argv[4])
    classify.save_pretrained(sys.argv[5])
np.savez(output, **results)
print("all of it")
"""


def run_elsewhere(folder: Path, script: str, *arguments, fresh: bool = False) -> None:
    """Run a script with its own working folder and cache, and nothing of ours on the path; `fresh`: not forked."""
    folder.mkdir()
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ}
    environment |= {"HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = ["-I", "-c", script, *map(str, arguments)]
    if fresh:
        options = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "timeout": 120}
        done = subprocess.run([sys.executable, *command], cwd=folder, env=environment, **options)
    else:
        done = forked.run(command, folder, environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("all of it\n")


def assert_equal(results, expected) -> None:
    for name, values in expected.items():
        if values.dtype.kind == "U":
            assert results[name].tolist() == values.tolist(), name
        else:
            np.testing.assert_allclose(results[name], values, rtol=0, atol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def elsewhere(checkpoint, tmp_path_factory):
    """The first generation, used in a process of its own, which also writes the second."""
    folder = tmp_path_factory.mktemp("elsewhere")
    paths = folder / "results.npz", folder / "model_saved_again", folder / "pipeline_saved_again"
    run_elsewhere(folder / "work", USE, checkpoint, json.dumps(SEQUENCES), *paths, fresh=True)
    return np.load(paths[0]), paths[1], paths[2]


def test_a_checkpoint_serves_a_process_without_our_package(elsewhere, expected):
    assert_equal(elsewhere[0], expected)
    assert len(set(expected["labels"])) > 1


@pytest.mark.parametrize("saved", ["by the model", "by the pipeline"])
def test_what_is_loaded_by_remote_code_and_saved_again_serves_both_pipelines(elsewhere, expected, tmp_path, saved):
    again = elsewhere[1 if saved == "by the model" else 2]
    config = json.loads((again / "config.json").read_text())
    assert config["auto_map"] == AUTO_MAP and config["custom_pipelines"] == CUSTOM_PIPELINES
    run_elsewhere(tmp_path / "work", USE, again, json.dumps(SEQUENCES), tmp_path / "results.npz")
    assert_equal(np.load(tmp_path / "results.npz"), expected)


# Its arguments are (checkpoint of tokens, checkpoint of several labels, sequence, file for the results).
OTHER_HEADS = """
import json, sys
from transformers import pipeline

of_tokens, of_several, sequence, output = sys.argv[1:]
given = {"trust_remote_code": True, "device": "cpu"}
for task in ("ner", "token-classification"):
    tokens = pipeline(task, model=of_tokens, ignore_labels=[], **given)
    assert type(tokens).__name__ == "DNATokenClassificationPipeline", type(tokens)
ends = [each["end"] for each in tokens("ACGTAC" * 5000)]
assert ends == list(range(6, 30_001, 6)), "each nt once"
results = [
    tokens([sequence]),
    pipeline("text-classification", model=of_several, top_k=None, **given)([sequence]),
    pipeline("dna-classification", model=of_several, **given)([sequence]),
]
json.dump(results, open(output, "w"))
print("all of it")
"""


def test_labels_of_tokens_and_several_labels_come_out_of_the_usual_pipelines(tmp_path):
    labels = {"id2label": dict(enumerate(LABELS))}
    tokens, several = NucleotideTransformerForTokenClassification, NucleotideTransformerForSequenceClassification
    folders = [
        write_checkpoint(tmp_path / "tokens", tokens, **labels),
        write_checkpoint(tmp_path / "several", several, problem_type="multi_label_classification", **labels),
    ]
    sequence = "ATG gtagcu\nACATCATCTN"  # white space and lower case: offsets are those of the text as it was given
    run_elsewhere(tmp_path / "work", OTHER_HEADS, *folders, sequence, tmp_path / "results.json")
    [tokens], [several], [dna] = json.loads((tmp_path / "results.json").read_text())

    ids = build_tokenizer(nt_vocabulary(), 2048)("ATGGTAGCTACATCATCTN", return_tensors="pt")
    with torch.no_grad():
        logits = NucleotideTransformerForTokenClassification.from_pretrained(folders[0])(**ids).logits[0, 1:]
        sigmoid = NucleotideTransformerForSequenceClassification.from_pretrained(folders[1])(**ids).logits[0].sigmoid()
    assert [sequence[each["start"] : each["end"]] for each in tokens] == ["ATG gta", "gcu\nACA", "TCATCT", "N"]
    assert [each["word"] for each in tokens] == ["ATGGTA", "GCTACA", "TCATCT", "N"]
    assert [each["entity"] for each in tokens] == [LABELS[i] for i in logits.argmax(dim=-1)]
    assert [each["score"] for each in tokens] == pytest.approx(logits.softmax(-1).amax(-1).tolist(), abs=1e-5)
    expected = dict(zip(LABELS, sigmoid.tolist(), strict=True))
    assert {each["label"]: each["score"] for each in several} == pytest.approx(expected, abs=1e-5)
    assert dna["scores"] == pytest.approx(expected, abs=1e-5)
    assert dna["labels"] == [name for name, score in expected.items() if score >= 0.5]


# Its arguments are a file, and two checkpoints of one name whose code differs in that file alone.
TWO = """
import sys
from transformers import AutoModel, pipeline

file, *folders = sys.argv[1:]
for folder, name in zip(folders, ("first", "second")):
    pipe = pipeline("dna-classification", model=folder, trust_remote_code=True, device="cpu")
    used = [AutoModel.from_pretrained(folder, trust_remote_code=True), pipe.model, pipe]
    modules = [type(each).__module__.rpartition(".")[0] + f".{file}" for each in used]
    assert {sys.modules[module].NAME for module in modules if module in sys.modules} == {name}, modules
print("all of it")
"""


@pytest.mark.parametrize("file", [name.removesuffix(".py") for name in COPIED])
def test_two_checkpoints_in_one_process_run_each_its_own_code(checkpoint, tmp_path, file):
    folders = [tmp_path / name / "checkpoint" for name in ("first", "second")]
    for folder in folders:
        shutil.copytree(checkpoint, folder)
        with open(folder / f"{file}.py", "a") as code:
            code.write(f"NAME = {folder.parent.name!r}\n")
    run_elsewhere(tmp_path / "work", TWO, file, *folders)


# A head of the user's own, in a module of the user's own.
OWN_HEAD = """
from dnahub.hub_code.modeling_nucleotide_transformer import NucleotideTransformerModel
from dnahub.hub_code.modeling_nucleotide_transformer import NucleotideTransformerPreTrainedModel


class OwnHead(NucleotideTransformerPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.esm = NucleotideTransformerModel(config)
        self.post_init()
"""


@pytest.mark.parametrize("saved_by", ["a head of the user's own", "the configuration", "Trainer", "peft"])
def test_whoever_saves_it_takes_all_files_along(tmp_path, monkeypatch, checkpoint, saved_by):
    (tmp_path / "own_head.py").write_text(OWN_HEAD)
    monkeypatch.syspath_prepend(tmp_path)
    model = NucleotideTransformerForSequenceClassification.from_pretrained(checkpoint)
    folder = tmp_path / "saved"
    match saved_by:
        case "the configuration":
            model.config.save_pretrained(folder)
        case "Trainer":
            Trainer(model, TrainingArguments(tmp_path / "run", report_to="none", use_cpu=True)).save_model(folder)
        case "peft":
            adapted = get_peft_model(model, LoraConfig(target_modules=["query"]))
            adapted.merge_and_unload().save_pretrained(folder)
        case _:
            importlib.import_module("own_head").OwnHead.from_pretrained(checkpoint).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    for reference in [*config["auto_map"].values(), *(each["impl"] for each in config["custom_pipelines"].values())]:
        assert (folder / f"{reference.partition('.')[0]}.py").is_file(), reference


def test_a_pipeline_that_is_registered_here_saves_both_tasks(checkpoint, tmp_path):
    tokenizer = build_tokenizer(nt_vocabulary(), 2048)
    model = NucleotideTransformerForSequenceClassification.from_pretrained(checkpoint)
    pipeline("dna-classification", model=model, tokenizer=tokenizer, device="cpu").save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["custom_pipelines"] == CUSTOM_PIPELINES
    assert sorted(path.name for path in tmp_path.glob("*.py")) == COPIED
