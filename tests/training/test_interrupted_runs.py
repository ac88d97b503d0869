"""train.py, interrupted -> by the same command the result of an undisturbed run, or an error."""

import json
import os
import random
import re
import resource
import shutil
import signal
import time

import pytest
from safetensors.torch import load_file, save_file

import dnahub.training.run
from dnahub.checkpoints.loading import find_checkpoint, load_for_task
from dnahub.training.arguments import TUNINGS
from dnahub.training.callbacks import SaveOnSignal
from tests import forked
from tests.runs import SCRATCH, evaluations, last_state, metrics, points, same, weights

STEPS_PER_EPOCH = 12  # 96 rows of train in batches of 8


@pytest.fixture(scope="module")
def short(toy_dataset):
    """Arguments of a run of three epochs, by default strategies."""
    return ["--dataset_name", toy_dataset, *SCRATCH, "--num_train_epochs", 3, "--per_device_train_batch_size", 8]


@pytest.fixture(scope="module")
def steady(toy_dataset):
    """Arguments of a run of 40 steps that saves every five."""
    return [
        *("--dataset_name", toy_dataset, *SCRATCH, "--max_steps", 40, "--save_steps", 5),
        *("--early_stopping_patience", 0, "--per_device_train_batch_size", 8, "--use_cpu", "--disable_tqdm", "true"),
    ]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, launch, steady):
    run = tmp_path_factory.mktemp("steady") / "run"
    result = launch(*steady, "--output_dir", run)
    assert result.returncode == 0, result.stderr
    return run


@pytest.fixture
def sigterm_at(monkeypatch):
    """A function that sends SIGTERM to this process in the middle of some steps, each once."""
    left = set()

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step + 1 in left:
            left.remove(state.global_step + 1)
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(SaveOnSignal, "on_step_begin", on_step_begin)
    return left.update


# SIGTERM


@pytest.mark.slow
@pytest.mark.parametrize("strategy", [[], ["--save_steps", 5], ["--save_strategy", "no"]], ids=str)
def test_sigterm_leaves_no_trace_in_the_result(tmp_path, run_train, short, sigterm_at, strategy):
    """In the middle of an epoch, in its last step, and in its first."""
    arguments = [*short, *strategy]
    status, _, err = run_train(*arguments, "--output_dir", tmp_path / "whole")
    assert status == 0, err
    run = tmp_path / "run"

    sigterm_at([5, STEPS_PER_EPOCH, STEPS_PER_EPOCH + 1, 2 * STEPS_PER_EPOCH + 3])
    statuses = []
    while not statuses or statuses[-1] != 0:
        status, out, err = run_train(*arguments, "--output_dir", run)
        assert status in (0, 143), err
        assert len(statuses) < 6
        statuses.append(status)

    assert statuses.count(143) >= 3
    assert evaluations(run) == evaluations(tmp_path / "whole")
    assert same(weights(run / "checkpoint"), weights(tmp_path / "whole" / "checkpoint"))
    one, other = metrics(run), metrics(tmp_path / "whole")
    assert (one["validation"], one["test"]) == (other["validation"], other["test"])
    for name in ("steps", "best_step", "chosen_by"):
        assert one["training"][name] == other["training"][name], name


@pytest.fixture
def worsening(tmp_path, write_dataset, toy_rows):
    """Arguments of a run of which each evaluation is worse than the one before: validation has other labels."""
    turned = [row | {"label": (row["label"] + 1) % 3} for row in toy_rows["validation"]]
    data = write_dataset(tmp_path / "data", {"train": toy_rows["train"], "validation": turned})
    arguments = ["--dataset_name", data, *SCRATCH, "--per_device_train_batch_size", 8, "--test_fraction", 0]
    return [*arguments, "--metric_for_best_model", "loss"]


def test_sigterm_does_not_use_up_the_patience(tmp_path, run_train, worsening, sigterm_at):
    arguments = [*worsening, "--num_train_epochs", 9, "--early_stopping_patience", 2]
    assert run_train(*arguments, "--output_dir", tmp_path / "whole")[0] == 0
    sigterm_at([2, STEPS_PER_EPOCH + 4, STEPS_PER_EPOCH + 6])

    *stopped, ended = [run_train(*arguments, "--output_dir", tmp_path / "run") for _ in range(4)]

    assert [status for status, _, _ in stopped] == [143] * 3 and ended[0] == 0, ended
    assert "stopped by SIGTERM at step 2" in stopped[0][2] and "Traceback" not in stopped[0][2]
    assert str(tmp_path / "run" / "checkpoint-2") in stopped[1][1]
    assert evaluations(tmp_path / "run") == evaluations(tmp_path / "whole")
    assert metrics(tmp_path / "run")["training"]["steps"] == 3 * STEPS_PER_EPOCH  # and not 9
    assert metrics(tmp_path / "whole")["training"]["steps"] == 3 * STEPS_PER_EPOCH


# A kill


@pytest.fixture
def killed(environment):
    """A function that begins a run and kills it when its first checkpoint is whole."""

    def kill(run, *arguments) -> None:
        process = forked.Forked(["train.py", *arguments, "--output_dir", run], forked.REPOSITORY, environment)
        deadline = time.monotonic() + 240
        while not list(run.glob("checkpoint-*/trainer_state.json")):
            assert process.poll() is None and time.monotonic() < deadline, process.stdout + process.stderr
            time.sleep(0.01)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert not (run / "checkpoint").exists()

    return kill


@pytest.mark.slow
def test_a_killed_run_goes_on_to_bitwise_the_same_weights(tmp_path, killed, launch, steady, uninterrupted):
    run = tmp_path / "run"

    killed(run, *steady)
    left = [run / f".{name}.{'0' * 32}.part" for name in ("log.jsonl", "checkpoint")]
    left[0].touch()
    left[1].mkdir()
    again = launch(*steady, "--output_dir", run)

    assert again.returncode == 0 and not any(path.exists() for path in left), again.stderr
    assert same(weights(run / "checkpoint"), weights(uninterrupted / "checkpoint"))
    assert metrics(run)["test"] == metrics(uninterrupted)["test"] and metrics(run)["training"]["steps"] == 40
    assert evaluations(run) == evaluations(uninterrupted)


@pytest.mark.slow
def test_masked_batches_of_like_length_go_on_where_they_were_too(tmp_path, killed, launch, write_dataset, toy_rows):
    """Here masks are drawn and lengths are grouped: what the order of a resumed epoch depends on."""
    rng = random.Random(0)
    rows = [{"sequence": row["sequence"] * rng.randint(1, 5), "label": row["label"]} for row in toy_rows["train"]]
    data = write_dataset(tmp_path / "data", {"train": rows, "validation": toy_rows["validation"]})
    arguments = ["--dataset_name", data, *SCRATCH, "--task", "mlm", "--test_fraction", 0, "--max_steps", 40]
    arguments += ["--save_steps", 4, "--per_device_train_batch_size", 8, "--disable_tqdm", "true", "--use_cpu"]

    killed(tmp_path / "killed", *arguments)
    for run in ("killed", "whole"):
        result = launch(*arguments, "--output_dir", tmp_path / run)
        assert result.returncode == 0, result.stderr

    assert metrics(tmp_path / "whole")["training"]["train_sampling_strategy"] == "group_by_length"
    assert same(weights(tmp_path / "killed" / "checkpoint"), weights(tmp_path / "whole" / "checkpoint"))


@pytest.mark.slow
def test_a_full_disk_ends_in_one_sentence_and_the_last_checkpoint_is_whole(tmp_path, launch, steady, uninterrupted):
    run = shutil.copytree(uninterrupted, tmp_path / "run")
    shutil.rmtree(run / "checkpoint")
    for point in points(run)[1:]:
        shutil.rmtree(point)

    full = launch(*steady, "--output_dir", run, before=limit_file_size)

    assert full.returncode == 2, full.stderr
    (sentence,) = [line for line in full.stderr.splitlines() if line.startswith("train.py: error: ")]
    assert str(run) in sentence and "Traceback" not in full.stderr
    again = launch(*steady, "--output_dir", run)
    assert again.returncode == 0 and "going on from" in again.stdout, again.stderr
    assert same(weights(run / "checkpoint"), weights(uninterrupted / "checkpoint"))


def limit_file_size() -> None:
    """To less than the state of the optimizer."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))


# After the last step


@pytest.mark.slow
@pytest.mark.parametrize(("tuning", "best"), [*((tuning, True) for tuning in TUNINGS), ("frozen", False)])
def test_checkpoints_hold_every_tensor_under_its_name_and_a_run_goes_on_from_each(
    tmp_path, run_train, short, mlm_run, tuning, best, sigterm_at
):
    """Interrupted within the last epoch, and after the last step."""
    base = mlm_run / "checkpoint"
    arguments = [*short[:2], "--model_name_or_path", base, "--learning_rate", "5e-3", "--report_to", "none"]
    arguments += [*short[-4:], "--tuning", tuning]
    arguments += ["--trainable_layers", 1] if tuning == "frozen" else []
    arguments += ["--baselines", "false", "--load_best_model_at_end", str(best).lower()]
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert run_train(*arguments, "--output_dir", whole)[0] == 0

    sigterm_at([2 * STEPS_PER_EPOCH + 5])
    assert run_train(*arguments, "--output_dir", run)[0] == 143
    status, _, err = run_train(*arguments, "--output_dir", run)
    assert status == 0, err
    assert same(weights(run / "checkpoint"), weights(whole / "checkpoint"))

    shutil.rmtree(run / "checkpoint")
    status, out, err = run_train(*arguments, "--output_dir", run)
    assert status == 0, err
    assert same(weights(run / "checkpoint"), weights(whole / "checkpoint"))
    assert metrics(run)["test"] == metrics(whole)["test"]
    if tuning in ("full", "frozen", "head"):
        for point in points(run):
            assert weights(point).keys() == weights(run / "checkpoint").keys()
    if tuning in ("frozen", "head"):
        before, frozen = weights(base), r"embeddings|layer\.0\." + "|layer|norm" * (tuning == "head")
        for point in [*points(run), run / "checkpoint"]:
            for name, tensor in weights(point).items():
                if name.startswith("esm.") and re.search(frozen, name):
                    assert tensor.equal(before[name]), name


def cut_off(name: str):
    return lambda point: (point / name).write_bytes((point / name).read_bytes()[:1000])


def with_weights(change):
    def spoil(point):
        tensors = load_file(point / "model.safetensors")
        save_file(dict(filter(None, (change(*each) for each in tensors.items()))), point / "model.safetensors")

    return spoil


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (with_weights(lambda name, tensor: None if "layer.1" in name else (name, tensor)), "layer.1"),
        (
            with_weights(lambda name, tensor: (name, tensor.repeat(2) if name.endswith("dense.bias") else tensor)),
            "bias",
        ),
        (cut_off("model.safetensors"), "checkpoint-"),
        (cut_off("optimizer.pt"), "checkpoint-"),
        (cut_off("rng_state.pth"), "checkpoint-"),
        (lambda point: (point / "optimizer.pt").unlink(), "optimizer.pt"),
        (lambda point: (point / "scheduler.pt").unlink(), "scheduler.pt"),
        (lambda point: (point / "rng_state.pth").unlink(), "rng_state.pth"),
    ],
)
def test_a_state_that_does_not_fit_is_an_error(tmp_path, run_train, steady, uninterrupted, spoil, named):
    run = shutil.copytree(uninterrupted, tmp_path / "run")
    shutil.rmtree(run / "checkpoint")
    for point in points(run)[1:]:
        shutil.rmtree(point)
    (point,) = points(run)
    state = json.loads((point / "trainer_state.json").read_text())
    assert state["global_step"] < 40
    spoil(point)

    status, _, err = run_train(*steady, "--output_dir", run)

    assert status == 2 and named in err and "Traceback" not in err
    assert not (run / "checkpoint").exists()


def test_a_best_checkpoint_without_its_weights_is_an_error(tmp_path, run_train, worsening, sigterm_at):
    arguments = [*worsening, "--num_train_epochs", 3, "--output_dir", tmp_path / "run"]
    sigterm_at([STEPS_PER_EPOCH + 3])
    assert run_train(*arguments)[0] == 143
    (tmp_path / "run" / f"checkpoint-{STEPS_PER_EPOCH}" / "model.safetensors").unlink()

    status, _, err = run_train(*arguments)

    assert status == 2 and f"checkpoint-{STEPS_PER_EPOCH}" in err and not (tmp_path / "run" / "checkpoint").exists()


def test_several_seeds_go_on_from_within_the_first(tmp_path, run_train, short, sigterm_at):
    arguments = [*short, "--max_steps", 4, "--seeds", 2, "--output_dir"]
    assert run_train(*arguments, tmp_path / "whole")[0] == 0
    sigterm_at([2])
    assert run_train(*arguments, tmp_path / "run")[0] == 143

    status, _, err = run_train(*arguments, tmp_path / "run")

    assert status == 0, err
    assert metrics(tmp_path / "run")["seeds"] == metrics(tmp_path / "whole")["seeds"]


def test_a_run_goes_on_in_a_folder_that_was_moved(tmp_path, run_train, short, sigterm_at):
    """With the best checkpoint so far among those that are kept, and loaded at the end."""
    arguments = [*short, "--metric_for_best_model", "loss", "--learning_rate", "1e-2", "--save_total_limit", 1]
    assert run_train(*arguments, "--output_dir", tmp_path / "whole")[0] == 0
    sigterm_at([STEPS_PER_EPOCH + 3])
    assert run_train(*arguments, "--output_dir", tmp_path / "before")[0] == 143
    moved = (tmp_path / "before").rename(tmp_path / "moved")

    status, _, err = run_train(*arguments, "--output_dir", moved)

    assert status == 0, err
    assert same(weights(moved / "checkpoint"), weights(tmp_path / "whole" / "checkpoint"))


# Saved first, measured afterwards


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_the_checkpoint_is_whole_before_anything_is_measured_and_the_same_command_measures_it(
    tmp_path, run_train, short, mlm_run, tuning, monkeypatch
):
    arguments = [*short[:2], "--model_name_or_path", mlm_run / "checkpoint", "--tuning", tuning, "--report_to", "none"]
    arguments += ["--baselines", "true", "--max_steps", 4, "--save_strategy", "no", "--output_dir"]
    assert run_train(*arguments, tmp_path / "whole")[0] == 0
    run = tmp_path / "run"

    def no_memory(*_):
        raise MemoryError("Unable to allocate 79 GiB")

    with monkeypatch.context() as patch:
        patch.setattr(dnahub.training.run, "measure_all", no_memory)
        status, _, err = run_train(*arguments, run)
    assert status == 2 and "79 GiB" in err and "Traceback" not in err
    saved = {path.name: path.stat().st_mtime_ns for path in (run / "checkpoint").iterdir()}
    assert saved.keys() == {path.name for path in (tmp_path / "whole" / "checkpoint").iterdir()}
    assert metrics(run)["measured"] is False and metrics(run)["test"] is None
    files = find_checkpoint(str(run / "checkpoint"))
    load_for_task("sequence", files, {"num_labels": len(metrics(run)["model"]["label_names"])})
    assert "has not ended" in (run / "checkpoint" / "README.md").read_text()

    status, out, err = run_train(*arguments, run)

    assert status == 0, err
    assert "parameters" not in out  # nothing was trained
    measured, expected = metrics(run), metrics(tmp_path / "whole")
    assert measured["measured"] is True
    assert measured["test"]["confusion_matrix"] == expected["test"]["confusion_matrix"]
    assert measured["test"]["loss"] == pytest.approx(expected["test"]["loss"], abs=1e-6)
    assert measured["baselines"] == expected["baselines"]
    assert measured["training"]["steps"] == 4 and measured["training"]["seconds"] > 0
    changed = {path.name for path in (run / "checkpoint").iterdir() if path.stat().st_mtime_ns != saved.get(path.name)}
    assert changed == {"README.md", "metrics.json"}


# Whose run it is


def test_a_finished_run_is_recognised_and_its_result_printed_again(run_train, steady, uninterrupted):
    before = {path: path.stat().st_mtime_ns for path in uninterrupted.rglob("*")}

    status, out, err = run_train(*steady, "--output_dir", uninterrupted)

    assert status == 0, err
    assert f"{metrics(uninterrupted)['test']['accuracy']:.3f}" in out and "parameters" not in out
    assert {path: path.stat().st_mtime_ns for path in uninterrupted.rglob("*")} == before


def test_baselines_that_were_left_out_can_be_asked_for_afterwards(tmp_path, run_train, steady):
    run, asked = tmp_path / "run", [*steady, "--max_steps", 1, "--output_dir", tmp_path / "run", "--baselines"]
    assert run_train(*asked, "false")[0] == 0 and metrics(run)["baselines"] is None
    before = weights(run / "checkpoint")
    assert run_train(*asked, "true")[0] == 0 and "3-mer counts" in metrics(run)["baselines"]
    assert same(weights(run / "checkpoint"), before)
    assert "measuring" not in run_train(*asked, "false")[1] and metrics(run)["baselines"]


@pytest.fixture(scope="module")
def seeds(tmp_path_factory, launch, steady):
    run = tmp_path_factory.mktemp("seeds") / "run"
    result = launch(*steady, "--max_steps", 1, "--seeds", 2, "--output_dir", run)
    assert result.returncode == 0, result.stderr
    return run


@pytest.mark.parametrize(
    ("names", "flags"),
    [
        (["checkpoint/model.safetensors"], []),
        (["checkpoint/model.safetensors"], ["--max_steps", 1, "--seeds", 2]),
        (["checkpoint/config.json", "seed-43/checkpoint/model.safetensors"], ["--max_steps", 1, "--seeds", 2]),
        (["checkpoint/tokenizer.json"], ["--max_steps", 1, "--seeds", 2]),
    ],
)
def test_a_finished_run_whose_checkpoint_was_damaged_is_finished_again(
    tmp_path, run_train, steady, uninterrupted, seeds, names, flags
):
    whole = seeds if flags else uninterrupted
    run = shutil.copytree(whole, tmp_path / "run")
    for name in names:
        cut_off(name)(run)
        assert (run / name).read_bytes() != (whole / name).read_bytes()

    status, _, err = run_train(*steady, *flags, "--output_dir", run)

    assert status == 0, err
    for name in names:
        assert (run / name).read_bytes() == (whole / name).read_bytes()
    assert same(weights(run / "checkpoint"), weights(whole / "checkpoint"))


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_whose_data_or_base_model_changed_is_refused(
    tmp_path, run_train, toy_rows, mlm_run, sigterm_at, finished
):
    """One letter in the middle of a file, its size and time as before, and a weight."""
    base, path = shutil.copytree(mlm_run / "checkpoint", tmp_path / "base"), tmp_path / "rows.csv"
    lines = ["sequence,label", *(f"{row['sequence']},{row['label']}" for row in toy_rows["train"])]
    path.write_text("\n".join(lines))
    arguments = ["--train_file", path, "--output_dir", tmp_path / "run", "--model_name_or_path", base]
    arguments += ["--report_to", "none", "--max_steps", 4, "--baselines", "false"]
    sigterm_at([] if finished else [2])
    assert run_train(*arguments)[0] == (0 if finished else 143)

    stat, written = path.stat(), path.read_text()
    lines[40] = ("A" if lines[40][0] != "A" else "C") + lines[40][1:]
    path.write_text("\n".join(lines))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    status, _, err = run_train(*arguments)
    assert status == 2 and str(path) in err

    path.write_text(written)
    tensors = load_file(base / "model.safetensors")
    tensors["esm.encoder.layer.0.output.dense.weight"] += 1e-3
    save_file(tensors, base / "model.safetensors", {"format": "pt"})
    status, _, err = run_train(*arguments)
    assert status == 2 and "base model" in err


def test_another_version_of_a_library_is_noted(tmp_path, run_train, short, sigterm_at):
    arguments = [*short, "--max_steps", 4, "--output_dir", tmp_path / "run"]
    sigterm_at([2])
    assert run_train(*arguments)[0] == 143
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    record["environment"]["versions"]["torch"] = "1.0"
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))

    status, _, err = run_train(*arguments)

    assert status == 0 and "torch 1.0" in err


def test_a_second_start_of_the_same_command_is_refused_and_the_first_goes_on(
    tmp_path, environment, run_train, steady, uninterrupted
):
    run = tmp_path / "run"
    first = forked.Forked(["train.py", *steady, "--output_dir", run], forked.REPOSITORY, environment)
    deadline = time.monotonic() + 240
    while not list(run.glob("checkpoint-*")):
        assert first.poll() is None and time.monotonic() < deadline, first.stdout + first.stderr
        time.sleep(0.01)
    first.send_signal(signal.SIGSTOP)  # or it might end meanwhile

    status, _, err = run_train(*steady, "--output_dir", run)

    first.send_signal(signal.SIGCONT)
    assert status == 2 and str(run) in err and "another train.py" in err
    done = first.finish()
    assert done.returncode == 0, done.stderr
    assert same(weights(run / "checkpoint"), weights(uninterrupted / "checkpoint"))
    assert last_state(run)["global_step"] == 40 and not (run / ".lock").exists()
