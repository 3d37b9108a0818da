"""FinishedSeries: datasets that are finished already, from a builder or from user code."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRLittleEndian

from derived_series.dicom.blueprints.build_context import BuildContext
from derived_series.dicom.encoding.codecs import compress
from derived_series.dicom.encoding.new_file_meta import new_file_meta
from derived_series.dicom.encoding.tags import describe
from derived_series.dicom.encoding.times import zone_of
from derived_series.dicom.encoding.writer import ITEM, encode_dataset, encode_dataset_as_buffer
from derived_series.dicom.modules.derivation import as_derived, marks_of
from derived_series.dicom.series.finished_place import doubtful_places, require_overlap
from derived_series.dicom.series.header import SeriesHeader
from derived_series.dicom.series.header_rules import FILE_GROUPS, PATIENT_AND_STUDY, parent_element
from derived_series.dicom.series.making import tell_making
from derived_series.dicom.series.text import settle_dataset
from derived_series.dicom.source.detached import detached
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.errors import HeaderError, Missing, UserCodeError
from derived_series.transfer_syntaxes import written_uid


@dataclass(frozen=True, slots=True, eq=False)
class FinishedSeries:
    """A series of finished datasets; the counterpart of DerivedSeries.

    :param header: the header that they follow from, if they have a blueprint.
    :param built_tags: the tags that then come from the builder, not from the blueprint.
    """

    datasets: tuple[Dataset, ...]
    warnings: tuple[str, ...]
    header: SeriesHeader | None = None
    built_tags: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.datasets)

    @property
    def series_instance_uid(self) -> str:
        return str(self.datasets[0].SeriesInstanceUID)

    @property
    def study_instance_uid(self) -> str:
        return str(self.datasets[0].StudyInstanceUID)

    @property
    def sop_class_uid(self) -> str:
        return str(self.datasets[0].SOPClassUID)

    def instance_uid(self, index: int) -> str:
        return str(self.datasets[index].SOPInstanceUID)

    def dataset(self, index: int) -> Dataset:
        return self.datasets[index]

    def __iter__(self) -> Iterator[Dataset]:
        return iter(self.datasets)

    def written_in(self, transfer_syntax: str) -> FinishedSeries:
        """The same series in another transfer syntax; datasets that are compressed already stay as they are.

        :raises InvalidOption: see ``DerivedSeries.written_in``. :raises PixelError: pixels that it cannot hold.
        """
        syntax = UID(written_uid(transfer_syntax))
        datasets, warnings = [], []
        for source in self.datasets:
            dataset, current = Dataset(dict(source.items())), UID(source.file_meta.TransferSyntaxUID)
            dataset.file_meta = copy.deepcopy(source.file_meta)
            if "PixelData" in dataset and current.is_encapsulated and current != syntax:
                warnings.append(
                    f"datasets that the pipeline compressed stay in {current.name}: {syntax.name} was asked for"
                )
            elif "PixelData" in dataset and syntax.is_encapsulated and current != syntax:
                compress(dataset, syntax)
            elif "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
                warnings.append(f"floating point pixels stay in {current.name}: {syntax.name} is for integers")
            datasets.append(dataset)
        return replace(self, datasets=tuple(datasets), warnings=(*self.warnings, *dict.fromkeys(warnings)))

    def with_identity(self, parent: ParentSeries) -> FinishedSeries:
        """The same as ``DerivedSeries.with_identity``."""
        owned = {tag: parent_element(tag, parent) for tag in PATIENT_AND_STUDY}
        if not any(_is_changed(d.get(tag), parent_value) for d in self.datasets for tag, parent_value in owned.items()):
            return self
        datasets = tuple(detached(dataset, {}) for dataset in self.datasets)
        warnings = [warning for dataset in datasets for warning in _keep_parents(dataset, parent)]
        return replace(self, datasets=datasets, warnings=tuple(dict.fromkeys((*self.warnings, *warnings))))

    def with_warnings(self, *warnings: str) -> FinishedSeries:
        """The series with more warnings."""
        return replace(self, warnings=tuple(dict.fromkeys((*self.warnings, *warnings))))

    def encode(self, index: int) -> bytes:
        """One instance as a complete Part 10 file."""
        return encode_dataset(self.datasets[index])

    def buffer(self, index: int) -> memoryview:
        """The bytes of ``encode``; see ``DerivedSeries.buffer``."""
        return encode_dataset_as_buffer(self.datasets[index])


#: File meta information about the instance, which is always replaced.
_OF_INSTANCE = (Tag("MediaStorageSOPClassUID"), Tag("MediaStorageSOPInstanceUID"))


def from_user_datasets(
    datasets: Sequence[Dataset],
    parent: ParentSeries,
    context: BuildContext,
    maker: str = "the factory",
    inputs: Collection[ParentSeries] = (),
) -> FinishedSeries:
    """Turn datasets made by user code into a derived series of the parent, with its patient and study and new UIDs.

    :param maker: what returned them, for errors. :param inputs: all series that it read.
    :raises HeaderError: SOPClassUID is missing. :raises UserCodeError: they are not datasets, or there is none.
    :raises GeometryError: images or contours are in the parent's frame of reference but do not overlap it.
    """
    several = isinstance(datasets, Sequence) and not isinstance(datasets, str)
    if not several or not datasets or not all(isinstance(dataset, Dataset) for dataset in datasets):
        raise UserCodeError(f"{maker} returned no datasets", remedy="return a list of pydicom Datasets")
    if any(not dataset.get("SOPClassUID") for dataset in datasets):
        raise HeaderError([Missing(0x00080016, "SOPClassUID", "the dataset has none")], where="a dataset")
    place_warnings = require_overlap(datasets, parent) + doubtful_places(datasets, parent, inputs)
    context = context.seeded()  # so that all its UIDs agree
    taken = {str(instance.SOPInstanceUID) for instance in parent.instances}
    foreign = (
        len({str(d.get("SeriesInstanceUID")) for d in datasets}) > 1
        or len({str(d.get("SOPInstanceUID")) for d in datasets}) < len(datasets)
        or any(str(d.get("SOPInstanceUID")) in taken for d in datasets)
        or str(datasets[0].get("SeriesInstanceUID")) != context.uid("series")
    )
    warnings = [*parent.warnings, *place_warnings]
    adopted = []
    for index, source in enumerate(datasets):
        dataset = copy.deepcopy(source)
        dataset.walk(lambda _, __: None)  # bytes as read would be written as they are, in another character set
        if foreign:
            dataset.SeriesInstanceUID = context.uid("series")
            dataset.SOPInstanceUID = context.uid("instance", index)
        warnings += _drop_file_groups(dataset)
        own_zone = zone_of(dataset)
        warnings += _keep_parents(dataset, parent)
        tell_making(dataset, own_zone, parent, context.now)
        new = new_file_meta(dataset.SOPClassUID, dataset.SOPInstanceUID)
        meta = getattr(dataset, "file_meta", new)
        meta.update({tag: new[tag] for tag in new.keys() if tag in _OF_INSTANCE or tag not in meta})
        dataset.file_meta = meta
        warnings += _settle_syntax(dataset, maker)
        adopted.append(dataset)
    return FinishedSeries(tuple(adopted), tuple(dict.fromkeys(warnings)))


def _settle_syntax(dataset: Dataset, maker: str) -> list[str]:
    """Correct a compressed transfer syntax of pixels that are not compressed; return warnings.

    :raises UserCodeError: the TransferSyntaxUID is not one.
    """
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    if not syntax.is_transfer_syntax:
        raise UserCodeError(
            f"{maker} returned a dataset whose TransferSyntaxUID (0002,0010) is {str(syntax)!r}, no transfer syntax",
            remedy="leave file_meta out where the pixels are not compressed",
        )
    pixels = dataset.get("PixelData")
    if not pixels or not syntax.is_encapsulated or bytes(pixels[:4]) == ITEM:
        return []
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return [f"TransferSyntaxUID (0002,0010) cannot be {syntax.name}: the pixels of the dataset are not compressed"]


def _drop_file_groups(dataset: Dataset) -> list[str]:
    """Leave out elements that a dataset in a file cannot have; return warnings."""
    tags = [tag for tag in dataset.keys() if tag.group in FILE_GROUPS]
    for tag in tags:
        del dataset[tag]
    return [f"{describe(tag)} is left out: it follows from how the file is written" for tag in tags]


def _is_changed(element: DataElement | None, parent_value: DataElement | None) -> TypeGuard[DataElement]:
    """Whether an element has a value that is not the parent's."""
    return (
        element is not None and not element.is_empty and (parent_value is None or element.value != parent_value.value)
    )


def _keep_parents(dataset: Dataset, parent: ParentSeries) -> list[str]:
    """Restore the parent's patient and study values, and make ImageType DERIVED; return warnings."""
    warnings = []
    for tag in sorted(PATIENT_AND_STUDY):
        parent_value, element = parent_element(tag, parent), dataset.get(tag)
        if _is_changed(element, parent_value):
            warnings.append(f"{describe(tag)} cannot be set to {element.value!r}: it is the parent's")
        if parent_value is not None:
            dataset[tag] = parent_value
        elif element is not None and not element.is_empty:
            element.value = None
    warning = settle_dataset(dataset, parent.as_stored.get("SpecificCharacterSet"))
    warnings += [warning] if warning else []
    for keyword, mark in marks_of(parent).items():
        setattr(dataset, keyword, mark)
    given_kind = dataset.get("ImageType") or ["DERIVED", "SECONDARY"]
    kind = [given_kind] if isinstance(given_kind, str) else list(given_kind)
    if kind[0] != "DERIVED" and "Rows" in dataset:
        warnings.append(f"ImageType (0008,0008) cannot be {kind}: a derived image is DERIVED")
        dataset.ImageType = as_derived(kind)
    return warnings
