"""A factory for each kind of object: an image or a document of any known file in, that kind of object out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import nibabel as nib
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    EncapsulatedPDFStorage,
    LegacyConvertedEnhancedCTImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    LegacyConvertedEnhancedPETImageStorage,
    MRImageStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    ParametricMapStorage,
    PositronEmissionTomographyImageStorage,
    RTDoseStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.build_context import BuildContext
from derived_series.dicom.blueprints.filling import FillingStrategy
from derived_series.dicom.blueprints.space import FrameChoice
from derived_series.dicom.factories.base import DicomFactory, NumpyFactory, fresh
from derived_series.dicom.factories.image_files import PDF, require
from derived_series.dicom.factories.nifti import NiftiFactory
from derived_series.dicom.image.placement import Placement
from derived_series.dicom.image.resampling import Resampling
from derived_series.dicom.objects.encapsulated_pdf import MAGIC, build_document
from derived_series.dicom.series.finished import DatasetSeries
from derived_series.dicom.series.header import SeriesHeader
from derived_series.dicom.source.series import ParentSeries
from derived_series.errors import GeometryError, HeaderError, InvalidImage, InvalidRequest, Missing


class ObjectFactory(DicomFactory):
    """For numpy arrays, PlacedImages and NIfTI images, of one kind of object.

    :cvar sop_classes: what a header may be of; empty for all.
    :cvar blueprint: the name of the ready blueprint.
    """

    sop_classes: ClassVar[tuple[str, ...]] = ()
    blueprint: ClassVar[str] = ""

    def make_series_header(
        self,
        parent: ParentSeries | Iterable[Dataset],
        blueprint: Blueprint,
        strategy: FillingStrategy = FillingStrategy.DISCARD,
        context: BuildContext | None = None,
    ) -> SeriesHeader:
        """:raises HeaderError: also when the blueprint is of another kind of object."""
        header = super().make_series_header(parent, blueprint, strategy, context)
        if self.sop_classes and header.sop_class_uid not in self.sop_classes:
            said = header["SOPClassUID"].value.name
            reason = f"{type(self).__name__} makes no {said}: the blueprint and the factory are of different kinds"
            raise HeaderError([Missing(0x00080016, "SOPClassUID", reason)], where=f"the header of {blueprint.name!r}")
        return header

    def arrange(self, header: SeriesHeader, image: Any) -> tuple[npt.NDArray[Any], Placement]:
        """As NumpyFactory or NiftiFactory does, by what the image is."""
        return _factory(image).arrange(header, image)

    def arrange_on_parent(
        self, header: SeriesHeader, image: Any, how: Resampling
    ) -> tuple[npt.NDArray[Any], Placement]:
        """The same on the parent's grid."""
        return _factory(image).arrange_on_parent(header, image, how)

    @staticmethod
    def read(path: str | Path) -> Any:
        """A .npy, .nii or .nii.gz file. :raises InvalidImage: when it is none."""
        return (NumpyFactory if Path(path).suffix == ".npy" else NiftiFactory).read(path)


def _factory(image: Any) -> DicomFactory:
    return NiftiFactory() if isinstance(image, nib.spatialimages.SpatialImage) else NumpyFactory()


class CTFactory(ObjectFactory):
    """CT images, from values in HU (blueprints: ct, legacy_enhanced_ct)."""

    sop_classes = (str(CTImageStorage), str(LegacyConvertedEnhancedCTImageStorage))
    blueprint = "ct"


class MRFactory(ObjectFactory):
    """MR images (blueprints: mr, legacy_enhanced_mr)."""

    sop_classes = (str(MRImageStorage), str(LegacyConvertedEnhancedMRImageStorage))
    blueprint = "mr"


class PETFactory(ObjectFactory):
    """PET images (blueprints: pet, legacy_enhanced_pet)."""

    sop_classes = (str(PositronEmissionTomographyImageStorage), str(LegacyConvertedEnhancedPETImageStorage))
    blueprint = "pet"


class SecondaryCaptureFactory(ObjectFactory):
    """Secondary captures, grey or RGB (blueprints: secondary_capture, multiframe_secondary_capture)."""

    sop_classes = (
        str(SecondaryCaptureImageStorage),
        str(MultiFrameGrayscaleByteSecondaryCaptureImageStorage),
        str(MultiFrameGrayscaleWordSecondaryCaptureImageStorage),
        str(MultiFrameTrueColorSecondaryCaptureImageStorage),
    )
    blueprint = "secondary_capture"


class SegmentationFactory(ObjectFactory):
    """Segmentation, from a label map or a bool mask (blueprint: segmentation)."""

    sop_classes = (str(SegmentationStorage),)
    blueprint = "segmentation"


class ParametricMapFactory(ObjectFactory):
    """Parametric map, from floats that are measured in any unit (blueprint: parametric_map)."""

    sop_classes = (str(ParametricMapStorage),)
    blueprint = "parametric_map"


class RtDoseFactory(ObjectFactory):
    """RT Dose, from doses in Gy on evenly spaced slices (blueprint: rt_dose)."""

    sop_classes = (str(RTDoseStorage),)
    blueprint = "rt_dose"


class EncapsulatedPdfFactory(ObjectFactory):
    """Encapsulated PDF, from the bytes of a PDF file (blueprint: encapsulated_pdf)."""

    sop_classes = (str(EncapsulatedPDFStorage),)
    blueprint = "encapsulated_pdf"

    def build(
        self,
        header: SeriesHeader,
        image: Any,
        *,
        nan: float | None = None,
        resampling: Resampling | None = None,
        frame_of_reference: FrameChoice = "Parent",
    ) -> DatasetSeries:
        """:raises InvalidImage: bytes that are no PDF file. :raises GeometryError: a document is on no grid."""
        if resampling is not None or frame_of_reference == "New":
            raise GeometryError(
                "a document is on no grid", remedy='ask without "Grid": "Parent" and "FrameOfReference": "New"'
            )
        return build_document(fresh(header), image)

    def own_image(self, parent: ParentSeries) -> Any:
        """:raises InvalidRequest: always: a series is no document."""
        raise InvalidRequest("there is no document", remedy="send a PDF file")

    @staticmethod
    def read(path: str | Path) -> bytes:
        """A PDF file. :raises InvalidImage: when it is none."""
        require(path, PDF, reader="pdf")
        data = Path(path).read_bytes()
        if not data.startswith(MAGIC):
            raise InvalidImage(f"the document is no PDF file: it begins with {data[:8]!r}")
        return data
