import json
from dataclasses import replace

import numpy as np
import pytest

import train
from dnahub.tasks import TASKS
from dnahub.training.arguments import DataArguments
from dnahub.training.dataset import load_sequences
from dnahub.training.self_training import add_unlabelled, describe

CLASSIFICATION = TASKS["classification"]
CODONS = {"at": ["GAA", "AAA", "ATT", "TTA"], "gc": ["GAG", "AAG", "ATC", "CTG"]}


def gene(kind: str, num_codons: int, rng: np.random.Generator) -> str:
    """Four codons in five are those of its kind."""
    other = "gc" if kind == "at" else "at"
    kinds = rng.choice([kind, other], num_codons, p=[0.65, 0.35])
    return "".join(rng.choice(CODONS[each]) for each in kinds)


@pytest.fixture
def files(tmp_path):
    """Labelled windows of 30 nt, and 40 unlabelled genes of 900 nt, in two rows each."""
    rng = np.random.default_rng(0)
    for split, number in {"train": 60, "validation": 30, "test": 30}.items():
        rows = [f"{gene(kind, 10, rng)},{kind},{split}{kind}{i // 2}" for i in range(number) for kind in CODONS]
        (tmp_path / f"{split}.csv").write_text("\n".join(["sequence,label,gene", *rows]))
    truth = {f"gene {kind}{i}": kind for i in range(20) for kind in CODONS}
    rows = [f"{gene(kind, 150, rng)},{name}" for name, kind in truth.items() for _ in range(2)]
    (tmp_path / "unlabelled.csv").write_text("\n".join(["sequence,gene", *rows]))
    flags = {f"{split}_file": [str(tmp_path / f"{split}.csv")] for split in ("train", "validation", "test")}
    return DataArguments(**flags, unlabelled_file=[str(tmp_path / "unlabelled.csv")], group_column="gene"), truth


def test_groups_get_the_label_of_their_likeliest_class(files):
    args, truth = files
    before = load_sequences(args, "classification")
    data, facts = add_unlabelled(before, args, CLASSIFICATION)
    new = data.splits["train"].select(range(120, 200))
    of_gene = dict(zip(data.groups["train"].to_pylist()[120:], np.array(data.labels.names)[new["label"]], strict=True))
    assert of_gene == truth  # though single windows are often taken for others
    assert len(data.splits["train"]) == 200 and data.num_pseudo == 80 and data.splits["test"] is before.splits["test"]
    assert facts["groups"] == 40 and facts["sequences"] == 80 and facts["labels"] == {"at": 40, "gc": 40}
    assert facts["window_nt"] == 30 and 0.6 < facts["validation_accuracy"] < 1
    recall = facts["validation_recall"]
    assert recall.keys() == {"at", "gc"} and sum(recall.values()) / 2 == pytest.approx(facts["validation_accuracy"])
    assert facts["validation_majority"] == 0.5 and facts["validation_rows_per_group"] == 2
    worst = min(recall, key=recall.get)
    assert f"of class {worst} on {recall[worst]:.4f}, from 2.0 rows per group" in describe(facts)
    assert "teach nothing" in describe(facts | {"validation_accuracy": 0.5}) and "teach nothing" not in describe(facts)
    assert data.place("train", 121).endswith("unlabelled.csv, row 1")


def test_groups_with_labelled_rows_keep_their_label(files, tmp_path):
    args, truth = files
    lines = (tmp_path / "train.csv").read_text().splitlines()
    other = {"at": "gc", "gc": "at"}
    known = {name: other[kind] for name, kind in list(truth.items())[:4]}  # against what the classifier would say
    unlike = [f"{line.split(',')[0]},{kind},gene at19" for line, kind in zip(lines[1:3], CODONS, strict=True)]
    rows = [
        f"{line.split(',')[0]},{kind},{name}" for line, (name, kind) in zip(lines[3:7], known.items(), strict=True)
    ]
    (tmp_path / "train.csv").write_text("\n".join([*lines[:1], *unlike, *rows, *lines[7:]]))
    data, facts = add_unlabelled(load_sequences(args, "classification"), args, CLASSIFICATION)
    new = data.splits["train"].select(range(120, 200))
    of_gene = dict(zip(data.groups["train"].to_pylist()[120:], np.array(data.labels.names)[new["label"]], strict=True))
    assert of_gene == truth | known and facts["labelled_groups"] == 4


def test_what_cannot_be_labelled_is_refused(files, tmp_path):
    args, _ = files
    data = load_sequences(args, "classification")
    with pytest.raises(ValueError, match="--unlabelled_file is for --task classification"):
        add_unlabelled(data, args, TASKS["regression"])
    (tmp_path / "unlabelled.csv").write_text("sequence,gene\nACGTACGTACGTACG,new\nAC,short\nAG,short\n")
    with pytest.raises(ValueError, match=r"unlabelled.csv, row 1: it has no three letters.*\(2 such rows\)"):
        add_unlabelled(data, args, CLASSIFICATION)
    held = (tmp_path / "validation.csv").read_text().splitlines()
    (tmp_path / "unlabelled.csv").write_text(f"sequence,gene\n{held[1].split(',')[0]},new\n")
    with pytest.raises(ValueError, match="of validation are in train.*unlabelled.csv, row 0"):
        add_unlabelled(data, args, CLASSIFICATION)
    (tmp_path / "unlabelled.csv").write_text("sequence,gene\nACGTACGTACGTACG,testat3\n")
    with pytest.raises(ValueError, match="1 groups .*testat3.* are in test"):
        add_unlabelled(data, args, CLASSIFICATION)
    (tmp_path / "unlabelled.csv").write_text("sequence,gene\nACGTACGTACGTACG,new\nACGTACGTACGTACC,\n")
    with pytest.raises(ValueError, match="unlabelled.csv, row 1: it has no gene"):
        add_unlabelled(data, args, CLASSIFICATION)


def test_groups_may_be_numbers_and_what_was_read_as_n_or_skipped_is_counted(files, tmp_path):
    args, truth = files
    number = {name: str(i) for i, name in enumerate(truth)}
    for start, name in enumerate(("train", "validation", "test"), 1):
        lines = (tmp_path / f"{name}.csv").read_text().splitlines()
        rows = [f"{line.rpartition(',')[0]},{start}{i // 4}" for i, line in enumerate(lines[1:])]
        (tmp_path / f"{name}.csv").write_text("\n".join([lines[0], *rows]))
    lines = [line.rsplit(",", 1) for line in (tmp_path / "unlabelled.csv").read_text().splitlines()[1:]]
    rows = [f"RR{sequence[2:]},9{number[gene]}" for sequence, gene in lines]
    (tmp_path / "unlabelled.csv").write_text("\n".join(["sequence,gene", *rows, ",7"]))
    args = replace(args, bad_records="skip")
    data, facts = add_unlabelled(load_sequences(args, "classification"), args, CLASSIFICATION)
    assert facts["sequences"] == 80 and data.num_replaced == 160 and sum(data.bad.counts.values()) == 1
    assert data.groups["train"].to_pylist()[-1] == "939"


def test_the_model_learns_from_windows_of_unlabelled_genes_and_baselines_from_labelled_rows_alone(
    files, tmp_path, capsys
):
    args, _ = files
    flags = [f"--{name}={getattr(args, name)[0]}" for name in vars(args) if name.endswith("_file")]
    flags += ["--group_column", "gene", "--crop_nt", "30", "--from_scratch", "tiny", "--max_steps", "2", "--use_cpu"]
    train.main([*flags, "--output_dir", str(tmp_path / "run")])
    assert "80 sequences without labels, of 40 groups" in capsys.readouterr().err
    results = json.loads((tmp_path / "run" / "checkpoint" / "metrics.json").read_text())
    assert results["dataset"]["rows"]["train"] == 200 and results["training"]["windows_per_epoch"] == 120 + 80 * 15
    assert results["self_training"]["groups"] == 40
    rows = {name: baseline["rows"] for name, baseline in results["baselines"].items()}
    assert rows.pop("codon pairs, naive Bayes, self-trained") == 120 + 80 * 15 and set(rows.values()) == {120}
    card = (tmp_path / "run" / "checkpoint" / "README.md").read_text()
    assert "80 sequences without labels" in card and "frame-wise 3-mers" in card
    fitted = "fitted on 120 windows of labelled training sequences, but those named self-trained on 1,320 of labelled"
    assert card.count("baselines were fitted") == 1 and fitted in card
