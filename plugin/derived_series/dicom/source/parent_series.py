"""ParentSeries: the validated parent, in geometric order, with its grid and values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from derived_series.dicom.encoding.character_sets import keep_bytes, keep_bytes_in_sequences
from derived_series.dicom.encoding.read_errors import reading
from derived_series.dicom.encoding.tags import TagLike, describe, to_tag
from derived_series.dicom.grid import FARTHEST_MM, SAME_ANGLE_RADIANS, Affine, Grid
from derived_series.dicom.source.detached import Memo, detached
from derived_series.dicom.source.dictionary_vrs import read_by_dictionary
from derived_series.dicom.source.file_meta import disagreements
from derived_series.dicom.source.files import save
from derived_series.dicom.source.gradients import Gradients, gradients_of
from derived_series.dicom.source.instances import (
    check_frame_of_reference,
    check_identity,
    check_images,
    drop_wrong_frames_of_reference,
    is_dicom,
    read_file,
    read_instance,
    varying_tags,
)
from derived_series.dicom.source.multiframe.concatenation import missing_parts
from derived_series.dicom.source.multiframe.split import split_into_slices
from derived_series.dicom.source.multiframe.value_mapping import ambiguous_mapping
from derived_series.dicom.source.odd_pixels import odd_pixels
from derived_series.dicom.source.pixels import FORMAT_TAGS, LastMosaic, PixelFormat, are_plain, stored_frame
from derived_series.dicom.source.selection import ALL, Selection, choose
from derived_series.dicom.source.slices import ParentSlices
from derived_series.dicom.source.to_itk import sitk_image
from derived_series.dicom.source.volumes import Arrangement, arrange_volumes, time_step
from derived_series.errors import GeometryError, InvalidParent


@dataclass(frozen=True, slots=True, eq=False)
class ParentSeries:
    """One series of one patient: a volume, or several on the same grid (4D: functional and diffusion MR, dynamic PET).

    :param instances: single-frame instances, frames of multi-frame ones (``FrameDataset``) or tiles of mosaics,
        volume after volume, the slices of each ascending along the normal: slice k of volume t is
        ``instances[t * slices_per_volume + k]``. Slices are ordered by position, never by InstanceNumber or arrival,
        and volumes by ``volume_key``.
    :param grid: the grid of one volume; None if the instances have no ImagePositionPatient.
    :param varying: the tags whose values differ between instances, or are missing in some.
    :param volumes: number of volumes; 1 for a series with one instance at each position.
    :param volume_key: the name of the key that tells apart and sorts the instances at one position (the first that
        fits of ``volumes.KEYS``); None for one volume.
    :param warnings: what was left out or corrected; the derived series passes the warnings on.
    :ivar as_stored: the pivot as stored, whatever is done to the instances later; it has the patient and the study.
    """

    instances: tuple[Dataset, ...]
    grid: Grid | None
    varying: frozenset[int]
    volumes: int = 1
    volume_key: str | None = None
    warnings: tuple[str, ...] = ()
    as_stored: Dataset = field(init=False, repr=False)

    def __post_init__(self) -> None:
        keep_bytes(self.instances, self.varying)
        object.__setattr__(self, "as_stored", detached(self.pivot, {}))

    def __repr__(self) -> str:
        """One line without a patient's data, for debuggers and logs."""
        size = f"{self.pivot.get('Rows')} x {self.pivot.get('Columns')}"
        return f"ParentSeries({self.modality}, {len(self.instances)} instances of {size}, volumes={self.volumes})"

    def detached(self) -> ParentSeries:
        """Copy the series with instances that can be changed; this one stays as stored."""
        memo: Memo = {}
        return replace(self, instances=tuple(detached(instance, memo) for instance in self.instances))

    @classmethod
    @reading("the parent's headers")
    def from_datasets(cls, datasets: Iterable[Dataset], selection: Selection = ALL) -> ParentSeries:
        """Make a series from datasets in any order: validate and sort them.

        :param selection: which orientation or part to take of a series that has several.
        :raises InvalidParent: there is no instance, or several series, sizes or SOP classes, or repeated
            SOPInstanceUIDs.
        :raises Conflict: there are several patients or studies.
        :raises GeometryError: there are several orientations, instances without a position, positions with different
            numbers of instances, or several instances at each position that nothing tells apart.
        """
        slices = list(datasets)
        header_warnings = read_by_dictionary(slices)
        keep_bytes_in_sequences(slices)
        varying = varying_tags(slices)
        keep_bytes(slices, varying)  # before any of their elements is used
        check_identity(slices, varying)
        header_warnings += drop_wrong_frames_of_reference(slices, varying)
        meta_warnings = (*header_warnings, *disagreements(slices))
        frames = split_into_slices(slices)
        if frames is not slices:
            meta_warnings = (*meta_warnings, *missing_parts(slices))
            slices = frames
            varying = varying_tags(slices)
        chosen, left_out = choose(slices, varying, selection)
        if len(chosen) < len(slices):
            slices = chosen
            varying = varying_tags(slices)
        check_images(slices, varying)
        placed = sum("ImagePositionPatient" in d and "ImageOrientationPatient" in d for d in slices)
        if 0 < placed < len(slices):
            raise GeometryError(
                f"{len(slices) - placed} of {len(slices)} instances have no ImagePositionPatient or "
                "ImageOrientationPatient: nothing tells where their slices are",
                remedy="give the instances that have both",
            )
        if placed:
            grid, arranged = _grid(slices, varying)
            instances = tuple(slices[i] for i in arranged.order)
            warnings = (*meta_warnings, *left_out, *check_frame_of_reference(slices, varying), *_stretched(slices[0]))
            warnings = (*warnings, *odd_pixels(slices, varying), *ambiguous_mapping(slices))
            return cls(instances, grid, varying, arranged.volumes, arranged.key, warnings)
        slices.sort(key=lambda d: int(d.get("InstanceNumber") or 0))
        return cls(tuple(slices), None, varying, warnings=(*meta_warnings, *left_out))

    @classmethod
    @reading("the series' headers")
    def from_objects(cls, parts: Iterable[bytes]) -> ParentSeries:
        """Read Part 10 files of any kind of object, without slices and grid.

        For segmentations of several segments, structures and reports that are inputs besides an image series.
        """
        objects = [read_instance(part, f"instance {i}") for i, part in enumerate(parts)]
        header_warnings = read_by_dictionary(objects)
        varying = varying_tags(objects)
        keep_bytes(objects, varying)
        check_identity(objects, varying)
        header_warnings += drop_wrong_frames_of_reference(objects, varying)
        objects.sort(key=lambda d: int(d.get("InstanceNumber") or 0))
        return cls(tuple(objects), None, varying, warnings=tuple(header_warnings))

    @classmethod
    def from_bytes(cls, parts: Iterable[bytes], selection: Selection = ALL, *, pixels: bool = True) -> ParentSeries:
        """Read complete Part 10 files in memory; ``pixels=False`` keeps only the headers."""
        datasets = [read_instance(part, f"instance {i}", pixels) for i, part in enumerate(parts)]
        return cls.from_datasets(datasets, selection)

    @classmethod
    def from_files(cls, paths: Iterable[Path], selection: Selection = ALL) -> ParentSeries:
        """Read Part 10 files whose pixels stay in the files: they are read when they are used, and not kept."""
        return cls.from_datasets([read_file(path) for path in paths], selection)

    @classmethod
    def from_folder(cls, folder: str | Path, selection: Selection = ALL) -> ParentSeries:
        """Read the DICOM files in a folder and below it; other files are skipped.

        :raises InvalidParent: it is not a folder, or has no DICOM file; see also ``from_datasets``.
        """
        path = Path(folder)
        if not path.is_dir():
            raise InvalidParent(f"{folder} is not a folder", remedy="name the folder that holds the parent series")
        files = sorted(f for f in path.rglob("*") if f.is_file() and f.name != "DICOMDIR" and is_dicom(f))
        if not files:
            raise InvalidParent(f"{folder} holds no DICOM file")
        return cls.from_datasets([read_instance(f.read_bytes(), f.name) for f in files], selection)

    def __len__(self) -> int:
        return len(self.instances)

    @property
    def pivot(self) -> Dataset:
        """The first instance along the normal, of the first volume; series-level values are read from it."""
        return self.instances[0]

    @property
    def slices_per_volume(self) -> int:
        """The number of slices of one volume."""
        return len(self.instances) // self.volumes

    @property
    def shape(self) -> tuple[int, ...]:
        """(slices, rows, columns), or (times, slices, rows, columns) for several volumes."""
        volume = (self.slices_per_volume, int(self.pivot.Rows), int(self.pivot.Columns))
        return volume if self.volumes == 1 else (self.volumes, *volume)

    @property
    def time_step(self) -> float | None:
        """Seconds from one volume to the next; None for one volume, or if the steps are not even."""
        return time_step(self.instances, self.volumes, self.volume_key)

    @property
    def series_instance_uid(self) -> str:
        """SeriesInstanceUID (0020,000E)."""
        return str(self.pivot.SeriesInstanceUID)

    @property
    def study_instance_uid(self) -> str:
        """StudyInstanceUID (0020,000D)."""
        return str(self.pivot.StudyInstanceUID)

    @property
    @reading("the parent's Modality (0008,0060)")
    def modality(self) -> str:
        """Modality (0008,0060); empty if it is missing."""
        return str(self.pivot.get("Modality", ""))

    def require_grid(self) -> Grid:
        """The grid of one volume. :raises GeometryError: the parent has no positions."""
        if self.grid is None:
            raise GeometryError(
                f"the parent series {self.series_instance_uid} has no ImagePositionPatient and "
                "ImageOrientationPatient: nothing tells where its slices are",
                remedy="use a blueprint without geometry (secondary_capture) and an array of the parent's shape",
            )
        return self.grid

    @property
    def affine_lps(self) -> Affine:
        """4x4, (slice, row, column, 1) -> LPS mm. :raises GeometryError: there are no positions, or uneven ones."""
        return self.require_grid().affine_lps

    @property
    def affine_ras(self) -> Affine:
        """4x4, (slice, row, column, 1) -> RAS mm. :raises GeometryError: there are no positions, or uneven ones."""
        return self.require_grid().affine_ras

    def is_constant(self, tag: TagLike) -> bool:
        """Whether all instances have the same value of a tag, or all lack it."""
        return int(to_tag(tag)) not in self.varying

    def _formats(self) -> list[PixelFormat]:
        """The pixel format of each instance; read once if all are alike."""
        if self.varying.isdisjoint(FORMAT_TAGS) and len(set(map(are_plain, self.instances))) == 1:
            return [PixelFormat.of(self.pivot)] * len(self)
        return [PixelFormat.of(instance) for instance in self.instances]

    def stored(self) -> npt.NDArray[Any]:
        """The stored values in the parent's shape and integer type (with samples in colour); any transfer syntax."""
        pairs = zip(self.instances, self._formats(), strict=True)
        last = LastMosaic()
        frames = np.stack([stored_frame(instance, pixel_format, last) for instance, pixel_format in pairs])
        return frames.reshape(self.shape + frames.shape[3:])

    def voxels(self) -> npt.NDArray[np.float32]:
        """The real-world values, in the parent's shape, with each slice's rescale applied (PS3.3 C.11.1)."""
        slices = self.slices()
        first = slices[0]  # before allocating: the header may announce any size
        values = np.empty(slices.shape, dtype=np.float32)
        values[0] = first
        for index in range(1, len(slices)):
            slices.read_into(index, values[index])
        return values.reshape(self.shape)

    def slices(self, only: Sequence[int] | None = None) -> ParentSlices:
        """The values of ``voxels`` slice by slice; NumpyFactory builds from them without holding the volume in memory.

        The slices of several volumes follow volume after volume.

        :param only: the indexes of the instances to use; by default all.
        """
        if only is not None:
            few = [self.instances[index] for index in only]
            return ParentSlices(few, [PixelFormat.of(instance) for instance in few])
        return ParentSlices(self.instances, self._formats())

    def to_nifti(self) -> Any:
        """Convert the real-world values to a nibabel Nifti1Image: (column, row, slice) or (column, row, slice, time).

        RAS+, mm; pixdim[4] is the time step in seconds, 0 where there is none.
        """
        affine = self.affine_ras[:, [2, 1, 0, 3]]
        image = nib.Nifti1Image(self.voxels().T, affine)
        if self.volumes > 1:
            image.header.set_xyzt_units("mm", "sec")
            image.header["pixdim"][4] = self.time_step or 0
        return image

    def to_sitk(self) -> Any:
        """Convert the real-world values to a SimpleITK image, if SimpleITK is installed; see ``source.to_itk``."""
        return sitk_image(self.voxels(), self.require_grid(), self.time_step)

    def gradients(self) -> Gradients:
        """The b-values and gradient directions of the volumes. :raises InvalidParent: see ``gradients_of``."""
        return gradients_of(self.instances[:: self.slices_per_volume])

    def save_dicom(self, folder: str | Path) -> tuple[Path, ...]:
        """Write the stored instances into a folder, each once; return the files."""
        return save(self.instances, Path(folder))


def _numbers(dataset: Dataset, keyword: str, count: int) -> list[float]:
    value = dataset.get(keyword)
    try:
        numbers = [float(v) for v in value]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != count or not np.all(np.abs(numbers) < FARTHEST_MM):
        raise GeometryError(
            f"{describe(to_tag(keyword))} of instance {dataset.SOPInstanceUID} is {value!r}, "
            f"not {count} numbers below {FARTHEST_MM:g}"
        )
    return numbers


def _stretched(dataset: Dataset) -> list[str]:
    """Warn of direction vectors whose length is not 1."""
    cosines = _numbers(dataset, "ImageOrientationPatient", 6)
    lengths = math.hypot(*cosines[:3]), math.hypot(*cosines[3:])
    if all(abs(length - 1) <= SAME_ANGLE_RADIANS for length in lengths):
        return []
    return [
        f"{describe(to_tag('ImageOrientationPatient'))} of the parent series has vectors of the lengths "
        f"{lengths[0]:.4g} and {lengths[1]:.4g} in place of 1: their directions were taken"
    ]


def _numbers_of_all(
    instances: list[Dataset], varying: frozenset[int], keyword: str, count: int
) -> npt.NDArray[np.float64]:
    """The numbers of a tag in all instances, (instance, number); read once if they are the same."""
    if int(to_tag(keyword)) in varying:
        return np.array([_numbers(dataset, keyword, count) for dataset in instances])
    return np.array([_numbers(instances[0], keyword, count)])


def _grid(instances: list[Dataset], varying: frozenset[int]) -> tuple[Grid, Arrangement]:
    """The grid of one volume, and the arrangement that sorts the instances into volumes along its normal."""
    orientations = _numbers_of_all(instances, varying, "ImageOrientationPatient", 6)
    spacings = _numbers_of_all(instances, varying, "PixelSpacing", 2)
    if np.ptp(spacings, axis=0).max() > 1e-4 or spacings.min() <= 0:
        raise GeometryError(f"PixelSpacing differs or is not positive: {np.unique(spacings, axis=0).tolist()} mm")
    row, column = orientations[0, :3], orientations[0, 3:]
    lengths = (float(np.linalg.norm(row)), float(np.linalg.norm(column)))
    if min(lengths) < 0.9 or max(lengths) > 1.1 or abs(row @ column) > 10 * SAME_ANGLE_RADIANS:
        raise GeometryError(
            f"ImageOrientationPatient is not two unit vectors at a right angle: {orientations[0].tolist()}"
        )
    row, column = row / lengths[0], column / lengths[1]
    positions = np.array([_numbers(d, "ImagePositionPatient", 3) for d in instances])
    along = positions @ np.cross(row, column)
    arranged = arrange_volumes(instances, varying, positions, along)
    first = positions[list(arranged.order[: arranged.slices])]
    grid = Grid(
        (float(row[0]), float(row[1]), float(row[2])),
        (float(column[0]), float(column[1]), float(column[2])),
        (float(spacings[0, 0]), float(spacings[0, 1])),
        tuple((float(x), float(y), float(z)) for x, y, z in first),
        int(instances[0].Rows),
        int(instances[0].Columns),
    )
    return grid, arranged
