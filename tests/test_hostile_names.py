"""Names with paths, terminal escapes, HTML or formulas, in headers and classes -> harmless where they end up."""

import csv
import warnings

import pytest

import embed
import predict
import train
from dnahub.hub_code import NucleotideTransformerForSequenceClassification
from dnahub.machine.script import outcome
from dnahub.machine.text import inert
from tests.tiny_models import write_checkpoint

ESCAPE, FORMULA = "\x1b]0;title\x07", "=cmd|'/Ccalc'!A0"
RUN = [FORMULA, "@SUM(A1)", " +A(1)", "-2+3+cmd|' /C calc'!A0", "＝A(1)", "=\n[x]y!A1"]
NOT_RUN = ["-35_box", "+", "-", "-1.5", "=1", "a=b(c)", "gene (x)", ""]
IDS = ["../../escaped", "/tmp/escaped", ESCAPE, FORMULA, "@SUM(A1)", "<script>alert(1)</script>", "-35_box", "+"]
DESCRIPTION = '=HYPERLINK("http://127.0.0.1";"x") ../x'
LABELS = ["../../label", f"{FORMULA}{ESCAPE}"]


def test_only_what_a_spreadsheet_would_run_has_an_apostrophe_before_it():
    assert [inert(text) for text in RUN + NOT_RUN] == [f"'{text}" for text in RUN] + NOT_RUN


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "checkpoint"
    return write_checkpoint(folder, NucleotideTransformerForSequenceClassification, id2label=dict(enumerate(LABELS)))


@pytest.mark.parametrize(
    ("script", "name", "table"),
    [
        (predict, "out.csv", "out.csv"),
        (predict, "out.tsv", "out.tsv"),
        (embed, "out.csv", "out.csv"),
        (embed, "out.npy", "out.npy.ids.tsv"),
    ],
)
def test_names_of_records_and_classes_are_harmless_in_tables_logs_and_paths(
    tmp_path, checkpoint, capfd, script, name, table
):
    folder = tmp_path / "work" / "out"
    folder.mkdir(parents=True)
    source = folder / "in.fa"
    source.write_text("".join(f">{each} {DESCRIPTION}\nACGTACGTACGT\n" for each in IDS) + f">{FORMULA} twice\nACJT\n")
    arguments = ["--model_name_or_path", checkpoint, "--input", source, "--output", folder / name]
    status, message = outcome(lambda: script.main([*map(str, arguments), "--bad_records", "skip"]))
    assert status == 0, message
    said = "".join(capfd.readouterr()) + message
    assert not set(said) & {"\x1b", "\x07"}
    assert {path.parent for path in tmp_path.rglob("*") if path.is_file()} == {folder}

    rows = []
    for path, separator in (
        (folder / table, "\t" if table.endswith("tsv") else ","),
        (folder / f"{name}.skipped.tsv", "\t"),
    ):
        with path.open(newline="") as file:
            rows += list(csv.reader(file, delimiter=separator))
    ids = [row[0].removeprefix("'") for row in rows[1:]]
    assert ids[: len(IDS)] == IDS and f"'{FORMULA}" in rows[-1]
    assert all(cell == inert(cell) for row in rows for cell in row)


def test_a_warning_about_hostile_names_is_plain_text(monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    train.quieten()
    assert warnings.formatwarning(ESCAPE, UserWarning, "train.py", 1).strip().isprintable()


def test_an_error_about_hostile_names_is_plain_text(tmp_path, checkpoint):
    source = tmp_path / "in.fa"
    source.write_text(f">{ESCAPE}\nACJT\n")
    arguments = ["--model_name_or_path", str(checkpoint), "--input", str(source), "--output", str(tmp_path / "o.csv")]
    status, message = outcome(lambda: embed.main(arguments))
    assert status == 2 and message.isprintable() and r"\x1b" in message
