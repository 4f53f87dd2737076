"""The monitor's page in a real browser; not collected where no Chromium can be loaded."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from chromium import COLOURS
from sensor_msgs.msg import Image

from vla_nav.nodes.picture_messages import raw_image
from vla_nav.nodes.running import SENSOR


def test_the_page_shows_the_live_picture(probe, graph, free_ports, tmp_path):
    publisher = probe.node.create_publisher(Image, '/camera/image_raw', SENSOR)
    # Each colour for two seconds, so that a browser without a GPU gets to see it.
    pictures = itertools.cycle([name for name in COLOURS for _ in range(10)])

    def send():
        picture = np.empty((96, 128, 3), np.uint8)
        picture[:] = COLOURS[next(pictures)]
        publisher.publish(raw_image(picture, probe.node.get_clock().now().to_msg(), 'camera'))
    probe.node.create_timer(0.2, send)
    page, data = free_ports
    graph.start('monitor_node', port=page, data_port=data)
    log = graph.log('monitor_node')
    probe.wait_until(lambda: 'open http' in log.read_text(), 'the page is served')
    [address] = re.findall(r'open (http\S+)', log.read_text())
    browser = subprocess.run(
        [sys.executable, str(Path(__file__).with_name('chromium.py')), address,
         str(tmp_path / 'page.png')], capture_output=True, text=True, timeout=400)
    assert browser.returncode == 0, browser.stdout + browser.stderr[-2000:]
    assert all(f'sees {name}' in browser.stdout for name in COLOURS)
