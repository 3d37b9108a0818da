"""Headers, geometry and pixels of derived series; knows no server and is usable alone."""

from derived_series.dicom.blueprint import Blueprint
from derived_series.dicom.context import BuildContext
from derived_series.dicom.copying import (
    CopyElement,
    CopyOrElseElement,
    InstanceCopyElement,
    PositionCopyElement,
)
from derived_series.dicom.derived import DerivedSeries
from derived_series.dicom.elements import (
    ABSENT,
    AttributeElement,
    DiscardElement,
    InstanceVirtualElement,
    StaticElement,
    VirtualElement,
)
from derived_series.dicom.environment import (
    ImageEnvironment,
    InstanceEnvironment,
    InstanceVirtualEnvironment,
    SeriesEnvironment,
)
from derived_series.dicom.explain import Explanation
from derived_series.dicom.factories import DicomFactory, NumpyFactory
from derived_series.dicom.filling import FillingStrategy
from derived_series.dicom.functions import FunctionalElement, HeaderElement, ImageElement, SeriesElement
from derived_series.dicom.geometry import Grid
from derived_series.dicom.header import SeriesHeader
from derived_series.dicom.modules import *  # noqa: F403  # its __all__ is the list of ready blueprints
from derived_series.dicom.modules import __all__ as _modules
from derived_series.dicom.nifti import NiftiFactory
from derived_series.dicom.object_factories import (
    CTFactory,
    EncapsulatedPdfFactory,
    MRFactory,
    ObjectFactory,
    ParametricMapFactory,
    PETFactory,
    RtDoseFactory,
    SecondaryCaptureFactory,
    SegmentationFactory,
)
from derived_series.dicom.parent import ParentSeries
from derived_series.dicom.placement import PlacedImage
from derived_series.dicom.resampling import Resampling
from derived_series.dicom.selection import Selection
from derived_series.dicom.sequence import SequenceElement

__all__ = [
    "ABSENT",
    "AttributeElement",
    "Blueprint",
    "BuildContext",
    "CTFactory",
    "CopyElement",
    "CopyOrElseElement",
    "DerivedSeries",
    "DicomFactory",
    "DiscardElement",
    "EncapsulatedPdfFactory",
    "Explanation",
    "FillingStrategy",
    "FunctionalElement",
    "Grid",
    "HeaderElement",
    "ImageElement",
    "ImageEnvironment",
    "InstanceCopyElement",
    "InstanceEnvironment",
    "InstanceVirtualElement",
    "InstanceVirtualEnvironment",
    "MRFactory",
    "NiftiFactory",
    "NumpyFactory",
    "ObjectFactory",
    "PETFactory",
    "ParametricMapFactory",
    "ParentSeries",
    "PlacedImage",
    "PositionCopyElement",
    "Resampling",
    "RtDoseFactory",
    "SecondaryCaptureFactory",
    "SegmentationFactory",
    "Selection",
    "SequenceElement",
    "SeriesElement",
    "SeriesEnvironment",
    "SeriesHeader",
    "StaticElement",
    "VirtualElement",
]
__all__ += _modules
