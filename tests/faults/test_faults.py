"""faults.py -> each program under a few of the faults, as CI has time for."""

import pytest

from tests.faults.faults import PROGRAMS, Bench, can_mount, fill, kill, push, starve

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    return Bench(tmp_path_factory.mktemp("faults"), seed=1)


@pytest.mark.parametrize("program", PROGRAMS)
def test_nothing_is_lost_or_doubled_by_kills(bench, program):
    outcome = kill(bench, program, kills=2)
    assert outcome.hits == 2 and outcome.finished and outcome.wrong == []


@pytest.mark.parametrize("program", ["train", "embed"])
def test_after_a_full_disk_the_same_command_goes_on(bench, program, tmp_path):
    if not can_mount(tmp_path):
        pytest.skip("only root may mount a tmpfs")
    outcome = fill(bench, program, disks=1)
    assert outcome.hits == outcome.explained == 1 and outcome.finished and outcome.wrong == []


def test_after_a_limit_of_memory_the_same_command_goes_on(bench):
    outcome = starve(bench, "predict", limits=1)
    assert outcome.hits == 1 and outcome.wrong == []


@pytest.mark.parametrize("kind", ["datasets", "models"])
def test_a_hub_that_fails_at_random_has_all_files_in_one_commit(bench, kind):
    outcome = push(bench, kind, repositories=1)
    assert outcome.hits and outcome.finished == 1 and outcome.wrong == []
