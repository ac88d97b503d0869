"""Ids -> the first that stands twice, compared with a dict."""

import resource

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnahub.inference.ids import Repeat, SeenIds


def first_repeat(ids) -> tuple[str, int, int] | None:
    seen = {}
    for i, each in enumerate(ids):
        if each in seen:
            return each, seen[each], i
        seen[each] = i
    return None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=2), max_size=8), max_size=6))
def test_the_first_repeat_is_found_with_both_records(tmp_path_factory, parts):
    seen = SeenIds(tmp_path_factory.mktemp("ids") / "ids.sqlite")
    found, taken = None, []
    for part in parts:
        taken += part
        found = seen.add(part)
        if found:
            break
    seen.close()

    assert found == first_repeat(taken)


def test_a_repeat_names_the_id_and_counts_records_from_0(tmp_path):
    seen = SeenIds(tmp_path / "ids.sqlite")

    assert seen.add(["a", "b"]) is None
    assert seen.add(["c", "B", "b"]) == Repeat("b", 1, 4)


def test_the_file_of_a_killed_run_is_replaced_and_the_own_one_removed(tmp_path):
    path = tmp_path / "ids.sqlite"
    path.write_bytes(b"cut off")
    seen = SeenIds(path)

    assert seen.add(["a"]) is None
    seen.close()
    assert not path.exists()


def test_a_file_that_cannot_grow_is_an_error_of_the_system_with_its_name(tmp_path):
    path = tmp_path / "ids.sqlite"
    seen = SeenIds(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="ids.sqlite"):
            for i in range(100):
                seen.add([f"{i}-{j}" * 100 for j in range(1000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
