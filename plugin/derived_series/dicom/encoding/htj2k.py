"""High-Throughput JPEG 2000, lossless (PS3.5 A.4.4.1): a plugin for pydicom's Encoder, which does not include one.

OpenJPH encodes, through the package imagecodecs; pydicom decodes the result with pylibjpeg-openjpeg.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from pydicom.pixels.encoders.base import EncodeRunner
from pydicom.uid import HTJ2KLossless

#: What pydicom lists as missing when the plugin is not available.
ENCODER_DEPENDENCIES = {HTJ2KLossless: ("imagecodecs",)}


def is_available(uid: str) -> bool:
    """Whether imagecodecs is installed."""
    return uid == HTJ2KLossless and find_spec("imagecodecs") is not None


def encode_frame(source: bytes, runner: EncodeRunner) -> bytes:
    """Encode one frame as a code stream.

    Colour is not transformed (no YBR_RCT), so the dataset's PhotometricInterpretation holds for the encoded frame.

    :param source: (row, column) or (row, column, sample), little endian; all bits of its bytes are stored.
    """
    from imagecodecs import htj2k_encode

    kind = "i" if runner.pixel_representation else "u"
    shape = (runner.rows, runner.columns, runner.samples_per_pixel)
    frame = np.frombuffer(source, f"<{kind}{(runner.bits_stored + 7) // 8}").reshape(shape)
    if runner.samples_per_pixel == 1:
        return bytes(htj2k_encode(frame[..., 0], reversible=True))
    return bytes(htj2k_encode(frame, reversible=True, rgb=False, planar=False))
