"""Sequences -> how many ambiguous letters they have, or one sentence about the first that is not DNA."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# IUPAC nucleotide codes, https://doi.org/10.1093/nar/13.9.3021 (U besides T).
IUPAC = "ABCDGHKMNRSTUVWY"
_IUPAC_BYTES = (IUPAC + IUPAC.lower()).encode()
# DNA and RNA consist of these, but for rare ambiguities; where fewer than half of the letters do, it is neither.
_BASES = b"ACGTUNacgtun"
# A protein whose letters are all IUPAC nucleotide codes is recognised by its composition, if it is long enough.
MIN_PROTEIN_LETTERS = 30
# How programs write a missing value as text; NA, na, nan and NaN are IUPAC nucleotide codes, too.
MISSING = ("NA", "na", "NaN", "nan", "N/A", "n/a", "null", "NULL", "None", "none", "<NA>")
LONGEST_SHOWN = 60  # a corrupt file may be one long word


class SequenceFileError(ValueError):
    """A file of sequences that cannot be read; the message names its path and the record."""


def shown(text: str) -> str:
    """The text, cut where it is too long for a message."""
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"


def one_line(error: Exception) -> str:
    """What an error of a library says, to stand within a sentence."""
    return " ".join(str(error).split()).rstrip(".")


def check_sequences(sequences: pa.LargeStringArray, place: Callable[[int], str], missing: tuple[str, ...] = ()) -> int:
    """
    Check that each sequence is there and consists of IUPAC nucleotide codes, in either case.

    `place` says where a row is, as "genes.fa, record 3 (ENST0001)"; `missing` are texts that stand for no sequence.

    Returns:
        How many letters are other than A, C, G, T, U and N: a tokenizer reads them as N.

    Raises:
        SequenceFileError: For the first that is missing or empty, contains another letter, or is protein.
    """
    is_missing = pc.is_in(sequences, value_set=pa.array([None, "", *missing], sequences.type))
    if pc.any(is_missing).as_py():
        row = pc.index(is_missing, True).as_py()
        text = sequences[row].as_py()
        # The sequences before it are checked first, so that the error is about the first of the file.
        check_sequences(sequences.slice(0, row), place)
        raise SequenceFileError(
            f"{place(row)}: no sequence{f' ({text})' if text else ''}; remove the record or complete it."
        )
    if not len(sequences):
        return 0
    first, stop = sequences.offset, sequences.offset + len(sequences) + 1
    offsets = np.frombuffer(sequences.buffers()[1], dtype=np.int64)[first:stop]
    letters = memoryview(sequences.buffers()[2])
    rare = bytes(letters[offsets[0] : offsets[-1]]).translate(None, _BASES)
    if not rare.translate(None, _IUPAC_BYTES) and len(rare) <= MIN_PROTEIN_LETTERS // 2:
        return len(rare)
    for row in range(len(sequences)):
        _check_one(bytes(letters[offsets[row] : offsets[row + 1]]), place, row)
    return len(rare)


def _check_one(letters: bytes, place: Callable[[int], str], row: int) -> None:
    rare = letters.translate(None, _BASES)
    if strange := rare.translate(None, _IUPAC_BYTES).decode("utf-8", "replace"):
        position = letters.decode("utf-8", "replace").index(strange[0])
        raise SequenceFileError(
            f"{place(row)}: {strange[0]!r} at position {position} (0-based) is not an IUPAC nucleotide code "
            f"({IUPAC}); give nucleotide sequences, not protein, without gaps."
        )
    if len(letters) >= MIN_PROTEIN_LETTERS and 2 * len(rare) > len(letters):
        raise SequenceFileError(
            f"{place(row)}: it looks like protein, for {len(rare)} of its {len(letters)} letters are other than A, C, "
            "G, T, U and N; give nucleotide sequences."
        )
