"""How long, how fast and on what distortions a detector trains."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """One training; AdamW, the rate warmed up and then falling linearly to a hundredth.

    ``pictures`` limits the training pictures (0: all). A mosaic joins four pictures with
    probability ``mosaic``, except in the last ``plain_epochs``; each picture is flipped, moved,
    scaled and coloured as ultralytics does by default. Every ``check_every`` epochs the mAP of
    some validation pictures is measured (0: never).
    """

    epochs: int = 100
    batch: int = 16
    rate: float = 0.003
    image_size: int = 640
    pictures: int = 0
    mosaic: float = 1.0
    plain_epochs: int = 10
    warm_up_epochs: float = 3.0
    weight_decay: float = 5e-4
    check_every: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.image_size < 32 or self.image_size % 32:
            raise ValueError(f'image_size is {self.image_size}; give a multiple of 32, the '
                             'coarsest grid of the network')
        for name in ('epochs', 'batch', 'rate'):
            if getattr(self, name) <= 0:
                raise ValueError(f'{name} is {getattr(self, name)}; it must be above 0')

    def learning_rate(self, epoch: float) -> float:
        """Return the rate after so many epochs, parts of epochs included."""
        warm = min(self.warm_up_epochs, self.epochs / 4)
        return self.rate * min(1.0, epoch / warm) * (1 - 0.99 * epoch / self.epochs)

    def augmentation(self, epoch: int) -> dict[str, Any]:
        """Return what an epoch's pictures undergo, in ultralytics' names."""
        closed = epoch >= self.epochs - self.plain_epochs
        return {'mosaic': 0.0 if closed else self.mosaic}

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as JSON can hold it."""
        return asdict(self)


PRESETS = {
    'full': Recipe(),
    # What two cores finish in an evening: a third of the side, and pictures that are whole, since
    # a mosaic of 192 pixels would shrink far objects to nothing.
    'cpu': Recipe(epochs=40, image_size=192, pictures=1600, mosaic=0.0),
}
