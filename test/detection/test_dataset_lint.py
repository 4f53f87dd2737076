"""The linter of YOLO-format data sets: each fault is told with its file, line and remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from vla_nav.cli.detector import app
from vla_nav.detection.dataset.lint import check_dataset, lint_dataset
from vla_nav.detection.dataset.yolo import DatasetError, label_file, open_dataset, read_labels

_PICTURES = {'train': 4, 'val': 2}


def _picture(path: Path, seed: int, shape: tuple[int, ...] = (24, 32, 3)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 255, shape, np.uint8))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a data set without any fault, with one picture of background."""
    for split, count in _PICTURES.items():
        for number in range(count):
            path = tmp_path / 'images' / split / f'{number}.png'
            _picture(path, 10 * number + len(split))
            label_file(path).parent.mkdir(parents=True, exist_ok=True)
            label_file(path).write_text('1 0.5 0.5 0.2 0.3\n' if number else '')
    (tmp_path / 'data.yaml').write_text(
        'train: images/train\nval: images/val\nnames: {0: "crate, red", 1: cat}\n')
    return tmp_path


def _label(text: str) -> Callable[[Path], None]:
    return lambda root: (root / 'labels/train/1.txt').write_text(text) and None


def _yaml(old: str, new: str) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        text = (root / 'data.yaml').read_text()
        assert old in text
        (root / 'data.yaml').write_text(text.replace(old, new))
    return spoil


def _shape(*shape: int) -> Callable[[Path], None]:
    return lambda root: _picture(root / 'images/train/1.png', 99, shape)


def _empty_labels(root: Path) -> None:
    for path in (root / 'labels/val').glob('*.txt'):
        path.write_text('\n')


def _leak(root: Path) -> None:
    (root / 'images/val/1.png').write_bytes((root / 'images/train/2.png').read_bytes())


def test_a_sound_set_has_no_findings_and_background_is_sound(data: Path):
    assert lint_dataset(data) == []
    assert check_dataset(data / 'data.yaml').names == ('crate, red', 'cat')
    assert read_labels(data / 'labels/train/0.txt', 2).shape == (0, 5)


@pytest.mark.parametrize(('spoil', 'severity', 'file', 'line', 'message'), [
    (_label('1 0.5 0.5 0.2 0.3\n2 0.5 0.5 0.2 0.3\n'), 'error', 'train/1.txt', 2,
     'class is 2, names has 0 to 1'),
    (_label('-1 0.5 0.5 0.2 0.3\n'), 'error', 'train/1.txt', 1, 'class is -1'),
    (_label('0.5 0.5 0.5 0.2 0.3\n'), 'error', 'train/1.txt', 1, 'class is 0.5'),
    (_label('1 0.5 1.2 0.2 0.3\n'), 'error', 'train/1.txt', 1, '1.2 is outside of 0 to 1'),
    (_label('\n1 0.5 nan 0.2 0.3\n'), 'error', 'train/1.txt', 2, 'NaN'),
    (_label('1 0.5 0.5 0.2\n'), 'error', 'train/1.txt', 1, 'has 4 numbers'),
    (_label('cat 0.5 0.5 0.2 0.3\n'), 'error', 'train/1.txt', 1, 'not made of numbers'),
    (_label('1 0.5 0.5 0 0.3\n'), 'error', 'train/1.txt', 1, 'width 0'),
    (_label('1 0.5 0.5 0.2 0.3\n' * 2), 'warning', 'train/1.txt', 2, 'is there twice'),
    (lambda root: (root / 'labels/train/1.txt').write_bytes(b'\xff\xfe'), 'error',
     'train/1.txt', 0, 'cannot be read as text'),
    (lambda root: (root / 'labels/train/1.txt').unlink(), 'warning', 'train/1.png', 0,
     'has no label file'),
    (lambda root: (root / 'images/train/1.png').unlink(), 'warning', 'train/1.txt', 0,
     'no picture of this name'),
    (lambda root: (root / 'images/train/1.png').write_bytes(b''), 'error', 'train/1.png', 0,
     'no picture that OpenCV reads (0 bytes)'),
    (lambda root: (root / 'images/train/1.png').write_text('hello'), 'error', 'train/1.png', 0,
     'no picture that OpenCV reads'),
    (_shape(24, 32), 'warning', 'train/1.png', 0, 'is grey'),
    (_shape(24, 32, 4), 'warning', 'train/1.png', 0, 'has 4 channels'),
    (_shape(1, 1, 3), 'error', 'train/1.png', 0, 'is 1 × 1 pixels'),
    (_leak, 'warning', 'val/1.png', 0, 'same pixels as'),
    (_yaml('val:', 'test: images/val\nval:'), 'warning', 'val/0.png', 0,
     'test shows the same pixels as'),
    (_empty_labels, 'error', 'data.yaml', 0, 'val has 2 pictures and no valid box'),
    (_yaml('val: images/val\n', ''), 'error', 'data.yaml', 0, 'there is no val split'),
    (_yaml('images/val', 'images/none'), 'error', '', 0, 'neither a folder nor a .txt list'),
    (_yaml('1: cat', '2: cat'), 'error', '', 0, 'without gaps'),
    (_yaml('1: cat', 'b: cat'), 'error', '', 0, 'without gaps'),
    (_yaml('1: cat', '"0": cat'), 'error', '', 0, 'without gaps'),
    (_yaml('1: cat', '1: "crate, red"'), 'error', '', 0,
     "names: class 1 is 'crate, red' as class 0"),
    (_yaml('1: cat', '1: '), 'error', '', 0, 'class 1 is empty'),
    (_yaml('1: cat', '1: " "'), 'error', '', 0, 'class 1 is empty'),
    (_yaml('names', 'kpt_shape: [4, 3]\nnames'), 'error', '', 0, 'kpt_shape is [4, 3]'),
    (_yaml('val:', 'test: images/test\nval:'), 'warning', 'data.yaml', 0,
     'there are no test pictures'),
    (_yaml('val:', 'test: labels/val\nval:'), 'warning', 'data.yaml', 0, 'test holds no pictures'),
    (_yaml('names', 'nc: 3\nnames'), 'error', '', 0, 'nc is 3, names lists 2'),
    (lambda root: (root / 'data.yaml').write_text('{'), 'error', '', 0, 'cannot be read'),
    (lambda root: (root / 'data.yaml').unlink(), 'error', '', 0, 'holds no .yaml file'),
])
def test_each_fault_is_told_with_its_place(data: Path, spoil: Callable[[Path], None],
                                           severity: str, file: str, line: int, message: str):
    spoil(data)
    found = lint_dataset(data)
    matching = [f for f in found if message in f.message]
    assert matching, found
    assert (matching[0].severity, matching[0].line) == (severity, line)
    assert matching[0].file.endswith(file) and matching[0].remedy
    if severity == 'error':
        with pytest.raises(DatasetError, match='errors'):
            check_dataset(data)
    else:
        check_dataset(data)


def test_a_list_of_pictures_that_names_a_missing_one_is_told(data: Path):
    (data / 'val.txt').write_text('./images/val/1.png\n./images/val/7.png\n')
    _yaml('images/val', 'val.txt')(data)
    found = [f for f in lint_dataset(data) if f.severity == 'error']
    assert [Path(f.file).name for f in found] == ['7.png']
    assert 'cannot be read' in found[0].message


def test_a_thousand_equal_faults_are_told_shortly(data: Path):
    (data / 'labels/train/1.txt').write_text('7 0.5 0.5 0.2 0.3\n' * 1000)
    found = lint_dataset(data)
    assert len(found) <= 21 and '980 more like this' in found[-1].message


def test_a_polygon_is_the_box_around_it(data: Path):
    path = data / 'labels/train/1.txt'
    path.write_text('\ufeff0 0.1 0.2 0.5 0.2 0.3 0.8\n', 'utf-8')  # as some tools begin a file
    assert lint_dataset(data) == []
    assert read_labels(path, 2)[0] == pytest.approx([0, 0.3, 0.5, 0.4, 0.6])


def test_the_command_exits_by_what_it_finds(data: Path):
    runner = CliRunner()
    assert runner.invoke(app, ['lint', str(data)]).exit_code == 0
    _leak(data)
    result = runner.invoke(app, ['lint', str(data)])
    assert result.exit_code == 0 and 'keep one of the two' in result.output
    (data / 'images/val/1.png').write_bytes(b'')
    assert runner.invoke(app, ['lint', str(data)]).exit_code == 1


def test_pictures_that_are_trained_on_too_are_told_loudly_and_refused_by_nothing(
        data: Path, caplog: pytest.LogCaptureFixture):
    check_dataset(data)
    assert not caplog.records
    _leak(data)
    check_dataset(data)
    assert caplog.messages[0].startswith(f'WARNING: {data / "data.yaml"}: 1 of 2 pictures of val')
    assert 'images/val/1.png: figures on val flatter' in caplog.messages[0]
    caplog.clear()
    _yaml('images/val', 'images/train')(data)  # as COCO8 and COCO128
    assert len(check_dataset(data).pictures('val')) == 4
    assert len(caplog.messages) == 1 and '4 of 4 pictures of val' in caplog.messages[0]
    assert '4 of 4' in lint_dataset(data)[0].message  # before those of single pictures


def test_paths_are_seen_from_the_file_or_else_from_here(
        data: Path, monkeypatch: pytest.MonkeyPatch):
    elsewhere = data.parent / 'descriptions'
    elsewhere.mkdir()
    text = (data / 'data.yaml').read_text()
    (elsewhere / 'mine.yaml').write_text(f'path: {data.name}\n{text}')
    with pytest.raises(DatasetError, match='neither a folder'):
        open_dataset(elsewhere)
    monkeypatch.chdir(data.parent)
    found = open_dataset(elsewhere).pictures('val')
    assert [path.name for path in found] == ['0.png', '1.png']


def test_names_are_given_as_a_list_too_and_other_splits_are_read(data: Path):
    _yaml('{0: "crate, red", 1: cat}', '[a, b]')(data)
    _yaml('val:', 'test: [images/val]\nval:')(data)
    dataset = open_dataset(data)
    assert dataset.names == ('a', 'b') and len(dataset.pictures('test')) == 2
    with pytest.raises(DatasetError, match='known splits are train, val, test'):
        dataset.pictures('other')


def test_names_are_numbered_in_quotes_too(data: Path):
    _yaml('0: "crate, red", 1', "'1': dog, '0'")(data)
    assert open_dataset(data).names == ('cat', 'dog')


def test_folders_as_roboflow_writes_them_are_found(data: Path):
    _yaml('images/train', '../images/train')(data)
    _yaml('val: images/val', 'validation: ../images/val')(data)
    assert lint_dataset(data) == []
    outside = data.parent / 'images/train'
    _picture(outside / '0.png', 1)
    try:  # where the dots lead to pictures, they are followed
        assert open_dataset(data).pictures('train') == (data / '../images/train/0.png',)
    finally:
        (outside / '0.png').unlink()


def test_a_list_that_windows_wrote_is_read(data: Path):
    (data / 'val.txt').write_text('.\\images\\val\\1.png\nimages\\val\\0.png\r\n')
    _yaml('images/val', 'val.txt')(data)
    assert lint_dataset(data) == []
    assert [path.name for path in open_dataset(data).pictures('val')] == ['1.png', '0.png']


def test_an_absent_test_split_is_told_where_it_is_asked_for(data: Path):
    _yaml('val:', 'test: images/test\nval:')(data)
    dataset = check_dataset(data)
    assert 'test' not in dataset.splits and len(dataset.pictures('val')) == 2
    with pytest.raises(DatasetError, match='images/test is neither a folder'):
        dataset.pictures('test')
