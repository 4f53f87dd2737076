"""A bundle's network as exporters and runtimes take it: named tensors in, named tensors out."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from vla_nav.contracts import PolicyError
from vla_nav.language.intent import FEATURE_SIZE
from vla_nav.policies.compact import CompactPolicy
from vla_nav.policies.eager import load_family
from vla_nav.policies.family import FamilyPolicy
from vla_nav.policies.family_steps import FamilyHead, FamilyStep, TextStep, text_step
from vla_nav.policies.track import TrackConfig, TrackPolicy
from vla_nav.runtimes.bundle import (
    CONFIG_NAME,
    BundleConfig,
    BundleFile,
    BundleFiles,
    EnsembleBundle,
    FamilyBundle,
    Part,
    read_bundle,
    read_file,
)


@dataclass(frozen=True)
class Traceable:
    """``module`` takes ``inputs`` in their order and gives actions, arrived and next_state.

    ``inputs`` maps names to examples, batch 1, the state last. ``config`` is what a bundle of the
    exported network says, but for its files; ``weights`` is the file that the network comes from.
    ``text`` computes those inputs that depend on the instruction alone, where there are any.
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    config: BundleConfig
    directory: Path
    weights: BundleFile
    text: TextStep | None = None


def load_traceable(directory: Path, part: Part = 'full') -> Traceable:
    """Return the network of a bundle, or what is behind its encoder; raise PolicyError."""
    config = read_bundle(directory)
    if isinstance(config, FamilyBundle):
        return _family(directory, config, part)
    if isinstance(config, EnsembleBundle):
        raise PolicyError(f'{directory / CONFIG_NAME}: an ensemble is no network of its own: '
                          'export its members one by one, and name the new bundles as members of '
                          'a copy of this file')
    if not isinstance(config, BundleConfig) or config.files.model is None:
        raise PolicyError(f'{directory / CONFIG_NAME}: architecture is {config.architecture!r}, '
                          'without weights of its own; give the bundle that training wrote')
    state = torch.zeros(1, config.state_size)
    image = torch.zeros(1, config.image.height, config.image.width, 3, dtype=torch.uint8)
    if config.architecture == 'compact':
        compact = load_compact(directory, config)
        told = {'image': image, 'instruction': torch.zeros(1, FEATURE_SIZE), 'state': state}
        if part == 'head':
            feature = torch.zeros(1, compact.config.feature)
            return Traceable(CompactHead(compact), {'features': feature, 'state': state}, config,
                             directory, config.files.model)
        return Traceable(compact.eval(), told, config, directory, config.files.model)
    if config.architecture == 'track' and part == 'full':
        return Traceable(load_track(directory, config).eval(), {'image': image, 'state': state},
                         config, directory, config.files.model)
    raise PolicyError(f'{directory / CONFIG_NAME}: a {config.architecture!r} network has no '
                      f'part {part!r} that can be exported')


class CompactHead(nn.Module):
    """Memory and decision of the compact policy, on one frame's feature [1, F]."""

    def __init__(self, policy: CompactPolicy) -> None:
        """Share the policy's weights."""
        super().__init__()
        self.memory, self.recall, self.decide = policy.memory, policy.recall, policy.decide
        self.act, self.arrive, self.sizes = policy.act, policy.arrive, policy.config
        self.eval()

    def forward(self, features: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run one step: (actions in [-1, 1], arrival probability, next state)."""
        state = self.memory(features, state)
        hidden = self.decide(torch.relu(features + self.recall(state)))
        chunk = self.act(hidden).view(-1, self.sizes.chunk, self.sizes.actions)
        return chunk.clamp(-1.0, 1.0), torch.sigmoid(self.arrive(hidden)), state


def load_compact(directory: Path, config: BundleConfig) -> CompactPolicy:
    """Return a compact bundle's network; raise PolicyError where its weights do not fit."""
    if config.architecture != 'compact' or config.files.model is None:
        raise PolicyError(f'{directory / CONFIG_NAME}: a {config.architecture} bundle, with'
                          f'{"out" if config.files.model is None else ""} weights; this needs a '
                          'compact bundle with model.safetensors')
    return _filled(CompactPolicy(), directory, config.files.model)


def load_track(directory: Path, config: BundleConfig) -> TrackPolicy:
    """Return a track bundle's network; raise PolicyError where its weights do not fit."""
    assert config.files.model is not None
    known = {field.name for field in fields(TrackConfig)}
    sizes = config.training.get('network', {})
    if not set(sizes) <= known:
        raise PolicyError(f'{directory / CONFIG_NAME}: training.network has '
                          f'{sorted(set(sizes) - known)}, which this version does not know; '
                          'train the bundle again')
    return _filled(TrackPolicy(TrackConfig(**sizes)), directory, config.files.model)


def _filled(network: Any, directory: Path, file: BundleFile) -> Any:
    path = directory / file.name
    try:
        weights = load(read_file(directory, file))
        network.load_state_dict({key: value.float() for key, value in weights.items()})
    except (RuntimeError, SafetensorError) as error:
        raise PolicyError(f'{path}: does not fit the network as it is here ({error}); take a '
                          'bundle of this version') from error
    broken = [key for key, value in weights.items() if not torch.isfinite(value).all()]
    if broken:
        raise PolicyError(f'{path}: {len(broken)} weights are not finite, such as {broken[0]}; '
                          'train again or copy the bundle again')
    return network.eval()


def _family(directory: Path, bundle: FamilyBundle, part: Part) -> Traceable:
    policy: FamilyPolicy = load_family(directory, bundle).eval()
    config = BundleConfig(
        name=bundle.name, architecture=str(bundle.family['name']),
        max_observation_age_s=bundle.max_observation_age_s, action_space=bundle.action_space,
        image=bundle.image, step_ns=bundle.step_ns, chunk=bundle.chunk,
        arrived_threshold=bundle.arrived_threshold, state_size=max(1, policy.state_size),
        files=BundleFiles(policy=bundle.files.model, instruction=bundle.files.instruction),
        phrases=bundle.phrases, training=bundle.training)
    state = torch.zeros(1, config.state_size)
    if part == 'head':
        return Traceable(FamilyHead(policy), {'features': torch.zeros(1, policy.feature_size),
                                              'state': state}, config, directory,
                         bundle.files.model)
    text = text_step(policy, bundle.phrases)
    image = torch.zeros(1, config.image.height, config.image.width, 3, dtype=torch.uint8)
    told = text.example() if text else {'instruction': torch.zeros(1, FEATURE_SIZE)}
    return Traceable(FamilyStep(policy, list(told)), {'image': image, **told, 'state': state},
                     config, directory, bundle.files.model, text)
