"""Describes a series for a viewer, before it asks for pixels: a JSON document made from headers alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from derived_series.dicom.grid import Grid
from derived_series.dicom.source.multiframe.frame import FrameDataset, source_of
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.dicom.source.selection import ALL, Selection
from derived_series.errors import GeometryError, InvalidParent
from derived_series.review.frame_bytes import FORMAT_TAGS, FrameFormat
from derived_series.review.segments import class_name, is_segmentation, segmentation_document

_TEXTS = (
    *("PatientName", "PatientID", "PatientBirthDate", "StudyDate", "StudyDescription", "Modality", "SeriesNumber"),
    *("SeriesDescription", "SeriesInstanceUID", "FrameOfReferenceUID"),
)
#: Units that mean none or unknown.
_NO_UNITS = ("US", "NONE", "1", "{none}", "no units")


def series_document(datasets: Sequence[Dataset], held: Mapping[str, str], selection: Selection = ALL) -> dict[str, Any]:
    """The document of a series for the review page.

    :param datasets: the headers of all instances of the series.
    :param held: SOPInstanceUID -> the server's identifier of the instance.
    :param selection: the chosen part of a parent that holds several.
    :return: ``Kind`` is "Image", "Segmentation" or "Document" (nothing to draw). Slices are in order of volumes, and
        ascending along the normal in each; ``Grid`` has their positions, LPS mm, or is None if ``Problem`` or the
        headers say why not.
    :raises InvalidParent: there is no instance.
    """
    if not datasets:
        raise InvalidParent("the series has no instance")
    first = datasets[0]
    document: dict[str, Any] = {keyword: str(first.get(keyword) or "") for keyword in _TEXTS}
    document["SOPClass"] = class_name(first)
    if is_segmentation(first):
        return {**document, "Kind": "Segmentation", **segmentation_document(first, held)}
    if not first.get("Rows") or not first.get("Columns"):
        return {**document, "Kind": "Document", "Instance": held[str(first.SOPInstanceUID)]}
    return {**document, "Kind": "Image", **_image_document(datasets, held, selection)}


def _image_document(datasets: Sequence[Dataset], held: Mapping[str, str], selection: Selection) -> dict[str, Any]:
    try:
        series = ParentSeries.from_datasets(datasets, selection)
    except (GeometryError, InvalidParent) as error:  # it can still be looked at
        frames = _in_order_of_number(datasets)
        without_grid: dict[str, Any] = {"Grid": None, "Volumes": 1, "VolumeKey": None, "Problem": error.message}
        return {**without_grid, "Warnings": [], **_slices(frames, held, True)}
    return {
        "Grid": None if series.grid is None else grid_document(series.grid, series.pivot),
        "Volumes": series.volumes,
        "VolumeKey": series.volume_key,
        "Problem": None,
        "Warnings": list(series.warnings),
        **_slices(series.instances, held, not series.varying.isdisjoint(FORMAT_TAGS)),
    }


def _in_order_of_number(datasets: Sequence[Dataset]) -> list[Dataset]:
    """The frames of the instances with the size of the first, by InstanceNumber."""
    ordered = sorted(datasets, key=lambda dataset: int(dataset.get("InstanceNumber") or 0))
    size = (ordered[0].get("Rows"), ordered[0].get("Columns"))
    slices: list[Dataset] = []
    for dataset in ordered:
        count = int(dataset.get("NumberOfFrames") or 1)
        if (dataset.get("Rows"), dataset.get("Columns")) != size:
            continue
        slices += [dataset] if count == 1 else [FrameDataset({}, dataset, number + 1) for number in range(count)]
    return slices


def grid_document(grid: Grid, pivot: Dataset) -> dict[str, Any]:
    """A grid, and the thickness of its slices (mm, or None)."""
    return {
        "RowCosines": list(grid.row_cosines),
        "ColumnCosines": list(grid.column_cosines),
        "PixelSpacing": list(grid.pixel_spacing),
        "Positions": [list(position) for position in grid.positions],
        "SliceThickness": _number(pivot, "SliceThickness"),
    }


def _slices(instances: Sequence[Dataset], held: Mapping[str, str], differing: bool) -> dict[str, Any]:
    """Columns with one entry a slice, and the values that they refer to. :param differing: pixel formats may vary."""
    formats: list[dict[str, Any]] = []
    columns: dict[str, list[Any]] = {name: [] for name in ("Instance", "Frame", "Box", "Format", "Slope", "Intercept")}
    known: dict[int, FrameFormat] = {}
    for instance in instances:
        source = source_of(instance)
        which = id(source) if differing else 0
        frame_format = known[which] = known.get(which) or FrameFormat.of(source)
        if (document := frame_format.to_json()) not in formats:
            formats.append(document)
        slope, intercept = _rescale(instance, frame_format)
        columns["Instance"].append(held[str(source.SOPInstanceUID)])
        columns["Frame"].append(instance.index if isinstance(instance, FrameDataset) else 0)
        columns["Box"].append(_box(instance))
        columns["Format"].append(formats.index(document))
        columns["Slope"].append(slope)
        columns["Intercept"].append(intercept)
    middle = instances[len(instances) // 2]
    return {
        "Rows": int(_of(middle, "Rows")),
        "Columns": int(_of(middle, "Columns")),
        "Slices": columns,
        "Formats": formats,
        "Units": _units(middle),
        **_window(middle),
    }


#: VOILUTFunction (0028,1056).
WINDOW_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


def _of(instance: Dataset, keyword: str) -> Any:
    """A value of a frame, or else of its instance."""
    value = instance.get(keyword)
    return source_of(instance).get(keyword) if value is None else value


def _box(instance: Dataset) -> list[int] | None:
    """(top, left) of a mosaic's tile in its frame."""
    box = instance.box if isinstance(instance, FrameDataset) else None
    return None if box is None else [box[0].start, box[1].start]


def _mappings(instance: Dataset) -> list[Dataset]:
    """The items of the real world value mapping (PS3.3 C.7.6.16.2.11)."""
    return list(_of(instance, "RealWorldValueMappingSequence") or [])


def _mapping(instance: Dataset) -> Dataset | None:
    """The linear mapping of an instance without a modality LUT."""
    items = [] if "RescaleSlope" in instance else _mappings(instance)
    return items[0] if items and items[0].get("RealWorldValueSlope") is not None else None


def _rescale(instance: Dataset, frame_format: FrameFormat) -> tuple[float, float]:
    """Slope and intercept from the sent values to real-world ones (PS3.3 C.11.1)."""
    if frame_format.samples > 1 or frame_format.has_modality_lut:
        return 1.0, 0.0
    mapping = _mapping(instance)
    if mapping is not None:
        return float(mapping.RealWorldValueSlope), float(mapping.get("RealWorldValueIntercept") or 0)
    return _number(instance, "RescaleSlope") or 1.0, _number(instance, "RescaleIntercept") or 0.0


def _units(instance: Dataset) -> str:
    """The units of real-world values, as far as the headers name them."""
    unit_texts = [instance.get("Units"), instance.get("RescaleType")]
    for item in _mappings(instance):
        unit_texts += [code.get("CodeValue") for code in item.get("MeasurementUnitsCodeSequence") or []]
    known = [str(units) for units in unit_texts if units and str(units) not in _NO_UNITS]
    return known[0] if known else "HU" if _of(instance, "SOPClassUID") == CTImageStorage else ""


def _window(instance: Dataset) -> dict[str, Any]:
    """The first window, in real-world values (PS3.3 C.11.2): ``Window`` is centre and width, or None.

    ``WindowFunction`` is VOILUTFunction; ``WindowStep`` is the 1 in the formula of LINEAR, in these values.
    """
    values = [_of(instance, keyword) for keyword in ("WindowCenter", "WindowWidth")]
    function = str(_of(instance, "VOILUTFunction") or "LINEAR").upper()
    lacking = {"Window": None, "WindowFunction": "LINEAR", "WindowStep": 1.0}
    if function not in WINDOW_FUNCTIONS:
        return lacking
    try:
        centre, width = (float(np.atleast_1d(value)[0]) for value in values)
    except (TypeError, ValueError, IndexError):
        return lacking
    step, mapping = 1.0, _mapping(instance)
    if mapping is not None:
        slope = float(mapping.RealWorldValueSlope)
        step = abs(slope)
        centre, width = centre * slope + float(mapping.get("RealWorldValueIntercept") or 0), width * step
    if not (width > 0 and np.isfinite([centre, width]).all()):
        return lacking
    return {"Window": [centre, width], "WindowFunction": function, "WindowStep": step}


def _number(dataset: Dataset, keyword: str) -> float | None:
    try:
        number = float(dataset.get(keyword))
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None
