"""A trained policy run by ONNX Runtime: explicit state, no torch, errors instead of guesses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nav.contracts import ActionChunk, Frame, PolicyError, PolicySpec
from vla_nav.language.intent import FEATURE_SIZE
from vla_nav.language.phrases import match_phrase
from vla_nav.language.reader import InstructionReader
from vla_nav.observations.preprocess import to_policy_image
from vla_nav.runtimes.bundle import BundleConfig, load_config, read_file
from vla_nav.runtimes.sessions import open_session, short_provider

# Share of a step after which the memory moves on. Below 1, since a camera at the trained rate
# jitters about it; well above 1/2, so that a camera twice as fast does not double the pace.
_COMMIT_AFTER = 0.75


class OnnxPolicy:
    """A :class:`vla_nav.contracts.Policy` from a bundle's ``policy.onnx``.

    The memory advances at the trained rate whatever the camera's: a frame that comes earlier
    than 0.75 of a step after the last one that moved it gets an action and leaves it as it was.
    """

    def __init__(self, directory: Path, provider: str = 'auto', threads: int = 1) -> None:
        """Load and check the bundle; raise PolicyError naming the file and the remedy."""
        self._config = load_config(directory)
        files = self._config.files
        self._source = str(directory / files.policy.name)
        self._session = open_session(read_file(directory, files.policy), self._source, provider,
                                     threads)
        _check_graph(self._session, self._config, self._source)
        self._reader: InstructionReader | None = None
        if files.instruction is not None:
            read_file(directory, files.instruction)  # compares the checksum
            self._reader = InstructionReader(directory / files.instruction.name, threads)
        self._space = self._config.action_space.build()
        self._spec = PolicySpec(
            name=self._config.name, action_space=self._space,
            image_height=self._config.image.height, image_width=self._config.image.width,
            step_ns=self._config.step_ns, chunk=self._config.chunk,
            max_observation_age_s=self._config.max_observation_age_s,
            arrived_threshold=self._config.arrived_threshold,
            provider=short_provider(self._session))
        # What the text says, as inputs of the graph; None while there is no instruction.
        self._told: dict[str, NDArray[np.float32]] | None = None
        self.reset()

    @property
    def spec(self) -> PolicySpec:
        """Return the static description."""
        return self._spec

    def reset(self) -> None:
        """Forget the past: a new episode begins. The instruction stays."""
        self._state = np.zeros((1, self._config.state_size), np.float32)
        self._newest_ns: int | None = None
        self._committed_ns: int | None = None

    def set_instruction(self, text: str) -> str:
        """Read a new instruction and return its reading; raise NotUnderstood.

        After a refusal there is no instruction, so that the old one is not carried on with. The
        memory belongs to the old task and is cleared too.
        """
        self._told = None
        self.reset()
        if self._reader is None:
            phrase = match_phrase(text, self._config.phrases)
            self._told = {}
            return phrase
        reading = self._reader.read(text)
        self._told = {'instruction': np.asarray(reading.features, np.float32).reshape(1, -1)}
        return reading.intent.describe()

    def act(self, frame: Frame) -> ActionChunk:
        """Return the chunk for this frame; raise PolicyError rather than invent one."""
        if self._told is None:
            raise PolicyError('there is no instruction to follow: set one that is understood')
        if self._newest_ns is not None and frame.stamp_ns < self._newest_ns:
            self.reset()  # time went back: a new run, a looped video or a restarted simulator
        image = to_policy_image(frame.image, self._spec.image_height, self._spec.image_width)
        actions, arrived, state = self._run({**self._told, 'image': image[None],
                                             'state': self._state})
        if (self._committed_ns is None
                or frame.stamp_ns - self._committed_ns >= _COMMIT_AFTER * self._spec.step_ns):
            self._state, self._committed_ns = state, frame.stamp_ns
        self._newest_ns = frame.stamp_ns
        return ActionChunk(self._space.denormalise(actions[0]), self._spec.step_ns,
                           frame.stamp_ns, float(np.clip(arrived[0, 0], 0.0, 1.0)))

    def _run(self, inputs: dict[str, Any]) -> list[NDArray[np.float32]]:
        try:
            outputs = self._session.run(['actions', 'arrived', 'next_state'], inputs)
        except Exception as error:  # ONNX Runtime's errors have no common base of their own
            raise PolicyError(f'{self._source}: the network failed to run: {error}') from error
        for name, value in zip(('actions', 'arrived', 'next_state'), outputs):
            if not np.isfinite(value).all():
                raise PolicyError(f'{self._source}: the network gave a non-finite {name!r}; '
                                  'the robot must not follow it. Reset the policy; where it '
                                  'happens again, choose another bundle')
        return outputs


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
