"""DerivedSeries: a classic series made from a header and an image, one instance at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.utils import as_pixel_options
from pydicom.tag import Tag
from pydicom.uid import UID

from derived_series.dicom.blueprints.blueprint import Entry
from derived_series.dicom.blueprints.element import ABSENT, LackingValue, VirtualElement
from derived_series.dicom.blueprints.environment import ImageEnvironment, InstanceEnvironment
from derived_series.dicom.encoding.codecs import PIXEL_DATA, check_decoded, encoded_frame, encoder_of, pixel_element
from derived_series.dicom.encoding.new_file_meta import new_file_meta
from derived_series.dicom.encoding.private_blocks import Blocks, allocate, creators, placed
from derived_series.dicom.encoding.tags import Key, describe, keyword
from derived_series.dicom.encoding.writer import SeriesEncoder, encapsulated, long_element_head
from derived_series.dicom.image.placement import Placement
from derived_series.dicom.image.stored_pixels import encode_pixels
from derived_series.dicom.modules.derivation import UNSPECIFIED, as_derived, tell_resampling
from derived_series.dicom.modules.image import general_image_blueprint, image_pixel_blueprint
from derived_series.dicom.series.header import SeriesHeader
from derived_series.dicom.series.header_rules import MARK_TAGS, PIXEL_TAGS, enforce_identity
from derived_series.dicom.series.plausibility import implausible_values
from derived_series.dicom.series.settling import settle
from derived_series.dicom.series.text import is_utf8, settle_charset, without_escapes
from derived_series.dicom.source.detached import copy_of
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.dicom.source.slices import by_slice
from derived_series.errors import HeaderError, Missing
from derived_series.kinds import sop_class
from derived_series.transfer_syntaxes import DEFAULT, WRITTEN, written_uid

_IMAGE_TYPE = Tag("ImageType")


@dataclass(frozen=True, eq=False)
class DerivedSeries:
    """A series that is ready to be written; instances are made when they are accessed.

    :param elements: the elements that all instances share, by (tag, creator).
    :param instanced: the entries whose value differs by instance.
    :param transfer_syntax: the transfer syntax to write it in; see ``written_in``.
    """

    header: SeriesHeader
    env: ImageEnvironment
    elements: Mapping[Key, DataElement]
    instanced: tuple[Entry, ...]
    blocks: Blocks
    warnings: tuple[str, ...]
    transfer_syntax: UID = UID(WRITTEN[DEFAULT])

    def __len__(self) -> int:
        return self.env.count

    @property
    def series_instance_uid(self) -> str:
        """SeriesInstanceUID (0020,000E)."""
        return str(self.elements[(Tag("SeriesInstanceUID"), "")].value)

    @property
    def study_instance_uid(self) -> str:
        """StudyInstanceUID (0020,000D), the parent's."""
        return str(self.elements[(Tag("StudyInstanceUID"), "")].value)

    @property
    def sop_class_uid(self) -> str:
        """SOPClassUID (0008,0016) of all instances."""
        return self.env.sop_class_uid

    def instance_uid(self, index: int) -> str:
        """The SOPInstanceUID of an instance."""
        return self.env.context.uid("instance", index)

    def shared_elements(self) -> list[DataElement]:
        """The elements that all instances share, private ones in their blocks. Do not change them."""
        elements = [placed(element, key[1], self.blocks) for key, element in self.elements.items()]
        return elements + creators(self.blocks)

    def instance_elements(self, index: int) -> list[DataElement]:
        """The elements that only one instance has, without its pixels."""
        env = InstanceEnvironment(self.env, index)
        elements = []
        for entry in self.instanced:
            element = entry.element
            value = ask(element, env)
            if value is ABSENT:
                continue
            elements.append(self._data_element(element, value))
        return elements

    def _data_element(self, element: VirtualElement, value: Any) -> DataElement:
        data_element = _never_original(element.data_element(value))
        return placed(without_escapes(data_element) if self._in_utf8 else data_element, element.creator, self.blocks)

    @cached_property
    def _is_compressed(self) -> bool:
        return bool(self.transfer_syntax.is_encapsulated)

    @cached_property
    def _in_utf8(self) -> bool:
        return is_utf8(self.elements)

    def written_in(self, transfer_syntax: str) -> DerivedSeries:
        """The same series in another transfer syntax.

        :param transfer_syntax: keyword or UID of one of ``transfer_syntaxes.WRITTEN``.
        Where it compresses, the first, the middle and the last instance are decoded again and compared.

        :raises InvalidOption: for any other, or when the package that encodes it is not installed.
        :raises PixelError: pixels that it cannot hold.
        """
        syntax = UID(written_uid(transfer_syntax))
        series = replace(self, transfer_syntax=syntax)
        if syntax.is_encapsulated:
            encoder_of(syntax)
            for index in sorted({0, len(self) // 2, len(self) - 1}):
                check_decoded(series.dataset(index), lambda _, index=index: self.env.pixels.stored(index))  # type: ignore[misc]
        return series

    def with_identity(self, parent: ParentSeries) -> DerivedSeries:
        """The series with the patient and study of ``parent``; itself if it has them already."""
        elements, changed = enforce_identity(self.elements, parent)
        if not changed:
            return self
        elements, warning = settle_charset(elements, self.instanced, self.env)
        warnings = (*self.warnings, *changed, *([warning] if warning else []))
        return replace(self, elements=MappingProxyType(elements), warnings=tuple(dict.fromkeys(warnings)))

    def with_warnings(self, *warnings: str) -> DerivedSeries:
        """The series with more warnings."""
        return replace(self, warnings=tuple(dict.fromkeys((*self.warnings, *warnings))))

    def pixel_data(self, index: int) -> DataElement:
        """PixelData (7FE0,0010). :raises PixelError: the transfer syntax cannot hold the pixels."""
        value = self._compressed(index) if self._is_compressed else self.env.pixels.encode(index)
        return pixel_element(value, self.env.pixels.bits, self._is_compressed)

    @cached_property
    def _pixel_options(self) -> Mapping[str, Any]:
        dataset = Dataset()
        for key, element in self.elements.items():
            if key[0] >> 16 == 0x0028 and not key[1]:
                dataset.add(element)
        return as_pixel_options(dataset)

    def _compressed(self, index: int) -> bytes:
        return encoded_frame(self.env.pixels.stored(index), self.transfer_syntax, self._pixel_options)

    def file_meta(self, index: int) -> FileMetaDataset:
        """The file meta information of an instance (PS3.10 7.1)."""
        return new_file_meta(self.sop_class_uid, self.instance_uid(index), self.transfer_syntax)

    def dataset(self, index: int) -> Dataset:
        """Make one instance as a Dataset that shares nothing with the others or the parent."""
        dataset = Dataset()
        for element in self.shared_elements():
            dataset.add(copy_of(element))
        for element in self.instance_elements(index):
            dataset.add(element)
        dataset.add(self.pixel_data(index))
        dataset.file_meta = self.file_meta(index)
        return dataset

    def __iter__(self) -> Iterator[Dataset]:
        return (self.dataset(index) for index in range(len(self)))

    @cached_property
    def _encoder(self) -> SeriesEncoder:
        return SeriesEncoder.of(self.shared_elements(), self.file_meta(0))

    def encode(self, index: int) -> bytes:
        """Encode one instance as a complete Part 10 file, with the bytes that pydicom would write."""
        return bytes(self.buffer(index))

    def buffer(self, index: int) -> bytes | memoryview:
        """The same without a copy of the pixels: they are scaled straight into the file."""
        return self._file(index, self.encoded_elements(index))

    def encoded_elements(self, index: int) -> list[tuple[int, bytes | memoryview]]:
        """Encode the elements that only one instance has, without its pixels: (tag, bytes)."""
        encoder = self._encoder
        env = InstanceEnvironment(self.env, index)
        encoded: list[tuple[int, bytes | memoryview]] = []
        for entry in self.instanced:
            element = entry.element
            data = element.encode_instance(env)
            if data is None:
                value = ask(element, env)
                if value is ABSENT:
                    continue
                data = None if element.creator else encoder.encode_value(int(element.tag), element.VR, value)
                if data is None or element.tag == _IMAGE_TYPE:
                    data_element = self._data_element(element, value)
                    encoded.append((int(data_element.tag), encoder.encode_element(data_element)))
                    continue
            encoded.append((int(element.tag), data))
        return encoded

    def _file(self, index: int, encoded: list[tuple[int, bytes | memoryview]]) -> bytes | memoryview:
        """Encode the whole file of an instance. :param encoded: its own elements, without its pixels."""
        tag, pixels, uid = int(PIXEL_DATA), self.env.pixels, self.instance_uid(index)
        if self._is_compressed:
            encoded.append((tag, encapsulated(tag, self._compressed(index))))
            return b"".join(self._encoder.split(uid, encoded, tag))
        encoded.append((tag, long_element_head(tag, "OB" if pixels.bits == 8 else "OW", pixels.size)))
        first, last = self._encoder.split(uid, encoded, tag)
        file = np.empty(len(first) + pixels.size + len(last), np.uint8)
        file[: len(first)] = np.frombuffer(first, np.uint8)
        file[len(file) - len(last) :] = np.frombuffer(last, np.uint8)
        pixels.write(index, file[len(first) : len(first) + pixels.size])
        return file.data


def build_series(
    header: SeriesHeader, image: npt.NDArray[Any], placement: Placement, nan: float | None
) -> DerivedSeries:
    """Settle everything that the image decides, and make the series.

    :param image: (slice, row, column) with as many slices as the placement, or (time, slice, row, column) for several
        volumes.
    :raises PixelError: values cannot be stored. :raises HeaderError: the image leaves tags without a value.
    """
    sop_class_uid = header.sop_class_uid
    pixels = encode_pixels(by_slice(image, placement.volumes), sop_class(sop_class_uid).pixels, nan)
    of_each = placement.volumes == header.parent.volumes
    env = ImageEnvironment(
        series=header.env,
        sop_class_uid=sop_class_uid,
        pixels=pixels,
        grid=placement.grid,
        on_parent_grid=placement.on_parent_grid,
        sources=placement.sources,
        volumes=placement.volumes,
        time_step=placement.time_step or (header.parent.time_step if of_each else None),
        header=header,
        frame=placement.frame,
        others=placement.others,
        numbered_as_parent=placement.numbered_as_parent,
    )
    settled = settle(header.deferred, lambda element: element.at_image(env))
    if settled.missing:
        raise HeaderError(settled.missing, where="the header, with this image,")
    elements, instanced = {**header.elements, **settled.elements}, list(settled.deferred)
    if placement.frame is not None:
        placement.frame.write(elements)
    warnings = [*header.warnings, *placement.warnings, *pixels.warnings]
    warnings += _enforce_pixels(elements, instanced, env)
    warnings += _enforce_lut_shape(elements, instanced)
    if placement.resampled:
        warnings.append(placement.resampled)
        tell_resampling(elements, placement.resampled.split(";")[0])
    warnings += enforce_derived(elements)
    warnings += implausible_values(env, elements)
    elements, warning = settle_charset(elements, instanced, env)
    warnings += [warning] if warning else []
    blocks = allocate([*elements, *(entry.element.key for entry in instanced)])
    return DerivedSeries(
        header=header,
        env=env,
        elements=MappingProxyType(elements),
        instanced=tuple(instanced),
        blocks=blocks,
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _enforce_pixels(elements: dict[Key, DataElement], instanced: list[Entry], env: ImageEnvironment) -> list[str]:
    """Overrule the blueprint's pixel encoding and marks, which follow from image and parent; return warnings."""
    warnings = []
    rules: list[VirtualElement] = [
        *image_pixel_blueprint,
        *(general_image_blueprint[tag] for tag in sorted(MARK_TAGS)),
    ]
    for rule in rules:
        value = rule.at_image(env)
        current = elements.get(rule.key)
        if value is ABSENT and rule.tag not in PIXEL_TAGS:
            continue
        by_instance = [entry for entry in instanced if entry.element.key == rule.key]
        for entry in by_instance:
            instanced.remove(entry)
            warnings.append(f"{entry.element!r} is not used: {describe(rule.tag)} is the image's, one for the series")
        built = None if value is ABSENT else rule.data_element(value)
        if current is not None and (built is None or current.value != built.value):
            built_text = "left out" if built is None else repr(built.value)
            warnings.append(f"{describe(rule.tag)} cannot be {current.value!r}: for this image it is {built_text}")
        if built is None:
            elements.pop(rule.key, None)
        else:
            elements[rule.key] = built
    return warnings


def _enforce_lut_shape(elements: dict[Key, DataElement], instanced: list[Entry]) -> list[str]:
    """Leave out PresentationLUTShape INVERSE, which is for MONOCHROME1 (PS3.3 C.11.6); return warnings."""
    key = (int(Tag("PresentationLUTShape")), "")
    by_instance = [entry for entry in instanced if entry.element.key == key]
    shape = elements.get(key)
    if not by_instance and (shape is None or shape.value != "INVERSE"):
        return []
    for entry in by_instance:
        instanced.remove(entry)
    elements.pop(key, None)
    return ["PresentationLUTShape (2050,0020) is left out: the derived image is MONOCHROME2, with low values dark"]


def ask(element: VirtualElement, env: InstanceEnvironment) -> Any:
    """Ask an element for its value in an instance. :raises HeaderError: it has none."""
    try:
        return element.at_instance(env)
    except LackingValue as lack:
        missing = Missing(int(element.tag), keyword(element.tag), str(lack))
        raise HeaderError([missing], where=f"instance {env.instance_number}") from lack


def _never_original(element: DataElement) -> DataElement:
    """ImageType of a derived image starts with DERIVED."""
    if element.keyword == "ImageType" and element.value:
        values = [element.value] if isinstance(element.value, str) else list(element.value)
        if values[0] != "DERIVED":
            return DataElement(element.tag, "CS", as_derived(values))
    return element


def enforce_derived(elements: dict[Key, DataElement]) -> list[str]:
    warnings = []
    key = (int(Tag("ImageType")), "")
    if key in elements:
        fixed = _never_original(elements[key])
        if fixed is not elements[key]:
            image_type = elements[key].value
            warnings.append(f"ImageType (0008,0008) cannot be {image_type!r}: a derived image is DERIVED")
            elements[key] = fixed
    code = elements.get((int(Tag("DerivationCodeSequence")), ""))
    if code is not None and code.value and code.value[0].get("CodeValue") == UNSPECIFIED.value:
        warnings.append(
            "nothing says how the image was derived: name its derivation, a code of CID 7203, as "
            'derivation("", "GaussianBlur") does in a blueprint'
        )
    return warnings
