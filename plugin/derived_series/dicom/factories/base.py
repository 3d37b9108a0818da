"""DicomFactory: makes a derived series from a parent, a blueprint and an image."""

from __future__ import annotations

import math
import tokenize
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy_format
from pydicom.dataset import Dataset
from pydicom.uid import UID

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.build_context import BuildContext
from derived_series.dicom.blueprints.copy_elements import GridCopyElement
from derived_series.dicom.blueprints.environment import SeriesEnvironment
from derived_series.dicom.blueprints.filling import FillingStrategy
from derived_series.dicom.blueprints.space import FrameChoice, in_space
from derived_series.dicom.blueprints.where_placed import WherePlacedElement
from derived_series.dicom.factories.image_files import CUT_OFF, require
from derived_series.dicom.grid import Grid
from derived_series.dicom.image.frame_of_reference import FrameOfReference
from derived_series.dicom.image.from_itk import is_sitk, placed_image
from derived_series.dicom.image.placement import PlacedImage, Placement, on_parent, place, without_geometry
from derived_series.dicom.image.resampling import Resampling, resample
from derived_series.dicom.image.stored_pixels import require_encodable
from derived_series.dicom.modules.segmentation import segments
from derived_series.dicom.objects import builder_of
from derived_series.dicom.objects.structures import Labels
from derived_series.dicom.series.classic import build_series
from derived_series.dicom.series.header import SeriesHeader, make_header
from derived_series.dicom.series.interface import Series
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.dicom.source.slices import ParentSlices
from derived_series.errors import Advice, Choice, GeometryError, InvalidImage, PixelError, ShapeMismatch
from derived_series.kinds import kind_of, sop_class
from derived_series.kinds.file_types import NPY, ZIP

#: The tags that say where an image is.
_OF_PLACE = ("ImagePositionPatient", "FrameOfReferenceUID")
#: What numpy raises for broken files, whose headers it parses as Python literals.
_READ_ERRORS = (
    ValueError,
    OSError,
    EOFError,
    TypeError,
    OverflowError,
    SyntaxError,
    tokenize.TokenError,
    RecursionError,
    MemoryError,
    zipfile.BadZipFile,
)


class DicomFactory:
    """Makes headers from parents and series from headers. Override ``arrange`` for another kind of image.

    A factory holds only settings, so threads can share it.

    :param nan: what NaN and Inf are replaced by; None refuses them.
    """

    nan: float | None = None  # for a subclass whose constructor does not call this one

    def __init__(self, *, nan: float | None = None):
        self.nan = nan

    def make_series_header(
        self,
        parent: ParentSeries | Iterable[Dataset],
        blueprint: Blueprint,
        strategy: FillingStrategy = FillingStrategy.DISCARD,
        context: BuildContext | None = None,
    ) -> SeriesHeader:
        """Make the header of a derived series, before its image is known.

        :param parent: the parent series, or its datasets in any order.
        :raises HeaderError: the parent lacks tags; the error names all of them.
        """
        series = parent if isinstance(parent, ParentSeries) else ParentSeries.from_datasets(parent)
        return make_header(SeriesEnvironment(series, self, context or BuildContext()), blueprint, strategy)

    def arrange(self, header: SeriesHeader, image: Any) -> tuple[npt.NDArray[Any], Placement]:
        """Turn the image into a (slice, row, column) or (time, slice, row, column) array with its place in space.

        :raises InvalidImage: the factory does not take such an image. :raises ShapeMismatch: it has a wrong shape.
        :raises GeometryError: its place in space cannot be right.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what its images are: define arrange()")

    @classmethod
    def read(cls, path: str | Path) -> Any:
        """Read the image in a file, for ``build``. :raises InvalidImage: the file is not an image."""
        raise InvalidImage(f"{cls.__name__} reads no files", remedy="use the numpy or the nifti factory")

    def arrange_on_parent(
        self, header: SeriesHeader, image: Any, how: Resampling
    ) -> tuple[npt.NDArray[Any], Placement]:
        """Resample the image to the parent's grid, unless it is on the parent's planes already.

        :return: like ``arrange``, with the parent's (slice, row, column).
        :raises GeometryError: the image has no place in space, or is in another frame of reference.
        """
        array, placement = self.arrange(header, image)
        if placement.on_parent_grid:
            return array, placement
        if placement.grid is None:
            raise GeometryError(
                "nothing tells where the image is: it cannot be resampled to the parent's grid",
                remedy="give a NIfTI file or a PlacedImage, and a blueprint with geometry",
            )
        _require_parents_frame(header, placement)
        return resample(array, placement.grid.affine_lps, header.parent, header.sop_class_uid, how)

    def own_image(self, parent: ParentSeries) -> Any:
        """The parent's own real-world values as an image for ``build``, an array (slice, row, column)."""
        return parent.slices()

    def build(
        self,
        header: SeriesHeader,
        image: Any,
        *,
        nan: float | None = None,
        resampling: Resampling | None = None,
        frame_of_reference: FrameChoice = "Parent",
    ) -> Series:
        """Build the derived series from a header and an image; classic instances are made when they are accessed.

        It has the header's SeriesInstanceUID. Each build has new SOPInstanceUIDs, unless the context has a seed.

        :param nan: what NaN and Inf are replaced by in this build; by default the factory's ``nan``.
        :param resampling: how to resample an image on another grid to the parent's; None leaves it on its own grid.
        :param frame_of_reference: ``"New"`` for an image that is not in the patient's space but, say, in MNI's.
        :raises GeometryError: the image does not overlap the parent, or lacks a place where one is needed.
        :raises ShapeMismatch: the array has no grid, and another shape than the parent.
        :raises PixelError: the values cannot be stored: NaN, Inf, or a type that is not numeric.
        :raises HeaderError: the image leaves required tags without a value.
        """
        if isinstance(image, Labels):
            header, image = _described(header, image), image.array
        kind = kind_of(header.sop_class_uid, header.blueprint)
        if resampling is not None and kind is not None and kind.made_from == "Labels":
            resampling = replace(resampling, interpolation=resampling.interpolation or "Nearest")
        if resampling is None:
            array, placement = self.arrange(header, image)
        elif frame_of_reference == "New":
            raise GeometryError(
                "an image on the parent's grid has the parent's frame of reference",
                remedy="choose the parent's grid or a new frame of reference, not both",
                advice=Advice(Choice.PARENT_FRAME),
            )
        else:
            array, placement = self.arrange_on_parent(header, image, resampling)
        chosen = self.nan if nan is None else nan
        builder = builder_of(header.sop_class_uid, header.blueprint)
        ready = fresh(header)
        placed = any(keyword in header.blueprint for keyword in _OF_PLACE)
        placement = in_space(placement, ready.env, frame_of_reference, placed=placed)
        if builder is not None:
            return builder.build(ready, array, placement, chosen)
        return build_series(ready, array, placement, chosen)

    def build_from_header(self, header: SeriesHeader, image: Any) -> list[Dataset]:
        """Build the series and return its instances as datasets, ascending along the normal."""
        return list(self.build(header, image))


def fresh(header: SeriesHeader) -> SeriesHeader:
    """Give the header a seed, so that an instance has the same UID each time it is made."""
    if header.env.context.uid_seed is not None:
        return header
    return replace(header, env=replace(header.env, context=header.env.context.seeded()))


def _described(header: SeriesHeader, labels: Labels) -> SeriesHeader:
    """Add to the header the segments that the labels describe, where the blueprint describes none."""
    if "SegmentSequence" in header.blueprint:
        return header
    described = segments(*labels.segments)
    element = described["SegmentSequence"]
    elements = {**header.elements, element.key: element.data_element(element.at_header(header.env))}
    return replace(header, blueprint=header.blueprint + described, elements=elements)


def _require_parents_frame(header: SeriesHeader, placement: Placement) -> None:
    """Refuse an image on an input in another frame of reference. :raises GeometryError: it is on one."""
    on = header.env.inputs.get(placement.on or "", header.parent)
    if FrameOfReference.of(on).uid != FrameOfReference.of(header.parent).uid:
        raise GeometryError(
            f"the image is in the frame of reference of the input {placement.on!r}, which is not the parent's: it "
            "cannot be resampled to the parent's grid",
            remedy="leave it on its own grid",
            advice=Advice(Choice.OWN_GRID),
        )


class NumpyFactory(DicomFactory):
    """Takes numpy arrays: (slice, row, column) on the parent's grid, slices ascending along the normal.

    (time, slice, row, column) is a series of volumes; if the parent has as many, each comes from the parent's volume of
    the same index. (row, column) is one slice. Values are bool, integers or floats. A ``PlacedImage`` and a SimpleITK
    image bring their own grid.
    """

    def arrange(self, header: SeriesHeader, image: Any) -> tuple[npt.NDArray[Any], Placement]:
        """Place the array on the parent's grid, or its own.

        :raises ShapeMismatch: its shape is not the grid's. :raises InvalidImage: its grid is not a Grid.
        """
        parent = header.parent
        if is_sitk(image):
            image = placed_image(image)
        if isinstance(image, PlacedImage):
            if not isinstance(image.grid, Grid):
                raise InvalidImage(
                    f"the grid of the PlacedImage is of the type {type(image.grid).__name__}, not a Grid",
                    remedy="make one of an affine, Grid.from_affine(affine_lps, array.shape), or of the parent's",
                )
            array = _volume(image.array)
            if array.shape[-3:] != image.grid.shape:
                raise ShapeMismatch(f"the array's shape is {array.shape}, its grid's {image.grid.shape}")
            return array, replace(place(image.grid, parent, _volumes(array)), on=image.on)
        colour = _colour(header, image)
        if colour is not None:
            same = colour.shape[:3] == parent.shape
            return colour, on_parent(parent) if same else without_geometry(parent, len(colour))
        array = _volume(image)
        if array.shape[-3:] == parent.shape[-3:]:
            return array, on_parent(parent, _volumes(array))
        if isinstance(image, ParentSlices) and len(image) == len(parent):
            return array, on_parent(parent)
        if not _has_geometry(header):
            return array, without_geometry(parent, math.prod(array.shape[:-2]), _volumes(array))
        axes = "(slices, rows, columns)" if array.ndim == 3 else "(times, slices, rows, columns)"
        raise ShapeMismatch(
            f"the image's shape {axes} is {array.shape}, the parent series' is {parent.shape}",
            remedy="give an array of the parent's shape in the order (slice, row, column), or a NIfTI file or "
            "PlacedImage with a grid of its own",
        )

    @staticmethod
    def read(path: str | Path) -> npt.NDArray[Any]:
        """Memory-map a .npy file of any shape. :raises InvalidImage: it is not a .npy file, or holds objects."""
        require(path, NPY, ZIP, reader="numpy")
        try:
            with np.errstate(over="ignore"):  # a header may announce any size
                array = np.load(path, mmap_mode="r", allow_pickle=False)
            if isinstance(array, np.ndarray):
                return array
            array.close()
            raise InvalidImage("the image is an archive of arrays (.npz)", remedy="write one array with numpy.save")
        except _READ_ERRORS as error:
            if _is_cut_off(path):
                raise InvalidImage("the .npy file is shorter than its header says", remedy=CUT_OFF) from error
            raise InvalidImage(
                f"the image is not a readable .npy file: {error}", remedy="write it with numpy.save(file, array)"
            ) from error


def _is_cut_off(path: str | Path) -> bool:
    """Whether a .npy file has a readable header but ends before its array does."""
    read = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}
    try:
        with Path(path).open("rb") as file:
            shape, _, dtype = read[npy_format.read_magic(file)](file)
            return Path(path).stat().st_size < file.tell() + math.prod(shape) * dtype.itemsize
    except (*_READ_ERRORS, LookupError):
        return False


def _volume(image: Any) -> npt.NDArray[Any]:
    """The image as a non-empty 3D array, or 4D if it has several volumes."""
    if isinstance(image, ParentSlices):
        return cast("npt.NDArray[Any]", image)  # it behaves like an array as far as needed
    if isinstance(image, np.ma.MaskedArray):
        raise InvalidImage("the image is a masked array", remedy="say what stands for masked voxels: image.filled(0)")
    try:
        array: npt.NDArray[Any] = np.asarray(image)
    except (ValueError, TypeError, RuntimeError) as error:  # tensors of a GPU, or of a graph that is to be derived
        raise InvalidImage(f"the image is not an array: {error}", remedy="give a numpy array") from error
    if array.ndim == 0 and array.dtype.kind in "OSU":
        raise InvalidImage(
            f"the image is not an array, but of the type {type(image).__name__}",
            remedy="give a numpy array, or an image of nibabel to NiftiFactory",
        )
    if array.ndim == 2:
        array = array[np.newaxis]
    require_encodable(array.dtype)
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise ShapeMismatch(
            f"an image is (slice, row, column), (time, slice, row, column) or (row, column), "
            f"this one has the shape {array.shape}",
            remedy="give a 3D volume, or a 4D series of volumes, without empty axes",
        )
    return array[0] if array.ndim == 4 and len(array) == 1 else array


def _colour(header: SeriesHeader, image: Any) -> npt.NDArray[np.uint8] | None:
    """The image as (slice, row, column, sample) if it is RGB, else None.

    :raises ShapeMismatch: it is RGB, but the class has no colour. :raises PixelError: it is RGB, but not uint8.
    """
    if not isinstance(image, np.ndarray) or isinstance(image, np.ma.MaskedArray) or image.ndim not in (3, 4):
        return None
    _require_values_last_of_none(image, header.parent.shape)
    if image.shape[-1] != 3:
        return None
    shape = header.parent.shape
    has_colour = sop_class(header.sop_class_uid).colour
    if image.shape[-3:] == shape[-3:]:  # three columns, not three samples
        return None
    if image.ndim == 3 and not (has_colour and image.shape[:2] == shape[-2:]):  # one picture only of the parent's size
        return None
    if image.ndim == 4 and not (has_colour or image.shape[:3] == shape[-3:]):
        return None
    require_colour(header, image.shape)
    if image.dtype != np.uint8:
        raise PixelError(f"a colour image is uint8, this one is {image.dtype}", remedy="scale it to 0 to 255")
    return image if image.ndim == 4 else image[np.newaxis]


def _require_values_last_of_none(image: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    """Refuse several values a voxel other than RGB samples, such as RGBA. :raises ShapeMismatch: there are some."""
    several = image.shape[-1] != 3 and image.shape[-3:] != shape[-3:]
    if several and (image.shape[:-1] == shape[-3:] or (shape[-3] == 1 and image.shape[:-1] == shape[-2:])):
        raise ShapeMismatch(
            f"the image's shape is {image.shape}: it has {image.shape[-1]} values a voxel, and the parent series is "
            f"{shape[-3:]}",
            remedy="give one of them, or RGB as (slice, row, column, 3); of several volumes time is the first axis",
        )


def require_colour(header: SeriesHeader, shape: tuple[int, ...]) -> None:
    """Refuse an RGB image of this shape for a class without colour. :raises ShapeMismatch: the class has none."""
    if not sop_class(header.sop_class_uid).colour:
        raise ShapeMismatch(
            f"the image's shape is {shape}: it is in colour, which a {UID(header.sop_class_uid).name} is not",
            remedy="use the blueprint secondary_capture, or give one value a pixel",
        )


def _volumes(array: npt.NDArray[Any]) -> int:
    return int(array.shape[0]) if array.ndim == 4 else 1


def _has_geometry(header: SeriesHeader) -> bool:
    """Whether the image must have a place in space."""
    of_place = [header.blueprint[keyword] for keyword in _OF_PLACE if keyword in header.blueprint]
    return any(not isinstance(element, WherePlacedElement | GridCopyElement) for element in of_place)
