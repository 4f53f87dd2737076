"""Rows kept on disk, so that memory does not grow with the length of a recording."""

from __future__ import annotations

import tempfile
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Rows:
    """A growing table of one structured ``dtype`` in an unnamed temporary file."""

    def __init__(self, dtype: Any) -> None:
        """Start empty."""
        self.dtype = np.dtype(dtype)
        self._file = tempfile.TemporaryFile()
        # Nobody has to close a table, and no warning of an open file comes when one is gone.
        weakref.finalize(self, self._file.close)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, *values: Any) -> None:
        """Append one row, its fields in their order."""
        row = np.zeros((), self.dtype)
        for name, value in zip(self.dtype.names or (), values):
            row[name] = value
        self._file.write(row.tobytes())
        self._count += 1

    def read(self) -> NDArray[Any]:
        """Return all rows, mapped from the file rather than held in memory."""
        if not self._count:
            return np.zeros(0, self.dtype)
        self._file.flush()
        return np.memmap(self._file, self.dtype, 'r', shape=(self._count,))
