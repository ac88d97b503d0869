"""The table of species; its files from an Ensembl-like server on 127.0.0.1, checked and cached; folders of files."""

import gzip
import hashlib
import http.server
import shutil
import threading
from dataclasses import asdict, replace
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

import datasets
import pytest
import yaml
from huggingface_hub import DatasetCard

from dataset_builder.arguments import Build, Publishing
from dataset_builder.ensembl import bsd_sum, fetch
from dataset_builder.folder import write_folder
from dataset_builder.nt_species import build_splits
from dataset_builder.sources import species_files
from dataset_builder.species import SPECIES, Species, read_species
from dnahub.machine.arguments import parse
from tests.dataset_builder.fasta import write_species


def file_name(species: Species) -> str:
    return species.address.rpartition("/")[2]


def test_names_of_files_are_those_of_ensembl():
    assert [file_name(species).removesuffix(".cds.all.fa.gz") for species in SPECIES] == [
        "Homo_sapiens.GRCh38",
        "Mus_musculus.GRCm39",
        "Drosophila_melanogaster.BDGP6.46",
        "Arabidopsis_thaliana.TAIR10",
        "Escherichia_coli_gca_001606525.ASM160652v1",
        "Saccharomyces_cerevisiae.R64-1-1",
    ]
    for species in SPECIES:
        assert f"/release-{species.release.split()[-1]}/" in species.address
        assert fnmatch(file_name(species), species.pattern) and f".{species.assembly}." in file_name(species)
        folder = species.address.split("/")[-3:-1]
        assert folder == [file_name(species).removesuffix(f".{species.assembly}.cds.all.fa.gz").lower(), "cds"]


@pytest.mark.parametrize(
    ("data", "printed"),  # by `sum -r` of GNU coreutils 9.1
    [(b"", "00000 0"), (b"a", "00097 1"), (b"hello world\n", "03762 1"), (bytes(range(256)) * 5, "02560 2")],
)
def test_the_bsd_checksum_of_known_inputs(data, printed):
    assert bsd_sum(data) == printed


class EnsemblServer:
    """Serves `root`, a folder per species with its CDS file and CHECKSUMS; `fetched` are the names asked for."""

    def __init__(self, root: Path):
        self.root, self.fetched = root, fetched = root, []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self):
                fetched.append(self.path.rpartition("/")[2])
                super().do_GET()

            def log_message(self, *arguments):
                """The log is `fetched`."""

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=root))
        self.host = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def put(self, species, content, checksum=None):
        path = self.root / species.address.removeprefix(self.host).removeprefix("/")
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        (path.parent / "CHECKSUMS").write_text(f"1 9 Other.fa.gz\n{checksum or bsd_sum(content)} {path.name}\n")

    def here(self, species):
        """The species, at this server's address."""
        return replace(species, address=f"{self.host}/{species.address.partition('/pub/')[2]}")


@pytest.fixture
def server(monkeypatch, tmp_path):
    # The suite runs offline; datasets reads this switch whenever it fetches.
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    server = EnsemblServer(tmp_path / "ensembl")
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def yeast(server):
    return server.here(SPECIES[-1])


@pytest.fixture
def dl_manager(tmp_path):
    config = datasets.DownloadConfig(cache_dir=tmp_path / "downloads", use_etag=False)
    return datasets.DownloadManager(download_config=config)


CONTENT = bytes(range(256)) * 20


def test_a_build_from_ensembl_fetches_every_file_once_for_all_builds(server, tmp_path, monkeypatch):
    species_there = [server.here(species) for species in SPECIES]
    write_species(tmp_path / "fasta")
    for species in species_there:
        server.put(species, gzip.compress((tmp_path / "fasta" / f"{species.prefix}.fa").read_bytes()))
    monkeypatch.setattr("dataset_builder.nt_species.SPECIES", species_there)
    monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", tmp_path / "downloads")
    ensembl = {"source": "ensembl", "train_per_class": 20, "validation_per_class": 5, "test_per_class": 10}

    build = write_folder(Build(output_dir=str(tmp_path / "first"), **ensembl))
    assert sorted(server.fetched) == sorted(["CHECKSUMS"] * 6 + [file_name(species) for species in SPECIES])
    again = write_folder(Build(output_dir=str(tmp_path / "second"), **ensembl))
    assert len(server.fetched) == 12 and again == build

    card = (tmp_path / "first" / "README.md").read_text()
    for species, entry in zip(species_there, build["classes"], strict=True):
        path, origin = species.address, entry["origin"]
        content = Path(path.replace(server.host, str(server.root))).read_bytes()
        assert origin["sha256"] == hashlib.sha256(content).hexdigest() and origin["checksum"] == bsd_sum(content)
        for part in (path, species.release, species.assembly, origin["checksum"], origin["sha256"]):
            assert part in card
    assert DatasetCard(card).data.license_name == "ensembl-and-embl-ebi-terms-of-use"
    monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", tmp_path / "other downloads")
    shutil.rmtree(server.root)
    with pytest.raises(OSError, match=server.host):
        write_folder(Build(output_dir=str(tmp_path / "third"), **ensembl))
    assert not (tmp_path / "third").exists() and not list(tmp_path.glob(".third*"))


def write_table(path: Path, *species: Species) -> Path:
    entries = [{name: str(value) for name, value in asdict(each).items() if value not in ("", 1)} for each in species]
    path.write_text(yaml.safe_dump(entries, sort_keys=False))
    return path


def test_another_table_builds_other_species_from_ensembl(server, tmp_path, monkeypatch):
    """A bacterium in a collection, whose file has another name, and a vertebrate."""
    terms = {"licence": "terms | of use", "licence_address": "https://example.org/terms"}
    bacillus = Species(
        "Bacillus subtilis",
        "grass bacillus",
        genetic_code=11,
        address=f"{server.host}/bacteria_0_collection/bacillus_168_gca_1/cds/Bacillus_168_gca_1.ASM9v1.cds.all.fa.gz",
        release="Ensembl Bacteria 60",
        assembly="ASM9v1",
        **terms,
    )
    fish = Species(
        "Danio rerio",
        address=f"{server.host}/danio_rerio/cds/Danio_rerio.GRCz11.cds.all.fa.gz",
        release="Ensembl 113",
        assembly="GRCz11",
        **terms,
    )
    write_species(tmp_path / "fasta")
    for species, same in ((bacillus, "Escherichia_coli"), (fish, "Mus_musculus")):
        text = (tmp_path / "fasta" / f"{same}.fa").read_text()
        server.put(
            species, gzip.compress(text.replace("\nATG", "\nTTG").encode() if same[0] == "E" else text.encode())
        )
    table = write_table(tmp_path / "two.yaml", bacillus, fish)
    assert read_species(table) == (bacillus, fish)
    monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", tmp_path / "downloads")
    settings = {"source": "ensembl", "all_windows": True, "species_file": str(table)}
    build = write_folder(Build(output_dir=str(tmp_path / "out"), **settings))
    assert [each["name"] for each in build["classes"]] == ["Bacillus subtilis", "Danio rerio"]
    assert [each["genes"] for each in build["classes"]] == [40, 40], "TTG is a start codon of code 11"
    assert build["species_file"] == {"name": "two.yaml", "sha256": hashlib.sha256(table.read_bytes()).hexdigest()}
    card = DatasetCard((tmp_path / "out" / "README.md").read_text())
    assert card.data.license_link == "https://example.org/terms"
    for part in (
        bacillus.address,
        fish.address,
        "ASM9v1",
        "| 11 | ATA, ",
        "*Danio rerio* |",
        "two.yaml",
        r"terms \| of",
    ):
        assert part in card.text, part
    for part in ("*Homo", "Human and mouse", "six species", "()"):
        assert part not in card.text, part
    (command,) = [line for line in card.text.splitlines() if line.startswith("python -m dataset_builder")]
    assert parse("", "", (Build, Publishing), command.split()[3:])[0] == Build(
        **settings | {"species_file": "two.yaml"}
    )

    write_table(table, bacillus, replace(fish, address="", release=""))
    with pytest.raises(ValueError, match="Danio rerio has no address, release"):
        write_folder(Build(output_dir=str(tmp_path / "out"), **settings))


def test_another_table_builds_other_species_from_a_folder(tmp_path):
    """Without addresses, and with the pattern of a file."""
    written = write_species(tmp_path / "source")
    for name, new in (("Escherichia_coli", "strain-1.cds"), ("Mus_musculus", "Mus_spretus")):
        (tmp_path / "source" / f"{name}.fa").rename(tmp_path / "source" / f"{new}.fa")
    table = tmp_path / "two.yaml"
    table.write_text(
        "- scientific_name: Mus spretus\n- {scientific_name: E. coli K-12, files: strain-*.cds.fa, genetic_code: 11}\n"
    )
    rows, record = build_splits(Build(source=str(tmp_path / "source"), species_file=str(table), all_windows=True))
    names = ["Mus spretus", "E. coli K-12"]
    assert [each["name"] for each in record["classes"]] == rows["train"].features["label"].names == names
    sources = [written["Mus musculus"], written["Escherichia coli"]]
    for row in rows["test"]:
        assert row["sequence"] == sources[row["label"]][row["gene"]][row["start"] :][:60]


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        (None, ["No such file"]),
        ("- scientific_name: [A\n- b", ["YAML", "line 2"]),
        ("- scientific_name: A\n  scientific_name: B\n- scientific_name: C", ["scientific_name is given twice"]),
        (b"\xff\xfe\xff", ["YAML", "utf-8"]),
        ("", ["no list", "scientific_name"]),
        ("scientific_name: A", ["no list"]),
        ("- scientific_name: A", ["1 species", "two"]),
        ("- A b\n- C d", ["entry 1", "'A b'", "scientific_name"]),
        ("- scientific_name: A\n- common_name: b", ["entry 2", "scientific_name"]),
        ("- scientific_name: A\n- scientific_name: B\n  colour: red", ["entry 2", "'colour'", "assembly"]),
        ("- scientific_name: A\n- scientific_name:", ["entry 2", "scientific_name", "''"]),
        ("- scientific_name: A\n- scientific_name: [B]", ["entry 2", "scientific_name", "['B']"]),
        ('- scientific_name: A\n- scientific_name: "B\\tc"', ["entry 2", r"'B\tc'"]),
        ("- scientific_name: A\n- scientific_name: A", ["entry 2", "scientific_name 'A'", "entry 1"]),
        ("- scientific_name: A\n- scientific_name: B\n  files: A*", ["entry 2", "'A*'", "entry 1"]),
        ("- scientific_name: A\n- scientific_name: B\n  files: ../B*", ["entry 2", "files '../B*'"]),
        ("- scientific_name: A\n- scientific_name: B\n  genetic_code: 2", ["entry 2", "'2'", "1, 4, 6, 11"]),
        ("- scientific_name: A\n- scientific_name: B\n  address: b.fa.gz", ["entry 2", "'b.fa.gz'", "https://"]),
    ],
)
def test_a_table_that_is_wrong_is_one_sentence_with_file_entry_and_value(tmp_path, text, facts):
    path = tmp_path / "table.yaml"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError) as caught:
        read_species(path)
    assert all(fact in str(caught.value) for fact in (*facts, str(path))), caught.value
    assert "\n" not in str(caught.value)


def test_a_table_of_species_with_synthetic_genes_is_an_error():
    with pytest.raises(ValueError, match="--species_file.*--source synthetic"):
        Build(source="synthetic", species_file="x.yaml")


@pytest.mark.parametrize("damage", [CONTENT[:100], b"", CONTENT[:-1] + b"x"], ids=["truncated", "emptied", "changed"])
def test_a_file_that_went_bad_in_the_cache_is_fetched_anew(server, yeast, dl_manager, damage):
    server.put(yeast, CONTENT)
    path, _ = fetch(yeast, dl_manager)
    path.write_bytes(damage)
    path, _ = fetch(yeast, dl_manager)
    assert path.read_bytes() == CONTENT
    assert server.fetched == ["CHECKSUMS", file_name(yeast)] * 2
    fetch(yeast, dl_manager)
    assert len(server.fetched) == 4


@pytest.mark.parametrize("listed", ["wrong", "not listed", "no file"])
def test_a_fault_that_stays_is_an_error_with_the_address(server, yeast, dl_manager, listed):
    facts = [file_name(yeast), "CHECKSUMS", "404"]
    if listed != "no file":
        server.put(yeast, CONTENT[:1000], checksum="00001 5" if listed == "wrong" else "00001 5 Another.fa.gz #")
        facts = [file_name(yeast), "CHECKSUMS", bsd_sum(CONTENT[:1000])]
    with pytest.raises(OSError) as caught:
        fetch(yeast, dl_manager)
    assert all(fact in str(caught.value) for fact in facts)


def make_files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text(">g t\nATG\n")


def test_the_files_of_a_folder_are_found_by_species_whatever_their_fasta_suffix(tmp_path):
    suffixes = [".GRCh38.cds.all.fa.gz", ".fa", ".cds.fasta", ".fasta.gz", "_gca_001606525.fna", ".fna.gz"]
    names = [species.prefix + suffix for species, suffix in zip(SPECIES, suffixes, strict=True)]
    make_files(tmp_path, *names, "Homo_sapiens.txt", "README.md", "Rattus_norvegicus.fa")
    assert [path.name for path in species_files(tmp_path)] == names


def test_a_folder_without_one_file_per_class_is_an_error(tmp_path):
    make_files(tmp_path, *[f"{species.prefix}.fa" for species in SPECIES[:4]])
    with pytest.raises(ValueError) as caught:
        species_files(tmp_path)
    assert str(tmp_path) in str(caught.value) and "Escherichia_coli*" in str(caught.value)

    make_files(tmp_path, *[f"{species.prefix}.fa" for species in SPECIES], "Mus_musculus.old.fa")
    with pytest.raises(ValueError, match="Mus_musculus.fa, Mus_musculus.old.fa"):
        species_files(tmp_path)
    with pytest.raises(ValueError, match="nowhere"):
        species_files(tmp_path / "nowhere")
