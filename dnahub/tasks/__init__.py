"""Name of a task, as `--task` has it -> the task: a file of this folder, and an entry here."""

from collections import UserDict
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dnahub.tasks.task import Task


class Tasks(UserDict):
    """Name -> `Task`, whose module is imported when it is asked for, so that `--help` is quick."""

    def __getitem__(self, name: str) -> "Task":
        return import_module(super().__getitem__(name)).TASK


TASKS = Tasks(
    classification="dnahub.tasks.classification",
    multi_label="dnahub.tasks.multi_label",
    regression="dnahub.tasks.regression",
    token_classification="dnahub.tasks.token_classification",
    mlm="dnahub.tasks.masked_lm",
)
