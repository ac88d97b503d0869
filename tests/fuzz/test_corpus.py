"""The corpus, and what hypothesis makes of it -> each is read, or refused by an error of the project."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import CORPUS
from tests.fuzz.targets import TARGETS, config

FILES = {name: sorted((CORPUS / name).iterdir()) for name in TARGETS}
FIELDS = {name for path in FILES["config"] if path.name[0] in "vc" for name in json.loads(path.read_bytes())}
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 70), st.floats(), st.text(), st.lists(st.integers(0, 1)), st.just({})
)


@pytest.mark.parametrize(
    ("name", "path"),
    [(name, path) for name in FILES for path in FILES[name]],
    ids=lambda each: getattr(each, "name", each),
)
def test_every_file_of_the_corpus_is_read_or_refused(name, path):
    TARGETS[name](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_a_damaged_file_is_read_or_refused(name):
    files = [path.read_bytes() for path in FILES[name]]

    @settings(max_examples=40, deadline=None, derandomize=True, database=None)
    @given(st.sampled_from(files), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), st.binary(max_size=4))))
    def damaged(data, edits):
        for place, num_removed, added in edits:
            start = int(place * len(data))
            data = data[:start] + added + data[start + num_removed :]
        TARGETS[name](data)

    damaged()


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.sampled_from([path.read_bytes() for path in FILES["config"] if path.name[0] == "v"]), st.data())
def test_a_configuration_of_other_values_is_honoured_or_refused(data, drawn):
    fields = drawn.draw(st.dictionaries(st.sampled_from(sorted(FIELDS - {"model_type"})), VALUES, max_size=3))
    config(json.dumps(json.loads(data) | fields).encode())
