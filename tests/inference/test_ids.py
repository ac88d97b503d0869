"""Ids in batches -> those that occurred before, compared with a set of the ids themselves."""

from hypothesis import given
from hypothesis import strategies as st

from dnahub.inference.ids import SeenIds


@given(st.lists(st.lists(st.sampled_from([f"gène{i}" for i in range(40)]), max_size=12), max_size=12))
def test_ids_that_occurred_before_are_found_in_the_same_batch_and_in_others(batches):
    seen, expected = SeenIds(), set()
    for batch in batches:
        found = []
        for i, each in enumerate(batch):
            if each in expected:
                found.append(i)
            expected.add(each)
        assert seen.add(batch) == found


def test_a_million_ids_take_8_bytes_each():
    seen = SeenIds()
    for start in range(0, 1_000_000, 8192):
        stop = min(start + 8192, 1_000_000)
        assert seen.add([f"read{i}" for i in range(start, stop)]) == []

    assert sum(array.nbytes for array in seen._sorted) == 8_000_000
    assert len(seen._sorted) < 20
    assert seen.add(["new", "read0", "read999999"]) == [1, 2]
