"""Command line and recipe -> dataclasses."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from dnahub.machine.arguments import parse


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
    return parse("x.py", "Does x.", (Inputs, Settings), ["--source", "s", *argv], **options)


def test_flags_are_read_by_the_types_of_their_fields():
    assert settings() == (Inputs("s"), Settings())
    argv = "--columns a b --limit 3 --rate 1e-5 --pooling cls --fast Yes --slow 0 --name 010".split()
    assert settings("--fast")[1].fast is True
    assert settings(*argv) == (Inputs("s", ["a", "b"], 3), Settings(1e-5, "cls", True, False, "010"))


def test_defaults_may_be_those_of_the_script():
    assert settings(rate=0.5)[1].rate == 0.5
    assert settings("--rate", "2", rate=0.5)[1].rate == 2
    assert parse("x.py", "", (Inputs,), [], source="given")[0].source == "given"


def refusal(capsys, *argv, **options) -> str:
    with pytest.raises(SystemExit) as stop:
        parse("x.py", "Does x.", (Inputs, Settings), argv, **options)
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
    assert all(fact in sentence for fact in facts)
    with pytest.raises(ValueError, match="--rate -1"):  # which the class itself refuses
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
    path = recipe("source: '010'\nname: 'no'\nfast: on\nrate: 1e-5\nlimit: 7\ncolumns: ['1.10', 2026-01-02, '#', 1]\n")
    inputs, found = read(path)
    assert inputs == Inputs("010", ["1.10", "2026-01-02", "#", "1"], 7)
    assert found == Settings(1e-5, fast=True, name="no")
    assert read(path, "--limit", "9", "--fast", "no", "--columns", "a")[0] == Inputs("010", ["a"], 9)
    assert read(path, "--name", path, "--columns", path)[0].columns == [path]  # only the first one is the recipe
    assert read(recipe("source: '-1'\nname: --fast\n"))[1].name == "--fast"
    assert read(recipe("source: '~'\nrate: 1.0e-3\nname: c:d=e\n")) == (Inputs("~"), Settings(name="c:d=e"))


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("source: a\nsource: b\n", ["source", "twice", "line 2"]),
        *((f"source: a\nname: {value}\n", ["name", "quote it"]) for value in ("#", "~", "NULL", "''", "|")),
        *((f"source: a\nname: {value}\n", ["name", value, "quote it"]) for value in ("no", "Yes", "on", "010")),
        *((f"source: a\nname: {value}\n", ["name", "quote it"]) for value in ("*", "@", "- ", "1:30", "1.10", "a: b")),
        ("source: a\nlimit: 010\n", ["limit", "010 is 8", "quote it"]),
        ("source: a\ncolumns: []\n", ["columns", "quote it"]),
        ("source: a\ncolumns: [a, no]\n", ["columns", "no is False", "quote it"]),
        ("source: a\nfast: 010\n", ["fast", "quote it"]),
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
    assert f"{path}.yaml" in refusal(capsys, f"{path}.yaml", recipe=True)  # which does not exist
    assert all(fact in sentence for fact in [path, *facts])
