"""Compares two series that should be the same: images by their values, segmentations by their labels.

Slices are read one after the other, so that series of any size can be compared in little memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from derived_series.dicom.grid import Grid
from derived_series.dicom.objects.stored_segments import StoredSegments
from derived_series.dicom.source.parent_series import ParentSeries

#: The tolerance of positions and spacings in mm, and of the cosines of directions.
_SAME_MM, _SAME_COSINE = 0.01, 1e-4

Values = npt.NDArray[Any]


def compare_images(former: ParentSeries, new: ParentSeries) -> dict[str, Any]:
    """The figures of two image series, in real-world values.

    ``Geometry`` says how their positions differ; the other figures are missing then. ``Correlation`` is Pearson's, None
    if one series has a single value. ``LargestDifference`` is absolute, ``At`` its (slice, row, column), in 4D
    (time, ...). ``RelativeDifference`` is the root mean square of the difference divided by the former's standard
    deviation, None if the former has a single value.
    """
    geometry = _geometry(former, new)
    if geometry:
        figures = dict.fromkeys(("Correlation", "RelativeDifference", "LargestDifference", "At"))
        return {"Kind": "Images", "Geometry": geometry, **figures}
    sums = _Sums()
    for index, (one, other) in enumerate(_slices(former, new)):
        sums.add(index, one, other)
    first = [int(each) for each in np.unravel_index(sums.largest_slice, former.shape[:-2])]
    return {
        "Kind": "Images",
        "Geometry": "",
        "Correlation": sums.correlation(),
        "RelativeDifference": sums.relative_difference(),
        "LargestDifference": sums.largest,
        "At": [*first, *sums.largest_place],
    }


def _slices(former: ParentSeries, new: ParentSeries) -> Iterator[tuple[Values, Values]]:
    if int(former.pivot.get("SamplesPerPixel") or 1) > 1 or int(new.pivot.get("SamplesPerPixel") or 1) > 1:
        one, other = (series.stored().astype(np.float64) for series in (former, new))
        rows, columns = former.shape[-2:]
        yield from zip(one.reshape(-1, rows, columns, 3), other.reshape(-1, rows, columns, 3), strict=True)
        return
    slices = former.slices(), new.slices()
    for index in range(len(slices[0])):
        yield slices[0][index], slices[1][index]


@dataclass(slots=True)
class _Sums:
    """The sums from which the figures of two images follow. The first slice's means are subtracted for precision."""

    count: int = 0
    one: float = 0.0
    other: float = 0.0
    one_squared: float = 0.0
    other_squared: float = 0.0
    both: float = 0.0
    difference_squared: float = 0.0
    largest: float = 0.0
    largest_slice: int = 0
    largest_place: tuple[int, ...] = (0, 0)
    means: tuple[float, float] | None = None

    def add(self, index: int, first: Values, second: Values) -> None:
        one, other = (np.nan_to_num(np.asarray(each, np.float64)) for each in (first, second))
        if self.means is None:
            self.means = float(one.mean()), float(other.mean())
        difference = np.abs(one - other)
        self.difference_squared += float(np.vdot(difference, difference))
        place = np.unravel_index(int(difference.argmax()), difference.shape)
        if float(difference[place]) > self.largest:
            self.largest = float(difference[place])
            self.largest_slice, self.largest_place = index, tuple(int(each) for each in place[:2])
        one, other = one - self.means[0], other - self.means[1]
        self.count += one.size
        self.one += float(one.sum())
        self.other += float(other.sum())
        self.one_squared += float(np.vdot(one, one))
        self.other_squared += float(np.vdot(other, other))
        self.both += float(np.vdot(one, other))

    def relative_difference(self) -> float | None:
        spread = self.one_squared - self.one**2 / self.count
        if spread <= 1e-12 * max(self.one_squared, 1e-300):
            return None
        return float(np.sqrt(self.difference_squared / spread))

    def correlation(self) -> float | None:
        one = self.one_squared - self.one**2 / self.count
        other = self.other_squared - self.other**2 / self.count
        if min(one, other) <= 1e-12 * max(self.one_squared, self.other_squared, 1e-300):
            return None
        together = self.both - self.one * self.other / self.count
        return float(np.clip(together / np.sqrt(one * other), -1, 1))


def _geometry(former: ParentSeries, new: ParentSeries) -> str:
    """How the positions of two series differ; empty if they do not."""
    if int(former.pivot.get("SamplesPerPixel") or 1) != int(new.pivot.get("SamplesPerPixel") or 1):
        return "one is in colour, the other is not"
    if former.shape != new.shape:
        return f"{_size(former)} and {_size(new)} voxels"
    if frames := _frames_of_reference(former.pivot, new.pivot):
        return frames
    if former.grid is None or new.grid is None:
        return "" if former.grid is new.grid else "only one of them says where its slices are"
    one, other = former.grid, new.grid
    far = float(np.abs(np.asarray(one.positions) - np.asarray(other.positions)).max())
    return _in_plane(one, other) or (f"their slices are up to {far:.2f} mm apart" if far > _SAME_MM else "")


def _frames_of_reference(former: Dataset, new: Dataset) -> str:
    """That two series have different frames of reference (PS3.3 C.7.4.1); empty if not."""
    one, other = (str(each.get("FrameOfReferenceUID") or "") for each in (former, new))
    return "their frames of reference (FrameOfReferenceUID) are not the same" if one and other and one != other else ""


def _size(series: ParentSeries) -> str:
    return " x ".join(map(str, series.shape))


def _in_plane(one: Grid | StoredSegments, other: Grid | StoredSegments) -> str:
    for axis in ("row_cosines", "column_cosines"):
        if np.abs(np.asarray(getattr(one, axis)) - np.asarray(getattr(other, axis))).max() > _SAME_COSINE:
            return "their slices have other directions"
    if np.abs(np.asarray(one.pixel_spacing) - np.asarray(other.pixel_spacing)).max() > _SAME_MM:
        spacings = (" x ".join(f"{mm:.3f}" for mm in each.pixel_spacing) for each in (one, other))
        return f"their pixels are {' and '.join(spacings)} mm apart"
    return ""


def compare_segmentations(former: Dataset, new: Dataset) -> dict[str, Any]:
    """The Dice coefficient of each label of two segmentations; fractional ones are cut at half of their maximum.

    A plane that one of them leaves out has none of its labels. ``Dice`` is by label, None for a label that neither has;
    ``Voxels`` has both numbers of voxels by label.
    """
    one, other = StoredSegments.of(former), StoredSegments.of(new)
    sizes = [(int(each.Rows), int(each.Columns)) for each in (former, new)]
    geometry = f"{sizes[0]} and {sizes[1]} rows and columns" if sizes[0] != sizes[1] else ""
    geometry = geometry or _frames_of_reference(former, new) or _in_plane(one, other)
    figures: dict[str, Any] = {"Kind": "Labels", "Geometry": geometry, "Dice": {}, "Voxels": {}}
    if geometry:
        return figures
    frames = _frames(one), _frames(other)
    if (apart := _apart(*frames)) > _SAME_MM:
        return {**figures, "Geometry": f"their slices are up to {apart:.2f} mm apart"}
    labels = sorted({int(item.SegmentNumber) for each in (one, other) for item in each.items})
    counts = {label: [0, 0, 0] for label in labels}
    for plane in sorted(frames[0].keys() | frames[1].keys()):
        first, second = (
            _masks(stored, by_plane.get(plane), sizes[0]) for stored, by_plane in zip((one, other), frames, strict=True)
        )
        for label in counts.keys() & (first.keys() | second.keys()):
            count = counts[label]
            count[0] += int(first[label].sum()) if label in first else 0
            count[1] += int(second[label].sum()) if label in second else 0
            count[2] += int((first[label] & second[label]).sum()) if label in first and label in second else 0
    figures["Dice"] = {str(label): 2 * both / (a + b) if a + b else None for label, (a, b, both) in counts.items()}
    figures["Voxels"] = {str(label): [a, b] for label, (a, b, _) in counts.items()}
    return figures


@dataclass(frozen=True, slots=True, eq=False)
class _Plane:
    position: npt.NDArray[np.float64]
    frames: list[int]


def _frames(stored: StoredSegments) -> dict[int, _Plane]:
    """The frames of each plane, by its distance along the normal in tenths of a mm."""
    planes: dict[int, _Plane] = {}
    for frame, position in enumerate(stored.positions):
        key = round(float(position @ stored.normal) * 10)
        planes.setdefault(key, _Plane(position, [])).frames.append(frame)
    return planes


def _apart(one: dict[int, _Plane], other: dict[int, _Plane]) -> float:
    """The largest distance in mm between planes at the same position along the normal, or else between the first."""
    shared = one.keys() & other.keys()
    pairs = [(one[key], other[key]) for key in shared] or [(one[min(one)], other[min(other)])]
    return max(float(np.linalg.norm(a.position - b.position)) for a, b in pairs)


def _masks(stored: StoredSegments, plane: _Plane | None, size: tuple[int, int]) -> dict[int, npt.NDArray[np.bool_]]:
    """The mask of each label in a plane."""
    masks: dict[int, npt.NDArray[np.bool_]] = {}
    for frame in () if plane is None else plane.frames:
        for label in stored.shown_in(frame):
            masks.setdefault(label, np.zeros(size, bool))
            masks[label] |= stored.mask(frame, label)
    return masks
