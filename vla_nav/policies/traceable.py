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
from vla_nav.runtimes.graph import FEATURES, Shapes


class Memory(nn.Module):
    """What a head remembers, and nothing of what it decides."""

    def __init__(self, head: nn.Module, features: int) -> None:
        """Share the head's weights; it takes so many features."""
        super().__init__()
        self.head, self.features = head, features
        self.eval()

    def forward(self, features: Tensor, state: Tensor) -> Tensor:
        """Return the state [1, S] after one more step on features [1, F]."""
        after: Tensor = self.head(features, state)[2]
        return after


@dataclass(frozen=True)
class Traceable:
    """``module`` takes ``inputs`` in their order and gives actions, arrived and next_state.

    Where there is a ``memory``, of features [1, F] and state to next state, it gives features too.
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
    memory: Memory | None = None

    @property
    def outputs(self) -> Shapes:
        """Return names and shapes of the outputs, in their order."""
        c = self.config
        found: Shapes = {'actions': [1, c.chunk, len(c.action_space.names)], 'arrived': [1, 1],
                         'next_state': [1, c.state_size]}
        if self.memory is not None:
            found[FEATURES] = [1, self.memory.features]
        return found


def load_traceable(directory: Path, part: Part = 'full', catch_up: bool = True) -> Traceable:
    """Return the network of a bundle, or what is behind its encoder; raise PolicyError.

    ``catch_up``: with the memory by itself too, where there is one that can be cut off.
    """
    config = read_bundle(directory)
    if isinstance(config, FamilyBundle):
        return _family(directory, config, part, catch_up)
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
        memory = Memory(CompactHead(compact), compact.config.feature) if catch_up else None
        return Traceable(CompactStep(compact) if catch_up else compact.eval(), told, config,
                         directory, config.files.model, memory=memory)
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


class CompactStep(CompactHead):
    """A step of the compact policy that shows the frame's feature too."""

    def __init__(self, policy: CompactPolicy) -> None:
        """Share the policy's weights."""
        super().__init__(policy)
        self.policy = policy

    def forward(self, image: Tensor, instruction: Tensor,  # type: ignore[override]
                state: Tensor) -> tuple[Tensor, ...]:
        """Run one step: (actions, arrival probability, next state, feature [1, F])."""
        feature = self.policy.encode(image, instruction).feature
        return *super().forward(feature, state), feature


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


def _family(directory: Path, bundle: FamilyBundle, part: Part, catch_up: bool) -> Traceable:
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
    memory = Memory(FamilyHead(policy), policy.feature_size) if (
        catch_up and policy.recalls_quickly) else None
    return Traceable(FamilyStep(policy, list(told), memory is not None),
                     {'image': image, **told, 'state': state}, config, directory,
                     bundle.files.model, text, memory)
