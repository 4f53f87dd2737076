"""A policy that does not load is said in the diagnostics, whatever the reason."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from rclpy.lifecycle import TransitionCallbackReturn

from vla_nav.contracts import PolicyError
from vla_nav.nodes import policy_node
from vla_nav.nodes.policy_node import PolicyNode, PolicyParameters
from vla_nav.nodes.reporting import ERROR


@pytest.mark.parametrize(('error', 'says'), [
    (RuntimeError('CUDA out of memory'), 'runs/big: cannot be loaded: RuntimeError: CUDA out of'),
    (RecursionError(), 'runs/big: cannot be loaded: RecursionError'),
    (PolicyError('runs/big/config.json: missing'), 'runs/big/config.json: missing')])
def test_why_a_policy_does_not_load_is_reported(monkeypatch, error, says):
    def load(*_):
        raise error
    monkeypatch.setattr(policy_node, 'load_policy', load)
    node = SimpleNamespace(_config=SimpleNamespace(value=PolicyParameters(bundle='runs/big')),
                           _error='', _thinker=None, _pictures=None)
    assert PolicyNode.on_configure(node, None) is TransitionCallbackReturn.FAILURE
    report = PolicyNode._report(node)
    assert report.level == ERROR and report.message.startswith(says)
