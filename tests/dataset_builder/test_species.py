"""The table of species; its files from an Ensembl-like server on 127.0.0.1, checked and cached; folders of files."""

import gzip
import hashlib
import http.server
import shutil
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import datasets
import pytest
from huggingface_hub import DatasetCard

from dataset_builder.arguments import Build
from dataset_builder.ensembl import bsd_sum, fetch
from dataset_builder.folder import write_folder
from dataset_builder.sources import species_files
from dataset_builder.species import SPECIES
from tests.dataset_builder.fasta import write_species


def test_names_of_files_are_those_of_ensembl():
    assert [species.file_name.removesuffix(".cds.all.fa.gz") for species in SPECIES] == [
        "Homo_sapiens.GRCh38",
        "Mus_musculus.GRCm39",
        "Drosophila_melanogaster.BDGP6.46",
        "Arabidopsis_thaliana.TAIR10",
        "Escherichia_coli_gca_001606525.ASM160652v1",
        "Saccharomyces_cerevisiae.R64-1-1",
    ]
    for species in SPECIES:
        assert f"release-{species.release.split()[-1]}/" in species.folder
        assert species.file_name.startswith(species.prefix)


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
        folder = self.root / species.folder.rpartition("/")[2] / "cds"
        folder.mkdir(parents=True)
        (folder / species.file_name).write_bytes(content)
        (folder / "CHECKSUMS").write_text(f"1 9 Other.fa.gz\n{checksum or bsd_sum(content)} {species.file_name}\n")

    def here(self, species):
        """The species, at this server's address."""
        return replace(species, folder=f"{self.host}/{species.folder.rpartition('/')[2]}")


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
    monkeypatch.setattr("dataset_builder.sources.SPECIES", species_there)
    monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", tmp_path / "downloads")
    ensembl = {"source": "ensembl", "train_per_species": 20, "validation_per_species": 5, "test_per_species": 10}

    build = write_folder(Build(output_dir=str(tmp_path / "first"), **ensembl))
    assert sorted(server.fetched) == sorted(["CHECKSUMS"] * 6 + [species.file_name for species in SPECIES])
    again = write_folder(Build(output_dir=str(tmp_path / "second"), **ensembl))
    assert len(server.fetched) == 12 and again == build

    card = (tmp_path / "first" / "README.md").read_text()
    for species, entry in zip(species_there, build["species"], strict=True):
        path, origin = f"{species.folder}/cds/{species.file_name}", entry["origin"]
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


@pytest.mark.parametrize("damage", [CONTENT[:100], b"", CONTENT[:-1] + b"x"], ids=["truncated", "emptied", "changed"])
def test_a_file_that_went_bad_in_the_cache_is_fetched_anew(server, yeast, dl_manager, damage):
    server.put(yeast, CONTENT)
    path, _ = fetch(yeast, dl_manager)
    path.write_bytes(damage)
    path, _ = fetch(yeast, dl_manager)
    assert path.read_bytes() == CONTENT
    assert server.fetched == ["CHECKSUMS", yeast.file_name] * 2
    fetch(yeast, dl_manager)
    assert len(server.fetched) == 4


@pytest.mark.parametrize("listed", ["wrong", "not listed", "no file"])
def test_a_fault_that_stays_is_an_error_with_the_address(server, yeast, dl_manager, listed):
    facts = [yeast.file_name, "CHECKSUMS", "404"]
    if listed != "no file":
        server.put(yeast, CONTENT[:1000], checksum="00001 5" if listed == "wrong" else "00001 5 Another.fa.gz #")
        facts = [yeast.file_name, "CHECKSUMS", bsd_sum(CONTENT[:1000])]
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


def test_a_folder_without_one_file_per_species_is_an_error(tmp_path):
    make_files(tmp_path, *[f"{species.prefix}.fa" for species in SPECIES[:4]])
    with pytest.raises(ValueError) as caught:
        species_files(tmp_path)
    assert str(tmp_path) in str(caught.value) and "Escherichia_coli*.fa[.gz]" in str(caught.value)

    make_files(tmp_path, *[f"{species.prefix}.fa" for species in SPECIES], "Mus_musculus.old.fa")
    with pytest.raises(ValueError, match="Mus_musculus.fa, Mus_musculus.old.fa"):
        species_files(tmp_path)
    with pytest.raises(ValueError, match="nowhere"):
        species_files(tmp_path / "nowhere")
