"""A trained network as the NPU tools take it: a program that ends where the decoding begins.

The NPU computes the six last convolutions of the head: at each of three strides the distances of
a box's sides and the logits of the classes, as six outputs, each with a scale of its own. What
follows (softmax over the bins of a distance, anchors, strides, sigmoid) is floating-point
arithmetic on a few hundred thousand numbers and stays on the CPU, at every level alike. Joined to
one tensor, as in the ONNX graph, boxes in pixels and scores up to 1 would share one 8-bit scale,
and no score would be left.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vla_nav.detection.training.yolo import ultralytics


def save_program(model: nn.Module, image_size: int, path: Path) -> int:
    """Write the network up to its raw outputs by ``torch.export``; return its MACs a picture.

    Input float32 [1, 3, S, S] RGB 0 to 1; outputs, stride by stride, [1, 4 * bins, S/stride,
    S/stride] and [1, C, S/stride, S/stride].
    """
    network = copy.deepcopy(model).to('cpu', torch.float32).eval()
    picture = torch.zeros(1, 3, image_size, image_size)
    with ultralytics(), torch.no_grad():
        network = network.fuse(verbose=False)  # type: ignore[operator]
        raw = _Raw(network).eval()
        with FlopCounterMode(display=False) as counter:
            raw(picture)
        torch.export.save(torch.export.export(raw, (picture,)), path)
    return counter.get_total_flops() // 2


class _Raw(nn.Module):
    """The network with the head's decoding left out."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        head = network.model[-1]
        head.forward = lambda features: _raw_head(head, features)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        outputs: tuple[Tensor, ...] = self.network(images)
        return outputs


def _raw_head(head: Any, features: list[Tensor]) -> tuple[Tensor, ...]:
    return tuple(branch[i](feature) for i, feature in enumerate(features)
                 for branch in (head.cv2, head.cv3))
