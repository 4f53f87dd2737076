"""From folders of recordings to what a training works on; refuses what would spoil it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vla_nav.contracts import NotUnderstood
from vla_nav.episodes.lint import lint
from vla_nav.language.intent import FEATURE_SIZE
from vla_nav.language.phrases import match_phrase
from vla_nav.policies.config import FamilyConfig
from vla_nav.policies.family import Instructions
from vla_nav.policies.instructions import Reads
from vla_nav.training.family.partition import Parts, partition
from vla_nav.training.family.problems import TrainingError
from vla_nav.training.family.recordings import Recording, read_recordings
from vla_nav.training.family.statistics import action_statistics, check_axes, check_limits
from vla_nav.training.family.steps import Labels
from vla_nav.training.family.windows import Shape

_SHOWN = 5


@dataclass(frozen=True)
class Material:
    """Recordings in the order of their names, their labels and readings, and the parts.

    ``train``, ``validation`` and ``test`` are indices into ``recordings``; ``instructions`` has
    a row a recording. ``statistics`` are of the training part alone.
    """

    recordings: list[Recording]
    parts: Parts
    instructions: Instructions
    labels: Labels
    statistics: dict[str, Any]

    def members(self, part: Sequence[Recording]) -> list[int]:
        """Return the indices of a part's recordings."""
        names = {recording.name for recording in part}
        return [i for i, recording in enumerate(self.recordings) if recording.name in names]

    @property
    def digest(self) -> str:
        """Return a hash of what is trained and validated on."""
        lines = [f'{part} {r.name} {r.pictures} {r.driven} {r.instruction}'
                 for part, members in self.parts._asdict().items() for r in members]
        return hashlib.sha256('\n'.join(lines).encode()).hexdigest()


def gather(config: FamilyConfig, data: Sequence[Path],
           reader: Reads | tuple[str, ...]) -> Material:
    """Read, split and label recordings; raise TrainingError or EpisodeError with the remedy.

    ``reader`` reads the instructions; for recordings of one task it is the ways to name it.
    """
    space, t = config.action.space, config.train
    recordings = read_recordings(data, space.names, t.rate_hz)
    instructions = read_instructions(recordings, reader)
    parts = partition(recordings, t.split_by, t.validation_share, t.test_share, t.seed)
    check_axes(parts.train, space)
    check_limits(parts.train, space)
    shape = Shape(config.window, config.action.chunk, config.step_ns)
    return Material(recordings, parts, instructions, Labels(recordings, shape, space),
                    action_statistics(parts.train, space, config.step_ns))


def read_instructions(recordings: Sequence[Recording],
                      reader: Reads | tuple[str, ...]) -> Instructions:
    """Read what each recording was told; TrainingError names the texts that are refused."""
    def read(text: str) -> Instructions:
        if isinstance(reader, tuple):
            # As the robot does with a policy of one task: the phrase itself, and no features.
            return Instructions((match_phrase(text, reader),), torch.zeros(1, FEATURE_SIZE))
        return Instructions.of([reader.read(text)])
    known: dict[str, Instructions] = {}
    refused: dict[str, str] = {}
    for text in dict.fromkeys(recording.instruction for recording in recordings):
        try:
            known[text] = read(text)
        except NotUnderstood as error:
            refused[text] = str(error)
    if refused:
        where = [r for r in recordings if r.instruction in refused]
        texts = '\n  '.join(list(refused.values())[:_SHOWN])
        raise TrainingError(
            f'the instructions of {len(where)} recordings (first: {where[0].name}) are not '
            f'understood, and the robot would refuse them too:\n  {texts}\nwrite them as the '
            'grammar has them or leave the recordings out; where all show one task of another '
            'kind, name it: --phrase "follow the track"')
    told = [known[recording.instruction] for recording in recordings]
    return Instructions(tuple(one.texts[0] for one in told),
                        torch.cat([one.features for one in told]))


def refuse_lint(data: Sequence[Path], warn: Callable[[str], None]) -> None:
    """Run the linter over every folder; TrainingError where it finds an error."""
    errors: list[str] = []
    warnings: list[str] = []
    for folder in data:
        for finding in lint(folder):
            line = f'{finding.file}: {finding.field}: {finding.message}\n  -> {finding.remedy}'
            (errors if finding.severity == 'error' else warnings).append(line)
    for line in warnings[:_SHOWN]:
        warn(line)
    if len(warnings) > _SHOWN:
        warn(f'{len(warnings) - _SHOWN} more warnings: vla-nav data lint shows them')
    if errors:
        more = f'\n... and {len(errors) - _SHOWN} more' if len(errors) > _SHOWN else ''
        raise TrainingError('vla-nav data lint finds errors in the recordings:\n' +
                            '\n'.join(errors[:_SHOWN]) + more)
