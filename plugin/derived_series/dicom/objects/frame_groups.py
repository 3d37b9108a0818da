"""Per-frame functional groups (PS3.3 C.7.6.16) as bytes: what the frames of a slice share is encoded once.

pydicom takes seconds for a sequence of thousands of items. Here the sequence is an element as read from a file: bytes
that are parsed only when they are used.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from pydicom.charset import convert_encodings
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from derived_series.dicom.blueprints.environment import InstanceEnvironment
from derived_series.dicom.encoding.decimal_string import decimal_string
from derived_series.dicom.encoding.writer import (
    PER_FRAME,
    as_read,
    encode_element,
    encode_text,
    sequence,
    short_element,
)
from derived_series.dicom.grid import Grid
from derived_series.dicom.modules.derivation import general_reference_blueprint
from derived_series.dicom.objects.highdicom_planes import slice_thicknesses, structure
from derived_series.dicom.objects.plane_elements import IN_GROUPS, with_place
from derived_series.dicom.objects.single_instance import Draft, finished
from derived_series.dicom.series.finished import FinishedSeries

_DERIVATION_IMAGE = int(Tag("DerivationImageSequence"))
_FRAME_CONTENT = int(Tag("FrameContentSequence"))
_PLANE_POSITION = int(Tag("PlanePositionSequence"))
_SEGMENT_IDENTIFICATION = int(Tag("SegmentIdentificationSequence"))
_PIXEL_MEASURES = int(Tag("PixelMeasuresSequence"))
_INDEX_VALUES = int(Tag("DimensionIndexValues"))
_POSITION = int(Tag("ImagePositionPatient"))
_SEGMENT_NUMBER = int(Tag("ReferencedSegmentNumber"))


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of the object.

    :param slice: the index of its slice in the image, from 0, volume after volume.
    :param indexes: its DimensionIndexValues, from 1.
    :param segment: its ReferencedSegmentNumber, where frames are of one segment each.
    """

    slice: int
    indexes: tuple[int, ...]
    segment: int | None = None


def with_frames(
    draft: Draft,
    grid: Grid,
    pattern: Dataset,
    frames: Sequence[Frame],
    further: Iterable[str] = (),
    warnings: Iterable[str] = (),
) -> FinishedSeries:
    """Complete highdicom's object of the first slices, which has the pixels of all, to the object of all frames.

    What the item of its first frame has besides place, segment, indexes and references applies to all frames.

    :param further: keywords of more elements that follow from the frames, besides ``structure``.
    :raises GeometryError: the header says that the image is elsewhere.
    """
    item = pattern.PerFrameFunctionalGroupsSequence[0]
    measures = _measures_of_slices(draft, grid, pattern)
    draft = with_place(draft, grid, in_groups=IN_GROUPS)
    pattern.Rows, pattern.Columns = grid.rows, grid.columns
    pattern.NumberOfFrames = len(frames)
    del pattern.PerFrameFunctionalGroupsSequence
    series = finished(draft, structure(pattern, *further), warnings)
    (dataset,) = series.datasets
    charset = dataset.get("SpecificCharacterSet")
    encodings = convert_encodings(charset if charset is None or isinstance(charset, str) else list(charset))
    dataset[PER_FRAME] = as_read(sequence(int(PER_FRAME), _items(draft, grid, frames, item, measures, encodings)))
    return replace(series, built_tags=series.built_tags | {int(PER_FRAME)})


def _measures_of_slices(draft: Draft, grid: Grid, pattern: Dataset) -> list[bytes]:
    """PixelMeasuresSequence of each slice, encoded, where their thickness differs: it is not a shared group then."""
    thicknesses = slice_thicknesses(draft, grid)
    if len(thicknesses) == 1:
        return []
    element = pattern.SharedFunctionalGroupsSequence[0].pop(_PIXEL_MEASURES)
    (item,) = element.value
    encoded = []
    for thickness in thicknesses:
        item.SliceThickness = thickness
        encoded.append(encode_element(element, []))
    return encoded


def _items(
    draft: Draft,
    grid: Grid,
    frames: Iterable[Frame],
    pattern: Dataset,
    measures: Sequence[bytes],
    encodings: Sequence[str],
) -> Iterator[bytes]:
    common = {
        int(element.tag): encode_element(element, encodings)
        for element in pattern
        if int(element.tag) not in (_DERIVATION_IMAGE, _FRAME_CONTENT, _PLANE_POSITION, _SEGMENT_IDENTIFICATION)
    }
    code = encode_element(
        DataElement(Tag("DerivationCodeSequence"), "SQ", draft.value("DerivationCodeSequence")), encodings
    )
    slices: dict[int, dict[int, bytes]] = {}
    for frame in frames:
        parts = slices.get(frame.slice)
        if parts is None:
            parts = slices[frame.slice] = {**common, **_of_slice(draft, grid, frame.slice, code)}
            if measures:
                parts[_PIXEL_MEASURES] = measures[frame.slice % len(measures)]
        indexes = struct.pack(f"<{len(frame.indexes)}I", *frame.indexes)
        of_frame = {_FRAME_CONTENT: sequence(_FRAME_CONTENT, [short_element(_INDEX_VALUES, "UL", indexes)])}
        if frame.segment is not None and _SEGMENT_IDENTIFICATION in pattern:
            number = short_element(_SEGMENT_NUMBER, "US", frame.segment.to_bytes(2, "little"))
            of_frame[_SEGMENT_IDENTIFICATION] = sequence(_SEGMENT_IDENTIFICATION, [number])
        every = {**parts, **of_frame}
        yield b"".join([every[tag] for tag in sorted(every)])


def _of_slice(draft: Draft, grid: Grid, index: int, code: bytes) -> dict[int, bytes]:
    """The encoded elements that say where a slice is and what it comes from, by tag."""
    sources = general_reference_blueprint["SourceImageSequence"].encode_instance(
        InstanceEnvironment(draft.slices, index)
    )
    if sources is None:
        raise TypeError("SourceImageSequence has no encoding of its own")
    position = grid.positions[index % len(grid.positions)]
    place = encode_text(_POSITION, "DS", "\\".join(map(decimal_string, position)))
    return {
        _DERIVATION_IMAGE: sequence(_DERIVATION_IMAGE, [sources + code]),
        _PLANE_POSITION: sequence(_PLANE_POSITION, [place]),
    }
