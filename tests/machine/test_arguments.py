"""Command line and recipe -> dataclasses."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from dnahub.machine.arguments import parse

ROOT = Path(__file__).parents[2]


@dataclass
class Inputs:
    """What is read.

    More about it.
    """

    source: str = field(metadata={"help": "Where from, 100 % of it."})
    columns: list[str] = field(default_factory=list)
    limit: int | None = None


@dataclass
class Settings:
    """How it is computed."""

    rate: float = 1e-3
    pooling: Literal["mean", "cls"] = field(default="mean", metadata={"help": "Pooling."})
    fast: bool = False
    slow: bool = True
    name: str | None = None

    def __post_init__(self):
        if self.rate < 0:
            raise ValueError(f"--rate {self.rate} is negative.")


def settings(*argv: str, **options):
    inputs, found = parse("x.py", "Does x.", (Inputs, Settings), ["--source", "s", *argv], **options)
    return inputs, found


def test_flags_are_read_by_the_types_of_their_fields():
    inputs, found = settings()
    assert (inputs, found) == (Inputs("s"), Settings())
    argv = "--columns a b --limit 3 --rate 1e-5 --pooling cls --fast --slow false --name 010".split()
    assert settings(*argv) == (Inputs("s", ["a", "b"], 3), Settings(1e-5, "cls", True, False, "010"))


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("Yes", True), ("1", True), ("false", False), ("no", False), ("0", False)]
)
def test_a_bool_may_have_a_value(text, value):
    assert settings("--fast", text)[1].fast is value


def test_defaults_may_be_those_of_the_script():
    assert settings(rate=0.5)[1].rate == 0.5
    assert settings("--rate", "2", rate=0.5)[1].rate == 2
    assert parse("x.py", "", (Inputs,), [], source="given")[0].source == "given"


def refusal(capsys, *argv, classes=(Inputs, Settings), **options) -> str:
    with pytest.raises(SystemExit) as stop:
        parse("x.py", "Does x.", classes, argv, **options)
    captured = capsys.readouterr()
    assert stop.value.code == 2 and captured.out == "" and captured.err.count("\n") == 1
    assert captured.err.startswith("x.py: error: ")
    return captured.err


@pytest.mark.parametrize(
    ("argv", "facts"),
    [
        ([], ["--source", "required"]),
        (["--source", "s", "--nonsense"], ["--nonsense"]),
        (["--source", "s", "--sou", "t"], ["--sou"]),  # no abbreviations
        (["--source", "s", "--limit", "x"], ["--limit", "'x'"]),
        (["--source", "s", "--pooling", "max"], ["--pooling", "'max'", "mean", "cls"]),
        (["--source", "s", "--fast", "maybe"], ["--fast", "'maybe'"]),
        (["--source", "s", "--columns"], ["--columns"]),
        (["--source", "s", "recipe.yaml"], ["recipe.yaml"]),
    ],
)
def test_a_wrong_argument_is_one_sentence(capsys, argv, facts):
    sentence = refusal(capsys, *argv)
    for fact in facts:
        assert fact in sentence


def test_what_a_class_refuses_is_a_value_error():
    with pytest.raises(ValueError, match="--rate -1"):
        settings("--rate", "-1")


def test_the_help_is_grouped_and_shows_defaults(capsys):
    with pytest.raises(SystemExit) as stop:
        parse("x.py", "Does x.\n\n    x.py --source s", (Inputs, Settings), ["--help"], recipe=True)
    text = capsys.readouterr().out
    assert stop.value.code == 0
    for part in (
        *("Does x.", "    x.py --source s", "What is read:", "How it is computed:", "{mean,cls}", "recipe"),
        *("(required) Where from, 100 % of it.", "(default: mean)", "(default: 0.001)"),
    ):
        assert part in text
    assert "More about it" not in text


@pytest.fixture
def recipe(tmp_path):
    def write(text: str) -> str:
        (tmp_path / "recipe.yaml").write_text(text)
        return str(tmp_path / "recipe.yaml")

    return write


def read(path, *argv):
    return parse("x.py", "", (Inputs, Settings), [path, *argv], recipe=True)


def test_values_of_a_recipe_stay_as_they_are_written_and_flags_override_them(recipe):
    path = recipe("source: 010\nname: no\nfast: no\nrate: 1e-5\nlimit: 7\ncolumns: [1.10, 2026-01-02, '#']\n")
    inputs, found = read(path)
    assert inputs == Inputs("010", ["1.10", "2026-01-02", "#"], 7)
    assert found == Settings(1e-5, fast=False, name="no")
    assert read(path, "--limit", "9", "--fast", "--columns", "a")[0] == Inputs("010", ["a"], 9)
    assert read(recipe("source: '-1'\nname: --fast\n"))[1].name == "--fast"


def test_only_the_first_argument_is_the_recipe(recipe):
    path = recipe("source: a\n")
    assert read(path, "--name", path, "--columns", path, path) == (Inputs("a", [path, path]), Settings(name=path))


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("source: a\nsource: b\n", ["source", "twice"]),
        ("source: #\n", ["source", "quotes"]),
        ("source: a\nname: ~\n", ["name", "quotes"]),
        ("source: a\nnonsense: b\n", ["nonsense"]),
        ("source: a\nlimit: 1.5\n", ["--limit", "1.5"]),
        ("source: [a, b]\n", ["source", "one value"]),
        ("source: {a: b}\n", ["source", "one value"]),
        ("source: a\ncolumns: {b: c}\n", ["columns", "list"]),
        ("- source\n", ["flag: value"]),
        ("source: [\n", ["line 2"]),
    ],
)
def test_a_wrong_recipe_is_one_sentence_that_names_it(recipe, capsys, text, facts):
    path = recipe(text)
    sentence = refusal(capsys, path, recipe=True)
    for fact in [*facts, *([path] if "--" not in facts[0] else [])]:
        assert fact in sentence


def test_a_recipe_that_is_not_there_or_not_utf8_is_one_sentence(capsys, tmp_path):
    (tmp_path / "latin.yaml").write_bytes(b"source: \xe9\n")
    for name in ("nowhere.yaml", "latin.yaml"):
        assert str(tmp_path / name) in refusal(capsys, str(tmp_path / name), recipe=True)


def test_nothing_heavy_is_imported():
    code = "import sys, dnahub.machine.arguments, dnahub.machine.script, dnahub.machine.processes\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "transformers", "datasets", "pyarrow"} & set(loaded.stdout.split())
