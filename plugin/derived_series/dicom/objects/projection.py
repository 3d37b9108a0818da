"""Projection and ultrasound images (PS3.3 A.2, A.6, A.7, A.14, A.16, A.26, A.27): one for each parent image.

Each has the class and the stored units of its parent instance, and its frame attributes if the number is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.element import ABSENT
from derived_series.dicom.blueprints.environment import ImageEnvironment, InstanceEnvironment
from derived_series.dicom.encoding.decimal_string import decimal_string
from derived_series.dicom.encoding.tags import describe, to_tag
from derived_series.dicom.image.parents_pixels import ParentsPixels, parents_pixels
from derived_series.dicom.image.placement import OtherInput, Placement
from derived_series.dicom.image.stored_pixels import StoredPixels
from derived_series.dicom.modules.derivation import MARKS, marks_of
from derived_series.dicom.modules.image import image_pixel_blueprint
from derived_series.dicom.modules.projection import CINE, MASK, MaskElement, number_of_frames
from derived_series.dicom.objects.carried_over import carried_over
from derived_series.dicom.objects.single_instance import Draft, finished
from derived_series.dicom.series.classic import ask, enforce_derived
from derived_series.dicom.series.finished import FinishedSeries
from derived_series.dicom.series.header import SeriesHeader
from derived_series.dicom.series.plausibility import no_picture
from derived_series.dicom.series.settling import settle
from derived_series.dicom.source.instances import varying_tags
from derived_series.dicom.source.multiframe.frame import source_of
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.dicom.source.slices import by_slice
from derived_series.errors import GeometryError, HeaderError, InvalidParent, Missing, ShapeMismatch
from derived_series.kinds import sop_class
from derived_series.kinds.kind import SopClass

_TIMES = ("FrameTime", "FrameTimeVector")
#: A frame like the parent's differs from it by less than this part of its spread, and is correlated by more than this.
_ALIKE, _CORRELATED = 0.25, 0.7
_REGIONS = "SequenceOfUltrasoundRegions"


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """A stored instance of the parent, and the frames of the image that are made from it.

    :param members: the indexes of the parent's instances that are this instance, or its frames.
    :param frames: the indexes of the image's frames.
    """

    source: Dataset
    members: tuple[int, ...]
    frames: range


def build(header: SeriesHeader, image: Any, placement: Placement, nan: float | None) -> FinishedSeries:
    """Build an instance for each stored instance of the parent.

    :param image: (frame, row, column), the frames of all instances in the parent's order, or (frame, row, column, 3) in
        RGB; of a parent of one multi-frame instance any number of frames.
    :raises GeometryError: the image has a place in space. :raises ShapeMismatch: the number of images differs.
    :raises PixelError: the values do not fit the parent's stored units.
    """
    row = sop_class(header.sop_class_uid)
    if placement.grid is not None and not placement.on_parent_grid:
        raise GeometryError(
            f"the image has a place in space, and {row.called} has none",
            remedy="give an array of the parent's shape: (image, row, column)",
        )
    image = by_slice(image, placement.volumes)
    parts = _parts(header.parent, image, row)
    pixels = [parents_pixels(_frames(image, part.frames), part.source, row, nan) for part in parts]
    env = _environment(header, placement, parts, pixels, image)
    drafts = _drafts(header, env)
    drafts = [_without_mask(draft, part, stored) for draft, part, stored in zip(drafts, parts, pixels, strict=True)]
    for draft, part in zip(drafts, parts, strict=True):
        _require_timing(draft, part)
    carried = [
        carried_over(part.source, header.parent, part.members, stored, header.blueprint)
        for part, stored in zip(parts, pixels, strict=True)
    ]
    built = [
        finished(draft, [*_encoding(draft, part, stored, row), *parents.elements], parents.warnings)
        for draft, part, stored, parents in zip(drafts, parts, pixels, carried, strict=True)
    ]
    warnings = [*(w for one in built for w in one.warnings), *(w for stored in pixels for w in stored.warnings)]
    warnings += no_picture(env, row)
    for part, one in zip(parts, built, strict=True):
        warnings += _left_out(part, one.datasets[0], header.blueprint, env)
    return FinishedSeries(
        datasets=tuple(one.datasets[0] for one in built),
        warnings=tuple(dict.fromkeys(warnings)),
        header=header,
        built_tags=frozenset(tag for one in built for tag in one.built_tags),
    )


def _parts(parent: ParentSeries, image: Any, row: SopClass) -> list[_Part]:
    """Split the image by the parent's stored instances. :raises ShapeMismatch: it does not have a part for each."""
    members: dict[str, list[int]] = {}
    for index, instance in enumerate(parent.instances):
        members.setdefault(str(instance.SOPInstanceUID), []).append(index)
    sources = [source_of(parent.instances[indexes[0]]) for indexes in members.values()]
    count, shape = len(image), tuple(int(length) for length in image.shape[1:3])
    size = (int(parent.pivot.Rows), int(parent.pivot.Columns))
    several = len(sources) > 1
    if count != len(parent) and (several or (count > 1 and not row.multi_frame)):
        raise ShapeMismatch(
            f"the image has {count} frames, the parent series {len(parent)} in {len(sources)} instance(s): "
            f"each {row.name} is made from its own parent instance",
            remedy=f"give an array of the shape ({len(parent)}, {size[0]}, {size[1]}): (image, row, column)",
        )
    if several and shape != size:
        raise ShapeMismatch(
            f"the image has {shape[0]} rows and {shape[1]} columns, the parent's {len(sources)} images {size[0]} and "
            f"{size[1]}: what each of them says of its rows and columns would be lost",
            remedy="give images of the parent's rows and columns, or derive from each parent image by itself",
        )
    if not several:
        return [_Part(sources[0], tuple(range(len(parent))), range(count))]
    parts = []
    for source, indexes in zip(sources, members.values(), strict=True):
        if indexes != list(range(indexes[0], indexes[-1] + 1)):
            raise ShapeMismatch(f"the frames of instance {source.SOPInstanceUID} do not follow each other")
        parts.append(_Part(source, tuple(indexes), range(indexes[0], indexes[-1] + 1)))
    return parts


def _frames(image: Any, chosen: Iterable[int]) -> npt.NDArray[Any]:
    return np.stack([np.asarray(image[index]) for index in chosen])


def _environment(
    header: SeriesHeader, placement: Placement, parts: Sequence[_Part], pixels: Sequence[ParentsPixels], image: Any
) -> ImageEnvironment:
    """The environment of a series whose slices are the parent's stored instances."""
    sources = [part.source for part in parts]
    whole = ParentSeries(tuple(sources), None, varying_tags(sources))
    first = pixels[0]
    stored = StoredPixels(
        image=_frames(image, (part.frames[0] for part in parts)),
        dtype=first.stored.dtype,
        slope=first.slope,
        intercept=first.intercept,
        nan=None,
        low=min(part.low for part in pixels),
        high=max(part.high for part in pixels),
        is_mask=first.is_mask,
    )
    size = (int(whole.pivot.Rows), int(whole.pivot.Columns))
    return ImageEnvironment(
        series=header.of(whole).env,
        sop_class_uid=header.sop_class_uid,
        pixels=stored,
        grid=None,
        on_parent_grid=(stored.rows, stored.columns) == size,
        sources=tuple((index,) for index in range(len(parts))),
        header=header,
        others=tuple(_whole_instances(other, placement, parts) for other in placement.others),
        frames=tuple(len(part.frames) for part in parts),
    )


def _whole_instances(other: OtherInput, placement: Placement, parts: Sequence[_Part]) -> OtherInput:
    """The sources in another input of each instance: those of its frames together."""
    if len(parts) == 1:
        return other.as_whole()
    merged = tuple(tuple(sorted({i for k in part.frames for i in other.sources[k]})) for part in parts)
    return replace(other, sources=merged)


def _drafts(header: SeriesHeader, env: ImageEnvironment) -> list[Draft]:
    """Settle the header of each instance. :raises HeaderError: tags are left without a value."""
    entries = [
        entry
        for entry in header.deferred
        if not (
            entry.element.tag in image_pixel_blueprint and entry.element == image_pixel_blueprint[entry.element.tag]
        )
    ]
    settled = settle(entries, lambda element: element.at_image(env))
    if settled.missing:
        raise HeaderError(settled.missing, where="the header, with this image,")
    shared = {**header.elements, **settled.elements}
    warnings = (*header.warnings, *enforce_derived(shared))
    marked = marks_of(header.parent)
    drafts = []
    for index in range(env.count):
        instance = InstanceEnvironment(env, index)
        elements = dict(shared)
        for entry in settled.deferred:
            value = ask(entry.element, instance)
            if value is not ABSENT:
                elements[entry.element.key] = entry.element.data_element(value)
        for name in MARKS:
            key, parents_mark = (int(Tag(name)), ""), env.parent.instances[index].get(name)
            mark = marked.get(name) or (parents_mark if key not in elements else None)
            if mark:
                elements[key] = DataElement(key[0], "CS", str(mark))
        corrections = enforce_derived(elements)
        drafts.append(Draft(header, env, env, elements, (), tuple(dict.fromkeys((*warnings, *corrections))), index))
    return drafts


def _without_mask(draft: Draft, part: _Part, pixels: ParentsPixels) -> Draft:
    """Remove the parent's mask if the image is already subtracted, or no longer like the parent."""
    copied = [name for name in MASK if isinstance(_element(draft, name), MaskElement) and draft.value(name) is not None]
    if not copied or _is_like_parent(draft.header.parent, part, pixels):
        return draft
    gone = {(int(to_tag(name)), "") for name in copied}
    return replace(draft, elements={key: value for key, value in draft.elements.items() if key not in gone})


def _element(draft: Draft, name: str) -> object:
    return draft.header.blueprint[name] if name in draft.header.blueprint else None


def _is_like_parent(parent: ParentSeries, part: _Part, pixels: ParentsPixels) -> bool:
    """Whether the last frame, the first that a mask would be applied to, has mostly the parent's values."""
    try:
        (decoded,) = parent.slices([part.members[-1]])
    except InvalidParent:  # its pixels were not fetched, or nothing here decodes them
        return True
    expected = decoded.astype(np.float64).ravel()
    values = (pixels.stored[-1].astype(np.float64) * pixels.slope + pixels.intercept).ravel()
    if np.ptp(values) == 0 or np.ptp(expected) == 0:
        return False
    low, high = np.percentile(expected, [5, 95])
    near = np.median(np.abs(values - expected)) <= _ALIKE * (high - low)
    return bool(near and np.corrcoef(values, expected)[0, 1] > _CORRELATED)


def _require_timing(draft: Draft, part: _Part) -> None:
    """Require timing for another number of frames than the parent's. :raises HeaderError: there is none."""
    count, had = len(part.frames), number_of_frames(part.source)
    if count in (1, had) or any(draft.value(name) is not None for name in (*_TIMES, "FrameIncrementPointer")):
        return
    reason = f"the image has {count} frames, its parent instance {had}: nothing tells how they follow in time"
    raise HeaderError(
        [Missing(int(to_tag("FrameTime")), "FrameTime", reason)],
        where="the header, with this image,",
        remedy=f"give {had} frames, or set FrameTime (in ms) or FrameTimeVector in the blueprint",
    )


def _encoding(draft: Draft, part: _Part, pixels: ParentsPixels, row: SopClass) -> list[DataElement]:
    """The elements of the pixels and their encoding (PS3.3 C.7.6.3, C.7.6.6, C.11.1)."""
    elements = Dataset()
    stored = pixels.stored
    elements.SamplesPerPixel = pixels.samples
    elements.PhotometricInterpretation = pixels.photometric
    if pixels.samples == 3:
        elements.PlanarConfiguration = 0
    elements.Rows, elements.Columns = stored.shape[1:3]
    elements.BitsAllocated = stored.dtype.itemsize * 8
    elements.BitsStored, elements.HighBit = pixels.bits_stored, pixels.bits_stored - 1
    elements.PixelRepresentation = int(stored.dtype.kind == "i")
    if pixels.samples == 1 and (row.pixels.rescale_always or (pixels.slope, pixels.intercept) != (1.0, 0.0)):
        elements.RescaleIntercept, elements.RescaleSlope = (
            decimal_string(pixels.intercept),
            decimal_string(pixels.slope),
        )
        elements.RescaleType = "US"
    if pixels.samples == 1 and (row.pixels.rescale_always or "PresentationLUTShape" in part.source):
        elements.PresentationLUTShape = "INVERSE" if pixels.photometric == "MONOCHROME1" else "IDENTITY"
    if part.source.get("ModalityLUTSequence") and draft.value("PixelIntensityRelationship"):
        elements.PixelIntensityRelationship = "LIN"  # which is what the LUT made of the values (PS3.3 C.8.7.1.1.2)
    had = number_of_frames(part.source)
    if row.of_one_frame and len(part.frames) == 1 < had:
        elements.SOPClassUID = row.of_one_frame
    if row.multi_frame and (len(part.frames) > 1 or ("NumberOfFrames" in part.source and had == 1)):
        elements.NumberOfFrames = len(part.frames)
        timed = next((name for name in _TIMES if draft.value(name) is not None), None)
        if len(part.frames) > 1 and timed and draft.value("FrameIncrementPointer") is None:
            elements.FrameIncrementPointer = Tag(timed)
    data = stored.tobytes()
    elements.add(
        DataElement(Tag("PixelData"), "OB" if elements.BitsAllocated == 8 else "OW", data + b"\0" * (len(data) % 2))
    )
    return list(elements)


def _left_out(part: _Part, dataset: Dataset, blueprint: Blueprint, env: ImageEnvironment) -> list[str]:
    """Warnings about attributes of the parent instance that do not hold for the image."""
    source, uid = part.source, part.source.SOPInstanceUID
    warnings = []
    if source.get("ModalityLUTSequence"):
        warnings.append(f"the image has the values that the modality LUT of instance {uid} gives: the LUT is left out")
    lost = [name for name in (*CINE, *MASK, _REGIONS) if source.get(name) and name not in dataset and name in blueprint]
    if lost:
        had, has = number_of_frames(source), len(part.frames)
        why = "the image's values are others" if env.on_parent_grid else "the image's rows and columns are others"
        if had != has:
            why = f"the image has {has} frame{'s' if has > 1 else ''}, that instance {had}"
        are = "are" if len(lost) > 1 else "is"
        names = ", ".join(describe(to_tag(name)) for name in lost)
        warnings.append(f"{names} of instance {uid} {are} left out: {why}")
    return warnings
