"""``vla-nav detector export`` and ``verify``: graphs of a trained detector, and their proof."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from vla_nav.cli.detector_progress import OUT, bar, failing


def export(
    model: Annotated[Path, typer.Option(metavar='DIR', help='Bundle of `vla-nav detector train`.')
                     ],
    calibrate: Annotated[Path, typer.Option(
        metavar='DATA', help='The data set that it was trained on: training pictures give int8 '
                             'its ranges, validation pictures judge.')],
    to: Annotated[Literal['onnx', 'tflite', 'tosa'], typer.Option(
        help='onnx for ONNX Runtime; tflite and tosa for NPU compilers, int8.')] = 'onnx',
    int8: Annotated[bool, typer.Option('--int8', help='Eight-bit operators.')] = False,
    half: Annotated[bool, typer.Option('--half', help='Half precision, for GPUs.')] = False,
) -> None:
    """Export a trained detector into its bundle; config.json then names the new ONNX graph.

    ONNX, opset 18. An export that does not find what the network finds is not kept. Bounds, on
    the validation pictures: fp32 99.5 % of the boxes, of both sides, at IoU 0.99 and score
    ± 0.001, mAP50 -0.001; fp16 98 % at 0.95 and ± 0.01, -0.005; int8 80 % at 0.75 and ± 0.2,
    -0.01. TFLite and TOSA need the tools of `vla-nav detector tools`, are always int8, and pass
    no gate: nothing here runs them.
    """
    with failing():
        if int8 and half:
            raise ValueError('--int8 and --half exclude each other')
        from vla_nav.detection.dataset.lint import check_dataset
        from vla_nav.detection.training.trained import open_trained
        with bar('looking through the data set') as show:
            dataset = check_dataset(calibrate, show)
        source = open_trained(model)
        if to == 'onnx':
            from vla_nav.detection.training.export import add_graph
            with bar('comparing graph and network') as show:
                done, total = iter(range(1 << 60)), 2 * len(dataset.pictures('val'))
                config = add_graph(source, 'int8' if int8 else 'fp16' if half else 'fp32', dataset,
                                   lambda: show(next(done), total))
            written = [model / config.files.detector.name]
        else:
            from vla_nav.detection.training.export import add_npu_graph
            written = add_npu_graph(source, to, dataset)
    for path in written:
        OUT.print(str(path), markup=False, soft_wrap=True)


def verify(
    model: Annotated[Path, typer.Argument(metavar='PATH', help='Bundle, or an ONNX file.')],
    activation: Annotated[Literal['silu', 'relu', 'relu6', 'leaky'] | None, typer.Option(
        help='What all activations should be.', show_default="the bundle's")] = None,
) -> None:
    """Prove that every activation is the one that the detector is named after.

    Looks through the modules of a bundle that was trained here, and through every ONNX graph. The
    sigmoid of the class scores is the only other one allowed. Exit status 1 where there are more.
    """
    with failing():
        findings, looked = _findings(model, activation)
    for finding in findings:
        OUT.print(finding, markup=False, soft_wrap=True)
    if findings:
        raise typer.Exit(1)
    OUT.print(f'{", ".join(looked)}: every activation is as stated', markup=False, soft_wrap=True)


def _findings(model: Path, activation: str | None) -> tuple[list[str], list[str]]:
    from vla_nav.detection.bundle import read_detector
    from vla_nav.detection.training import verify as check
    if model.is_file():
        if activation is None:
            raise ValueError(f'{model}: a file does not say its activation; give --activation')
        return check.wrong_nodes(model, activation), [model.name]
    config = read_detector(model)
    wanted = activation or config.activation
    findings: list[str] = []
    looked: list[str] = []
    count = None
    if config.files.model is not None:
        from vla_nav.detection.training.trained import open_trained
        network = open_trained(model).model
        findings += [f'modules: {one}' for one in check.wrong_modules(network, wanted)]
        looked, count = ['modules'], check.count_activations(network)
    for path in sorted(model.glob('*.onnx')):
        expected = None if 'int8' in path.name else count
        findings += [f'{path.name}: {one}' for one in check.wrong_nodes(path, wanted, expected)]
        looked.append(path.name)
    return findings, looked
