"""The kinds of objects that are made: one file for each kind, and its name in the list below.

A kind's file is a declaration. All code that must know the kinds reads it: the factories and builders of ``dicom``, the
library, the command, the routes and the scripts that write tables of the documents. It holds data only, because
Orthanc's own process reads it too and loads neither numpy nor pydicom.
"""

from __future__ import annotations

import importlib
from collections.abc import Container, Mapping
from types import MappingProxyType

from derived_series.kinds import parents
from derived_series.kinds.file_types import IMAGE_FILES, FileType
from derived_series.kinds.kind import Kind, RequestKey, SopClass

#: The files of this package that declare kinds, in the order of the documents.
_FILES = (
    "ct",
    "mr",
    "pet",
    "projection",
    "secondary_capture",
    "segmentation",
    "parametric_map",
    "rt_dose",
    "rt_structure_set",
    "measurement_report",
    "encapsulated_pdf",
    "picture",
)

#: All kinds.
KINDS: tuple[Kind, ...] = tuple(kind for file in _FILES for kind in importlib.import_module(f"{__name__}.{file}").KINDS)

#: The rows of the SOP classes by UID.
SOP_CLASSES: Mapping[str, SopClass] = MappingProxyType(
    {row.uid: row for row in (*(row for kind in KINDS for row in kind.sop_classes), *parents.PARENTS)}
)

#: All types of files.
FILE_TYPES: tuple[FileType, ...] = tuple(
    dict.fromkeys((*IMAGE_FILES, *(file for kind in KINDS for file in kind.files)))
)

#: The keys of requests that only some kinds take.
REQUEST_KEYS: tuple[RequestKey, ...] = tuple(dict.fromkeys(key for kind in KINDS for key in kind.keys))

#: The plain kind of each SOP class: the first that names it.
_KIND_OF = {row.uid: kind for kind in reversed(KINDS) for row in kind.sop_classes if not kind.sign}
#: The kinds that a blueprint tells from the plain one by their sign.
_SIGNED = tuple(kind for kind in KINDS if kind.sign)


def sop_class(uid: str) -> SopClass:
    """The row of a SOP class; for an unknown class, a row with the defaults of an image."""
    return SOP_CLASSES.get(uid) or SopClass(uid, uid)


def kind_of(uid: str, blueprint: Container[str] = ()) -> Kind | None:
    """The kind that makes objects of a SOP class; None if there is none.

    :param blueprint: the keywords of the blueprint's attributes, among them the sign of a kind that has one.
    """
    signed = (kind for kind in _SIGNED if kind.sign in blueprint and any(row.uid == uid for row in kind.sop_classes))
    return next(signed, None) or _KIND_OF.get(uid)


def kinds_of_factory(name: str) -> tuple[Kind, ...]:
    """The kinds that a factory makes, by its name."""
    return tuple(kind for kind in KINDS if kind.factory == name)


def kind_of_modality(modality: str) -> Kind | None:
    """The first kind whose images are made from images of the same modality; None if there is none."""
    return next(
        (kind for kind in KINDS if any(r.copies_acquisition and r.modality == modality for r in kind.sop_classes)), None
    )


def file_type(start: bytes) -> FileType | None:
    """The type of a file by its first bytes; None if it is unknown. :param start: its first 16 bytes, or more."""
    return next((file for file in FILE_TYPES if any(start.startswith(first) for first in file.starts)), None)


def reads(factory: str, file: FileType) -> bool:
    """Whether a factory reads a type of file; always True for a factory outside this package."""
    if any(factory == image.factory for image in IMAGE_FILES):
        return file.factory == factory
    kinds = kinds_of_factory(factory)
    return not kinds or any(file in (kind.files or IMAGE_FILES) for kind in kinds)


def readable_suffixes() -> str:
    """The suffixes of the files that factories read, for messages: ".npy, .nii or .pdf"."""
    *first, last = [file.suffix for file in FILE_TYPES if file.factory]
    return f"{', '.join(first)} or {last}"


def reader_of(name: str) -> str:
    """The factory that reads files with a name such as ``mask.nii.gz``; nifti if none reads the suffix."""
    return next((file.factory for file in FILE_TYPES if file.factory and name.endswith(file.suffix)), "nifti")
