"""A training in a process of its own: ``train_child.py DATA FOLDER SETTINGS-JSON [KILL-AT]``."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import recorded
import torch

from vla_nav.policies.family import FamilyPolicy
from vla_nav.training.family.material import gather
from vla_nav.training.family.pictures import Pictures
from vla_nav.training.family.trainer import Notes, Trainer, accelerator_for


def run(data: Path, folder: Path, config, step=lambda done, total, loss: None, say=print):
    """Train and return how it went."""
    with accelerator_for(config.train) as accelerator:
        if accelerator.num_processes > 1:
            # In one write, since all share the pipe.
            print(f'process {accelerator.process_index} of {accelerator.num_processes}\n', end='')
        material = gather(config, [data], recorded.Reader())
        torch.manual_seed(config.train.seed)
        policy = FamilyPolicy(config)
        source = Pictures(material.recordings, 32, 32, config.train.augment)
        trainer = Trainer(config, policy, material, source, False, folder, accelerator,
                          Notes(step, say))
        return trainer.run()


def main() -> None:
    data, folder, settings, *kill = sys.argv[1:]

    def step(done: int, total: int, loss: float) -> None:
        if kill and done == int(kill[0]):
            os.kill(os.getpid(), signal.SIGKILL)
    torch.set_num_threads(1)
    run(Path(data), Path(folder), recorded.config(**json.loads(settings)), step)


if __name__ == '__main__':
    main()
