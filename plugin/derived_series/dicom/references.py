"""References to stored instances and their frames (PS3.3 10.3, table 10-11 and 10-3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from derived_series.dicom.encoding import encode_text
from derived_series.dicom.frames import FrameDataset, source_of


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A stored instance.

    :param frames: the numbers of its frames that are meant; none for the whole instance.
    """

    instance: Dataset
    frames: tuple[int, ...] = ()

    def item(self) -> Dataset:
        """The item of a sequence of references."""
        item = Dataset()
        item.ReferencedSOPClassUID = self.instance.SOPClassUID
        item.ReferencedSOPInstanceUID = self.instance.SOPInstanceUID
        if self.frames:
            item.ReferencedFrameNumber = list(self.frames)
        return item

    def encode(self) -> bytes:
        """The item's elements as pydicom would write them."""
        found = encode_text(0x00081150, "UI", self.instance.SOPClassUID)
        found += encode_text(0x00081155, "UI", self.instance.SOPInstanceUID)
        if self.frames:
            found += encode_text(0x00081160, "IS", "\\".join(map(str, self.frames)))
        return found


def references(datasets: Sequence[Dataset]) -> list[Reference]:
    """The instances that datasets are, or are frames of, each once; with frame numbers where not all its frames are."""
    if not any(isinstance(dataset, FrameDataset) for dataset in datasets):
        return [Reference(dataset) for dataset in datasets]
    found: dict[str, tuple[Dataset, list[int]]] = {}
    for dataset in datasets:
        _, numbers = found.setdefault(str(dataset.SOPInstanceUID), (source_of(dataset), []))
        if isinstance(dataset, FrameDataset) and dataset.frame_number is not None:
            numbers.append(dataset.frame_number)
    return [
        Reference(source, tuple(sorted(numbers)) if len(numbers) < int(source.get("NumberOfFrames") or 1) else ())
        for source, numbers in found.values()
    ]
