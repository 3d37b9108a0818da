"""The parent series: validated, in geometric order, with its grid and its values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from derived_series.dicom.geometry import SAME_ANGLE, SAME_POSITION_MM, Affine, Grid
from derived_series.dicom.instances import (
    check_identity,
    check_images,
    is_dicom,
    read_file,
    read_instance,
    varying_tags,
)
from derived_series.dicom.slices import ParentSlices
from derived_series.dicom.tags import TagLike, describe, to_tag
from derived_series.dicom.voxels import FORMAT_TAGS, PixelFormat, stored_frame
from derived_series.errors import GeometryError, InvalidParent


@dataclass(frozen=True, slots=True, eq=False)
class ParentSeries:
    """One series of one patient, its instances ascending along the normal.

    :param instances: single-frame instances; position, not InstanceNumber or arrival, gives their order.
    :param grid: where their slices are; None when the instances have no ImagePositionPatient.
    :param varying: the tags that not all instances have with the same value.
    """

    instances: tuple[Dataset, ...]
    grid: Grid | None
    varying: frozenset[int]

    @classmethod
    def from_datasets(cls, datasets: Iterable[Dataset]) -> ParentSeries:
        """Validate and sort.

        :raises InvalidParent: no instance, several series, sizes or SOP classes, repeated SOPInstanceUIDs.
        :raises Conflict: several patients or studies.
        :raises GeometryError: several orientations, two slices at one position, some without a position.
        """
        found = list(datasets)
        varying = varying_tags(found)
        check_identity(found, varying)
        check_images(found, varying)
        placed = sum("ImagePositionPatient" in d and "ImageOrientationPatient" in d for d in found)
        if 0 < placed < len(found):
            raise GeometryError(
                f"{len(found) - placed} of {len(found)} instances have no ImagePositionPatient or "
                "ImageOrientationPatient: nothing tells where their slices are",
                remedy="give the instances that have both",
            )
        if placed:
            grid, order = _grid(found, varying)
            return cls(tuple(found[i] for i in order), grid, varying)
        found.sort(key=lambda d: int(d.get("InstanceNumber") or 0))
        return cls(tuple(found), None, varying)

    @classmethod
    def from_bytes(cls, parts: Iterable[bytes], *, pixels: bool = True) -> ParentSeries:
        """From complete Part 10 files in memory; ``pixels=False`` keeps the headers alone."""
        return cls.from_datasets(read_instance(part, f"instance {i}", pixels) for i, part in enumerate(parts))

    @classmethod
    def from_files(cls, paths: Iterable[Path]) -> ParentSeries:
        """From Part 10 files that stay where they are: pixels are read when they are asked for, and not kept."""
        return cls.from_datasets(read_file(path) for path in paths)

    @classmethod
    def from_folder(cls, folder: str | Path) -> ParentSeries:
        """From the DICOM files of a folder and below it; other files are passed over."""
        path = Path(folder)
        if not path.is_dir():
            raise InvalidParent(f"{folder} is no folder", remedy="name the folder that holds the parent series")
        files = sorted(f for f in path.rglob("*") if f.is_file() and f.name != "DICOMDIR" and is_dicom(f))
        if not files:
            raise InvalidParent(f"{folder} holds no DICOM file")
        return cls.from_datasets(read_instance(f.read_bytes(), f.name) for f in files)

    def __len__(self) -> int:
        return len(self.instances)

    @property
    def pivot(self) -> Dataset:
        """The first instance along the normal; series-level values are read from it."""
        return self.instances[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        return (len(self.instances), int(self.pivot.Rows), int(self.pivot.Columns))

    @property
    def series_instance_uid(self) -> str:
        return str(self.pivot.SeriesInstanceUID)

    @property
    def study_instance_uid(self) -> str:
        return str(self.pivot.StudyInstanceUID)

    @property
    def modality(self) -> str:
        return str(self.pivot.get("Modality", ""))

    def require_grid(self) -> Grid:
        """:raises GeometryError: when the parent has no positions."""
        if self.grid is None:
            raise GeometryError(
                f"the parent series {self.series_instance_uid} has no ImagePositionPatient and "
                "ImageOrientationPatient: nothing tells where its slices are",
                remedy="use a blueprint without geometry (secondary_capture) and an array of the parent's shape",
            )
        return self.grid

    @property
    def affine_lps(self) -> Affine:
        """4x4, (slice, row, column, 1) -> LPS mm. :raises GeometryError: no or uneven positions."""
        return self.require_grid().affine_lps

    @property
    def affine_ras(self) -> Affine:
        """4x4, (slice, row, column, 1) -> RAS mm. :raises GeometryError: no or uneven positions."""
        return self.require_grid().affine_ras

    def is_constant(self, tag: TagLike) -> bool:
        """Whether all instances have the same value for the tag, or all lack it."""
        return int(to_tag(tag)) not in self.varying

    def _formats(self) -> list[PixelFormat]:
        """How each instance's pixels are to be read; looked up once where all are alike."""
        if self.varying.isdisjoint(FORMAT_TAGS):
            return [PixelFormat.of(self.pivot)] * len(self)
        return [PixelFormat.of(instance) for instance in self.instances]

    def stored(self) -> npt.NDArray[Any]:
        """The stored values, (slice, row, column), of the parent's integer type; any transfer syntax."""
        pairs = zip(self.instances, self._formats(), strict=True)
        return np.stack([stored_frame(instance, how) for instance, how in pairs])

    def voxels(self) -> npt.NDArray[np.float32]:
        """The real-world values, (slice, row, column), each slice's own rescale applied (PS3.3 C.11.1)."""
        found = np.empty(self.shape, dtype=np.float32)
        slices = self.slices()
        for index, out in enumerate(found):
            slices.read_into(index, out)
        return found

    def slices(self) -> ParentSlices:
        """The same as ``voxels``, a slice at a time: what NumpyFactory builds from without holding the volume."""
        return ParentSlices(self.instances, self._formats())

    def to_nifti(self) -> Any:
        """The real-world volume as a nibabel Nifti1Image: (column, row, slice), RAS+, mm."""
        affine = self.affine_ras[:, [2, 1, 0, 3]]
        return nib.Nifti1Image(self.voxels().transpose(2, 1, 0), affine)


def _numbers(dataset: Dataset, keyword: str, count: int) -> list[float]:
    value = dataset.get(keyword)
    try:
        numbers = [float(v) for v in value]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != count or not np.all(np.isfinite(numbers)):
        raise GeometryError(
            f"{describe(to_tag(keyword))} of instance {dataset.SOPInstanceUID} is {value!r}, not {count} numbers"
        )
    return numbers


def _numbers_of_all(found: list[Dataset], varying: frozenset[int], keyword: str, count: int) -> npt.NDArray[np.float64]:
    """(instance, number): read once where all instances have the same."""
    if int(to_tag(keyword)) in varying:
        return np.array([_numbers(dataset, keyword, count) for dataset in found])
    return np.array([_numbers(found[0], keyword, count)])


def _grid(found: list[Dataset], varying: frozenset[int]) -> tuple[Grid, list[int]]:
    """The grid and the order that sorts the instances along its normal."""
    orientations = _numbers_of_all(found, varying, "ImageOrientationPatient", 6)
    _check_one_orientation(orientations)
    spacings = _numbers_of_all(found, varying, "PixelSpacing", 2)
    if np.ptp(spacings, axis=0).max() > 1e-4 or spacings.min() <= 0:
        raise GeometryError(f"PixelSpacing differs or is not positive: {np.unique(spacings, axis=0).tolist()} mm")
    row, column = orientations[0, :3], orientations[0, 3:]
    lengths = (float(np.linalg.norm(row)), float(np.linalg.norm(column)))
    if min(lengths) < 0.9 or abs(row @ column) > 10 * SAME_ANGLE:
        raise GeometryError(
            f"ImageOrientationPatient is not two unit vectors at a right angle: {orientations[0].tolist()}"
        )
    row, column = row / lengths[0], column / lengths[1]
    positions = np.array([_numbers(d, "ImagePositionPatient", 3) for d in found])
    along = positions @ np.cross(row, column)
    order = [int(i) for i in np.argsort(along, kind="stable")]
    same = np.flatnonzero(np.diff(along[order]) < SAME_POSITION_MM)
    if len(same):
        raise GeometryError(
            f"{len(same)} slices share a position with the slice before, "
            f"the first at {positions[order[same[0]]].tolist()} mm",
            remedy="give a series with one slice at each position; split the time points or echoes first",
        )
    grid = Grid(
        (float(row[0]), float(row[1]), float(row[2])),
        (float(column[0]), float(column[1]), float(column[2])),
        (float(spacings[0, 0]), float(spacings[0, 1])),
        tuple((float(x), float(y), float(z)) for x, y, z in positions[order]),
        int(found[0].Rows),
        int(found[0].Columns),
    )
    return grid, order


def _check_one_orientation(orientations: npt.NDArray[np.float64]) -> None:
    groups: list[tuple[npt.NDArray[np.float64], int]] = []
    for orientation in orientations:
        for index, (known, count) in enumerate(groups):
            if np.abs(orientation - known).max() <= SAME_ANGLE:
                groups[index] = (known, count + 1)
                break
        else:
            groups.append((orientation, 1))
    if len(groups) > 1:
        named = "; ".join(f"{count} x {np.round(o, 4).tolist()}" for o, count in groups[:6])
        raise GeometryError(
            f"the parent has {len(groups)} orientations (ImageOrientationPatient): {named}",
            remedy="give a series of one orientation; localizers are no volume",
        )
