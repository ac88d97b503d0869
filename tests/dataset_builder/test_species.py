"""The table of species; its files from an Ensembl-like server on 127.0.0.1, checked and cached; folders of files."""

import gzip
import hashlib
import http.server
import threading
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest
from huggingface_hub import DatasetCard

from dataset_builder.arguments import Build
from dataset_builder.ensembl import DownloadError, bsd_sum, fetch, listed_checksum
from dataset_builder.folder import write_folder
from dataset_builder.sources import species_files
from dataset_builder.species import SPECIES
from dataset_builder.synthetic import codon_usage, synthetic_genes


@pytest.mark.parametrize("species", SPECIES, ids=lambda species: species.prefix)
def test_addresses_files_and_names_belong_together(species):
    assert species.file_name.startswith(species.prefix) and species.file_name.endswith(".cds.all.fa.gz")
    assert species.assembly.split()[0] in species.file_name
    assert f"release-{species.release.split()[-1]}/" in species.address
    assert species.checksums_address == species.address.replace(species.file_name, "CHECKSUMS")
    assert species.address.startswith("https://ftp.ensembl") and species.licence[1].startswith("https://")


def slow_bsd_sum(data: bytes) -> str:
    value = 0
    for byte in data:
        value = (value >> 1) + ((value & 1) << 15)
        value = (value + byte) % 65536
    return f"{value:05d} {(len(data) + 1023) // 1024}"


@pytest.mark.parametrize(
    ("data", "printed"),  # by `sum -r` of GNU coreutils 9.1
    [(b"", "00000 0"), (b"a", "00097 1"), (b"hello world\n", "03762 1"), (bytes(range(256)) * 5, "02560 2")],
)
def test_the_bsd_checksum_of_known_inputs(data, printed):
    assert bsd_sum(data) == slow_bsd_sum(data) == printed


@pytest.mark.parametrize("size", [1, 1023, 1024, 1025, 70_000])
def test_the_bsd_checksum_agrees_with_its_definition(size):
    data = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8).tobytes()
    assert bsd_sum(data) == slow_bsd_sum(data)


def test_a_line_of_checksums_is_found_by_the_whole_name():
    text = "12345 10 x.cds.all.fa.gz\nbroken line\n42 3 cds.all.fa.gz\n"
    assert listed_checksum(text, "cds.all.fa.gz") == "00042 3"
    assert listed_checksum(text, "all.fa.gz") is None


class EnsemblServer:
    """Serves one folder per species: its CDS file and CHECKSUMS; logs what is fetched."""

    def __init__(self):
        self.files = {}
        self.fetched = []
        self.cut_paths = set()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self):
                content = server.files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return b""
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                return content

            def do_GET(self):
                server.fetched.append(self.path.rpartition("/")[2])
                content = self.do_HEAD()
                if self.path in server.cut_paths:
                    content = content[: len(content) // 2]
                self.wfile.write(content)

            def log_message(self, *arguments):
                """The log is `fetched`."""

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def put(self, species, content, checksum=None):
        checksum = checksum or slow_bsd_sum(content)
        text = f"11111 9 Other.fa.gz\n{checksum} {species.file_name}\n"
        self.files[self.path(species.address)] = content
        self.files[self.path(species.checksums_address)] = text.encode()

    def here(self, species):
        """The species, at this server's address."""
        return replace(species, address=f"{self.host}/{species.prefix}/{species.file_name}")

    def path(self, address):
        return address.removeprefix(self.host)


@pytest.fixture
def server(monkeypatch):
    # The suite runs offline; datasets reads this switch whenever it fetches.
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    server = EnsemblServer()
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
    for index, species in enumerate(species_there):
        genes = synthetic_genes(codon_usage()[species.scientific_name], 40, 60, np.random.default_rng(index))
        text = "".join(f">{cds.transcript}.1 cds gene:{cds.gene}.2 x:y\n{cds.sequence}\n" for cds in genes)
        server.put(species, gzip.compress(text.encode(), mtime=0))
    monkeypatch.setattr("dataset_builder.sources.SPECIES", species_there)
    monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", tmp_path / "downloads")
    ensembl = {"source": "ensembl", "train_per_species": 20, "validation_per_species": 5, "test_per_species": 10}

    build = write_folder(Build(output_dir=str(tmp_path / "first"), **ensembl))
    assert sorted(server.fetched) == sorted(["CHECKSUMS"] * 6 + [species.file_name for species in SPECIES])
    again = write_folder(Build(output_dir=str(tmp_path / "second"), **ensembl))
    assert len(server.fetched) == 12 and again == build

    card = (tmp_path / "first" / "README.md").read_text()
    for species, entry in zip(species_there, build["species"], strict=True):
        content = server.files[server.path(species.address)]
        origin = entry["origin"]
        assert origin["sha256"] == hashlib.sha256(content).hexdigest()
        assert origin["checksum"] == slow_bsd_sum(content)
        for part in (species.address, species.release, species.assembly, origin["checksum"], origin["sha256"]):
            assert part in card
    assert DatasetCard(card).data.license_name == "ensembl-and-embl-ebi-terms-of-use"
    monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", tmp_path / "other downloads")
    server.files.clear()
    with pytest.raises(DownloadError, match=server.host):
        write_folder(Build(output_dir=str(tmp_path / "third"), **ensembl))
    assert not (tmp_path / "third").exists() and not list(tmp_path.glob(".third*"))


def test_a_file_is_fetched_once_and_then_taken_from_the_cache(server, yeast, dl_manager):
    server.put(yeast, CONTENT)
    path, checksum = fetch(yeast, dl_manager)
    assert path.read_bytes() == CONTENT and checksum == slow_bsd_sum(CONTENT)
    assert server.fetched == ["CHECKSUMS", yeast.file_name]
    assert fetch(yeast, dl_manager) == (path, checksum)
    assert server.fetched == ["CHECKSUMS", yeast.file_name]


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


def test_checksums_of_an_older_state_are_fetched_anew_with_the_file(server, yeast, dl_manager):
    server.put(yeast, b"old")
    fetch(yeast, dl_manager)
    server.put(yeast, CONTENT)
    fetch(yeast, dl_manager)[0].write_bytes(b"broken")  # the old file is still good by the old CHECKSUMS
    assert fetch(yeast, dl_manager)[0].read_bytes() == CONTENT


def wrong_checksum(server, yeast, monkeypatch):
    server.put(yeast, CONTENT[:1000], checksum=slow_bsd_sum(CONTENT))
    return [yeast.address, slow_bsd_sum(CONTENT), slow_bsd_sum(CONTENT[:1000])]


def cut_connection(server, yeast, monkeypatch):
    server.put(yeast, CONTENT)
    server.cut_paths.add(server.path(yeast.address))
    return [yeast.address]


def no_file(server, yeast, monkeypatch):
    return [yeast.checksums_address, "404"]


def not_listed(server, yeast, monkeypatch):
    server.put(yeast, CONTENT)
    server.files[server.path(yeast.checksums_address)] = b"12345 6 other.fa.gz\n"
    return [yeast.checksums_address, yeast.file_name]


def no_server(server, yeast, monkeypatch):
    server.http.shutdown()
    server.http.server_close()
    return [yeast.checksums_address]


def offline(server, yeast, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    return ["Offline mode"]


@pytest.mark.parametrize("fault", [wrong_checksum, cut_connection, no_file, not_listed, no_server, offline])
def test_a_fault_that_stays_is_an_error_with_the_address(server, yeast, dl_manager, monkeypatch, fault):
    facts = fault(server, yeast, monkeypatch)
    with pytest.raises(DownloadError) as caught:
        fetch(yeast, dl_manager)
    for fact in facts:
        assert fact in str(caught.value)


def make_files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text(">g t\nATG\n")


def test_the_files_of_a_folder_are_found_by_species_whatever_their_fasta_suffix(tmp_path):
    suffixes = [".GRCh38.cds.all.fa.gz", ".fa", ".cds.fasta", ".fasta.gz", "_gca_001606525.fna", ".fna.gz"]
    names = [species.prefix + suffix for species, suffix in zip(SPECIES, suffixes, strict=True)]
    make_files(tmp_path, *names, "Homo_sapiens.txt", "README.md", "Rattus_norvegicus.fa")
    (tmp_path / "Mus_musculus.folder.fa").mkdir()
    assert [path.name for path in species_files(tmp_path)] == names


def test_a_folder_without_one_file_per_species_is_an_error(tmp_path):
    make_files(tmp_path, *[f"{species.prefix}.fa" for species in SPECIES[:4]])
    with pytest.raises(ValueError) as caught:
        species_files(tmp_path)
    for part in (str(tmp_path), "Escherichia_coli*.fa[.gz]", "Saccharomyces_cerevisiae*.fa[.gz]"):
        assert part in str(caught.value)
    assert "Homo_sapiens" not in str(caught.value)

    make_files(tmp_path, *[f"{species.prefix}.fa" for species in SPECIES], "Mus_musculus.old.fa")
    with pytest.raises(ValueError, match="Mus musculus") as caught:
        species_files(tmp_path)
    for part in (str(tmp_path), "Mus_musculus.fa", "Mus_musculus.old.fa"):
        assert part in str(caught.value)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        species_files(tmp_path / "nowhere")
