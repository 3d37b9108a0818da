"""The file meta information of a new instance (PS3.10 7.1)."""

from __future__ import annotations

from pydicom.dataset import FileMetaDataset
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, UID, ExplicitVRLittleEndian


def new_file_meta(
    sop_class_uid: str, instance_uid: str, transfer_syntax: str = ExplicitVRLittleEndian
) -> FileMetaDataset:
    """The file meta information of an instance, with pydicom as the implementation that writes it."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(instance_uid)
    meta.TransferSyntaxUID = UID(transfer_syntax)
    meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    return meta
