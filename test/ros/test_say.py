"""What is said reaches a running policy, and its answer comes back."""

from __future__ import annotations

import subprocess
import sys

from bundles import NONSENSE
from std_msgs.msg import String

from vla_nav.nodes.running import LATCHED


def _say(text):
    return subprocess.run([sys.executable, '-m', 'vla_nav.cli.main', 'say', text],
                          capture_output=True, text=True, timeout=120)


def test_what_is_said_is_taken_or_refused(probe, graph, bundle):
    probe.watch(String, '/policy/active_instruction', LATCHED)
    graph.start('policy_node', bundle=bundle)
    told = _say('stop at the red ball')
    assert told.returncode == 0, told.stderr
    assert told.stdout.strip() == 'stopped'  # there is no camera
    probe.wait('/policy/active_instruction', lambda m: m.data == 'stop at the red ball', since=0.0)
    refused = _say(NONSENSE)
    assert refused.returncode == 1 and 'not_understood' in refused.stderr
