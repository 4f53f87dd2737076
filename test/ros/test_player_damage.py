"""A damaged message does not end a bag that is played."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import String

from vla_nav.nodes.player_node import PlayerNode


class Player:
    """What the player does with a message, without its node."""

    _show, _repeat, _read = PlayerNode._show, PlayerNode._repeat, PlayerNode._read
    _picture_type = CompressedImage

    def __init__(self):
        self._damaged, self._sent, self._last_data = 0, 0, None
        self._info_recorded, self._config = True, SimpleNamespace(
            value=SimpleNamespace(lockstep=False))
        self.said, self.warned, self.shown = [], [], []
        self._pictures = SimpleNamespace(publish=self.shown.append)
        self._say = self.said.append

    def get_logger(self):
        return SimpleNamespace(warning=self.warned.append)


@pytest.mark.parametrize('keep', [0, 3, 12])
def test_a_damaged_message_is_left_out_and_told_once(keep):
    player = Player()
    picture = serialize_message(CompressedImage(format='jpeg', data=bytes(100)))
    said = serialize_message(String(data='stop at the red ball'))
    for raw, play in ((picture, player._show), (said, player._repeat)):
        play(raw[:keep])
        play(raw)
    assert player.shown == [picture] and player.said == ['stop at the red ball']
    assert player._damaged == 2
    warning, = player.warned
    assert 'CompressedImage' in warning
