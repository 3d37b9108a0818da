"""Reading the instances of a parent series, and checking that they belong together."""

from __future__ import annotations

import io
import re
import struct
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pydicom import dcmread
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from derived_series.dicom.encoding.read_errors import reading, refuse_bombs
from derived_series.dicom.encoding.tags import TagLike, describe, to_tag
from derived_series.errors import Conflict, GeometryError, InvalidParent

_PIXEL_DATA = 0x7FE00010
_UNDEFINED = 0xFFFFFFFF
#: Elements longer than this (bytes) stay in their file until they are used.
_DEFERRED_BYTES = 1 << 14
#: (0002,0000), (0008,0000), (0008,0001), (0008,0005), (0008,0008), (0008,0012), (0008,0016)
_FIRST_TAGS = frozenset(
    struct.pack("<HH", *tag) for tag in ((2, 0), (8, 0), (8, 1), (8, 5), (8, 8), (8, 0x12), (8, 0x16))
)
_IDENTITY_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_UID = re.compile("[0-9.]{1,64}")
_AN_IMAGE = "derive from a series of images: structure sets and reports can be inputs of pipelines beside one"
_IMAGE_TAGS = frozenset(int(to_tag(k)) for k in ("Rows", "Columns"))


def read_instance(data: bytes, name: str, pixels: bool = True) -> Dataset:
    """Read a Part 10 file in memory, or a bare dataset without preamble and file meta information.

    :raises InvalidParent: it is not one.
    """
    with reading(name):
        refuse_bombs(data, name)
        dataset = dcmread(io.BytesIO(data), stop_before_pixels=not pixels, force=_is_bare(data[:4]))
        dataset.buffer = None  # it would keep the whole file in memory
        return dataset


def read_file(path: Path) -> Dataset:
    """Read a Part 10 file as a Dataset that reads its pixels from the file each time they are used.

    :raises InvalidParent: it is not one.
    """
    with reading(path.name):
        with path.open("rb") as file:
            start = file.read(4096)
        if DeflatedExplicitVRLittleEndian.encode() in start:
            return read_instance(path.read_bytes(), path.name)  # it can only be read as a whole
        try:
            dataset = dcmread(path, defer_size=_DEFERRED_BYTES, force=_is_bare(start[:4]))
        except MemoryError as error:
            raise InvalidParent(f"{path.name} announces a value of more bytes than there is memory for") from error
    size = path.stat().st_size
    for element in dict(dataset.items()).values():
        if not isinstance(element, RawDataElement) or element.value is not None or element.length == _UNDEFINED:
            continue
        if element.value_tell + element.length > size:
            raise InvalidParent(f"{path.name} ends within {describe(element.tag)}", remedy="send it again")
    return dataset


def is_dicom(path: Path) -> bool:
    """Whether a file is Part 10, or begins like a dataset without preamble."""
    with path.open("rb") as file:
        head = file.read(132)
    return head[128:] == b"DICM" or _is_bare(head[:4])


def _is_bare(head: bytes) -> bool:
    """Whether the first 4 bytes are a tag with which a dataset without preamble begins, little endian."""
    return head in _FIRST_TAGS


def varying_tags(instances: list[Dataset]) -> frozenset[int]:
    """The tags whose values differ between instances, or are missing in some; compared as read, without converting."""
    if not instances:
        return frozenset()
    first = dict(instances[0].items())
    varying = {_PIXEL_DATA}
    for other in instances[1:]:
        for tag, element in other.items():
            if int(tag) not in varying and not _same(first.get(tag), element):
                varying.add(int(tag))
        varying.update(int(tag) for tag in first.keys() - other.keys())
    return frozenset(varying)


def _same(one: DataElement | RawDataElement | None, other: DataElement | RawDataElement) -> bool:
    if one is other:
        return True
    if one is None:
        return False
    if one.value is None and other.value is None and isinstance(one, RawDataElement):
        return one.length == 0  # longer ones stay in their files and are not compared
    if isinstance(one, RawDataElement) != isinstance(other, RawDataElement):
        one, other = _converted(one), _converted(other)
    return bool(one.value == other.value)


def _converted(element: DataElement | RawDataElement) -> DataElement:
    return convert_raw_data_element(element) if isinstance(element, RawDataElement) else element


def _values(instances: list[Dataset], varying: frozenset[int], keyword: str) -> set[str]:
    """The different values of a tag, as text; empty where it is missing or empty."""
    return set(_values_of_each(instances, varying, keyword))


_WHOSE = ("PatientID", "PatientName", "StudyInstanceUID")


def telling(instances: Sequence[Dataset], varying: frozenset[int], *tags: TagLike) -> Sequence[Dataset]:
    """The instances that tell all values of some tags: the first one where no value varies, else all.

    :param varying: the tags that not all instances have with the same value.
    """
    return instances[:1] if varying.isdisjoint(int(to_tag(tag)) for tag in tags) else instances


def check_identity(instances: list[Dataset], varying: frozenset[int]) -> None:
    """Require one patient, study and series, and each instance once.

    :raises Conflict: there are several patients or studies.
    :raises InvalidParent: there are several series, repeated instances, none at all, or identifiers are missing.
    """
    if not instances:
        raise InvalidParent("the parent series has no instance")
    if all(_values(instances, varying, keyword) == {""} for keyword in _WHOSE):
        raise InvalidParent(
            f"nothing tells whose the images are: they have no {', '.join(_WHOSE[:-1])} and {_WHOSE[-1]}",
            remedy="send them with the identity of their patient and study",
        )
    for keyword in _IDENTITY_UIDS:
        if "" in _values(instances, varying, keyword):
            without = sum(not dataset.get(keyword) for dataset in instances)
            raise InvalidParent(f"{without} of {len(instances)} instances have no {describe(to_tag(keyword))}")
    for keyword in ("PatientID", "StudyInstanceUID"):
        values = sorted(_values(instances, varying, keyword))
        if len(values) > 1:
            raise Conflict(
                f"the instances are of {len(values)} different {keyword}s: {', '.join(map(repr, values))}",
                remedy="all parents of a derivation are of one patient and one study",
            )
    for keyword in ("SeriesInstanceUID", "SOPClassUID"):
        values = sorted(_values(instances, varying, keyword))
        if len(values) > 1:
            raise InvalidParent(
                f"the parent has {len(values)} different values of {keyword}: {', '.join(values)}",
                remedy="give the instances of one series, of one SOP class",
            )
    for keyword in _IDENTITY_UIDS:
        wrong = next(filter(_is_wrong, _values(instances, varying, keyword)), None)
        if wrong is not None:
            raise InvalidParent(
                f"{describe(to_tag(keyword))} {wrong[:80]!r} is not a UID: 64 digits and dots at most",
                remedy="correct it where the series was made, and send the series again",
            )
    uids = Counter(str(dataset.SOPInstanceUID) for dataset in instances)
    repeated = [uid for uid, count in uids.items() if count > 1]
    if repeated:
        raise InvalidParent(f"{len(repeated)} SOPInstanceUIDs occur more than once, such as {repeated[0]}")


def drop_wrong_frames_of_reference(instances: list[Dataset], varying: frozenset[int]) -> tuple[str, ...]:
    """Remove a FrameOfReferenceUID that is not a UID, as if the instances had none; return a warning."""
    wrong = next(filter(_is_wrong, _values(instances, varying, "FrameOfReferenceUID")), None)
    if wrong is None:
        return ()
    for dataset in instances:
        if _is_wrong(str(dataset.get("FrameOfReferenceUID") or "")):
            del dataset.FrameOfReferenceUID
    return (f"FrameOfReferenceUID (0020,0052) is not kept: the parent's {wrong[:80]!r} is not a UID",)


def _is_wrong(uid: str) -> bool:
    """Whether there is a text that cannot be a UID."""
    return bool(uid) and not _UID.fullmatch(uid)


def check_images(instances: list[Dataset], varying: frozenset[int]) -> None:
    """Require images of one size. :raises InvalidParent: they are not."""
    alike = varying.isdisjoint(_IMAGE_TAGS)
    for dataset in instances[:1] if alike else instances:
        if "Rows" not in dataset or "Columns" not in dataset:
            raise InvalidParent(
                f"instance {dataset.SOPInstanceUID} is not an image: it has no Rows and Columns", remedy=_AN_IMAGE
            )
        if not dataset.Rows or not dataset.Columns:
            size = f"{dataset.Rows} Rows and {dataset.Columns} Columns"
            raise InvalidParent(f"instance {dataset.SOPInstanceUID} is not an image: it has {size}", remedy=_AN_IMAGE)
    sizes = Counter((int(d.Rows), int(d.Columns)) for d in (instances[:1] if alike else instances))
    if len(sizes) > 1:
        named = ", ".join(f"{count} of {r} x {c}" for (r, c), count in sizes.most_common())
        raise InvalidParent(f"the parent's images are of several sizes (rows x columns): {named}")


def check_frame_of_reference(instances: list[Dataset], varying: frozenset[int]) -> tuple[str, ...]:
    """Warn if FrameOfReferenceUID is meaningless: different in each instance, or missing in some.

    :raises GeometryError: there are a few different ones, whose positions do not relate to each other.
    """
    values = Counter(_values_of_each(instances, varying, "FrameOfReferenceUID"))
    if len(values) < 2:
        return ()
    if len(values) * 2 > len(instances) or len(values.keys() - {""}) == 1:
        problem = f"{len(values)} different values of it" if "" not in values else f"none in {values['']} of them"
        return (f"FrameOfReferenceUID (0020,0052) is not kept: the parent's {len(instances)} instances have {problem}",)
    named = ", ".join(f"{count} x {uid or 'none'}" for uid, count in values.most_common(4))
    raise GeometryError(
        f"the parent has {len(values)} frames of reference (FrameOfReferenceUID): {named}; their positions do not "
        "relate to each other",
        remedy="give the instances of one frame of reference",
    )


def _values_of_each(candidates: list[Dataset], varying: frozenset[int], keyword: str) -> list[str]:
    instances = candidates if int(to_tag(keyword)) in varying else candidates[:1]
    return [str(dataset.get(keyword) or "") for dataset in instances]
