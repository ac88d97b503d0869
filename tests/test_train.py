"""train.py, launched as the README says and called in this process -> its checkpoints, and what it refuses."""

import json
import random
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from datasets import ClassLabel, Dataset, Features, Value
from peft import AutoPeftModelForSequenceClassification
from safetensors.torch import save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import dnahub.training.search
from dnahub.checkpoints.loading import find_checkpoint, load_checkpoint
from dnahub.checkpoints.publishing import THIS_CHECKPOINT
from dnahub.hub_code import (
    DNAEmbeddingPipeline,
    NucleotideTransformerForSequenceClassification,
    NucleotideTransformerForTokenClassification,
    NucleotideTransformerModel,
)
from tests.checkpoints.test_other_encoders import MODELS, write
from tests.messages import naming
from tests.runs import SCRATCH, last_state, metrics, same, weights

REPOSITORY = Path(__file__).parent.parent
FRESH_PROCESS = """
import json, sys
import numpy as np
import torch
import yaml
from transformers import (
    AutoConfig, AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoModelForTokenClassification,
    AutoTokenizer, pipeline,
)

classifier, masked, sequence = sys.argv[1:]
try:
    import dnahub.hub_code
except ImportError:
    pass
else:
    sys.exit("the package is importable here")
trust = {"trust_remote_code": True}
for folder in (classifier, masked):
    assert AutoConfig.from_pretrained(folder, **trust).model_type == "nucleotide_transformer"
    for auto in (AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoModelForTokenClassification):
        assert type(auto.from_pretrained(folder, **trust)).__name__.startswith("NucleotideTransformer"), auto
batch = AutoTokenizer.from_pretrained(classifier, **trust)([sequence], return_tensors="pt")
with torch.no_grad():
    logits = AutoModelForSequenceClassification.from_pretrained(classifier, **trust)(**batch).logits[0]
text = pipeline("text-classification", model=classifier, **trust)(sequence)[0]
dna = pipeline("dna-classification", model=classifier, **trust)(sequence, return_logits=True)
embedding = pipeline("dna-embedding", model=classifier, **trust)(sequence)
print(json.dumps({
    "logits": logits.tolist(), "text": text,
    "dna": {"label": dna["label"], "score": dna["score"], "logits": dna["logits"].tolist()},
    "embedding": embedding.tolist(),
    "embedding_of_masked": pipeline("dna-embedding", model=masked, **trust)(sequence).tolist(),
}))
"""


def in_a_fresh_process(tmp_path, environment, code: str, *arguments) -> str:
    """What `code` prints, run in an empty folder with empty caches and without our package."""
    (tmp_path / "script.py").write_text(code)
    (tmp_path / "elsewhere").mkdir()
    result = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "script.py"), *map(str, arguments)],
        cwd=tmp_path / "elsewhere",
        env=environment | {"HF_HOME": str(tmp_path / "hf-home")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


# What a run leaves


def test_everything_loads_from_the_checkpoints_in_a_fresh_process_in_another_folder(
    tmp_path, environment, classification_run, mlm_run, toy_rows
):
    sequence = toy_rows["test"][0]["sequence"]
    classifier, masked = (
        shutil.copytree(run / "checkpoint", tmp_path / run.parent.name) for run in (classification_run, mlm_run)
    )

    out = json.loads(
        in_a_fresh_process(tmp_path, environment, FRESH_PROCESS, classifier, masked, sequence).splitlines()[-1]
    )

    model, tokenizer = load_checkpoint(
        NucleotideTransformerForSequenceClassification, find_checkpoint(str(classifier))
    )
    with torch.no_grad():
        logits = model(**tokenizer(sequence, return_tensors="pt")).logits[0]
    label = ["fly", "mouse", "yeast"][logits.argmax()]
    score = logits.softmax(-1).max().item()
    assert out["logits"] == pytest.approx(logits.tolist(), abs=1e-5)
    assert out["dna"] == {
        "label": label,
        "score": pytest.approx(score, abs=1e-5),
        "logits": pytest.approx(logits.tolist(), abs=1e-5),
    }
    assert out["text"] == {"label": label, "score": pytest.approx(score, abs=1e-5)}
    for folder, name in ((classifier, "embedding"), (masked, "embedding_of_masked")):
        encoder, tokenizer = load_checkpoint(NucleotideTransformerModel, find_checkpoint(str(folder)))
        with torch.no_grad():
            hidden = encoder(**tokenizer(sequence, return_tensors="pt")).last_hidden_state[0]
        assert out[name] == pytest.approx(hidden.mean(dim=0).tolist(), abs=1e-5)


def test_the_code_of_the_card_runs_in_a_fresh_process_and_gives_the_pipelines_vectors(
    tmp_path, environment, classification_run
):
    folder = classification_run / "checkpoint"
    blocks = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 3 and all(THIS_CHECKPOINT in block for block in blocks)
    blocks = [block.replace(THIS_CHECKPOINT, str(folder)) for block in blocks]
    code = blocks[0] + "of_pipeline = [vector, *vectors]\n" + blocks[1] + blocks[2]
    code += "import json\nprint(json.dumps([[v.tolist() for v in of_pipeline], vectors.tolist(), result['scores']]))\n"

    printed = in_a_fresh_process(tmp_path, environment, code).splitlines()[-1]
    of_pipeline, by_hand, scores = json.loads(printed)

    model, tokenizer = load_checkpoint(NucleotideTransformerModel, find_checkpoint(str(folder)))
    ours = DNAEmbeddingPipeline(model, tokenizer)
    first, n_and_u, short = (ours(sequence).tolist() for sequence in ("ATGGTAGCTACATCATCT", "ACGTNNacgu", "ACGT"))
    assert of_pipeline == [pytest.approx(vector, abs=1e-5) for vector in (first, first, n_and_u)]
    assert by_hand == [pytest.approx(vector, abs=1e-5) for vector in (first, short)]
    assert set(scores) == {"fly", "mouse", "yeast"} and sum(scores.values()) == pytest.approx(1)


@pytest.fixture(scope="module")
def misled_run(tmp_path_factory, write_dataset, toy_rows, launch):
    """A run whose validation labels are others than those of training: it gets worse from step to step."""
    folder = tmp_path_factory.mktemp("misled")
    turned = [row | {"label": (row["label"] + 1) % 3} for row in toy_rows["validation"]]
    write_dataset(folder / "data", {"train": toy_rows["train"], "validation": turned, "test": toy_rows["test"]})
    result = launch(
        *("--dataset_name", folder / "data", "--output_dir", folder / "run", *SCRATCH, "--max_steps", 30),
        *("--per_device_train_batch_size", 16, "--metric_for_best_model", "loss", "--save_steps", 7),
        *("--early_stopping_patience", 0),
    )
    assert result.returncode == 0, result.stderr
    return folder / "run"


def test_the_best_model_by_validation_is_kept_and_not_the_last(misled_run):
    losses = {
        entry["step"]: entry["eval_loss"] for entry in last_state(misled_run)["log_history"] if "eval_loss" in entry
    }
    assert list(losses) == [7, 14, 21, 28, 30]
    best = min(losses, key=losses.get)
    assert losses[best] < losses[30]  # else this run would not tell

    measured = metrics(misled_run)
    assert (measured["training"]["best_step"], measured["training"]["steps"]) == (best, 30)
    assert measured["validation"]["loss"] < losses[best]  # by the temperature
    saved, kept, last = (weights(misled_run / name) for name in ("checkpoint", f"checkpoint-{best}", "checkpoint-30"))
    for name in ("classifier.out_proj.weight", "classifier.out_proj.bias"):
        kept[name] /= measured["training"]["temperature"]
    assert same(saved, kept) and not same(saved, last)


@pytest.mark.parametrize(
    ("flags", "points", "chosen"),
    [
        (["--save_strategy", "no"], set(), False),
        (["--save_steps", 4, "--save_total_limit", 9], {4, 8, 12}, True),
        (["--save_total_limit", 9], {6, 12}, True),
        (["--load_best_model_at_end", "false"], {6, 12}, False),
    ],
)
def test_every_saving_strategy_works_alone(tmp_path, run_train, toy_dataset, flags, points, chosen):
    status, out, err = run_train(
        *("--dataset_name", toy_dataset, "--output_dir", tmp_path / "run", *SCRATCH, *flags),
        *("--num_train_epochs", 2, "--per_device_train_batch_size", 16),
    )

    assert status == 0, err
    of_the_run = {"run.json", "log.jsonl", "learning_curve.png", "predictions.parquet", "checkpoint"}
    assert {path.name for path in (tmp_path / "run").iterdir()} == of_the_run | {f"checkpoint-{i}" for i in points}
    assert len({path.stat().st_mode for path in (tmp_path / "run").rglob("*") if path.is_file()}) == 1
    training = metrics(tmp_path / "run")["training"]
    assert (training["chosen_by"], training["best_step"] is None) == ("accuracy" if chosen else None, not chosen)
    assert "train.py" in json.loads((tmp_path / "run" / "run.json").read_text())["environment"]["command"]
    card = (tmp_path / "run" / "checkpoint" / "README.md").read_text()
    assert ("chose the checkpoint" in card) is chosen


def test_names_in_any_script_are_kept(tmp_path, run_train, write_dataset, toy_rows):
    names = ["Ä: #\"'`{{ x }}", "日本", "E. coli"]
    features = Features({"sequence": Value("string"), "label": ClassLabel(names=names)})
    data = write_dataset(tmp_path / "dätä 日本", toy_rows, features)

    status, _, err = run_train(
        "--dataset_name", data, "--output_dir", tmp_path / "rün {{ x }}", *SCRATCH, "--max_steps", 2
    )

    assert status == 0, err
    folder = tmp_path / "rün {{ x }}" / "checkpoint"
    assert json.loads((folder / "config.json").read_text())["id2label"] == {
        str(i): name for i, name in enumerate(names)
    }
    assert ", ".join(names).replace("`", "\\`") in (folder / "README.md").read_text(encoding="utf-8")


# Data sets in the shapes of published benchmarks


def rows_of_tasks(count: int) -> pa.Table:
    """Of three tasks by turns, of which H3 has two classes, and of one whose only row cannot be trained on."""
    rng = random.Random(count)
    rows = [
        {"sequence": "".join(rng.choices("ACGT", k=100)), "name": f"{task}|chr{i}", "label": i % num, "task": task}
        for i in range(count)
        for task, num in (("splice", 3), ("H3", 2), ("H4", 5))
    ]
    return pa.Table.from_pylist([*rows, {"sequence": "N", "name": "none", "label": 9, "task": "none"}])


@pytest.mark.parametrize(
    ("path", "splits"),
    [
        ("data/{}-00000-of-00001.parquet", ["train", "test"]),  # NT's downstream tasks
        ("{}.csv", ["train", "val", "test"]),  # GENEB
        ("H3/{}.csv", ["train", "dev", "test"]),  # GUE: a configuration for each task
    ],
)
def test_one_task_of_a_benchmark_is_trained_on(tmp_path, run_train, path, splits):
    by_filter = not path.startswith("H3")
    for split in splits:
        file, table = tmp_path / "tasks" / path.format(split), rows_of_tasks({"train": 40, "test": 10}.get(split, 8))
        file.parent.mkdir(parents=True, exist_ok=True)
        table = table if by_filter else table.filter(pc.field("task") == "H3")
        (pq.write_table if file.suffix == ".parquet" else pyarrow.csv.write_csv)(table, file)
    if not by_filter:
        files = [{"split": split, "path": path.format(split)} for split in splits]
        configs = [{"config_name": task, "data_files": files} for task in ("H3", "H4")]
        (tmp_path / "tasks" / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': configs})}---\n")

    status, _, err = run_train(
        *("--dataset_name", tmp_path / "tasks", "--output_dir", tmp_path / "run", *SCRATCH, "--max_steps", 1),
        *(["--dataset_filter", "task=H3"] if by_filter else ["--dataset_config_name", "H3"]),
        *("--save_strategy", "no"),
    )

    assert status == 0, err
    found = metrics(tmp_path / "run")
    assert found["model"]["label_names"] == ["0", "1"] and found["dataset"]["num_replaced"] == 0
    cut = ["validation"] * (len(splits) == 2)
    assert found["dataset"]["rows"] == {"train": 36 if cut else 40, "validation": 4 if cut else 8, "test": 10}
    assert list(found["dataset"]["cut_off"]) == cut
    card = (tmp_path / "run" / "checkpoint" / "README.md").read_text()
    assert ("rows with `task=H3`" in card) is by_filter and ("configuration `H3`" in card) is not by_filter


# Beginning from a checkpoint


# Of the encoder of two layers, what each tuning changes, its adapter merged.
CHANGED = {
    "lora": r"\.(query|value)\.weight$",
    "ia3": r"(\.(key|value)\.(weight|bias)|layer\.\d+\.output\.dense\.weight)$",
    "head": r"$^",
    "frozen": r"layer\.1\.|emb_layer_norm_after",
}


@pytest.mark.parametrize("tuning", CHANGED)
def test_a_pretrained_checkpoint_is_tuned_in_part(tmp_path, run_train, toy_dataset, mlm_run, tuning):
    status, _, err = run_train(
        *("--dataset_name", toy_dataset, "--output_dir", tmp_path / "run", "--report_to", "none"),
        *("--model_name_or_path", mlm_run / "checkpoint", "--tuning", tuning, "--learning_rate", "5e-3"),
        *("--num_train_epochs", 4, "--per_device_train_batch_size", 16),
        *(["--trainable_layers", 1] if tuning == "frozen" else []),
    )

    assert status == 0, err
    before, after = weights(mlm_run / "checkpoint"), weights(tmp_path / "run" / "checkpoint")
    encoder = [name for name in before if name.startswith("esm.")]
    changed = {name for name in encoder if not torch.equal(before[name], after[name])}
    assert changed == {name for name in encoder if re.search(CHANGED[tuning], name)}
    folder = tmp_path / "run" / "checkpoint"
    assert (folder / "adapter").exists() is (tuning in ("lora", "ia3"))
    if tuning in ("lora", "ia3"):
        card, ids, found = (folder / "README.md").read_text(), torch.tensor([[3, 506, 3662, 1567]]), {}
        (block,) = (each for each in re.findall(r"```python\n(.*?)```", card, re.DOTALL) if "peft" in each)
        exec(block.replace(THIS_CHECKPOINT, str(folder)), found)
        models = [found["model"], found["merged"]]
        if tuning == "lora":
            given = {"num_labels": 3, "trust_remote_code": True}
            models.append(AutoPeftModelForSequenceClassification.from_pretrained(folder / "adapter", **given).eval())
        with torch.no_grad():
            logits = [model(ids).logits for model in models]
        assert all(torch.allclose(each, logits[0], atol=1e-5) for each in logits)
    measured = metrics(tmp_path / "run")
    assert measured["model"]["parameters_trained"] < measured["model"]["parameters"] / 2
    assert measured["test"]["accuracy"] > 0.6  # chance is 0.33
    assert measured["model"]["base"] == "checkpoint"
    assert measured["licence"] == {"license": "apache-2.0"}  # that of the base model's card


# What a machine runs out of


def test_a_batch_that_does_not_fit_ends_in_one_sentence(tmp_path, run_train, toy_dataset, monkeypatch):
    def no_memory(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(NucleotideTransformerForSequenceClassification, "forward", no_memory)
    status, _, err = run_train(
        "--dataset_name", toy_dataset, "--output_dir", tmp_path / "run", *SCRATCH, "--max_steps", 2
    )

    assert status == 2 and "CUDA out of memory" in err and "--per_device_train_batch_size" in err


def test_a_model_whose_outputs_no_longer_depend_on_its_input_is_saved_with_a_warning(
    tmp_path, run_train, toy_dataset, monkeypatch
):
    forward = NucleotideTransformerForSequenceClassification.forward

    def collapsed(self, **inputs):
        outputs = forward(self, **inputs)
        outputs.logits = 0 * outputs.logits + torch.tensor([3.0, 1.0, 2.0])
        return outputs

    monkeypatch.setattr(NucleotideTransformerForSequenceClassification, "forward", collapsed)
    status, out, err = run_train(
        *("--dataset_name", toy_dataset, "--output_dir", tmp_path / "run", *SCRATCH, "--num_train_epochs", 3),
    )

    assert status == 0, err
    assert metrics(tmp_path / "run")["training"]["num_train_epochs"] == 3
    assert metrics(tmp_path / "run")["validation"]["constant"] is True
    (warning,) = [line for line in out.splitlines() if "warning: " in line]
    assert "outputs" in warning and "--learning_rate" in warning
    assert "do not depend on its input" in (tmp_path / "run" / "checkpoint" / "README.md").read_text()


# Several seeds, and search


def test_several_seeds_report_mean_and_deviation_and_publish_the_best(tmp_path, run_train, toy_dataset):
    arguments = ["--dataset_name", toy_dataset, "--output_dir", tmp_path / "run", *SCRATCH, "--seeds", 2]
    arguments += ["--num_train_epochs", 1, "--per_device_train_batch_size", 16]

    status, out, err = run_train(*arguments)

    assert status == 0, err
    single = [metrics(tmp_path / "run" / f"seed-{seed}") for seed in (42, 43)]
    assert single[0]["validation"]["loss"] != single[1]["validation"]["loss"]
    measured = metrics(tmp_path / "run")
    accuracies = [each["test"]["accuracy"] for each in single]
    spread = measured["seeds"]["test"]["accuracy"]
    expected = statistics.fmean(accuracies), statistics.stdev(accuracies)
    assert (spread["mean"], spread["deviation"]) == pytest.approx(expected)
    best = max((0, 1), key=lambda i: single[i]["validation"]["accuracy"])
    chosen = tmp_path / "run" / f"seed-{42 + best}" / "checkpoint"
    assert same(weights(tmp_path / "run" / "checkpoint"), weights(chosen))
    assert "±" in (tmp_path / "run" / "checkpoint" / "README.md").read_text()

    status, again, err = run_train(*arguments)
    assert status == 0 and again.strip().endswith(out.strip().splitlines()[-1])


def test_the_search_chooses_by_validation_and_goes_on_after_an_interruption(
    tmp_path, run_train, toy_dataset, monkeypatch
):
    arguments = ["--dataset_name", toy_dataset, *SCRATCH, "--hyperparameter_search", 3, "--max_steps", 2]
    assert run_train(*arguments, "--output_dir", tmp_path / "whole")[0] == 0
    found, training = (metrics(tmp_path / "whole")[name] for name in ("search", "training"))
    assert len({trial["learning_rate"] for trial in found["trials"]}) == 3
    assert all(1e-4 <= trial["learning_rate"] <= 1e-2 for trial in found["trials"])
    assert found["chosen"]["accuracy"] == max(trial["accuracy"] for trial in found["trials"])
    assert training["learning_rate"] == found["chosen"]["learning_rate"]
    assert "3 trials" in (tmp_path / "whole" / "checkpoint" / "README.md").read_text()

    run, made, build = tmp_path / "run?a=1%20#", [], dnahub.training.search.build_trainer

    def interrupted(*given):
        made.append(given)
        if len(made) == 2:  # in the second trial
            raise KeyboardInterrupt
        return build(*given)

    with monkeypatch.context() as patch:
        patch.setattr(dnahub.training.search, "build_trainer", interrupted)
        assert run_train(*arguments, "--output_dir", run)[0] == 130
    status, _, err = run_train(*arguments, "--output_dir", run)

    assert status == 0, err
    assert metrics(run)["search"] == found


# Several processes


def test_two_processes_that_would_each_train_alone_are_refused(tmp_path, launch, toy_dataset):
    result = launch("--dataset_name", toy_dataset, "--output_dir", tmp_path / "run", *SCRATCH, processes=2)

    assert result.returncode != 0
    assert result.stderr.count("train.py: error: 2 processes were launched") == 1
    assert "--use_cpu" in result.stderr
    assert not (tmp_path / "run").exists()


# Bad input


@pytest.mark.parametrize(
    ("flags", "facts"),
    [
        (["--dataset_name", "absent"], ["absent"]),
        (["--dataset_name", "user/absent"], ["user/absent"]),
        (["--from_scratch", None, "--model_name_or_path", "runs/absent/checkpoint"], ["runs/absent/checkpoint"]),
        (["--from_scratch", None], ["InstaDeepAI/nucleotide-transformer-v2-50m-multi-species"]),
        (["--from_scratch", None, "--model_name_or_path", "{tmp}/gpt"], ["{tmp}/gpt", "gpt2"]),
        (["--dataset_name", "{tmp}/too_long"], ["too_long/data/train.parquet, row 2", "2101"]),
        (["--dataset_name", "{tmp}/protein"], ["train.parquet, row 1", "'L' at position 3"]),
        (["--max_length", "2049"], ["--max_length 2049", "2 to 2048"]),
        (["--output_dir", "{tmp}/file"], ["{tmp}/file"]),
        (["--metric_for_best_model", "precision"], ["precision", "accuracy", "macro_f1", "mcc", "auroc", "loss"]),
    ],
)
def test_bad_input_ends_with_status_2_one_sentence_and_leaves_nothing(
    tmp_path, run_train, toy_dataset, write_dataset, flags, facts
):
    features = Features({"sequence": Value("string"), "label": ClassLabel(names=["fly", "mouse"])})
    rows = [{"sequence": "ACGTAC", "label": 0}, {"sequence": "ACGTAA", "label": 1}]
    other = [{"sequence": "ACGTTT", "label": 0}]
    for name, splits in {
        "too_long": {"train": [*rows, rows[0] | {"sequence": "ACGTAC" * 2100}], "validation": other},
        "protein": {"train": [rows[0], rows[1] | {"sequence": "MKVLAAG"}], "validation": other},
    }.items():
        write_dataset(tmp_path / name, splits, features)
    (tmp_path / "gpt").mkdir()
    (tmp_path / "gpt" / "config.json").write_text('{"model_type": "gpt2"}')
    save_file({}, tmp_path / "gpt" / "model.safetensors")
    (tmp_path / "file").write_text("a file")
    values = {"--dataset_name": str(toy_dataset), "--output_dir": str(tmp_path / "run"), "--from_scratch": "tiny"}
    values |= dict(zip(flags[::2], flags[1::2], strict=True))
    before = sorted(tmp_path.rglob("*"))

    status, out, err = run_train(
        *(str(part).format(tmp=tmp_path) for pair in values.items() if pair[1] is not None for part in pair),
        *("--max_steps", 1, "--report_to", "none"),
    )

    assert status == 2
    (sentence,) = [line for line in err.splitlines() if line.startswith("train.py: error: ")]
    assert re.search(naming(*(fact.format(tmp=tmp_path) for fact in facts)), sentence), sentence
    assert "Traceback" not in err and "use it" not in out
    assert sorted(tmp_path.rglob("*")) == before


def test_training_that_diverged_is_not_published(tmp_path, run_train, toy_dataset):
    arguments = ["--dataset_name", toy_dataset, "--output_dir", tmp_path / "run", *SCRATCH, "--max_steps", 3]

    status, _, err = run_train(*arguments, "--learning_rate", "1e30", "--save_strategy", "no")

    assert status == 2 and "step 3" in err and "--learning_rate" in err
    assert not (tmp_path / "run" / "checkpoint").exists()


def test_numbers_far_from_1_are_noted(tmp_path, run_train, toy_rows):
    lines = [f"{row['sequence']},{10_000 * row['label']}" for row in toy_rows["train"]]
    (tmp_path / "rows.csv").write_text("\n".join(["sequence,label", *lines]))
    arguments = ["--train_file", tmp_path / "rows.csv", "--output_dir", tmp_path / "run", *SCRATCH]

    status, _, err = run_train(*arguments, "--max_steps", 2, "--task", "regression")

    assert status == 0 and re.search(r"note: .*mean \S+ .*deviation \d{4}", err), err


# Recipes


@pytest.mark.slow
@pytest.mark.parametrize("recipe", sorted((REPOSITORY / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_runs_for_a_few_steps_on_tiny_weights(
    tmp_path, run_train, toy_dataset, toy_rows, mlm_run, monkeypatch, recipe
):
    """Its data and its weights replaced by toys, and the layers that are trained by one of two; all else as it is."""
    written = yaml.safe_load(recipe.read_text())
    flags = ["--output_dir", tmp_path / "run", "--max_steps", 3, "--use_cpu", "--report_to", "none"]
    if "dataset_name" in written:
        flags += ["--dataset_name", toy_dataset]
    if "trainable_layers" in written:
        flags += ["--trainable_layers", 1]
    flags += ["--from_scratch", "tiny"] if "from_scratch" in written else []
    flags += ["--model_name_or_path", mlm_run / "checkpoint"] if "model_name_or_path" in written else []
    flags += ["--crop_nt", 30] if "crop_nt" in written else []
    rows = [row | {"gene": f"g{i // 3}"} for i, row in enumerate(toy_rows["train"])]
    for name in written.get("train_file", []):
        table = Dataset.from_list(rows)
        table.to_parquet(tmp_path / name) if name.endswith(".parquet") else table.to_csv(tmp_path / name, index=False)
    for name in written.get("unlabelled_file", []):
        sequences = [row["sequence"][::-1] for row in rows[:30]]
        Dataset.from_dict({"sequence": sequences, "gene": ["new"] * 30}).to_parquet(tmp_path / name)
    monkeypatch.chdir(tmp_path)

    status, out, err = run_train(recipe, *flags)

    assert status == 0, err
    measured = metrics(tmp_path / "run")
    assert measured["training"]["steps"] == 3 and measured["task"] == written["task"]
    assert measured["training"]["tuning"] == written.get("tuning", "full")
    assert "use it" in out


# Throughput and what one sees


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_a_compiled_model_and_checkpointed_gradients_learn_along_the_same_curve(tmp_path, launch, toy_dataset):
    losses = {}
    for run, flags in {"plain": [], "compiled": ["--torch_compile"], "less": ["--gradient_checkpointing"]}.items():
        result = launch(
            *("--dataset_name", toy_dataset, "--output_dir", tmp_path / run, *SCRATCH, "--use_cpu", *flags),
            *("--max_steps", 4, "--logging_steps", 1),
        )
        assert result.returncode == 0, result.stderr
        losses[run] = [entry["loss"] for entry in last_state(tmp_path / run)["log_history"] if "loss" in entry]

    assert losses["compiled"] == pytest.approx(losses["plain"], rel=1e-4)
    assert losses["less"] == pytest.approx(losses["plain"], rel=1e-4)
    compiled, plain = (weights(tmp_path / run / "checkpoint") for run in ("compiled", "plain"))
    assert compiled.keys() == plain.keys()  # a compiled model's are others inside


# Data of all kinds


@pytest.mark.slow
def test_a_stream_is_shared_among_processes(tmp_path, launch, toy_rows):
    """Two files, so that each process has one of its own."""
    for name, rows in {"a": toy_rows["train"][::2], "b": toy_rows["train"][1::2], "v": toy_rows["validation"]}.items():
        lines = [json.dumps({"sequence": row["sequence"]}) for row in rows]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    result = launch(
        *("--train_file", tmp_path / "a.jsonl", tmp_path / "b.jsonl", "--validation_file", tmp_path / "v.jsonl"),
        *("--output_dir", tmp_path / "run", *SCRATCH, "--task", "mlm", "--streaming", "--max_steps", 80, "--use_cpu"),
        *("--per_device_train_batch_size", 8, "--save_steps", 40),
        processes=2,
    )

    assert result.returncode == 0, result.stderr
    measured = metrics(tmp_path / "run")
    assert measured["training"]["processes"] == 2 and measured["training"]["steps"] == 80
    assert measured["validation"]["loss"] < 6 and measured["test"] is None  # log(4107) is 8.3


@pytest.mark.parametrize(
    ("task", "flags"),
    [
        ("multi_label", ["--label_separator", ";", "--label_column", "several"]),
        ("regression", ["--label_column", "number"]),
        ("token_classification", ["--label_column", "tokens"]),
    ],
)
def test_every_kind_of_label_is_learned_from_a_file_and_loads_again(tmp_path, run_train, toy_rows, task, flags):
    rows = [
        {
            "sequence": row["sequence"],
            "several": "abc"[row["label"]] + ";x" * (row["label"] == 1),
            "number": 5.0 * row["label"],
            "tokens": ["abc"[row["label"]]] * 10,
        }
        for row in toy_rows["train"] + toy_rows["test"]
    ]
    rows.insert(5, rows[0] | {"sequence": None})
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))

    status, out, err = run_train(
        *("--train_file", tmp_path / "rows.jsonl", "--output_dir", tmp_path / "run", *SCRATCH, *flags),
        *("--task", task, "--num_train_epochs", 8, "--per_device_train_batch_size", 8, "--test_fraction", 0.2),
        *("--bad_records", "skip"),
    )

    assert status == 0, err
    assert "row 5\t5\tno sequence" in (tmp_path / "run" / "skipped.tsv").read_text()
    measured = metrics(tmp_path / "run")
    assert measured["dataset"]["skipped"] == {"no sequence": 1}
    assert "(no sequence: 1)" in (tmp_path / "run" / "checkpoint" / "README.md").read_text()
    first = {"regression": "spearman", "token_classification": "accuracy"}.get(task, "micro_f1")
    assert measured["task"] == task and measured["test"][first] > 0.8
    low, high = measured["test"]["intervals"][first]
    assert low <= measured["test"][first] <= high
    how = "by row" if task == "regression" else "by row, stratified by label"
    assert measured["dataset"]["cut_off"] == {"test": f"0.2 of train, {how}", "validation": f"0.1 of train, {how}"}
    head = {"token_classification": NucleotideTransformerForTokenClassification}
    model, _ = load_checkpoint(
        head.get(task, NucleotideTransformerForSequenceClassification),
        find_checkpoint(str(tmp_path / "run" / "checkpoint")),
    )
    assert model.config.num_labels == {"regression": 1, "token_classification": 3}.get(task, 4)


@pytest.mark.parametrize("flags", [[], ["--tuning", "lora"], ["--tuning", "frozen", "--trainable_layers", 1]])
def test_another_encoder_is_trained_by_the_same_flags(tmp_path, run_train, toy_dataset, toy_rows, flags):
    torch.manual_seed(0)
    write(tmp_path / "base", MODELS["modernbert"]())

    status, _, err = run_train(
        *("--dataset_name", toy_dataset, "--output_dir", tmp_path / "run", "--report_to", "none"),
        *("--model_name_or_path", tmp_path / "base", "--num_train_epochs", 8, "--learning_rate", 5e-3, *flags),
    )

    assert status == 0, err
    measured, folder = metrics(tmp_path / "run"), tmp_path / "run" / "checkpoint"
    assert measured["model"]["type"] == "modernbert" and measured["test"]["accuracy"] > 0.5  # chance is 0.33
    assert not list(folder.glob("*.py"))
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        right = [
            model(**tokenizer(row["sequence"], return_tensors="pt")).logits[0].argmax() == row["label"]
            for row in toy_rows["test"]
        ]
    assert measured["test"]["accuracy"] == pytest.approx(sum(right).item() / len(right))
