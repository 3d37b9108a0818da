"""References to stored instances and their frames (PS3.3 10.3, table 10-11 and 10-3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from derived_series.dicom.encoding.writer import encode_text
from derived_series.dicom.source.multiframe.frame import FrameDataset, source_of


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A stored instance, or one frame of it.

    :param frame: the number of the frame; None for the whole instance. DICOM allows several numbers in one reference,
        but common readers fail on them.
    """

    instance: Dataset
    frame: int | None = None

    def item(self) -> Dataset:
        """The reference as an item of a sequence."""
        item = Dataset()
        item.ReferencedSOPClassUID = self.instance.SOPClassUID
        item.ReferencedSOPInstanceUID = self.instance.SOPInstanceUID
        if self.frame is not None:
            item.ReferencedFrameNumber = self.frame
        return item

    def encode(self) -> bytes:
        """Encode the item's elements as pydicom would write them."""
        encoded = encode_text(0x00081150, "UI", self.instance.SOPClassUID)
        encoded += encode_text(0x00081155, "UI", self.instance.SOPInstanceUID)
        if self.frame is not None:
            encoded += encode_text(0x00081160, "IS", str(self.frame))
        return encoded


def whole_references(datasets: Sequence[Dataset]) -> list[Reference]:
    """References to the instances that datasets are, or are frames of, each once."""
    by_uid = {str(dataset.SOPInstanceUID): source_of(dataset) for dataset in datasets}
    return [Reference(source) for source in by_uid.values()]


def references(datasets: Sequence[Dataset]) -> list[Reference]:
    """The same, but frame by frame for an instance of which not all frames are among the datasets."""
    if not any(isinstance(dataset, FrameDataset) for dataset in datasets):
        return [Reference(dataset) for dataset in datasets]
    frames_by_uid: dict[str, tuple[Dataset, list[int]]] = {}
    for dataset in datasets:
        _, numbers = frames_by_uid.setdefault(str(dataset.SOPInstanceUID), (source_of(dataset), []))
        if isinstance(dataset, FrameDataset) and dataset.frame_number is not None:
            numbers.append(dataset.frame_number)
    every: list[Reference] = []
    for source, numbers in frames_by_uid.values():
        whole = not numbers or len(numbers) >= int(source.get("NumberOfFrames") or 1)
        every += [Reference(source)] if whole else [Reference(source, number) for number in sorted(numbers)]
    return every
