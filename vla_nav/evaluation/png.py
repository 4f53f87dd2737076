"""A figure as a picture."""

from __future__ import annotations

import io

from matplotlib.figure import Figure


def to_png(figure: Figure, dpi: int) -> bytes:
    """Return the figure as a PNG."""
    buffer = io.BytesIO()
    # Without a date or a version inside, the same figures give the same file.
    figure.savefig(buffer, format='png', dpi=dpi, metadata={'Software': None})
    return buffer.getvalue()
