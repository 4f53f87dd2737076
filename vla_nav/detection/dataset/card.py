"""What a generated data set says of itself: ``data.yaml``, ``dataset.json``, card and sheet."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from vla_nav.detection.dataset import effects
from vla_nav.detection.dataset.generate import (
    DATASET_VERSION,
    Settings,
    label_path,
    picture_path,
)
from vla_nav.detection.dataset.sheet import contact_sheet
from vla_nav.detection.dataset.shots import CAMERAS, SPLITS, Shot
from vla_nav.detection.dataset.things import CLASSES
from vla_nav.detection.dataset.yolo import DATA_YAML, read_labels
from vla_nav.evaluation.markdown import table_lines
from vla_nav.simulation.scenario import SCENARIO_VERSION

FACTS_NAME, CARD_NAME, SHEET_NAME = 'dataset.json', 'card.md', 'sheet.png'
_ON_SHEET = 36


def finish_dataset(out: Path, settings: Settings, shots: Sequence[Shot]) -> dict[str, Any]:
    """Write all that stands beside pictures and labels, and return what ``dataset.json`` holds."""
    facts = _facts(out, settings, shots)
    for split in SPLITS:
        chosen = [shot for shot in shots if shot.split == split][:_ON_SHEET]
        pairs = [(picture_path(out, shot), label_path(out, shot)) for shot in chosen]
        (out / f'{split}_{SHEET_NAME}').write_bytes(contact_sheet(pairs, CLASSES))
    (out / CARD_NAME).write_text(_card(facts), 'utf-8')
    (out / FACTS_NAME).write_text(json.dumps(facts, indent=1) + '\n', 'utf-8')
    # Last, since this is what makes the folder a data set.
    (out / DATA_YAML).write_text(_description(facts), 'utf-8')
    return facts


def _facts(out: Path, settings: Settings, shots: Sequence[Shot]) -> dict[str, Any]:
    return {
        'format_version': 1, 'version': DATASET_VERSION, 'scenario_version': SCENARIO_VERSION,
        'vla_nav': metadata.version('vla_nav') if _installed('vla_nav') else 'source',
        'mujoco': metadata.version('mujoco'), 'settings': settings.to_dict(),
        'classes': list(CLASSES),
        'splits': {split: _split(out, [s for s in shots if s.split == split])
                   for split in SPLITS},
        'pictures': {shot.stem: {'group': shot.group, 'camera': shot.camera.name,
                                 'cell': shot.cell, 'scene_seed': shot.scene_seed}
                     for shot in shots},
    }


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _split(out: Path, shots: Sequence[Shot]) -> dict[str, Any]:
    labels = [read_labels(label_path(out, shot), len(CLASSES)) for shot in shots]
    found = Counter(CLASSES[int(row[0])] for rows in labels for row in rows)
    return {'pictures': len(shots), 'background': sum(not len(rows) for rows in labels),
            'instances': {name: found[name] for name in CLASSES},
            'groups': dict(sorted(Counter(shot.group for shot in shots).items())),
            'cameras': dict(sorted(Counter(shot.camera.name for shot in shots).items()))}


def _description(facts: Mapping[str, Any]) -> str:
    filled = [split for split in SPLITS if facts['splits'][split]['pictures']]
    # Without `path` the folder can be moved: ultralytics then takes the folder of this file.
    return yaml.safe_dump({**{split: f'images/{split}' for split in filled},
                           'names': dict(enumerate(facts['classes']))}, sort_keys=False)


def _card(facts: Mapping[str, Any]) -> str:
    settings, splits = facts['settings'], facts['splits']
    limits, size = settings['limits'], settings['size']
    used = [split for split in SPLITS if splits[split]['pictures']]
    counts = ' '.join(f'--{split} {settings[split]}' for split in SPLITS)
    lines = [
        f'# Obstacles of the simulator, version {facts["version"]}', '',
        'Rendered pictures with boxes in ultralytics YOLO format, made by', '',
        f'    vla-nav detector dataset --out DIR {counts} --seed {settings["seed"]} '
        f'--size {size} --min-side {limits["side_px"]:g} --min-visible {limits["visible"]:g}', '',
        f'with vla_nav {facts["vla_nav"]}, MuJoCo {facts["mujoco"]} and scenes of version '
        f'{facts["scenario_version"]}. Licence: Apache-2.0.', '',
        '## Instances', '',
        *table_lines(('class', *used), [
            (name, *(splits[split]['instances'][name] for split in used))
            for name in facts['classes']]),
        *table_lines(('', *used), [
            (what, *(splits[split][what] for split in used))
            for what in ('pictures', 'background')])[2:], '',
        '## Scenes', '',
        *table_lines(('scenes', *used), [
            (group, *(splits[split]['groups'].get(group, 0) for split in used))
            for group in sorted({g for split in used for g in splits[split]['groups']})]), '',
        'Tasks are the scenes of all families that the policy drives in; clutter is rooms full '
        'of things; layouts and appearance are the held-out layouts, and the held-out textures, '
        'colours and kinds, which only the test shows. No scene is in two splits. The robot '
        'stands on its way, before a thing, or anywhere that is free.', '',
        '## Cameras', '',
        *table_lines(('camera', 'pixels', 'vertical field of view', *used), [
            (camera.name, f'{camera.width} × {camera.height}',
             '{:g} to {:g}°'.format(*camera.fovy_deg) if camera.fovy_deg else "the scene's",
             *(splits[split]['cameras'].get(camera.name, 0) for split in used))
            for camera in CAMERAS]), '',
        f'{100 * effects.CLEAN:.0f} % of the pictures are as the simulator draws them. The '
        'others have blur by motion or by focus, missed exposure and white balance, noise, and '
        f'JPEG qualities of {effects.QUALITY[0]} to {effects.QUALITY[1]}.', '',
        '## Boxes', '',
        'A box is the full visible extent of a thing, by the pixels of its geoms. Labelled is '
        'what',
        f'- is at least {limits["side_px"]:g} pixels wide and high when the picture is shrunk or '
        f'enlarged to {size} pixels on its longer side;',
        f'- shows at least {100 * limits["visible"]:g} % of what it would cover of the picture '
        'if nothing stood before it;',
        f'- has at least {100 * limits["inside"]:g} % of itself within the picture, or fills '
        f'{100 * limits["fills"]:g} % of it.', '',
        'Walls, the floor and the robot itself have no class.', '']
    return '\n'.join(lines)
