"""NiftiFactory: makes derived series from NIfTI images, placed by their affine."""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from nibabel.spatialimages import HeaderDataError

from derived_series.dicom.blueprints.space import require_patient_space
from derived_series.dicom.factories.base import DicomFactory, NumpyFactory, require_colour
from derived_series.dicom.factories.image_files import CUT_OFF, require
from derived_series.dicom.factories.nifti_space import require_scalars, says_where, template_of, two_places
from derived_series.dicom.grid import FARTHEST_MM, LPS_TO_RAS, Affine, Grid
from derived_series.dicom.image.placement import Placement, on_parent, place, tolerance
from derived_series.dicom.image.resampling import Resampling, resample
from derived_series.dicom.series.header import SeriesHeader
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.errors import GeometryError, InvalidImage, PixelError, ShapeMismatch
from derived_series.kinds.file_types import GZIP, NIFTI

_READ_ERRORS = (
    ImageFileError,
    HeaderDataError,
    OSError,
    EOFError,
    ValueError,
    zlib.error,
    KeyError,
    OverflowError,
)


#: The samples of NIfTI's RGB24.
_RGB = ("R", "G", "B")


class NiftiFactory(DicomFactory):
    """Takes NIfTI-1 and -2 images (nibabel), .nii and .nii.gz, in any orientation; scl_slope and scl_inter are applied.

    The affine alone decides where the image is. On the parent's grid every slice is matched with its parent slice;
    elsewhere the positions come from the affine, with axes as near to the parent's as the image's own axes allow. A
    fourth axis is time: if the parent has as many volumes, each comes from the parent's volume of the same index.
    """

    def arrange(self, header: SeriesHeader, image: Any) -> tuple[npt.NDArray[Any], Placement]:
        """Turn the image into a (slice, row, column) array, or (time, slice, row, column), placed by its affine.

        :raises GeometryError: the affine is singular, sheared or not orthogonal; the error names the angle.
        """
        if header.parent.grid is None and isinstance(image, nib.spatialimages.SpatialImage) and not says_where(image):
            return _as_stored(header, image)
        array, affine_lps = self._oriented(header, image)
        placement = _placement(affine_lps, array.shape, header.parent)
        return _in_samples(header, array), _with_header(placement, image)

    def arrange_on_parent(
        self, header: SeriesHeader, image: Any, how: Resampling
    ) -> tuple[npt.NDArray[Any], Placement]:
        """Resample the image to the parent's (slice, row, column) grid; its affine may be sheared or oblique."""
        array, affine_lps = self._oriented(header, image)
        require_patient_space(template_of(image))
        try:
            placement = _placement(affine_lps, array.shape, header.parent)
        except GeometryError:  # no grid of its own, and none is needed
            placement = None
        if placement is None or not placement.on_parent_grid:
            array, placement = resample(array, affine_lps, header.parent, header.sop_class_uid, how)
        return _in_samples(header, array), _with_header(placement, image)

    @staticmethod
    def _oriented(header: SeriesHeader, image: Any) -> tuple[npt.NDArray[Any], Affine]:
        if not isinstance(image, nib.spatialimages.SpatialImage):
            raise InvalidImage(f"NiftiFactory builds from nibabel images, not from {type(image).__name__}")
        require_scalars(image)
        if len(image.shape) == 2 and header.parent.slices_per_volume > 1:
            raise ShapeMismatch(
                f"the NIfTI image has the shape {image.shape}, one slice, but the parent series has "
                f"{header.parent.slices_per_volume}: a derived series is made from 3D, or 4D with a time axis",
                remedy="write the slice as (columns, rows, 1) with the affine of its place",
            )
        return oriented(image, _frame(header))

    def own_image(self, parent: ParentSeries) -> Any:
        """The parent as a NIfTI image: its values and its affine."""
        return parent.to_nifti()

    @staticmethod
    def read(path: str | Path) -> Any:
        """Read a .nii or .nii.gz file as a nibabel image. :raises InvalidImage: it is not one."""
        require(path, NIFTI, GZIP, reader="nifti")
        try:
            return _unpacked(Path(path)) if Path(path).suffix == ".gz" else nib.load(path)
        except EOFError as error:
            raise InvalidImage("the compressed NIfTI file ends before its end mark", remedy=CUT_OFF) from error
        except _READ_ERRORS as error:
            raise InvalidImage(
                f"the image is not a readable NIfTI file: {str(error).replace(str(path), Path(path).name)}",
                remedy="write it with nibabel.save(image, 'x.nii.gz')",
            ) from error


def _in_samples(header: SeriesHeader, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """View RGB24 as (slice, row, column, sample); other types stay unchanged.

    :raises PixelError: colours that no image has: with an opacity, or several volumes of them.
    """
    if array.dtype.names is None:
        return array
    if array.dtype.names != _RGB or array.ndim != 3:
        samples = "".join(array.dtype.names)
        volumes = f" in {len(array)} volumes" if array.ndim == 4 else ""
        raise PixelError(
            f"the NIfTI image is in colour, {samples}{volumes}: a derived series in colour is one volume of RGB",
            remedy="write it as RGB24 (the NIfTI data type 128), one volume a file",
        )
    array = np.stack([array[sample] for sample in _RGB], axis=-1)
    require_colour(header, array.shape)
    return array


def _placement(affine_lps: Affine, shape: tuple[int, ...], parent: ParentSeries) -> Placement:
    """Place the image by its affine. :raises GeometryError: off the parent's grid, an affine that is not orthogonal."""
    volumes = shape[0] if len(shape) == 4 else 1
    if parent.grid is not None and parent.grid.is_regular and shape[-3:] == parent.grid.shape:
        if _same_grid(affine_lps, parent.grid):
            return on_parent(parent, volumes)
    return place(Grid.from_affine(affine_lps, shape[-3:]), parent, volumes)


def _as_stored(header: SeriesHeader, image: Any) -> tuple[npt.NDArray[Any], Placement]:
    """Take the axes of an image without a place as (column, row, slice), for a parent without positions.

    By NIfTI-1, the axes of a file without sform and qform have no direction in space.
    """
    require_scalars(image)
    array, placement = NumpyFactory().arrange(header, _in_samples(header, _values(image).T))
    problem = "the NIfTI image does not say how its axes lie (sform_code and qform_code are 0), nor does the parent"
    return array, replace(placement, warnings=(f"{problem}: they were taken as column, row and slice",))


def _with_header(placement: Placement, image: Any) -> Placement:
    """Add what the NIfTI header says about space and time."""
    return replace(_timed(placement, image), template=template_of(image), warnings=two_places(image))


def _timed(placement: Placement, image: Any) -> Placement:
    """Add the time step of a 4D image (pixdim[4]) if its header names the unit: many writers just put 1 there."""
    if placement.volumes == 1 or len(image.shape) != 4 or not isinstance(image, nib.Nifti1Pair):
        return placement
    second = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}.get(image.header.get_xyzt_units()[1])
    step = float(image.header["pixdim"][4])
    if second is None or not (0 < step < math.inf):
        return placement
    return replace(placement, time_step=round(step * second, 6))


def _unpacked(path: Path) -> Any:
    """Read a compressed file to its end, where its checksum is."""
    most = 2 * announced_size(path) + (1 << 20)
    with gzip.open(path) as file:
        data = file.read(most)
    if len(data) == most:
        raise InvalidImage(f"the image unfolds to {most} bytes and more, which is not what its header says")
    kind = (
        nib.Nifti1Image if nib.Nifti1Header.may_contain_header(data[: nib.Nifti1Header.sizeof_hdr]) else nib.Nifti2Image
    )
    return kind.from_bytes(data)


def _millimetres(image: Any) -> Affine:
    """The affine in mm, converted from the header's unit (NIfTI-1 xyzt_units); mm if it names none."""
    affine = np.array(image.affine, dtype=np.float64)
    try:
        unit = image.header.get_xyzt_units()[0] if isinstance(image, nib.Nifti1Pair) else "mm"
    except KeyError as error:
        raise InvalidImage(f"xyzt_units of the NIfTI image's header has no meaning: {error}") from error
    affine[:3] *= {"meter": 1000.0, "micron": 0.001}.get(unit, 1.0)
    return affine


def announced_size(path: Path) -> int:
    """The memory in bytes that a file will need by its header: what precedes the voxels, and the voxels as float64.

    Only the header is read: a small compressed file may unfold to any size.

    :raises InvalidImage: it is not a NIfTI file.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            start = file.read(nib.Nifti2Header.sizeof_hdr)
        kind: Any
        for kind in (nib.Nifti1Header, nib.Nifti2Header):
            if kind.may_contain_header(start):
                header = kind(start[: kind.sizeof_hdr], check=False)
                shape = [int(n) for n in header.get_data_shape()]
                if min(shape, default=0) < 0:
                    raise InvalidImage(f"the NIfTI image's header announces the shape {tuple(shape)}")
                voxels = math.prod(shape)
                return int(header["vox_offset"]) + voxels * np.dtype(np.float64).itemsize
    except _READ_ERRORS as error:
        raise InvalidImage(f"the image is not a readable NIfTI file: {error}") from error
    raise InvalidImage(
        "the image is not a NIfTI file: it does not begin with its header",
        remedy="write it with nibabel.save(image, 'x.nii.gz')",
    )


def _frame(header: SeriesHeader) -> Affine:
    """The RAS directions, as columns (slice, row, column), to which the image's axes are brought near."""
    grid = header.parent.grid
    if grid is None:  # an axial stack, as a viewer expects one
        axes = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]], dtype=np.float64)
    else:
        axes = np.array([grid.normal, grid.column_cosines, grid.row_cosines])
    frame = np.eye(4)
    frame[:3, :3] = LPS_TO_RAS[:3, :3] @ axes.T
    return frame


def oriented(image: Any, frame_ras: Affine) -> tuple[npt.NDArray[Any], Affine]:
    """Reorder an image to (slice, row, column) or (time, slice, row, column) along a frame's axes; with its LPS affine.

    :param frame_ras: 4x4, its columns are the RAS directions of growing slice, row and column index.
    """
    if image.affine is None or not np.all(np.abs(image.affine) < FARTHEST_MM):
        raise GeometryError("the NIfTI image has no usable affine", remedy="set its sform or qform")
    if not says_where(image):
        # the affine is nibabel's guess then, from the voxel sizes and with the origin in the middle
        is_nifti = isinstance(image, nib.Nifti1Pair)
        lacking = "has neither sform nor qform (both codes are 0)" if is_nifti else "is of the format Analyze 7.5"
        raise GeometryError(
            f"the {'NIfTI ' if is_nifti else ''}image {lacking}: nothing tells where it is",
            remedy="write it with the affine of the parent: nibabel.Nifti1Image(array, affine)",
        )
    affine = _millimetres(image)
    if abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise GeometryError(f"the NIfTI image's affine is singular: {affine.tolist()}")
    array = _values(image)
    # io_orientation gives for each axis of the image the nearest axis of the frame, and its sign
    orientation = io_orientation(np.linalg.inv(frame_ras) @ affine)
    if np.isnan(orientation).any():
        raise GeometryError("the NIfTI image's axes cannot be told apart from its affine")
    affine_ras = affine @ inv_ornt_aff(orientation, array.shape[:3])
    turned = apply_orientation(array, orientation)
    return (turned if turned.ndim == 3 else np.moveaxis(turned, 3, 0)), LPS_TO_RAS @ affine_ras


def _values(image: Any) -> npt.NDArray[Any]:
    """The 3D or 4D values, scaled if the header says so; otherwise stored integers stay integers.

    Axes of length 1 after the third are dropped.
    """
    shape = (*image.shape, 1) if len(image.shape) == 2 else image.shape
    shape = shape[:3] + tuple(n for n in shape[3:] if n != 1)
    if len(shape) not in (3, 4) or 0 in shape:
        raise ShapeMismatch(
            f"the NIfTI image has the shape {image.shape}: a derived series is made from 3D, or 4D with a time axis",
            remedy="give one volume, or one series of volumes",
        )
    try:
        array = np.asanyarray(image.dataobj)
    except _READ_ERRORS as error:
        raise InvalidImage(
            "the values of the NIfTI image cannot be read: its file is shorter than its header says, or damaged",
            remedy=CUT_OFF,
            details=str(error),
        ) from error
    values: npt.NDArray[Any] = array.reshape(shape, order="A") if array.shape != shape else array
    return values


def _same_grid(affine_lps: Affine, grid: Grid) -> bool:
    """Whether the corners of both grids agree within the tolerance."""
    slices, rows, columns = (n - 1 for n in grid.shape)
    corners = np.array([[k, j, i, 1] for k in (0, slices) for j in (0, rows) for i in (0, columns)], dtype=np.float64).T
    off = (affine_lps - grid.affine_lps) @ corners
    return bool(np.linalg.norm(off[:3], axis=0).max() <= tolerance(grid))
