"""A study gives the commands that are left, in order, and says what failed."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vla_nav.detection import study
from vla_nav.detection.contracts import DetectorError
from vla_nav.detection.study import MODELS, Study, run


def option(words, name):
    return words[words.index(name) + 1]


class Machine:
    """Leaves what each command would leave, and notes what it was told."""

    def __init__(self, fails=()):
        self.calls, self.said, self._fails = [], [], fails
        self._lock = threading.Lock()

    def call(self, words, log: Path):
        with self._lock:
            self.calls.append(words)
        folder = Path(option(words, '--out' if words[0] == 'train' else '--model'))
        if (folder.name, words[0]) in self._fails:
            raise DetectorError(f'{words[0]} is broken')
        folder.mkdir(exist_ok=True)
        name = {'train': 'config.json', 'export': 'detector_int8.onnx', 'compile': 'compiled'}
        (folder / name[words[0]]).write_text('{}')

    def of(self, folder):
        return [words[0] for words in self.calls if any(word.endswith(folder) for word in words)]


@pytest.fixture
def plan(tmp_path):
    return Study(('L3/relu', 'L0/silu'), tmp_path / 'data', tmp_path / 'out', ('--epochs', '2'),
                 ('ethos-n78',))


def test_each_model_is_trained_exported_and_compiled_in_this_order(plan):
    machine = Machine()
    run(plan, 2, machine.said.append, machine.call)
    assert machine.of('L3_relu') == machine.of('L0_silu') == ['train', 'export', 'compile']
    train = next(words for words in machine.calls if words[0] == 'train')
    assert train[-2:] == ['--epochs', '2'] and option(train, '--data') == str(plan.data)
    last = next(words for words in machine.calls if words[0] == 'compile')
    assert option(last, '--target') == 'ethos-n78'
    assert 'L3/relu: done' in machine.said and len(machine.said) == 8


def test_what_is_done_is_not_done_again(plan):
    done = plan.folder('L3/relu')
    done.mkdir(parents=True)
    (done / 'config.json').write_text('{}')
    (done / 'npu.json').write_text(json.dumps({}))
    machine = Machine()
    run(plan, 1, machine.said.append, machine.call)
    assert machine.of('L3_relu') == ['export', 'compile']


def test_one_that_fails_stops_itself_and_no_other(plan):
    machine = Machine(fails={('L3_relu', 'train')})
    with pytest.raises(DetectorError, match='L3/relu: train is broken'):
        run(plan, 1, machine.said.append, machine.call)
    assert machine.of('L3_relu') == ['train']
    assert machine.of('L0_silu') == ['train', 'export', 'compile']


def test_after_ctrl_c_no_other_model_begins(plan, monkeypatch):
    begun, stopping, calls = threading.Event(), threading.Event(), []

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait=True, *, cancel_futures=False):
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            stopping.set()
            super().shutdown(wait=wait)

    def interrupted(jobs):
        assert begun.wait(60)
        raise KeyboardInterrupt

    def call(words, log):
        calls.append(words)
        begun.set()
        assert stopping.wait(60)
        raise DetectorError('ended by Ctrl-C')
    monkeypatch.setattr(study, 'ThreadPoolExecutor', Pool)
    monkeypatch.setattr(study, 'as_completed', interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(plan, 1, print, call)
    assert len(calls) == 1


def test_names_that_name_nothing_or_the_same_are_refused(plan, tmp_path):
    for models, says in ((('L3',), 'no LEVEL/ACTIVATION'), (('L3/relu', 'L3/relu'), 'twice')):
        with pytest.raises(DetectorError, match=says):
            run(Study(models, plan.data, tmp_path / 'out'), 1, print, Machine().call)


def test_the_study_is_of_all_that_is_to_be_compared():
    assert {f'L{level}/{activation}' for level in (2, 3, 4)
            for activation in ('relu', 'leaky')} < set(MODELS)
    assert {'L0/silu', 'L0/relu'} < set(MODELS)
