"""``vla-nav detector detect``: what a detector finds in pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from vla_nav.cli.detector_progress import ERR, OUT, bar, failing

# Of JPEG and PNG.
_MAGIC = (b'\xff\xd8', b'\x89PNG')


def detect(
    pictures: Annotated[list[Path], typer.Argument(metavar='PICTURE...', help='Files of any kind '
                                                   'that training takes, or folders of them.')],
    out: Annotated[Path, typer.Option(metavar='DIR', help='Where the pictures with boxes and '
                                      'detections.json go.')],
    detector: Annotated[str, typer.Option(help='Detector bundle, a directory or a shipped one.')]
    = 'models/detector',
    threads: Annotated[int, typer.Option(min=1, help='CPU threads of the network.')] = 1,
    as_json: Annotated[bool, typer.Option('--json', help='Print JSON for programs.')] = False,
) -> None:
    """Draw what a detector finds into pictures, with what a robot runs: no torch.

    Exit status 1 where a picture could not be read; the others are done all the same.
    """
    from vla_nav.bringup.share import find_bundle
    from vla_nav.detection.onnx_detector import load_detector
    with failing(), bar('pictures') as note:
        files = _files(pictures)
        loaded = load_detector(find_bundle(detector), threads)
        out.mkdir(parents=True, exist_ok=True)
        rows = []
        for number, file in enumerate(files):
            rows.append(_one(loaded, file, out / _name(file, number, files)))
            note(number + 1, len(files))
        result = {'detector': detector, 'name': loaded.spec.name,
                  'classes': list(loaded.spec.classes), 'pictures': rows}
        text = json.dumps(result, indent=1, ensure_ascii=False) + '\n'
        (out / 'detections.json').write_text(text, 'utf-8')
    unread = [row for row in rows if 'problem' in row]
    if as_json:
        print(text, end='')
    else:
        boxes = sum(len(row.get('detections', ())) for row in rows)
        OUT.print(f'{boxes} boxes in {len(rows) - len(unread)} pictures: {out}', markup=False,
                  highlight=False, soft_wrap=True)
    for row in unread:
        ERR.print(f'{row["picture"]}: {row["problem"]}', style='red', markup=False,
                  highlight=False, soft_wrap=True)
    raise typer.Exit(1 if unread else 0)


def _files(pictures: list[Path]) -> list[Path]:
    from vla_nav.detection.dataset.yolo import SUFFIXES
    found: list[Path] = []
    for path in pictures:
        inside = sorted(one for one in path.iterdir() if one.suffix.lower() in SUFFIXES
                        ) if path.is_dir() else [path]
        if not inside:
            raise ValueError(f'{path}: the folder holds no {", ".join(SUFFIXES)}')
        found += inside
    return found


def _name(file: Path, number: int, files: list[Path]) -> str:
    """Return a name that no other picture has, also of pictures from several folders."""
    alone = sum(one.stem == file.stem for one in files) == 1
    return f'{file.stem}.jpg' if alone else f'{file.stem}_{number}.jpg'


def _one(detector: Any, file: Path, drawn: Path) -> dict[str, Any]:
    import cv2

    from vla_nav.detection.contracts import DetectorError
    from vla_nav.detection.picture_file import read_picture
    from vla_nav.monitoring.boxes import labelled
    from vla_nav.monitoring.overlay import overlay
    from vla_nav.observations.decode import compressed_size
    try:
        data = file.read_bytes()
        if data.startswith(_MAGIC):
            compressed_size(data)  # of one that was cut short, OpenCV makes the rest grey
        image = read_picture(file)
    except (OSError, ValueError, DetectorError) as error:
        return {'picture': str(file), 'problem': str(error).removeprefix(f'{file}: ')}
    found = detector.detect(image)
    names = [detector.spec.classes[number] for number in found.classes]
    canvas = cv2.cvtColor(overlay(image, (), labelled(found, detector.spec.classes), ''),
                          cv2.COLOR_RGB2BGR)
    if not cv2.imwrite(str(drawn), canvas):
        raise OSError(f'{drawn}: cannot be written; is the disk full?')
    return {'picture': str(file), 'height': image.shape[0], 'width': image.shape[1],
            'drawn': drawn.name, 'detections': [
                {'class': name, 'score': round(score, 5),
                 'box': [round(side, 2) for side in box]}
                for name, score, box in zip(names, found.scores.tolist(), found.boxes.tolist())]}
