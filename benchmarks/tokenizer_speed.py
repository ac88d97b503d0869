"""Random DNA -> how many times faster our tokenizer is than transformers' EsmTokenizer, on one machine, in one run.

    python -m benchmarks.tokenizer_speed

Each repeat times both, in turn, on the same sequences; the ratio is that of the two times of one repeat.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from transformers import EsmTokenizer

from dnahub.checkpoints.tokenizer import build_tokenizer, nt_vocabulary

REPEATS = 9
# (nt, sequences): about 0.5 Mnt each, windows as in the data set and inputs as long as NT-v2 takes
WORKLOADS = ((60, 8000), (12_000, 40))


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    ours = build_tokenizer(nt_vocabulary(), max_tokens=2048)
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = Path(folder, "vocab.txt")
        vocabulary.write_text("\n".join(nt_vocabulary()))
        theirs = EsmTokenizer(str(vocabulary), eos_token=None, model_max_length=2048)
    print(f"ratio = time of EsmTokenizer / time of ours: min, median, max of {REPEATS} interleaved repeats")
    for window_nt, count in WORKLOADS:
        rng = random.Random(0)
        sequences = ["".join(rng.choices("ACGT", k=window_nt)) for _ in range(count)]
        if ours(sequences).input_ids != theirs(sequences).input_ids:
            raise SystemExit(f"The two tokenizers disagree on sequences of {window_nt} nt: nothing to compare.")
        for name, run in (
            ("one call a sequence", lambda each, batch=sequences: [each(sequence) for sequence in batch]),
            ("one batched call", lambda each, batch=sequences: each(batch)),
        ):
            times = [(seconds(lambda: run(theirs)), seconds(lambda: run(ours))) for _ in range(REPEATS)]  # noqa: B023
            ratios = sorted(slow / fast for slow, fast in times)
            speed = window_nt * count / statistics.median(fast for _, fast in times) / 1e6
            print(
                f"{window_nt:6} nt x {count:5}, {name:19}: {ratios[0]:5.1f} {statistics.median(ratios):5.1f} "
                f"{ratios[-1]:5.1f}   (ours {speed:.1f} Mnt/s)"
            )


if __name__ == "__main__":
    main()
