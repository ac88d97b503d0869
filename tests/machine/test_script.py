"""A script's main function -> exit status and one sentence."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from datasets.exceptions import DatasetNotFoundError

from dnahub.machine.script import Stopped, Terminated, is_for_the_user, outcome

ROOT = Path(__file__).parents[2]


def fail(error):
    raise error


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (MemoryError(), 2, "error: out of memory (MemoryError); free some and run the same command again"),
        (ValueError("a\n  b \x1b[31m"), 2, "error: a b \\x1b[31m"),
        (FileNotFoundError("no file"), 2, "error: no file"),
        (ImportError("no package"), 2, "error: no package"),
        (DatasetNotFoundError("no data set"), 2, "error: no data set"),
        (KeyboardInterrupt(), 130, "interrupted; run it again"),
        (Terminated(), 143, "stopped by SIGTERM; run it again"),
        (Stopped("saved in x"), 143, "saved in x; run it again"),
    ],
)
def test_what_ends_a_script_is_one_sentence_and_a_status(error, status, message):
    assert outcome(lambda: fail(error), "run it again") == (status, message)


def test_a_script_that_ends_well_says_nothing_and_a_bug_keeps_its_traceback():
    assert outcome(lambda: "anything") == (0, "")
    with pytest.raises(KeyError):
        outcome(lambda: fail(KeyError("bug")))
    assert not is_for_the_user(RuntimeError("bug"))


def start(body: str, **environment) -> subprocess.Popen:
    """`run` with that body of main in a process of its own."""
    code = "import time\nfrom dnahub.machine.script import run\ndef main():\n" + textwrap.indent(body, "    ")
    return subprocess.Popen(
        [sys.executable, "-c", f"{code}\nrun('x.py', main)\nprint('after')"],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # ignored in a background job
    )


@pytest.mark.parametrize(
    ("body", "environment", "expected"),
    [
        ("print('done')", {}, ("done\nafter\n", "", 0)),
        ("print('± \\udce9')", {"PYTHONIOENCODING": "ascii"}, ("\\xb1 \\udce9\nafter\n", "", 0)),
        ("raise ValueError('bad row 3')", {}, ("", "x.py: error: bad row 3\n", 2)),
        ("raise KeyboardInterrupt", {"RANK": "1"}, ("", "", 130)),
        ("raise ValueError('bad row 3')", {"RANK": "1"}, ("", "x.py: error: bad row 3\n", 2)),  # of this one alone
    ],
)
def test_a_process_ends_with_the_status_and_the_first_one_says_why(body, environment, expected):
    process = start(body, **environment)
    assert (*process.communicate(timeout=60), process.returncode) == expected


@pytest.mark.parametrize(("number", "status", "said"), [(signal.SIGINT, 130, "int"), (signal.SIGTERM, 143, "SIGTERM")])
def test_a_signal_ends_the_process_even_with_a_stuck_thread(number, status, said):
    stuck = "import threading\nthreading.Thread(target=time.sleep, args=[60]).start()\n"
    process = start(f"{stuck}print('begun', flush=True)\ntime.sleep(60)")
    assert process.stdout.readline() == "begun\n"
    begun = time.monotonic()
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == status and time.monotonic() - begun < 10
    assert said in errors and errors.startswith("x.py: ") and errors.count("\n") == 1


def test_a_process_that_the_launcher_ends_after_an_error_of_all_says_nothing():
    process = start("print('begun', flush=True)\nraise ValueError('bad row 3')", RANK="1")
    assert process.stdout.readline() == "begun\n"
    time.sleep(1)  # until it waits
    process.terminate()
    assert (process.communicate(timeout=30)[1], process.returncode) == ("", -signal.SIGTERM)
