"""A policy or a detector that does not load is said in the diagnostics, whatever the reason."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from rclpy.lifecycle import TransitionCallbackReturn

from vla_nav.contracts import PolicyError
from vla_nav.detection.contracts import DetectorError
from vla_nav.nodes import detector_node, policy_node
from vla_nav.nodes.detector_node import DetectorNode
from vla_nav.nodes.policy_node import PolicyNode
from vla_nav.nodes.reporting import ERROR


@pytest.mark.parametrize(('module', 'load', 'kind'), [
    (policy_node, 'load_policy', PolicyNode), (detector_node, 'load_detector', DetectorNode)])
@pytest.mark.parametrize(('error', 'says'), [
    (RuntimeError('CUDA out of memory'), 'runs/big: cannot be loaded: RuntimeError: CUDA out of'),
    (RecursionError(), 'runs/big: cannot be loaded: RecursionError'),
    (PolicyError('runs/big/config.json: missing'), 'runs/big/config.json: missing'),
    (DetectorError('runs/big/config.json: missing'), 'runs/big/config.json: missing')])
def test_why_a_network_does_not_load_is_reported(monkeypatch, module, load, kind, error, says):
    def fail(*_):
        raise error
    monkeypatch.setattr(module, load, fail)
    settings = SimpleNamespace(bundle='runs/big', decoder='numpy', provider='auto', threads=1,
                               runtime='auto')
    node = SimpleNamespace(_config=SimpleNamespace(value=settings), _error='', _thinker=None,
                           _worker=None, _pictures=None)
    assert kind.on_configure(node, None) is TransitionCallbackReturn.FAILURE
    report = kind._report(node)
    assert report.level == ERROR and report.message.startswith(says)
