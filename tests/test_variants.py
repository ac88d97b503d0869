"""variants.py -> its tables, VCF files and pictures, read by the tools of their users; interrupted and misused."""

import gzip
import json
import os
import random

import matplotlib.image
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pybigtools
import pysam
import pytest

import variants
from dnahub.hub_code import (
    NucleotideTransformerForMaskedLM,
    NucleotideTransformerForSequenceClassification,
    NucleotideTransformerForTokenClassification,
    NucleotideTransformerModel,
)
from dnahub.inference import variant_outputs, variant_reading
from dnahub.inference.encoder import Encoder
from dnahub.inference.variant_outputs import check_info
from dnahub.inference.variants import Allele, Settings, VariantScorer
from dnahub.machine.script import outcome
from dnahub.sequences.opening import InputFile
from dnahub.sequences.regions import Genome
from tests.tiny_models import random_model, tokenizer_of, write_checkpoint

MOST = 20  # tokens: windows of 114 nt
HEADS = {
    "masked LM": (NucleotideTransformerForMaskedLM, {}),
    "classes": (NucleotideTransformerForSequenceClassification, {"id2label": {0: "no", 1: "yes, maybe"}}),
    "encoder": (NucleotideTransformerModel, {}),
    "tokens": (NucleotideTransformerForTokenClassification, {"num_labels": 2}),
}
HEADER = """##fileformat=VCFv4.2
##contig=<ID=1,length=2000>
##INFO=<ID=AF,Number=A,Type=Float,Description="Frequency">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tsample
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A function that writes a checkpoint of `HEADS` once; its folder and model."""
    made = {}

    def get(name: str):
        if name not in made:
            model_class, fields = HEADS[name]
            fields = {"max_position_embeddings": MOST + 2, **fields}
            folder = write_checkpoint(tmp_path_factory.mktemp("model") / "checkpoint", model_class, **fields)
            model = random_model(model_class, **fields)  # the same, by its seed
            made[name] = folder, model
        return made[name]

    return get


@pytest.fixture
def contigs() -> dict[str, str]:
    rng = random.Random(0)
    return {name: "".join(rng.choices("ACGT", k=nt)) for name, nt in (("chr1", 2000), ("chr2", 500), ("chrM", 300))}


@pytest.fixture
def records(contigs) -> list[list[str]]:
    """Lines of a VCF file whose chromosomes are called 1, 2 and MT, one of which its header does not name."""
    rng, made = random.Random(1), []
    for i in range(60):
        name = ("chr1", "chr2", "chrM")[i % 3]
        pos = rng.randint(1, len(contigs[name]))
        ref = contigs[name][pos - 1]
        others = [base for base in "ACGT" if base != ref]
        alt = (others[0], ",".join(others[:2]), f"{ref}ACG", "<DEL>", "*")[i % 5]
        chrom = "MT" if name == "chrM" else name[3:]
        frequencies = ",".join(["0.1"] * len(alt.split(",")))
        made.append(
            [chrom, str(pos), f"rs{i}" if i % 2 else ".", ref, alt, ".", "PASS", f"AF={frequencies}", "GT", "0/1"]
        )
    return [*made, made[0]]  # one of them twice


@pytest.fixture
def run(tmp_path, contigs, records, checkpoint, monkeypatch, capfd):
    """A function that runs variants.py on the records: the path of the output and what was printed, or the error."""
    monkeypatch.setattr(variant_reading, "MAX_ALLELES", 16)
    genome, vcf = tmp_path / "genome.fa", tmp_path / "in.vcf"
    genome.write_text("".join(f">{name}\n{text}\n" for name, text in contigs.items()))
    vcf.write_text(HEADER + "".join("\t".join(record) + "\n" for record in records))

    def call(name: str, *flags, given=None, output="out.parquet") -> tuple:
        capfd.readouterr()
        given = ["--vcf", vcf] if given is None else given
        arguments = ["--model_name_or_path", checkpoint(name)[0], *given, "--genome", genome, "--device", "cpu"]
        path = tmp_path / output
        status, message = outcome(lambda: variants.main([*map(str, [*arguments, "--output", path, *flags])]))
        if status:
            assert status in (2, 130) and not path.exists()
            return status, message
        return path, capfd.readouterr().out

    return call


def plain_scores(checkpoint, name, tmp_path, allele: Allele, scores: tuple, **head) -> dict[str, float]:
    """One variant alone, by the scorer that is compared with a plain loop in tests/inference/test_variants.py."""
    model = checkpoint(name)[1]
    settings = Settings(scores, 6 * (MOST - 1), True, 1, False)
    genome = Genome(InputFile(str(tmp_path / "genome.fa")))
    scorer = VariantScorer(Encoder(model, tokenizer_of(model)), genome, settings, **head)
    results = scorer.compute(scorer.plan([allele]))
    return {column: float(values[0]) for column, values in results.scores.items()}


NAME_OF = {"1": "chr1", "2": "chr2", "MT": "chrM"}


def test_every_alternative_has_a_row_in_order_with_its_score(tmp_path, run, records, checkpoint):
    path, out = run("masked LM")
    table = pq.read_table(path).to_pandas()
    expected = [(*record[:2], record[3], alt) for record in records for alt in record[4].split(",")]
    assert list(zip(table["chrom"], table["pos"].astype(str), table["ref"], table["alt"], strict=True)) == expected
    assert table["id"].iloc[0] == "-".join(expected[0]) and table["id"].iloc[1] == "rs1"
    is_base = table["alt"].str.fullmatch("[ACGT]+")
    assert (table["status"] == np.where(is_base, "scored", "symbolic allele")).all()
    assert table["llr"].notna().equals(is_base)
    for i in np.flatnonzero(is_base)[::9]:
        row = table.iloc[i]
        allele = Allele(NAME_OF[row["chrom"]], row["pos"] - 1, row["ref"], row["alt"])
        assert plain_scores(checkpoint, "masked LM", tmp_path, allele, ("llr",))["llr"] == pytest.approx(
            row["llr"], abs=1e-5
        )
    assert table["llr"].iloc[0] == table["llr"].iloc[-1]  # given twice
    assert "chromosome 1 matched to chr1 (and 2 more)" in out and "symbolic allele 24" in out
    made_by = json.loads(pq.read_schema(path).metadata[b"embedding"])
    assert made_by["window_nt"] == 114 and made_by["genome"] == "genome.fa"


@pytest.mark.parametrize("output", ["out.vcf", "out.vcf.gz"])
def test_an_annotated_vcf_keeps_its_lines_and_pysam_reads_the_scores(run, records, output):
    table = pq.read_table(run("masked LM")[0]).to_pandas()
    path, _ = run("masked LM", output=output)
    if path.suffix == ".gz":
        assert path.read_bytes()[12:14] == b"BC"  # a block of BGZF
    lines = (gzip.open(path, "rt") if path.suffix == ".gz" else path.open()).read().splitlines()
    kept = [
        line for line in lines if "SCORE_STATUS" not in line.split("=")[0] and not line.startswith("##INFO=<ID=LLR")
    ]
    assert [line for line in kept if line.startswith("#")][: len(HEADER.splitlines()) - 1] == HEADER.splitlines()[:-1]
    for line, record in zip([line for line in lines if not line.startswith("#")], records, strict=True):
        fields = line.split("\t")
        assert fields[:7] + fields[8:] == record[:7] + record[8:] and fields[7].startswith(record[7] + ";")
    scores = [value for record in pysam.VariantFile(str(path)) for value in record.info["LLR"]]
    np.testing.assert_allclose(np.array(scores, float), table["llr"], rtol=1e-5)


def test_a_table_gives_the_same_scores(tmp_path, run):
    table = pq.read_table(run("masked LM")[0]).to_pandas()
    columns = table[["id", "chrom", "pos", "ref", "alt"]].assign(gene="BRCA1")
    columns.to_csv(tmp_path / "in.tsv", sep="\t", index=False)
    path, _ = run("masked LM", given=["--vcf", tmp_path / "in.tsv"], output="out.tsv")
    again = pd.read_csv(path, sep="\t")
    np.testing.assert_allclose(again["llr"], table["llr"], rtol=1e-6)
    assert (again["gene"] == "BRCA1").all() and again["id"].tolist() == table["id"].tolist()


def test_a_fine_tuned_model_gives_changes_and_any_model_distances(tmp_path, run, checkpoint):
    table = pq.read_table(run("classes", "--scores", "change", "distance")[0]).to_pandas()
    names = ["no", "yes, maybe"]
    columns = [f"{prefix}{name}" for prefix in ("d_logit_", "d_p_") for name in names]
    distances = ["l2", "cosine", "inner", "l2_near", "cosine_near", "inner_near"]
    assert table.columns.tolist()[-10:] == [*distances, *columns]
    row = table.iloc[0]
    allele = Allele(NAME_OF[row["chrom"]], row["pos"] - 1, row["ref"], row["alt"])
    head = {"problem": "single_label_classification", "names": names}
    expected = plain_scores(checkpoint, "classes", tmp_path, allele, ("distance", "change"), **head)
    assert row[list(expected)].astype(float).to_dict() == pytest.approx(expected, abs=1e-5)
    np.testing.assert_allclose(table["d_p_no"], -table["d_p_yes, maybe"], atol=1e-6)
    alone = pq.read_table(run("encoder", output="b.parquet")[0]).to_pandas()
    assert alone.columns.tolist()[-6:] == distances
    short = alone["alt"].str.len() == 1
    assert (alone["cosine_near"] < alone["cosine"])[short & (alone["status"] == "scored")].mean() > 0.9


def test_every_substitution_of_a_region_is_scored_and_drawn(tmp_path, run, contigs):
    path, _ = run("masked LM", given=["--saturate", "chr1:101-150"], output="s.tsv")
    table = pd.read_csv(path, sep="\t")
    expected = [
        (pos, ref, alt) for pos in range(101, 151) for ref in contigs["chr1"][pos - 1] for alt in "ACGT" if alt != ref
    ]
    assert list(zip(table["pos"], table["ref"], table["alt"], strict=True)) == expected
    picture = matplotlib.image.imread(tmp_path / "s.tsv.png")
    assert picture.shape[1] > 2 * picture.shape[0] and picture[..., :3].std() > 0.1
    file = pybigtools.open(str(tmp_path / "s.tsv.bw"))
    means = table.groupby("pos")["llr"].mean()
    assert [record[:2] for record in file.records("chr1")] == [(pos - 1, pos) for pos in means.index]
    np.testing.assert_allclose([record[2] for record in file.records("chr1")], means, rtol=1e-5)
    (tmp_path / "r.bed").write_text("track name=x\nchr1\t100\t150\nchr2\t5\t9\n")
    by_bed = pd.read_csv(run("masked LM", given=["--bed", tmp_path / "r.bed"], output="b.tsv")[0], sep="\t")
    assert by_bed["llr"].iloc[:150].tolist() == table["llr"].tolist() and len(by_bed) == 162


def test_an_interrupted_run_computes_only_what_is_missing(tmp_path, run, monkeypatch):
    compute, computed = VariantScorer.compute, []

    def counting(self, plan, progress):
        if len(computed) == 2:
            computed.append("stop")
            raise KeyboardInterrupt
        computed.append(len(plan.status))
        return compute(self, plan, progress)

    monkeypatch.setattr(VariantScorer, "compute", counting)
    assert run("masked LM")[0] == 130 and computed == [16, 16, "stop"]
    path, out = run("masked LM")
    rest = computed[3:]
    assert "parts computed now: 3 of 5" in out and sum(rest) + 32 == len(pq.read_table(path))
    whole, _ = run("masked LM", output="whole.parquet")
    assert pq.read_table(whole).equals(pq.read_table(path))


def test_a_vcf_file_compressed_by_gzip_is_read(tmp_path, run):
    plain = pq.read_table(run("masked LM")[0])
    (tmp_path / "in.vcf.gz").write_bytes(gzip.compress((tmp_path / "in.vcf").read_bytes()))
    path, _ = run("masked LM", given=["--vcf", tmp_path / "in.vcf.gz"], output="gz.parquet")
    assert pq.read_table(path).equals(plain)

    (tmp_path / "in.vcf.gz").write_bytes((tmp_path / "in.vcf.gz").read_bytes()[:-30])
    status, message = run("masked LM", given=["--vcf", tmp_path / "in.vcf.gz"], output="cut.parquet")
    assert status == 2 and "cut off" in message


def test_the_window_of_training_is_the_default(run, checkpoint):
    folder, _ = checkpoint("classes")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"window_nt": 62, "stride_nt": 30}))
    try:
        found = pq.read_table(run("classes", output="trained.parquet")[0])
    finally:
        (folder / "config.json").write_text(json.dumps(config))
    assert found.equals(pq.read_table(run("classes", "--window_nt", 60, output="given.parquet")[0]))


def test_processes_share_the_blocks(tmp_path, run):
    for i in (1, 2):
        status = run("masked LM", "--shard", f"{i}/2", output="shared.parquet")
        assert "computed now: " in status[1]
    path, out = run("masked LM", output="shared.parquet")
    assert "computed now: 0 of 5" in out
    assert pq.read_table(path).equals(pq.read_table(run("masked LM")[0]))


def test_another_assembly_is_an_error_and_a_few_mismatches_are_counted(tmp_path, run, records, contigs):
    lines = [list(record) for record in records]
    for line in lines[:2]:
        line[3] = next(base for base in "ACGT" if base != line[3] and base not in line[4])
    (tmp_path / "in.vcf").write_text(HEADER + "".join("\t".join(line) + "\n" for line in lines))
    status, message = run("masked LM")
    assert status == 2 and "3 of 49 variants" in message and "--allow_mismatches" in message
    path, out = run("masked LM", "--allow_mismatches", "true")
    table = pq.read_table(path).to_pandas()
    assert (table["status"] == "reference mismatch").sum() == 3 and "reference mismatch 3" in out
    assert table["llr"].isna().sum() == 24 + 3


@pytest.mark.parametrize(
    ("name", "flags", "given", "output", "words"),
    [
        ("classes", ["--scores", "llr"], None, "o.tsv", ["--scores llr", "masked tokens"]),
        ("masked LM", ["--scores", "change"], None, "o.tsv", ["--scores change", "classification"]),
        ("masked LM", ["--window_nt", "100"], None, "o.tsv", ["--window_nt 100", "multiple of 6", "114"]),
        ("masked LM", ["--window_nt", "120"], None, "o.tsv", ["--window_nt 120", "114"]),
        ("masked LM", ["--offsets", "7"], None, "o.tsv", ["--offsets 7", "1 to 6"]),
        ("masked LM", [], None, "o.bed", [".tsv", ".vcf"]),
        ("masked LM", [], None, "o.tsv.gz", ["only VCF"]),
        ("masked LM", [], ["--saturate", "chr1:9-3"], "o.tsv", ["--saturate chr1:9-3"]),
        ("masked LM", [], ["--saturate", "chr1"], "o.tsv", ["chrom:start-end"]),
        ("masked LM", [], ["--saturate", "chr9:1-3"], "o.tsv", ["chr9", "chr1"]),
        ("masked LM", [], ["--saturate", "chr2:400-501"], "o.tsv", ["400-501", "500 nt"]),
        ("masked LM", [], ["--saturate", "chr2:1-9"], "o.vcf", ["o.vcf", "--vcf is none"]),
        ("masked LM", [], [], "o.tsv", ["--vcf, --saturate and --bed"]),
        ("masked LM", ["--track", "llr"], None, "o.tsv", ["--track llr", "--saturate"]),
        ("masked LM", ["--track", "l2"], ["--saturate", "chr2:1-9"], "o.tsv", ["--track l2", "llr"]),
        ("masked LM", ["--bad_records", "skip"], None, "o.vcf", ["every line", "--bad_records skip"]),
    ],
)
def test_what_does_not_go_is_said_in_one_sentence(run, name, flags, given, output, words):
    status, message = run(name, *flags, given=given, output=output)
    assert status == 2 and all(word in message for word in words), message


def test_parts_of_another_genome_of_the_same_name_are_not_taken(tmp_path, run, contigs):
    run("masked LM", "--shard", "1/2")
    changed = {name: text.translate(str.maketrans("ACGT", "TGCA")) for name, text in contigs.items()}
    (tmp_path / "genome.fa").write_text("".join(f">{name}\n{text}\n" for name, text in changed.items()))
    path, out = run("masked LM", "--allow_mismatches", "true")
    assert "parts computed now: 5 of 5" in out
    assert "reference mismatch" in pq.read_table(path)["status"].to_pylist()


def test_a_vcf_that_has_the_scores_already_is_refused(tmp_path, run, records):
    (tmp_path / "in.vcf").write_bytes(run("masked LM", output="once.vcf")[0].read_bytes())
    status, message = run("masked LM", output="twice.vcf")
    assert status == 2 and "SCORE_STATUS" in message and "bcftools annotate" in message


def test_records_without_alternative_stay_as_they_are_and_other_encodings_are_refused(tmp_path, run, contigs):
    ref = contigs["chr1"][9]
    other = "A" if ref != "A" else "C"
    lines = [["1", "10", "gVCF", ref, "."], ["1", "0", "telomere", "N", "A"], ["1", "10", ".", ref, other]]
    text = "".join("\t".join([*line, ".", "PASS", "."]) + "\n" for line in lines)
    header = HEADER.replace("##INFO", '##source="M\xfcller"\n##INFO').replace("\tFORMAT\tsample", "")
    (tmp_path / "in.vcf").write_text(header + text)
    path, _ = run("masked LM", output="o.vcf")
    written = path.read_bytes().split(b"\n")
    assert header.splitlines()[1].encode() in written
    assert written[-4] == "\t".join([*lines[0], ".", "PASS", "."]).encode()
    assert b"SCORE_STATUS=symbolic_allele;LLR=." in written[-3] and b"SCORE_STATUS=scored;LLR=" in written[-2]
    table = pq.read_table(run("masked LM")[0]).to_pandas()
    assert table["status"].tolist() == ["symbolic allele", "symbolic allele", "scored"]
    (tmp_path / "in.vcf").write_bytes((header + text.replace("gVCF", "\xfc")).encode("latin-1"))
    status, message = run("masked LM", output="p.vcf")
    assert status == 2 and "record 1" in message and "utf-8" in message and not (tmp_path / "p.vcf.parts").exists()


def test_labels_that_info_cannot_tell_apart_are_refused():
    for names in (("d_p_a b", "d_p_a-b"), ("d_p_A", "d_p_a")):
        with pytest.raises(ValueError, match="D_P_A"):
            check_info(names, "unread.vcf")


def test_a_pipe_is_refused_because_it_is_read_twice(tmp_path, run):
    os.mkfifo(tmp_path / "p.vcf")
    status, message = run("masked LM", given=["--vcf", tmp_path / "p.vcf"])
    assert status == 2 and "p.vcf" in message and "pipe" in message


def test_a_later_process_does_not_mind_an_output_of_the_first(run, monkeypatch):
    path, _ = run("masked LM")
    before = path.read_bytes()
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert "process 2/2 is done" in run("masked LM")[1] and path.read_bytes() == before


def test_regions_are_found_by_either_name_and_drawn_apart_with_the_chosen_score(tmp_path, run, contigs, monkeypatch):
    drawn, plain = [], variant_outputs.draw_heat_map

    def draw(table, score, path):
        drawn.append(score)
        plain(table, score, path)

    monkeypatch.setattr(variant_outputs, "draw_heat_map", draw)
    (tmp_path / "r.bed").write_text("1\t10\t20\n1\t1000\t1010\n")
    by_bed = pd.read_csv(run("classes", given=["--bed", tmp_path / "r.bed"], output="b.tsv")[0], sep="\t")
    assert by_bed["chrom"].unique().tolist() == ["chr1"] and len(by_bed) == 60
    run("classes", "--track", "d_p_no", given=["--saturate", "1:11-20"], output="c.tsv")
    assert drawn == ["d_logit_yes, maybe", "d_p_no"]
    wide, narrow = (matplotlib.image.imread(tmp_path / f"{name}.tsv.png").shape[1] for name in "bc")
    assert wide > narrow


def test_what_has_nothing_to_draw_leaves_no_picture_and_an_old_one_goes(tmp_path, run, contigs, monkeypatch):
    region = ["--saturate", "chr1:101-110"]
    assert (run("masked LM", given=region, output="s.tsv")[0].parent / "s.tsv.png").is_file()
    monkeypatch.setattr(variant_outputs, "MOST_PLACES", 5)
    run("masked LM", "--overwrite", given=region, output="s.tsv")
    assert not (tmp_path / "s.tsv.png").exists() and (tmp_path / "s.tsv.bw").is_file()
    (tmp_path / "genome.fa").write_text(f">c\n{'N' * 30}{contigs['chr1'][:100]}\n")
    status, message = run("masked LM", given=["--saturate", "c:1-30"], output="n.tsv")
    assert status == 2 and "c:1-30" in message and "no A, C, G or T" in message


def test_regions_are_not_replaced_by_the_output(tmp_path, run):
    (tmp_path / "r.tsv").write_text("1\t10\t20\n")
    path = tmp_path / "r.tsv"
    status, message = outcome(
        lambda: variants.main(
            [*map(str, ["--model_name_or_path", tmp_path, "--bed", path, "--genome", tmp_path / "genome.fa"])]
            + ["--output", str(path), "--overwrite"]
        )
    )
    assert status == 2 and "is the input" in message and path.read_text() == "1\t10\t20\n"
