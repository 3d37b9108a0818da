"""Headers, geometry and pixels of derived series. It knows no server and can be used alone."""

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.build_context import BuildContext
from derived_series.dicom.blueprints.copy_elements import (
    CopyElement,
    CopyOrElseElement,
    InstanceCopyElement,
    PositionCopyElement,
)
from derived_series.dicom.blueprints.element import (
    ABSENT,
    AttributeElement,
    DiscardElement,
    InstanceVirtualElement,
    StaticElement,
    VirtualElement,
)
from derived_series.dicom.blueprints.environment import (
    ImageEnvironment,
    InstanceEnvironment,
    InstanceVirtualEnvironment,
    SeriesEnvironment,
)
from derived_series.dicom.blueprints.filling import FillingStrategy
from derived_series.dicom.blueprints.function_elements import (
    FunctionalElement,
    HeaderElement,
    ImageElement,
    SeriesElement,
)
from derived_series.dicom.blueprints.sequence_element import SequenceElement
from derived_series.dicom.explanation import Explanation, explain
from derived_series.dicom.factories.base import DicomFactory, NumpyFactory
from derived_series.dicom.factories.kinds import (
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
from derived_series.dicom.factories.nifti import NiftiFactory
from derived_series.dicom.grid import Grid
from derived_series.dicom.image.placement import PlacedImage
from derived_series.dicom.image.resampling import Resampling
from derived_series.dicom.modules import *  # noqa: F403  # its __all__ is the list of ready blueprints
from derived_series.dicom.modules import __all__ as _modules
from derived_series.dicom.series.classic import DerivedSeries
from derived_series.dicom.series.header import SeriesHeader
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.dicom.source.selection import Selection

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
    "explain",
]
__all__ += _modules
