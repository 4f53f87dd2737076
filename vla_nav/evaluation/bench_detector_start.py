"""A process that only detects: when its first boxes were there, and what memory it took."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from vla_nav.detection.onnx_detector import load_detector
from vla_nav.evaluation.machine import memory_mb


def main(folder: str, threads: str, rounds: str, *files: str) -> None:
    """Print ``first_boxes_at`` (seconds of the system's clock) and ``peak_mb``."""
    detector = load_detector(folder, int(threads), 'cpu')
    pictures = [Path(file).read_bytes() for file in files]
    detector.detect_encoded(pictures[0])
    now = time.time()
    for _ in range(int(rounds)):
        for picture in pictures:
            detector.detect_encoded(picture)
    print(json.dumps({'first_boxes_at': now, 'peak_mb': memory_mb()}))


if __name__ == '__main__':
    main(*sys.argv[1:])
