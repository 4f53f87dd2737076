"""The robot's detector finds the boxes that ultralytics finds with the same network."""

from __future__ import annotations

import cv2
import numpy as np
import onnx
import pytest
import torch
from detectors import describe_detector
from PIL import Image
from scipy.optimize import linear_sum_assignment

from vla_nav.detection.dataset.yolo import SUFFIXES
from vla_nav.detection.letterbox import Letterbox, blank
from vla_nav.detection.onnx_detector import load_detector
from vla_nav.detection.picture_file import read_picture
from vla_nav.detection.training import levels
from vla_nav.detection.training.graph import export_graph
from vla_nav.detection.training.predictor import predictor
from vla_nav.detection.training.yolo import ultralytics
from vla_nav.evaluation.bench_ultralytics import BenchError, Job, Peer

_SIZE, _SCORE, _IOU = 160, 0.25, 0.6537
_SHAPES = [(160, 160), (720, 1280), (97, 131), (331, 120), (40, 30), (15, 600), (1, 1)]
_CLASSES = ('box', 'cup', 'person')


def _picture(height, width, seed=0):
    """Return soft shapes, as large in the letterbox whatever the picture's size."""
    rng = np.random.default_rng(seed)
    rows, columns = (max(round(13 * side / max(height, width)), 1) for side in (height, width))
    soft = rng.integers(0, 256, (rows, columns, 3), np.uint8)
    return cv2.resize(soft, (width, height), interpolation=cv2.INTER_CUBIC)


def _letterboxed(image, square):
    place = Letterbox.fit(*image.shape[:2], _SIZE, square)
    filled = blank(place.shape)
    place.fill(image, filled)
    return torch.from_numpy(filled)[None]


@pytest.fixture(scope='module')
def network():
    """Return a small network whose fresh weights were made to find something."""
    torch.manual_seed(0)
    model = levels.build(levels.read_level('L0', 'silu', 0.125), _CLASSES).eval()
    # Margins too: what statistics do not know drives scores to 1, and boxes of equal scores have
    # no order.
    pictures = [_letterboxed(_picture(*shape, seed), square)
                for seed, shape in enumerate(_SHAPES) for square in (False, True)]
    with torch.no_grad():
        # Fresh batch normalisation knows nothing of its inputs: all would be nearly the same.
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.reset_running_stats()
                module.train().momentum = None  # the mean over all
        for picture in pictures:
            model(picture)
        model.eval()
        head = model.model[-1]
        for branch, spread in ((head.cv2, 3.0), (head.cv3, 2.0)):
            for level in branch:
                _spread(model, level[-1], pictures, spread)
    return model


def _spread(model, layer, pictures, spread):
    """Give what ``layer`` puts out this spread, so that one in some twenty is above -1."""
    seen = []
    hook = layer.register_forward_hook(
        lambda module, inputs, output: seen.append(output.flatten()))
    for picture in pictures:
        model(picture)
    hook.remove()
    outputs = torch.cat(seen)
    factor = spread / outputs.std()
    layer.weight *= factor
    layer.bias.copy_((layer.bias - outputs.mean()) * factor - 1 - 1.6 * spread)


@pytest.fixture(scope='module', params=[False, True])
def bundle(request, network, tmp_path_factory):
    """Return a bundle whose input is shortened to the picture's shape, or is a square."""
    folder = tmp_path_factory.mktemp('square' if request.param else 'rectangle')
    onnx.save(export_graph(network, _SIZE, for_npu=request.param), folder / 'detector.onnx')
    describe_detector(folder, classes=_CLASSES, image_size=_SIZE, score_threshold=_SCORE,
                      iou_threshold=_IOU)
    return folder


def _theirs(predict, image):
    boxes = predict(np.ascontiguousarray(image[..., ::-1]))[0].boxes
    xyxy = boxes.xyxy.numpy()
    # In the grey margin alone, which they cut to boxes without an area.
    inside = (xyxy[:, 2:] > xyxy[:, :2]).all(1)
    return xyxy[inside], boxes.conf.numpy()[inside], boxes.cls.numpy()[inside].astype(int)


def _ious(a, b):
    a, b = a[:, None], b[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    both = np.clip(sides, 0, None).prod(-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(-1) for boxes in (a, b)]
    return both / (sum(areas) - both)


def test_boxes_scores_and_classes_are_those_of_ultralytics(network, bundle):
    detector = load_detector(bundle)
    predict = predictor(network, _SIZE, _SCORE, _IOU, square=bundle.name.startswith('square'))
    counts = []
    for seed, (height, width) in enumerate(_SHAPES):
        image = _picture(height, width, seed)
        found = detector.detect(image)
        boxes, scores, classes = _theirs(predict, image)
        assert len(found) == len(boxes), (height, width)
        counts.append(len(found))
        if not len(found):
            continue
        same = _ious(found.boxes, boxes) * (found.classes[:, None] == classes[None])
        # Of boxes that the picture's sides cut to the same shape, the score tells which is which.
        own, pairs = linear_sum_assignment(
            same - np.abs(found.scores[:, None] - scores[None]), maximize=True)
        assert same[own, pairs].min() >= 0.99, (height, width)
        np.testing.assert_allclose(found.scores, scores[pairs], atol=1e-3)
    # Else nothing was compared.
    assert sum(5 <= count <= 300 for count in counts) >= 4, counts


def test_ultralytics_in_its_own_process_times_a_file(network, tmp_path):
    torch.save({'model': network}, tmp_path / 'model.pt')
    cv2.imwrite(str(tmp_path / 'a.jpg'), _picture(72, 128))
    job = Job(str(tmp_path / 'model.pt'), _SIZE, _SCORE, _IOU, 1, [str(tmp_path / 'a.jpg')])
    with Peer(job) as peer:
        assert all(peer.predict(0) > 0 for _ in range(2))
        peer._process.stdin.write('7\n')  # there is no such file
        with pytest.raises(BenchError, match='ended with status 1'):
            peer.predict(0)


@pytest.mark.parametrize('suffix', SUFFIXES)
@pytest.mark.parametrize('orientation', [1, 3, 6, 8])
def test_picture_files_are_read_as_for_training(tmp_path, suffix, orientation):
    tag = Image.Exif()
    tag[0x0112] = orientation
    path = tmp_path / f'picture{suffix}'
    rgb = _picture(40, 60)
    Image.fromarray(rgb).save(path, **({} if suffix == '.bmp' else {'exif': tag}))
    with ultralytics('utils.patches') as patches:
        theirs = patches.imread(path)
    read = read_picture(path)
    np.testing.assert_array_equal(read, theirs[..., ::-1])
    if suffix == '.jpg' and orientation in (6, 8):
        assert read.shape == (60, 40, 3)
