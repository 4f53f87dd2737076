"""What a detector has seen, as messages: boxes and obstacles."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from vla_nav.detection.contracts import Detections
from vla_nav.nodes.newest import Detection2DArray
from vla_nav.observations.clouds import cloud_fields

if Detection2DArray is not None:
    from vision_msgs.msg import Detection2D, ObjectHypothesisWithPose


def cloud_message(points: NDArray[np.float64], stamp: Any, frame_id: str) -> PointCloud2:
    """Return the points [N, 2] on the ground of ``frame_id``."""
    layout = cloud_fields(points)
    fields = [PointField(name=name, offset=offset, datatype=datatype, count=1)
              for name, offset, datatype in layout.pop('fields')]
    data = array('B', layout.pop('data'))
    message = PointCloud2(header=Header(stamp=stamp, frame_id=frame_id), fields=fields, **layout)
    message.data = data
    return message


def detections_message(found: Detections, classes: Sequence[str], header: Any) -> Any:
    """Return a ``vision_msgs/Detection2DArray``; boxes are in the pixels that ``found`` has."""
    message = Detection2DArray(header=header)
    for (left, top, right, bottom), score, number in zip(
            found.boxes.tolist(), found.scores.tolist(), found.classes.tolist()):
        one, result = Detection2D(header=header), ObjectHypothesisWithPose()
        one.bbox.center.position.x = (left + right) / 2
        one.bbox.center.position.y = (top + bottom) / 2
        one.bbox.size_x, one.bbox.size_y = right - left, bottom - top
        result.hypothesis.class_id, result.hypothesis.score = classes[number], score
        one.results.append(result)
        message.detections.append(one)
    return message
