"""Points in ``sensor_msgs/PointCloud2``: read and written by its fields, without ROS."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

# The numbers of sensor_msgs/PointField.
_FORMATS = {7: 'f4', 8: 'f8'}
_FLOAT32 = 7
_AXES = ('x', 'y', 'z')


def points_of(message: Any) -> NDArray[np.float64]:
    """Return the points [N, 2] (x, y) of a cloud, as they are: also those that are not finite.

    Raises ValueError where the cloud has no x and y, or fewer bytes than it says.
    """
    fields = {field.name: field for field in message.fields}
    try:
        formats = [_FORMATS[fields[name].datatype] for name in 'xy']
    except KeyError as error:
        raise ValueError(f'a cloud without x and y of 32 or 64 bits: it has the fields '
                         f'{sorted(fields) or "none"}') from error
    order = '>' if message.is_bigendian else '<'
    height, width, step = message.height, message.width, message.point_step
    whole = np.frombuffer(memoryview(message.data), np.uint8)
    try:
        kind = np.dtype({'names': ['x', 'y'], 'formats': [order + one for one in formats],
                         'offsets': [fields[name].offset for name in 'xy'], 'itemsize': step})
        # Rows may be padded.
        rows = np.ndarray((height, width), kind, whole, strides=(message.row_step, step))
    except (ValueError, TypeError) as error:
        raise ValueError(f'a cloud of {height} x {width} points of {step} bytes does not fit '
                         f'into its {whole.size} bytes: {error}') from error
    return np.stack([rows['x'].ravel(), rows['y'].ravel()], -1).astype(np.float64)


def cloud_fields(points: ArrayLike) -> dict[str, Any]:
    """Return the layout of a cloud of the points [N, 2] on the ground, z being 0.

    ``fields`` holds (name, offset, datatype) of each field, ``data`` the bytes.
    """
    flat = np.asarray(points, np.float32).reshape(-1, 2)
    data = np.zeros((len(flat), len(_AXES)), '<f4')
    data[:, :2] = flat
    step = data.itemsize * len(_AXES)
    return {'height': 1, 'width': len(flat), 'point_step': step, 'row_step': step * len(flat),
            'is_bigendian': False, 'is_dense': bool(np.isfinite(flat).all()),
            'fields': [(name, 4 * at, _FLOAT32) for at, name in enumerate(_AXES)],
            'data': data.tobytes()}
