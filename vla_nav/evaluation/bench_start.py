"""A process that loads a policy, acts once, and says when that was and what memory it took."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from vla_nav.contracts import Frame, Policy
from vla_nav.evaluation.machine import memory_mb
from vla_nav.runtimes import load_policy
from vla_nav.runtimes.bundle import read_bundle

_SENTENCE = 'Pass the box on its left and stop at the red cup.'


def ready(bundle: str, runtime: str, threads: int) -> Policy:
    """Load a bundle's policy and tell it something that it understands; raise PolicyError."""
    policy = load_policy(bundle, 'auto', threads, runtime)
    phrases = getattr(read_bundle(Path(bundle)), 'phrases', ())
    policy.set_instruction(phrases[0] if phrases else _SENTENCE)
    return policy


def main(bundle: str, runtime: str, threads: str) -> None:
    """Print ``first_command_at`` (seconds of the system's clock) and ``peak_mb``."""
    policy = ready(bundle, runtime, int(threads))
    policy.act(Frame(np.zeros((720, 1280, 3), np.uint8), 0))
    now = time.time()
    print(json.dumps({'first_command_at': now, 'peak_mb': memory_mb()}))


if __name__ == '__main__':
    main(*sys.argv[1:])
