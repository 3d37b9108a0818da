"""PET Series, Isotope, Orientation and Image modules (PS3.3 C.8.9.1, C.8.9.2, C.8.4.6, C.8.9.4).

SeriesDate and SeriesTime stay the parent's, because the pixels are decay corrected to a time that refers to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import PositronEmissionTomographyImageStorage

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.copy_elements import CopyElement, PositionCopyElement
from derived_series.dicom.blueprints.element import ABSENT, DEFER, LackingValue, StaticElement, Value
from derived_series.dicom.blueprints.environment import ImageEnvironment, InstanceEnvironment, SeriesEnvironment
from derived_series.dicom.blueprints.function_elements import FunctionalElement, HeaderElement, ImageElement
from derived_series.dicom.encoding.decimal_string import decimal_string
from derived_series.dicom.encoding.tags import to_tag
from derived_series.dicom.encoding.value_rules import texts_in
from derived_series.dicom.modules.element_lists import by_position, by_position_or_empty, copies, copies_or_empty
from derived_series.dicom.modules.image import instance_number


def _series_type(env: ImageEnvironment) -> list[str]:
    """SeriesType: DYNAMIC for several volumes, STATIC for one; the parent's if it is GATED and its volumes are kept.

    The volumes of a GATED parent are its time slots, if the image has as many volumes.
    """
    parent_values = texts_in(env.parent.pivot, "SeriesType")
    kind, what = (value or instead for value, instead in zip_longest(parent_values[:2], ("STATIC", "IMAGE")))
    as_gated = kind == "GATED" and env.volumes == env.parent.volumes
    if env.volumes > 1 and not as_gated:
        kind = "DYNAMIC"
    elif kind == "DYNAMIC" or (kind == "GATED" and not as_gated):
        kind = "STATIC"
    return [kind, what]


def _series_type_element(env: ImageEnvironment) -> DataElement:
    """The same as an element, whose values are not checked here: a wrong one is the parent's."""
    return DataElement(to_tag("SeriesType"), "CS", _series_type(env), validation_mode=config.IGNORE)


def _of_gated(keyword: str) -> ImageElement:
    """Copy a value of the parent if the series is still gated."""

    def value(env: ImageEnvironment) -> Value:
        return env.parent.pivot.get(keyword, ABSENT) if _series_type(env)[0] == "GATED" else ABSENT

    return ImageElement(keyword, value)


class _FrameMeanElement(PositionCopyElement):
    """Copies the parent's value by position; for an image made from several frames, their mean, weighted by duration.

    FrameReferenceTime is type 1, and DecayFactor is required in images that are decay corrected.
    """

    def at_header(self, env: SeriesEnvironment) -> Value:
        varies = env.parent.volumes > 1 and not self.is_constant(env.parent)
        return DEFER if varies else super().at_header(env)

    def at_image(self, env: ImageEnvironment) -> Value:
        if env.volumes == env.parent.volumes:
            return super().at_image(env)
        return DEFER if env.on_parent_grid else self._mean(env.parent.instances)

    def at_instance(self, env: InstanceEnvironment) -> Value:
        counterparts = env.counterparts
        return self._mean(counterparts) if len(counterparts) > 1 else super().at_instance(env)

    def _mean(self, frames: Sequence[Dataset]) -> Value:
        times = [frame.get(self.tag) for frame in frames]
        if any(time is None or time.value is None for time in times):
            if self.Optional:
                return ABSENT
            raise LackingValue("some of the parent's instances lack it")
        weights = [float(frame.get("ActualFrameDuration") or 0) for frame in frames]
        values = [float(time.value) for time in times if time is not None]
        return decimal_string(round(float(np.average(values, weights=weights if all(weights) else None)), 6))


def _orientation(keyword: str) -> HeaderElement:
    """Copy the parent's value (type 2). If the parent uses PatientPosition instead, so does the image: they exclude
    each other."""

    def codes(env: SeriesEnvironment) -> Value:
        if keyword in env.pivot:
            return env.pivot[keyword]
        return ABSENT if env.pivot.get("PatientPosition") else None

    return HeaderElement(keyword, codes)


def _slices(env: ImageEnvironment) -> int:
    return env.slices


def _time_slices(env: ImageEnvironment) -> Value:
    return env.volumes if _series_type(env)[0] == "DYNAMIC" else ABSENT


pet_series_blueprint = Blueprint(
    [
        CopyElement("SeriesDate"),
        CopyElement("SeriesTime"),
        ImageElement("NumberOfSlices", _slices),
        ImageElement("NumberOfTimeSlices", _time_slices),
        *map(_of_gated, ("NumberOfRRIntervals", "NumberOfTimeSlots")),
        CopyElement("Units"),
        ImageElement("SeriesType", _series_type_element),
        *copies("CountsSource"),
        CopyElement("DecayCorrection"),
        *copies_or_empty("CorrectedImage", "CollimatorType"),
        *copies("SUVType", "RandomsCorrectionMethod", "AttenuationCorrectionMethod", "ReconstructionMethod"),
        *copies("ScatterCorrectionMethod", "DetectorLinesOfResponseUsed", "DetectorGeometry", "AxialAcceptance"),
        *copies("ReprojectionMethod", "TransverseMash", "CoincidenceWindowWidth", "EnergyWindowRangeSequence"),
        *copies("CollimatorGridName", "FieldOfViewShape", "FieldOfViewDimensions", "TypeOfDetectorMotion"),
        *copies("GantryDetectorTilt"),
        _orientation("PatientOrientationCodeSequence"),
        _orientation("PatientGantryRelationshipCodeSequence"),
    ]
).named("pet_series")
"""PET Series module (PS3.3 C.8.9.1), with the parent's SeriesDate and SeriesTime, to which pixels are corrected."""

pet_isotope_blueprint = Blueprint(
    copies_or_empty("RadiopharmaceuticalInformationSequence") + copies("InterventionDrugInformationSequence")
).named("pet_isotope")
"""PET Isotope module (PS3.3 C.8.9.2): the parent's radiopharmaceuticals."""

_FRAME = (
    *by_position_or_empty("AcquisitionDate", "AcquisitionTime", "ActualFrameDuration"),
    _FrameMeanElement("DecayFactor"),
)
#: What an image says about its frame, if known.
pet_frame_blueprint = Blueprint([*_FRAME, _FrameMeanElement("FrameReferenceTime")]).named("pet_frame")

pet_image_blueprint = Blueprint(
    [
        StaticElement("SOPClassUID", "UI", PositronEmissionTomographyImageStorage),
        StaticElement("Modality", "CS", "PT"),
        *_FRAME,
        _FrameMeanElement("FrameReferenceTime", required=True),
        *by_position("TriggerTime", "FrameTime"),
        *by_position("PrimaryPromptsCountsAccumulated", "ScatterFractionFactor", "DeadTimeFactor"),
        FunctionalElement("ImageIndex", instance_number),
    ]
).named("pet_image")
"""PET Image module (PS3.3 C.8.9.4); add ``pet_series_blueprint`` and ``pet_isotope_blueprint``."""

_REQUIRED = (
    *("SeriesDate", "SeriesTime", "CollimatorType", "CorrectedImage", "NumberOfSlices"),
    *("SeriesType", "Units", "CountsSource", "DecayCorrection", "RadiopharmaceuticalInformationSequence"),
    *("PatientOrientationCodeSequence", "PatientGantryRelationshipCodeSequence", "AcquisitionDate"),
    *("AcquisitionTime", "ActualFrameDuration", "FrameReferenceTime", "ImageIndex"),
)
_PET = pet_series_blueprint + pet_isotope_blueprint + pet_image_blueprint
#: Types 1 and 2, filled in where a blueprint does not name them.
required_blueprint = Blueprint([_PET[keyword] for keyword in _REQUIRED], name="required").frozen()
