"""What goes wrong on the way to an NPU."""

from __future__ import annotations


class NpuError(RuntimeError):
    """A tool is missing, a model cannot be converted, or a compiler refused it."""
