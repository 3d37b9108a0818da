"""The elements that projection and ultrasound images share: pixel size, windows and VOI LUTs, laterality, frames.

None of them has a place in space: attributes about rows and columns are the parent's, on its rows and columns only.
"""

from __future__ import annotations

from pydicom.dataset import Dataset

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.copy_elements import GridCopyElement, PositionCopyElement
from derived_series.dicom.blueprints.element import ABSENT, DEFER, LackingValue, Value
from derived_series.dicom.blueprints.environment import ImageEnvironment, InstanceEnvironment, SeriesEnvironment
from derived_series.dicom.blueprints.function_elements import FunctionalElement
from derived_series.dicom.encoding.value_rules import values_of
from derived_series.dicom.modules.element_lists import by_position
from derived_series.dicom.modules.image import WindowElement, voi_lut_blueprint, window_is_set
from derived_series.dicom.modules.pixel_size import pixel_size_blueprint
from derived_series.dicom.modules.windows import KEYWORDS, are_alike

#: The timing of an instance's frames, which holds for the same number of frames only (PS3.3 C.7.6.5, C.7.6.6).
CINE = (
    *("FrameTime", "FrameTimeVector", "CineRate", "RecommendedDisplayFrameRate", "StartTrim", "StopTrim"),
    *("FrameDelay", "ImageTriggerDelay", "EffectiveDuration", "ActualFrameDuration", "PreferredPlaybackSequencing"),
    *("FrameIncrementPointer", "RepresentativeFrameNumber", "FrameNumbersOfInterest", "FrameOfInterestDescription"),
    "FrameOfInterestType",
)
#: The mask that is subtracted from frames when the images are displayed (PS3.3 C.7.6.10).
MASK = ("MaskSubtractionSequence", "RecommendedViewingMode")


def number_of_frames(dataset: Dataset) -> int:
    """NumberOfFrames (0028,0008) of an instance; 1 if it is missing."""
    return int(dataset.get("NumberOfFrames") or 1)


class FramesCopyElement(PositionCopyElement):
    """Copies the parent's value if the instance has as many frames as the parent; else leaves it out."""

    def describe(self) -> str:
        return "where the number of frames is the parent's"

    def at_header(self, env: SeriesEnvironment) -> Value:
        return DEFER  # here the parent's instances are single frames, which do not have it

    def at_image(self, env: ImageEnvironment) -> Value:
        return DEFER if env.frames else ABSENT

    def at_instance(self, env: InstanceEnvironment) -> Value:
        parent = env.source_datasets[0]
        element = self.read(parent) if env.image_env.frames[env.index] == number_of_frames(parent) else None
        return ABSENT if element is None or element.is_empty else element


class MaskElement(FramesCopyElement):
    """The same for the mask, on the parent's rows and columns only: its shifts are in pixels.

    The builder leaves it out when the values are no longer the parent's, for example after a subtraction.
    """

    def at_instance(self, env: InstanceEnvironment) -> Value:
        return super().at_instance(env) if env.image_env.on_parent_grid else ABSENT


class SpacingElement(GridCopyElement):
    """Copies the parent's spacing (type 1); an image with other rows and columns must set its own."""

    def at_image(self, env: ImageEnvironment) -> Value:
        if not env.on_parent_grid and self.read(env.parent.pivot) is not None:
            raise LackingValue(
                "the image has other rows and columns than its parent, and nothing tells how far apart they are: set it"
            )
        return super().at_image(env)


class AlikeCopyElement(GridCopyElement):
    """Copies the parent's value if the image's values are like the parent's; else leaves it out."""

    def describe(self) -> str:
        return "where the values are like the parent's"

    def at_image(self, env: ImageEnvironment) -> Value:
        return super().at_image(env) if env.pixels.samples == 1 and _alike(env) else ABSENT


def _alike(env: ImageEnvironment) -> bool:
    key = (are_alike, -1)
    if key not in env.value_cache:
        env.value_cache[key] = are_alike(env)
    return bool(env.value_cache[key])


class _WindowElement(WindowElement):
    """The window, as in other images; none if the parent's VOI LUT is kept, or an image for processing has neither."""

    def at_image(self, env: ImageEnvironment) -> Value:
        pivot = env.parent.pivot
        if not pivot.get("WindowCenter") and not window_is_set(env):
            if pivot.get("PresentationIntentType") == "FOR PROCESSING":
                return ABSENT
            if pivot.get("VOILUTSequence") and _alike(env):
                return ABSENT
        return super().at_image(env)


def _image_type(env: InstanceEnvironment) -> list[str]:
    """DERIVED, SECONDARY, and the parent's values from value 3 on (PS3.3 C.8.7.1.1.1, C.8.5.6.1.1)."""
    dataset = env.source_datasets[0]
    values = values_of(dataset["ImageType"]) if "ImageType" in dataset else []
    return ["DERIVED", "SECONDARY", *map(str, values[2:])]


projection_blueprint = (
    pixel_size_blueprint
    + Blueprint(
        [
            FunctionalElement("ImageType", _image_type),
            *map(_WindowElement, KEYWORDS),
            voi_lut_blueprint["RescaleType"],
            AlikeCopyElement("VOILUTSequence"),
            *by_position("ImageLaterality", "AnatomicRegionSequence", "PrimaryAnatomicStructureSequence"),
            GridCopyElement("PatientOrientation", None),  # type 2C: empty where it is unknown
            *by_position("ViewPosition", "ViewCodeSequence", "PatientOrientationCodeSequence", "ImageComments"),
            *by_position("ContrastBolusAgent", "ContrastBolusAgentSequence", "ContrastBolusRoute", "DeviceSequence"),
            *by_position("AcquisitionDeviceProcessingDescription", "AcquisitionDeviceProcessingCode"),
        ]
    )
).named("projection")
"""Pixel size, laterality, view and display of an image without a place in space (PS3.3 C.7.6.1, C.7.6.3, C.11.2)."""

#: Of X-rays: how the image was projected, and what of it is covered.
x_ray_blueprint = Blueprint(
    [
        *by_position("KVP", "DistanceSourceToDetector", "DistanceSourceToPatient", "DistanceSourceToEntrance"),
        *by_position("EstimatedRadiographicMagnificationFactor", "AnodeTargetMaterial", "FocalSpots", "Grid"),
        *by_position("FilterType", "FilterMaterial", "FilterThicknessMinimum", "FilterThicknessMaximum"),
        *by_position("ExposureIndex", "TargetExposureIndex", "DeviationIndex", "Sensitivity", "RelativeXRayExposure"),
        *by_position("PixelIntensityRelationship", "PixelIntensityRelationshipSign"),
        *map(
            GridCopyElement,
            (
                *("ShutterShape", "ShutterLeftVerticalEdge", "ShutterRightVerticalEdge", "ShutterUpperHorizontalEdge"),
                *("ShutterLowerHorizontalEdge", "CenterOfCircularShutter", "RadiusOfCircularShutter"),
                *("VerticesOfThePolygonalShutter", "ShutterPresentationValue"),
                *("CollimatorShape", "CollimatorLeftVerticalEdge", "CollimatorRightVerticalEdge"),
                *("CollimatorUpperHorizontalEdge", "CollimatorLowerHorizontalEdge", "CenterOfCircularCollimator"),
                *("RadiusOfCircularCollimator", "VerticesOfThePolygonalCollimator"),
                *("FieldOfViewShape", "FieldOfViewDimensions", "FieldOfViewOrigin", "FieldOfViewRotation"),
                "FieldOfViewHorizontalFlip",
            ),
        ),
    ],
    name="x_ray",
)

cine_blueprint = Blueprint([*map(FramesCopyElement, CINE), *by_position("HeartRate")], name="cine")
