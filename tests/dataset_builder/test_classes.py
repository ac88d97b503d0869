"""--classes files: a folder of FASTA files -> windows labelled by file, against plain loops over its records."""

import gzip
import json
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from datasets import load_dataset
from huggingface_hub import DatasetCard

from dataset_builder.__main__ import main, summary
from dataset_builder.arguments import Build, Publishing
from dataset_builder.cds import CDS
from dataset_builder.folder import write_folder
from dataset_builder.layout import SPLITS
from dataset_builder.relatives import group_records
from dataset_builder.sources import class_files
from dataset_builder.windows import assign_groups
from dnahub.machine.arguments import parse
from dnahub.machine.script import outcome
from tests.dataset_builder.fasta import reverse_complement, write_classes
from tests.dataset_builder.test_nt_species import assert_splits_share_nothing, build

NAMES = ["host", "phage"]
SMALL = {"train_per_class": 60, "validation_per_class": 10, "test_per_class": 40}
SMALL_FLAGS = [f"--{name}={value}" for name, value in SMALL.items()]


@pytest.fixture
def source(tmp_path):
    return tmp_path / "source"


def build_files(source, **settings):
    return build(source=str(source), classes="files", **settings)


def strand_of(sequence):
    return min(sequence, reverse_complement(sequence))


def assert_groups_are_in_one_split(rows):
    """By the named genes, of either class, and the relatives that `write_classes` made."""
    split_of_gene = {}
    for split in SPLITS:
        for row in rows[split]:
            assert split_of_gene.setdefault(row["gene"], split) == split
    assert len({split_of_gene[gene] for gene in ("h2", "h3") if gene in split_of_gene}) == 1


@pytest.mark.parametrize("settings", [{"all_windows": True}, SMALL, SMALL | {"window_nt": 61}], ids=str)
def test_windows_are_at_their_places_and_splits_share_nothing_and_counts_add_up(source, settings):
    written = write_classes(source)
    window_nt = settings.get("window_nt", 60)
    record, rows = build_files(source, **settings)
    assert [each["name"] for each in record["classes"]] == NAMES and record["source"] == "files"
    for split in SPLITS:
        for row in rows[split]:
            gene, sequence = written[NAMES[row["label"]]][row["transcript"]]
            assert row["gene"] == gene and row["start"] % window_nt == 0
            assert row["sequence"] == sequence[row["start"] : row["start"] + window_nt] and "N" not in row["sequence"]
            assert len(row["sequence"]) == window_nt
        labelled = [(row["label"], strand_of(row["sequence"])) for row in rows[split]]
        assert len(set(labelled)) == len(labelled)
    assert_splits_share_nothing(rows)
    assert_groups_are_in_one_split(rows)

    tiles = {
        name: [
            sequence[start : start + window_nt]
            for _, sequence in records.values()
            for start in range(0, len(sequence) - window_nt + 1, window_nt)
        ]
        for name, records in written.items()
    }
    in_both = set.intersection(*({strand_of(tile) for tile in of} for of in tiles.values()))
    assert in_both and not in_both & {strand_of(row["sequence"]) for split in SPLITS for row in rows[split]}
    for label, name in enumerate(NAMES):
        each = record["classes"][label]
        plain = [tile for tile in tiles[name] if "N" not in tile]
        assert each["windows_with_other_letters"] == len(tiles[name]) - len(plain) == (name == "phage")
        assert each["ambiguous_windows"] == sum(strand_of(tile) in in_both for tile in plain)
        counts = each["splits"]
        assert sum(of["candidates"] for of in counts.values()) == len(plain) - each["ambiguous_windows"]
        for split, of in counts.items():
            assert of["kept"] == of["examined"] - of["duplicates"] - of["leaks"]
            assert of["kept"] == sum(row["label"] == label for row in rows[split])
        assert each["origin"]["records"] == 121 and each["origin"]["skipped"] == {"shorter than a window": 1}
        assert each["genes"] == sum(of["genes"] for of in counts.values()) == 120
    assert record["classes"][0]["relatives"] == {"genes": 2, "groups": 1, "largest_group": 2}
    assert record["classes"][1]["relatives"] == {"genes": 120, "groups": 40, "largest_group": 3}
    if "all_windows" in settings:
        assert sum(of["leaks"] for each in record["classes"] for of in each["splits"].values()) > 0
    else:
        assert {split: np.bincount([row["label"] for row in rows[split]]).tolist() for split in SPLITS} == {
            split: [SMALL[f"{split}_per_class"]] * 2 for split in SPLITS
        }


@pytest.mark.parametrize("settings", [{"all_windows": True}, SMALL], ids=str)
def test_whole_records_share_no_stretch_with_other_splits_and_no_window_with_another_class(source, settings):
    written = write_classes(source)
    _, windows = build_files(source, **settings)
    record, rows = build_files(source, whole_genes=True, **settings)
    assert rows["validation"] == windows["validation"] and rows["test"] == windows["test"]
    assert_splits_share_nothing(rows)
    assert_groups_are_in_one_split(rows)
    classes_of = {name: set() for name in NAMES}
    for name, records in written.items():
        for _, sequence in records.values():
            classes_of[name] |= {strand_of(sequence[i : i + 60]) for i in range(len(sequence) - 59)}
    in_train = Counter()
    for row in rows["train"]:
        _, sequence = written[NAMES[row["label"]]][row["transcript"]]
        assert row["sequence"] == sequence[row["start"] : row["start"] + len(row["sequence"])]
        assert len(row["sequence"]) >= 60 and "N" not in row["sequence"]
        in_train.update(strand_of(row["sequence"][i : i + 60]) for i in range(len(row["sequence"]) - 59))
    assert max(in_train.values()) == 1 and not in_train.keys() & (classes_of["host"] & classes_of["phage"])
    assert {len(row["sequence"]) % 3 for row in rows["train"]} == {0, 1, 2}
    for label, each in enumerate(record["classes"]):
        counts, of_train = each["splits"]["train"], [row for row in rows["train"] if row["label"] == label]
        assert counts["kept"] == len(of_train) and counts["nt_kept"] == sum(len(row["sequence"]) for row in of_train)
        assert counts["nt"] == counts["nt_kept"] + sum(counts["nt_left_out"].values())
        assert counts["genes"] - counts["genes_lost"] == len({row["transcript"] for row in of_train})


def test_the_order_of_the_records_does_not_matter_and_the_seed_does(source):
    write_classes(source)
    _, first = build_files(source, **SMALL)
    text = (source / "phage.fa").read_text()
    (source / "phage.fa").write_text("".join(f">{record}" for record in reversed(text.split(">")[1:])))
    assert build_files(source, **SMALL)[1] == first
    other = build_files(source, seed=43, **SMALL)[1]
    assert all(first[split] != other[split] for split in SPLITS)


def test_a_gene_pattern_makes_the_groups(source):
    write_classes(source)
    record, rows = build_files(source, gene_pattern=r"^[a-z-]*?(\d|short)", all_windows=True)
    assert {row["gene"] for split in SPLITS for row in rows[split]} == set("0123456789")
    genes = [{row["gene"] for row in rows[split]} for split in SPLITS]
    assert not any(a & b for a, b in combinations(genes, 2))
    assert [each["origin"]["header_form"] for each in record["classes"]] == ["--gene_pattern"] * 2


@pytest.mark.parametrize("shift", [0, 1, 2, 10])
@pytest.mark.parametrize("turn", [str, reverse_complement])
def test_relatives_are_found_in_any_frame_and_on_either_strand_of_one_class(shift, turn):
    draw = np.random.default_rng(shift)
    texts = ["".join(draw.choice(list("ACGT"), size=200 + shift)) for _ in range(12)]
    records = [CDS(f"r{i}", f"r{i}", text) for i, text in enumerate(texts)]
    copies = [CDS(f"c{i}", f"c{i}", turn("T" * shift + text[7:])) for i, text in enumerate(texts)]
    groups = group_records([records + copies, copies]).tolist()
    assert groups[:12] == groups[12:24] and len(set(groups)) == 24

    named = [CDS("g", "a", texts[0], "g"), CDS("x", "b", texts[1]), CDS("x", "c", texts[2])]
    first, second, third, *others = group_records([named, [CDS("g", "d", texts[3], "g"), CDS("x", "e", texts[4])]])
    assert second == third and others[0] == first and len({first, second, others[1]}) == 3


def test_groups_stay_whole_and_every_class_has_its_fractions_of_the_records():
    rng = np.random.default_rng(0)
    groups = np.concatenate([np.repeat(np.arange(60), 5), 100 + np.arange(200), np.full(150, 999)])
    labels = np.concatenate(
        [
            rng.integers(0, 2, 300),
            np.repeat([0, 1], 100),
            np.full(150, 2),
        ]
    )
    groups, labels = np.append(groups, [1000, 1001]), np.append(labels, [2, 2])
    splits = assign_groups(groups, labels, [0.8, 0.1, 0.1], rng)
    assert all(len(set(splits[groups == group].tolist())) == 1 for group in set(groups.tolist()))
    for label in (0, 1):
        counts = np.bincount(splits[labels == label], minlength=3)
        assert np.abs(counts / counts.sum() - [0.8, 0.1, 0.1]).max() < 0.03
    assert splits[groups == 999][0] == 0 and set(splits[labels == 2].tolist()) == {0, 1, 2}


def test_the_folder_card_and_summary_are_about_classes_and_not_about_species(source, tmp_path):
    write_classes(source)
    (source / "phage.fa").rename(source / "phage_*|1.fa")
    names = ["host", "phage_*|1"]
    settings = {"source": str(source), "classes": "files", "window_nt": 70, "license": "cc-by-4.0", **SMALL}
    record = write_folder(Build(output_dir=str(tmp_path / "out"), **settings))
    assert json.loads((tmp_path / "out" / "build.json").read_text()) == record
    for each in record["classes"]:
        assert not each.keys() & {"codons", "gc3", "common_name", "genetic_code"}
    loaded = load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert loaded["train"].column_names == ["sequence", "label", "gene", "transcript", "start"]
    assert loaded["train"].features["label"].names == names

    card = DatasetCard((tmp_path / "out" / "README.md").read_text())
    assert card.data.license == "cc-by-4.0" and "coding-sequence" not in card.data.tags
    for word in ("species", "coding", "codon usage", "Ensembl", "in-frame", "in frame", "CDS", "GC3", "None", "{{"):
        assert word not in card.content, word
    (command,) = [line for line in card.text.splitlines() if line.startswith("python -m dataset_builder")]
    parsed = parse("", "", (Build, Publishing), command.split()[3:])[0]
    assert parsed == Build(**settings | {"source": "DIR"})
    host = record["classes"][0]
    for line in (
        r"| phage\_\*\|1 | 60 | 10 | 40 | 120 |",
        "| host | 121 | 1 | 120 |",
        "| host | WormBase, gffread or AGAT | 121 | 1.00 | 120 |",
        "| host | 2 | 1 | 2 |",
        f"| host | {host['gc']:.3f} |",
    ):
        assert line in card.text.splitlines(), line
    text = summary(record, tmp_path)
    assert "120 of 121 headers name no gene" in text and "2 records were skipped" in text
    assert "122 of 240 records" in text and "species" not in text


def test_classes_are_published_in_a_repository_of_their_own(hub, call, source, tmp_path):
    write_classes(source)
    flags = ["--push_to_hub", "--hub_dataset_id", "user/phages", *SMALL_FLAGS]
    for name, more in (("windows", []), ("records", ["--whole_genes"])):
        arguments = ["--source", source, "--classes", "files", *flags, *more, "--output_dir", hub.folder / name]
        done = call(main, *arguments, api=hub.api(hub.user))
        assert done.returncode == 0, done.stderr
    card = DatasetCard(hub.server.read("datasets", "user/phages", "README.md").decode())
    assert [config["config_name"] for config in card.data.configs] == ["default", "genes"]
    assert "same validation and test windows" in card.text and "species" not in card.content
    records, windows = (load_dataset("user/phages", name, cache_dir=str(tmp_path)) for name in ("genes", "default"))
    assert records["train"].features["label"].names == NAMES and len(windows["train"]) == 120
    assert all(records[split].to_list() == windows[split].to_list() for split in ("validation", "test"))
    done = call(main, "--source", "synthetic", *flags, "--output_dir", tmp_path / "s", api=hub.api(hub.user))
    assert done.returncode == 2 and "'files'" in done.stderr and "'synthetic'" in done.stderr
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("names", "facts"),
    [
        (["a.fa"], ["1 FASTA files", "at least two"]),
        (["a.fa", "b.txt"], ["1 FASTA files"]),
        (["a.fa", "b.fa", "b.fasta.gz"], ["b.fa", "b.fasta.gz", "'b'"]),
        (["a.fa", "b\tc.fa"], [r"'b\tc'"]),
        (["a.fa", "b\x1b[31m.fa"], [r"'b\x1b[31m'"]),
        (["a.fa", "b\udce9.fa"], [r"'b\udce9'"]),
        (["a.fa", ".fa"], ["''"]),
        (["a.fa", "b .fna"], ["'b '"]),
    ],
)
def test_files_that_make_no_classes_are_an_error(tmp_path, names, facts):
    for name in names:
        (tmp_path / name).write_text(">a\nACGT\n")
    with pytest.raises(ValueError) as caught:
        class_files(tmp_path)
    assert all(fact in str(caught.value) for fact in (*facts, str(tmp_path)))


def test_names_of_classes_are_sorted_and_lose_the_suffix_alone(tmp_path):
    for name in ("b.2.fa", "a-1.fasta.gz", "B.fna", "a.fa.gz", "notes.md"):
        (tmp_path / name).touch()
    (tmp_path / "folder.fa").mkdir()
    assert {name: path.name for name, path in class_files(tmp_path).items()} == {
        "B": "B.fna",
        "a": "a.fa.gz",
        "a-1": "a-1.fasta.gz",
        "b.2": "b.2.fa",
    }
    assert list(class_files(tmp_path)) == ["B", "a", "a-1", "b.2"]


DNA = "ACGTTGCATTACGGATCCATGCAAGTCCGATTAGCCATACGGTTAACCGTAGCTAAGTCCATG"


@pytest.mark.parametrize(
    ("text", "flags", "facts"),
    [
        ("", [], ["phage.fa", "empty"]),
        (">a\nACGTX\n", [], ["phage.fa", "record 1 (a)", "'X'"]),
        (">a\nACGT\n", [], ["phage.fa", "none of 1 records has 60 nt"]),
        (f">a\n{DNA}\n>b\n{DNA}\n", [], ["phage has 2 records, 1 of them unrelated"]),
        (None, ["--train_per_class", "5000"], ["host, train: 5000 windows of 60 nt", "records"]),
        (None, ["--gene_pattern", "nothing=(.)"], ["'nothing=(.)' matches no header"]),
        (None, ["--window_nt", "29"], ["--window_nt 29", "30"]),
        (None, ["--species_file", "x.yaml"], ["--species_file", "--classes files"]),
        (None, ["--source", "synthetic"], ["--classes files", "synthetic"]),
        (None, ["--source", "nowhere"], ["nowhere"]),
    ],
)
def test_what_cannot_be_built_is_one_sentence_and_leaves_nothing_behind(source, tmp_path, text, flags, facts):
    write_classes(source)
    if text is not None:
        (source / "phage.fa").write_text(text)
    command = ["--source", source, "--classes", "files", "--output_dir", tmp_path / "out", *flags]
    status, sentence = outcome(lambda: main([str(word) for word in command]))
    assert status == 2 and all(fact in sentence for fact in facts), sentence
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_class_whose_genes_another_class_has_mostly_is_an_error_where_a_split_gets_none(source):
    source.mkdir()
    draw = np.random.default_rng(0)
    genes = {"a": {"x": 60, "y": 30, "z": 30, "b0": 10, "b1": 10, "b2": 10, **{f"a{i}": 1 for i in range(50)}}}
    genes["b"] = {"b0": 1, "b1": 1, "b2": 1}
    for name, counts in genes.items():
        headers = [f">{name}{gene}{i} gene={gene}" for gene, count in counts.items() for i in range(count)]
        text = "".join(f"{header}\n{''.join(draw.choice(list('ACGT'), size=90))}\n" for header in headers)
        (source / f"{name}.fa").write_text(text)
    with pytest.raises(ValueError, match="b: its records share too many genes"):
        build_files(source, all_windows=True)


def test_gzip_and_lower_case_and_u_are_read(source):
    write_classes(source)
    _, first = build_files(source, **SMALL)
    lines = (source / "phage.fa").read_text().splitlines()
    soft = "\n".join(line if line.startswith(">") else line.lower().replace("t", "u") for line in lines)
    (source / "phage.fa.gz").write_bytes(gzip.compress(soft.encode()))
    (source / "phage.fa").unlink()
    assert build_files(source, **SMALL)[1] == first
