"""Raw and compressed pictures come out as the RGB that went in, or as a clear error."""

from __future__ import annotations

import array

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_nav.observations.decode import compressed_size, decode_compressed, decode_raw

_ORDER = {'rgb8': (0, 1, 2), 'bgr8': (2, 1, 0), 'rgba8': (0, 1, 2, 3), 'bgra8': (2, 1, 0, 3)}


def _picture(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def _smooth(height: int, width: int) -> np.ndarray:
    """Return a picture that survives JPEG: a red, a green and a blue ramp of their own."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, 255 - x * 255 // width],
                    axis=-1).astype(np.uint8)


def _jpeg(rgb: np.ndarray) -> bytes:
    return cv2.imencode('.jpg', rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


@settings(max_examples=60)
@given(encoding=st.sampled_from(sorted(_ORDER)), height=st.integers(1, 9),
       width=st.integers(1, 9), padding=st.integers(0, 7), last_row_padded=st.booleans(),
       seed=st.integers(0, 99))
def test_raw_round_trip_with_any_padding(encoding, height, width, padding, last_row_padded, seed):
    order = _ORDER[encoding]
    stored = _picture(height, width, len(order), seed)
    step = width * len(order) + padding
    rows = np.full((height, step), 77, np.uint8)
    rows[:, :width * len(order)] = stored.reshape(height, -1)
    data = rows.tobytes() if last_row_padded or not padding else rows.tobytes()[:-padding]
    decoded = decode_raw(encoding, height, width, step, data)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, stored[..., list(order[:3])])


@pytest.mark.parametrize('encoding', ['mono8', '8UC1'])
def test_grey_becomes_three_equal_channels(encoding):
    grey = _picture(4, 5, 1)
    np.testing.assert_array_equal(decode_raw(encoding, 4, 5, 5, grey.tobytes()),
                                  np.repeat(grey, 3, axis=2))


@pytest.mark.parametrize('encoding', ['yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv'])
def test_yuv_keeps_the_colours(encoding):
    # Left half red, right half blue, after BT.601 in video range.
    red, blue = (81, 90, 240), (41, 240, 110)
    row = [value for y, u, v in (red, blue) for value in
           ((u, y, v, y) if encoding in ('yuv422', 'uyvy') else (y, u, y, v))]
    decoded = decode_raw(encoding, 2, 4, 8, bytes(row * 2)).astype(int)
    assert np.abs(decoded[:, :2] - (255, 0, 0)).max() < 6
    assert np.abs(decoded[:, 2:] - (0, 0, 255)).max() < 6


@pytest.mark.parametrize('bits', [8, 16])
@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_bayer_patterns_keep_the_colours(pattern, bits):
    colour = {'r': 200, 'g': 120, 'b': 30}
    tile = np.array([colour[c] for c in pattern]).reshape(2, 2)
    mosaic = np.tile(tile, (4, 4)) * (1 if bits == 8 else 257)
    data = mosaic.astype(np.uint8 if bits == 8 else '<u2').tobytes()
    decoded = decode_raw(f'bayer_{pattern}{bits}', 8, 8, bits, data)
    np.testing.assert_array_equal(decoded[2:6, 2:6], np.full((4, 4, 3), (200, 120, 30)))


@pytest.mark.parametrize('big', [False, True])
@pytest.mark.parametrize('encoding', ['rgb16', 'bgr16', 'rgba16', 'mono16'])
def test_sixteen_bits_become_the_same_eight(encoding, big):
    shallow = encoding.replace('16', '8')
    stored = _picture(3, 5, 1 if shallow == 'mono8' else len(_ORDER[shallow]))
    deep = (stored.astype(np.uint16) * 257).astype('>u2' if big else '<u2')
    width = stored.shape[2] * 5
    np.testing.assert_array_equal(
        decode_raw(encoding, 3, 5, 2 * width, deep.tobytes(), big),
        decode_raw(shallow, 3, 5, width, stored.tobytes()))


@pytest.mark.parametrize('wrap', [bytes, bytearray, memoryview, list,
                                  lambda b: array.array('B', b),
                                  lambda b: np.frombuffer(b, np.uint8)])
def test_every_buffer_a_message_may_carry(wrap):
    picture = _picture(3, 4)
    np.testing.assert_array_equal(decode_raw('rgb8', 3, 4, 12, wrap(picture.tobytes())), picture)
    smooth = _smooth(16, 16)
    assert decode_compressed(wrap(_jpeg(smooth))).shape == (16, 16, 3)


@pytest.mark.parametrize('arguments, told', [
    (('16UC1', 2, 2, 4, bytes(8)), 'rgb8'),
    (('yuv422', 2, 3, 6, bytes(12)), 'odd'),
    (('rgb16', 2, 2, 11, bytes(24)), 'step 11'),
    (('8UC3', 2, 2, 6, bytes(12)), 'RGB or BGR'),
    (('rgb8', 0, 2, 6, b''), 'empty'),
    (('rgb8', 2, 2, 5, bytes(12)), 'step 5'),
    (('rgb8', 2, 2, 6, bytes(11)), 'cut short'),
    (('rgb8', 2, 2, 6, b''), 'cut short'),
])
def test_raw_errors_say_what_is_wrong(arguments, told):
    with pytest.raises(ValueError, match=told):
        decode_raw(*arguments)


def test_png_is_exact_and_jpeg_is_close_in_rgb():
    picture = _smooth(48, 64)
    png = cv2.imencode('.png', picture[..., ::-1])[1].tobytes()
    np.testing.assert_array_equal(decode_compressed(png, 8, 8), picture)
    error = np.abs(decode_compressed(_jpeg(picture)).astype(int) - picture)
    assert error.mean() < 2.0


@pytest.mark.parametrize('minimum, expected', [
    ((0, 0), (120, 162)), ((61, 80), (120, 162)), ((60, 81), (60, 81)), ((60, 82), (120, 162)),
    ((30, 41), (30, 41)), ((15, 21), (15, 21)), ((1, 1), (15, 21)), ((500, 500), (120, 162)),
])
def test_jpeg_is_reduced_only_as_far_as_asked(minimum, expected):
    assert decode_compressed(_jpeg(_smooth(120, 162)), *minimum).shape[:2] == expected


@settings(max_examples=30)
@given(height=st.integers(1, 200), width=st.integers(1, 200), low_h=st.integers(1, 100),
       low_w=st.integers(1, 100))
def test_reduced_picture_never_falls_below_the_minimum(height, width, low_h, low_w):
    shape = decode_compressed(_jpeg(_smooth(height, width)), low_h, low_w).shape
    assert shape[0] >= min(height, low_h) and shape[1] >= min(width, low_w)


@pytest.mark.parametrize('extension', ['.jpg', '.png'])
@given(share=st.floats(0.0, 0.99))
@settings(max_examples=30)
def test_cut_short_is_an_error_not_a_grey_picture(extension, share):
    blob = cv2.imencode(extension, _picture(40, 40))[1].tobytes()
    with pytest.raises(ValueError, match=r'cut short|empty|neither'):
        decode_compressed(blob[:int(len(blob) * share)])


def test_size_from_a_progressive_header_and_padded_tail():
    blob = cv2.imencode('.jpg', _smooth(30, 50), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert compressed_size(blob) == (30, 50)
    # Some cameras pad each picture to a fixed buffer.
    assert decode_compressed(blob + bytes(100)).shape == (30, 50, 3)


def test_other_formats_are_refused_by_name():
    with pytest.raises(ValueError, match='neither JPEG nor PNG'):
        decode_compressed(b'GIF89a' + bytes(50))
