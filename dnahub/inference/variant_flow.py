"""Variants + genome + model -> one file with a row for each alternative allele: the work of variants.py."""

import time
from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from dnahub.checkpoints.identity import checkpoint_digest
from dnahub.checkpoints.loading import find_checkpoint, head_of, load_for_task
from dnahub.hub_code.pipeline_dna_embedding import UNLIMITED_NT
from dnahub.inference.arguments import ModelArguments, OutputArguments, VariantArguments
from dnahub.inference.computing import compute_missing
from dnahub.inference.encoder import Encoder
from dnahub.inference.model import DTYPES, problem_of
from dnahub.inference.outputs import check_columns, check_output, join, skipped_list
from dnahub.inference.parts import Parts
from dnahub.inference.processes import choose_device, find_shard
from dnahub.inference.progress import Progress
from dnahub.inference.rows import Layout
from dnahub.inference.variant_outputs import STATUS, VariantColumns
from dnahub.inference.variant_reading import Chromosomes, check_reference, read_variants
from dnahub.inference.variants import CHANGE, DISTANCE, LLR, SCORED, Settings, VariantScorer
from dnahub.machine.faults import limits_explained
from dnahub.machine.script import is_first_process
from dnahub.sequences.bad_records import BadRecords
from dnahub.sequences.opening import InputFile
from dnahub.sequences.reader import SequenceReader
from dnahub.sequences.regions import Genome
from dnahub.sequences.variants import open_substitutions, open_variants

SUFFIXES = (".tsv", ".csv", ".parquet", ".vcf", ".gz")


def score_variants(args: VariantArguments, given: ModelArguments, output: OutputArguments) -> None:
    """Score what is missing and, as the last of several processes, write the output."""
    path = Path(output.output)

    # Input
    shard = find_shard(output.shard)
    check_output(path, SUFFIXES, [name for name in (args.vcf, args.genome) if name], output.overwrite)
    annotates = path.name.lower().endswith((".vcf", ".vcf.gz"))
    is_vcf = args.vcf is not None and InputFile(args.vcf).suffix == ".vcf"
    if path.suffix.lower() == ".gz" and not annotates:
        raise ValueError(f"--output {path}: compressed is .vcf.gz alone; name a .tsv or .parquet file.")
    if annotates and not is_vcf:
        raise ValueError(f"--output {path}: scores are added to a VCF file, and --vcf is none; name a .tsv file.")
    genome = Genome(InputFile(args.genome))
    chromosomes = Chromosomes(genome)
    bad = BadRecords(args.bad_records == "skip")

    def opened() -> SequenceReader:
        return open_variants(args.vcf, bad) if args.vcf else open_substitutions(args.saturate, args.bed, genome, bad)

    # Model
    disable_progress_bar()
    files = find_checkpoint(given.model_name_or_path, given.model_revision, given.allow_pickle)
    head = head_of(files)
    scores = tuple(args.scores or [{"masked_lm": LLR, "sequence": CHANGE}.get(head, DISTANCE)])
    for score, needed, what in ((LLR, "masked_lm", "masked tokens"), (CHANGE, "sequence", "predicting something")):
        if score in scores and head != needed:
            raise ValueError(f"--scores {score}: {files.name} has no head for {what}; give another --scores.")
    model, tokenizer = load_for_task(head if head in ("masked_lm", "sequence") else "none", files, None)
    model.to(choose_device(output.device), DTYPES[given.dtype])
    encoder = Encoder(model, tokenizer, output.backend)
    if LLR in scores and tokenizer.mask_token_id is None:
        raise ValueError(f"{files.name}: its tokenizer has no mask token; give --scores distance.")
    settings = Settings(scores, _window(args, encoder), args.reverse_complement, args.offsets, args.llr == "middle")
    if not 1 <= args.offsets <= (encoder.kmer or 1):
        raise ValueError(
            f"--offsets {args.offsets}: a token has {encoder.kmer or 'any number of'} letters; give 1"
            + (f" to {encoder.kmer}." if encoder.kmer else ".")
        )
    is_changed = CHANGE in scores
    names = [model.config.id2label[i] for i in range(model.config.num_labels)] if is_changed else []
    problem = problem_of(model) if is_changed else None
    scorer = VariantScorer(encoder, genome, settings, problem, names, output.batch_tokens)

    # Variants
    name = args.vcf or "--saturate"
    reference = (chromosomes, settings.window_nt, encoder.kmer or 1, args.allow_mismatches)
    known = check_reference(opened(), name, *reference)
    if is_first_process():
        print(f"{known.total():,} alleles: " + ", ".join(f"{status} {n:,}" for status, n in known.most_common()))
        if chromosomes.matched:
            ours, theirs = next(iter(chromosomes.matched.items()))
            print(f"note: chromosome {ours} of the variants is taken for {theirs} of the genome, and so on")
    bad = BadRecords(args.bad_records == "skip")
    reader = opened()
    columns = VariantColumns(tuple(scorer.columns), args.vcf if annotates else None, draws=args.vcf is None)
    layout = Layout(_source(reader), 0, output.output_dtype, with_windows=False, per_token=False, answers=columns)
    check_columns(path, layout.source.names, layout)
    made_by = {
        "model": files.published_name,
        "revision": files.commit,
        "weights": checkpoint_digest(files),
        "scores": list(scores),
        "llr": args.llr,
        "window_nt": settings.window_nt,
        "reverse_complement": args.reverse_complement,
        "offsets": args.offsets,
        "dtype": given.dtype,
        "genome": Path(args.genome).name,
    }
    started = time.perf_counter()
    with limits_explained(path, "a smaller --batch_tokens or --window_nt"):
        parts = Parts(path, made_by, layout)
        blocks = read_variants(reader, name, chromosomes, scorer, parts, shard)
        done = compute_missing(blocks, scorer, parts, Progress("variants", reader.num_bytes, is_first_process()))
        if not shard.joins:
            print(f"shard {shard}: {done.num_parts:,} parts computed now, in {parts.folder}")
            return
        is_free = output.overwrite or not path.exists()
        facts = join(parts, done.digests, path, made_by, bad, genome.num_nt) if is_free else None
    if facts is not None:
        seconds = time.perf_counter() - started
        rows, scored = (sum(each["counts"].get(name, 0) for each in facts) for name in ("rows", SCORED))
        print(
            f"{rows:,} alleles, {scored:,} scored, in {seconds:.1f} s without start-up (parts computed now: "
            f"{done.num_parts:,} of {len(done.digests):,}, {done.num_tokens / seconds:,.0f} tokens/s), the others say "
            f"why in the column {STATUS}"
        )
        if bad.counts:
            print(f"{bad.summary()}, listed in {skipped_list(path)}")
        print(path)
    elif shard.count > 1:
        print(f"process {shard} is done; the last one writes {path}")
    else:
        raise ValueError(f"{path}: another variants.py writes it or has joined its parts; if it failed, run it again.")


def _window(args: VariantArguments, encoder: Encoder) -> int:
    """--window_nt, by default the largest multiple of the k-mers that fits the model."""
    kmer = encoder.kmer or 1
    most = kmer * (encoder.max_tokens - encoder.num_added)  # of tokens of any length, what fits for certain
    if args.window_nt is None:
        return most
    most = most if encoder.kmer else UNLIMITED_NT
    if not 2 * kmer <= args.window_nt <= most or args.window_nt % kmer:
        raise ValueError(f"--window_nt {args.window_nt}: give a multiple of {kmer} from {2 * kmer} to {most}.")
    return args.window_nt


def _source(reader: SequenceReader):
    """The columns of the rows: those of the reader, with `pos` as a number and `ref`."""
    import pyarrow as pa

    kinds = {"pos": pa.int64(), "chrom": pa.string(), "alt": pa.string()}
    fields = [pa.field(each.name, kinds.get(each.name, each.type)) for each in reader.schema]
    return pa.schema([fields[0], pa.field("ref", pa.string()), *fields[1:]])
