"""A Hub on 127.0.0.1 -> fixtures: its users' tokens, and fresh processes that push to it and load from it."""

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from dnahub.machine.script import outcome
from tests import forked
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

    def api(self, token: str | None = None):
        """What our code is given to talk to the Hub as the user of that token."""
        from huggingface_hub import HfApi  # here, for conftest.py settles the environment before it is imported

        return HfApi(token=token)  # without one, nobody is logged in: the suite's environment has none

    def environment(self, token: str | None = None, ours: bool = False, home: Path | None = None) -> dict[str, str]:
        """Of a user's process: without a token nobody is logged in; `ours`: whether it can import our packages."""
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return env | {
            "HF_HOME": str(home or tempfile.mkdtemp(prefix="home-", dir=self.folder)),
            **({"HF_TOKEN": token} if token else {}),
            **({"PYTHONPATH": str(REPOSITORY)} if ours else {}),
        }

    def run(self, *command, token: str | None = None, ours: bool = False, cwd: Path | None = None):
        """Runs `python *command` as a user would elsewhere: own process, own folder, no cache, no terminal."""
        cwd = cwd or tempfile.mkdtemp(prefix="cwd-", dir=self.folder)
        process = forked.run(command, cwd, self.environment(token, ours))
        for secret in (self.user, self.user_read, self.reader):
            assert secret not in process.stdout + process.stderr, "a token was printed"
        return process

    def python(self, code: str, *arguments, **options) -> str:
        """Runs a piece of Python likewise, and returns what it printed; it must succeed."""
        process = self.run("-c", textwrap.dedent(code), *arguments, **options)
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout.strip()


@pytest.fixture
def slept(monkeypatch) -> list[float]:
    """The seconds that this process was told to wait between two tries; nobody waits here."""
    seconds = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds


def exit_status(main: Callable, *arguments, **options) -> int:
    """The exit status of a script whose main function is called here; its one sentence goes to standard error."""
    returned = []
    try:
        status, message = outcome(lambda: returned.append(main(*arguments, **options)))
    except SystemExit as stop:
        return stop.code or 0
    if message:
        package, _, _ = main.__module__.partition(".")
        print(f"{package if package == 'dataset_builder' else f'{package}.py'}: {message}", file=sys.stderr)
    return status or returned[0] or 0


@pytest.fixture
def call(capfd):
    """A function that runs `main` of a program in this process as a user, and returns what `subprocess.run` would."""

    def run(main: Callable, *arguments, api) -> subprocess.CompletedProcess:
        capfd.readouterr()
        status = exit_status(main, [str(word) for word in arguments], api=api)
        process = subprocess.CompletedProcess(arguments, status, *capfd.readouterr())
        assert not api.token or api.token not in process.stdout + process.stderr, "a token was printed"
        return process

    return run


@contextmanager
def hub_bench(server: LocalHub, folder: Path) -> Iterator[HubBench]:
    """The suite's server with repositories, users, log and faults of its own; after it, with those of before."""
    with server.emptied(folder / "hub"):
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
    from tests.conftest import HUB

    with hub_bench(HUB, tmp_path_factory.mktemp("hub")) as bench:
        yield bench


@pytest.fixture(scope="module")
def module_hub(tmp_path_factory) -> Iterator[HubBench]:
    """A Hub for what is pushed once and looked at by many tests of one file."""
    from tests.conftest import HUB

    with hub_bench(HUB, tmp_path_factory.mktemp("module-hub")) as bench:
        yield bench
