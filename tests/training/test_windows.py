"""--long windows: windows of long rows, and a run whose predictions are those of predict.py and of a plain loop."""

import random
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import predict
from dnahub.checkpoints.tokenizer import build_tokenizer, nt_vocabulary
from dnahub.hub_code.pipeline_dna_embedding import Cutting
from dnahub.training.windows import cut_rows
from tests.messages import naming
from tests.runs import SCRATCH, metrics

WINDOW, STRIDE = 60, 42


def sequence_of(rng: random.Random, nt: int, letters: str) -> str:
    return "".join(rng.choices(letters, k=nt))


def windows_by_hand(sequence: str) -> list[str]:
    return [sequence[i : i + WINDOW] for i in range(0, max(1, len(sequence) - WINDOW + STRIDE), STRIDE)]


def test_windows_are_those_of_their_row_and_outputs_are_means_by_their_tokens():
    rng, tokenizer = random.Random(0), build_tokenizer(nt_vocabulary(), 2048)
    rows = [{"sequence": sequence_of(rng, nt, "ACGT"), "label": nt % 3} for nt in (60, 5, 61, 20_000, 102)]
    made, windows = cut_rows(Dataset.from_list(rows), tokenizer, Cutting(2048, "windows", WINDOW, STRIDE))
    texts = [windows_by_hand(row["sequence"]) for row in rows]
    assert made["input_ids"] == [tokenizer(text).input_ids for each in texts for text in each]
    assert made["label"] == [row["label"] for row, each in zip(rows, texts, strict=True) for _ in each]
    assert windows.of_row.tolist() == [i for i, each in enumerate(texts) for _ in each]
    outputs = np.random.default_rng(0).normal(size=(len(made), 2)).astype(np.float32)
    of_rows = np.split(np.arange(len(made)), np.cumsum([len(each) for each in texts])[:-1])
    weights = np.array([len(ids) for ids in made["input_ids"]])
    expected = [np.average(outputs[each], axis=0, weights=weights[each]) for each in of_rows]
    np.testing.assert_allclose(windows.join(outputs), expected, rtol=1e-5)
    assert windows.first(np.array(made["label"])).tolist() == [row["label"] for row in rows]
    places, some = windows.of(np.array([1, 3]))
    assert places.tolist() == [*of_rows[1], *of_rows[3]] and some.of_row.tolist() == [0] + [1] * len(of_rows[3])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Sequences of 30 to 900 nt and two of 20,000, in two classes that differ in composition."""
    folder, rng = tmp_path_factory.mktemp("long"), random.Random(1)
    for split, number in (("train", 40), ("validation", 20), ("test", 30)):
        lengths = [20_000, 20_000, *(rng.randint(30, 900) for _ in range(number))]
        rows = [f"{sequence_of(rng, nt, 'ACGT' + 'AG' * (i % 2))},{'ag'[i % 2]}" for i, nt in enumerate(lengths)]
        (folder / f"{split}.csv").write_text("\n".join(["sequence,label", *rows]))
    return folder


def flags(files) -> list:
    named = [part for split in ("train", "validation", "test") for part in (f"--{split}_file", files / f"{split}.csv")]
    return [*named, *SCRATCH[:2], "--learning_rate", "1e-3", "--max_steps", 20, "--baselines", "false"]


def test_a_run_is_evaluated_by_sequence_as_predict_does_it(tmp_path, run_train, files):
    cutting = ["--long", "windows", "--window_nt", WINDOW, "--stride_nt", STRIDE]
    status, _, err = run_train(*flags(files), *cutting, "--report", "true", "--output_dir", tmp_path / "run")
    assert status == 0, err
    rows = [line.split(",") for line in (files / "test.csv").read_text().splitlines()[1:]]
    measured = metrics(tmp_path / "run")
    assert measured["dataset"]["rows"]["test"] == len(rows) == 32
    assert measured["training"]["windows"]["test"] == sum(len(windows_by_hand(sequence)) for sequence, _ in rows)

    card = (tmp_path / "run" / "checkpoint" / "README.md").read_text()
    assert f"windows of {WINDOW} nt, {STRIDE} nt apart" in card

    found = pq.read_table(tmp_path / "run" / "predictions.parquet").to_pandas()
    found = found[found["split"] == "test"]
    assert found["label"].tolist() == [label for _, label in rows]
    assert measured["test"]["accuracy"] == pytest.approx((found["label"] == found["predicted"]).mean())

    checkpoint = tmp_path / "run" / "checkpoint"
    given = ["--model_name_or_path", checkpoint, "--input", files / "test.csv", "--output", tmp_path / "out.parquet"]
    predict.main([*map(str, [*given, *cutting[2:], "--device", "cpu"])])
    table = pq.read_table(tmp_path / "out.parquet").to_pandas()
    columns = ["a", "g"]
    ours = found[[f"p_{name}" for name in columns]].to_numpy()
    np.testing.assert_allclose(table[[f"p_{name}" for name in columns]], ours, rtol=0, atol=1e-5)

    model = AutoModelForSequenceClassification.from_pretrained(checkpoint)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    for (sequence, _), row in list(zip(rows, ours, strict=True))[1:6]:
        texts = windows_by_hand(sequence)
        with torch.no_grad():
            logits = [model(**tokenizer(text, return_tensors="pt")).logits[0] for text in texts]
        weights = torch.tensor([len(tokenizer(text).input_ids) for text in texts], dtype=torch.float32)
        mean = (torch.stack(logits) * weights[:, None]).sum(0) / weights.sum()
        np.testing.assert_allclose(mean.softmax(0).numpy(), row, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--long", "error", "--max_length", 20], ["--long windows", "tokens"]),
        (["--window_nt", 60], ["--window_nt", "--long windows"]),
        (["--long", "windows", "--max_length", 10, "--window_nt", 60], ["--window_nt 60", "54"]),
        (["--long", "windows", "--window_nt", 60, "--stride_nt", 61], ["--stride_nt 61", "60"]),
    ],
)
def test_what_does_not_fit_is_an_error(tmp_path, run_train, files, given, words):
    status, _, err = run_train(*flags(files), *given, "--output_dir", tmp_path / "run")
    assert status == 2 and re.search(naming(*words), err), err
