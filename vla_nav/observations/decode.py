"""Decode camera pictures, raw or compressed, to uint8 [H, W, 3] RGB with NumPy and OpenCV."""

from __future__ import annotations

from array import array
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# What rclpy, rosbags and tests put into a message's ``data``.
Buffer = bytes | bytearray | memoryview | list[int] | array | NDArray[np.uint8]

# Channels a pixel, and OpenCV's conversion to RGB. 8UC3 is left out on purpose: it does not say
# whether it is RGB or BGR, and a guess would swap red and blue. OpenCV names a Bayer pattern by
# the second row's second and third pixel, ROS by the first row's first two.
_RAW: dict[str, tuple[int, int | None]] = {
    'rgb8': (3, None),
    'bgr8': (3, cv2.COLOR_BGR2RGB),
    'rgba8': (4, cv2.COLOR_RGBA2RGB),
    'bgra8': (4, cv2.COLOR_BGRA2RGB),
    'mono8': (1, cv2.COLOR_GRAY2RGB),
    '8UC1': (1, cv2.COLOR_GRAY2RGB),
    **dict.fromkeys(('yuv422', 'uyvy'), (2, cv2.COLOR_YUV2RGB_UYVY)),
    **dict.fromkeys(('yuv422_yuy2', 'yuyv'), (2, cv2.COLOR_YUV2RGB_YUY2)),
    'bayer_rggb8': (1, cv2.COLOR_BayerBG2RGB),
    'bayer_bggr8': (1, cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg8': (1, cv2.COLOR_BayerGR2RGB),
    'bayer_grbg8': (1, cv2.COLOR_BayerGB2RGB),
}
# The same with 16 bits: rgb16, mono16, bayer_rggb16. Not 16UC1, which carries depth.
_DEEP = {name.replace('8', '16'): name for name in _RAW if name[-1] == '8'}
RAW_ENCODINGS = (*_RAW, *_DEEP)

# Two pixels share their colour.
_HALVED = ('yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv')

_REDUCED = ((8, cv2.IMREAD_REDUCED_COLOR_8), (4, cv2.IMREAD_REDUCED_COLOR_4),
            (2, cv2.IMREAD_REDUCED_COLOR_2))
_PNG_MAGIC = b'\x89PNG\r\n\x1a\n'


def decode_raw(encoding: str, height: int, width: int, step: int, data: Buffer,
               big_endian: bool = False) -> NDArray[np.uint8]:
    """Decode one ``sensor_msgs/Image`` payload to uint8 [H, W, 3] RGB.

    ``step`` is the length of a row in bytes and may exceed the pixels (padding). The result may
    be a view of ``data``. Of 16 bits, in the order of bytes that ``big_endian`` tells, the full
    range becomes the full range of 8. Raises ValueError for an encoding or sizes that do not fit.
    """
    depth = 2 if encoding in _DEEP else 1
    if encoding not in RAW_ENCODINGS:
        hint = (' (8UC3 does not say whether it is RGB or BGR)' if encoding == '8UC3' else '')
        raise ValueError(f'image encoding {encoding!r} is not supported{hint}: set the camera '
                         f'driver to one of {", ".join(RAW_ENCODINGS)}, or install cv_bridge')
    channels, conversion = _RAW[_DEEP.get(encoding, encoding)]
    if height < 1 or width < 1:
        raise ValueError(f'image size {width}x{height} is empty: check the camera driver')
    if step < width * channels * depth:
        raise ValueError(f'image step {step} is less than width {width} x {channels * depth} '
                         f'bytes of {encoding}: the camera driver fills the message wrongly')
    flat = _as_bytes(data)
    # The last row may lack its padding; some drivers send it so.
    needed = step * (height - 1) + width * channels * depth
    if flat.size < needed:
        raise ValueError(f'image data has {flat.size} bytes where {width}x{height} {encoding} '
                         f'with step {step} needs {needed}: the message was cut short')
    if encoding in _HALVED and width % 2:
        raise ValueError(f'image width {width} is odd, which {encoding} does not know: the camera '
                         'driver fills the message wrongly')
    pixels = np.lib.stride_tricks.as_strided(
        flat, (height, width, channels * depth), (step, channels * depth, 1), writeable=False)
    if depth == 2:
        pixels = _to_eight_bits(pixels, big_endian)
    if conversion is None:
        return pixels
    try:
        rgb: Any = cv2.cvtColor(pixels, conversion)
    except cv2.error as error:  # a Bayer pattern of one row, say
        raise ValueError(f'{width}x{height} {encoding} does not decode: {error}') from error
    return rgb


def _to_eight_bits(pixels: NDArray[np.uint8], big_endian: bool) -> NDArray[np.uint8]:
    deep = np.ascontiguousarray(pixels).view('>u2' if big_endian else '<u2')
    eight: Any = cv2.convertScaleAbs(deep.astype(np.uint16), alpha=255 / 65535)
    return eight.reshape(deep.shape)


def decode_compressed(data: Buffer, min_height: int = 0,
                      min_width: int = 0) -> NDArray[np.uint8]:
    """Decode a JPEG or PNG file image to uint8 [H, W, 3] RGB.

    With ``min_height`` and ``min_width``, a JPEG is decoded at 1/2, 1/4 or 1/8 of its size where
    that is still at least as large, which costs a fraction of the time. Raises ValueError where
    the data is empty, cut short or of another format.
    """
    blob = _as_bytes(data).tobytes()
    if not blob:
        raise ValueError('compressed image is empty: check the camera driver')
    height, width = compressed_size(blob)
    # Orientation tags are ignored: camera_info and the size above describe the stored pixels.
    flags = cv2.IMREAD_COLOR
    if min_height > 0 and min_width > 0 and blob.startswith(b'\xff\xd8'):
        for factor, reduced in _REDUCED:
            # libjpeg rounds the reduced size up.
            if -(-height // factor) >= min_height and -(-width // factor) >= min_width:
                flags = reduced
                break
    try:
        bgr = cv2.imdecode(np.frombuffer(blob, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ValueError(f'compressed image does not decode: {error}') from error
    if bgr is None:
        raise ValueError('compressed image does not decode: its data is damaged')
    rgb: Any = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return rgb


def compressed_size(blob: bytes) -> tuple[int, int]:
    """Return (height, width) from a JPEG's or PNG's header, without decoding.

    Also looks for the end marker, since OpenCV fills the missing part of a picture that was cut
    short with grey and says nothing. Raises ValueError where either is missing.
    """
    if blob.startswith(_PNG_MAGIC):
        if len(blob) < 24 or blob.rfind(b'IEND') < 24:
            raise ValueError('PNG image is cut short: the message was truncated on its way')
        return int.from_bytes(blob[20:24], 'big'), int.from_bytes(blob[16:20], 'big')
    if blob.startswith(b'\xff\xd8'):
        return _jpeg_size(blob)
    raise ValueError(f'compressed image starts with {blob[:4]!r} and is neither JPEG nor PNG: '
                     'set the image transport to jpeg or png')


def _jpeg_size(blob: bytes) -> tuple[int, int]:
    size: tuple[int, int] | None = None
    at = 2
    while at + 4 <= len(blob) and blob[at] == 0xFF:
        marker = blob[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        # Frame headers are C0 to CF without the tables DHT (C4), JPG (C8) and DAC (CC).
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and at + 9 <= len(blob):
            size = (int.from_bytes(blob[at + 5:at + 7], 'big'),
                    int.from_bytes(blob[at + 7:at + 9], 'big'))
        if marker == 0xDA:  # start of scan: from here to the end marker are pixels
            break
        at += 2 + int.from_bytes(blob[at + 2:at + 4], 'big')
    if size is None or blob.rfind(b'\xff\xd9') <= at:
        raise ValueError('JPEG image is cut short: the message was truncated on its way')
    return size


def _as_bytes(data: Buffer) -> NDArray[np.uint8]:
    if isinstance(data, np.ndarray):
        return np.ascontiguousarray(data, np.uint8).reshape(-1)
    return np.frombuffer(memoryview(bytes(data) if isinstance(data, list) else data), np.uint8)
