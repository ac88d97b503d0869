"""Random weights -> variants per second and a loop over them, nearest neighbours and their product, in turn.

    python benchmarks/answer_throughput.py [--trial]

Variants: log-likelihood ratios on both strands by the engine of variants.py, in the shape of NT-v2-50m, float32, in
windows of 600 nt; substitutions that share places (a saturated region) and such that do not. The loop gives one
variant after the other to transformers' own forward: of each strand, the window with the variant's token masked.
Neighbours: `nearest` for the 10 nearest of vectors of 512 numbers, compared with the matrix product alone.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.embed_throughput import seconds, spread  # noqa: E402
from dnahub.checkpoints.presets import PRESETS  # noqa: E402
from dnahub.checkpoints.tokenizer import build_tokenizer, nt_vocabulary  # noqa: E402
from dnahub.hub_code import NucleotideTransformerConfig, NucleotideTransformerForMaskedLM  # noqa: E402
from dnahub.inference.encoder import Encoder  # noqa: E402
from dnahub.inference.neighbours import BLOCK_ROWS, KNOWN_ROWS, Vectors, nearest  # noqa: E402
from dnahub.inference.variants import LLR, Allele, Settings, VariantScorer, windows_of  # noqa: E402
from dnahub.sequences.opening import InputFile  # noqa: E402
from dnahub.sequences.regions import Genome  # noqa: E402

WINDOW_NT, GENOME_NT, HIDDEN, K = 600, 100_000, 512, 10
REPETITIONS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trial", action="store_true", help="small numbers, which say nothing")
    trial = parser.parse_args().trial
    with tempfile.TemporaryDirectory() as folder:
        compare_variants(Path(folder), 6 if trial else 96, "tiny" if trial else "v2-50m")
        compare_neighbours(Path(folder), 1_000 if trial else 100_000)


def compare_variants(folder: Path, num_places: int, preset: str) -> None:
    torch.manual_seed(0)
    rng = random.Random(0)
    sequence = "".join(rng.choices("ACGT", k=GENOME_NT))
    (folder / "genome.fa").write_text(f">chr1\n{sequence}\n")
    genome = Genome(InputFile(str(folder / "genome.fa")))
    config = NucleotideTransformerConfig(**PRESETS[preset])
    model = NucleotideTransformerForMaskedLM(config).eval()
    tokenizer = build_tokenizer(nt_vocabulary(), config.max_tokens)
    scorer = VariantScorer(Encoder(model, tokenizer), genome, Settings((LLR,), WINDOW_NT, True, 1, False))
    inputs = {
        "saturated": [Allele("chr1", at, sequence[at], alt) for at in range(50_000, 50_000 + num_places // 3)
                      for alt in "ACGT" if alt != sequence[at]],
        "scattered": [Allele("chr1", at, sequence[at], "ACGT"["ACGT".index(sequence[at]) - 1])
                      for at in rng.sample(range(WINDOW_NT, GENOME_NT - WINDOW_NT), num_places)],
    }  # fmt: skip
    for name, alleles in inputs.items():
        ours, loop, ratios = [], [], []
        for _ in range(REPETITIONS):
            ours.append(len(alleles) / seconds(lambda each: scorer.compute(scorer.plan(each)), alleles))
            loop.append(len(alleles) / seconds(one_by_one, model, tokenizer, genome, alleles))
            ratios.append(ours[-1] / loop[-1])
        print(f"{name}: {spread(ours, ',.1f')} variants/s, loop {spread(loop, ',.1f')}, ratio {spread(ratios, '.2f')}")


@torch.no_grad()
def one_by_one(model, tokenizer, genome: Genome, alleles: list[Allele]) -> list[float]:
    scores = []
    for allele in alleles:
        ratio = 0.0
        for window in windows_of(allele, genome, WINDOW_NT, 6):
            ref, alt = (tokenizer(text, return_tensors="pt").input_ids for text in (window.ref, window.alt))
            [place] = (ref[0] != alt[0]).nonzero()[:, 0].tolist()
            masked = ref.clone()
            masked[0, place] = tokenizer.mask_token_id
            logits = model(masked).logits[0, place]
            ratio += float(logits[alt[0, place]] - logits[ref[0, place]]) / 2
        scores.append(ratio)
    return scores


def compare_neighbours(folder: Path, num_rows: int) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((num_rows, HIDDEN), np.float32)
    column = pa.FixedSizeListArray.from_arrays(vectors.reshape(-1), HIDDEN)
    pq.write_table(pa.table({"id": list(map(str, range(num_rows))), "embedding": column}), folder / "known.parquet")
    known = Vectors(str(folder / "known.parquet"))
    mine = torch.from_numpy(vectors[:BLOCK_ROWS])
    blocks = [torch.from_numpy(vectors[i : i + KNOWN_ROWS].copy()) for i in range(0, num_rows, KNOWN_ROWS)]
    ours, product, ratios = [], [], []
    for _ in range(REPETITIONS):
        ours.append(seconds(nearest, mine, known, K))
        product.append(seconds(lambda: [mine @ block.T for block in blocks]))
        ratios.append(product[-1] / ours[-1])
    rows = f"{K} nearest of {num_rows:,} for {len(mine):,} rows"
    print(f"{rows}: {spread(ours, '.2f')} s, product {spread(product, '.2f')} s, ratio {spread(ratios, '.2f')}")


if __name__ == "__main__":
    main()
