"""train.py --push_to_hub, and what others make of the checkpoint, over HTTP, by the real clients."""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard

from tests.hub_fixtures import REPOSITORY
from tests.local_hub import CUT

TRAIN = REPOSITORY / "train.py"
QUICK = ["--use_cpu", "--report_to", "none", "--disable_tqdm", "true", "--max_steps", "3", "--save_steps", "3"]
SEQUENCES = ["ATGGTAGCTACATCATCT", "ACGTNNacgu", "TTTTTTA"]
CODE = [
    "backends_nucleotide_transformer.py",
    "batching_nucleotide_transformer.py",
    "configuration_nucleotide_transformer.py",
    "encoding_nucleotide_transformer.py",
    "fused_nucleotide_transformer.py",
    "modeling_nucleotide_transformer.py",
    "pipeline_dna_classification.py",
    "pipeline_dna_embedding.py",
    "tokenization_nucleotide_transformer.py",
]
FILES = [
    "README.md",
    "config.json",
    "metrics.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    *CODE,
]


def train(hub, *arguments, **options):
    """train.py as a user starts it, in a folder of their own."""
    return hub.run(TRAIN, *arguments, *QUICK, ours=True, **{"token": hub.user} | options)


def finished(process):
    assert process.returncode == 0, process.stdout + process.stderr
    return process


def refusal(process) -> str:
    """The one sentence of a process that ended with status 2."""
    assert process.returncode == 2 and "Traceback" not in process.stderr, process.stderr
    (line,) = [line for line in process.stderr.splitlines() if line.startswith("train.py: error: ")]
    return line


@dataclass
class Published:
    """A Hub with a data set, a pre-trained model, a classifier and one made by LoRA, all private, all from the Hub."""

    hub: object
    data_commit: str
    base_commit: str
    runs: Path

    def python(self, code, *arguments, **options):
        return self.hub.python(code, *arguments, token=self.hub.user, **options)


@pytest.fixture(scope="module")
def published(module_hub, tmp_path_factory) -> Published:
    hub, runs = module_hub, tmp_path_factory.mktemp("runs")
    flags = ["--source", "synthetic", "--train_per_species=20", "--validation_per_species=5", "--test_per_species=10"]
    flags += ["--output_dir", runs / "data", "--push_to_hub", "user/nt-species", "--private"]
    finished(hub.run("-m", "dataset_builder", *flags, ours=True, token=hub.user))
    commits = {}
    for name, arguments in {
        "pretrained": ["--from_scratch", "tiny", "--task", "mlm"],
        "clf": ["--model_name_or_path", "user/nt-pretrained", "--tuning", "full"],
        "lora": ["--model_name_or_path", "user/nt-pretrained", "--tuning", "lora", "--model_revision", "main"],
    }.items():
        push = ["--push_to_hub", "--hub_model_id", f"nt-{name}", "--hub_private_repo", "true"]
        done = finished(
            train(hub, *arguments, "--dataset_name", "user/nt-species", "--output_dir", runs / name, *push)
        )
        commits[name] = re.search(r"^commit: ([0-9a-f]{40})$", done.stdout, re.MULTILINE)[1]
    data_commit = hub.server.repository("datasets", "user/nt-species").history()[0]["id"]
    return Published(hub, data_commit, commits["pretrained"], runs)


def card_of(published, name: str) -> ModelCard:
    return ModelCard(published.hub.server.read("models", f"user/{name}", "README.md").decode())


def test_all_of_a_checkpoint_is_on_the_hub_in_one_commit(published):
    for name, adapter in {"nt-pretrained": [], "nt-clf": [], "nt-lora": ["adapter_config.json"]}.items():
        repository = published.hub.server.repository("models", f"user/{name}")
        adapter = [f"adapter/{file}" for file in [*adapter, "adapter_model.safetensors"] if adapter]
        assert sorted(repository.files()) == sorted([".gitattributes", *FILES, *adapter])
        assert len(repository.history()) == 2 and repository.private
        config = json.loads(published.hub.server.read("models", f"user/{name}", "config.json"))
        assert set(config["custom_pipelines"]) == {"dna-embedding", "dna-classification"}
        assert {"AutoConfig", "AutoModel", "AutoModelForMaskedLM", "AutoModelForSequenceClassification"} <= set(
            config["auto_map"]
        )
        for file in CODE:
            local = (REPOSITORY / "hub_code" / file).read_bytes()
            assert published.hub.server.read("models", f"user/{name}", file) == local


LOCAL_VECTORS = """
    import json, sys
    from transformers import pipeline

    embed = pipeline("dna-embedding", model=sys.argv[1], trust_remote_code=True)
    print(json.dumps([vector.tolist() for vector in embed(json.loads(sys.argv[2]))]))
"""


@pytest.mark.parametrize("name", ["pretrained", "clf", "lora"])
def test_the_pipeline_gives_the_same_vectors_as_before_the_push(published, name):
    hub, sequences = published.hub, json.dumps(SEQUENCES)
    before = json.loads(hub.python(LOCAL_VECTORS, published.runs / name / "checkpoint", sequences))
    hub.server.log.clear()
    after = json.loads(published.python(LOCAL_VECTORS, f"user/nt-{name}", sequences))
    assert hub.server.requests(f"HEAD /user/nt-{name}/resolve/.*/pipeline_dna_embedding.py")
    assert hub.server.requests("GET /objects/"), "the weights came over HTTP"
    assert np.shape(after) == (3, 128) and after == before


def test_a_private_checkpoint_is_not_seen_without_a_token(published):
    process = published.hub.run("-c", LOCAL_VECTORS.replace("\n    ", "\n"), "user/nt-clf", "[]")
    assert process.returncode == 1 and "RepositoryNotFoundError" in process.stderr


def test_auto_classes_and_text_classification_load_it_elsewhere(published):
    printed = published.python(
        """
        import json, sys
        import torch
        from transformers import (
            AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer, pipeline)

        name, sequences = "user/nt-clf", json.loads(sys.argv[1])
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=True)
        batch = tokenizer(sequences, padding=True, return_tensors="pt")
        found = {"ids": tokenizer("ATGGTAGCTACATCATCT").input_ids}
        with torch.no_grad():
            encoder = AutoModel.from_pretrained(name, trust_remote_code=True)
            hidden = encoder(**batch).last_hidden_state
            mask = batch["attention_mask"][..., None]
            found["mean"] = ((hidden * mask).sum(1) / mask.sum(1)).tolist()
            classifier = AutoModelForSequenceClassification.from_pretrained(name, trust_remote_code=True)
            found["logits"] = classifier(**batch).logits.tolist()
            masked = AutoModelForMaskedLM.from_pretrained("user/nt-pretrained", trust_remote_code=True)
            found["masked"] = list(masked(**batch).logits.shape)
        found["text"] = pipeline("text-classification", model=name, trust_remote_code=True)(sequences)
        found["dna"] = [
            {key: value for key, value in each.items() if key in ("label", "score")}
            for each in pipeline("dna-classification", model=name, trust_remote_code=True)(sequences)]
        found["vectors"] = [
            vector.tolist() for vector in pipeline("dna-embedding", model=name, trust_remote_code=True)(sequences)]
        print(json.dumps(found))
        """,
        json.dumps(SEQUENCES),
    )
    found = json.loads(printed)
    assert found["ids"] == [3, 506, 3662, 1567]
    assert found["masked"] == [3, 11, 4107]
    np.testing.assert_allclose(found["mean"], found["vectors"], atol=1e-5)
    for text, dna, logits in zip(found["text"], found["dna"], found["logits"], strict=True):
        shares = np.exp(logits) / np.exp(logits).sum()
        assert text["label"] == dna["label"]
        assert text["score"] == pytest.approx(dna["score"], abs=1e-5) == pytest.approx(shares.max(), abs=1e-5)


def test_an_adapter_works_with_peft_on_the_base_model_it_names(published):
    config = json.loads(published.hub.server.read("models", "user/nt-lora", "adapter/adapter_config.json"))
    assert (config["base_model_name_or_path"], config["revision"]) == ("user/nt-pretrained", published.base_commit)
    printed = published.python(
        """
        import torch
        from peft import PeftConfig, PeftModel
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        wanted = PeftConfig.from_pretrained("user/nt-lora", subfolder="adapter")
        remote = {"trust_remote_code": True}
        base = AutoModelForSequenceClassification.from_pretrained(
            wanted.base_model_name_or_path, revision=wanted.revision, num_labels=6, **remote)
        adapted = PeftModel.from_pretrained(base, "user/nt-lora", subfolder="adapter").eval()
        merged = AutoModelForSequenceClassification.from_pretrained("user/nt-lora", **remote)
        tokenizer = AutoTokenizer.from_pretrained("user/nt-lora", **remote)
        batch = tokenizer(["ATGGTAGCTACATCATCT", "ACGTAC"], padding=True, return_tensors="pt")
        with torch.no_grad():
            print((adapted(**batch).logits - merged(**batch).logits).abs().max().item())
        """
    )
    assert float(printed) < 1e-5


def test_the_card_has_what_the_hub_reads_and_everything_that_was_measured(published):
    printed = published.python(
        """
        import json
        from huggingface_hub import HfApi

        info = HfApi().model_info("user/nt-clf")
        print(json.dumps([
            info.pipeline_tag, info.library_name, info.card_data.datasets, info.card_data.base_model,
            info.card_data.license, [[each.metric_type, each.metric_value] for each in info.card_data.eval_results],
            info.card_data.eval_results[0].dataset_revision]))
        """
    )
    metrics = json.loads(published.hub.server.read("models", "user/nt-clf", "metrics.json"))
    values = [[name, round(metrics["test"][name], 4)] for name in ("accuracy", "macro_f1", "mcc")]
    assert json.loads(printed) == [
        *["text-classification", "transformers", ["user/nt-species"], "user/nt-pretrained", "apache-2.0"],
        values,
        published.data_commit,
    ]
    assert (metrics["dataset"]["name"], metrics["dataset"]["revision"]) == ("user/nt-species", published.data_commit)
    assert (metrics["model"]["base"], metrics["model"]["revision"]) == ("user/nt-pretrained", published.base_commit)
    assert metrics["dataset"]["synthetic"] is True and metrics["dataset"]["bayes_optimal_accuracy"] > 0.3

    text = card_of(published, "nt-clf").text
    assert f"| base model | `user/nt-pretrained`, revision `{published.base_commit}` |" in text
    assert f"`user/nt-species`, configuration `default`, revision `{published.data_commit}`" in text
    for baseline, scores in metrics["baselines"].items():
        assert f"| baseline, test: logistic regression on {baseline} | {scores['accuracy']:.4f} |" in text
    for fact in ("| hardware | CPU", "| seconds | ", "| learning rate | ", '`revision="COMMIT"`', "| torch | "):
        assert fact in text
    content = card_of(published, "nt-clf").content
    assert "PATH_OF_THIS_FOLDER" not in content and str(published.runs) not in content
    for name in ("nt-pretrained", "nt-clf", "nt-lora"):
        for path in published.hub.server.repository("models", f"user/{name}").files():
            assert str(published.runs).encode() not in published.hub.server.read("models", f"user/{name}", path)


@pytest.mark.parametrize("name", ["nt-clf", "nt-pretrained"])
def test_the_code_of_the_card_runs_elsewhere(published, name):
    blocks = re.findall(r"```python\n(.*?)```", card_of(published, name).text, re.DOTALL)
    assert len(blocks) == (3 if name == "nt-clf" else 2)
    published.python("\n".join(blocks) + "\nassert len(vectors) == 2 and vector.shape == (128,)")


def test_a_pinned_revision_is_what_runs_after_a_later_push(published):
    hub = published.hub
    push = [TRAIN, "--push_only", "--hub_model_id", "user/nt-pinned", "--output_dir"]
    first = finished(hub.run(*push, published.runs / "clf", ours=True, token=hub.user))
    commit = re.search(r"^commit: ([0-9a-f]{40})$", first.stdout, re.MULTILINE)[1]
    later = hub.folder / "later"
    shutil.copytree(published.runs / "clf" / "checkpoint", later / "checkpoint")
    code = later / "checkpoint" / "pipeline_dna_embedding.py"
    code.write_text(code.read_text() + "\nraise SystemExit('the later code ran')\n")
    finished(hub.run(*push, later, ours=True, token=hub.user))

    pinned = LOCAL_VECTORS.replace("trust_remote_code=True", f'trust_remote_code=True, revision="{commit}"')
    assert len(json.loads(published.python(pinned, "user/nt-pinned", '["ACGT"]'))[0]) == 128
    process = hub.run("-c", LOCAL_VECTORS.replace("\n    ", "\n"), "user/nt-pinned", '["ACGT"]', token=hub.user)
    assert "the later code ran" in process.stderr


def test_training_runs_no_code_of_a_checkpoint_and_takes_no_pickle_unless_asked(published, tmp_path):
    """A base model on the Hub whose code would leave a trace, and one with its weights as a pickle."""
    import torch
    from safetensors.torch import load_file

    hub, trace = published.hub, tmp_path / "ran"
    for name, pickled in (("malice", False), ("pickled", True)):
        folder = tmp_path / name
        shutil.copytree(published.runs / "pretrained" / "checkpoint", folder)
        for path in folder.glob("*.py"):
            path.write_text(f"open({str(trace)!r}, 'w').close()\n" + path.read_text())
        if pickled:
            torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
            (folder / "model.safetensors").unlink()
        upload = "from huggingface_hub import HfApi; import sys; HfApi().create_repo(sys.argv[1]);"
        upload += "HfApi().upload_folder(repo_id=sys.argv[1], folder_path=sys.argv[2])"
        published.python(upload, f"user/{name}", folder)

    hub.server.log.clear()
    base = ["--dataset_name", "user/nt-species", "--model_name_or_path"]
    finished(train(hub, *base, "user/malice", "--output_dir", tmp_path / "run"))
    assert hub.server.requests("GET /objects/") and not hub.server.requests(".*/user/malice/resolve/.*[.]py")
    assert "user/malice" in (tmp_path / "run" / "checkpoint" / "README.md").read_text()
    sentence = refusal(train(hub, *base, "user/pickled", "--output_dir", tmp_path / "run2"))
    assert "user/pickled has no weights in safetensors format" in sentence and "--allow_pickle" in sentence
    assert not hub.server.requests(".*pytorch_model.bin")
    finished(train(hub, *base, "user/pickled", "--allow_pickle", "--output_dir", tmp_path / "run3"))
    assert not trace.exists()


def test_training_takes_the_revisions_that_are_asked_for(published, tmp_path):
    hub = published.hub
    add = 'from huggingface_hub import HfApi; HfApi().upload_file(path_or_fileobj=b"", path_in_repo="x.txt",'
    published.python(f'{add} repo_id="user/nt-species", repo_type="dataset")')
    newest = hub.server.repository("datasets", "user/nt-species").history()[0]["id"]
    assert newest != published.data_commit
    flags = ["--dataset_name", "user/nt-species", "--model_name_or_path", "user/nt-pretrained", "--tuning", "head"]
    pins = ["--dataset_revision", published.data_commit, "--model_revision", published.base_commit[:7]]
    sentence = refusal(train(hub, *flags, *pins, "--output_dir", tmp_path / "a"))
    assert "there is no such branch, tag or commit on the Hub" in sentence
    pins[-1] = published.base_commit
    finished(train(hub, *flags, *pins, "--output_dir", tmp_path / "b"))
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


@pytest.mark.slow
@pytest.mark.parametrize("status", [503, CUT])
def test_loading_goes_on_after_two_faults_of_every_call(published, tmp_path, status):
    for pattern in LOADS.values():
        published.hub.server.fail(pattern, status, times=2, retry_after=0 if status else None)
    flags = ["--dataset_name", "user/nt-species", "--model_name_or_path", "user/nt-pretrained"]
    try:
        finished(train(published.hub, *flags, "--output_dir", tmp_path / "run"))
        for pattern in LOADS.values():
            assert status in {request.status for request in published.hub.server.requests(pattern)}, pattern
    finally:
        published.hub.server.stop_failing()


def test_a_hub_that_stays_out_of_order_is_one_sentence(published, tmp_path):
    server = published.hub.server
    flags = ["--dataset_name", "user/nt-species", "--from_scratch", "tiny", "--output_dir", tmp_path / "run"]
    try:
        server.fail("HEAD /datasets/user/nt-species/resolve/.*parquet", 503, times=10_000, retry_after=0)
        server.fail("GET /api/datasets/user/nt-species.*", 503, times=10_000, retry_after=0)
        sentence = refusal(train(published.hub, *flags))
    finally:
        server.stop_failing()
    assert "user/nt-species" in sentence and "the Hub answered 503, 6 times in a row" in sentence


@pytest.mark.parametrize(
    ("token", "flags", "said"),
    [
        (None, ["user/x"], "nobody is logged in"),
        ("user_read", ["user/x"], "the token may only read"),
        ("user", ["reader/x"], "you are logged in as user, and may not write there"),
        ("user", ["user/x..y"], "is no name for a repository"),
        ("user", ["user/malign"], "with files of something else (thesis.txt)"),
        ("user", ["user/x", "--hub_token", "hf_x"], "--hub_token would be seen in the list of processes"),
        ("user", ["user/x", "--hub_strategy", "every_save"], "there is one commit, at the end"),
    ],
)
def test_what_would_be_refused_at_the_end_is_said_before_the_training(published, tmp_path, token, flags, said):
    if "user/malign" in flags:
        add = 'from huggingface_hub import HfApi; HfApi().create_repo("user/malign", exist_ok=True);'
        add += 'HfApi().upload_file(path_or_fileobj=b"", path_in_repo="thesis.txt", repo_id="user/malign")'
        published.python(add)
    base = ["--dataset_name", "user/nt-species", "--from_scratch", "tiny", "--output_dir", tmp_path / "run"]
    process = train(
        published.hub, *base, "--push_to_hub", "--hub_model_id", *flags, token=token and getattr(published.hub, token)
    )
    assert said in refusal(process)
    assert not (tmp_path / "run").exists()


def test_a_push_that_fails_loses_nothing_and_is_made_up_for_without_training(published, tmp_path):
    hub = published.hub
    flags = ["--dataset_name", "user/nt-species", "--from_scratch", "tiny", "--output_dir", tmp_path / "run"]
    push = ["--hub_model_id", "user/nt-late", "--hub_private_repo", "true"]
    try:
        hub.server.fail("POST /api/models/user/nt-late/commit/.*", 503, times=1000, retry_after=0)
        process = train(hub, *flags, "--push_to_hub", *push)
    finally:
        hub.server.stop_failing()
    sentence = refusal(process)
    assert f"The checkpoint is whole in {tmp_path / 'run' / 'checkpoint'}; to publish it later: " in sentence
    assert list(hub.server.repository("models", "user/nt-late").files()) == [".gitattributes"]
    weights = (tmp_path / "run" / "checkpoint" / "model.safetensors").read_bytes()

    command = sentence.split("python train.py ")[1].split()
    hub.server.fail("POST /api/models/user/nt-late/commit/.*", CUT, times=1)
    done = finished(hub.run(TRAIN, *command, ours=True, token=hub.user))
    assert "published: " in done.stdout and hub.server.read("models", "user/nt-late", "model.safetensors") == weights
    assert "already there, unchanged" in finished(hub.run(TRAIN, *command, ours=True, token=hub.user)).stdout
    assert len(hub.server.repository("models", "user/nt-late").history()) == 2


def test_a_later_checkpoint_leaves_nothing_of_an_earlier_one_on_the_hub(published):
    hub = published.hub
    for name in ("lora", "clf"):
        push = ["--push_only", "--output_dir", published.runs / name, "--hub_model_id", "user/nt-again"]
        finished(hub.run(TRAIN, *push, ours=True, token=hub.user))
        here = sorted(hub.server.repository("models", "user/nt-again").files())
        assert any(path.startswith("adapter/") for path in here) == (name == "lora")
    assert here == sorted([".gitattributes", *FILES])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: shutil.rmtree(folder), "there is no such folder; give the --output_dir of a run"),
        (lambda folder: (folder / "model.safetensors").unlink(), "there is no weights in it"),
        (lambda folder: (folder / "config.json").unlink(), "there is no config.json in it"),
        (lambda folder: (folder / "README.md").write_text("---\nlicense: CC BY\n---\n"), '"license" must be one of'),
    ],
)
def test_a_folder_that_is_no_finished_checkpoint_is_not_published(published, tmp_path, spoil, said):
    hub = published.hub
    shutil.copytree(published.runs / "clf" / "checkpoint", tmp_path / "run" / "checkpoint")
    spoil(tmp_path / "run" / "checkpoint")
    push = ["--push_only", "--output_dir", tmp_path / "run", "--hub_model_id", "user/nt-spoilt"]
    assert said in refusal(hub.run(TRAIN, *push, ours=True, token=hub.user))
    try:
        assert list(hub.server.repository("models", "user/nt-spoilt").files()) == [".gitattributes"]
    except Exception as error:
        assert "not found" in str(error)


def test_what_lies_beside_a_checkpoint_is_not_published_and_what_others_put_beside_it_stays(published, tmp_path):
    hub = published.hub
    shutil.copytree(published.runs / "clf" / "checkpoint", tmp_path / "run" / "checkpoint")
    for name in ("optimizer.pt", "notes.txt", "__pycache__/x.pyc", ".hidden"):
        path = tmp_path / "run" / "checkpoint" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    push = [TRAIN, "--push_only", "--output_dir", tmp_path / "run", "--hub_model_id", "user/nt-beside"]
    finished(hub.run(*push, ours=True, token=hub.user))
    assert sorted(hub.server.repository("models", "user/nt-beside").files()) == sorted([".gitattributes", *FILES])

    add = 'from huggingface_hub import HfApi; HfApi().upload_file(path_or_fileobj=b"", path_in_repo="handler.py",'
    published.python(f'{add} repo_id="user/nt-beside")')
    (tmp_path / "run" / "checkpoint" / "metrics.json").write_text("{}")
    finished(hub.run(*push, ours=True, token=hub.user))
    assert "handler.py" in hub.server.repository("models", "user/nt-beside").files()


def test_a_repository_that_became_public_meanwhile_is_not_published_into(published):
    """Hours lie between the check and the push."""
    code = """
        import sys
        from pathlib import Path
        from huggingface_hub import HfApi
        from checkpoints.publishing import check_model, push_checkpoint
        from hub_client.publishing import Target

        target = check_model(Target("user/nt-meanwhile", "model", private=True))
        HfApi().create_repo("user/nt-meanwhile")
        try:
            push_checkpoint(Path(sys.argv[1]), target)
        except ValueError as error:
            print(error)
    """
    said = published.python(code, published.runs / "clf" / "checkpoint", ours=True)
    assert "user/nt-meanwhile is there already, and public" in said
    assert list(published.hub.server.repository("models", "user/nt-meanwhile").files()) == [".gitattributes"]


@pytest.mark.parametrize("branch", ["refs/pr/1", "my branch", "0123456789abcdef0123456789abcdef01234567", "a..b/"])
def test_what_is_no_name_for_a_branch_is_refused(published, branch):
    push = [
        "--push_only",
        "--output_dir",
        published.runs / "clf",
        "--hub_model_id",
        "user/x",
        "--hub_revision",
        branch,
    ]
    assert "is no name for a branch" in refusal(published.hub.run(TRAIN, *push, ours=True, token=published.hub.user))


def test_another_commit_than_the_one_asked_for_is_never_taken_from_the_cache(published, tmp_path):
    """Without the Hub, `load_dataset` alone would give the newest one that it has."""
    hub, home = published.hub, tmp_path / "home"
    flags = ["--source", "synthetic", "--test_per_species=5", "--validation_per_species=5", "--output_dir"]
    for rows in (10, 15):
        out = [tmp_path / f"d{rows}", f"--train_per_species={rows}", "--push_to_hub", "user/nt-moving"]
        finished(hub.run("-m", "dataset_builder", *flags, *out, ours=True, token=hub.user))
    newest, older = [commit["id"] for commit in hub.server.repository("datasets", "user/nt-moving").history()][:2]
    load = """
        import sys
        from training.arguments import DataArguments
        from training.dataset import load_sequences

        try:
            data = load_sequences(DataArguments(dataset_name="user/nt-moving"), "classification", sys.argv[1])
            print(data.commit, len(data.splits["train"]))
        except ValueError as error:
            print(error)
    """
    offline = {"env": {"HF_HUB_OFFLINE": "1"}, "ours": True, "home": home}
    for commit, rows in ((older, 60), (newest, 90)):
        assert published.python(load, commit, ours=True, home=home) == f"{commit} {rows}"
    assert published.python(load, newest, **offline) == f"{newest} 90"
    said = published.python(load, older, **offline)
    assert said == f"{older} 60" or "the cache holds another commit" in said


def test_no_token_stands_in_any_file(published):
    secret = published.hub.user.encode()
    for root in (published.runs, published.hub.folder):
        for path in root.rglob("*"):
            if path.is_file() and path.suffix not in (".so", ".pyc"):
                assert secret not in path.read_bytes(), path
