"""Draft: the settled header of an object in one instance, to be completed by the object's builder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from derived_series.dicom.blueprints.copy_elements import InstanceCopyElement, PositionCopyElement
from derived_series.dicom.blueprints.element import ABSENT, DEFER, LackingValue, VirtualElement
from derived_series.dicom.blueprints.environment import ImageEnvironment, InstanceEnvironment
from derived_series.dicom.encoding.new_file_meta import new_file_meta
from derived_series.dicom.encoding.private_blocks import allocate, creators, placed
from derived_series.dicom.encoding.tags import Key, describe
from derived_series.dicom.encoding.writer import as_read
from derived_series.dicom.grid import Grid
from derived_series.dicom.image.placement import Placement
from derived_series.dicom.image.stored_pixels import StoredPixels
from derived_series.dicom.modules.derivation import (
    general_reference_blueprint,
    marks_of,
    referenced_series_of_all,
    sources_of_all,
    tell_resampling,
)
from derived_series.dicom.modules.image import COMPRESSION
from derived_series.dicom.series.classic import enforce_derived
from derived_series.dicom.series.finished import FinishedSeries
from derived_series.dicom.series.header import SeriesHeader
from derived_series.dicom.series.header_rules import PIXEL_TAGS
from derived_series.dicom.series.settling import settle
from derived_series.dicom.series.text import settle_dataset
from derived_series.errors import GeometryError, HeaderError, ShapeMismatch

#: Elements of single-frame images, which come with the rules but do not apply to documents.
IMAGE_ONLY = frozenset(
    int(Tag(name))
    for name in (
        *("ImageType", "DerivationDescription", "DerivationCodeSequence", "SourceImageSequence"),
        *("ReferencedSeriesSequence", "StudiesContainingOtherReferencedInstancesSequence"),
        *("LossyImageCompression", *COMPRESSION),
    )
)


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """The settled header of an object.

    :param env: the environment of the object as one instance, to which all its sources contribute.
    :param encoded: the references to all sources, which may be many, as encoded in the file.
    :param slices: the environment with an instance for each slice, which says what each frame comes from.
    :param index: the 0-based index of the instance in its series.
    """

    header: SeriesHeader
    env: ImageEnvironment
    slices: ImageEnvironment
    elements: Mapping[Key, DataElement]
    encoded: tuple[RawDataElement, ...]
    warnings: tuple[str, ...]
    index: int = 0

    def value(self, name: str, default: Any = None) -> Any:
        """The value of a tag, by keyword."""
        element = self.elements.get((int(Tag(name)), ""))
        return default if element is None else element.value

    @property
    def instance_uid(self) -> str:
        return self.env.context.uid("instance", self.index)


def draft_of(
    header: SeriesHeader, pixels: StoredPixels, placement: Placement, unused: frozenset[int] = frozenset()
) -> Draft:
    """Settle every element of the header for an object with all slices in one instance.

    Copies of values that differ from slice to slice do not apply to the whole object and are left out.

    :param unused: tags that the object does not have.
    :raises HeaderError: tags are left without a value.
    """
    slices = ImageEnvironment(
        series=header.env,
        sop_class_uid=header.sop_class_uid,
        pixels=pixels,
        grid=placement.grid,
        on_parent_grid=placement.on_parent_grid,
        sources=placement.sources,
        header=header,
        frame=placement.frame,
        others=placement.others,
    )
    every = tuple(sorted({index for part in placement.sources for index in part}))
    env = replace(slices, sources=(every,), others=tuple(other.as_whole() for other in placement.others))
    elements = {key: element for key, element in header.elements.items() if key[0] not in unused}
    encoded = []
    entries = []
    for entry in header.deferred:
        if int(entry.element.tag) in unused:
            continue
        if entry.element == general_reference_blueprint["SourceImageSequence"]:
            encoded.append(as_read(sources_of_all(env)))
        elif entry.element == general_reference_blueprint["ReferencedSeriesSequence"]:
            encoded.append(as_read(referenced_series_of_all(env)))
        else:
            entries.append(entry)
    settled = settle(entries, lambda element: _answer(element, env))
    if settled.missing:
        raise HeaderError(settled.missing, where="the header, with this image,")
    elements |= settled.elements
    if placement.frame is not None:
        placement.frame.write(elements)
    warnings = [*header.warnings, *placement.warnings]
    if placement.resampled:
        warnings.append(placement.resampled)
        tell_resampling(elements, placement.resampled.split(";")[0])
    warnings += enforce_derived(elements)
    for name, mark in marks_of(header.parent).items():
        key = (int(Tag(name)), "")
        if key in elements or key[0] not in unused:
            elements[key] = DataElement(Tag(name), "CS", mark)
    return Draft(header, env, slices, elements, tuple(encoded), tuple(warnings))


def _answer(element: VirtualElement, env: ImageEnvironment) -> Any:
    """The answer of an element for all slices in one instance."""
    value = element.at_image(env)
    if value is not DEFER:
        return value
    if isinstance(element, PositionCopyElement):
        return element.of_whole(env)
    if isinstance(element, InstanceCopyElement):
        if element.Optional:
            return ABSENT
        raise LackingValue("it differs from slice to slice, and the object has all slices in one instance")
    return element.at_instance(InstanceEnvironment(env, 0))


def finished(draft: Draft, structure: Iterable[DataElement], warnings: Iterable[str] = ()) -> FinishedSeries:
    """Combine the draft and the structure into the one instance of the series.

    :param structure: the elements that follow from the image: frames and their encoding. They override the blueprint,
        with a warning if they differ.
    """
    elements = dict(draft.elements)
    messages = [*draft.warnings, *warnings]
    built = {(int(element.tag), ""): element for element in structure}
    for key, element in elements.items():
        if key in built and element.VR != "SQ" and element.value != built[key].value and int(element.tag) != _CLASS:
            built_value = built[key].value
            messages.append(
                f"{describe(element.tag)} cannot be {element.value!r}: for this image it is {built_value!r}"
            )
    for tag in PIXEL_TAGS:
        if (tag, "") in elements and (tag, "") not in built:
            messages.append(
                f"{describe(tag)} cannot be {elements.pop((tag, '')).value!r}: for this image it is left out"
            )
    elements.update(built)
    blocks = allocate(elements)
    dataset = Dataset()
    for key, element in elements.items():
        dataset.add(placed(element, key[1], blocks))
    for element in creators(blocks):
        dataset.add(element)
    preferred = dataset.get("SpecificCharacterSet", draft.env.parent.pivot.get("SpecificCharacterSet"))
    warning = settle_dataset(dataset, preferred)
    messages += [warning] if warning else []
    for read in draft.encoded:
        if (int(read.tag), "") not in elements:
            dataset[read.tag] = read
    dataset.file_meta = new_file_meta(str(dataset.SOPClassUID), draft.instance_uid)
    return FinishedSeries((dataset,), tuple(dict.fromkeys(messages)), draft.header, frozenset(tag for tag, _ in built))


_CLASS = int(Tag("SOPClassUID"))


def require_grid(placement: Placement, what: str) -> Grid:
    """Require a place and a single volume. :raises GeometryError: it has no place. :raises ShapeMismatch: it is 4D."""
    if placement.volumes > 1:
        raise ShapeMismatch(
            f"{what} is made from one volume, this image has {placement.volumes}",
            remedy="give a 3D image, or derive each volume by itself",
        )
    if placement.grid is None:
        raise GeometryError(
            f"{what} has a place in space, but nothing tells where the image's slices are",
            remedy="give a parent with positions, or use a blueprint without geometry (secondary_capture)",
        )
    return placement.grid
