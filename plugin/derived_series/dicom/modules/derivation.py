"""General Reference and derivation (PS3.3 C.12.4, C.7.6.1.1.3): what the image was made from and how."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    CTImageStorage,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    PositronEmissionTomographyImageStorage,
)

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.element import ABSENT, StaticElement, Value, VirtualElement
from derived_series.dicom.blueprints.environment import ImageEnvironment, InstanceEnvironment
from derived_series.dicom.blueprints.function_elements import FunctionalElement, ImageElement
from derived_series.dicom.encoding.tags import to_tag
from derived_series.dicom.encoding.value_rules import texts_in
from derived_series.dicom.encoding.writer import encode_element, encode_text, sequence
from derived_series.dicom.image.placement import OtherInput
from derived_series.dicom.modules.codes import code_item
from derived_series.dicom.modules.references import Reference, references, whole_references
from derived_series.dicom.source.instances import telling
from derived_series.dicom.source.multiframe.frame import FrameDataset, source_of
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.dicom.source.pixels import compression_ratio
from derived_series.errors import BlueprintError

#: Marks that stay set once they are, and the value that sets them.
MARKS = {"BurnedInAnnotation": "YES", "LossyImageCompression": "01"}

#: Transfer syntaxes that are always lossy (PS3.5 A.4); with others, the image says whether it is.
_LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless)
#: What LossyImageCompressionMethod calls a transfer syntax (PS3.3 C.7.6.1.1.5.1).
_METHODS: Mapping[str, str] = MappingProxyType(
    {
        JPEGBaseline8Bit: "ISO_10918_1",
        JPEGExtended12Bit: "ISO_10918_1",
        JPEGLSNearLossless: "ISO_14495_1",
        JPEG2000: "ISO_15444_1",
        HTJ2K: "ISO_15444_15",
    }
)
_TRANSFER_SYNTAX = to_tag("TransferSyntaxUID")

#: For results that do not say how they were derived. CID 7203 has no general term; as a baseline group it may be
#: extended by other codes of PS3.16, and a wrong term would be worse than a wide one.
UNSPECIFIED = Code("110001", "DCM", "Image Processing")


def as_derived(image_type: Sequence[str]) -> list[str]:
    """An ImageType with DERIVED as its first value, as every derived image has it."""
    values = list(image_type)
    return values if values[:1] == ["DERIVED"] else ["DERIVED", "SECONDARY", *values[2:]]


def marks_of(parent: ParentSeries) -> dict[str, str]:
    """The marks of the parent, by keyword; what is derived from it has them too."""
    return {keyword: mark for keyword, mark in MARKS.items() if is_marked(parent, keyword)}


def derivation(description: str, code: Code | str) -> Blueprint:
    """Make the blueprint that says how the image was derived.

    :param description: DerivationDescription (0008,2111), text.
    :param code: of CID 7203 (PS3.16): a pydicom Code, or its name there, such as ``"GaussianBlur"``.
    :raises BlueprintError: CID 7203 has no such name.
    """
    return Blueprint(
        [
            StaticElement("DerivationDescription", "ST", description),
            StaticElement("DerivationCodeSequence", "SQ", [code_item(derivation_code(code))]),
        ]
    )


def derivation_code(code: Code | str) -> Code:
    """Look up a code of CID 7203 by its name or value. :raises BlueprintError: CID 7203 has no such code."""
    if isinstance(code, Code):
        return code
    group = codes.cid7203
    for name in group.dir():
        known_code: Code = getattr(group, name)
        if code in (name, known_code.value):
            return known_code
    names = ", ".join(sorted(group.dir()))
    raise BlueprintError(f"{code!r} is not a derivation of CID 7203", remedy=f"use one of {names}")


def _image_type(env: ImageEnvironment) -> list[str]:
    """DERIVED, SECONDARY, and the parent's value 3 where it still holds.

    In a PET image value 2 must be PRIMARY, and there is no value 3 (PS3.3 C.8.9.4.1.3); a CT image always has value 3,
    whatever it was made from (C.8.2.1.1.1).
    """
    if env.sop_class_uid == PositronEmissionTomographyImageStorage:
        return ["DERIVED", "PRIMARY"]
    parent_values = texts_in(env.parent.pivot, "ImageType")
    third = parent_values[2] if len(parent_values) > 2 else ""
    modality = env.parent.modality
    is_ct = modality == "CT" or env.sop_class_uid == CTImageStorage
    if is_ct and third in ("AXIAL", "LOCALIZER"):
        return ["DERIVED", "SECONDARY", third]
    if is_ct:
        return ["DERIVED", "SECONDARY", "AXIAL"]
    return ["DERIVED", "SECONDARY", "OTHER"] if modality == "MR" else ["DERIVED", "SECONDARY"]


def _code(env: ImageEnvironment) -> list[Dataset]:
    """The code that the image itself suggests: resampled on another grid, segmented for a mask."""
    if env.grid is not None and not env.on_parent_grid:
        return [code_item(codes.cid7203.SpatialResampling)]
    if env.pixels.is_mask:
        return [code_item(codes.cid7203.SegmentationImageDerivation)]
    return [code_item(UNSPECIFIED)]


def _description(env: ImageEnvironment) -> str:
    where = "on the same grid" if env.on_parent_grid else "on another grid"
    return f"Computed from series {env.parent.series_instance_uid}, {where}"


def tell_resampling(elements: dict[tuple[int, str], DataElement], notice: str) -> None:
    """Add to the description and the codes that the image was resampled.

    :param notice: how, in words.
    """
    description, code = (int(to_tag(k)) for k in ("DerivationDescription", "DerivationCodeSequence"))
    description_element = elements.get((description, ""))
    if description_element is not None:
        text = f"{description_element.value}; {notice}" if description_element.value else notice
        elements[description, ""] = DataElement(description_element.tag, "ST", text)
    code_element = elements.get((code, ""))
    if code_element is not None:
        kept = [item for item in code_element.value or [] if item.get("CodeValue") != UNSPECIFIED.value]
        added = code_item(codes.cid7203.SpatialResampling)
        if all(item.get("CodeValue") != added.CodeValue for item in kept):
            elements[code, ""] = DataElement(code_element.tag, "SQ", [*copy.deepcopy(kept), added])


@lru_cache(maxsize=2)
def _after_reference(same_place: bool) -> bytes:
    """The encoded end of an item of SourceImageSequence, which is the same for all instances."""
    item = _purpose(same_place)
    return b"".join(encode_element(element, ["ascii"]) for element in item)


class _SourceImageElement(FunctionalElement):
    """SourceImageSequence: the instances that contribute to a slice."""

    def encode_instance(self, env: InstanceEnvironment) -> bytes:
        return sequence(int(self.tag), [to + _after_reference(same) for to, same in _encoded_sources(env)])


class _ReferencedSeriesElement(FunctionalElement):
    """ReferencedSeriesSequence: the parent and the other inputs, each with the instances that contribute to a slice."""

    def encode_instance(self, env: InstanceEnvironment) -> bytes:
        return _encoded_referenced_series(env)


def _encoded_referenced_series(env: InstanceEnvironment) -> bytes:
    image_env = env.image_env
    if not image_env.others and len(image_env.sources[env.index]) == 1 and _is_whole(env):
        # the references of SourceImageSequence, encoded once for both
        return sequence(0x00081115, [_encoded_series(env.parent, [to for to, _ in _encoded_sources(env)])])
    return sequence(
        0x00081115, [_encoded_series(series, [to.encode() for to in named]) for series, named in _by_series(env)]
    )


def _is_whole(env: InstanceEnvironment) -> bool:
    """Whether a slice's sources are whole instances, not frames."""
    return not any(isinstance(dataset, FrameDataset) for dataset in env.source_datasets)


def _encoded_series(series: ParentSeries, items: list[bytes]) -> bytes:
    return sequence(0x0008114A, items) + encode_text(0x0020000E, "UI", series.series_instance_uid)


def _by_series(env: InstanceEnvironment) -> list[tuple[ParentSeries, list[Reference]]]:
    """For each input in the parent's study, the parent first: its instances (not frames) that contribute to a slice."""
    by_series = [(env.parent, whole_references(env.source_datasets))]
    for other in env.image_env.others:
        if _is_of_another_study(other, env.image_env):
            continue
        datasets = [other.series.instances[i] for i in other.sources[env.index]]
        by_series.append((other.series, whole_references(datasets)))
    return by_series


def _is_of_another_study(other: OtherInput, env: ImageEnvironment) -> bool:
    return other.series.study_instance_uid != env.parent.study_instance_uid


def _other_studies(env: ImageEnvironment) -> list[Dataset] | object:
    """StudiesContainingOtherReferencedInstancesSequence: the inputs in other studies (PS3.3 C.12.2)."""
    studies: dict[str, list[Dataset]] = {}
    for other in env.others:
        if not _is_of_another_study(other, env):
            continue
        (every,) = other.as_whole().sources
        series = Dataset()
        series.SeriesInstanceUID = other.series.series_instance_uid
        named = whole_references([other.series.instances[index] for index in every])
        series.ReferencedInstanceSequence = [to.item() for to in named]
        studies.setdefault(other.series.study_instance_uid, []).append(series)
    items = []
    for uid, listed in studies.items():
        item = Dataset()
        item.StudyInstanceUID = uid
        item.ReferencedSeriesSequence = listed
        items.append(item)
    return items or ABSENT


def _same_places(env: InstanceEnvironment) -> list[bool]:
    """For each source of a slice, whether it is at the slice's own place: on the parent's grid the first one is.

    So are those of other volumes at the same place.
    """
    sources, slices = env.image_env.sources[env.index], env.parent.slices_per_volume
    return [env.image_env.on_parent_grid and source % slices == sources[0] % slices for source in sources]


def _sources(env: InstanceEnvironment) -> list[tuple[Reference, bool]]:
    """The sources of a slice, with whether each is at the slice's own place; frames of one instance are together."""
    others = [
        pair for other in env.image_env.others if "Rows" in other.series.pivot for pair in _of_other(other, env.index)
    ]
    if len(env.image_env.sources[env.index]) == 1:
        return [(to, env.image_env.on_parent_grid) for to in references(env.source_datasets)] + others
    pairs = list(zip(env.source_datasets, _same_places(env), strict=True))
    sources = [(to, True) for to in references([dataset for dataset, same in pairs if same])]
    return sources + [(to, False) for to in references([dataset for dataset, same in pairs if not same])] + others


def _of_other(other: OtherInput, index: int) -> list[tuple[Reference, bool]]:
    """The same for another input than the parent."""
    sources, slices = other.sources[index], other.series.slices_per_volume
    same = [other.same_place and source % slices == sources[0] % slices for source in sources]
    pairs = [(other.series.instances[source], here) for source, here in zip(sources, same, strict=True)]
    referenced = [(to, True) for to in references([dataset for dataset, here in pairs if here])]
    return referenced + [(to, False) for to in references([dataset for dataset, here in pairs if not here])]


def _encoded_sources(env: InstanceEnvironment) -> tuple[tuple[bytes, bool], ...]:
    """The sources as ``_sources`` returns them, encoded once for the two elements that name them."""
    value_cache, key = env.image_env.value_cache, (_encoded_sources, env.index)
    if key not in value_cache:
        value_cache[key] = tuple((to.encode(), same_place) for to, same_place in _sources(env))
    return value_cache[key]  # type: ignore[no-any-return]


def source_of_slice(env: InstanceEnvironment) -> Reference:
    """The instance that a slice represents: the first source at its place, or else the first source."""
    sources = _sources(env)
    return next((to for to, same_place in sources if same_place), sources[0][0])


def evidence_of_all(env: ImageEnvironment) -> list[bytes]:
    """Encode the inputs of an object with all slices, by study and series (PS3.3 table 10-4), as items.

    :param env: the object as one instance, as ``referenced_series_of_all`` takes it.
    """
    inputs = [(env.parent.study_instance_uid, *each) for each in _by_series(InstanceEnvironment(env, 0))]
    for other in env.others:
        if _is_of_another_study(other, env):
            named = whole_references([other.series.instances[index] for index in other.as_whole().sources[0]])
            inputs.append((other.series.study_instance_uid, other.series, named))
    return [_evidence(study, series, named) for study, series, named in inputs]


def _evidence(study_instance_uid: str, series: ParentSeries, named: Sequence[Reference]) -> bytes:
    of_series = sequence(0x00081199, [to.encode() for to in named])
    of_series += encode_text(0x0020000E, "UI", series.series_instance_uid)
    return sequence(0x00081115, [of_series]) + encode_text(0x0020000D, "UI", study_instance_uid)


def _purpose(same_place: bool) -> Dataset:
    item = Dataset()
    item.SpatialLocationsPreserved = "YES" if same_place else "NO"
    item.PurposeOfReferenceCodeSequence = [code_item(codes.DCM.SourceImageForImageProcessingOperation)]
    return item


def _source_images(env: InstanceEnvironment) -> list[Dataset]:
    return [_source(to, same_place) for to, same_place in _sources(env)]


def _source(to: Reference, same_place: bool) -> Dataset:
    item = to.item()
    item.update(_purpose(same_place))
    return item


def sources_of_all(env: ImageEnvironment) -> bytes:
    """Encode SourceImageSequence of an object with all slices: each instance of the inputs once."""
    every = sorted({index for part in env.sources for index in part})
    sources = [(to, env.on_parent_grid) for to in references([env.parent.instances[index] for index in every])]
    for other in env.others:
        if "Rows" not in other.series.pivot:  # a structure set is not an image
            continue
        (whole,) = other.as_whole().sources
        sources += [(to, other.same_place) for to in references([other.series.instances[index] for index in whole])]
    return sequence(0x00082112, [to.encode() + _after_reference(same) for to, same in sources])


def referenced_series_of_all(env: ImageEnvironment) -> bytes:
    """Encode ReferencedSeriesSequence of an object with all slices."""
    return _encoded_referenced_series(InstanceEnvironment(env, 0))


def _referenced_series(env: InstanceEnvironment) -> list[Dataset]:
    items = []
    for series, named in _by_series(env):
        item = Dataset()
        item.SeriesInstanceUID = series.series_instance_uid
        item.ReferencedInstanceSequence = [to.item() for to in named]
        items.append(item)
    return items


def is_marked(parent: ParentSeries, keyword: str) -> bool:
    """Whether any instance of the parent has a mark of ``MARKS``; for lossy compression, or its file is lossy."""
    if keyword == "LossyImageCompression" and any(map(_is_lossy, parent.instances)):
        return True
    return any(_has_mark(instance, keyword) for instance in telling(parent.instances, parent.varying, keyword))


def _has_mark(instance: Dataset, keyword: str) -> bool:
    return str(instance.get(keyword, "")) == MARKS[keyword]


def _syntax(instance: Dataset) -> str:
    """The transfer syntax that an instance was read from; empty if unknown."""
    meta = getattr(instance, "file_meta", {})
    return str(meta[_TRANSFER_SYNTAX].value) if _TRANSFER_SYNTAX in meta else ""


def _is_lossy(instance: Dataset) -> bool:
    return _syntax(instance) in _LOSSY


def lossy_method(instance: Dataset) -> str | None:
    """LossyImageCompressionMethod for the lossy transfer syntax that an instance was read from; None for another."""
    lost = _is_lossy(instance) or _has_mark(instance, "LossyImageCompression")
    return _METHODS.get(_syntax(instance)) if lost else None


def lossy_ratio(instance: Dataset) -> str | None:
    """LossyImageCompressionRatio by the compressed pixels that an instance which lost something still has."""
    ratio = None if lossy_method(instance) is None else compression_ratio(source_of(instance))
    return None if ratio is None else f"{ratio:.2f}"


def inherited_mark(keyword: str) -> VirtualElement:
    """Make the element that keeps a mark of ``MARKS`` if any parent instance has it."""

    def mark_of_parent(env: ImageEnvironment) -> Value:
        return MARKS[keyword] if is_marked(env.parent, keyword) else ABSENT

    return ImageElement(keyword, mark_of_parent)


def lossy_compression(env: ImageEnvironment) -> str:
    """LossyImageCompression for objects that always have it: 01 or 00."""
    return MARKS["LossyImageCompression"] if is_marked(env.parent, "LossyImageCompression") else "00"


general_reference_blueprint = Blueprint(
    [
        ImageElement("ImageType", _image_type),
        ImageElement("DerivationDescription", _description),
        ImageElement("DerivationCodeSequence", _code),
        _SourceImageElement("SourceImageSequence", _source_images),
        _ReferencedSeriesElement("ReferencedSeriesSequence", _referenced_series),
        ImageElement("StudiesContainingOtherReferencedInstancesSequence", _other_studies),
    ]
).named("general_reference")
"""General Reference module (PS3.3 C.12.4): source images, referenced series, ImageType DERIVED, the derivation."""
