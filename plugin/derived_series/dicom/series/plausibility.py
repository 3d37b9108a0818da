"""Warnings about pixel values that do not fit the SOP class or the units: masks stored as CT, SUV as Bq/ml."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage, PositronEmissionTomographyImageStorage

from derived_series.dicom.blueprints.environment import ImageEnvironment
from derived_series.dicom.encoding.tags import Key
from derived_series.dicom.series.likeness import Samples, other_way_round
from derived_series.dicom.series.required import of_other_modality
from derived_series.dicom.source.instances import telling
from derived_series.dicom.source.multiframe.frame import source_of
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.dicom.source.slices import ParentSlices
from derived_series.errors import InvalidParent
from derived_series.kinds import sop_class
from derived_series.kinds.kind import SopClass

_SUV = re.compile(r"\bSUV|standardi[sz]ed uptake", re.IGNORECASE)
#: SUVs are below this, and activity concentrations (Bq/ml) above it, where there is any activity.
_SUV_AT_MOST = 200
#: How many times smaller than the parent's the largest value must be to look like another unit.
_FAR_BELOW = 100
#: The number of the parent's slices that are sampled.
_SLICES_LOOKED_AT = 5
#: The offset that most scanners add to HU to store them, and how close to it a difference must be.
_ZERO_OF_STORED, _NEAR_ZERO_OF_STORED = 1024, 50


def _is_inverted(parent: ParentSeries) -> bool:
    """Whether any of its instances is shown so."""
    tag = "PhotometricInterpretation"
    return any(instance.get(tag) == "MONOCHROME1" for instance in telling(parent.instances, parent.varying, tag))


def implausible_values(env: ImageEnvironment, elements: Mapping[Key, DataElement]) -> list[str]:
    """Warn of implausible values in a classic series.

    :param elements: the elements that its instances share.
    """
    warnings = []
    if env.pixels.samples == 1 and _is_inverted(env.parent):
        warnings.append(
            "the parent series is shown inverted (MONOCHROME1); the derived one is MONOCHROME2, with low values dark"
        )
    row = sop_class(env.sop_class_uid)
    other = of_other_modality(env.sop_class_uid, env.parent.modality)
    if other is not None and isinstance(env.pixels.image, ParentSlices):
        warnings.append(
            f"the series has {other.what}: the parent's own values are taken for those of {row.called or 'the other'}; "
            f"{other.remedy.partition(';')[0]}"
        )
    if env.sop_class_uid == PositronEmissionTomographyImageStorage:
        warnings += _no_activity(env, elements)
    elif row.called:
        warnings += no_picture(env, row)
    if env.volumes > 1 and env.volumes != env.parent.volumes:
        of = "its parent is one" if env.parent.volumes == 1 else f"its parent has {env.parent.volumes}"
        warnings.append(f"the image has {env.volumes} volumes, {of}: they are stored as points in time")
    if row.largest is not None and not env.pixels.is_mask and not isinstance(env.pixels.image, ParentSlices):
        warnings += _implausible(env, row.called, row.largest)
        warnings += _unlike(env, elements)
    return warnings


def _implausible(env: ImageEnvironment, kind: str, limit: float) -> list[str]:
    """Warn of values that no CT, MR or PET image has."""
    low, high = env.pixels.low, env.pixels.high
    if low == high:
        return [f"all values of the image are {low:g}"]
    largest = max(-low, high)
    if largest > limit and not (_same_kind(env) and largest <= 10 * _largest(env.parent)):
        return [f"the values reach from {low:g} to {high:g}, and those of {kind} stay below {limit:g}"]
    return []


def _unlike(env: ImageEnvironment, elements: Mapping[Key, DataElement]) -> list[str]:
    """Warn if an image in its parent's unit fits it better in another orientation, or with another offset."""
    if not _same_kind(env) or not _same_unit(env, elements) or "PixelData" not in source_of(env.parent.pivot):
        return []
    try:
        if not env.on_parent_grid:
            return _shifted_elsewhere(env)
        samples = Samples.of(env)
    except InvalidParent:  # nothing here decodes its transfer syntax, and nobody asked for its pixels
        return []
    warnings = [other_way_round(samples, env.grid)]
    if env.sop_class_uid == CTImageStorage:
        difference = samples.image - samples.parent
        by = float(np.median(difference))
        is_shifted = float(np.median(np.abs(difference - by))) < _NEAR_ZERO_OF_STORED
        with np.errstate(over="ignore"):  # values may be as large as float64 allows; an infinite difference is fine
            is_shifted = is_shifted and bool(difference.std() < samples.parent.std() / 2)
        if is_shifted:
            warnings.append(_shifted(by))
    return list(filter(None, warnings))


def _shifted(by: float) -> str:
    """The warning about a CT image with an offset from HU."""
    if abs(abs(by) - _ZERO_OF_STORED) > _NEAR_ZERO_OF_STORED:
        return ""
    side = "above" if by > 0 else "below"
    return (
        f"the values are about {abs(by):.0f} {side} the parent's, which are HU: they look like stored values before or "
        "after the rescale; add RescaleIntercept once, and only once"
    )


def _shifted_elsewhere(env: ImageEnvironment) -> list[str]:
    """The same for an image on its own grid, by its lowest and highest values."""
    if env.sop_class_uid != CTImageStorage or not 0 <= env.pixels.low < _NEAR_ZERO_OF_STORED:
        return []
    low, high = _range_of(env.parent)
    warning = _shifted(env.pixels.high - high) if abs(low + _ZERO_OF_STORED) < _NEAR_ZERO_OF_STORED else ""
    return [warning] if warning else []


def _same_kind(env: ImageEnvironment) -> bool:
    """Whether the image has the parent's modality, classic or multi-frame."""
    row = sop_class(env.sop_class_uid)
    return row.largest is not None and row.modality == env.parent.modality


def _same_unit(env: ImageEnvironment, elements: Mapping[Key, DataElement]) -> bool:
    """Whether the values have the parent's unit; MR values have none."""
    if env.sop_class_uid == CTImageStorage:
        rescale_type = _text(elements, "RescaleType") or "HU"
        return rescale_type == str(env.parent.pivot.get("RescaleType") or "HU")
    name = "Units" if env.sop_class_uid == PositronEmissionTomographyImageStorage else "Modality"
    return _text(elements, name) == str(env.parent.pivot.get(name, ""))


def no_picture(env: ImageEnvironment, row: SopClass) -> list[str]:
    """Warn of masks and probabilities stored as an image. :param row: the row of the image's class."""
    pixels, kind = env.pixels, row.called
    mask, floats = ("segmentation", "parametric_map") if row.placed else ("secondary_capture",) * 2
    if pixels.is_mask or (not pixels.rescaled and _has_two_values(env)):
        return [f"the values are those of a mask, which is not {kind}: the blueprint {mask} says what it is"]
    if pixels.image.dtype.kind == "f" and pixels.rescaled and 0 <= pixels.low < pixels.high <= 1:
        return [
            f"the values reach from {pixels.low:g} to {pixels.high:g}, like a map of probabilities and not like "
            f"{kind}: the blueprint {floats} says what it is"
        ]
    return []


def _has_two_values(env: ImageEnvironment) -> bool:
    """Whether an image has only two values, 0 and a whole number above it, such as 1 or a label."""
    image, low, high = env.pixels.image, env.pixels.low, env.pixels.high
    if (low, high) == (0, 1):
        return True
    if isinstance(image, ParentSlices) or image.dtype.kind not in "iu" or not 0 <= low < high:
        return False
    slices = (image[index] for index in range(len(image)))
    return all(bool(((plane == low) | (plane == high)).all()) for plane in slices)  # mostly the first slice decides


def _no_activity(env: ImageEnvironment, elements: Mapping[Key, DataElement]) -> list[str]:
    """Warn of standardised uptake values that are labelled Bq/ml."""
    if _text(elements, "Units") != "BQML":
        return []
    remedy = 'set Units "GML" and SUVType "BW" (or what they are) in the blueprint'
    descriptions = " ".join(_text(elements, name) for name in ("SeriesDescription", "DerivationDescription"))
    if _SUV.search(descriptions) and not _SUV.search(str(env.parent.pivot.get("SeriesDescription", ""))):
        return [f"the description speaks of SUV, but Units (0054,1001) is BQML: {remedy}"]
    high = env.pixels.high
    if 0 < high < _SUV_AT_MOST and high * _FAR_BELOW < (usual := _largest(env.parent)):
        return [
            f"the values reach to {high:g}, those of the parent series to {usual:g} at least, but Units (0054,1001) is "
            f"BQML for both: they look like SUV: {remedy}"
        ]
    return []


def _text(elements: Mapping[Key, DataElement], name: str) -> str:
    element = elements.get((int(Tag(name)), ""))
    return "" if element is None else str(element.value or "")


def _looked_at(parent: ParentSeries) -> list[int]:
    """The indexes of a few of the parent's slices, evenly spread."""
    return [int(index) for index in np.unique(np.linspace(0, len(parent) - 1, _SLICES_LOOKED_AT).astype(int))]


def _range_of(parent: ParentSeries) -> tuple[float, float]:
    """The lowest and highest value in some of the parent's slices. :raises InvalidParent: they cannot be decoded."""
    ranges = [(float(frame.min()), float(frame.max())) for frame in parent.slices(_looked_at(parent))]
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _largest(parent: ParentSeries) -> float:
    """The largest value in some of the parent's slices; by their headers if the pixels are not available."""
    indexes = _looked_at(parent)
    if "PixelData" in parent.pivot:
        try:
            return _range_of(parent)[1]
        except InvalidParent:  # in a syntax that nothing here decodes, and nobody asked for its pixels
            pass
    if parent.is_constant("RescaleSlope"):
        return 0.0
    # each slice has its own slope so that it fills the stored range
    headers = [parent.instances[index] for index in indexes]
    return max(float(d.get("RescaleSlope") or 1) * ((1 << int(d.get("BitsStored") or 16) - 1) - 1) for d in headers)
