"""The factories for each kind of object: they take an image or document and make that kind of object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import nibabel as nib
import numpy.typing as npt
from pydicom.dataset import Dataset

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.build_context import BuildContext
from derived_series.dicom.blueprints.filling import FillingStrategy
from derived_series.dicom.blueprints.space import FrameChoice
from derived_series.dicom.factories.base import DicomFactory, NumpyFactory, fresh
from derived_series.dicom.factories.image_files import require
from derived_series.dicom.factories.nifti import NiftiFactory
from derived_series.dicom.image.placement import Placement
from derived_series.dicom.image.resampling import Resampling
from derived_series.dicom.objects import file_builder_of
from derived_series.dicom.series.finished import FinishedSeries
from derived_series.dicom.series.header import SeriesHeader
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.errors import Advice, Choice, GeometryError, HeaderError, InvalidImage, InvalidOption, Missing
from derived_series.kinds import KINDS, file_type, kind_of, kinds_of_factory
from derived_series.kinds.file_types import FileType


class ObjectFactory(DicomFactory):
    """Makes one kind of object from numpy arrays, PlacedImages and NIfTI images.

    :cvar name: the name that chooses the factory.
    :cvar sop_classes: the SOP classes that a header may have; by default those of the kinds that name this factory, or
        all if none does.
    """

    name: ClassVar[str] = ""
    sop_classes: ClassVar[tuple[str, ...]] = ()

    def make_series_header(
        self,
        parent: ParentSeries | Iterable[Dataset],
        blueprint: Blueprint,
        strategy: FillingStrategy = FillingStrategy.DISCARD,
        context: BuildContext | None = None,
    ) -> SeriesHeader:
        """Make the header. :raises HeaderError: also when the blueprint is for another kind of object."""
        header = super().make_series_header(parent, blueprint, strategy, context)
        kinds = kinds_of_factory(self.name)
        uids = self.sop_classes or tuple(row.uid for kind in kinds for row in kind.sop_classes)
        is_other = not self.sop_classes and bool(kinds) and kind_of(header.sop_class_uid, header.blueprint) not in kinds
        if (uids and header.sop_class_uid not in uids) or is_other:
            class_name = header["SOPClassUID"].value.name
            reason = (
                f"{type(self).__name__} makes no {class_name}: the blueprint and the factory are of different kinds"
            )
            raise HeaderError([Missing(0x00080016, "SOPClassUID", reason)], where=f"the header of {blueprint.name!r}")
        return header

    def arrange(self, header: SeriesHeader, image: Any) -> tuple[npt.NDArray[Any], Placement]:
        """Turn the image into a (slice, row, column) array with its place, as NumpyFactory or NiftiFactory does."""
        return _factory(image).arrange(header, image)

    def arrange_on_parent(
        self, header: SeriesHeader, image: Any, how: Resampling
    ) -> tuple[npt.NDArray[Any], Placement]:
        """Resample the image to the parent's grid, as a (slice, row, column) array."""
        return _factory(image).arrange_on_parent(header, image, how)

    @staticmethod
    def read(path: str | Path) -> Any:
        """Read a .npy, .nii or .nii.gz file. :raises InvalidImage: it is not one."""
        return (NumpyFactory if Path(path).suffix == ".npy" else NiftiFactory).read(path)


def _factory(image: Any) -> DicomFactory:
    return NiftiFactory() if isinstance(image, nib.spatialimages.SpatialImage) else NumpyFactory()


class CTFactory(ObjectFactory):
    """CT images, from (slice, row, column) of HU (blueprints: ct, legacy_enhanced_ct; PS3.3 A.3, A.70)."""

    name = "ct"


class MRFactory(ObjectFactory):
    """MR images, from (slice, row, column) of any unit (blueprints: mr, legacy_enhanced_mr; PS3.3 A.4, A.71)."""

    name = "mr"


class PETFactory(ObjectFactory):
    """PET images, from (slice, row, column) in the unit of Units (0054,1001).

    Blueprints: pet, legacy_enhanced_pet (PS3.3 A.21, A.72).
    """

    name = "pet"


class SecondaryCaptureFactory(ObjectFactory):
    """Secondary captures (PS3.3 A.8), from (slice, row, column), or (slice, row, column, 3) of uint8 in RGB.

    Blueprints: secondary_capture, multiframe_secondary_capture.
    """

    name = "secondary_capture"


class SegmentationFactory(ObjectFactory):
    """Segmentations (PS3.3 A.51), from a label map or a mask, (slice, row, column) of whole numbers or bool.

    Blueprints: segmentation, label_map_segmentation. From probabilities, 0 to 1, (slice, row, column) or
    (segment, slice, row, column): fractional_segmentation.
    """

    name = "segmentation"


class ParametricMapFactory(ObjectFactory):
    """Parametric maps (PS3.3 A.75), from (slice, row, column) of floats in any unit (blueprint: parametric_map)."""

    name = "parametric_map"


class RtDoseFactory(ObjectFactory):
    """RT Dose (PS3.3 A.18.3), from (slice, row, column) in Gy on evenly spaced slices (blueprint: rt_dose)."""

    name = "rt_dose"


class FileFactory(ObjectFactory):
    """Makes a kind of object from the bytes of a file that is not an image."""

    def build(
        self,
        header: SeriesHeader,
        image: Any,
        *,
        nan: float | None = None,
        resampling: Resampling | None = None,
        frame_of_reference: FrameChoice = "Parent",
    ) -> FinishedSeries:
        """Build the object from the bytes of a file.

        :raises InvalidImage: they are of another type. :raises GeometryError: a grid or a frame of reference is chosen.
        """
        if resampling is not None or frame_of_reference == "New":
            raise GeometryError(
                "a document is on no grid",
                remedy="choose neither a grid nor a frame of reference",
                advice=Advice(Choice.NO_PLACE),
            )
        return file_builder_of(header.sop_class_uid).build_from_file(fresh(header), image)

    def own_image(self, parent: ParentSeries) -> Any:
        """Refuse: a series is not a document. :raises InvalidOption: always."""
        raise InvalidOption(
            "there is no document", remedy=f"give a {self._files()[0].name}", advice=Advice(Choice.FILE)
        )

    @classmethod
    def read(cls, path: str | Path) -> bytes:
        """Read the bytes of a file. :raises InvalidImage: it is of another type."""
        files = cls._files()
        require(path, *files, reader=cls.name)
        data = Path(path).read_bytes()
        if file_type(data) not in files:
            raise InvalidImage(f"the document is not a {files[0].name}: it begins with {data[:8]!r}")
        return data

    @classmethod
    def _files(cls) -> tuple[FileType, ...]:
        return tuple(file for kind in kinds_of_factory(cls.name) for file in kind.files)


class EncapsulatedPdfFactory(FileFactory):
    """Encapsulated PDF (PS3.3 A.45.1), from the bytes of a PDF file (blueprint: encapsulated_pdf)."""

    name = "pdf"


_CLASSES: tuple[type[ObjectFactory], ...] = (
    *(CTFactory, MRFactory, PETFactory, SecondaryCaptureFactory),
    *(SegmentationFactory, ParametricMapFactory, RtDoseFactory, EncapsulatedPdfFactory),
)


def _factory_of(name: str) -> type[DicomFactory]:
    """The class of a factory by its name; created here for kinds whose factory has no public class."""
    public = {factory.name: factory for factory in _CLASSES}
    if name in public:
        return public[name]
    kinds = kinds_of_factory(name)
    base = FileFactory if kinds[0].made_from == "File" else ObjectFactory
    class_name = "".join(part.capitalize() for part in name.split("_")) + "Factory"
    names = ", ".join(kind.blueprint for kind in kinds)
    text = f"{kinds[0].description} (blueprint{'s' if len(kinds) > 1 else ''}: {names})."
    return type(class_name, (base,), {"__doc__": text, "__module__": __name__, "name": name})


#: The built-in factories, by name.
FACTORIES: Mapping[str, type[DicomFactory]] = MappingProxyType(
    {
        "numpy": NumpyFactory,
        "nifti": NiftiFactory,
        **{name: _factory_of(name) for name in dict.fromkeys(kind.factory for kind in KINDS)},
    }
)
