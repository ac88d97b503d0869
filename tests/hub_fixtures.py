"""A Hub on 127.0.0.1 -> fixtures: its users' tokens, and fresh processes that push to it and load from it."""

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.local_hub import Account, LocalHub

REPOSITORY = Path(__file__).parent.parent


@dataclass
class HubBench:
    """A running server, tokens, and a folder for the processes that use them."""

    server: LocalHub
    folder: Path
    user: str = "hf_UserMayWrite"  # of "user"
    user_read: str = "hf_UserMayRead"  # of "user" too
    reader: str = "hf_ReaderMayRead"  # of "reader"

    def environment(self, token: str | None = None, ours: bool = False, home: Path | None = None) -> dict[str, str]:
        """The environment of a user's process; the arguments are those of `run`."""
        dropped = ("PYTHONPATH", "NO_PROXY", "no_proxy")
        env = {k: v for k, v in os.environ.items() if k not in dropped and not k.startswith(("HF_", "HUGGING"))}
        return env | {
            "HF_ENDPOINT": self.server.url,
            "HF_HOME": str(home or tempfile.mkdtemp(prefix="home-", dir=self.folder)),
            "HF_HUB_DISABLE_XET": "1",  # the server has no Xet
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_OFFLINE": "0",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",  # or `datasets` asks a host of Amazon's
            "NO_PROXY": "127.0.0.1,127.0.0.2,localhost",
            "CUDA_VISIBLE_DEVICES": "",
            **({"HF_TOKEN": token} if token else {}),
            **({"PYTHONPATH": str(REPOSITORY)} if ours else {}),
        }

    def run(
        self, *command, token: str | None = None, ours: bool = False, home: Path | None = None, **options
    ) -> subprocess.CompletedProcess:
        """Runs `python *command` as a user would elsewhere: own process, own folder, no cache, no terminal.

        Args:
            command: of the Python interpreter, for example "-m", "dataset_builder", "--help".
            token: goes into HF_TOKEN; without one, nobody is logged in.
            ours: whether this repository's packages can be imported.
            home: HF_HOME, where another process's caches shall be seen; a new folder by default.
            options: of subprocess.run; `env` is added to the environment.
        """
        env = self.environment(token, ours, home) | options.pop("env", {})
        options = {"cwd": tempfile.mkdtemp(prefix="cwd-", dir=self.folder), "timeout": 300} | options
        process = subprocess.run(
            [sys.executable, *map(str, command)],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            **options,
        )
        for secret in (self.user, self.user_read, self.reader):
            assert secret not in process.stdout + process.stderr, "a token was printed"
        return process

    def python(self, code: str, *arguments, **options) -> str:
        """Runs a piece of Python likewise, and returns what it printed; it must succeed."""
        process = self.run("-c", textwrap.dedent(code), *arguments, **options)
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout.strip()


@contextmanager
def hub_bench(folder: Path) -> Iterator[HubBench]:
    with LocalHub(folder / "hub") as server:
        bench = HubBench(server, folder)
        server.tokens[bench.user] = Account("user", "write")
        server.tokens[bench.user_read] = Account("user", "read")
        server.tokens[bench.reader] = Account("reader", "read")
        yield bench
        assert [request for request in server.log if request.status == 501] == []
    shutil.rmtree(folder, ignore_errors=True)  # or pytest keeps the large files of three runs


@pytest.fixture
def hub(tmp_path_factory) -> Iterator[HubBench]:
    """An empty Hub for one test."""
    with hub_bench(tmp_path_factory.mktemp("hub")) as bench:
        yield bench


@pytest.fixture(scope="session")
def session_hub(tmp_path_factory) -> Iterator[HubBench]:
    """A Hub for what is pushed once and looked at by many tests."""
    with hub_bench(tmp_path_factory.mktemp("session-hub")) as bench:
        yield bench
