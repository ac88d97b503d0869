"""A Python command line -> a process in which the libraries are imported already, and nothing of ours.

A fresh interpreter takes six seconds to import torch and transformers; a fork of one that has done so takes none. The
process is as clean as a fresh one: its own folder, environment, standard streams, signals and HF_HOME. Only
`HF_ENDPOINT`, which is read at import, is that of the suite.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
PRELOADED = [
    *("torch", "transformers.trainer", "transformers.pipelines", "transformers.models.esm.modeling_esm"),
    *("transformers.models.auto.modeling_auto", "datasets", "accelerate", "peft", "evaluate"),
    *("sklearn.linear_model", "sklearn.metrics", "scipy.stats", "matplotlib.pyplot"),
]
LIBRARIES = ("huggingface_hub", "datasets", "transformers", "evaluate")

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(PRELOADED)


class Forked:
    """A running `python *command`; the methods are those of `subprocess.Popen`."""

    def __init__(self, command: Sequence, cwd: Path | str, env: dict[str, str], stdin: bool = False, before=None):
        """`stdin`: whether `self.stdin` can be written to; else it is empty. `before` is called first, there."""
        self._output = tempfile.TemporaryDirectory(prefix="forked-")
        self._streams = [Path(self._output.name) / name for name in ("out", "err")]
        for path in self._streams:
            path.touch()
        reading, writing = _context.Pipe(duplex=False) if stdin else (None, None)
        arguments = ([str(word) for word in command], str(cwd), dict(env), reading, *map(str, self._streams), before)
        self._process = _context.Process(target=_run, args=arguments)
        self._process.start()
        self.pid = self._process.pid
        self.stdin = None
        if stdin:
            self.stdin = os.fdopen(os.dup(writing.fileno()), "wb")
            reading.close()
            writing.close()

    @property
    def stdout(self) -> str:
        return self._streams[0].read_text(errors="replace")

    @property
    def stderr(self) -> str:
        return self._streams[1].read_text(errors="replace")

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def wait_until(self, condition: Callable[[], object], timeout: float = 120) -> None:
        """Wait until something is so, which the process brings about."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert self.poll() is None, self.stderr
            assert time.monotonic() < deadline, self.stderr
            time.sleep(0.005)

    def wait(self, timeout: float = 300) -> int:
        self._process.join(timeout)
        if self.poll() is None:
            self.kill()
            raise TimeoutError(f"{timeout} s passed:\n{self.stdout}{self.stderr}")
        return self.poll()

    def finish(self, timeout: float = 300) -> subprocess.CompletedProcess:
        """Wait, and return what `subprocess.run` would."""
        status = self.wait(timeout)
        return subprocess.CompletedProcess(self.pid, status, self.stdout, self.stderr)


def run(command: Sequence, cwd: Path | str, env: dict[str, str], timeout: float = 300, **options):
    """`subprocess.run(["python", *command], capture_output=True, text=True)`; `options` are those of `Forked`."""
    return Forked(command, cwd, env, **options).finish(timeout)


def start_together(command: Sequence, cwd: Path | str, env: dict[str, str], processes: int) -> list[Forked]:
    """As torchrun on one machine: so many processes that find each other, by rank."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    job = {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes), "GROUP_RANK": "0"}
    job |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [
        Forked(command, cwd, dict(env) | job | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(processes)
    ]


def run_together(command: Sequence, cwd: Path | str, env: dict[str, str], processes: int, timeout: float = 300):
    """`start_together` to the end, or the first failure; the output of all, and the first status that is not 0."""
    started = start_together(command, cwd, env, processes)
    deadline = time.monotonic() + timeout
    while any(each.poll() is None for each in started):
        if any(each.poll() for each in started) or time.monotonic() > deadline:
            time.sleep(1)  # as the others may be about to end, too
            for each in started:
                if each.poll() is None:
                    each.kill()
            break
        time.sleep(0.02)
    results = [each.finish(60) for each in started]
    status = next((each.returncode for each in results if each.returncode), 0)
    output = ("".join(getattr(each, name) for each in results) for name in ("stdout", "stderr"))
    return subprocess.CompletedProcess(command, status, *output)


def _run(
    command: list[str], cwd: str, env: dict[str, str], stdin: Connection | None, stdout: str, stderr: str, before
) -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY) if stdin is None else stdin.fileno(), 0)
    for number, path in ((1, stdout), (2, stderr)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), number)
    sys.stdin = open(0, closefd=False)
    if before is not None:
        before()
    os.chdir(cwd)
    home = os.environ["HF_HOME"]
    os.environ.clear()
    os.environ.update(env)
    _move_home(home, env["HF_HOME"], env.get("HF_HUB_OFFLINE") == "1")
    # Not that of code that the test's own process has fetched, either.
    sys.path[:] = [path for path in sys.path if path and Path(path) != REPOSITORY and not path.startswith(home)]
    sys.path[:0] = filter(None, env.get("PYTHONPATH", "").split(os.pathsep))
    for name in list(sys.modules):
        if name.partition(".")[0] == "tests":
            del sys.modules[name]
    try:
        _execute(command)
    finally:
        atexit._run_exitfuncs()  # multiprocessing leaves them out


def _execute(command: list[str]) -> None:
    isolated = "-I" in command[:1]
    kind, *rest = command[isolated:]
    if kind == "-m":
        name, *arguments = rest
        sys.argv = [name, *arguments]
        sys.path.insert(0, os.getcwd())
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    elif kind == "-c":
        code, *arguments = rest
        sys.argv = ["-c", *arguments]
        if not isolated:
            sys.path.insert(0, "")
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(code, "<string>", "exec"), main.__dict__)
    else:
        sys.argv = [kind, *rest]
        if not isolated:
            sys.path.insert(0, str(Path(kind).resolve().parent))
        runpy.run_path(kind, run_name="__main__")


def _move_home(old: str, new: str, offline: bool) -> None:
    """What the libraries derived from HF_HOME and HF_HUB_OFFLINE when they were imported."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] not in LIBRARIES:
            continue
        for key, value in list(vars(module).items()):
            if isinstance(value, (str, Path)) and str(value).startswith(old):
                setattr(module, key, type(value)(new + str(value)[len(old) :]))
            elif key == "HF_HUB_OFFLINE":
                setattr(module, key, offline)
