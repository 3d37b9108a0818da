"""Display colours as CIELab in 16 bits (PS3.3 C.10.7.1.1), converted by highdicom.

highdicom is imported when the first colour is converted: that takes a while, and most series have no colours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from derived_series.errors import BlueprintError

_HEX = re.compile(r"#[0-9a-fA-F]{6}")
#: Colours for segments that recommend none.
PALETTE = ("#e6194b", "#3cb44b", "#ffe119", "#4363d8", "#f58231", "#911eb4", "#46f0f0", "#f032e6", "#bcf60c", "#fabebe")


def cielab(color: str) -> list[int]:
    """Convert an sRGB colour such as ``"#b5651d"`` to RecommendedDisplayCIELabValue (0062,000D).

    :raises BlueprintError: the text is not a colour.
    """
    from highdicom.color import CIELabColor

    if not isinstance(color, str) or not _HEX.fullmatch(color):
        raise BlueprintError(f"{color!r} is not a colour", remedy='write red, green and blue in hex: "#b5651d"')
    return [int(value) for value in CIELabColor.from_string(color).value]


def srgb(lab: Sequence[int]) -> str:
    """Convert a RecommendedDisplayCIELabValue to the nearest sRGB colour, as ``"#b5651d"``."""
    from highdicom.color import CIELabColor

    lightness, a, b = (int(value) for value in lab)
    return "#" + "".join(f"{part:02x}" for part in CIELabColor.from_dicom_value((lightness, a, b)).to_rgb(clip=True))
