"""Series: the interface of every derived series, whether its instances are made on access or exist already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from pydicom.dataset import Dataset

from derived_series.dicom.series.header import SeriesHeader
from derived_series.dicom.source.parent_series import ParentSeries


@runtime_checkable
class Series(Protocol):
    """A derived series that is ready to be written: a ``DerivedSeries`` or a ``FinishedSeries``."""

    @property
    def header(self) -> SeriesHeader | None:
        """The header that it was built from; None for datasets that user code made."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings for the user, each once."""

    @property
    def series_instance_uid(self) -> str:
        """SeriesInstanceUID (0020,000E)."""

    @property
    def study_instance_uid(self) -> str:
        """StudyInstanceUID (0020,000D), the parent's."""

    @property
    def sop_class_uid(self) -> str:
        """SOPClassUID (0008,0016) of its instances."""

    def __len__(self) -> int:
        """The number of instances."""

    def __iter__(self) -> Iterator[Dataset]:
        """The instances in the order of InstanceNumber or, from user code, in the order in which they were returned."""

    def instance_uid(self, index: int) -> str:
        """SOPInstanceUID (0008,0018) of an instance, counted from 0."""

    def dataset(self, index: int) -> Dataset:
        """An instance as a Dataset, with its file meta information."""

    def encode(self, index: int) -> bytes:
        """An instance as a complete Part 10 file."""

    def buffer(self, index: int) -> bytes | memoryview:
        """The same, without copying the pixels if possible."""

    def written_in(self, transfer_syntax: str) -> Series:
        """The same series in another transfer syntax, named by keyword or UID.

        :raises InvalidOption: it cannot be written here. :raises PixelError: it cannot hold the pixels.
        """

    def with_identity(self, parent: ParentSeries) -> Series:
        """The series with the patient and study of ``parent``; itself if it has them already."""

    def with_warnings(self, *warnings: str) -> Series:
        """The series with more warnings."""
