"""predict.py -> its table, compared with the model's plain forward pass and with the pipelines; misused."""

import json
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pybigtools
import pytest
import torch
from scipy.special import expit, softmax

import embed
import predict
from dnahub.hub_code import (
    DNAClassificationPipeline,
    DNAEmbeddingPipeline,
    DNATokenClassificationPipeline,
    NucleotideTransformerForMaskedLM,
    NucleotideTransformerForSequenceClassification,
    NucleotideTransformerForTokenClassification,
)
from dnahub.hub_code.pipeline_dna_embedding import reverse_complement
from dnahub.inference import blocks, neighbours, tracks
from dnahub.machine.script import outcome
from tests.tiny_models import random_model, tokenizer_of, write_checkpoint

MOST = 20  # tokens that the models take, `<cls>` included
ACTIVATE = {"single_label_classification": lambda logits: softmax(logits, axis=-1)}
ACTIVATE |= {"multi_label_classification": expit, "regression": lambda logits: logits}
LABELS = ["Homo sapiens", "E. coli", "no, none"]


def of_sequences(problem: str, num_labels: int):
    names = dict(enumerate(LABELS[:num_labels])) if problem != "regression" else {}
    fields = {"id2label": names} if names else {"num_labels": num_labels}
    return NucleotideTransformerForSequenceClassification, {"problem_type": problem} | fields


MODELS = {
    "three classes": of_sequences("single_label_classification", 3),
    "two classes": of_sequences("single_label_classification", 2),
    "labels": of_sequences("multi_label_classification", 3),
    "number": of_sequences("regression", 1),
    "numbers": of_sequences("regression", 2),
    "tokens": (NucleotideTransformerForTokenClassification, {"id2label": dict(enumerate(LABELS))}),
    "masked LM": (NucleotideTransformerForMaskedLM, {}),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A function that writes a checkpoint of `MODELS` once; the folder, the model and its tokenizer."""
    made = {}

    def get(name: str):
        if name not in made:
            model_class, fields = MODELS[name]
            fields = {"max_position_embeddings": MOST + 2, **fields}
            folder = write_checkpoint(tmp_path_factory.mktemp("model") / "checkpoint", model_class, **fields)
            model = random_model(model_class, **fields)  # the same, by its seed
            made[name] = folder, model, tokenizer_of(model)
        return made[name]

    return get


@pytest.fixture(scope="module")
def records():
    rng = random.Random(0)
    lengths = [1, 60, 20_000, 61, *(rng.randint(1, 300) for _ in range(12))]
    made = [("".join(rng.choices("ACGTN", weights=(9, 9, 9, 9, 1), k=nt))) for nt in lengths]
    return [*made, "".join(rng.choices("ACGT", k=600))]  # an N is a token: without any, windows are what they seem


@pytest.fixture
def run(tmp_path, records, saved, monkeypatch, capfd):
    """A function that predicts for `records` with a model of `MODELS`: the table, or the error sentence."""
    monkeypatch.setattr(blocks, "MAX_SEQUENCES", 5)
    fasta = tmp_path / "in.fa"
    fasta.write_text("".join(f">s{i} no. {i}\n{sequence}\n" for i, sequence in enumerate(records)))

    def call(name: str, *flags, output="out.parquet", given=("--input", fasta)) -> pd.DataFrame | str:
        path = tmp_path / output
        arguments = ["--model_name_or_path", saved(name)[0], *given, "--output", path, "--device", "cpu"]
        status, message = outcome(lambda: predict.main([*map(str, [*arguments, *flags])]))
        if status:
            assert status == 2 and not path.exists()
            return message
        if path.suffix == ".tsv":
            return pd.read_csv(path, sep="\t")
        return pq.read_table(path).to_pandas() if path.suffix == ".parquet" else None

    return call


def plain_logits(saved, name: str, sequence: str) -> np.ndarray:
    _, model, tokenizer = saved(name)
    with torch.no_grad():
        return model(**tokenizer(sequence, return_tensors="pt")).logits[0].numpy()


def mean_by_hand(saved, name: str, sequence: str, window: int, stride: int) -> np.ndarray:
    """Logits of windows, averaged by their tokens."""
    windows = [sequence[start : start + window] for start in range(0, max(1, len(sequence) - window + stride), stride)]
    tokenizer = saved(name)[2]
    weights = [len(tokenizer(each).input_ids) for each in windows]
    return np.average([plain_logits(saved, name, each) for each in windows], axis=0, weights=weights)


SETTINGS = {
    "mean": [],
    "both strands": ["--reverse_complement"],
    "windows": ["--long", "windows", "--window_nt", 18, "--stride_nt", 12],
    "the beginning": ["--long", "truncate"],
}


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("name", ["three classes", "two classes", "labels", "number", "numbers"])
def test_probabilities_and_numbers_are_those_of_the_pipeline(run, saved, records, name, settings):
    table = run(name, *SETTINGS[settings])

    _, model, tokenizer = saved(name)
    pipe = DNAClassificationPipeline(model, tokenizer, device="cpu")
    given = {"mean": {"long": "mean"}, "both strands": {"long": "mean", "reverse_complement": True}}
    given |= {"windows": {"long": "windows", "window_nt": 18, "stride_nt": 12}, "the beginning": {"long": "truncate"}}
    answers = pipe(records, **given[settings])
    number = [len(each) if isinstance(each, list) else 1 for each in answers]
    answers = [each for answer in answers for each in (answer if isinstance(answer, list) else [answer])]
    assert table["id"].tolist() == [f"s{i}" for i, n in enumerate(number) for _ in range(n)]
    assert (table["description"].iloc[0], "window_start" in table) == ("no. 0", settings == "windows")
    if settings == "windows":
        expected = [12 * i for n in number for i in range(n)]
        assert table["window_start"].tolist() == expected and max(expected) > 19_900
    if name.startswith("number"):
        columns = ["predicted"] if name == "number" else ["predicted_LABEL_0", "predicted_LABEL_1"]
        values = [np.atleast_1d(each["value"]) for each in answers]
        np.testing.assert_allclose(table[columns], values, rtol=0, atol=2e-5)
        return
    scores = [list(each["scores"].values()) for each in answers]
    columns = [f"p_{each}" for each in list(model.config.id2label.values())]
    np.testing.assert_allclose(table[columns], scores, rtol=0, atol=1e-5)
    predicted = [each["labels" if name == "labels" else "label"] for each in answers]
    assert [each if isinstance(each, str) else list(each) for each in table["predicted"]] == predicted
    assert len(set(map(str, predicted))) > 1


@pytest.mark.parametrize("name", ["three classes", "labels", "numbers"])
def test_logits_of_windows_and_probabilities_of_strands_are_averaged(run, saved, records, name):
    columns = [f"predicted_LABEL_{i}" for i in range(2)] if name == "numbers" else [f"p_{label}" for label in LABELS]
    activate = ACTIVATE[MODELS[name][1]["problem_type"]]
    window, stride = 6 * (MOST - 1), 84  # by default three quarters, in the frame of the 6-mers
    forward, backward = (
        activate(mean_by_hand(saved, name, strand, window, stride))
        for strand in (records[-1], reverse_complement(records[-1]))
    )
    np.testing.assert_allclose(run(name)[columns].iloc[-1], forward, rtol=0, atol=2e-5)
    both = run(name, "--reverse_complement", "--overwrite")[columns].iloc[-1]
    np.testing.assert_allclose(both, (forward + backward) / 2, rtol=0, atol=2e-5)
    assert np.abs(forward - backward).max() > 1e-3


def test_embeddings_are_those_of_the_embedding_pipeline(run, saved, records):
    table = run("three classes", "--embeddings", "--reverse_complement")
    _, model, tokenizer = saved("three classes")
    embed = DNAEmbeddingPipeline(model, tokenizer, device="cpu")
    expected = embed(records, long="mean", reverse_complement=True)
    np.testing.assert_allclose(np.stack(table["embedding"]), expected, rtol=0, atol=1e-5)
    without = run("three classes", "--reverse_complement", "--overwrite")
    pd.testing.assert_frame_equal(table.drop(columns="embedding"), without)


def test_spans_have_the_labels_of_their_tokens(run, saved, records):
    table = run("tokens")
    _, model, tokenizer = saved("tokens")
    pipe = DNATokenClassificationPipeline(model=model, tokenizer=tokenizer, device="cpu", ignore_labels=[])
    for i, tokens in enumerate(pipe(records, aggregation_strategy="none")):
        spans = table[table["id"] == f"s{i}"]
        assert spans["span_start"].iloc[0] == 0 and spans["span_end"].iloc[-1] == len(records[i])
        assert (spans["span_start"].iloc[1:].to_numpy() == spans["span_end"].iloc[:-1].to_numpy()).all()
        assert (spans["predicted"].iloc[1:].to_numpy() != spans["predicted"].iloc[:-1].to_numpy()).all()
        for _, span in spans.iterrows():
            inside = [each for each in tokens if span["span_start"] <= each["start"] < span["span_end"]]
            assert {each["entity"] for each in inside} == {span["predicted"]}
            assert span["p_predicted"] == pytest.approx(np.mean([each["score"] for each in inside]), abs=1e-5)
    assert len(table) > 500 and set(table["predicted"]) == set(LABELS)


def test_a_threshold_decides_and_can_be_given(run):
    half, low = run("two classes"), run("two classes", "--threshold", "0.2", "--overwrite")
    for table, threshold in ((half, 0.5), (low, 0.2)):
        is_second = table["p_E. coli"] >= threshold
        assert table["predicted"].tolist() == [LABELS[int(each)] for each in is_second]
    assert (half["predicted"] != low["predicted"]).any()
    labels = run("labels", "--threshold", "0.9", "--overwrite")
    columns = [f"p_{label}" for label in LABELS]
    for predicted, row in zip(labels["predicted"], labels[columns].to_numpy(), strict=True):
        assert list(predicted) == [LABELS[j] for j in np.flatnonzero(row >= 0.9)]


def test_a_table_keeps_its_columns_and_can_be_read_in_a_spreadsheet(tmp_path, run, saved, records):
    rows = pd.DataFrame({"sequence": records[:4], "label": ["a", "b", "a", None], "score": [1, 2, 3, 4]})
    rows.to_csv(tmp_path / "in.csv", index=False)
    given = ["--input", tmp_path / "in.csv"]
    table = run("three classes", given=given, output="out.tsv")
    assert table.columns.tolist() == ["id", "label", "score", "predicted", *(f"p_{label}" for label in LABELS)]
    np.testing.assert_allclose(
        table.iloc[0, 4:].astype(float), softmax(plain_logits(saved, "three classes", records[0])), atol=1e-5
    )
    assert table["score"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("name", "flags", "words"),
    [
        ("masked LM", [], ["not fine-tuned", "train.py", "embed.py"]),
        ("three classes", ["--threshold", "0.3"], ["--threshold 0.3", "two classes"]),
        ("number", ["--threshold", "0.3"], ["--threshold 0.3", "numbers per sequence"]),
        ("labels", ["--threshold", "1"], ["--threshold 1", "between 0 and 1"]),
        ("tokens", ["--reverse_complement"], ["--reverse_complement", "each token"]),
        ("tokens", ["--long", "windows"], ["--long windows", "each token"]),
        ("three classes", ["--long", "error"], ["s2", "20000 nt"]),
        ("three classes", ["--long", "truncate", "--window_nt", "60"], ["window_nt"]),
    ],
)
def test_what_does_not_go_is_said_in_one_sentence(run, name, flags, words):
    message = run(name, *flags)
    assert all(word in message for word in words), message


@pytest.fixture
def genome(tmp_path):
    """Two chromosomes, and regions on both strands that overlap: files, and the regions."""
    rng = random.Random(1)
    contigs = {"chr2": "".join(rng.choices("ACGT", k=500)), "chr10": "".join(rng.choices("ACGT", k=300))}
    regions = [("chr2", 10, 118, "+"), ("chr10", 0, 90, "-"), ("chr2", 60, 168, "-"), ("chr2", 400, 496, ".")]
    fasta, bed = tmp_path / "genome.fa", tmp_path / "regions.bed"
    fasta.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in contigs.items()))
    bed.write_text("".join(f"{c}\t{a}\t{b}\tr{i}\t0\t{s}\n" for i, (c, a, b, s) in enumerate(regions)))
    return contigs, regions, ["--input", fasta, "--bed", bed]


def coverage(contigs, places, values) -> dict[str, np.ndarray]:
    """The mean value at each base, one base after the other; NaN where there is none."""
    covering = {name: [[] for _ in sequence] for name, sequence in contigs.items()}
    for (chrom, start, end), value in zip(places, values, strict=True):
        for base in range(start, end):
            covering[chrom][base].append(value)
    return {name: np.array([np.mean(each) if each else np.nan for each in of]) for name, of in covering.items()}


def drawn(path, contigs) -> dict[str, np.ndarray]:
    found = {name: np.full(len(sequence), np.nan) for name, sequence in contigs.items()}
    if path.suffix == ".bw":
        file = pybigtools.open(str(path))
        assert dict(file.chroms()) == {name: len(sequence) for name, sequence in contigs.items()}
        rows = [(name, *record) for name in contigs for record in file.records(name)]
    else:
        rows = [line.split("\t") for line in path.read_text().splitlines()]
        assert [(row[0], int(row[1])) for row in rows] == sorted((row[0], int(row[1])) for row in rows)
    for name, start, end, value in rows:
        found[name][int(start) : int(end)] = float(value)
    return found


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize("suffix", ["bedgraph", "bw"])
@pytest.mark.parametrize("name", ["three classes", "number"])
def test_a_track_has_the_mean_of_all_that_covers_a_base(tmp_path, run, saved, genome, name, suffix, windows):
    contigs, regions, given = genome
    places, values = [], []
    for chrom, start, end, strand in regions:
        sequence = contigs[chrom][start:end]
        sequence = reverse_complement(sequence) if strand == "-" else sequence
        size, step = (48, 24) if windows else (len(sequence), 1)
        for a in range(0, max(1, len(sequence) - size + step), step):
            b = min(a + size, len(sequence))
            value = plain_logits(saved, name, sequence[a:b])
            values.append(value[0] if name == "number" else softmax(value)[1])
            places.append((chrom, end - b, end - a) if strand == "-" else (chrom, start + a, start + b))

    flags = ["--long", "windows", "--window_nt", 48, "--stride_nt", 24] if windows else []
    flags += ["--track", LABELS[1]] if name == "three classes" else []
    run(name, *flags, given=given, output=f"out.{suffix}")

    found, expected = drawn(tmp_path / f"out.{suffix}", contigs), coverage(contigs, places, values)
    for chrom in contigs:
        np.testing.assert_allclose(found[chrom], expected[chrom], rtol=0, atol=2e-5)


def test_a_track_of_tokens_has_the_probability_at_each_token(tmp_path, run, saved, genome):
    contigs, regions, given = genome
    run("tokens", "--track", LABELS[1], given=given, output="out.bw")
    found = drawn(tmp_path / "out.bw", contigs)["chr10"]
    _, _, tokenizer = saved("tokens")
    [(_, start, end, _)] = [region for region in regions if region[0] == "chr10"]  # on the other strand, and alone
    sequence = reverse_complement(contigs["chr10"][start:end])
    of_bases = np.repeat(softmax(plain_logits(saved, "tokens", sequence), axis=1)[1:, 1], 6)[::-1]
    assert len(tokenizer(sequence).input_ids) == 1 + len(of_bases) // 6
    np.testing.assert_allclose(found[start:end], of_bases, rtol=0, atol=1e-5)
    assert np.isnan(found[end:]).all()


def test_bed_has_label_score_and_strand_of_regions_and_windows(tmp_path, run, genome):
    contigs, regions, given = genome
    table = run("three classes", given=given)
    run("three classes", given=given, output="out.bed")
    lines = [line.split("\t") for line in (tmp_path / "out.bed").read_text().splitlines()]
    best = table[[f"p_{label}" for label in LABELS]].max(axis=1)
    for line, region, predicted, score in zip(lines, regions, table["predicted"], best, strict=True):
        chrom, start, end, strand = region
        assert line == [chrom, str(start), str(end), predicted, str(round(1000 * float(score))), strand]
    run("labels", *["--long", "windows", "--window_nt", 60, "--stride_nt", 60], given=given[:2], output="windows.bed")
    lines = [line.split("\t") for line in (tmp_path / "windows.bed").read_text().splitlines()]
    expected = [
        (name, a, min(a + 60, len(contigs[name]))) for name in contigs for a in range(0, len(contigs[name]), 60)
    ]
    assert [(line[0], int(line[1]), int(line[2])) for line in lines] == expected
    assert {line[5] for line in lines} == {"."} and len({line[3] for line in lines}) > 1


@pytest.mark.parametrize(
    ("name", "output", "flags", "words"),
    [
        ("three classes", "out.bw", [], ["--track", "Homo sapiens, E. coli, no, none"]),
        ("three classes", "out.bw", ["--track", "mouse"], ["--track mouse", "Homo sapiens"]),
        ("three classes", "out.tsv", ["--track", "E. coli"], ["--track", ".bedgraph and .bw"]),
        ("number", "out.bed", [], [".bed", "numbers"]),
    ],
)
def test_what_cannot_be_drawn_is_said_before_the_work(run, genome, name, output, flags, words):
    message = run(name, *flags, given=genome[2], output=output)
    assert all(word in message for word in words), message


def test_whole_sequences_and_joined_blocks_have_no_place(tmp_path, run, genome):
    _, _, given = genome
    assert "--bed" in run("two classes", given=given[:2], output="out.bw")
    (tmp_path / "regions.bed").write_text("chr2\t0\t90\tx\t0\t+\t0\t90\t0\t2\t30,30\t0,60\n")
    assert "its blocks, joined" in run("two classes", given=given, output="out.bw")
    assert len(run("two classes", given=given)) == 1


def test_an_output_that_is_no_table_is_refused(run):
    assert ".tsv, .csv, .parquet, .bed" in run("three classes", output="out.npy")
    assert Path("out.npy").exists() is False


def test_a_label_with_a_tab_does_not_make_a_column():
    assert tracks._word("a\tb\nc") == "a b c" and tracks._name(["a\tb", "c"]) == "a b,c" and tracks._name([]) == "."


def test_a_value_of_the_beginning_is_not_drawn_along_a_region(run, genome):
    message = run("three classes", "--long", "truncate", "--track", "E. coli", output="o.bedgraph", given=genome[2])
    assert "--long truncate" in message


@pytest.mark.parametrize("name", ["labels", "numbers"])
def test_of_several_labels_or_numbers_none_is_chosen_for_the_track(run, genome, name):
    assert "--track" in run(name, output="o.bedgraph", given=genome[2])


def test_vectors_of_a_classifier_have_neighbours(tmp_path, run, saved):
    run("two classes", "--embeddings")
    arguments = ["--model_name_or_path", saved("two classes")[0], "--input", tmp_path / "in.fa", "--long", "mean"]
    embed.main([*map(str, [*arguments, "--output", tmp_path / "e.parquet", "--device", "cpu"])])
    paths = ["--input", tmp_path / "out.parquet", "--known", tmp_path / "e.parquet", "--output", tmp_path / "n.tsv"]
    neighbours.main([*map(str, paths), "--k", "1"])
    table = pd.read_csv(tmp_path / "n.tsv", sep="\t")
    np.testing.assert_allclose(table["cosine"], 1, atol=1e-6)


def test_the_windows_of_training_are_the_default(tmp_path, run, saved, records):
    folder, model, tokenizer = saved("two classes")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"window_nt": 30, "stride_nt": 18}))
    model.config.window_nt, model.config.stride_nt = 30, 18
    try:
        table = run("two classes")
        windows = run("two classes", "--long", "windows", output="windows.parquet")
        other_stride = run("two classes", "--stride_nt", 30, output="stride.parquet")
        refused = run("two classes", "--stride_nt", 36, output="refused.parquet")
        pipe = DNAClassificationPipeline(model, tokenizer, device="cpu")
        answers, whole = pipe(records[4:]), pipe(records[4:], window_nt=60)
        of_windows, strides = pipe(records[4:], long="windows"), pipe(records[4:], long="mean", stride_nt=30)
        with pytest.raises(ValueError, match="stride_nt"):
            pipe(records[4:], stride_nt=36)
    finally:
        (folder / "config.json").write_text(json.dumps(config))
        model.config.window_nt = model.config.stride_nt = None
    expected = [softmax(mean_by_hand(saved, "two classes", sequence, 30, 18)) for sequence in records[4:]]
    columns = [f"p_{name}" for name in LABELS[:2]]
    np.testing.assert_allclose(table[columns][4:], expected, rtol=0, atol=2e-5)
    np.testing.assert_allclose([list(each["scores"].values()) for each in answers], expected, rtol=0, atol=2e-5)
    assert any(a["score"] != pytest.approx(b["score"], abs=1e-4) for a, b in zip(answers, whole, strict=True))
    assert "--stride_nt 36" in refused or "stride_nt 36" in refused
    np.testing.assert_allclose(
        other_stride[columns][4:], [list(each["scores"].values()) for each in strides], rtol=0, atol=2e-5
    )
    each_window = [list(each["scores"].values()) for answer in of_windows for each in answer]
    np.testing.assert_allclose(windows[columns][-len(each_window) :], each_window, rtol=0, atol=2e-5)
