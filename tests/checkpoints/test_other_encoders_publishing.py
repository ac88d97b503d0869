"""train.py on encoders of transformers' own -> repositories on the Hub that load elsewhere, without our code."""

import json
import random
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Features, List, Value
from huggingface_hub import ModelCard
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedTokenizerFast,
)

import train
from tests.checkpoints.test_other_encoders import FILES, KMERS, MODELS, VOCABULARY, tokenizer_of_3_mers, write
from tests.conftest import TOY_LABELS
from tests.hub_fixtures import HubBench

SPECIAL = VOCABULARY[:5]
NAMES = dict(zip(["pad_token", "unk_token", "cls_token", "sep_token", "mask_token"], SPECIAL, strict=True))
QUICK = ["--use_cpu", "--report_to", "none", "--disable_tqdm", "true", "--max_steps", "2", "--learning_rate", "1e-2"]
ADAPTER = ["adapter/adapter_config.json", "adapter/adapter_model.safetensors"]
# Of each repository: base model, Auto class, flags.
CASES = {
    "bert-lora": ("bert", AutoModelForSequenceClassification, ["--tuning", "lora"]),
    "modernbert-mlm": ("modernbert", AutoModelForMaskedLM, ["--task", "mlm"]),
    "bert-tokens": (
        "3-mers",
        AutoModelForTokenClassification,
        ["--task", "token_classification", "--label_column", "kmers"],
    ),
}
SEQUENCES = ["ACGTTTGACCA", "acgtttgacca", "ACGtttNNgaCCA", "GATTACA" * 8]


def soft_masked(sequence: str, seed: int) -> str:
    rng = random.Random(seed)
    return "".join(letter.lower() if rng.random() < 0.5 else letter for letter in sequence)


def vocabulary_of_bert(folder: Path) -> None:
    """A base model as BERT's are: its class makes the tokenizer from vocab.txt."""
    pieces = [*"ACGTN", *(f"##{letter}" for letter in "ACGTN"), *KMERS[:27], *(f"##{kmer}" for kmer in KMERS[-27:])]
    (folder / "vocab.txt").write_text("\n".join(SPECIAL + pieces))
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "tokenizer.json").unlink()


def byte_level_bpe(sequences: list[str]) -> PreTrainedTokenizerFast:
    backend = Tokenizer(BPE())
    backend.pre_tokenizer = ByteLevel(add_prefix_space=False)
    backend.train_from_iterator(
        sequences, BpeTrainer(vocab_size=len(VOCABULARY), special_tokens=SPECIAL, show_progress=False)
    )
    backend.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, **NAMES)


@dataclass
class Published:
    hub: HubBench
    bases: Path
    runs: Path

    def push(self, run: str, repo_id: str) -> None:
        """train.py --push_only."""
        flags = ["--push_only", "--output_dir", str(self.runs / run), "--hub_model_id", repo_id]
        train.main(flags, api=self.hub.api(self.hub.user))


@pytest.fixture(scope="module")
def published(module_hub, tmp_path_factory, write_dataset, toy_rows) -> Published:
    """Each of `CASES`, trained and pushed by one command, on soft-masked DNA."""
    folder = tmp_path_factory.mktemp("other-encoders")
    torch.manual_seed(0)
    for name in ("bert", "modernbert"):
        write(folder / name, MODELS[name]())
    write(folder / "3-mers", MODELS["bert"](), tokenizer_of_3_mers())
    vocabulary_of_bert(folder / "bert")
    byte_level_bpe([row["sequence"] for row in toy_rows["train"]]).save_pretrained(folder / "modernbert")
    rows = {
        split: [
            row | {"sequence": soft_masked(row["sequence"], i), "kmers": [row["label"]] * (len(row["sequence"]) // 3)}
            for i, row in enumerate(of)
        ]
        for split, of in toy_rows.items()
    }
    label = ClassLabel(names=TOY_LABELS)
    write_dataset(folder / "data", rows, Features({"sequence": Value("string"), "label": label, "kmers": List(label)}))
    for name, (base, _, flags) in CASES.items():
        train.main(
            [
                *("--dataset_name", str(folder / "data"), "--model_name_or_path", str(folder / base), *flags),
                *("--output_dir", str(folder / "runs" / name), "--push_to_hub", "--hub_model_id", f"user/{name}"),
                *QUICK,
            ],
            api=module_hub.api(module_hub.user),
        )
    return Published(module_hub, folder, folder / "runs")


@pytest.mark.parametrize("name", CASES)
def test_the_repository_holds_the_whole_checkpoint_and_no_second_push_changes_it(published, name, capfd):
    folder = published.runs / name / "checkpoint"
    here = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    repository = published.hub.server.repository("models", f"user/{name}")
    history = repository.history()
    assert here == sorted(FILES + ADAPTER * (name == "bert-lora")) and len(history) == 2
    assert sorted(repository.files()) == [".gitattributes", *here]

    published.push(name, f"user/{name}")
    assert f"commit: {history[0]['id']}" in capfd.readouterr().out
    assert published.hub.server.repository("models", f"user/{name}").history() == history


ELSEWHERE = """
    import json, sys
    import torch
    from peft import PeftModel
    from transformers import (
        AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer,
        pipeline)

    sequences, bases = json.loads(sys.argv[1]), sys.argv[2]
    classes = {
        "modernbert-mlm": ("fill-mask", AutoModelForMaskedLM),
        "bert-tokens": ("token-classification", AutoModelForTokenClassification)}
    found = {}
    for name in json.loads(sys.argv[3]):
        task, auto_class = classes.get(name, ("text-classification", AutoModelForSequenceClassification))
        tokenizer = AutoTokenizer.from_pretrained(f"user/{name}")
        model = auto_class.from_pretrained(f"user/{name}").eval()
        use = pipeline(task, model=f"user/{name}")
        masked = tokenizer.mask_token if task == "fill-mask" else ""
        batch = tokenizer(sequences, padding=True, return_tensors="pt")
        found[name] = {"ids": tokenizer(sequences).input_ids, "used": use([each + masked for each in sequences])}
        with torch.no_grad():
            found[name]["logits"] = model(**batch).logits.tolist()
            if name == "bert-lora":
                base = AutoModelForSequenceClassification.from_pretrained(f"{bases}/bert", num_labels=3)
                adapted = PeftModel.from_pretrained(base, f"user/{name}", subfolder="adapter").eval()
                found[name]["adapted"] = adapted(**batch).logits.tolist()
    print(json.dumps(found, default=float))
"""


@pytest.fixture(scope="module")
def elsewhere(published) -> dict[str, dict]:
    """What a process without this repository makes of each repository."""
    arguments = [json.dumps(SEQUENCES), published.bases, json.dumps(list(CASES))]
    return json.loads(published.hub.python(ELSEWHERE, *arguments).splitlines()[-1])


@pytest.mark.parametrize("name", CASES)
def test_elsewhere_it_gives_soft_masked_dna_the_ids_and_logits_of_training(published, elsewhere, name):
    found = elsewhere[name]
    base = AutoTokenizer.from_pretrained(published.bases / CASES[name][0])
    assert found["ids"] == base([sequence.upper() for sequence in SEQUENCES]).input_ids
    assert found["ids"][0] == found["ids"][1] != base(SEQUENCES[1]).input_ids

    model = CASES[name][1].from_pretrained(published.runs / name / "checkpoint").eval()
    batch = base.pad({"input_ids": found["ids"]}, return_tensors="pt")
    with torch.no_grad():
        logits = model(**batch).logits
    np.testing.assert_allclose(found["logits"], logits, atol=1e-5)
    if "adapted" in found:
        np.testing.assert_allclose(found["adapted"], logits, atol=1e-4)


def test_pipelines_of_transformers_work_elsewhere(elsewhere):
    found = elsewhere["bert-lora"]
    for used, logits in zip(found["used"], torch.tensor(found["logits"]), strict=True):
        score, label = logits.softmax(0).max(0)
        assert used["label"] == TOY_LABELS[label] and used["score"] == pytest.approx(score.item(), abs=1e-5)
    assert all(len(each) == 5 and each[0]["score"] > 0 for each in elsewhere["modernbert-mlm"]["used"])
    labelled = elsewhere["bert-tokens"]["used"][3]
    assert len(labelled) == 19 and {each["entity"] for each in labelled} <= set(TOY_LABELS)
    assert [each["start"] for each in labelled] == list(range(0, 56, 3))


def test_the_code_of_the_card_runs_elsewhere(published):
    card = ModelCard(published.hub.server.read("models", "user/bert-lora", "README.md").decode())
    block, of_adapter = re.findall(r"```python\n(.*?)```", card.text, re.DOTALL)
    published.hub.python(block + "\nassert logits.shape == (1, 3)")
    adapter = json.loads(published.hub.server.read("models", "user/bert-lora", ADAPTER[0]))
    assert adapter["base_model_name_or_path"] == "bert" and "`bert`: elsewhere, give its path" in card.text
    found = of_adapter.replace("adapter.base_model_name_or_path", repr(str(published.bases / "bert")))
    published.hub.python(found + "\nassert model.config.num_labels == 3")
