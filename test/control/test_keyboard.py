import pytest

from vla_nav.control.keyboard import Keyboard, Wish
from vla_nav.control.limits import ZERO, Velocity

MS = 1_000_000


@pytest.fixture
def keyboard():
    return Keyboard(speed=0.3, turn=0.8)


def test_nothing_is_sent_before_a_key_and_after_giving_back(keyboard):
    assert keyboard.velocity(0) is None
    keyboard.press('w', 0)
    assert keyboard.velocity(0) == Velocity(0.3)
    keyboard.press('g', MS)
    assert keyboard.velocity(MS) is None


@pytest.mark.parametrize(('key', 'velocity'), [
    ('s', (-0.3, 0, 0)), ('q', (0, 0.3, 0)), ('e', (0, -0.3, 0)),
    ('a', (0, 0, 0.8)), ('d', (0, 0, -0.8)), (' ', (0, 0, 0))])
def test_directions_follow_the_axes_of_the_base(keyboard, key, velocity):
    keyboard.press(key, 0)
    assert keyboard.velocity(0) == pytest.approx(velocity)


def test_letting_go_stops_the_robot_and_keeps_control(keyboard):
    keyboard.press('w', 0)
    assert keyboard.velocity(599 * MS).linear_x > 0
    assert keyboard.velocity(600 * MS) == ZERO
    assert keyboard.velocity(60_000 * MS) == ZERO


def test_faster_and_slower_undo_each_other_and_take_no_control(keyboard):
    keyboard.press('+', 0)
    assert keyboard.speed > 0.3 and keyboard.velocity(0) is None
    keyboard.press('-', 0)
    assert keyboard.speed == pytest.approx(0.3)


def test_the_e_stop_is_a_wish_of_its_own(keyboard):
    assert keyboard.press('x', 0) is Wish.E_STOP
    assert keyboard.press('r', 0) is Wish.RELEASE
    assert keyboard.press('?', 0) is Wish.NOTHING
