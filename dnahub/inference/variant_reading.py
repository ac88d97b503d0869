"""Variants -> blocks of alleles, by the names of the genome's chromosomes, planned where still to be scored."""

from collections import Counter
from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from dnahub.inference.blocks import SEQUENCE, digest
from dnahub.inference.parts import Parts
from dnahub.inference.processes import Shard
from dnahub.inference.reading import Work
from dnahub.inference.variants import MISMATCH, SYMBOLIC, UNKNOWN, Allele, Settings, VariantScorer, status_of
from dnahub.sequences.checks import SequenceFileError, shown
from dnahub.sequences.reader import SequenceReader
from dnahub.sequences.variants import Chromosomes

MAX_ALLELES, MAX_NT = 4_096, 4_000_000  # of a block: alleles, and letters of all their windows
MOST_MISMATCHES = 0.01  # of all variants: more are another assembly
NUM_NAMED = 10


def alleles_of(table: pa.Table, chromosomes: Chromosomes) -> list[Allele]:
    """The rows of a table of `open_variants`; of an unknown chromosome, its name stays."""
    rows = zip(*(table[name].to_pylist() for name in ("chrom", "pos", SEQUENCE, "alt")), strict=True)
    return [
        Allele(chromosomes.find(chrom) or chrom, pos - 1, ref.upper(), alt.upper()) for chrom, pos, ref, alt in rows
    ]


def typed(table: pa.Table, name: str) -> pa.Table:
    """`pos` as a number, `chrom` and `alt` as text; an error names the first row of another kind."""
    for column in ("chrom", "alt"):
        i = table.column_names.index(column)
        table = table.set_column(i, column, _texts(table, column, name))
    several = pc.indices_nonzero(pc.match_substring(table["alt"], ","))
    if len(several):
        row = several[0].as_py()
        alts = shown(table["alt"][row].as_py())
        raise SequenceFileError(f"{name}, variant {table['id'][row]}: alt is {alts!r}; give each alternative a row.")
    texts = _texts(table, "pos", name)
    wrong = pc.indices_nonzero(pc.invert(pc.match_substring_regex(texts, r"^[0-9]{1,12}$")))  # 0 is a telomere
    if len(wrong):
        row = wrong[0].as_py()
        raise SequenceFileError(
            f"{name}, variant {table['id'][row]}: pos is {shown(texts[row].as_py())!r}; give the position of its "
            "first base, counted from 1, with at most 12 digits."
        )
    return table.set_column(table.column_names.index("pos"), "pos", texts.cast(pa.int64()))


def _texts(table: pa.Table, column: str, name: str) -> pa.ChunkedArray:
    try:
        return table[column].cast(pa.string()).fill_null("")
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
        kind = table[column].type
        raise SequenceFileError(f"{name}: column {column!r} is {kind}; it must be text or numbers.") from error


def check_reference(
    reader: SequenceReader, name: str, chromosomes: Chromosomes, settings: Settings, kmer: int, allow: bool
) -> Counter[str]:
    """
    Read all variants, and count what is known of them before they are scored, by `status_of`.

    Raises ValueError if more than `MOST_MISMATCHES` are not those of the genome, unless they are allowed.
    """
    counts: Counter[str] = Counter()
    named: list[str] = []
    for batch in reader:
        table = typed(batch.table, name)
        for row, allele in enumerate(alleles_of(table, chromosomes)):
            status = status_of(allele, chromosomes.genome, settings, kmer)
            counts[status] += 1
            if status in (MISMATCH, UNKNOWN) and len(named) < NUM_NAMED:
                found = UNKNOWN
                if status == MISMATCH:
                    end = min(chromosomes.genome.num_nt[allele.chrom], allele.start + len(allele.ref))
                    letters = chromosomes.genome.fetch(allele.chrom, allele.start, end) if end > allele.start else ""
                    found = f"the genome has {letters[:20] or 'no such place'}"
                named.append(f"{table['id'][row]} ({allele.chrom}:{allele.start + 1} {allele.ref[:20]}: {found})")
    wrong, total = counts[MISMATCH] + counts[UNKNOWN], counts.total() - counts[SYMBOLIC]
    if wrong > MOST_MISMATCHES * total and not allow:
        raise ValueError(
            f"{name}: {wrong:,} of {total:,} variants do not have the genome's reference allele, such as "
            f"{'; '.join(named)}; give the genome of their assembly, or --allow_mismatches true to leave them out."
        )
    return counts


def read_variants(
    reader: SequenceReader, name: str, chromosomes: Chromosomes, scorer: VariantScorer, parts: Parts, shard: Shard
) -> Iterator[Work]:
    """All blocks in order, those to be scored here with a plan."""
    settings = scorer.settings
    views = settings.offsets * (1 + settings.reverse_complement) * 2
    size = max(1, min(MAX_ALLELES, MAX_NT // (settings.window_nt * views)))
    bytes_before = 0
    for number, table in enumerate(_in_blocks((typed(batch.table, name) for batch in reader), size)):
        known = digest(table), (reader.bytes_read - bytes_before, len(table), len(table) * settings.window_nt)
        bytes_before = reader.bytes_read
        is_found = shard.has(number) and parts.find(number, known[0]) is not None
        if is_found or not shard.has(number):
            yield Work(*known, is_found)
            continue
        plan = scorer.plan(alleles_of(table, chromosomes))
        i = table.column_names.index(SEQUENCE)
        yield Work(*known, records=table.set_column(i, "ref", table[SEQUENCE].cast(pa.string())), plan=plan)
    reader.check_unchanged()


def _in_blocks(tables: Iterable[pa.Table], size: int) -> Iterator[pa.Table]:
    """Tables of `size` rows, the last of fewer."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        while sum(map(len, waiting)) >= size:
            joined = pa.concat_tables(waiting)
            yield joined.slice(0, size).combine_chunks()
            waiting = [joined.slice(size)]
    if sum(map(len, waiting)):
        yield pa.concat_tables(waiting).combine_chunks()
