"""Sequences -> how many ambiguous letters they have, and what is wrong with those that are not DNA."""

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


class BadRecord(ValueError):
    """
    A record that cannot be used, while others of its file can; `reason` is the same for all of its kind.

    The message says more, but not where the record is.
    """

    def __init__(self, reason: str, fault: str | None = None):
        super().__init__(fault or reason)
        self.reason = reason


def shown(text: str) -> str:
    """The text, cut where it is too long for a message."""
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"


def one_line(error: Exception) -> str:
    """What an error of a library says, to stand within a sentence."""
    return " ".join(str(error).split()).rstrip(".")


def check_sequences(sequences: pa.LargeStringArray, missing: tuple[str, ...] = ()) -> tuple[int, dict[int, BadRecord]]:
    """
    Check that each sequence is there and consists of IUPAC nucleotide codes, in either case.

    `missing` are texts that stand for no sequence.

    Returns:
        How many letters are other than A, C, G, T, U and N, which a tokenizer reads as N; and, by row, what is wrong
        with sequences that are missing or empty, contain another letter, or are protein.
    """
    is_missing = pc.is_in(sequences, value_set=pa.array([None, "", *missing], sequences.type))
    rows = pc.indices_nonzero(is_missing).to_pylist()
    texts = [sequences[row].as_py() for row in rows]
    faults = {
        row: BadRecord("no sequence", f"no sequence ({text})" if text else None)
        for row, text in zip(rows, texts, strict=True)
    }
    if not len(sequences):
        return 0, faults
    first, stop = sequences.offset, sequences.offset + len(sequences) + 1
    offsets = np.frombuffer(sequences.buffers()[1], dtype=np.int64)[first:stop]
    letters = memoryview(sequences.buffers()[2] or b"")
    rare = bytes(letters[offsets[0] : offsets[-1]]).translate(None, _BASES)
    if not rare.translate(None, _IUPAC_BYTES) and len(rare) <= MIN_PROTEIN_LETTERS // 2:
        return len(rare), faults
    num_rare = 0
    for row in range(len(sequences)):
        if row not in faults:
            try:
                num_rare += _count_rare(bytes(letters[offsets[row] : offsets[row + 1]]))
            except BadRecord as fault:
                faults[row] = fault
    return num_rare, faults


def _count_rare(letters: bytes) -> int:
    rare = letters.translate(None, _BASES)
    if strange := rare.translate(None, _IUPAC_BYTES).decode("utf-8", "replace"):
        position = letters.decode("utf-8", "replace").index(strange[0])
        raise BadRecord(
            "a letter that is not a nucleotide code",
            f"{strange[0]!r} at position {position} (0-based) is not an IUPAC nucleotide code",
        )
    if len(letters) >= MIN_PROTEIN_LETTERS and 2 * len(rare) > len(letters):
        raise BadRecord(
            "protein",
            f"it looks like protein, for {len(rare)} of its {len(letters)} letters are other than A, C, G, T, U and N",
        )
    return len(rare)
