"""Rows of train -> windows drawn in every epoch, and classes equally often: which, and the same in any run."""

import json
import random
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from dnahub.checkpoints.tokenizer import build_tokenizer, nt_vocabulary
from dnahub.training.callbacks import SaveOnSignal
from dnahub.training.crops import Crops, tile
from dnahub.training.dataset import load_sequences
from dnahub.training.sampling import EpochRows, draw_balanced
from dnahub.training.trainer import build_trainer
from dnahub.training.trainer_arguments import training_arguments
from tests.messages import naming
from tests.runs import SCRATCH, evaluations, last_state, metrics, same, weights
from tests.training.test_trainer import parse
from tests.training.test_two_processes import train_by_one_and_two

TOKENIZER = build_tokenizer(nt_vocabulary(), max_tokens=2048)
LENGTHS = (30, 60, 61, 119, 120, 900)
rng = random.Random(1)
SEQUENCES = ["".join(rng.choices("ACGT", k=length)) for length in LENGTHS]
LABELS = [0, 1, 0, 1, 0, 0]


def rows_of(sequences, labels):
    features = Features({"sequence": Value("large_string"), "label": ClassLabel(names=["a", "b"])})
    return Dataset.from_dict({"sequence": sequences, "label": labels}, features=features)


ROWS = rows_of(SEQUENCES, LABELS)


def test_windows_are_those_of_their_row_and_as_many_as_fit_without_overlap():
    crops = Crops(ROWS, TOKENIZER, 60, 3, 2048)
    assert len(crops) == sum([1, 1, 1, 1, 2, 15]) and crops.num_whole == 2

    starts = {row: set() for row in range(len(ROWS))}
    for epoch in range(300):
        sampler = EpochRows(len(ROWS), 1, 0, crops)
        sampler.set_epoch(epoch)
        items = list(sampler)
        assert Counter(row for row, _ in items) == {0: 1, 1: 1, 2: 1, 3: 1, 4: 2, 5: 15}
        for row, start in items:
            starts[row].add(start)
    for row, length in enumerate(LENGTHS):  # all multiples of three at which a window fits, and no others
        assert starts[row] == set(range(0, max(length - 60, 0) + 1, 3))

    items = [(5, 33), (0, 0), (4, 60)]
    windows = [SEQUENCES[5][33:93], SEQUENCES[0], SEQUENCES[4][60:]]
    made = crops.__getitems__(items)
    assert [row["input_ids"] for row in made] == TOKENIZER(windows).input_ids
    assert [row["label"] for row in made] == [0, 0, 0] and crops[3, 0]["label"] == 1


def test_other_windows_in_every_epoch_and_with_every_seed():
    crops = Crops(ROWS, TOKENIZER, 60, 1, 2048)
    drawn = []
    for seed, epoch in (0, 0), (0, 1), (1, 0), (1, 1), (0, 1):
        sampler = EpochRows(len(ROWS), 4, seed, crops)
        sampler.set_epoch(epoch)
        drawn.append(list(sampler))
        assert len(drawn[-1]) == len(sampler) == 20  # of 21, in steps of 4
    assert drawn[1] == drawn[-1] and all(one != other for one, other in pairwise(drawn))


def test_selected_rows_are_cropped_as_they_are_numbered():
    crops = Crops(ROWS.select([5, 3]), TOKENIZER, 60, 3, 2048)
    assert crops[0, 30]["input_ids"] == TOKENIZER(SEQUENCES[5][30:90]).input_ids and crops[1, 0]["label"] == 1


def test_windows_of_many_n_are_cut_and_counted_and_too_long_ones_are_an_error():
    rows = rows_of(["N" * 60, *["ACGTAC" * 10] * 8, "ACGTAC" * 11], [0] * 10)
    crops = Crops(rows, TOKENIZER, 60, 3, 20)
    assert len(crops[0, 0]["input_ids"]) == 20 and len(crops[1, 0]["input_ids"]) == 11
    assert crops.fraction_cut == pytest.approx(0.1, abs=0.05) and "more than 20 tokens" in crops.note()
    for crop_nt, told in (60, ("11", "10")), (66, ("longer",)):
        with pytest.raises(ValueError, match=naming(f"--crop_nt {crop_nt}", *told)):
            Crops(rows, TOKENIZER, crop_nt, 3, 10)


def test_baselines_get_windows_that_do_not_overlap():
    windows, of_row = tile(ROWS, 60, 3, 1000)
    assert of_row.tolist() == [0, 1, 2, 3, 4, 4, *[5] * 15]
    expected = [sequence[i : i + 60] for sequence in SEQUENCES for i in range(0, max(len(sequence) - 59, 1), 60)]
    assert windows["sequence"] == expected and windows.features["label"] == ROWS.features["label"]
    assert np.bincount(windows["label"]).tolist() == [19, 2]
    expected = [sequence[i : i + 61] for sequence in SEQUENCES for i in range(0, max(len(sequence) - 60, 1), 63)]
    assert tile(ROWS, 61, 3, 1000)[0]["sequence"] == expected  # in frame, as the windows that the model sees
    some, _ = tile(ROWS, 60, 3, 7)
    assert len(some) == 7 and not set(some["sequence"]) - set(windows["sequence"])


@pytest.mark.parametrize("number", [1, 7, 30, 301])
def test_classes_are_drawn_equally_often_and_rows_of_a_class_too(number):
    classes = np.array([5] * 2 + [1] * 40 + [3] * 7)
    drawn = draw_balanced(classes, number, np.random.default_rng(0))
    assert len(drawn) == number
    of_class = np.bincount(classes[drawn], minlength=6)[[1, 3, 5]]
    assert of_class.max() - of_class.min() <= 1 and of_class.sum() == number
    for name in (1, 3, 5):
        counts = np.bincount(drawn, minlength=len(classes))[classes == name]
        assert counts.max() - counts.min() <= 1
    of_steps = np.array(
        [np.bincount(classes[step], minlength=6)[[1, 3, 5]] for step in np.split(drawn, range(30, number, 30))]
    )
    assert number < 30 or of_steps[: number // 30].min() >= 8  # of 30 rows of 3 classes
    assert number < 30 or (np.diff(classes[drawn]) == 0).any()  # in random order


def test_of_windows_classes_are_equally_often_too_and_a_row_that_comes_twice_gives_other_windows():
    crops = Crops(rows_of([SEQUENCES[5], SEQUENCES[5][:300]], [0, 1]), TOKENIZER, 60, 3, 2048)
    items = list(EpochRows(2, 4, 0, crops, np.array([0, 1])))
    assert Counter(row for row, _ in items) == {0: 10, 1: 10}
    assert len({start for row, start in items if row == 1}) > 5  # which has five windows


def test_rows_of_a_step_are_alike_in_length_while_classes_are_equally_often():
    lengths, classes = np.arange(100) % 10, np.repeat([0, 1], [90, 10])
    steps = np.reshape(list(EpochRows(100, 10, 0, classes=classes, lengths=lengths)), (10, 10))
    assert np.bincount(classes[steps.ravel()]).tolist() == [50, 50]
    assert np.ptp(lengths[steps], axis=1).mean() < 5  # and 8 in random steps


@pytest.fixture(scope="module")
def long_rows(tmp_path_factory, write_dataset, toy_rows):
    """Arguments for rows of several toy windows, of unlike length, of a common, a less common and a rare class."""
    rng = random.Random(0)
    rows = [row for row in toy_rows["train"] if rng.random() < (1.0, 0.5, 0.2)[row["label"]]]
    rows = [row | {"sequence": row["sequence"] * rng.randint(1, 4)} for row in rows]
    data = write_dataset(tmp_path_factory.mktemp("long") / "data", toy_rows | {"train": rows})
    return ["--dataset_name", data, *SCRATCH, "--crop_nt", 48, "--crop_step", 6]


def test_classes_weigh_by_their_windows(long_rows):
    args = parse(*long_rows[:2], "--class_weights", "balanced", *long_rows[-4:])
    data = load_sequences(args.data, args.model.task)
    trainer, tokenised = build_trainer(args.model, args.data, training_arguments(args), data, None)
    counts = np.bincount(tile(data.splits["train"], 48, 3, 10**6)[0]["label"])
    weighed = trainer.compute_loss_func.keywords["class_weights"].numpy()
    np.testing.assert_allclose(weighed, counts.sum() / (3 * counts), rtol=1e-6)
    assert len(tokenised["train"]) == counts.sum()


@pytest.mark.parametrize(
    ("task", "label", "flags", "told"),
    [
        ("token_classification", ["a"] * 5 + ["b"] * 5, ["--crop_nt", 6], "--crop_nt"),
        ("multi_label", ["a"], ["--class_sampling", "balanced"], "--class_sampling"),
        ("regression", 0.5, ["--class_sampling", "balanced"], "--class_sampling"),
        ("mlm", 0.5, ["--class_sampling", "balanced"], "--class_sampling"),
        ("mlm", 0.5, ["--crop_nt", 58, "--max_length", 10], "--crop_nt 58"),
        ("mlm", 0.5, ["--crop_nt", 60], "--crop_nt 60"),
    ],
)
def test_what_a_task_or_length_does_not_go_with_is_refused(tmp_path, run_train, task, label, flags, told):
    lines = [json.dumps({"sequence": sequence, "label": label}) for sequence in distinct(30)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    arguments = ["--train_file", tmp_path / "rows.jsonl", *SCRATCH, "--task", task, *flags]
    status, _, err = run_train(*arguments, "--output_dir", tmp_path / "run")
    assert status == 2 and told in err and not (tmp_path / "run" / "checkpoint").exists(), err


def distinct(number):
    rng = random.Random(0)
    return ["".join(rng.choices("ACGT", k=60)) for _ in range(number)]


@pytest.mark.parametrize(
    ("task", "label"), [("multi_label", [["a"], ["a", "b"]]), ("regression", [0.5, -1.0]), ("regression", [[1, 2]])]
)
def test_every_task_of_sequences_is_trained_on_windows(tmp_path, run_train, task, label):
    rows = [{"sequence": text, "label": label[i % len(label)]} for i, text in enumerate(distinct(40))]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    arguments = ["--train_file", tmp_path / "rows.jsonl", *SCRATCH, "--task", task, "--crop_nt", 20, "--max_steps", 3]
    status, _, err = run_train(*arguments, "--save_strategy", "no", "--output_dir", tmp_path / "run")
    assert status == 0 and metrics(tmp_path / "run")["training"]["windows_per_epoch"] == 3 * 32, err


def test_a_head_alone_is_trained_on_windows_too(tmp_path, run_train, mlm_run, long_rows):
    """Whose features are not computed once, for they are others in every epoch."""
    arguments = [*long_rows[:2], "--model_name_or_path", mlm_run / "checkpoint", "--tuning", "head", *long_rows[-4:]]
    arguments += ["--max_steps", 3, "--save_strategy", "no", "--class_sampling", "balanced", "--baselines", "false"]
    assert run_train(*arguments, "--output_dir", tmp_path / "run")[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [["--class_sampling", "balanced", "--dataloader_num_workers", 1], ["--task", "mlm"]],
    ids=["classification", "mlm"],
)
def test_an_interrupted_run_draws_what_an_undisturbed_one_does(tmp_path, run_train, long_rows, monkeypatch, flags):
    arguments = [*long_rows, "--num_train_epochs", 3, "--per_device_train_batch_size", 16, *flags]
    monkeypatch.setattr("dnahub.reports.baselines.MAX_ROWS", 50)
    status, out, err = run_train(*arguments, "--baselines", "true", "--output_dir", tmp_path / "whole")
    assert status == 0 and "windows of 48 nt" in err, err
    steps = last_state(tmp_path / "whole")["global_step"]
    left = {1, steps // 3 + 1, steps - 2}

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step in left:
            left.remove(state.global_step)
            self.received = True

    monkeypatch.setattr(SaveOnSignal, "on_step_begin", on_step_begin)
    statuses = [run_train(*arguments, "--output_dir", tmp_path / "run")[0] for _ in range(4)]

    assert statuses == [143, 143, 143, 0]
    assert same(weights(tmp_path / "run" / "checkpoint"), weights(tmp_path / "whole" / "checkpoint"))
    assert evaluations(tmp_path / "run") == evaluations(tmp_path / "whole")
    told = metrics(tmp_path / "run")["training"]
    assert (told["crop_nt"], told["crop_step"]) == (48, 6) and told["windows_per_epoch"] // 16 == steps // 3
    assert told["class_sampling"] == (None if "mlm" in flags else "balanced")
    assert "| crop nt | 48 |" in (tmp_path / "run" / "checkpoint" / "README.md").read_text()


@pytest.mark.slow
def test_two_processes_draw_what_one_does(tmp_path, long_rows, launch):
    num_steps = train_by_one_and_two(launch, tmp_path, 16, *long_rows, "--class_sampling", "balanced")
    assert metrics(tmp_path / "2")["training"]["processes"] == 2 and num_steps > 4
