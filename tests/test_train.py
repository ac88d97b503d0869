"""train.py, launched as the README says and called in this process -> its checkpoints, and what it refuses."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from datasets import ClassLabel, Features, Value
from safetensors.torch import load_file, save_file

from checkpoints.loading import find_checkpoint, load_checkpoint
from checkpoints.publishing import THIS_CHECKPOINT
from hub_code import DNAEmbeddingPipeline, NucleotideTransformerForSequenceClassification, NucleotideTransformerModel

REPOSITORY = Path(__file__).parent.parent
SCRATCH = ("--from_scratch", "tiny", "--learning_rate", "1e-3", "--report_to", "none")
FRESH_PROCESS = """
import json, sys
import numpy as np
import torch
from transformers import (
    AutoConfig, AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoModelForTokenClassification,
    AutoTokenizer, pipeline,
)

classifier, masked, sequence = sys.argv[1:]
try:
    import hub_code
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
    words = AutoModelForMaskedLM.from_pretrained(masked, **trust)(**batch).logits[0]
text = pipeline("text-classification", model=classifier, **trust)(sequence)[0]
dna = pipeline("dna-classification", model=classifier, **trust)(sequence)
embedding = pipeline("dna-embedding", model=classifier, **trust)(sequence)
print(json.dumps({
    "logits": logits.tolist(), "words": words.sum(dim=0).tolist()[:50], "text": text,
    "dna": {"label": dna["label"], "score": dna["score"], "logits": dna["logits"].tolist()},
    "embedding": embedding.tolist(),
    "embedding_of_masked": pipeline("dna-embedding", model=masked, **trust)(sequence).tolist(),
}))
"""


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def metrics(run: Path) -> dict:
    return json.loads((run / "checkpoint" / "metrics.json").read_text())


def last_state(run: Path) -> dict:
    """The Trainer's own record at its last checkpoint."""
    last = max(run.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    return json.loads((last / "trainer_state.json").read_text())


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


def test_classes_that_can_be_told_apart_are_learned(classification_run):
    assert metrics(classification_run)["test"]["accuracy"] > 0.9


@pytest.fixture(scope="module")
def misled_run(tmp_path_factory, write_dataset, toy_rows, launch):
    """A run whose validation labels are others than those of training: it gets worse from step to step."""
    folder = tmp_path_factory.mktemp("misled")
    turned = [row | {"label": (row["label"] + 1) % 3} for row in toy_rows["validation"]]
    write_dataset(folder / "data", {"train": toy_rows["train"], "validation": turned, "test": toy_rows["test"]})
    result = launch(
        *("--dataset_name", folder / "data", "--output_dir", folder / "run", *SCRATCH, "--max_steps", 30),
        *("--per_device_train_batch_size", 16, "--metric_for_best_model", "loss", "--save_steps", 7),
        launcher=(),
    )
    assert result.returncode == 0, result.stderr
    return folder / "run"


def test_save_steps_alone_saves_and_evaluates_that_often(misled_run):
    evaluated = [entry["step"] for entry in last_state(misled_run)["log_history"] if "eval_accuracy" in entry]

    assert evaluated == [7, 14, 21, 28, 30]


def test_the_best_model_by_validation_is_kept_and_not_the_last(misled_run):
    losses = {
        entry["step"]: entry["eval_loss"] for entry in last_state(misled_run)["log_history"] if "eval_loss" in entry
    }
    best = min(losses, key=losses.get)
    assert losses[best] < losses[30]  # else this run would not tell

    measured = metrics(misled_run)
    assert (measured["training"]["best_step"], measured["training"]["steps"]) == (best, 30)
    assert measured["validation"]["loss"] == pytest.approx(losses[best], abs=1e-5)
    assert same(weights(misled_run / "checkpoint"), weights(misled_run / f"checkpoint-{best}"))
    assert not same(weights(misled_run / "checkpoint"), weights(misled_run / "checkpoint-30"))


def test_the_best_classifier_is_the_most_accurate(classification_run):
    history = last_state(classification_run)["log_history"]
    accuracies = {entry["step"]: entry["eval_accuracy"] for entry in history if "eval_accuracy" in entry}

    measured = metrics(classification_run)
    best = measured["training"]["best_step"]
    assert measured["validation"]["accuracy"] == pytest.approx(max(accuracies.values()))
    assert measured["validation"]["accuracy"] == pytest.approx(accuracies[best])
    assert same(weights(classification_run / "checkpoint"), weights(classification_run / f"checkpoint-{best}"))


@pytest.mark.parametrize(
    ("flags", "points"),
    [
        (["--save_strategy", "no"], set()),
        (["--save_strategy", "steps", "--save_steps", 4, "--save_total_limit", 9], {4, 8, 12}),
        (["--save_strategy", "epoch", "--save_total_limit", 9], {6, 12}),
    ],
)
def test_every_saving_strategy_works_alone(tmp_path, run_train, toy_dataset, flags, points):
    status, out, err = run_train(
        *("--dataset_name", toy_dataset, "--output_dir", tmp_path / "run", *SCRATCH, *flags),
        *("--num_train_epochs", 2, "--per_device_train_batch_size", 16),
    )

    assert status == 0, err
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"checkpoint", *(f"checkpoint-{i}" for i in points)}
    training = metrics(tmp_path / "run")["training"]
    assert (training["chosen_by"] is None) is (not points)
    card = (tmp_path / "run" / "checkpoint" / "README.md").read_text()
    assert ("chose the checkpoint" in card) is bool(points)


def test_saving_the_best_alone_keeps_no_worse_one(tmp_path, run_train, toy_dataset):
    status, _, err = run_train(
        *("--dataset_name", toy_dataset, "--output_dir", tmp_path / "run", *SCRATCH, "--save_strategy", "best"),
        *("--num_train_epochs", 2, "--per_device_train_batch_size", 16),
    )

    assert status == 0, err
    best = metrics(tmp_path / "run")["training"]["best_step"]
    assert same(weights(tmp_path / "run" / "checkpoint"), weights(tmp_path / "run" / f"checkpoint-{best}"))


def test_without_a_test_split_nothing_is_said_of_one(tmp_path, run_train, write_dataset, toy_rows):
    data = write_dataset(tmp_path / "data", {split: toy_rows[split] for split in ("train", "validation")})

    status, _, err = run_train("--dataset_name", data, "--output_dir", tmp_path / "run", *SCRATCH, "--max_steps", 2)

    assert status == 0, err
    assert metrics(tmp_path / "run")["test"] is None
    assert "| test" not in (tmp_path / "run" / "checkpoint" / "README.md").read_text()


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
    assert ", ".join(names) in (folder / "README.md").read_text(encoding="utf-8")


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
        *("--num_train_epochs", 4, "--per_device_train_batch_size", 16, "--trainable_layers", 1),
    )

    assert status == 0, err
    before, after = weights(mlm_run / "checkpoint"), weights(tmp_path / "run" / "checkpoint")
    encoder = [name for name in before if name.startswith("esm.")]
    changed = {name for name in encoder if not torch.equal(before[name], after[name])}
    assert changed == {name for name in encoder if re.search(CHANGED[tuning], name)}
    assert (tmp_path / "run" / "checkpoint" / "adapter").exists() is (tuning in ("lora", "ia3"))
    measured = metrics(tmp_path / "run")
    assert measured["model"]["parameters_trained"] < measured["model"]["parameters"] / 2
    assert measured["test"]["accuracy"] > 0.6  # chance is 0.33
    assert measured["model"]["base"] == "checkpoint"
    assert measured["licence"] == {"license": "apache-2.0"}  # that of the base model's card


def test_lora_weights_are_merged_before_the_accuracy_is_reached_by_hand(
    tmp_path, run_train, toy_dataset, mlm_run, toy_rows
):
    run_train(
        *("--dataset_name", toy_dataset, "--output_dir", tmp_path / "run", "--report_to", "none"),
        *("--model_name_or_path", mlm_run / "checkpoint", "--tuning", "lora", "--learning_rate", "5e-3"),
        *("--num_train_epochs", 2, "--save_steps", 5, "--per_device_train_batch_size", 16),
    )

    model, tokenizer = load_checkpoint(
        NucleotideTransformerForSequenceClassification, find_checkpoint(str(tmp_path / "run" / "checkpoint"))
    )
    right = 0
    for row in toy_rows["test"]:
        with torch.no_grad():
            right += model(**tokenizer(row["sequence"], return_tensors="pt")).logits[0].argmax().item() == row["label"]
    assert metrics(tmp_path / "run")["test"]["accuracy"] == pytest.approx(right / len(toy_rows["test"]))


# Interrupted runs


@pytest.fixture(scope="module")
def steady(toy_dataset):
    """Arguments of a run of 40 steps that saves every five."""
    return [
        *("--dataset_name", toy_dataset, *SCRATCH, "--max_steps", 40, "--save_steps", 5),
        *("--per_device_train_batch_size", 8, "--disable_tqdm", "true", "--use_cpu"),
    ]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, launch, steady):
    run = tmp_path_factory.mktemp("steady") / "run"
    result = launch(*steady, "--output_dir", run, launcher=())
    assert result.returncode == 0, result.stderr
    return run


def test_a_killed_run_goes_on_to_bitwise_the_same_weights(tmp_path, environment, launch, steady, uninterrupted):
    run = tmp_path / "run"
    command = [sys.executable, "train.py", *map(str, steady), "--output_dir", str(run)]
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 120
        while not list(run.glob("checkpoint-*/trainer_state.json")):
            assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not (run / "checkpoint").exists()

    again = launch(*steady, "--output_dir", run, "--resume_from_checkpoint", "last", launcher=())

    assert again.returncode == 0, again.stderr
    assert same(weights(run / "checkpoint"), weights(uninterrupted / "checkpoint"))
    measured, expected = metrics(run), metrics(uninterrupted)
    assert measured["test"] == expected["test"] and measured["validation"] == expected["validation"]
    assert measured["training"]["steps"] == 40


def test_a_run_interrupted_after_its_last_step_is_only_finished(tmp_path, run_train, steady, uninterrupted):
    run = shutil.copytree(uninterrupted, tmp_path / "moved")
    shutil.rmtree(run / "checkpoint")

    status, _, err = run_train(*steady, "--output_dir", run, "--resume_from_checkpoint", "last")

    assert status == 0, err
    assert same(weights(run / "checkpoint"), weights(uninterrupted / "checkpoint"))
    measured, expected = metrics(run), metrics(uninterrupted)
    assert measured["test"] == expected["test"]
    for name in ("steps", "best_step", "chosen_by"):
        assert measured["training"][name] == expected["training"][name], name


def test_an_interrupted_run_is_not_begun_anew_without_a_word(tmp_path, run_train, steady, uninterrupted):
    run = shutil.copytree(uninterrupted, tmp_path / "run")
    shutil.rmtree(run / "checkpoint")

    status, _, err = run_train(*steady, "--output_dir", run)

    assert status == 2
    assert "holds an interrupted run" in err and "--resume_from_checkpoint last" in err


@pytest.mark.parametrize("flags", [[], ["--resume_from_checkpoint", "last"]])
def test_a_finished_run_is_refused_and_kept(run_train, steady, uninterrupted, flags):
    before = sorted(uninterrupted.rglob("*"))

    status, _, err = run_train(*steady, "--output_dir", uninterrupted, *flags)

    assert status == 2 and "holds a finished run" in err
    assert sorted(uninterrupted.rglob("*")) == before


# Several processes


def test_two_cpu_processes_share_the_work(tmp_path, launch, toy_dataset):
    result = launch(
        *(
            "--dataset_name",
            toy_dataset,
            "--output_dir",
            tmp_path / "run",
            *SCRATCH,
            "--use_cpu",
            "--num_train_epochs",
            2,
        ),
        *("--per_device_train_batch_size", 8),
        launcher=("-m", "torch.distributed.run", "--nproc-per-node", "2"),
    )

    assert result.returncode == 0, result.stderr
    training = metrics(tmp_path / "run")["training"]
    assert training["processes"] == 2
    assert training["steps"] == 2 * 96 // (2 * 8)
    assert result.stdout.count("checkpoint: ") == 1


def test_two_processes_that_would_each_train_alone_are_refused(tmp_path, launch, toy_dataset):
    result = launch(
        *("--dataset_name", toy_dataset, "--output_dir", tmp_path / "run", *SCRATCH),
        launcher=("-m", "torch.distributed.run", "--nproc-per-node", "2"),
    )

    assert result.returncode != 0
    assert result.stderr.count("train.py: error: 2 processes were launched") == 1
    assert "--use_cpu" in result.stderr
    assert not (tmp_path / "run").exists()


# Bad input


def published_without(folder: Path, *names: str) -> str:
    """A folder with a configuration, of which these files are missing."""
    folder.mkdir()
    config = {"model_type": "esm", "vocab_size": 4107, "hidden_size": 16, "num_attention_heads": 2}
    files = {"config.json": json.dumps(config), "vocab.txt": "A\nC\n"}
    for name in files.keys() - set(names):
        (folder / name).write_text(files[name])
    save_file({}, folder / "model.safetensors")
    return str(folder)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--dataset_name", "absent"], "absent"),
        (["--dataset_name", "user/absent"], "user/absent"),
        (["--dataset_config_name", "other"], "other"),
        (["--from_scratch", None, "--model_name_or_path", "runs/absent/checkpoint"], "runs/absent/checkpoint"),
        (["--from_scratch", None], "InstaDeepAI/nucleotide-transformer-v2-50m-multi-species"),
        (["--from_scratch", None, "--model_name_or_path", "{bert}"], "model_type 'bert'"),
        (["--from_scratch", None, "--model_name_or_path", "{no_vocabulary}"], "vocab.txt"),
        (["--from_scratch", None, "--model_name_or_path", "{no_weights}"], "no weights in safetensors format"),
        (["--from_scratch", None, "--model_name_or_path", "{bad_vocabulary}"], "vocabulary of 2 tokens"),
        (["--dataset_name", "{too_long}"], "split train, row 1: the sequence has 2101 tokens"),
        (["--dataset_name", "{one_class}"], "of the one class ['fly']"),
        (["--dataset_name", "{no_class}"], "it must be a ClassLabel"),
        (["--max_length", "1"], "--max_length 1: this model takes 2 to 2048"),
        (["--max_length", "2049"], "--max_length 2049"),
        (["--output_dir", "{file}"], "{file}"),
        (["--output_dir", "{file}/run"], "{file}"),
        (["--learning_rate", "-1"], "--learning_rate -1.0"),
        (["--learning_rate", "nan"], "--learning_rate nan"),
        (["--per_device_train_batch_size", "0"], "--per_device_train_batch_size 0"),
        (["--metric_for_best_model", "auroc"], "accuracy, macro_f1, mcc, loss"),
        (["--resume_from_checkpoint", "last"], "nothing to resume from"),
        (["--resume_from_checkpoint", "absent"], "nothing to resume from in absent"),
        (["--no_such_flag", "1"], "--no_such_flag"),
    ],
)
def test_bad_input_ends_with_status_2_one_sentence_and_leaves_nothing(
    tmp_path, run_train, toy_dataset, write_dataset, flags, told
):
    plain = Features({"sequence": Value("string"), "label": Value("int64")})
    only = Features({"sequence": Value("string"), "label": ClassLabel(names=["fly"])})
    rows, long = [{"sequence": "ACGTAC", "label": 0}], [{"sequence": "ACGTAC" * 2100, "label": 0}]
    write_dataset(tmp_path / "too_long", {"train": rows + long, "validation": rows})
    write_dataset(tmp_path / "one_class", {"train": rows, "validation": rows}, only)
    write_dataset(tmp_path / "no_class", {"train": rows, "validation": rows}, plain)
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
    save_file({}, tmp_path / "bert" / "model.safetensors")
    published_without(tmp_path / "no_vocabulary", "vocab.txt")
    published_without(tmp_path / "bad_vocabulary")
    published_without(tmp_path / "no_weights")
    (tmp_path / "no_weights" / "model.safetensors").unlink()
    (tmp_path / "file").write_text("a file")
    names = ("too_long", "one_class", "no_class", "bert", "no_vocabulary", "bad_vocabulary", "no_weights", "file")
    places = {name: tmp_path / name for name in names}
    values = {"--dataset_name": str(toy_dataset), "--output_dir": str(tmp_path / "run"), "--from_scratch": "tiny"}
    values |= dict(zip(flags[::2], flags[1::2], strict=True))
    before = sorted(tmp_path.rglob("*"))

    status, out, err = run_train(
        *(str(part).format(**places) for pair in values.items() if pair[1] is not None for part in pair),
        *("--max_steps", 1, "--report_to", "none"),
    )

    assert status == 2
    sentences = [line for line in err.splitlines() if line.startswith("train.py: error: ")]
    assert len(sentences) == 1 and told.format(**places) in sentences[0]
    assert "Traceback" not in err and "checkpoint: " not in out
    assert sorted(tmp_path.rglob("*")) == before


def test_training_that_diverged_is_not_published(tmp_path, run_train, toy_dataset):
    arguments = ["--dataset_name", toy_dataset, "--output_dir", tmp_path / "run", *SCRATCH, "--max_steps", 3]

    status, _, err = run_train(*arguments, "--learning_rate", "1e30", "--save_strategy", "no")

    assert status == 2 and "The training diverged" in err
    assert not (tmp_path / "run" / "checkpoint").exists()


def test_an_error_is_told_through_the_launcher_too(tmp_path, launch, toy_dataset):
    result = launch("--dataset_name", tmp_path / "absent", "--output_dir", tmp_path / "run", *SCRATCH)

    assert result.returncode != 0
    assert result.stderr.count("train.py: error: ") == 1
    assert not (tmp_path / "run").exists()
