"""Variants + genome + model -> one file with a row for each alternative allele: the work of variants.py."""

from pathlib import Path
from typing import Any

from transformers.utils.logging import disable_progress_bar

from dnahub.checkpoints.identity import checkpoint_digest
from dnahub.checkpoints.loading import find_checkpoint, head_of, load_for_task
from dnahub.hub_code.pipeline_dna_embedding import UNLIMITED_NT
from dnahub.inference.arguments import ModelArguments, OutputArguments, VariantArguments
from dnahub.inference.computing import Computed
from dnahub.inference.encoder import Encoder
from dnahub.inference.flow import compute_and_join
from dnahub.inference.model import DTYPES, problem_of
from dnahub.inference.outputs import check_columns, check_output
from dnahub.inference.parts import Parts
from dnahub.inference.processes import choose_device, find_shard
from dnahub.inference.rows import Layout
from dnahub.inference.variant_outputs import STATUS, VariantColumns, check_info, drawings
from dnahub.inference.variant_reading import check_reference, read_variants
from dnahub.inference.variants import CHANGE, DISTANCE, LLR, SCORED, Settings, VariantScorer
from dnahub.machine.faults import limits_explained
from dnahub.machine.script import is_first_process
from dnahub.machine.text import printable
from dnahub.sequences.bad_records import BadRecords
from dnahub.sequences.opening import InputFile
from dnahub.sequences.reader import SequenceReader
from dnahub.sequences.regions import Genome
from dnahub.sequences.variants import Chromosomes, open_substitutions, open_variants

SUFFIXES = (".tsv", ".csv", ".parquet", ".vcf", ".gz")


def score_variants(args: VariantArguments, given: ModelArguments, output: OutputArguments) -> None:
    """Score what is missing and, as the last of several processes, write the output."""
    path = Path(output.output)

    # Input
    shard = find_shard(output.shard)
    inputs = [name for name in (args.vcf, args.bed, args.genome) if name]
    # A small output may be there before the last of several processes has started.
    overwrites = output.overwrite or not is_first_process()
    check_output(path, SUFFIXES, inputs, overwrites, () if args.vcf else drawings(path))
    annotates = path.name.lower().endswith((".vcf", ".vcf.gz"))
    is_vcf = args.vcf is not None and InputFile(args.vcf).suffix == ".vcf"
    if path.suffix.lower() == ".gz" and not annotates:
        raise ValueError(f"--output {path}: only VCF output can be compressed; name a .tsv or .parquet file.")
    if annotates and not is_vcf:
        raise ValueError(f"--output {path}: scores are added to a VCF file, and --vcf is none; name a .tsv file.")
    if annotates and args.bad_records == "skip":
        raise ValueError(f"--output {path} has every line of {args.vcf}: leave --bad_records skip out.")
    if args.vcf and not InputFile(args.vcf).is_regular:
        raise ValueError(f"--vcf {args.vcf} is read twice, which a pipe cannot be; write it into a file.")
    genome = Genome(InputFile(args.genome))
    chromosomes = Chromosomes(genome)
    bad = BadRecords(args.bad_records == "skip")

    def opened() -> SequenceReader:
        if args.vcf:
            return open_variants(args.vcf, bad)
        return open_substitutions(args.saturate, args.bed, chromosomes, bad)

    # Model
    disable_progress_bar()
    files = find_checkpoint(given.model_name_or_path, given.model_revision, given.allow_pickle)
    head = head_of(files)
    scores = tuple(args.scores or [{"masked_lm": LLR, "sequence": CHANGE}.get(head, DISTANCE)])
    heads = {LLR: ("masked_lm", "masked tokens"), CHANGE: ("sequence", "classification or regression")}
    for score, (needed, what) in heads.items():
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
    known = check_reference(opened(), name, chromosomes, settings, encoder.kmer or 1, args.allow_mismatches)
    if is_first_process():
        others = (f"{status} {number:,}" for status, number in known.most_common() if status != SCORED)
        print(", ".join([f"{known.total():,} alleles: {known[SCORED]:,} to score", *others]))
        if chromosomes.matched:
            ours, theirs = next(iter(chromosomes.matched.items()))
            more = f" (and {len(chromosomes.matched) - 1} more)" if len(chromosomes.matched) > 1 else ""
            print(f"note: chromosome {printable(f'{ours} matched to {theirs}')}{more}")
    bad = BadRecords(args.bad_records == "skip")
    reader = opened()
    drawn = None if args.vcf else _drawn(args.track, scorer)
    columns = VariantColumns(tuple(scorer.columns), args.vcf if annotates else None, drawn)
    if annotates:
        check_info(columns.names, args.vcf)
    layout = Layout(_source(reader), 0, "float32", with_windows=False, per_token=False, answers=columns)
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
        "genome_digest": genome.digest,
    }
    parts = Parts(path, made_by, layout)
    with limits_explained(path, "a smaller --batch_tokens or --window_nt"):
        compute_and_join(
            program="variants.py",
            output=output,
            shard=shard,
            blocks=read_variants(reader, name, chromosomes, scorer, parts, shard),
            computer=scorer,
            parts=parts,
            num_bytes=reader.num_bytes,
            made_by=lambda: made_by,
            contigs=lambda: genome.num_nt,
            bad=bad,
            describe=_describe,
        )


def _describe(facts: list[dict[str, Any]], done: Computed, seconds: float) -> str:
    rows, scored = (sum(each["counts"].get(name, 0) for each in facts) for name in ("rows", SCORED))
    why = f"; the column {STATUS} says why the others were not scored" if scored < rows else ""
    return (
        f"{rows:,} alleles, {scored:,} scored, in {seconds:.1f} s without start-up (parts computed now: "
        f"{done.num_parts:,} of {len(done.digests):,}, {done.num_tokens / seconds:,.0f} tokens/s){why}"
    )


def _window(args: VariantArguments, encoder: Encoder) -> int:
    """--window_nt, by default the largest multiple of the k-mers that fits the model, and its windows in training."""
    kmer = encoder.kmer or 1
    trained = encoder.model.config.to_dict().get("window_nt") or UNLIMITED_NT
    most = kmer * (encoder.max_tokens - encoder.num_added)  # of tokens of any length, what fits for certain
    if args.window_nt is None:
        return min(most, max(2 * kmer, trained // kmer * kmer))
    most = most if encoder.kmer else UNLIMITED_NT
    if not 2 * kmer <= args.window_nt <= most or args.window_nt % kmer:
        raise ValueError(f"--window_nt {args.window_nt}: give a multiple of {kmer} from {2 * kmer} to {most}.")
    return args.window_nt


def _drawn(given: str | None, scorer: VariantScorer) -> str:
    """The score that is drawn: that of --track, else the first one, or of two classes the logit of the second."""
    columns = scorer.columns
    if given is not None and given not in columns:
        raise ValueError(f"--track {given}: give one of {', '.join(columns)}.")
    is_binary = len(scorer.names) == 2 and scorer.problem == "single_label_classification"
    return given or columns[1 if is_binary and columns[0].startswith("d_logit_") else 0]


def _source(reader: SequenceReader):
    """The columns of the rows: those of the reader, with `pos` as a number and `ref`."""
    import pyarrow as pa

    kinds = {"pos": pa.int64(), "chrom": pa.string(), "alt": pa.string()}
    fields = [pa.field(each.name, kinds.get(each.name, each.type)) for each in reader.schema]
    return pa.schema([fields[0], pa.field("ref", pa.string()), *fields[1:]])
