"""What every backbone of the family is, and where it is cut between what stands still and learns.

A training encodes each picture once, up to the cut, and keeps that: see :meth:`precompute`.
"""

from __future__ import annotations

from torch import Tensor, nn

from vla_nav.policies.fusion import Piece
from vla_nav.policies.instructions import Instructions


class Backbone(nn.Module):
    """Gives ``pieces``, flat [B, F], of pictures uint8 [B, H, W, 3] and their instructions.

    ``forward`` is ``complete`` of ``precompute``. By default the cut is behind a backbone in
    which nothing learns, and before one in which something does.
    """

    pieces: tuple[Piece, ...]

    @property
    def frozen(self) -> bool:
        """Return whether nothing in it learns."""
        return not any(p.requires_grad for p in self.parameters())

    @property
    def kept_size(self) -> int | None:
        """Return P, the values a picture before the cut; None where all depends on what learns."""
        return sum(piece.size for piece in self.pieces) if self.frozen else None

    def precompute(self, images: Tensor, instructions: Instructions) -> Tensor:
        """Return [B, P], which depends on nothing that learns."""
        return self(images, instructions)  # type: ignore[no-any-return]

    def complete(self, kept: Tensor, instructions: Instructions) -> Tensor:
        """Return the pieces, flat [B, F], of what :meth:`precompute` gave."""
        return kept
