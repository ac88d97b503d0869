"""Ids in batches -> those that occurred before, compared with a set of the ids themselves."""

from hypothesis import given
from hypothesis import strategies as st

from dnahub.sequences.ids import SeenIds


@given(st.lists(st.lists(st.sampled_from([f"gène{i}" for i in range(40)]), max_size=12), max_size=12))
def test_ids_that_occurred_before_are_found_in_the_same_batch_and_in_others(batches):
    seen, earlier = SeenIds(), []
    for batch in batches:
        assert seen.add(batch) == [i for i, each in enumerate(batch) if each in earlier or each in batch[:i]]
        earlier += batch
