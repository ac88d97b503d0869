"""train.py --push_to_hub, and what others make of the checkpoint, over HTTP, by the real clients."""

import json
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard, constants
from safetensors.torch import load_file
from scipy.special import softmax

import dataset_builder.__main__
import train
from dnahub.hub_code.configuration_nucleotide_transformer import CUSTOM_PIPELINES
from tests.hub_fixtures import REPOSITORY, HubBench
from tests.local_hub import CUT

QUICK = ["--use_cpu", "--report_to", "none", "--disable_tqdm", "true", "--max_steps", "3", "--save_steps", "3"]
SEQUENCES = ["ATGGTAGCTACATCATCT", "ACGTNNacgu", "TTTTTTA"]
CODE = [
    "configuration_nucleotide_transformer.py",
    "handler.py",
    "modeling_nucleotide_transformer.py",
    "pipeline_dna_classification.py",
    "pipeline_dna_embedding.py",
]
FILES = ["README.md", "config.json", "metrics.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]


def finished(process):
    assert process.returncode == 0, process.stdout + process.stderr
    return process


def refusal(process) -> str:
    """The one sentence of a program that ended with status 2."""
    assert process.returncode == 2 and "Traceback" not in process.stderr, process.stderr
    (line,) = [line for line in process.stderr.splitlines() if line.startswith("train.py: error: ")]
    return line


@dataclass
class Published:
    """A Hub with a data set, a pre-trained model, a classifier and one made by LoRA, all private, all from the Hub."""

    hub: HubBench
    data_commit: str
    base_commit: str
    runs: Path

    def python(self, code, *arguments, **options):
        return self.hub.python(code, *arguments, token=self.hub.user, **options)

    def upload(self, repo_id: str, path: str, kind: str = "model") -> None:
        """Somebody adds an empty file."""
        api = self.hub.api(self.hub.user)
        api.upload_file(path_or_fileobj=b"", path_in_repo=path, repo_id=repo_id, repo_type=kind)

    def latest(self, repo_id: str, kind: str = "models") -> str:
        return self.hub.server.repository(kind, repo_id).history()[0]["id"]


@pytest.fixture(scope="module")
def published(module_hub, tmp_path_factory) -> Published:
    hub, runs = module_hub, tmp_path_factory.mktemp("runs")
    api = hub.api(hub.user)
    flags = ["--source", "synthetic", "--train_per_class=20", "--validation_per_class=5", "--test_per_class=10"]
    flags += ["--output_dir", str(runs / "data"), "--push_to_hub", "--hub_dataset_id", "user/nt-species"]
    dataset_builder.__main__.main([*flags, "--hub_private_repo"], api)
    for name, arguments in {
        "pretrained": ["--from_scratch", "tiny", "--task", "mlm"],
        "clf": ["--model_name_or_path", "user/nt-pretrained", "--tuning", "full"],
        "lora": ["--model_name_or_path", "user/nt-pretrained", "--tuning", "lora", "--model_revision", "main"],
    }.items():
        push = ["--push_to_hub", "--hub_model_id", f"nt-{name}", "--hub_private_repo", "true"]
        data = ["--dataset_name", "user/nt-species", "--output_dir", str(runs / name)]
        train.main([*arguments, *data, *push, *QUICK], api)
    data = hub.server.repository("datasets", "user/nt-species").history()
    base = hub.server.repository("models", "user/nt-pretrained").history()
    return Published(hub, data[0]["id"], base[0]["id"], runs)


@pytest.fixture
def run(call, published):
    """A function that runs train.py in this process, by default as "user"."""

    def run(*arguments, token: str | None = published.hub.user):
        return call(train.main, *arguments, api=published.hub.api(token))

    return run


def test_all_of_a_checkpoint_is_on_the_hub_in_one_commit(published):
    for name, adapter in {"nt-pretrained": [], "nt-clf": [], "nt-lora": ["adapter_config.json"]}.items():
        repository = published.hub.server.repository("models", f"user/{name}")
        adapter = [f"adapter/{file}" for file in [*adapter, "adapter_model.safetensors"] if adapter]
        assert sorted(repository.files()) == sorted([".gitattributes", *FILES, *CODE, *adapter])
        assert len(repository.history()) == 2 and repository.private
        config = json.loads(published.hub.server.read("models", f"user/{name}", "config.json"))
        assert config["custom_pipelines"] == CUSTOM_PIPELINES
        for file in CODE:
            local = (REPOSITORY / "dnahub" / "hub_code" / file).read_bytes()
            assert published.hub.server.read("models", f"user/{name}", file) == local


ELSEWHERE = """
    import json, sys
    import torch
    from transformers import (
        AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer, pipeline)

    sequences, *names = sys.argv[1:]
    sequences, remote = json.loads(sequences), {"trust_remote_code": True}
    found = {name: [v.tolist() for v in pipeline("dna-embedding", model=name, **remote)(sequences)] for name in names}
    name = "user/nt-clf"
    tokenizer = AutoTokenizer.from_pretrained(name, **remote)
    batch = tokenizer(sequences, padding=True, return_tensors="pt")
    mask = batch["attention_mask"][..., None]
    with torch.no_grad():
        hidden = AutoModel.from_pretrained(name, **remote)(**batch).last_hidden_state
        found["mean"] = ((hidden * mask).sum(1) / mask.sum(1)).tolist()
        found["logits"] = AutoModelForSequenceClassification.from_pretrained(name, **remote)(**batch).logits.tolist()
        masked = AutoModelForMaskedLM.from_pretrained("user/nt-pretrained", **remote)
        found["masked"] = list(masked(**batch).logits.shape)
    for task in ("text-classification", "dna-classification"):
        used = pipeline(task, model=name, **remote)(sequences)
        found[task] = [(each["label"], each["score"]) for each in used]
    print(json.dumps(found))
"""


def test_pipelines_and_auto_classes_give_elsewhere_what_they_gave_before_the_push(published):
    folders = {f"user/nt-{name}": str(published.runs / name / "checkpoint") for name in ("pretrained", "clf", "lora")}
    published.hub.server.log.clear()
    found = json.loads(published.python(ELSEWHERE, json.dumps(SEQUENCES), *folders, *folders.values()))
    assert published.hub.server.requests("GET /objects/"), "the weights came over HTTP"
    for name, folder in folders.items():
        assert published.hub.server.requests(f"HEAD /{name}/resolve/.*/pipeline_dna_embedding.py")
        assert np.shape(found[name]) == (3, 128) and found[name] == found[folder]
    np.testing.assert_allclose(found["mean"], found["user/nt-clf"], atol=1e-5)
    assert found["masked"] == [3, 11, 4107]
    for text, dna, logits in zip(
        found["text-classification"], found["dna-classification"], found["logits"], strict=True
    ):
        assert text[0] == dna[0]
        assert text[1] == pytest.approx(dna[1], abs=1e-5) == pytest.approx(max(softmax(logits)), abs=1e-5)


def test_an_adapter_works_with_peft_on_the_base_model_it_names(published):
    config = json.loads(published.hub.server.read("models", "user/nt-lora", "adapter/adapter_config.json"))
    assert (config["base_model_name_or_path"], config["revision"]) == ("user/nt-pretrained", published.base_commit)
    card = published.hub.server.read("models", "user/nt-lora", "README.md").decode()
    (block,) = (each for each in re.findall(r"```python\n(.*?)```", card, re.DOTALL) if "peft" in each)
    printed = published.python(
        f"{block}import torch\n"
        "ids = torch.tensor([[3, 506, 3662, 1567], [3, 6, 7, 8]])\n"
        "with torch.no_grad():\n"
        "    print(type(model).__name__, (model(ids).logits - merged(ids).logits).abs().max().item())\n"
    )
    name, difference = printed.split()
    assert name == "PeftModelForSequenceClassification" and float(difference) < 1e-5


def test_the_card_has_what_the_hub_reads_and_everything_that_was_measured(published):
    info = published.hub.api(published.hub.user).model_info("user/nt-clf")
    data = info.card_data
    metrics = json.loads(published.hub.server.read("models", "user/nt-clf", "metrics.json"))
    assert (info.pipeline_tag, info.library_name) == ("text-classification", "transformers")
    assert (data.datasets, data.base_model) == (["user/nt-species"], "user/nt-pretrained")
    assert data.license == "apache-2.0" and data.eval_results[0].dataset_revision == published.data_commit
    values = {each.metric_type: each.metric_value for each in data.eval_results}
    names = ("accuracy", "balanced_accuracy", "macro_f1", "mcc", "auroc", "auprc")
    assert values == {name: round(metrics["test"][name], 4) for name in names}
    assert (metrics["dataset"]["name"], metrics["dataset"]["revision"]) == ("user/nt-species", published.data_commit)
    assert (metrics["model"]["base"], metrics["model"]["revision"]) == ("user/nt-pretrained", published.base_commit)
    assert metrics["dataset"]["synthetic"] is True and metrics["dataset"]["bayes_optimal_accuracy"] > 0.3

    card = ModelCard(published.hub.server.read("models", "user/nt-clf", "README.md").decode())
    for fact in ("user/nt-pretrained", published.base_commit, "user/nt-species", published.data_commit):
        assert f"`{fact}`" in card.text
    assert "PATH_OF_THIS_FOLDER" not in card.content
    for name in ("nt-pretrained", "nt-clf", "nt-lora"):
        for path in published.hub.server.repository("models", f"user/{name}").files():
            assert str(published.runs).encode() not in published.hub.server.read("models", f"user/{name}", path)


def test_training_runs_no_code_of_a_checkpoint_and_takes_no_pickle_unless_asked(published, run, tmp_path):
    """A base model on the Hub whose code would leave a trace, and one with its weights as a pickle."""
    hub, api, trace = published.hub, published.hub.api(published.hub.user), tmp_path / "ran"
    for name, pickled in (("malice", False), ("pickled", True)):
        folder = tmp_path / name
        shutil.copytree(published.runs / "pretrained" / "checkpoint", folder)
        for path in folder.glob("*.py"):
            path.write_text(f"open({str(trace)!r}, 'w').close()\n" + path.read_text())
        if pickled:
            torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
            (folder / "model.safetensors").unlink()
        api.create_repo(f"user/{name}")
        api.upload_folder(repo_id=f"user/{name}", folder_path=folder)

    hub.server.log.clear()
    base = [*QUICK, "--dataset_name", "user/nt-species", "--model_name_or_path"]
    finished(run(*base, "user/malice", "--output_dir", tmp_path / "run"))
    assert hub.server.requests("GET /objects/") and not hub.server.requests(".*/user/malice/resolve/.*[.]py")
    assert "user/malice" in (tmp_path / "run" / "checkpoint" / "README.md").read_text()
    sentence = refusal(run(*base, "user/pickled", "--output_dir", tmp_path / "run2"))
    assert "user/pickled" in sentence and "safetensors" in sentence and "--allow_pickle" in sentence
    assert not hub.server.requests(".*pytorch_model.bin")
    finished(run(*base, "user/pickled", "--allow_pickle", "--output_dir", tmp_path / "run3"))
    assert not trace.exists()


def test_training_takes_the_revisions_that_are_asked_for(published, run, tmp_path):
    published.upload("user/nt-species", "x.txt", "dataset")
    newest = published.latest("user/nt-species", "datasets")
    assert newest != published.data_commit
    base = [*QUICK, "--dataset_name", "user/nt-species", "--model_name_or_path", "user/nt-pretrained"]
    base += ["--tuning", "head", "--dataset_revision", published.data_commit, "--model_revision"]
    sentence = refusal(run(*base, published.base_commit[:7], "--output_dir", tmp_path / "a"))
    assert "user/nt-pretrained" in sentence and "branch, tag or commit" in sentence
    finished(run(*base, published.base_commit, "--output_dir", tmp_path / "b"))
    metrics = json.loads((tmp_path / "b" / "checkpoint" / "metrics.json").read_text())
    assert metrics["dataset"]["revision"] == published.data_commit != newest
    assert metrics["model"]["revision"] == published.base_commit


LOADS = {
    "data": "GET /api/datasets/user/nt-species/revision/main",
    "tree": "GET /api/(datasets|models)/user/nt-(species|pretrained)/tree/.*",
    "Parquet": "HEAD /datasets/user/nt-species/resolve/.*parquet",
    "model": "GET /api/models/user/nt-pretrained/revision/main",
    "file": "(HEAD|GET) /user/nt-pretrained/resolve/.*",
    "bytes": "GET /objects/.*",
}


@pytest.mark.parametrize("status", [503, CUT])
def test_loading_goes_on_after_two_faults_of_every_call(published, run, tmp_path, slept, status):
    server = published.hub.server
    published.upload("user/nt-species", f"{status}.txt", "dataset")  # `datasets` has prepared the others
    for name in ("datasets--user--nt-species", "models--user--nt-pretrained"):
        shutil.rmtree(Path(constants.HF_HUB_CACHE) / name)  # or 503 means that what is in the cache is taken
    server.log.clear()
    for pattern in LOADS.values():
        server.fail(pattern, status, times=2)
    flags = ["--dataset_name", "user/nt-species", "--model_name_or_path", "user/nt-pretrained"]
    try:
        finished(run(*flags, *QUICK, "--output_dir", tmp_path / "run"))
    finally:
        server.stop_failing()
    for pattern in LOADS.values():
        assert status in {request.status for request in server.requests(pattern)}, pattern


@pytest.mark.parametrize(
    ("token", "flags", "facts"),
    [
        (None, ["user/x"], ["user/x", "HF_TOKEN"]),
        ("hf_UserMayWrite", ["reader/x"], ["reader/x", "logged in as user"]),
        ("hf_UserMayWrite", ["user/malign"], ["user/malign", "thesis.txt"]),
        ("hf_UserMayWrite", ["user/x", "--hub_token", "hf_x"], ["--hub_token"]),
        ("hf_UserMayWrite", ["user/x", "--hub_strategy", "every_save"], ["--hub_strategy"]),
    ],
)
def test_what_would_be_refused_at_the_end_is_said_before_the_training(published, run, tmp_path, token, flags, facts):
    if "user/malign" in flags:
        published.hub.api(published.hub.user).create_repo("user/malign")
        published.upload("user/malign", "thesis.txt")
    base = ["--dataset_name", "user/nt-species", "--from_scratch", "tiny", "--output_dir", tmp_path / "run"]
    sentence = refusal(run(*base, *QUICK, "--push_to_hub", "--hub_model_id", *flags, token=token))
    assert all(fact in sentence for fact in facts)
    assert not (tmp_path / "run").exists()


def test_a_push_that_fails_loses_nothing_and_is_made_up_for_without_training(published, run, tmp_path, slept):
    server = published.hub.server
    flags = ["--dataset_name", "user/nt-species", "--from_scratch", "tiny", "--output_dir", tmp_path / "run"]
    push = ["--push_to_hub", "--hub_model_id", "user/nt-late", "--hub_private_repo", "true"]
    try:
        server.fail("POST /api/models/user/nt-late/commit/.*", 503, times=1000)
        process = run(*flags, *push, *QUICK)
    finally:
        server.stop_failing()
    sentence, checkpoint = refusal(process), tmp_path / "run" / "checkpoint"
    assert str(checkpoint) in sentence and slept == [1, 1, 2, 4, 8]
    assert list(server.repository("models", "user/nt-late").files()) == [".gitattributes"]
    weights = (checkpoint / "model.safetensors").read_bytes()

    command = shlex.split(sentence.split("python train.py ")[1])
    server.fail("POST /api/models/user/nt-late/commit/.*", CUT, times=1)
    done = finished(run(*command))
    assert server.read("models", "user/nt-late", "model.safetensors") == weights
    assert done.stdout.splitlines()[-1] == f"commit: {published.latest('user/nt-late')}"
    assert "unchanged" in finished(run(*command)).stdout
    assert len(server.repository("models", "user/nt-late").history()) == 2


@pytest.mark.parametrize(
    ("spoil", "fact"),
    [
        (lambda folder: shutil.rmtree(folder), "--output_dir"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
        (lambda folder: (folder / "config.json").unlink(), "config.json"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"cut off"), "model.safetensors is damaged"),
        (lambda folder: (folder / "tokenizer.json").write_text('{"cut'), "tokenizer.json is damaged"),
        (lambda folder: (folder / "README.md").write_text("---\nlicense: CC BY\n---\n"), '"license"'),
        (lambda folder: (folder / "metrics.json").write_text('{"measured": false}'), "evaluated"),
    ],
    ids=["no folder", "no weights", "no config", "cut weights", "cut tokenizer", "invalid card", "not evaluated"],
)
def test_a_folder_that_is_no_finished_checkpoint_is_not_published(published, run, tmp_path, spoil, fact):
    checkpoint = tmp_path / "run" / "checkpoint"
    shutil.copytree(published.runs / "clf" / "checkpoint", checkpoint)
    spoil(checkpoint)
    push = ["--push_only", "--output_dir", tmp_path / "run", "--hub_model_id", "user/nt-spoilt"]
    sentence = refusal(run(*push))
    assert str(checkpoint) in sentence and fact in sentence
    assert not published.hub.server.requests("POST /api/models/user/nt-spoilt/commit/")


def test_other_files_in_a_checkpoint_are_not_published_and_what_others_added_stays(published, run, tmp_path):
    server, checkpoint = published.hub.server, tmp_path / "run" / "checkpoint"
    shutil.copytree(published.runs / "clf" / "checkpoint", checkpoint)
    for name in ("optimizer.pt", "notes.txt", "__pycache__/x.pyc", ".hidden"):
        (checkpoint / name).parent.mkdir(exist_ok=True)
        (checkpoint / name).write_bytes(b"x")
    push = ["--push_only", "--output_dir", tmp_path / "run", "--hub_model_id", "user/nt-beside"]
    finished(run(*push))
    assert sorted(server.repository("models", "user/nt-beside").files()) == sorted([".gitattributes", *FILES, *CODE])

    published.upload("user/nt-beside", "notes.md")
    (checkpoint / "metrics.json").write_text("{}")
    # That of this folder, not that of the one published before.
    assert finished(run(*push)).stdout.splitlines()[-1] == f"commit: {published.latest('user/nt-beside')}"
    assert "notes.md" in server.repository("models", "user/nt-beside").files()
