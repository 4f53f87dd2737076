"""What all single-network policies share: reading, the pace of the memory, refusing nonsense."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_nav.contracts import ActionChunk, Frame, PolicyError, PolicySpec
from vla_nav.language.phrases import match_phrase
from vla_nav.language.reader import InstructionReader, Reading
from vla_nav.observations.preprocess import to_policy_image
from vla_nav.runtimes.bundle import Network, read_file

# Share of a step after which the memory moves on. Below 1, since a camera at the trained rate
# jitters about it; well above 1/2, so that a camera twice as fast does not double the pace.
_COMMIT_AFTER = 0.75
# A picture stands for the time since the one before it, but for no more steps than these.
_MOST_STEPS = 10


class Step(NamedTuple):
    """One step: normalised ``actions`` float32 [K, A], belief to have arrived, next memory."""

    actions: NDArray[np.float32]
    arrived: float
    state: Any


class SteppingPolicy(ABC):
    """A :class:`vla_nav.contracts.Policy` around a network with explicit memory.

    The memory advances at the trained rate whatever the camera's: a frame that comes earlier
    than 0.75 of a step after the last one that moved it gets an action and leaves it as it was;
    one that comes after several steps moves it by as many, where there is time to catch up.
    Subclasses give ``_initial_state``, ``_told_by`` and ``_step``, and where their memory is no
    array ``_finite``.
    """

    def __init__(self, config: Network, directory: Path, source: str, provider: str,
                 threads: int, fallback: str = '', runtime: str = 'none') -> None:
        """Read what ``config`` says; ``source`` names the network in errors.

        Raises PolicyError naming the file and the remedy.
        """
        self.source = source
        self._phrases = config.phrases
        self._reader: InstructionReader | None = None
        instruction = config.files.instruction
        if instruction is not None:
            read_file(directory, instruction)  # compares the checksum
            self._reader = InstructionReader(directory / instruction.name, threads)
        self._space = config.action_space.build()
        self._spec = PolicySpec(
            name=config.name, action_space=self._space, image_height=config.image.height,
            image_width=config.image.width, step_ns=config.step_ns, chunk=config.chunk,
            max_observation_age_s=config.max_observation_age_s,
            arrived_threshold=config.arrived_threshold, provider=provider, runtime=runtime,
            fallback=fallback)
        self._told: Any = None  # what the text says; None while there is no instruction
        self.reset()

    @property
    def spec(self) -> PolicySpec:
        """Return the static description."""
        return self._spec

    def reset(self) -> None:
        """Forget the past: a new episode begins. The instruction stays."""
        self._state = self._initial_state()
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
            said, reading = match_phrase(text, self._phrases), None
        else:
            reading = self._reader.read(text)
            said = reading.intent.describe()
        self._told = self._told_by(said, reading)
        return said

    def tell(self, reading: Reading) -> None:
        """Take an instruction that somebody else has read; the memory is cleared."""
        self.reset()
        self._told = self._told_by(reading.intent.describe(), reading)

    def act(self, frame: Frame) -> ActionChunk:
        """Return the chunk for this frame; raise PolicyError rather than invent one."""
        told = self._instructed()
        if self._newest_ns is not None and frame.stamp_ns < self._newest_ns:
            self.reset()  # time went back: a new run, a looped video or a restarted simulator
        image = to_policy_image(frame.image, self._spec.image_height, self._spec.image_width)
        step = self._step(image, told, self._state)
        chunk = self._chunk(step, frame.stamp_ns)
        if passed := self._passed(frame.stamp_ns):
            self._state = self._remember(frame, image, step.state, passed - 1)
            self._committed_ns = frame.stamp_ns
        self._newest_ns = frame.stamp_ns
        return chunk

    def over_drive(self, frames: Sequence[Frame]) -> list[ActionChunk]:
        """Return what :meth:`act` gives over a whole drive, whose frames are one step apart.

        A network that computes many frames at once is quicker here. The memory is cleared first.
        """
        self.reset()
        return [self.act(frame) for frame in frames]

    def _instructed(self) -> Any:
        """Return what the network takes for the instruction; raise PolicyError without one."""
        if self._told is None:
            raise PolicyError('there is no instruction to follow: set one that is understood')
        return self._told

    def _chunk(self, step: Step, stamp_ns: int) -> ActionChunk:
        finite = {'actions': np.isfinite(step.actions).all(), 'arrived': np.isfinite(step.arrived),
                  'next_state': self._finite(step.state)}
        for name, is_finite in finite.items():
            if not is_finite:
                raise PolicyError(f'{self.source}: the network gave a non-finite {name!r}; '
                                  'the robot must not follow it. Reset the policy; where it '
                                  'happens again, choose another bundle')
        return ActionChunk(self._space.denormalise(step.actions), self._spec.step_ns,
                           stamp_ns, float(np.clip(step.arrived, 0.0, 1.0)))

    def _passed(self, stamp_ns: int) -> int:
        """Return how many steps the memory moves on; 0 for a picture that comes too early."""
        if self._committed_ns is None:
            return 1
        steps = (stamp_ns - self._committed_ns) / self._spec.step_ns
        return min(max(1, round(steps)), _MOST_STEPS) if steps >= _COMMIT_AFTER else 0

    def _remember(self, frame: Frame, image: NDArray[np.uint8], state: Any, missed: int) -> Any:
        """Return the memory after a picture that stands for ``missed`` more before it.

        Without them a camera or a model that misses pictures would make the memory last longer
        than it was trained to.
        """
        if frame.catch_up:
            for _ in range(missed):
                state = self._step(image, self._told, state).state
        return state

    @abstractmethod
    def _initial_state(self) -> Any:
        """Return the memory of nothing."""

    @abstractmethod
    def _told_by(self, text: str, reading: Reading | None) -> Any:
        """Return what the network takes for an instruction; ``reading`` is None for a phrase."""

    @abstractmethod
    def _step(self, image: NDArray[np.uint8], told: Any, state: Any) -> Step:
        """Run the network on uint8 [H, W, 3]; raise PolicyError where that fails."""

    def _finite(self, state: Any) -> bool:
        return bool(np.isfinite(state).all())
