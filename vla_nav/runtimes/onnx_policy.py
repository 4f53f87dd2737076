"""A trained policy run by ONNX Runtime: explicit state, no torch, errors instead of guesses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nav.contracts import PolicyError
from vla_nav.language.intent import FEATURE_SIZE
from vla_nav.language.reader import Reading
from vla_nav.runtimes.bundle import BundleConfig, load_config, read_file
from vla_nav.runtimes.sessions import open_session, short_provider
from vla_nav.runtimes.stepping import Step, SteppingPolicy


class OnnxPolicy(SteppingPolicy):
    """A :class:`vla_nav.contracts.Policy` from a bundle's ``policy.onnx``."""

    def __init__(self, directory: Path, provider: str = 'auto', threads: int = 1) -> None:
        """Load and check the bundle; raise PolicyError naming the file and the remedy."""
        config = load_config(directory)
        source = directory / config.files.policy.name
        self._session = open_session(read_file(directory, config.files.policy), str(source),
                                     provider, threads)
        _check_graph(self._session, config, str(source))
        self._state_size = config.state_size
        super().__init__(config, directory, str(source), short_provider(self._session), threads)

    def _initial_state(self) -> NDArray[np.float32]:
        return np.zeros((1, self._state_size), np.float32)

    def _told_by(self, text: str, reading: Reading | None) -> dict[str, NDArray[np.float32]]:
        if reading is None:
            return {}
        return {'instruction': np.asarray(reading.features, np.float32).reshape(1, -1)}

    def _step(self, image: NDArray[np.uint8], told: Any, state: Any) -> Step:
        try:
            actions, arrived, after = self._session.run(
                ['actions', 'arrived', 'next_state'],
                {**told, 'image': image[None], 'state': state})
        except Exception as error:  # ONNX Runtime's errors have no common base of their own
            raise PolicyError(f'{self.source}: the network failed to run: {error}') from error
        return Step(actions[0], float(arrived[0, 0]), after)


def _check_graph(session: Any, config: BundleConfig, source: str) -> None:
    """Raise PolicyError where the graph's inputs and outputs are not what the config says."""
    wanted_inputs = {
        'image': [1, config.image.height, config.image.width, 3],
        'state': [1, config.state_size],
    }
    if config.files.instruction is not None:
        wanted_inputs['instruction'] = [1, FEATURE_SIZE]
    wanted_outputs = {
        'actions': [1, config.chunk, len(config.action_space.names)],
        'arrived': [1, 1],
        'next_state': [1, config.state_size],
    }
    for wanted, there in ((wanted_inputs, session.get_inputs()),
                          (wanted_outputs, session.get_outputs())):
        shapes = {value.name: value.shape for value in there}
        for name, shape in wanted.items():
            found = shapes.get(name)
            if found is None or len(found) != len(shape) or any(
                    isinstance(f, int) and f != w for f, w in zip(found, shape)):
                raise PolicyError(f'{source}: {name!r} is {found}, config.json asks for {shape}; '
                                  'the two are from different exports: export the bundle again')
