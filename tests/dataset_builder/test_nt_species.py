"""Settings -> rows: what they are, and what decides them."""

import hashlib
import json
from itertools import combinations

import numpy as np
import pytest

from dataset_builder.arguments import STRETCH_NT, Build
from dataset_builder.layout import SPLITS
from dataset_builder.nt_species import VERSION, build_splits
from dataset_builder.species import SPECIES
from tests.dataset_builder.fasta import SPECIES_NAMES, write_species

COMPLEMENT = str.maketrans("ACGT", "TGCA")
BUDGETS = {"train_per_class": 30, "validation_per_class": 5, "test_per_class": 20}


def build(**settings):
    rows, record = build_splits(Build(**settings))
    return record, {split: rows[split].to_list() for split in SPLITS}


def stretches(sequence):
    reverse = sequence.translate(COMPLEMENT)[::-1]
    return {strand[i : i + STRETCH_NT] for strand in (sequence, reverse) for i in range(len(strand) - STRETCH_NT + 1)}


def assert_splits_share_nothing(rows):
    held = {split: set().union(*[stretches(row["sequence"]) for row in rows[split]]) for split in SPLITS}
    genes = {split: {(row["label"], row["gene"]) for row in rows[split]} for split in SPLITS}
    for a, b in combinations(SPLITS, 2):
        assert not held[a] & held[b] and not genes[a] & genes[b]


def test_every_example_is_an_in_frame_window_of_its_gene(tmp_path):
    written = write_species(tmp_path / "source")
    record, rows = build(source=str(tmp_path / "source"), **BUDGETS)
    for split, budget in zip(SPLITS, BUDGETS.values(), strict=True):
        assert np.bincount([row["label"] for row in rows[split]]).tolist() == [budget] * 6
        for row in rows[split]:
            sequence = written[SPECIES_NAMES[row["label"]]][row["gene"]]
            assert row["sequence"] == sequence[row["start"] : row["start"] + 60]
            assert row["start"] % 60 == 0 and row["transcript"] == row["gene"] + ".1"
    assert_splits_share_nothing(rows)
    assert record["source"] == "folder" and not record["synthetic"] and record["bayes_optimal_accuracy"] is None
    assert max(row["start"] for row in rows["train"]) >= 600, "windows come from the whole CDS"


def test_all_windows_takes_all_windows_of_all_genes(tmp_path):
    written = write_species(tmp_path / "source")
    record, rows = build(source=str(tmp_path / "source"), all_windows=True)
    there = {name: sum(len(sequence) // 60 for sequence in genes.values()) for name, genes in written.items()}
    taken = np.bincount([row["label"] for split in SPLITS for row in rows[split]])
    assert dict(zip(SPECIES_NAMES, taken.tolist(), strict=True)) == there
    assert [record["classes"][0]["splits"][split]["genes"] for split in SPLITS] == [32, 4, 4]
    assert record["windows_per_class"] is None


def test_leaks_and_duplicates_are_removed_and_replaced_and_counted(tmp_path):
    written = write_species(tmp_path / "source", num_genes=60)
    human = list(written["Homo sapiens"].values())
    repeated = "".join(f">gene{i} t{i}\n{human[i % 8]}\n" for i in range(40))  # the same eight genes, five times over
    (tmp_path / "source" / "Homo_sapiens.fa").write_text(
        repeated + "".join(f">h{i} t\n{sequence}\n" for i, sequence in enumerate(human))
    )
    mouse = tmp_path / "source" / "Mus_musculus.fa"
    shifted = "".join(f">shifted{i} t\nATGGCT{sequence[3:]}\n" for i, sequence in enumerate(human[30:]))
    mouse.write_text(mouse.read_text() + f">same_as_human t\n{human[20]}\n{shifted}")
    record, rows = build(source=str(tmp_path / "source"), all_windows=True)
    assert_splits_share_nothing(rows)
    counts = record["classes"][0]["splits"]
    assert counts["train"]["leaks"] > 0 and sum(count["duplicates"] for count in counts.values()) > 0
    relatives = record["classes"][0]["relatives"]
    assert (relatives["genes"], relatives["groups"], relatives["largest_group"]) == (48, 8, 6)
    split_of = {row["gene"]: split for split in SPLITS for row in rows[split] if row["label"] == 0}
    for i in range(8):
        assert (
            len(
                {
                    split
                    for gene, split in split_of.items()
                    if gene in {f"h{i}", *[f"gene{i + 8 * j}" for j in range(5)]}
                }
            )
            == 1
        )
    for split in SPLITS:
        of = counts[split]
        assert of["kept"] == of["examined"] - of["leaks"] - of["duplicates"]
        assert len({row["sequence"] for row in rows[split]}) == len(rows[split])
    ambiguous = len(human[20]) // 60
    assert [species["ambiguous_windows"] for species in record["classes"]] == [ambiguous, ambiguous, 0, 0, 0, 0]
    assert not {row["gene"] for split in SPLITS for row in rows[split]} & {"same_as_human", "h20"}


def test_the_seed_and_nothing_else_decides(tmp_path):
    write_species(tmp_path / "source")
    source = str(tmp_path / "source")
    _, first = build(source=source, **BUDGETS)
    for species in SPECIES:  # the same genes, in another order
        path = tmp_path / "source" / f"{species.prefix}.fa"
        path.write_text("".join(f">{record}" for record in reversed(path.read_text().split(">")[1:])))
    _, reordered = build(source=source, **BUDGETS)
    _, other = build(source=source, seed=43, **BUDGETS)
    assert first == reordered
    assert all(first[split] != other[split] for split in SPLITS)


def test_the_rows_of_the_six_species_are_those_of_this_version(tmp_path):
    """The digests change with every change of the rows, which raises VERSION."""
    write_species(tmp_path / "source")
    human = tmp_path / "source" / "Homo_sapiens.fa"
    text = human.read_text()
    human.write_text(text + "".join(f">copy-{record}" for record in text.split(">")[1:20]))
    source = str(tmp_path / "source")
    digests = []
    for settings in (
        {"source": "synthetic", **BUDGETS},
        {"source": source, **BUDGETS},
        {"source": source, "all_windows": True, "whole_genes": True},
    ):
        _, rows = build(**settings)
        digests.append(hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16])
    assert (VERSION, digests) == ("1.2.0", ["baeb6b8b20e15976", "898cfe25f58bb483", "3ead329bd3701b4b"])


def test_too_few_windows_or_genes_are_an_error_that_names_the_species(tmp_path):
    write_species(tmp_path / "source", num_genes=10)
    with pytest.raises(ValueError) as caught:
        build(source=str(tmp_path / "source"), **BUDGETS | {"train_per_class": 5000})
    assert "60 nt" in str(caught.value) and "Homo sapiens, train: 5000" in str(caught.value)

    (tmp_path / "source" / "Mus_musculus.fa").write_text(">a\nATG" + "GCT" * 30 + "TAA\n")
    with pytest.raises(ValueError, match="Mus musculus .*1 "):
        build(source=str(tmp_path / "source"), **BUDGETS)


@pytest.mark.parametrize("window_nt", [30, 300])
def test_other_windows_can_be_built(window_nt):
    record, rows = build(source="synthetic", window_nt=window_nt, **BUDGETS)
    assert 0.3 < record["bayes_optimal_accuracy"] <= 1 and len({row["label"] for row in rows["train"][:30]}) > 3
    assert {len(row["sequence"]) for split in SPLITS for row in rows[split]} == {window_nt}
    assert_splits_share_nothing(rows)
