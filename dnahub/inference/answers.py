"""Numbers of a fine-tuned head -> the columns that predict.py writes: labels, probabilities, numbers or spans."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dnahub.inference.columns import Columns
from dnahub.inference.engine import Results
from dnahub.inference.readouts import PROBLEMS
from dnahub.tasks.task import PREDICTED, PROBABILITY

SPAN_COLUMNS = ("span_start", "span_end")  # of a span in its sequence, in nt, 0-based half-open
HALF = 0.5
DRAWN = (".bedgraph", ".bw")  # outputs with a value for each base


@dataclass(frozen=True)
class Answers(Columns):
    """
    What the outputs of a head mean.

    Of two classes the second is predicted from a probability of `threshold` on, of several labels each; None: 0.5. Of
    tokens, neighbours with the same label are one span, with the mean of their probabilities.
    """

    problem: str  # one of `PROBLEMS`
    names: tuple[str, ...]  # of the outputs
    threshold: float | None = None
    track: str | None = None  # the column that is drawn along a genome, if one is

    @property
    def are_spans(self) -> bool:
        return self.problem == "token_classification"

    @property
    def schema(self) -> pa.Schema:
        if self.are_spans:
            places = [(name, pa.int64()) for name in SPAN_COLUMNS]
            drawn = [self.track] if self.track else []
            numbers = [(name, pa.float32()) for name in (PROBABILITY.format(PREDICTED), *drawn)]
            return pa.schema([*places, (PREDICTED, pa.string()), *numbers])
        if self.problem == "regression":
            several = len(self.names) > 1
            return pa.schema([(f"{PREDICTED}_{name}" if several else PREDICTED, pa.float32()) for name in self.names])
        is_list = self.problem == "multi_label_classification"
        predicted = (PREDICTED, pa.list_(pa.string()) if is_list else pa.string())
        return pa.schema([predicted, *((PROBABILITY.format(name), pa.float32()) for name in self.names)])

    def table(self, results: Results) -> tuple[np.ndarray, pa.Table]:
        """Which sequence each row is of, (rows,), and the columns."""
        outputs = results.vectors[:, : len(self.names)]
        if self.are_spans:
            return self._spans(results, outputs)
        columns = list(outputs.T)
        if self.problem != "regression":
            columns.insert(0, self._predicted(outputs))
        return results.sequence, pa.Table.from_arrays([pa.array(each) for each in columns], schema=self.schema)

    def confidence(self, table: pa.Table) -> np.ndarray:
        """The probability of what is predicted in each row, of several labels the highest, (rows,)."""
        if self.are_spans:
            return table[PROBABILITY.format(PREDICTED)].to_numpy()
        probabilities = np.stack([table[PROBABILITY.format(name)].to_numpy() for name in self.names], axis=1)
        if self.problem == "multi_label_classification":
            return probabilities.max(axis=1)
        chosen = [self.names.index(name) for name in table[PREDICTED].to_pylist()]
        return probabilities[np.arange(len(table)), chosen]

    def _predicted(self, probabilities: np.ndarray) -> list[str] | list[list[str]]:
        threshold = HALF if self.threshold is None else self.threshold
        if self.problem == "multi_label_classification":
            return [[self.names[i] for i in np.flatnonzero(row >= threshold)] for row in probabilities]
        if len(self.names) == 2:
            return [self.names[int(is_second)] for is_second in probabilities[:, 1] >= threshold]
        return [self.names[i] for i in probabilities.argmax(axis=1)]

    def _spans(self, results: Results, probabilities: np.ndarray) -> tuple[np.ndarray, pa.Table]:
        sequence, start, end, kept = joined_tokens(results)
        best = probabilities[kept].argmax(axis=1)
        confidence = probabilities[kept].max(axis=1)
        differs = np.diff(sequence, prepend=-1).astype(bool) | np.diff(best, prepend=-1).astype(bool)
        first = np.flatnonzero(differs | (self.track is not None))  # what is drawn has a value for each token
        last = np.append(first[1:], len(best)) - 1
        means = np.add.reduceat(confidence, first) / (last + 1 - first)
        names = [self.names[i] for i in best[first]]
        columns = [start[first], end[last], names, means.astype(np.float32)]
        if self.track:
            columns.append(probabilities[kept][:, self.names.index(self.track.removeprefix(PROBABILITY.format("")))])
        return sequence[first], pa.Table.from_arrays([pa.array(each) for each in columns], schema=self.schema)


def joined_tokens(results: Results) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """
    Tokens of overlapping windows -> each of a sequence once, from the window in which it is farther from an end.

    Returns which sequence it is of, where it begins and ends there in nt, and its place in `results.vectors`, all
    int64 (tokens,).
    """
    row = np.repeat(np.arange(len(results.sequence)), results.num_tokens)
    end = np.cumsum(results.token_nt)
    row_ends = np.cumsum(results.num_tokens)
    before = np.concatenate(([0], end))[row_ends - results.num_tokens]  # nt in the tokens of the rows before
    end = end - before[row] + results.start[row]
    start = end - results.token_nt
    is_letters = results.token_nt > 0
    sequence = results.sequence[row]
    keep = is_letters.copy()
    for i in np.flatnonzero(np.diff(results.sequence) == 0):  # window i and the next one
        first_start = results.start[i + 1]
        window = np.arange(row_ends[i] - results.num_tokens[i], row_ends[i])
        shared = window[is_letters[window] & (start[window] >= first_start)]
        following = np.arange(row_ends[i], row_ends[i + 1])
        same = following[is_letters[following]][: len(shared)]
        keep[shared[len(shared) - len(shared) // 2 :]] = False
        keep[same[: len(shared) - len(shared) // 2]] = False
    kept = np.flatnonzero(keep)
    return sequence[kept], start[kept], end[kept], kept


def choose_track(problem: str, names: Sequence[str], given: str | None, suffix: str) -> str | None:
    """The column that is drawn: that of --track, or the one there is; ValueError if it cannot be told, or is none."""
    if suffix not in DRAWN:
        if given is not None:
            raise ValueError(f"--track {given} is for --output {' and '.join(DRAWN)}; leave it out.")
        return None
    if problem == "token_classification" and given == PREDICTED:
        raise ValueError(f"--track {given}: the output has another column of that name; rename the label.")
    if given is not None and given not in names:
        raise ValueError(f"--track {given}: give one of {', '.join(names)}.")
    if given is None and len(names) > (2 if problem == "single_label_classification" else 1):
        raise ValueError(f"--output *{suffix} has one value per base; name it with --track: {', '.join(names)}.")
    if problem == "regression":
        return PREDICTED if len(names) == 1 else f"{PREDICTED}_{given or names[-1]}"
    return PROBABILITY.format(given or names[-1])


def check_threshold(problem: str, names: Sequence[str], threshold: float | None) -> None:
    """Raises ValueError for a threshold where none decides."""
    decides = problem == "multi_label_classification" or (problem == "single_label_classification" and len(names) == 2)
    if threshold is not None and not decides:
        raise ValueError(
            f"--threshold {threshold:g} is for two classes, or for any number of labels per sequence; this model "
            f"({PROBLEMS[problem]}) takes none: leave it out."
        )
