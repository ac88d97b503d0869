"""
Target -> executions of it with inputs that reach new code, until one fails: findings are files in --found.

    python -m tests.fuzz fasta --seconds 600
"""

import argparse
import sys
from pathlib import Path

import psutil

from tests.fuzz import CORPUS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--runs", type=int, default=-1, help="executions; default: as many as there is time for")
    parser.add_argument(
        "--found", type=Path, default=Path("fuzz"), help="folder of inputs that reach new code, or fail"
    )
    given = parser.parse_args()

    import atheris  # pip install atheris

    with atheris.instrument_imports(include=["dnahub", "dataset_builder", "Bio.GenBank"]):
        from tests.fuzz.targets import TARGETS
    from transformers.utils import logging

    logging.set_verbosity_error()
    target, executions = TARGETS[given.target], 0

    def run(data: bytes) -> None:
        nonlocal executions
        target(data)
        executions += 1
        if executions >= 1024 and not executions & (executions - 1):
            print(f"executions: {executions:,}, RSS: {psutil.Process().memory_info().rss >> 20} MiB", flush=True)

    corpus = given.found / given.target
    corpus.mkdir(parents=True, exist_ok=True)
    flags = [f"-max_total_time={given.seconds}", f"-runs={given.runs}", f"-artifact_prefix={corpus}-"]
    flags += ["-timeout=10", "-rss_limit_mb=4096", "-max_len=4096", "-print_final_stats=1"]
    flags += ["-keep_seed=1", "-reduce_inputs=0"]  # what is done in C has no coverage
    seeds = CORPUS / given.target
    atheris.Setup([sys.argv[0], *flags, str(corpus), *([str(seeds)] if seeds.is_dir() else [])], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
