"""--audit: the verdict of seqleak in record and card, or one sentence before anything is built."""

import os
from importlib.util import find_spec
from shutil import which

import pytest

from dataset_builder.__main__ import main, summary
from dataset_builder.arguments import Build
from dataset_builder.folder import write_folder
from dnahub.machine.script import outcome


def test_without_linter_or_blastn_nothing_is_built(tmp_path, monkeypatch):
    monkeypatch.setattr("dataset_builder.audit.which", lambda name: None)
    arguments = ["--source", "synthetic", "--output_dir", str(tmp_path / "out"), "--audit"]
    status, sentence = outcome(lambda: main(arguments))
    assert status == 2 and "requirements-extra.txt" in sentence and "ncbi-blast+" in sentence
    assert not list(tmp_path.iterdir())


@pytest.mark.real_data
def test_the_linter_finds_no_leak_in_real_genes_and_its_verdict_stands_in_record_and_card(tmp_path):
    if not os.environ.get("NT_CDS_DIR"):
        pytest.skip("NT_CDS_DIR is not set")
    if find_spec("seqleak") is None or which("blastn") is None:
        pytest.skip("seqleak (requirements-extra.txt) or blastn (Debian: ncbi-blast+) is not installed")
    build = write_folder(Build(source=os.environ["NT_CDS_DIR"], output_dir=str(tmp_path / "out"), audit=True))
    verdict = build["audit"]
    assert verdict["verdict"] == "PASS" and "of 2000 sampled test items" in verdict["homology"]
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"**PASS**; {verdict['summary']}." in card and verdict["homology"] in card and " --audit\n" in card
    assert f"seqleak {verdict['seqleak']}: PASS" in summary(build, tmp_path)
