"""What an exported language backbone makes of an instruction, computed once for each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from vla_nav.contracts import PolicyError
from vla_nav.runtimes.bundle import BundleFiles, read_file, read_graph
from vla_nav.runtimes.graph import Arrays
from vla_nav.runtimes.sessions import open_session


class TextGraph:
    """``text.onnx`` with the token ids of every sentence that can be asked for.

    What a policy is told has been read into one of a few hundred canonical sentences before, so
    that a table of ids stands in for the checkpoint's tokenizer and its library.
    """

    def __init__(self, directory: Path, files: BundleFiles, threads: int = 1) -> None:
        """Load the files; raise PolicyError naming the one that is wrong."""
        assert files.text is not None and files.tokens is not None
        self._source = directory / files.tokens.name
        try:
            self._ids: dict[str, dict[str, Any]] = json.loads(read_file(directory, files.tokens))
        except ValueError as error:
            raise PolicyError(f'{self._source}: cannot be read: {error}; copy the bundle '
                              'again') from error
        self._session = open_session(read_graph(directory, files.text, files.text_weights),
                                     str(directory / files.text.name), 'cpu', threads)
        self._names = [output.name for output in self._session.get_outputs()]

    def read(self, text: str) -> Arrays:
        """Return the policy graph's inputs that depend on the text alone; raise PolicyError."""
        if text not in self._ids:
            raise PolicyError(f'{self._source}: has no tokens for {text!r}; export the bundle '
                              'again with this version')
        fed = {name: np.asarray([ids], np.int64) for name, ids in self._ids[text].items()}
        try:
            return dict(zip(self._names, self._session.run(self._names, fed)))
        except Exception as error:  # ONNX Runtime's errors have no common base of their own
            raise PolicyError(f'{self._source}: the text graph failed to run: {error}') from error
