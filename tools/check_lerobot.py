"""Two halves of one check: vla_nav writes LeRobot datasets, lerobot loads them.

Run by ``check_lerobot.sh``, each half in its own environment; an .npz file holds the truth.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

CAMERA = 'observation.images.front'


def write(work: Path) -> None:
    """Write three episodes with pictures and with video, and what they hold."""
    import cv2

    from vla_nav.episodes.lerobot_write import write_lerobot
    from vla_nav.episodes.schema import Episode

    rng = np.random.default_rng(0)
    episodes = []
    for number in range(3):
        length = 5 + number
        small = rng.integers(40, 200, (length, 3, 4, 3), np.uint8)
        episodes.append(Episode(
            images=np.stack([cv2.resize(s, (64, 48), interpolation=cv2.INTER_CUBIC)
                             for s in small]),
            actions=rng.uniform(-1, 1, (length, 3)).astype(np.float32),
            stamps_ns=10**18 + np.arange(length) * 100_000_000,
            instruction=f'stop at the {("cup", "ball", "cup")[number]}',
            odometry=rng.uniform(-1, 1, (length, 6)).astype(np.float32),
            success=number != 1))
    for form in ('images', 'video'):
        write_lerobot(work / form, episodes, video=form == 'video')
    np.savez(work / 'truth.npz', images=np.concatenate([e.images for e in episodes]),
             actions=np.concatenate([e.actions for e in episodes]),
             odometry=np.concatenate([e.odometry for e in episodes]),
             tasks=[e.instruction for e in episodes for _ in range(len(e))],
             success=[bool(e.success) and i == len(e) - 1
                      for e in episodes for i in range(len(e))])


def load(work: Path) -> None:
    """Load them with lerobot and compare every frame."""
    import torch

    # torchvision's wheel is made for CUDA; beside another torch its operators are missing, and
    # their declaration alone lets the rest import. Nothing here calls them.
    operators = torch.library.Library('torchvision', 'DEF')
    for name in ('nms', 'qnms'):
        operators.define(f'{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')

    import lerobot
    from lerobot.datasets import lerobot_dataset

    # Its own decoders need a torchcodec built for this torch, or a torchvision that still had
    # one; the frames are asked for as lerobot does, by time.
    lerobot_dataset.decode_video_frames = _decode
    truth = np.load(work / 'truth.npz')
    for form in ('images', 'video'):
        dataset = lerobot_dataset.LeRobotDataset('vla_nav/check', root=work / form,
                                                 delta_timestamps={'action': [0.0, 0.1, 0.2]})
        assert (len(dataset), dataset.num_episodes, dataset.fps) == (18, 3, 10)
        assert dataset.meta.stats['action']['mean'].shape == (3,)
        for index in range(len(dataset)):
            item = dataset[index]
            np.testing.assert_allclose(item['action'][0], truth['actions'][index])
            np.testing.assert_allclose(item['observation.state'], truth['odometry'][index])
            assert item['task'] == truth['tasks'][index]
            assert bool(item['next.success']) == truth['success'][index]
            picture = (item[CAMERA].permute(1, 2, 0) * 255).numpy()
            difference = np.abs(picture - truth['images'][index]).mean()
            assert difference < (1e-3 if form == 'images' else 8), (form, index, difference)
        print(f'lerobot {lerobot.__version__} loads {form}: {len(dataset)} frames compared')


def _decode(path: Path, times: list[float], tolerance_s: float, backend: str) -> object:
    import av
    import torch

    with av.open(str(path)) as file:
        frames = {float(f.time): f.to_ndarray(format='rgb24') for f in file.decode(video=0)}
    nearest = [min(frames, key=lambda t: abs(t - wanted)) for wanted in times]
    assert all(abs(t - w) <= tolerance_s for t, w in zip(nearest, times)), (nearest, times)
    pictures = np.stack([frames[t] for t in nearest])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255


if __name__ == '__main__':
    {'write': write, 'load': load}[sys.argv[1]](Path(sys.argv[2]))
