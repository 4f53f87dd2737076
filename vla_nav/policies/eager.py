"""A trained member of the family as the robot runs it, by PyTorch without export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from vla_nav.contracts import ActionChunk, Frame, PolicyError
from vla_nav.language.intent import FEATURE_SIZE
from vla_nav.language.reader import Reading
from vla_nav.observations.preprocess import to_policy_image
from vla_nav.policies.config import ConfigError, FamilyConfig, validate
from vla_nav.policies.device import torch_device
from vla_nav.policies.family import FamilyPolicy
from vla_nav.policies.instructions import Instructions
from vla_nav.policies.pretrained import WeightsError
from vla_nav.runtimes.bundle import CONFIG_NAME, FamilyBundle, read_file
from vla_nav.runtimes.stepping import Step, SteppingPolicy

# Pictures that are encoded at once where a whole drive is there.
_AT_ONCE = 64


class EagerPolicy(SteppingPolicy):
    """A :class:`vla_nav.contracts.Policy` from a family bundle."""

    def __init__(self, directory: Path, bundle: FamilyBundle, provider: str = 'auto',
                 threads: int = 1) -> None:
        """Load backbones and what was learned; raise PolicyError with the remedy."""
        self._device = torch_device(provider, threads)
        self._policy = load_family(directory, bundle).to(self._device).eval()
        super().__init__(bundle, directory, str(directory / bundle.files.model.name),
                         self._device, threads, runtime='eager')

    def _initial_state(self) -> Tensor:
        return self._policy.initial_state(1)

    def _told_by(self, text: str, reading: Reading | None) -> Instructions:
        told = (Instructions((text,), torch.zeros(1, FEATURE_SIZE)) if reading is None
                else Instructions.of([reading]))
        return told.to(self._device)

    def _step(self, image: NDArray[np.uint8], told: Any, state: Any) -> Step:
        try:
            with torch.inference_mode():
                pictures = torch.from_numpy(np.ascontiguousarray(image))[None].to(self._device)
                self._seen = self._policy.encode(pictures, told)[:, None]
                chunks, arrived, after = self._policy.act(self._seen, state)
                return Step(chunks[0, 0].float().cpu().numpy(), float(arrived.sigmoid()), after)
        except RuntimeError as error:
            raise PolicyError(f'{self.source}: the network failed to run: {error}') from error

    def over_drive(self, frames: Sequence[Frame]) -> list[ActionChunk]:
        """Return what :meth:`act` gives over a whole drive, many pictures at once."""
        self.reset()
        one, state, found = self._instructed(), self._initial_state(), []
        for first in range(0, len(frames), _AT_ONCE):
            some = frames[first:first + _AT_ONCE]
            pictures = torch.from_numpy(np.stack([to_policy_image(
                frame.image, self.spec.image_height, self.spec.image_width) for frame in some]))
            try:
                with torch.inference_mode():
                    seen = self._policy.encode(pictures.to(self._device),
                                               one.select([0] * len(some)))[None]
                    chunks, arrived, state = self._policy.act(seen, state)
            except RuntimeError as error:
                raise PolicyError(f'{self.source}: the network failed to run: {error}') from error
            for frame, chunk, belief in zip(some, chunks[0].float().cpu().numpy(),
                                            arrived[0].sigmoid().tolist()):
                found.append(self._chunk(Step(chunk, belief, state), frame.stamp_ns))
        return found

    def _remember(self, frame: Frame, image: NDArray[np.uint8], state: Any, missed: int) -> Any:
        if not self._policy.recalls_quickly:
            return super()._remember(frame, image, state, missed)
        with torch.inference_mode():  # of what was seen last: without its backbones there is time
            for _ in range(missed):
                state = self._policy.act(self._seen, state)[2]
        return state

    def _finite(self, state: Any) -> bool:
        return bool(torch.isfinite(state).all())


def load_family(directory: Path, bundle: FamilyBundle) -> FamilyPolicy:
    """Return the network of a family bundle; raise PolicyError with the remedy."""
    source = str(directory / bundle.files.model.name)
    try:
        config = validate(bundle.family, f'{directory / CONFIG_NAME}: family')
        _check_agreement(directory, bundle, config)
        policy = FamilyPolicy(config)
        policy.load_learned(load(read_file(directory, bundle.files.model)), source)
    except (ConfigError, WeightsError) as error:
        raise PolicyError(str(error)) from error
    except SafetensorError as error:
        raise PolicyError(f'{source}: cannot be read: {error}; copy the bundle again') from error
    found = policy.fingerprint()
    if found != bundle.backbone_sha256:
        raise PolicyError(f'{directory / CONFIG_NAME}: backbone_sha256 is '
                          f'{bundle.backbone_sha256[:12]}, the backbones here have {found[:12]}: '
                          'they are other weights than it was trained with. Place the same '
                          'checkpoint, or train again')
    return policy


def _check_agreement(directory: Path, bundle: FamilyBundle, config: FamilyConfig) -> None:
    b = config.backbone
    pairs = {
        'action_space': (bundle.action_space.build(), config.action.space),
        'image': ((bundle.image.height, bundle.image.width), (b.height, b.width)),
        'chunk': (bundle.chunk, config.action.chunk),
        'step_ns': (bundle.step_ns, config.step_ns)}
    for key, (there, mine) in pairs.items():
        if there != mine:
            raise PolicyError(f'{directory / CONFIG_NAME}: {key} is {there}, its family section '
                              f'says {mine}; the file was edited: copy the bundle again')
