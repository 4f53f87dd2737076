"""Several levels and activations by one recipe: trained, exported, compiled, compared.

Each step is a command that could be given by hand; a study only gives them in order, some side by
side, and leaves out what is done. So it goes on where it was cut off, in the middle of a training
too.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from vla_nav.detection.contracts import DetectorError
from vla_nav.detection.npu.report import REPORT_NAME, read_reports
from vla_nav.orphans import die_with_parent
from vla_nav.runtimes.bundle import CONFIG_NAME

# What the comparison of the levels is about, and stock YOLO11n beside it.
MODELS = ('L0/silu', 'L0/relu', 'L2/relu', 'L2/leaky', 'L3/relu', 'L3/leaky', 'L4/relu',
          'L4/leaky')
_RUN = 'from vla_nav.cli.main import main; main()'
Say = Callable[[str], None]
Call = Callable[[Sequence[str], Path], None]


@dataclass(frozen=True)
class Study:
    """Which models, of ``LEVEL/ACTIVATION``, on which data, and where their bundles go.

    ``recipe`` are options of `vla-nav detector train`; ``targets`` the NPUs to compile for.
    """

    models: Sequence[str]
    data: Path
    out: Path
    recipe: Sequence[str] = ()
    targets: Sequence[str] = ()

    def folder(self, model: str) -> Path:
        """Return where a model's bundle is; raise DetectorError for what names none."""
        level, _, activation = model.partition('/')
        if not (level and activation):
            raise DetectorError(f'"{model}" is no LEVEL/ACTIVATION, such as L3/relu')
        return self.out / f'{Path(level).stem}_{activation}'

    def commands(self, model: str) -> Iterator[list[str]]:
        """Yield what is still to be done for a model, each step when it is its turn."""
        folder, (level, _, activation) = self.folder(model), model.partition('/')
        if not (folder / CONFIG_NAME).exists():
            yield ['train', '--data', str(self.data), '--level', level, '--activation', activation,
                   '--out', str(folder), *self.recipe]
        if not (folder / 'detector_int8.onnx').exists():
            yield ['export', '--model', str(folder), '--calibrate', str(self.data), '--int8']
        if missing := [name for name in self.targets if name not in _compiled(folder)]:
            yield ['compile', '--model', str(folder), '--data', str(self.data),
                   *(word for name in missing for word in ('--target', name))]


def run(study: Study, together: int, say: Say, call: Call | None = None) -> None:
    """Carry out what is left of a study, ``together`` models at a time.

    ``say`` is told what begins, and that a model is done; ``call`` runs a command whose output
    goes to a file. Raises DetectorError, when the others have ended, where a step failed.
    """
    study.out.mkdir(parents=True, exist_ok=True)
    folders = [study.folder(model) for model in study.models]
    if len(set(folders)) < len(folders):
        raise DetectorError('a model is named twice')
    pool = ThreadPoolExecutor(together)
    try:
        jobs = {pool.submit(_one, study, model, say, call or _call): model
                for model in study.models}
        failed = [f'{jobs[job]}: {error}' for job in as_completed(jobs)
                  if (error := job.exception())]
    finally:
        # Ctrl-C has reached the models under way as well; the others must not begin.
        pool.shutdown(cancel_futures=True)
    if failed:
        raise DetectorError('; '.join(sorted(failed)))


def _one(study: Study, model: str, say: Say, call: Call) -> None:
    log = study.out / f'{study.folder(model).name}.log'
    for words in study.commands(model):
        say(f'{model}: {words[0]}, see {log}')
        call(words, log)
    say(f'{model}: done')


def _call(words: Sequence[str], log: Path) -> None:
    # One thread each: two trainings side by side beat one of two threads.
    with log.open('a', encoding='utf-8') as output:
        done = subprocess.run([sys.executable, '-c', _RUN, 'detector', *words], check=False,
                              stdout=output, stderr=subprocess.STDOUT,
                              preexec_fn=die_with_parent,
                              env={**os.environ, 'OMP_NUM_THREADS': '1'})
    if done.returncode:
        raise DetectorError(f'`vla-nav detector {words[0]}` ended with status {done.returncode}; '
                            f'{log} says why')


def _compiled(folder: Path) -> set[str]:
    path = folder / REPORT_NAME
    return set(read_reports(path)) if path.is_file() else set()
