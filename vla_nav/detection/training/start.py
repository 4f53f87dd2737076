"""Weights to begin from: a detector trained before, on other pictures or at another size."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load as load_tensors
from torch import nn

from vla_nav.detection.bundle import as_detector_error, read_detector
from vla_nav.detection.contracts import DetectorError
from vla_nav.runtimes.bundle import BundleFile, read_file


def weights_of(bundle: Path) -> BundleFile:
    """Return the file of a trained bundle's weights; raise DetectorError."""
    weights = read_detector(bundle).files.model
    if weights is None:
        raise DetectorError(f'{bundle}: holds no weights to begin from; give a bundle that '
                            '`vla-nav detector train` has written')
    return weights


def begin_from(model: nn.Module, bundle: Path) -> None:
    """Copy a trained bundle's weights into ``model``; raise DetectorError.

    Level and width must be its own. The branch that scores classes begins anew where the classes
    are other ones.
    """
    with as_detector_error():
        found = load_tensors(read_file(bundle, weights_of(bundle)))
    own = model.state_dict()
    scores = f'model.{len(model.model) - 1}.cv3.'  # type: ignore[arg-type]
    fitting = {key: value for key, value in found.items()
               if key in own and own[key].shape == value.shape}
    if other := sorted(key for key in own.keys() - fitting.keys() if not key.startswith(scores)):
        raise DetectorError(
            f'{bundle}: its weights are of another network than the one to train ({other[0]} and '
            f'{len(other) - 1} more do not fit); give its --level and --width, or no --start')
    names = model.names.values()  # type: ignore[operator,union-attr]
    if read_detector(bundle).classes != tuple(names):
        fitting = {key: value for key, value in fitting.items() if not key.startswith(scores)}
    model.load_state_dict({**own, **fitting})
