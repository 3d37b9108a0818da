"""Bytes of a series: what all instances share is encoded once, the rest once an instance, merged in tag order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydicom.charset import convert_encodings
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr, write_data_element, write_file_meta_info
from pydicom.uid import UID

_PREAMBLE = b"\0" * 128 + b"DICM"


@dataclass(frozen=True, slots=True)
class SeriesEncoder:
    """Explicit VR little endian (PS3.5 A.2).

    :param shared: (tag, bytes) of the elements that all instances share, ascending.
    :param encodings: the Python codecs of SpecificCharacterSet.
    """

    shared: tuple[tuple[int, bytes], ...]
    context: Dataset
    meta: FileMetaDataset
    encodings: tuple[str, ...]

    @classmethod
    def of(cls, shared: Iterable[DataElement], meta: FileMetaDataset) -> SeriesEncoder:
        """:param meta: file meta information of any instance; only the instance UID differs."""
        dataset = Dataset()
        for element in shared:
            dataset.add(element)
        dataset = correct_ambiguous_vr(dataset, True)
        charset = dataset.get("SpecificCharacterSet")
        encodings = tuple(convert_encodings(charset if charset is None or isinstance(charset, str) else list(charset)))
        parts = tuple((int(element.tag), encode_element(element, encodings)) for element in dataset)
        context = Dataset()
        context.PixelRepresentation = dataset.PixelRepresentation
        return cls(parts, context, meta, encodings)

    def encode(self, sop_instance_uid: str, elements: Iterable[DataElement]) -> bytes:
        """The Part 10 file of an instance.

        :param elements: the instance's own elements, its pixels among them.
        """
        own = [(int(element.tag), self._encode_own(element)) for element in elements]
        merged = sorted([*self.shared, *own])
        return b"".join([_PREAMBLE, self._meta(sop_instance_uid), *(data for _, data in merged)])

    def _encode_own(self, element: DataElement) -> bytes:
        if " or " in element.VR:
            settled = Dataset()
            settled.add(element)
            settled.PixelRepresentation = self.context.PixelRepresentation
            element = correct_ambiguous_vr(settled, True)[element.tag]
        return encode_element(element, self.encodings)

    def _meta(self, sop_instance_uid: str) -> bytes:
        meta = FileMetaDataset()
        meta.update(self.meta)
        meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
        buffer = DicomBytesIO()
        write_file_meta_info(buffer, meta, enforce_standard=True)
        return buffer.getvalue()


def encode_element(element: DataElement, encodings: Iterable[str]) -> bytes:
    """One element in explicit VR little endian."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = False
    buffer.is_little_endian = True
    write_data_element(buffer, element, list(encodings))
    return buffer.getvalue()
