from types import SimpleNamespace

import numpy as np
import pytest

from vla_nav.observations.clouds import cloud_fields, points_of


def cloud(points, **changes):
    layout = {**cloud_fields(points), **changes}
    layout['fields'] = [SimpleNamespace(name=n, offset=o, datatype=d)
                        for n, o, d in layout['fields']]
    return SimpleNamespace(**layout)


@pytest.mark.parametrize('points', [[], [[1.5, -2.0]], [[0.25, 0.5], [np.nan, np.inf]]])
def test_points_come_back(points):
    found = points_of(cloud(points))
    assert found.shape == (len(points), 2)
    np.testing.assert_array_equal(found, np.reshape(points, (-1, 2)))


def test_a_scanners_layout_is_read():
    # Two padded rows of two points: intensity first, then y and x of 64 bits, all big-endian.
    kind = np.dtype({'names': ['i', 'y', 'x'], 'formats': ['>f4', '>f8', '>f8'],
                     'offsets': [0, 4, 12], 'itemsize': 24})
    rows = np.zeros((2, 2), kind)
    rows['x'], rows['y'] = [[1, 2], [3, 4]], [[5, 6], [7, 8]]
    data = b''.join(row.tobytes() + b'\xff' * 8 for row in rows)
    found = points_of(cloud([], height=2, width=2, point_step=24, row_step=56, data=data,
                            is_bigendian=True, fields=[('i', 0, 7), ('y', 4, 8), ('x', 12, 8)]))
    assert found.tolist() == [[1, 5], [2, 6], [3, 7], [4, 8]]


@pytest.mark.parametrize(('changes', 'says'), [
    ({'fields': [('x', 0, 7), ('z', 8, 7)]}, "fields \\['x', 'z'\\]"),
    ({'fields': [('x', 0, 2), ('y', 1, 2)]}, 'of 32 or 64 bits'),
    ({'data': b'\0' * 11}, 'does not fit into its 11 bytes'),
    ({'point_step': 2}, 'does not fit')])
def test_what_is_no_cloud_is_named(changes, says):
    with pytest.raises(ValueError, match=says):
        points_of(cloud([[1.0, 2.0]], **changes))
