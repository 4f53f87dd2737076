"""The learning curve of a detector as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vla_nav.detection.training.learn import LOSSES
from vla_nav.evaluation.png import to_png


def learning_curve(history: Sequence[Mapping[str, Any]]) -> bytes:
    """Return a PNG of the losses, and of the validation mAP where it was measured on the way."""
    checked = [row for row in history if 'map50' in row]
    figure = Figure(figsize=(9 if checked else 5.5, 3.4), layout='constrained')
    panels = figure.subplots(1, 2 if checked else 1, squeeze=False)[0]
    epochs = [row['epoch'] for row in history]
    for name in LOSSES:
        panels[0].plot(epochs, [row[name] for row in history], label=f'{name} loss')
    panels[0].legend()
    panels[0].set(title='training')
    if checked:
        for key, label in (('map50', 'mAP50'), ('map50_95', 'mAP50-95')):
            panels[1].plot([row['epoch'] for row in checked], [row[key] for row in checked],
                           'o-', markersize=3, label=label)
        panels[1].legend()
        panels[1].set(title='validation pictures')
    for axes in panels:
        axes.set(xlabel='epoch', xlim=(0, epochs[-1] + 1), ylim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    return to_png(figure, 110)
