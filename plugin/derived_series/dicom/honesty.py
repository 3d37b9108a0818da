"""Doubts about a series whose class or units its values belie: told as warnings, since they may be meant."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage, MRImageStorage, PositronEmissionTomographyImageStorage

from derived_series.dicom.blueprint import Key
from derived_series.dicom.environment import ImageEnvironment
from derived_series.dicom.parent import ParentSeries
from derived_series.errors import InvalidParent

_NAMES = {str(CTImageStorage): "a CT in HU", str(MRImageStorage): "an MR image"}
_SUV = re.compile(r"\bSUV|standardi[sz]ed uptake", re.IGNORECASE)
#: SUVs are below this, and activity concentrations (Bq/ml) above it, where there is any.
_SUV_AT_MOST = 200
#: How much smaller than the parent's the largest value must be to look like one in another unit.
_FAR_BELOW = 100
#: So many slices of the parent are looked at.
_LOOKED_AT = 5


def doubts(env: ImageEnvironment, elements: Mapping[Key, DataElement]) -> list[str]:
    """What the answer should tell of a classic series.

    :param elements: what its instances share.
    """
    found = []
    if env.pixels.samples == 1 and env.parent.pivot.get("PhotometricInterpretation") == "MONOCHROME1":
        found.append(
            "the parent series is shown inverted (MONOCHROME1); the derived one is MONOCHROME2, with low values dark"
        )
    if env.sop_class_uid in _NAMES:
        found += _no_picture(env, _NAMES[env.sop_class_uid])
    if env.sop_class_uid == PositronEmissionTomographyImageStorage:
        found += _no_activity(env, elements)
    return found


def _no_picture(env: ImageEnvironment, kind: str) -> list[str]:
    """Masks and maps of probabilities."""
    pixels = env.pixels
    if pixels.is_mask or (not pixels.rescaled and (pixels.low, pixels.high) == (0, 1)):
        return [f"the values are those of a mask, which is not {kind}: the blueprint segmentation says what it is"]
    if pixels.image.dtype.kind == "f" and pixels.rescaled and 0 <= pixels.low < pixels.high <= 1:
        return [
            f"the values reach from {pixels.low:g} to {pixels.high:g}, like a map of probabilities and not like "
            f"{kind}: the blueprint parametric_map says what it is"
        ]
    return []


def _no_activity(env: ImageEnvironment, elements: Mapping[Key, DataElement]) -> list[str]:
    """Standardised uptake values that are said to be Bq/ml."""
    if _text(elements, "Units") != "BQML":
        return []
    remedy = 'set Units "GML" and SUVType "BW" (or what they are) in the blueprint'
    said = " ".join(_text(elements, name) for name in ("SeriesDescription", "DerivationDescription"))
    if _SUV.search(said) and not _SUV.search(str(env.parent.pivot.get("SeriesDescription", ""))):
        return [f"the description speaks of SUV, but Units (0054,1001) is BQML: {remedy}"]
    high = env.pixels.high
    if 0 < high < _SUV_AT_MOST and high * _FAR_BELOW < (usual := _largest(env.parent)):
        return [
            f"the values reach to {high:g}, those of the parent series to {usual:g} at least, but Units (0054,1001) is "
            f"BQML for both: they look like SUV: {remedy}"
        ]
    return []


def _text(elements: Mapping[Key, DataElement], name: str) -> str:
    found = elements.get((int(Tag(name)), ""))
    return "" if found is None else str(found.value or "")


def _largest(parent: ParentSeries) -> float:
    """The largest value of some of the parent's slices; by their headers when the pixels are not at hand."""
    chosen = np.unique(np.linspace(0, len(parent) - 1, _LOOKED_AT).astype(int))
    if "PixelData" in parent.pivot:
        try:
            slices = parent.slices()
            return max(float(slices[int(index)].max()) for index in chosen)
        except InvalidParent:  # in a syntax that nothing here decodes, and nobody asked for its pixels
            pass
    if parent.is_constant("RescaleSlope"):
        return 0.0
    # a slope of its own for each slice is there to fill what is stored
    headers = [parent.instances[int(index)] for index in chosen]
    return max(float(d.get("RescaleSlope") or 1) * ((1 << int(d.get("BitsStored") or 16) - 1) - 1) for d in headers)
