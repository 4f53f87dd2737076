"""The folder of a measurement: ``summary.json``, ``episodes.jsonl`` and ``index.html``."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nav.bringup.share import find_bundle
from vla_nav.evaluation.baselines import OPEN_LOOP
from vla_nav.evaluation.closed_loop import Settings, opened
from vla_nav.evaluation.drawing import filmstrip, top_view
from vla_nav.evaluation.drivers import BASELINES, drive_statistics
from vla_nav.evaluation.page import FailurePictures, write_page
from vla_nav.evaluation.records import EpisodeRecord, summarise, write_records
from vla_nav.evaluation.rollout import STEP_S
from vla_nav.recording.video import Video
from vla_nav.runtimes.bundle import CONFIG_NAME, read_bundle
from vla_nav.simulation.scenario import SCENARIO_VERSION

SUMMARY = 'summary.json'
_FILM_PICTURES = 6


def bundle_hash(policy: str) -> str:
    """Return what identifies a bundle: the SHA-256 of its config, which holds those of its files.

    A baseline has none: ''. Raises PolicyError where there is no such bundle.
    """
    if policy in BASELINES:
        return ''
    read_bundle(Path(find_bundle(policy)))
    return config_hash(policy)


def config_hash(bundle: str) -> str:
    """Return '' for what is no bundle, such as the simulator's truth."""
    config = Path(find_bundle(bundle)) / CONFIG_NAME
    return hashlib.sha256(config.read_bytes()).hexdigest() if config.is_file() else ''


def summary_of(settings: Settings, records: Sequence[EpisodeRecord]) -> dict[str, Any]:
    """Return what ``summary.json`` holds."""
    return {**summarise(records), 'scenario_version': SCENARIO_VERSION,
            'bundle_sha256': bundle_hash(settings.policy),
            **({'detector_sha256': config_hash(settings.detector)} if settings.detector else {}),
            'settings': settings.to_dict()}


def write(out: Path, settings: Settings, records: Sequence[EpisodeRecord],
          pictures: int = 8) -> dict[str, Any]:
    """Write the folder and return the summary; ``pictures`` failures are driven again to draw."""
    out.mkdir(parents=True, exist_ok=True)
    summary = summary_of(settings, records)
    write_records(out / 'episodes.jsonl', records)
    failures = draw_failures(settings, records, pictures)
    write_page(out / 'index.html', summary, failures)
    # Last, since a folder with a summary counts as complete.
    text = json.dumps(summary, indent=2, ensure_ascii=False)
    (out / SUMMARY).write_text(text + '\n', encoding='utf-8')
    return summary


def film_of(frames: Sequence[NDArray[np.uint8]]) -> bytes:
    """Return the pictures [H, W, 3] of a drive as an H.264 video at the pace of the drive."""
    height, width, _ = frames[0].shape
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'film.mp4'
        video = Video(path, width, height, round(1 / STEP_S))
        for frame in frames:
            video.add(frame)
        video.close()
        return path.read_bytes()


def draw_failures(settings: Settings, records: Sequence[EpisodeRecord],
                  limit: int) -> list[FailurePictures]:
    """Drive failed episodes again and draw them, one of each reason and cell first."""
    failed = [record for record in records if not record.success]
    if not failed or limit <= 0:
        return []
    seen: dict[tuple[str, str], int] = {}
    ranked = []
    for record in failed:
        key = (record.reason, record.cell)
        seen[key] = seen.get(key, 0) + 1
        ranked.append((seen[key], record))
    ranked.sort(key=lambda pair: (pair[0], pair[1].index))
    statistics = drive_statistics() if settings.policy in OPEN_LOOP else None
    drawn = []
    with opened(settings, statistics, show=True) as driver:
        for _, chosen in ranked[:limit]:
            record, trace, scenario = driver.trace(chosen.index, chosen.seed, chosen.cell,
                                                   keep_frames=True)
            title = f'{record.reason} after {record.time_s:.1f} s'
            top = top_view(scenario, np.array(trace.poses), title, np.array(trace.person))
            picked = np.linspace(0, len(trace.frames) - 1, _FILM_PICTURES).round().astype(int)
            film = filmstrip([trace.frames[i] for i in picked], (picked * STEP_S).tolist())
            drawn.append(FailurePictures(record, top, film, film_of(trace.frames)))
    return drawn
