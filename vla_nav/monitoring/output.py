"""Where the monitor's entities go: a page in the browser, or a recording."""

from __future__ import annotations

import socket
from pathlib import Path

import rerun as rr

from vla_nav.monitoring.layout import page


def serve(stream: rr.RecordingStream, web_port: int, data_port: int, memory: str,
          host: str) -> str:
    """Serve the page and its data, and return its address.

    At most ``memory`` ('256MiB') is kept for pages that are opened later; then the oldest goes.
    ``host`` is the name by which browsers reach this machine. Raises ValueError where a port is
    taken.
    """
    for port in (web_port, data_port):
        _must_be_free(port)
    # A browser names the page's origin, and is refused what is not expected.
    stream.serve_grpc(grpc_port=data_port, default_blueprint=page(), server_memory_limit=memory,
                      cors_allow_origin=[f'http://{host}:{web_port}'])
    rr.serve_web_viewer(web_port=web_port, open_browser=False)
    return f'http://{host}:{web_port}/?url=rerun%2Bhttp://{host}:{data_port}/proxy'


def save(stream: rr.RecordingStream, path: Path) -> None:
    """Write everything to a recording, for ``rerun FILE``.

    Its index at the end would be kept in memory until then, so it is left out; ``rerun rrd
    optimize`` adds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stream.save(path, default_blueprint=page(), write_footer=False)


def _must_be_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(('', port))
        except OSError as error:
            raise ValueError(f'port {port}: {error.strerror}; another monitor may be running: '
                             'choose --port and --data-port') from error
