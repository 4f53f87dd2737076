"""Work is done whatever becomes of the workers, and only once where it can be."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from vla_nav.contracts import PolicyError
from vla_nav.evaluation.crew import ATTEMPTS, GivenUp, LocalCrew, finish


def half(number, folder, dies=False, raises=False, always=False):
    """Return half of a number; die or raise at the first attempt, or always."""
    tries = Path(folder) / str(number)
    with tries.open('a') as file:
        file.write('x')
    first = len(tries.read_text()) == 1
    if dies and (first or always):
        os.kill(os.getpid(), signal.SIGKILL)
    if raises and (first or always):
        raise RuntimeError(f'no half of {number} today')
    return number / 2


def refuse(error):
    raise error


@pytest.fixture(scope='module')
def crew():
    with LocalCrew(2) as crew:
        yield crew


def tries(folder, number):
    return len((folder / str(number)).read_text())


def test_what_a_dead_worker_had_in_hand_is_done_again(crew, tmp_path):
    jobs = [(number, str(tmp_path), number == 3) for number in range(8)]
    assert dict(finish(crew, half, jobs)) == {number: number / 2 for number in range(8)}
    assert tries(tmp_path, 3) == 2 and tries(tmp_path, 0) == 1


def test_who_always_kills_its_worker_is_given_up_and_nobody_else(crew, tmp_path):
    jobs = [(number, str(tmp_path), number == 1, False, True) for number in range(6)]
    found = dict(finish(crew, half, jobs))
    assert isinstance(found.pop(1), GivenUp)
    assert found == {number: number / 2 for number in (0, 2, 3, 4, 5)}


def test_what_raises_is_tried_again_and_then_given_up_with_its_reason(crew, tmp_path):
    jobs = [(0, str(tmp_path), False, True), (1, str(tmp_path), False, True, True)]
    found = dict(finish(crew, half, jobs))
    assert found[0] == 0.0 and tries(tmp_path, 0) == 2
    assert tries(tmp_path, 1) == ATTEMPTS
    assert 'RuntimeError: no half of 1 today' in str(found[1])


def test_what_can_never_work_is_raised_at_once(crew):
    with pytest.raises(PolicyError, match='no such bundle'):
        list(finish(crew, refuse, [(PolicyError('no such bundle'),)] * 3))
