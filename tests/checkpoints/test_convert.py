"""A checkpoint in pickle format -> safetensors with the same outputs, its head and its licence."""

import json
import pickle

import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoModelForMaskedLM, AutoTokenizer

from dnahub.checkpoints import convert
from dnahub.checkpoints.loading import find_checkpoint, load_for_task
from dnahub.machine.script import outcome
from tests.checkpoints.test_loading import SEQUENCE, published  # noqa: F401


def test_it_gives_what_the_pickle_gave(published, tmp_path):  # noqa: F811
    folder, _ = published("v1", "pytorch_model.bin")  # AgroNT has this body
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["EsmForMaskedLM"]}))
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-sa-4.0\n---\n# AgroNT\n")
    output = tmp_path / "converted"
    arguments = ["--model_name_or_path", str(folder), "--output_dir", str(output)]

    assert outcome(lambda: convert.main(arguments)) == (0, "")

    files = {path.name for path in output.iterdir()}
    assert "model.safetensors" in files and not any(name.endswith((".bin", ".pt")) for name in files)
    assert ModelCard.load(output / "README.md").data.license == "cc-by-nc-sa-4.0"
    expected, tokenizer = load_for_task("masked_lm", find_checkpoint(str(folder), allow_pickle=True), None)
    given = AutoTokenizer.from_pretrained(output, trust_remote_code=True)(SEQUENCE, return_tensors="pt")
    found = AutoModelForMaskedLM.from_pretrained(output, trust_remote_code=True)
    with torch.no_grad():
        assert torch.equal(found(**given).logits, expected(**tokenizer(SEQUENCE, return_tensors="pt")).logits)

    status, message = outcome(lambda: convert.main(arguments))
    assert status == 2 and str(output) in message


@pytest.mark.parametrize("content", [b"PK\x03\x04 cut off", pickle.dumps(print)], ids=["cut off", "code"])
def test_a_pickle_that_cannot_be_read_gets_a_sentence(published, tmp_path, content):  # noqa: F811
    folder, _ = published("v1", "pytorch_model.bin")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["EsmForMaskedLM"]}))
    (folder / "pytorch_model.bin").write_bytes(content)

    status, message = outcome(
        lambda: convert.main(["--model_name_or_path", str(folder), "--output_dir", str(tmp_path / "converted")])
    )

    assert status == 2 and "weights cannot be read" in message and "weights_only" not in message
    assert not (tmp_path / "converted").exists()


def test_without_an_architecture_nothing_is_left_out_in_silence(published, tmp_path):  # noqa: F811
    folder, _ = published("v1", "pytorch_model.bin")
    arguments = ["--model_name_or_path", str(folder), "--output_dir", str(tmp_path / "converted")]

    status, message = outcome(lambda: convert.main(arguments))

    assert status == 2 and "architectures" in message and not (tmp_path / "converted").exists()
