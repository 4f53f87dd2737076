"""Learning curves as a picture: training and validation loss over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vla_nav.evaluation.png import to_png


def learning_curves(histories: Mapping[str, Sequence[Mapping[str, Any]]]) -> bytes:
    """Return a PNG with the curves of each named history, as ``metrics.json`` keeps them.

    Left the losses (training dashed), right the mean absolute error of the validation.
    """
    figure = Figure(figsize=(9, 3.4), layout='constrained')
    losses, errors = figure.subplots(1, 2)
    for number, (name, history) in enumerate(histories.items()):
        epochs, colour = [row['epoch'] for row in history], f'C{number}'
        losses.plot(epochs, [row['train_loss'] for row in history], '--', color=colour)
        losses.plot(epochs, [row['validation_loss'] for row in history], 'o-', markersize=3,
                    color=colour, label=name)
        errors.plot(epochs, [row['validation_mae'] for row in history], 'o-', markersize=3,
                    color=colour)
    for axes, title in ((losses, 'loss (dashed: training)'),
                        (errors, 'validation error, normalised')):
        axes.axhline(0, color='none')  # or a curve that hardly changes lies on the upper edge
        axes.set(title=title, xlabel='epoch', ylim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    if histories:
        losses.legend()
    return to_png(figure, 110)
