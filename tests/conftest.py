"""Settings of the suite: own caches, no network; toy data sets, and runs of train.py that several tests look at."""

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

# The Hugging Face libraries read their environment at import: these lines come before any import of them.
_CACHE = tempfile.TemporaryDirectory(prefix="nt-tests-")
os.environ["HF_HOME"] = _CACHE.name
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_UPDATE_DOWNLOAD_COUNTS"] = "0"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

from datasets import ClassLabel, Dataset, Features, Value  # noqa: E402

pytest_plugins = ["tests.hub_fixtures"]

REPOSITORY = Path(__file__).parent.parent
TOY_LABELS = ["fly", "mouse", "yeast"]
TOY_ROWS = {"train": 96, "validation": 24, "test": 36}
TOY_KMERS = 12  # of each label; no two labels share one


def _toy_rows(count: int, seed: int) -> list[dict]:
    """Windows of 60 nt, each of ten 6-mers that only its label has: a classifier can be right about all of them."""
    kmers = random.Random(0).sample(["".join(random.Random(i).choices("ACGT", k=6)) for i in range(400)], 400)
    kmers = list(dict.fromkeys(kmers))
    rng = random.Random(seed)
    rows = []
    for i in range(count):
        label = i % len(TOY_LABELS)
        own = kmers[label * TOY_KMERS : (label + 1) * TOY_KMERS]
        rows.append({"sequence": "".join(rng.choices(own, k=10)), "label": label})
    return rows


@pytest.fixture(scope="session")
def toy_rows() -> dict[str, list[dict]]:
    """Rows of three splits, whose labels can be told apart."""
    return {split: _toy_rows(count, seed) for seed, (split, count) in enumerate(TOY_ROWS.items())}


@pytest.fixture(scope="session")
def write_dataset():
    """A function that writes a data set folder as `dataset_builder` does: Parquet, README.md, build.json."""

    def write(
        folder: Path, splits: dict[str, list[dict]], features: Features | None = None, build: dict | None = None
    ):
        features = features or Features({"sequence": Value("string"), "label": ClassLabel(names=TOY_LABELS)})
        (folder / "data").mkdir(parents=True)
        card = ["---", "configs:", "- config_name: windows", "  data_files:"]
        for split, rows in splits.items():
            columns = {name: [row[name] for row in rows] for name in features}
            Dataset.from_dict(columns, features=features).to_parquet(folder / "data" / f"{split}.parquet")
            card += [f"  - split: {split}", f"    path: data/{split}.parquet"]
        (folder / "README.md").write_text("\n".join([*card, "---", ""]), encoding="utf-8")
        if build is not None:
            record = {"builder": "dataset_builder", "config_name": "windows", **build}
            (folder / "build.json").write_text(json.dumps(record), encoding="utf-8")
        return folder

    return write


@pytest.fixture(scope="session")
def toy_dataset(tmp_path_factory, write_dataset, toy_rows) -> Path:
    """A data set folder, which says that it is synthetic."""
    build = {"synthetic": True, "bayes_optimal_accuracy": 1.0}
    return write_dataset(tmp_path_factory.mktemp("data") / "toy-species", toy_rows, build=build)


@pytest.fixture(scope="session")
def environment(tmp_path_factory) -> dict[str, str]:
    """The environment of a fresh process: no GPU, no package of ours, and caches of its own."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "HF_HOME")}
    return {**kept, "HF_HOME": str(tmp_path_factory.mktemp("hf-home")), "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(scope="session")
def launch(environment):
    """A function that runs train.py as the README says, in a process of its own."""

    def run(*arguments: str, launcher: tuple[str, ...] | None = None, **options) -> subprocess.CompletedProcess:
        config = ("-m", "accelerate.commands.launch", "--config_file", "accelerate_config.yaml")
        command = [sys.executable, *(config if launcher is None else launcher), "train.py", *map(str, arguments)]
        return subprocess.run(
            command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300, **options
        )

    return run


@pytest.fixture(scope="module")
def one_thread():
    """Models this small lose more by sharing their work than they gain, above all on a busy machine."""

    import torch  # here, for most tests of the suite do without it

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def run_train(monkeypatch, capfd):
    """A function that runs train.py in this process: status, output, errors."""

    import train  # here, for most tests of the suite need neither it nor torch

    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["train.py", *map(str, arguments), "--use_cpu", "--disable_tqdm", "true"])
        capfd.readouterr()
        status = 0
        try:
            train.main()
        except SystemExit as stop:
            status = stop.code
        return status, *capfd.readouterr()

    return run


def _finished(result: subprocess.CompletedProcess) -> None:
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="session")
def classification_run(tmp_path_factory, toy_dataset, launch) -> Path:
    """The output folder of a run from scratch, launched as the README says, its arguments partly from a recipe."""
    folder = tmp_path_factory.mktemp("classification")
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        f"dataset_name: {json.dumps(str(toy_dataset))}\nfrom_scratch: tiny\nlearning_rate: 1e-3\nnum_train_epochs: 9\n"
        "per_device_train_batch_size: 16\nreport_to: none\n"
    )
    _finished(launch(recipe, "--num_train_epochs", "4", "--output_dir", folder / "run"))
    return folder / "run"


@pytest.fixture(scope="session")
def mlm_run(tmp_path_factory, toy_dataset, launch) -> Path:
    """The output folder of a run of masked language modelling from scratch."""
    output = tmp_path_factory.mktemp("mlm") / "run"
    arguments = ["--dataset_name", toy_dataset, "--from_scratch", "tiny", "--task", "mlm", "--output_dir", output]
    _finished(launch(*arguments, "--learning_rate", "3e-3", "--num_train_epochs", "6", "--report_to", "none"))
    return output
