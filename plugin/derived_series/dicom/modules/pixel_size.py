"""The pixel size and orientation of an image without an image plane (PS3.3 10.7, C.7.6.3)."""

from __future__ import annotations

from pydicom.dataset import Dataset

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.copy_elements import GridCopyElement
from derived_series.dicom.blueprints.element import ABSENT, DEFER, Value
from derived_series.dicom.blueprints.environment import ImageEnvironment, SeriesEnvironment
from derived_series.dicom.encoding.decimal_string import decimal_string
from derived_series.dicom.encoding.tags import to_tag

_SPACINGS = tuple(map(to_tag, ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")))


class _PixelSpacingElement(GridCopyElement):
    """PixelSpacing: the parent's on its grid, else that of the image's grid; left out if unknown."""

    def at_header(self, env: SeriesEnvironment) -> Value:
        return DEFER

    def at_image(self, env: ImageEnvironment) -> Value:
        if not env.on_parent_grid and env.grid is not None:
            return [decimal_string(value) for value in env.grid.pixel_spacing]
        return super().at_image(env)


class _PixelAspectRatioElement(GridCopyElement):
    """PixelAspectRatio: the parent's on its grid, if it has no spacing (type 1C)."""

    def at_image(self, env: ImageEnvironment) -> Value:
        return ABSENT if _has_spacing(env.parent.pivot) else super().at_image(env)


def _has_spacing(dataset: Dataset) -> bool:
    return any(tag in dataset and not dataset[tag].is_empty for tag in _SPACINGS)


pixel_size_blueprint = Blueprint(
    [
        _PixelSpacingElement("PixelSpacing"),
        GridCopyElement("ImagerPixelSpacing"),
        GridCopyElement("NominalScannedPixelSpacing"),
        GridCopyElement("PixelSpacingCalibrationType"),
        GridCopyElement("PixelSpacingCalibrationDescription"),
        _PixelAspectRatioElement("PixelAspectRatio"),
    ]
).named("pixel_size")
"""PixelSpacing or PixelAspectRatio, and PatientOrientation, without an image plane (PS3.3 10.7, C.7.6.3)."""
