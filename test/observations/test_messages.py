"""Messages become frames by their fields alone; cv_bridge is used where it imports."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest

from vla_nav.observations.messages import choose_decoder, frame_from_message

_HEADER = SimpleNamespace(stamp=SimpleNamespace(sec=1_795_000_000, nanosec=7))
_PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def _raw() -> SimpleNamespace:
    return SimpleNamespace(header=_HEADER, encoding='bgr8', height=40, width=60, step=180,
                           is_bigendian=0, data=_PICTURE[..., ::-1].tobytes())


def test_raw_and_png_give_the_same_frame():
    png = SimpleNamespace(header=_HEADER, format='png',
                          data=cv2.imencode('.png', _PICTURE[..., ::-1])[1].tobytes())
    for message in (_raw(), png):
        frame = frame_from_message(message)
        assert frame.stamp_ns == 1_795_000_000_000_000_007
        np.testing.assert_array_equal(frame.image, _PICTURE)


def _install_cv_bridge(monkeypatch, convert) -> None:
    module = ModuleType('cv_bridge')
    module.CvBridgeError = type('CvBridgeError', (TypeError,), {})
    module.CvBridge = type('CvBridge', (), {'imgmsg_to_cv2': staticmethod(convert)})
    monkeypatch.setitem(sys.modules, 'cv_bridge', module)


def test_auto_takes_cv_bridge_where_it_imports(monkeypatch):
    _install_cv_bridge(monkeypatch, lambda message, desired_encoding: (desired_encoding, message))
    assert choose_decoder('auto') == 'cv_bridge'
    message = _raw()
    assert frame_from_message(message, 'cv_bridge').image == ('rgb8', message)


def test_what_cv_bridge_refuses_is_a_value_error(monkeypatch):
    def refuse(message, desired_encoding):
        raise sys.modules['cv_bridge'].CvBridgeError('no such conversion')
    _install_cv_bridge(monkeypatch, refuse)
    with pytest.raises(ValueError, match='no such conversion'):
        frame_from_message(_raw(), 'cv_bridge')


def test_without_cv_bridge_numpy_serves_unless_cv_bridge_is_demanded(monkeypatch):
    monkeypatch.setitem(sys.modules, 'cv_bridge', None)
    assert choose_decoder('auto') == 'numpy'
    with pytest.raises(ImportError, match='ros-'):
        choose_decoder('cv_bridge')
    with pytest.raises(ValueError, match='opencv'):
        choose_decoder('opencv')
