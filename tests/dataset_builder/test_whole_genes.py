"""dataset_builder --whole_genes -> whole genes in train, less what another split or species, or train itself, has."""

import os
import random
from collections import Counter

import numpy as np
import pytest
from datasets import load_dataset
from huggingface_hub import DatasetCard

from dataset_builder.__main__ import main, summary
from dataset_builder.arguments import Build, Publishing
from dataset_builder.cds import CDS
from dataset_builder.folder import write_folder
from dataset_builder.whole_genes import REASONS, cut_genes
from dataset_builder.windows import canonical_stretches
from dnahub.machine.arguments import parse
from tests.dataset_builder.fasta import SPECIES_NAMES, write_species
from tests.dataset_builder.test_nt_species import BUDGETS, COMPLEMENT, build, stretches


def both_strands(sequence):
    return {sequence, sequence.translate(COMPLEMENT)[::-1]}


def assert_whole_genes(record, rows, windows, window_nt=60):
    """By plain sets of strings, of all rows."""
    assert rows["validation"] == windows["validation"] and rows["test"] == windows["test"]
    held = set().union(*(stretches(row["sequence"]) for split in ("validation", "test") for row in rows[split]))
    in_frame = Counter()
    for row in rows["train"]:
        sequence = row["sequence"]
        assert not set(sequence) - set("ACGT") and len(sequence) % 3 == row["start"] % 3 == 0
        assert len(sequence) >= window_nt
        assert not any(sequence[i : i + 30] in held for i in range(len(sequence) - 29))
        for start in range(0, len(sequence) - window_nt + 1, 3):
            in_frame[min(both_strands(sequence[start : start + window_nt]))] += 1
    assert max(in_frame.values()) == 1
    for label, species in enumerate(record["classes"]):
        of_train = [row for row in rows["train"] if row["label"] == label]
        counts = species["splits"]["train"]
        assert counts["kept"] == len(of_train)
        assert counts["nt_kept"] == sum(len(row["sequence"]) for row in of_train)
        assert counts["nt"] == counts["nt_kept"] + sum(counts["nt_left_out"].values())
        assert counts["genes"] - counts["genes_lost"] == len({row["gene"] for row in of_train})


@pytest.mark.parametrize("settings", [BUDGETS, {"all_windows": True}, BUDGETS | {"window_nt": 99}], ids=str)
def test_train_are_whole_genes_and_validation_and_test_the_same_windows(tmp_path, settings):
    written = write_species(tmp_path / "source", num_genes=60)
    source = str(tmp_path / "source")
    _, windows = build(source=source, **settings)
    record, rows = build(source=source, whole_genes=True, **settings)
    assert_whole_genes(record, rows, windows, settings.get("window_nt", 60))
    genes = {split: {(row["label"], row["gene"]) for row in rows[split]} for split in rows}
    assert not genes["train"] & (genes["validation"] | genes["test"])
    assert {(row["label"], row["gene"]) for row in windows["train"]} <= genes["train"]
    for row in rows["train"]:  # random genes share nothing
        assert row["start"] == 0 and row["sequence"] == written[SPECIES_NAMES[row["label"]]][row["gene"]]


def slow_cut(genes, in_train, held, window_nt, step=3):
    """Letter by letter, with sets of strings."""
    in_species = Counter()
    for species in genes:
        in_species.update({window for _, _, window in in_frame_windows(species, window_nt, step)})
    found = []
    for species, chosen in zip(genes, in_train, strict=True):
        rows, left_out, before = [], Counter(), set()
        cuts = {reason: set() for reason in REASONS}
        for number in (number for number, is_chosen in enumerate(chosen) if is_chosen):
            sequence = species[number].sequence
            cuts["other_letters"] |= {(number, i) for i, letter in enumerate(sequence) if letter not in "ACGT"}
            for start in range(len(sequence) - 29):
                if both_strands(sequence[start : start + 30]) & held:
                    cuts["leaks"] |= {(number, start + i) for i in range(30)}
            for _, start, window in in_frame_windows([species[number]], window_nt, step):
                reason = "ambiguous" if in_species[window] > 1 else "repeated" if window in before else None
                before.add(window)
                if reason:
                    cuts[reason] |= {(number, start + i) for i in range(window_nt)}
            steps = [
                all((number, start + i) not in places for i in range(step) for places in cuts.values())
                for start in range(0, len(sequence), step)
            ]
            row = []
            for start, good in enumerate([*steps, False]):
                if good:
                    row.append(start)
                elif row:
                    stretch = (number, step * row[0], step * row[-1] + step)
                    rows += [stretch] if step * len(row) >= window_nt else []
                    row = []
        for place in set().union(*cuts.values()):
            left_out[next(reason for reason in REASONS if place in cuts[reason])] += 1
        found.append((rows, left_out))
    return found


def in_frame_windows(genes, window_nt, step):
    for number, cds in enumerate(genes):
        for start in range(0, len(cds.sequence) - window_nt + 1, step):
            window = cds.sequence[start : start + window_nt]
            if not set(window) - set("ACGT"):
                yield number, start, min(both_strands(window))


@pytest.mark.parametrize("step", [3, 1])
@pytest.mark.parametrize("seed", range(6))
def test_what_is_cut_out_is_what_a_plain_loop_cuts_out(seed, step, monkeypatch):
    """Of genes in which pieces of other genes, splits and species, of either strand and in any frame, are inserted."""
    monkeypatch.setattr("dataset_builder.whole_genes.CHUNK_STRETCHES", 700)  # a few genes at a time
    rng = random.Random(seed)
    window_nt = (30, 45, 60, 66, 99)[seed % 5]
    pieces = ["".join(rng.choices("ACGT", k=rng.choice([29, 30, 31, 59, 60, 90, 130]))) for _ in range(9)]
    pieces += [piece.translate(COMPLEMENT)[::-1] for piece in pieces] + ["N", "R", "ACG" * 30]
    genes = []
    for _ in range(3):
        genes.append([])
        for gene in range(12):
            parts = ["".join(rng.choices("ACGT", k=rng.randrange(90))) for _ in range(4)]
            parts[1:1], parts[3:3] = rng.choices(pieces, k=1), rng.choices(pieces, k=gene % 2)
            sequence = "".join(parts) + "ACGTTGCA" * 13
            genes[-1].append(CDS(f"g{gene}", "t", sequence[: len(sequence) // step * step]))
    in_train = [np.array([rng.random() < 0.7 for _ in of]) for of in genes]
    held = set().union(*(stretches(piece) for piece in pieces[:3]))
    sorted_held = np.unique(canonical_stretches(np.array([piece.encode() for piece in held])))

    rows, counts = cut_genes(genes, in_train, sorted_held, window_nt, step)

    expected = slow_cut(genes, in_train, held, window_nt, step)
    assert sum(of["genes_cut"] for of in counts) > 9 and sum(of["kept"] for of in counts) > 9
    for of_rows, count, (slow_rows, left_out) in zip(rows, counts, expected, strict=True):
        assert list(map(tuple, of_rows.tolist())) == slow_rows
        assert {reason: count["nt_left_out"][reason] for reason in REASONS[:-1]} == {
            reason: left_out[reason] for reason in REASONS[:-1]
        }
        assert count["nt_kept"] == sum(stop - start for _, start, stop in slow_rows)


def test_a_species_whose_genes_are_all_in_another_is_an_error(tmp_path):
    write_species(tmp_path / "source")
    human = (tmp_path / "source" / "Homo_sapiens.fa").read_text()
    wanted = {">" + record for record in human.split(">")[1:]}
    mouse = tmp_path / "source" / "Mus_musculus.fa"
    mouse.write_text(mouse.read_text() + "".join(record.replace(">", ">h") for record in wanted))
    with pytest.raises(ValueError, match="Homo sapiens"):
        build(source=str(tmp_path / "source"), all_windows=True, whole_genes=True)


@pytest.mark.real_data
def test_real_genes_share_no_stretch_with_other_splits():
    if not os.environ.get("NT_CDS_DIR"):
        pytest.skip("NT_CDS_DIR is not set")
    settings = {"train_per_class": 20, "test_per_class": 200, "whole_genes": True}
    record, rows = build(source=os.environ["NT_CDS_DIR"], **settings)
    assert_whole_genes(record, rows, rows)
    for species in record["classes"]:
        counts = species["splits"]["train"]
        assert counts["nt_kept"] > 0.95 * counts["nt"], species["name"]


def test_the_folder_is_a_configuration_of_its_own_and_card_and_summary_say_what_was_left_out(tmp_path):
    write_species(tmp_path / "source")
    flags = {"source": str(tmp_path / "source"), **BUDGETS}
    record = write_folder(Build(output_dir=str(tmp_path / "out"), whole_genes=True, **flags))
    assert record["config_name"] == "genes" and record["whole_genes"] is True
    card = DatasetCard((tmp_path / "out" / "README.md").read_text())
    (config,) = card.data.to_dict()["configs"]
    assert config["config_name"] == "genes" and config["description"].startswith("whole genes in train, windows of 60")
    counts = record["classes"][0]["splits"]["train"]
    nt = counts["nt"]
    assert (
        f"| *Homo sapiens* | {counts['genes']} | 0 | 0 | {nt} | 0 | 0 | 0 | 0 | 0 | 0.00 % | {counts['kept']} |"
        in card.text
    )
    assert "| *Homo sapiens* | train |" not in card.text and "| *Homo sapiens* | test | 20 |" in card.text
    (command,) = [line for line in card.text.splitlines() if line.startswith("python -m dataset_builder")]
    assert " --whole_genes" in command and "--config_name" not in command
    assert parse("", "", (Build, Publishing), command.split()[3:])[0] == Build(
        **flags | {"source": "DIR"}, whole_genes=True
    )
    assert f"whole genes: {sum(of['splits']['train']['genes'] for of in record['classes'])}" in summary(
        record, tmp_path
    )
    rows = load_dataset(str(tmp_path / "out"), "genes", cache_dir=str(tmp_path / "cache"))
    assert rows["train"].features == rows["test"].features and max(map(len, rows["train"]["sequence"])) > 60
    with pytest.raises(ValueError, match="default"):
        load_dataset(str(tmp_path / "out"), "default", cache_dir=str(tmp_path / "cache"))


def test_it_is_published_and_loaded_beside_the_windows_of_the_same_splits(hub, call, tmp_path):
    flags = ["--source", "synthetic", "--train_per_class=20", "--validation_per_class=5", "--test_per_class=10"]
    flags += ["--push_to_hub", "--hub_dataset_id", "user/nt-species"]
    for name, more in (("windows", []), ("genes", ["--whole_genes"])):
        done = call(main, *flags, *more, "--output_dir", hub.folder / name, api=hub.api(hub.user))
        assert done.returncode == 0, done.stderr
    assert '"genes", revision=' in done.stdout
    card = DatasetCard(hub.server.read("datasets", "user/nt-species", "README.md").decode())
    assert [config["config_name"] for config in card.data.configs] == ["default", "genes"]
    assert "same validation and test windows" in card.text and "built independently" not in card.text
    assert "In-frame windows of 60 nt from" in card.text
    genes, windows = (load_dataset("user/nt-species", name, cache_dir=str(tmp_path)) for name in ("genes", "default"))
    assert min(map(len, genes["train"]["sequence"])) >= 300 and len(windows["train"]) == 120
    assert all(genes[split].to_list() == windows[split].to_list() for split in ("validation", "test"))
