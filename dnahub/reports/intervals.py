"""Predictions and labels -> 95 % bootstrap intervals of the metrics."""

from collections import defaultdict
from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_array

from dnahub.tasks.collators import IGNORED
from dnahub.tasks.evaluation import METRICS, columns, one_versus_rest

PERCENTILES = (2.5, 97.5)
COUNTS_AT_ONCE = 2**17  # resamples x items held at a time: 1 MiB, which stays in the cache; one resample at least
# Metrics of an order (Spearman's correlation, AUROC, AUPRC) cost far more than the others; past this many
# resamples x items x outputs, a few seconds, they take fewer resamples, but never fewer than MIN_RESAMPLES.
ORDERED_AT_MOST = 60_000_000
MIN_RESAMPLES = 200

# How often each row was drawn (resamples, rows) -> values of each metric (resamples,), NaN where undefined.
Scores = Callable[[np.ndarray], dict[str, np.ndarray]]


def bootstrap_intervals(
    problem: str,
    outputs: np.ndarray,
    labels: np.ndarray,
    label_names: list[str],
    seed: int = 0,
    resamples: int = 1000,
) -> dict[str, tuple[float, float]]:
    """
    The 2.5th and 97.5th percentile of each metric over resamples of the rows.

    As `evaluation.measure` on `rows = generator.integers(num_rows, size=num_rows)`, again and again, where a metric is
    taken from the resamples that leave it defined. But no row is copied: all metrics come from how often each was
    drawn. Rows are taken as independent; those of one gene are not quite, which makes the true interval wider. Where
    all rows are right, so are all resamples, and the interval has no width.

    Args:
        problem: One of `METRICS`.
        outputs: As `evaluation.measure` takes them.
        labels: As `evaluation.measure` takes them.
        label_names: As `evaluation.measure` takes them.
        seed: Seed of the draws.
        resamples: How many; fewer for metrics of an order with many rows and outputs, see `ORDERED_AT_MOST`.

    Returns:
        Lower and upper end by the names of `METRICS`, without the loss and without what is undefined. Empty if an
        output is no finite number.
    """
    if problem not in METRICS:
        raise ValueError(f"problem {problem!r}: it is one of {', '.join(METRICS)}.")
    num_rows = len(labels)
    row = np.arange(num_rows)  # of each item that is measured: a row, or a labelled token
    if problem in ("token_classification", "masked_lm"):
        labelled = labels != IGNORED
        row, outputs, labels = np.nonzero(labelled)[0], outputs[labelled], labels[labelled]
    if not len(row) or not np.isfinite(outputs).all():
        return {}
    scores, ordered_scores = _scores(problem, row, outputs, labels, num_rows, len(label_names))
    num_ordered = max(MIN_RESAMPLES, ORDERED_AT_MOST // outputs.size)
    generator = np.random.default_rng(seed)
    values: dict[str, list[np.ndarray]] = defaultdict(list)
    at_once = max(1, COUNTS_AT_ONCE // max(num_rows, len(row)))
    for start in range(0, resamples, at_once):
        draws = [generator.integers(num_rows, size=num_rows) for _ in range(min(at_once, resamples - start))]
        counts = np.stack([np.bincount(draw, minlength=num_rows) for draw in draws]).astype(np.float64)
        found = scores(counts)
        if ordered_scores is not None and start < num_ordered:
            found |= ordered_scores(counts[: num_ordered - start])
        for name, of_draws in found.items():
            values[name].append(of_draws)
    intervals = {}
    for name in METRICS[problem]:
        defined = np.concatenate(values[name]) if name in values else np.empty(0)
        defined = defined[~np.isnan(defined)]
        if len(defined):
            low, high = np.percentile(defined, PERCENTILES)
            intervals[name] = (float(low), float(high))
    return intervals


def _scores(
    problem: str, row: np.ndarray, outputs: np.ndarray, labels: np.ndarray, num_rows: int, num_labels: int
) -> tuple[Scores, Scores | None]:
    """Metrics that follow from sums over items, and those that follow from their order, if there are any."""
    if problem == "masked_lm":
        return _of_masked_tokens(row, labels == outputs, num_rows), None
    if problem == "regression":
        return _of_numbers(columns(labels), columns(outputs)), _spearman(columns(labels), columns(outputs))
    rankings = _rankings(row, *one_versus_rest(problem, outputs, labels))
    if problem == "multi_label_classification":
        return _of_label_sets(labels > 0.5, outputs > 0), rankings
    return _of_classes(row, labels, outputs.argmax(axis=-1), num_rows, num_labels), rankings


def _of_classes(row: np.ndarray, true: np.ndarray, predicted: np.ndarray, num_rows: int, num_labels: int) -> Scores:
    """Accuracy, macro F1 and MCC of labelled items, such as tokens, each of a row."""
    right = true == predicted
    cells = np.concatenate([true[right], num_labels + true, 2 * num_labels + predicted])
    rows = np.concatenate([row[right], row, row])
    # (rows, 3 x labels): in each row, how often each label is predicted and right, is true, is predicted
    sums = csr_array((np.ones(len(cells)), (rows, cells)), shape=(num_rows, 3 * num_labels))

    def scores(counts: np.ndarray) -> dict[str, np.ndarray]:
        right, true, predicted = _totals(counts, sums, 3)  # (resamples, labels) each
        items, all_right = true.sum(axis=1), right.sum(axis=1)
        # Gorodkin's R_K, https://doi.org/10.1016/j.compbiolchem.2004.09.006, and 0 where it is 0 / 0
        covariance = all_right * items - (true * predicted).sum(axis=1)
        variances = (items**2 - (true**2).sum(axis=1)) * (items**2 - (predicted**2).sum(axis=1))
        return {
            "accuracy": _ratio(all_right, items),
            "macro_f1": _mean_of_defined(_ratio(2 * right, true + predicted)),
            "mcc": np.where(items > 0, covariance / np.sqrt(np.where(variances > 0, variances, np.inf)), np.nan),
        }

    return scores


def _of_label_sets(true: np.ndarray, predicted: np.ndarray) -> Scores:
    all_right = (true == predicted).all(axis=1)
    sums = csr_array(np.hstack([true & predicted, true, predicted]).astype(np.float64))

    def scores(counts: np.ndarray) -> dict[str, np.ndarray]:
        right, true, predicted = _totals(counts, sums, 3)  # (resamples, labels) each
        return {
            "micro_f1": _ratio(2 * right.sum(axis=1), (true + predicted).sum(axis=1)),
            "macro_f1": _mean_of_defined(_ratio(2 * right, true + predicted)),
            "subset_accuracy": counts @ all_right / counts.shape[1],
        }

    return scores


def _of_masked_tokens(row: np.ndarray, right: np.ndarray, num_rows: int) -> Scores:
    num_right = np.bincount(row[right], minlength=num_rows)
    num_drawn = np.bincount(row, minlength=num_rows)
    return lambda counts: {"masked_accuracy": _ratio(counts @ num_right, counts @ num_drawn)}


def _of_numbers(true: np.ndarray, predicted: np.ndarray) -> Scores:
    """Pearson's correlation, R² and errors by moments; these are taken about the means, lest digits be lost."""
    error = predicted - true
    y, x = true - true.mean(axis=0), predicted - predicted.mean(axis=0)
    sums = np.hstack([y, x, y * y, x * x, y * x, error * error, np.abs(error)])

    def scores(counts: np.ndarray) -> dict[str, np.ndarray]:
        means = _totals(counts / counts.shape[1], sums, 7)  # (resamples, outputs) each
        mean_y, mean_x, mean_yy, mean_xx, mean_yx, squared_error, absolute_error = means
        variance_y = np.where(_all_same(true, counts), np.nan, mean_yy - mean_y**2)
        variance_x = np.where(_all_same(predicted, counts), np.inf, mean_xx - mean_x**2)  # a correlation of 0
        return {
            "pearson": _mean_of_defined((mean_yx - mean_y * mean_x) / np.sqrt(variance_y * variance_x)),
            "r2": _mean_of_defined(1 - squared_error / variance_y),
            "rmse": np.sqrt(squared_error).mean(axis=1),
            "mae": absolute_error.mean(axis=1),
        }

    return scores


def _spearman(true: np.ndarray, predicted: np.ndarray) -> Scores:
    rankings = [(_ranking(y), _ranking(x)) for y, x in zip(true.T, predicted.T, strict=True)]

    def correlation(counts: np.ndarray, ranks_true: Callable, ranks_predicted: Callable) -> np.ndarray:
        centre = (counts.shape[1] + 1) / 2  # the mean of all ranks
        y, x = ranks_true(counts) - centre, ranks_predicted(counts) - centre
        weighted_y, weighted_x = counts * y, counts * x
        variance_y, variance_x = (weighted_y * y).sum(axis=1), (weighted_x * x).sum(axis=1)
        variance_x = np.where(variance_x > 0, variance_x, np.inf)  # a correlation of 0
        return (weighted_y * x).sum(axis=1) / np.sqrt(np.where(variance_y > 0, variance_y, np.nan) * variance_x)

    def scores(counts: np.ndarray) -> dict[str, np.ndarray]:
        return {"spearman": _mean_of_defined(np.stack([correlation(counts, *pair) for pair in rankings], axis=1))}

    return scores


def _ranking(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Values (rows,) -> a function of how often each row was drawn (resamples, rows) that gives ranks, ties halved."""
    order = np.argsort(values)
    ends = [np.searchsorted(values[order], values, side) for side in ("left", "right")]

    def ranks(counts: np.ndarray) -> np.ndarray:
        _, (lower, as_low) = _drawn_before(counts.take(order, axis=1), ends)
        return (lower + as_low + 1) / 2

    return ranks


def _rankings(row: np.ndarray, true: np.ndarray, scores: np.ndarray) -> Scores:
    """
    AUROC, from the Mann-Whitney statistic with ties halved, and AUPRC as scikit-learn's average precision: the mean,
    over items that have the label, of the precision among all that score as high.

    Args:
        row: Of which row each item is, (items,).
        true: Which items have each label, (items, labels).
        scores: How high they score, (items, labels).
    """
    labels = [_ranking_of_label(row, *label) for label in zip(true.T, scores.T, strict=True)]

    def of_all_labels(counts: np.ndarray) -> dict[str, np.ndarray]:
        auroc, auprc = zip(*(of_label(counts) for of_label in labels), strict=True)
        return {
            "auroc": _mean_of_defined(np.stack(auroc, axis=1)),
            "auprc": _mean_of_defined(np.stack(auprc, axis=1)),
        }

    return of_all_labels


def _ranking_of_label(
    row: np.ndarray, has_label: np.ndarray, score: np.ndarray
) -> Callable[[np.ndarray], tuple[np.ndarray, ...]]:
    order = np.argsort(-score)
    holders = order[has_label[order]]  # items that have the label, the highest score first
    # How many items, and how many holders, score higher than each holder, and how many at least as high.
    all_ends = [np.searchsorted(-score[order], -score[holders], side) for side in ("left", "right")]
    holder_ends = [np.searchsorted(-score[holders], -score[holders], side) for side in ("left", "right")]
    row_in_order, row_of_holders = row[order], row[holders]

    def of_label(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weights = counts.take(row_of_holders, axis=1)  # (resamples, holders), as the next four
        total, (higher, as_high) = _drawn_before(counts.take(row_in_order, axis=1), all_ends)
        positives, (holders_higher, holders_as_high) = _drawn_before(weights, holder_ends)
        negatives = total - positives  # (resamples,)
        # The negatives that score higher, and half of those that score the same.
        lost = (weights * (higher - holders_higher + as_high - holders_as_high)).sum(axis=1) / 2
        precision = (weights * holders_as_high / np.maximum(as_high, 1)).sum(axis=1)
        auprc = np.where(negatives > 0, _ratio(precision, positives), np.nan)
        return 1 - _ratio(lost, positives * negatives), auprc

    return of_label


def _drawn_before(counts: np.ndarray, ends: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """How often all items (resamples, items), and the first so many of them, were drawn; each `ends` is (places,)."""
    drawn = np.zeros((len(counts), counts.shape[1] + 1))
    np.cumsum(counts, axis=1, out=drawn[:, 1:])
    return drawn[:, -1], [drawn.take(end, axis=1) for end in ends]


def _totals(weights: np.ndarray, sums: np.ndarray | csr_array, num_parts: int) -> list[np.ndarray]:
    return np.split(weights @ sums, num_parts, axis=1)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """NaN where it is 0 / 0."""
    return part / np.where(whole > 0, whole, np.nan)


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    """(resamples, labels) -> (resamples,)"""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0).sum(axis=1), defined.sum(axis=1))


def _all_same(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Values (rows, outputs), how often each row was drawn (resamples, rows) -> (resamples, outputs)"""
    return np.stack([np.ptp(values[drawn], axis=0) == 0 for drawn in counts > 0])
