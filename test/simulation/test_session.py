import pytest

from vla_nav.simulation.expert import Expert
from vla_nav.simulation.scenario import sample
from vla_nav.simulation.session import STEP_NS, Session
from vla_nav.simulation.world import World

SECOND = 1_000_000_000


@pytest.fixture(scope='module')
def world():
    return World(render=False)


@pytest.fixture
def session(world):
    return Session(world, sample(3), command_timeout_s=0.5)


def run(session, begin_ns, seconds, command=None):
    """Tick at 100 Hz, with a command ten times a second; return the time after."""
    for i in range(round(seconds * 100)):
        if command is not None and i % 10 == 0:
            session.command(command(), begin_ns + i * STEP_NS)
        session.tick(begin_ns + i * STEP_NS)
    return begin_ns + round(seconds * 100) * STEP_NS


def test_time_stands_still_until_the_first_command_that_moves(session):
    now = run(session, 0, 5.0, lambda: (0.0, 0.0, 0.0))
    assert session.world.time_s == 0.0 and not session.started
    run(session, now, 1.0, lambda: (0.2, 0.0, 0.0))
    assert session.started
    assert session.world.time_s == pytest.approx(1.0, abs=0.03)


def test_the_base_stops_by_itself_when_commands_cease(session):
    now = run(session, 0, 1.0, lambda: (0.3, 0.0, 0.0))
    assert session.world.velocity[0] > 0.2
    run(session, now, 1.5)
    assert abs(session.world.velocity[0]) < 0.01


def test_a_long_pause_is_dropped_and_counted(session):
    now = run(session, 0, 0.5, lambda: (0.3, 0.0, 0.0))
    before = session.world.time_s
    session.tick(now + 3 * SECOND)
    assert session.world.time_s - before <= 0.11
    assert session.dropped_ns == pytest.approx(2.9 * SECOND, abs=0.05 * SECOND)


def test_a_command_that_is_not_finite_is_refused(session):
    with pytest.raises(ValueError, match='not finite'):
        session.command((float('nan'), 0.0, 0.0), 0)


def test_the_expert_brings_the_episode_to_its_end_once(session):
    expert = Expert(session.world)
    ended = 0
    for i in range(3000):
        if i % 10 == 0:
            session.command(expert.act(), i * STEP_NS)
        ended += session.tick(i * STEP_NS)
    assert ended == 1
    assert session.done and session.judge.outcome().success


def test_reset_begins_anew(session):
    run(session, 0, 1.0, lambda: (0.3, 0.0, 0.0))
    session.reset(sample(4))
    assert not session.started and session.world.time_s == 0.0
    assert session.scenario.seed == 4
