"""Display colours as DICOM writes them: CIELab in 16 bits (PS3.3 C.10.7.1.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from derived_series.errors import BlueprintError

_HEX = re.compile(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")
#: Linear sRGB to XYZ, each row over the white point D65: white is L 100, a 0, b 0, as viewers and toolkits have it.
_XYZ = (
    (0.43395276, 0.37621941, 0.18982784),
    (0.21263901, 0.71516868, 0.07219232),
    (0.01775659, 0.10946796, 0.87277546),
)
_SMALL = 216 / 24389
#: For segments that recommend no colour.
PALETTE = ("#e6194b", "#3cb44b", "#ffe119", "#4363d8", "#f58231", "#911eb4", "#46f0f0", "#f032e6", "#bcf60c", "#fabebe")


def cielab(color: str) -> list[int]:
    """The RecommendedDisplayCIELabValue (0062,000D) of an sRGB colour such as ``"#b5651d"``.

    :raises BlueprintError: when it is no such text.
    """
    found = _HEX.fullmatch(color) if isinstance(color, str) else None
    if found is None:
        raise BlueprintError(f"{color!r} is no colour", remedy='write red, green and blue in hex: "#b5651d"')
    linear = [_linear(int(part, 16) / 255) for part in found.groups()]
    x, y, z = (_curve(sum(a * b for a, b in zip(row, linear, strict=True))) for row in _XYZ)
    lightness, a, b = 116 * y - 16, 500 * (x - y), 200 * (y - z)
    return [_whole(lightness / 100), _whole((a + 128) / 255), _whole((b + 128) / 255)]


def _linear(value: float) -> float:
    return float(value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)


def _curve(value: float) -> float:
    return float(value ** (1 / 3)) if value > _SMALL else (24389 / 27 * value + 16) / 116


def _whole(part: float) -> int:
    return min(max(round(part * 65535), 0), 65535)


def srgb(lab: Sequence[int]) -> str:
    """The sRGB colour of a RecommendedDisplayCIELabValue, as ``"#b5651d"``; the nearest one that there is."""
    lightness, a, b = lab[0] / 655.35, lab[1] / 257 - 128, lab[2] / 257 - 128
    y = (lightness + 16) / 116
    linear = np.linalg.solve(np.array(_XYZ), [_straight(y + a / 500), _straight(y), _straight(y - b / 200)])
    return "#" + "".join(f"{min(max(round(255 * _gamma(float(part))), 0), 255):02x}" for part in linear)


def _straight(value: float) -> float:
    return value**3 if value**3 > _SMALL else (116 * value - 16) * 27 / 24389


def _gamma(value: float) -> float:
    return float(12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055)
