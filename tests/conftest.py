"""Settings of the suite: own caches, a Hub on 127.0.0.1; toy data sets, and runs of train.py for several tests."""

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.local_hub import LocalHub

# The Hugging Face libraries read their environment at import: these lines come before any import of them.
_FOLDER = tempfile.TemporaryDirectory(prefix="nt-tests-")
HUB = LocalHub(Path(_FOLDER.name) / "hub").start()
for _name in [name for name in os.environ if name.startswith(("HF_", "HUGGING", "NO_PROXY", "no_proxy"))]:
    del os.environ[_name]
os.environ |= {
    "HF_ENDPOINT": HUB.url,
    "HF_HOME": str(Path(_FOLDER.name) / "home"),
    "HF_HUB_OFFLINE": "0",
    "HF_HUB_DISABLE_XET": "1",  # the server has no Xet
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",  # or `datasets` asks a host of Amazon's
    "NO_PROXY": "127.0.0.1,localhost",
    "CUDA_VISIBLE_DEVICES": "",
    "OMP_NUM_THREADS": "1",
}
import datasets  # noqa: E402
from datasets import ClassLabel, Dataset, Features, Value  # noqa: E402

from tests import forked  # noqa: E402

# Seconds that a pass over a stream of Parquet ends with, for arrow's threads; 5 by default.
datasets.config.SLEEP_TIME_ON_THREADS_SHUTDOWN = 0.05

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


def pytest_configure(config) -> None:
    """
    Models this small lose more by sharing their work than they gain, and pytest-xdist has a worker for each core. Our
    scripts compute on all cores that they are given, so each worker, or a run without workers, is given one.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    starts_workers = "PYTEST_XDIST_WORKER" not in os.environ and config.getoption("numprocesses", None)
    if sys.platform == "linux" and not starts_workers:
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker) % len(cores)]})


def pytest_make_parametrize_id(config, val) -> str | None:
    """The workers must find the same names, and a gzip file holds the time at which it was compressed."""
    return f"{len(val)} bytes" if isinstance(val, bytes) else None


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
    """The environment of a process of its own: no package of ours on the path, and caches of its own."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return kept | {"HF_HOME": str(tmp_path_factory.mktemp("hf-home"))}


@pytest.fixture(scope="session")
def launch(environment):
    """A function that runs train.py in a process of its own, or in several together."""

    def run(*arguments: str, processes: int = 1, **options) -> subprocess.CompletedProcess:
        command = ["train.py", *map(str, arguments)]
        if processes > 1:
            return forked.run_together(command, REPOSITORY, environment, processes, **options)
        return forked.run(command, REPOSITORY, environment, **options)

    return run


@pytest.fixture
def run_train(capfd):
    """A function that runs train.py in this process: status, output, errors."""

    import train  # here, for most tests of the suite need neither it nor torch
    from tests.hub_fixtures import exit_status

    def run(*arguments) -> tuple[int, str, str]:
        capfd.readouterr()
        status = exit_status(train.main, [*map(str, arguments), "--use_cpu", "--disable_tqdm", "true"])
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
