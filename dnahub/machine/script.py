"""A script's main function -> its exit status: one sentence for each error, the same in every script."""

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import NoReturn

from dnahub.machine.text import printable

ERROR, INTERRUPTED, TERMINATED = 2, 130, 143
LAUNCHER_SECONDS = 5  # within which a launcher ends the other processes after an error of one


class Stopped(Exception):
    """The script was asked to stop and has saved what it had; the message says where."""


class Terminated(BaseException):
    """SIGTERM came; as KeyboardInterrupt, not an error that a library may swallow."""


def is_first_process() -> bool:
    """Whether this is the first of the launched processes, also before they have joined."""
    return os.environ.get("RANK", "0") == "0"


def run(program: str, main: Callable[[], object], goes_on: str = "") -> None:
    """
    Run a script; after an error or a signal, end the process with one sentence and its status: see `outcome`.

    `goes_on` says what an interrupted user can do next, as "the same command goes on from what was saved".
    """
    signal.signal(signal.SIGTERM, _terminate)
    for stream in filter(None, (sys.stdout, sys.stderr)):  # what a terminal or pipe cannot show ends nothing
        stream.reconfigure(errors="backslashreplace")
    status, message = outcome(main, goes_on)
    if not status:
        return
    for number in (signal.SIGINT, signal.SIGTERM):  # a second one, as to the launcher's whole group, changes nothing
        signal.signal(number, signal.SIG_IGN)
    sys.stdout.flush()
    if status == ERROR and not is_first_process():
        # An error of all processes is printed by the first one, whereupon the launcher ends the others.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(LAUNCHER_SECONDS)
    if status == ERROR or is_first_process():
        print(f"{program}: {message}", file=sys.stderr, flush=True)
    # Not sys.exit: a thread may be stuck reading standard input, or another process waiting for this one.
    os._exit(status)


def outcome(main: Callable[[], object], goes_on: str = "") -> tuple[int, str]:
    """
    Call a script's main function; returns exit status and one sentence: see the constants. 0: done, no sentence.

    Any error that is not for the user is a fault of the program and keeps its traceback.
    """
    then = goes_on and f"; {goes_on}"
    try:
        main()
    except Stopped as stop:
        return TERMINATED, f"{stop}{then}"
    except KeyboardInterrupt as stop:
        return INTERRUPTED, f"interrupted. {stop}" if str(stop) else f"interrupted{then}"
    except Terminated:
        return TERMINATED, f"stopped by SIGTERM{then}"
    except MemoryError as error:  # where no option would have helped, as while the model is loaded
        return ERROR, f"error: out of memory ({str(error) or 'MemoryError'}); free some and run the same command again"
    except Exception as error:
        if not is_for_the_user(error):
            raise
        return ERROR, f"error: {printable(' '.join(str(error).split()))}"
    return 0, ""


def is_for_the_user(error: BaseException) -> bool:
    """Whether the message of an error says what the user can do, so that a traceback would only hide it."""
    # By name: the library that raises it takes seconds to import, and was imported if it raised.
    of_datasets = any(each.__module__ == "datasets.exceptions" for each in type(error).__mro__)
    return of_datasets or isinstance(error, (ValueError, OSError, ImportError))


def _terminate(number: int, frame: object) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)
    raise Terminated
