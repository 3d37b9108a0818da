"""FrameDataset: one frame of a multi-frame instance, or one tile of a mosaic, as a dataset of its own."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array
from pydicom.tag import BaseTag, Tag

Element = DataElement | RawDataElement
Elements = Mapping[BaseTag, Element]

#: Attributes of a multi-frame instance as a whole, which a single frame does not have.
_OF_THE_WHOLE = frozenset(
    int(Tag(keyword))
    for keyword in (
        *("NumberOfFrames", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
        *("DimensionOrganizationSequence", "DimensionIndexSequence", "DimensionOrganizationType"),
        *("ConcatenationUID", "InConcatenationNumber", "InConcatenationTotalNumber"),
        *("ConcatenationFrameOffsetNumber", "SOPInstanceUIDOfConcatenationSource", "RepresentativeFrameNumber"),
        *("FrameIncrementPointer", "FrameTimeVector", "FrameDimensionPointer", "FrameLabelVector"),
        *("SliceProgressionDirection", "EnergyWindowVector", "DetectorVector", "PhaseVector", "RotationVector"),
        *("RRIntervalVector", "TimeSlotVector", "SliceVector", "AngularViewVector", "TimeSliceVector"),
        *("GridFrameOffsetVector", "DoseGridScaling", "PageNumberVector", "ExtendedOffsetTable"),
        *("ExtendedOffsetTableLengths", "StartTrim", "StopTrim", "FrameDelay", "CineRate"),
        *("PreferredPlaybackSequencing", "RecommendedDisplayFrameRate"),
    )
)
#: An instance that claims more frames than this is broken, or meant to fill the memory.
MOST_FRAMES = 1 << 17
_PIXEL_GROUP = 0x7FE0
#: The state of a dataset about its own elements; the rest is about how and from where it was read.
_OWN_STATE = ("_dict", "_private_blocks", "_pixel_array", "_pixel_id")


class FrameDataset(Dataset):
    """A frame with the elements of a single-frame instance, but without pixels of its own.

    Its elements are the source's, not copies; do not change them.

    :param source: the instance that the frame belongs to.
    :param number: the 1-based number of the frame or tile in the source.
    :param box: the (rows, columns) of this tile in a mosaic; None for a frame.
    """

    source: Dataset
    number: int
    box: tuple[slice, slice] | None

    def __init__(self, elements: Elements, source: Dataset, number: int, box: tuple[slice, slice] | None = None):
        super().__init__(dict(elements))
        state = {name: value for name, value in vars(source).items() if name not in _OWN_STATE}
        self.__dict__.update(state, source=source, number=number, box=box)

    @property
    def index(self) -> int:
        """The 0-based index of the frame in the source's pixels."""
        return self.number - 1 if self.box is None else 0

    @property
    def frame_number(self) -> int | None:
        """The value for ReferencedFrameNumber (0008,1160); None for a tile, which is referred to by its instance."""
        return self.number if self.box is None else None

    @property
    def name(self) -> str:
        """The source's SOPInstanceUID and the number: ``1.2.3/4``."""
        return f"{self.source.SOPInstanceUID}/{self.number}"

    def __deepcopy__(self, memo: dict[int, Any]) -> Dataset:
        """Copy the frame as an independent single-frame dataset without pixels."""
        copied = Dataset()
        for element in self:
            copied.add(copy.deepcopy(element, memo))
        if hasattr(self, "file_meta"):
            copied.file_meta = copy.deepcopy(self.file_meta, memo)
            copied.file_meta.MediaStorageSOPClassUID = copied.SOPClassUID
        return copied

    @property
    def pixel_array(self) -> npt.NDArray[Any]:
        """The stored values, (row, column) or (row, column, sample), as pydicom gives them."""
        whole: npt.NDArray[Any] = np.asarray(pixel_array(self.source, index=self.index))
        return whole if self.box is None else whole[self.box]


def source_of(dataset: Dataset) -> Dataset:
    """The stored instance that a dataset is, or is a frame of."""
    return dataset.source if isinstance(dataset, FrameDataset) else dataset


def common_elements(source: Dataset) -> dict[BaseTag, Element]:
    """The elements that all frames of an instance share, converted once; without pixels and those of the whole.

    Long values that are still in the source's file stay there.
    """
    common: dict[BaseTag, Element] = {}
    for tag, element in list(source.items()):
        if tag in _OF_THE_WHOLE or tag.group == _PIXEL_GROUP:
            continue
        in_file = isinstance(element, RawDataElement) and element.value is None and element.length != 0
        common[tag] = element if in_file else source[tag]
    return common
