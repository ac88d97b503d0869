"""Wilson's interval, against its definition and published figures."""

import math

import pytest

from dnahub.reports.wilson import wilson_interval


def test_interval_equals_a_published_example():
    # Newcombe, Stat. Med. 17:857 (1998), table I, method 3: 81 of 263 and 15 of 148.
    assert wilson_interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15 / 148, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)


@pytest.mark.parametrize(("accuracy", "num_examples"), [(0.56, 6000), (1 / 6, 60), (0.9, 10)])
def test_accuracy_lies_1_96_standard_errors_from_both_ends(accuracy, num_examples):
    for end in wilson_interval(accuracy, num_examples):
        standard_error = math.sqrt(end * (1 - end) / num_examples)
        assert abs(accuracy - end) / standard_error == pytest.approx(1.96, abs=1e-3)


def test_interval_stays_within_zero_and_one():
    assert wilson_interval(0.0, 20)[0] == 0.0
    assert wilson_interval(1.0, 20)[1] == 1.0


@pytest.mark.parametrize(("accuracy", "num_examples"), [(1.1, 5), (-0.1, 5), (0.5, 0)])
def test_what_is_no_share_is_an_error(accuracy, num_examples):
    with pytest.raises(ValueError, match="0 to 1"):
        wilson_interval(accuracy, num_examples)
