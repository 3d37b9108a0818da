"""SOP Common, General Image, Image Plane and Image Pixel modules (PS3.3 C.12.1, C.7.6.1, C.7.6.2, C.7.6.3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import PositronEmissionTomographyImageStorage

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.copy_elements import CopyElement, PositionCopyElement
from derived_series.dicom.blueprints.element import ABSENT, DEFER, Value, VirtualElement
from derived_series.dicom.blueprints.environment import ImageEnvironment, InstanceEnvironment, SeriesEnvironment
from derived_series.dicom.blueprints.function_elements import FunctionalElement, ImageElement
from derived_series.dicom.encoding.decimal_string import decimal_string
from derived_series.dicom.encoding.tags import to_tag
from derived_series.dicom.encoding.writer import encode_text
from derived_series.dicom.grid import SAME_ANGLE_RADIANS, Grid
from derived_series.dicom.modules.derivation import MARKS, inherited_mark, lossy_method, lossy_ratio
from derived_series.dicom.modules.element_lists import by_position, copies, date_and_time_of_build
from derived_series.dicom.modules.windows import KEYWORDS, keeps_parents, own_window, parents_window, varies_by_instance
from derived_series.errors import GeometryError
from derived_series.kinds import kind_of_modality, sop_class

_POSITION = to_tag("ImagePositionPatient")


class _PlainElement(FunctionalElement):
    """Calls a function whose value, ASCII text or a number, is written without a check."""

    def encode_instance(self, env: InstanceEnvironment) -> bytes:
        return encode_text(int(self.tag), str(self.VR), str(self._call(env)))


def _instance_uid(env: InstanceEnvironment) -> str:
    return env.context.uid("instance", env.index)


SOP_common_blueprint = Blueprint(
    [
        *copies("SpecificCharacterSet", "TimezoneOffsetFromUTC"),
        CopyElement("SOPClassUID"),
        _PlainElement("SOPInstanceUID", _instance_uid),
        *date_and_time_of_build("InstanceCreationDate", "InstanceCreationTime"),
    ]
).named("SOP_common")
"""SOP Common module (PS3.3 C.12.1): new SOPInstanceUIDs, the time of creation, the character set."""


def _temporal(env: ImageEnvironment, value: Value) -> Value:
    """The value if there are several volumes; a PET image has other attributes for them."""
    pet = env.sop_class_uid == PositronEmissionTomographyImageStorage
    return ABSENT if env.volumes == 1 or pet or value is None else value


class _TemporalPositionElement(_PlainElement):
    """The number of a slice's volume, if there are several."""

    def at_image(self, env: ImageEnvironment) -> Value:
        return _temporal(env, DEFER)


def _volume_number(env: InstanceEnvironment) -> int:
    return env.volume_index + 1


def _number_of_volumes(env: ImageEnvironment) -> Value:
    return _temporal(env, env.volumes)


def _temporal_resolution(env: ImageEnvironment) -> Value:
    """In ms (PS3.3 C.8.3.1)."""
    return _temporal(env, None if env.time_step is None else decimal_string(round(env.time_step * 1000, 6)))


#: How much and how the parent was compressed with losses; they accompany the mark LossyImageCompression.
COMPRESSION = ("LossyImageCompressionRatio", "LossyImageCompressionMethod")
#: What tells each of them where the parent does not name it.
_BY_SYNTAX = {to_tag(COMPRESSION[0]): lossy_ratio, to_tag(COMPRESSION[1]): lossy_method}


class _CompressionElement(PositionCopyElement):
    """Copies from the instances at the same position, or from all for an object with all slices or on another grid.

    Of several instances it takes the one with the median ratio. Where the parent does not name the method or the
    ratio, its transfer syntax and the size of its compressed pixels tell them.
    """

    def at_header(self, env: SeriesEnvironment) -> Value:
        if not self.is_constant(env.parent):
            return DEFER
        element = self.read(env.pivot)
        if element is None or element.is_empty:
            by_syntax = _BY_SYNTAX[self.tag]
            return self._of_one(env.pivot) if len(set(map(by_syntax, env.parent.instances))) == 1 else DEFER
        return element

    def at_image(self, env: ImageEnvironment) -> Value:
        return DEFER if env.on_parent_grid else self.of_whole(env)

    def of_whole(self, env: ImageEnvironment) -> Value:
        return self._middle(env.parent.instances)

    def at_instance(self, env: InstanceEnvironment) -> Value:
        return self._middle(env.counterparts)

    def _middle(self, instances: Sequence[Dataset]) -> Value:
        compressed = [instance for instance in instances if instance.get(COMPRESSION[0])] or list(instances)
        compressed.sort(key=_ratio)
        middle = compressed[len(compressed) // 2]
        values = map(self._of_one, (middle, *instances))
        return next((value for value in values if value is not ABSENT), ABSENT)

    def _of_one(self, instance: Dataset) -> Value:
        element = self.read(instance)
        if element is None or element.is_empty:
            by_syntax = _BY_SYNTAX[self.tag](instance)
            return ABSENT if by_syntax is None else by_syntax
        return element


def _ratio(instance: Dataset) -> float:
    """LossyImageCompressionRatio, all compressions together."""
    value = instance.get(COMPRESSION[0])
    try:
        return float(np.prod([float(one) for one in ([value] if isinstance(value, str | float) else value or ())]))
    except (TypeError, ValueError):
        return 0.0


def instance_number(env: InstanceEnvironment) -> int:
    """InstanceNumber in the derived series, from 1."""
    return env.instance_number


general_image_blueprint = Blueprint(
    [
        _PlainElement("InstanceNumber", instance_number),
        *date_and_time_of_build("ContentDate", "ContentTime"),
        *by_position("AcquisitionNumber", "AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime"),
        _TemporalPositionElement("TemporalPositionIdentifier", _volume_number),
        ImageElement("NumberOfTemporalPositions", _number_of_volumes),
        ImageElement("TemporalResolution", _temporal_resolution),
        *map(inherited_mark, MARKS),
        *map(_CompressionElement, COMPRESSION),
        *by_position("ImageLaterality"),
    ]
).named("general_image")
"""General Image module (PS3.3 C.7.6.1): numbers, dates, volumes, marks of compression and burned-in text."""


def _grid(env: ImageEnvironment) -> Grid:
    if env.grid is None:
        modality = env.parent.modality
        row, ready = sop_class(env.sop_class_uid), kind_of_modality(modality)
        is_other = row.modality not in ("", modality)
        parents = f"{modality} images, where the blueprint makes {row.modality}" if is_other else "images"
        same = f"the blueprint {ready.blueprint}, or " if is_other and ready else ""
        raise GeometryError(
            "the blueprint writes an image plane, but nothing tells where the image's slices are: no positions are in "
            f"the parent's {parents}",
            remedy=f"use {same}a blueprint without geometry (secondary_capture), or give an image with an affine",
        )
    return env.grid


def _position(env: InstanceEnvironment) -> Value:
    instance = env.instance_dataset
    if instance is not None:  # exactly the parent's digits
        return instance[_POSITION]
    return [decimal_string(v) for v in _grid(env.image_env).positions[env.slice_index]]


def _orientation(env: ImageEnvironment) -> Value:
    """The parent's value unchanged on its grid; if its vectors are not of length 1, their directions."""
    grid = _grid(env)
    cosines = (*grid.row_cosines, *grid.column_cosines)
    if env.on_parent_grid:
        element = env.parent.pivot["ImageOrientationPatient"]
        if all(abs(float(v) - cosine) <= SAME_ANGLE_RADIANS for v, cosine in zip(element.value, cosines, strict=True)):
            return element
    return [decimal_string(v) for v in cosines]


def _pixel_spacing(env: ImageEnvironment) -> Value:
    grid = _grid(env)
    return env.parent.pivot["PixelSpacing"] if env.on_parent_grid else [decimal_string(v) for v in grid.pixel_spacing]


class _ThicknessElement(PositionCopyElement):
    """SliceThickness (type 2): the parent's by position on its grid, the slice spacing on another."""

    def at_header(self, env: SeriesEnvironment) -> Value:
        return DEFER

    def at_image(self, env: ImageEnvironment) -> Value:
        if env.on_parent_grid:
            return super().at_header(env.series)
        spacing = _grid(env).slice_spacing
        return None if spacing is None else decimal_string(spacing)


def _slice_spacing(env: ImageEnvironment) -> Value:
    """The distance between the slices, if it is the same everywhere."""
    grid = _grid(env)
    if grid.slice_spacing is None or not grid.is_regular:
        return ABSENT
    return decimal_string(round(grid.slice_spacing, 6))


def _slice_location(env: InstanceEnvironment) -> Value:
    """The position along the normal, in mm."""
    return decimal_string(round(_grid(env.image_env).distance(env.slice_index), 6))


image_plane_blueprint = Blueprint(
    [
        FunctionalElement("ImagePositionPatient", _position),
        ImageElement("ImageOrientationPatient", _orientation),
        ImageElement("PixelSpacing", _pixel_spacing),
        _ThicknessElement("SliceThickness", None),
        ImageElement("SpacingBetweenSlices", _slice_spacing),
        _PlainElement("SliceLocation", _slice_location),
    ]
).named("image_plane")
"""Image Plane module (PS3.3 C.7.6.2): position, orientation, spacing in mm, of each slice."""


def _rescale(env: ImageEnvironment, number: float) -> Value:
    """The value if the class requires a rescale or the stored values are scaled."""
    rules = sop_class(env.sop_class_uid).pixels
    return decimal_string(number) if env.pixels.rescaled or rules.rescale_always else ABSENT


def _rescale_intercept(env: ImageEnvironment) -> Value:
    return _rescale(env, env.pixels.intercept)


def _rescale_slope(env: ImageEnvironment) -> Value:
    return _rescale(env, env.pixels.slope)


def _samples(env: ImageEnvironment) -> int:
    return env.pixels.samples


def _photometric_interpretation(env: ImageEnvironment) -> str:
    return "RGB" if env.pixels.samples == 3 else "MONOCHROME2"


def _planar_configuration(env: ImageEnvironment) -> Value:
    return 0 if env.pixels.samples == 3 else ABSENT


def _rows(env: ImageEnvironment) -> int:
    return env.pixels.rows


def _columns(env: ImageEnvironment) -> int:
    return env.pixels.columns


def _bits(env: ImageEnvironment) -> int:
    return env.pixels.bits


def _high_bit(env: ImageEnvironment) -> int:
    return env.pixels.bits - 1


def _sign(env: ImageEnvironment) -> int:
    return int(env.pixels.signed)


image_pixel_blueprint = Blueprint(
    [
        ImageElement("SamplesPerPixel", _samples),
        ImageElement("PhotometricInterpretation", _photometric_interpretation),
        ImageElement("PlanarConfiguration", _planar_configuration),
        ImageElement("Rows", _rows),
        ImageElement("Columns", _columns),
        ImageElement("BitsAllocated", _bits),
        ImageElement("BitsStored", _bits),
        ImageElement("HighBit", _high_bit),
        ImageElement("PixelRepresentation", _sign),
        ImageElement("RescaleIntercept", _rescale_intercept),
        ImageElement("RescaleSlope", _rescale_slope),
    ]
).named("image_pixel")
"""Image Pixel and Modality LUT modules (PS3.3 C.7.6.3, C.11.1): how the array is stored."""


def _rescale_type(env: ImageEnvironment) -> Value:
    """RescaleType: required with a rescale (PS3.3 C.11.1); in a CT image it is HU unless it says US, as for masks."""
    rules = sop_class(env.sop_class_uid).pixels
    if rules.rescale_always:
        return "US" if env.pixels.is_mask and env.parent.modality == "CT" else ABSENT
    return "US" if env.pixels.rescaled else ABSENT


def window_is_set(env: ImageEnvironment) -> bool:
    """Whether the blueprint sets the window."""
    header = env.header
    return header is not None and any(
        keyword in header.blueprint and not isinstance(header.blueprint[keyword], WindowElement)
        for keyword in ("WindowCenter", "WindowWidth")
    )


class WindowElement(VirtualElement):
    """The parent's windows if they suit the image, else a window chosen by the image's own values.

    If the blueprint sets centre and width, the other attributes of a window are not copied from the parent.
    """

    def at_image(self, env: ImageEnvironment) -> Value:
        if env.pixels.samples == 3:
            return ABSENT
        if not window_is_set(env) and keeps_parents(env):
            return DEFER if varies_by_instance(env) else env.parent.pivot.get(self.tag, ABSENT)
        window = own_window(env)
        if self.tag == _FUNCTION:
            return window.function or ABSENT
        if self.tag == _EXPLANATION:
            return ABSENT
        return decimal_string(window.centre if self.tag == _CENTRE else window.width)

    def at_instance(self, env: InstanceEnvironment) -> Value:
        return parents_window(env).get(self.tag, ABSENT)


_CENTRE, _FUNCTION, _EXPLANATION = map(to_tag, ("WindowCenter", "VOILUTFunction", "WindowCenterWidthExplanation"))

voi_lut_blueprint = Blueprint([*map(WindowElement, KEYWORDS), ImageElement("RescaleType", _rescale_type)]).named(
    "voi_lut"
)
"""VOI LUT module (PS3.3 C.11.2): the parent's windows where they are true of the image, else one of its own values."""
