"""segments_from(): segments from the tables of this package and from files of other programs.

It reads ITK-SNAP's label files, colour tables of 3D Slicer (.ctbl, .txt, .csv) and FreeSurfer, ``dseg.tsv`` of BIDS,
the JSON of dcmqi and nnU-Net, and any table with a heading (.csv, .tsv) with a column for the number and one for the
name.
"""

from __future__ import annotations

import csv
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydicom.sr.coding import Code

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.element import StaticElement
from derived_series.dicom.modules.equipment import MODEL
from derived_series.dicom.modules.segmentation import Segment, segments
from derived_series.errors import BlueprintError

_TABLES = resources.files(__package__) / "segment_tables"
#: The names of this package's tables, each a file that names its source.
TABLES = tuple(sorted(file.name.removesuffix(".csv") for file in _TABLES.iterdir() if file.name.endswith(".csv")))

#: Headings, without case and punctuation, by the content of their column; the first one present counts.
_HEADINGS: Mapping[str, tuple[str, ...]] = {
    "number": ("labelvalue", "number", "segmentnumber", "index", "labelid", "id", "value", "label"),
    "label": ("name", "segmentlabel", "labelname", "structure", "label"),
    "description": ("description", "segmentdescription"),
    "color": ("color", "colour", "hex"),
    "category": ("category",),
    "type": ("type",),
    "modifier": ("typemodifier", "modifier", "laterality"),
    "region": ("region", "anatomicregion"),
    "region_modifier": ("regionmodifier", "anatomicregionmodifier"),
    "tracking_id": ("trackingid", "trackingidentifier"),
    "tracking_uid": ("trackinguid", "trackinguniqueidentifier"),
}
_CODES = ("category", "type", "modifier", "region", "region_modifier")
_CODE_PARTS = ("codingscheme", "codevalue", "codemeaning")
_COLORS = (("colorr", "colorg", "colorb"), ("r", "g", "b"), ("red", "green", "blue"))
#: Keys of dcmqi's JSON.
_DCMQI_CODES = {
    "category": "SegmentedPropertyCategoryCodeSequence",
    "type": "SegmentedPropertyTypeCodeSequence",
    "modifier": "SegmentedPropertyTypeModifierCodeSequence",
    "region": "AnatomicRegionSequence",
    "region_modifier": "AnatomicRegionModifierSequence",
}
#: An empty cell in BIDS.
_NOT_AVAILABLE = "n/a"
_ITK_SNAP = re.compile(r'\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+[\d.]+\s+\d+\s+\d+\s+"(.*)"\s*')
_COLOR_TABLE = re.compile(r"\s*(\d+)\s+(\S+|\".*\"|'.*')\s+(\d+)\s+(\d+)\s+(\d+)(?:\s+\d+)*\s*")


class SegmentTable(StaticElement):
    """SegmentSequence from a table; an object contains only those of its segments that have voxels."""


def segments_from(table: str | Path) -> Blueprint:
    """Make the blueprint with the meanings of a label map's labels from a table.

    :param table: the name of one of ``TABLES`` (``"totalsegmentator"``, ``"freesurfer"``), or a file: CSV or TSV with a
        heading, BIDS dseg.tsv, ITK-SNAP's label descriptions, 3D Slicer's colour table, dcmqi's JSON, nnU-Net's
        dataset.json or another JSON object of names and labels. Label 0 is left out if it is the background.
    :raises BlueprintError: there is no such table, or it cannot be read.
    """
    name = str(table)
    if name in TABLES:
        return segments_of_text((_TABLES / f"{name}.csv").read_text("utf-8"), name)
    try:
        return segments_of_text(Path(table).read_text("utf-8-sig"), Path(table).name)
    except (OSError, UnicodeDecodeError) as error:
        raise BlueprintError(
            f"the table of segments {name!r} cannot be read: {error}",
            remedy=f"name a file in UTF-8, or one of {', '.join(TABLES)}",
        ) from error


def segments_of_text(text: str, name: str = "table") -> Blueprint:
    """Make the same blueprint from the text of a table.

    :param name: the table's name in messages.
    :raises BlueprintError: the text is not a table of a known kind.
    """
    try:
        described = tuple(segment for segment in _read(text) if not segment.is_background)
        if not described:
            raise BlueprintError("it describes no segment")
        for segment in described:
            _check(segment)
        items = segments(*described)["SegmentSequence"]
    except BlueprintError as error:
        raise BlueprintError(f"the table of segments {name!r}: {error.message}", remedy=error.remedy) from error
    assert isinstance(items, StaticElement)
    return Blueprint([SegmentTable("SegmentSequence", "SQ", items.value)])


def _check(segment: Segment) -> None:
    """Check that a segment can be written. :raises BlueprintError: it cannot; the error names its number."""
    try:
        segment.item()
    except BlueprintError as error:
        raise BlueprintError(f"label {segment.number}: {error.message}", remedy=error.remedy) from error


def _read(text: str) -> Iterator[Segment]:
    if text.lstrip().startswith(("{", "[")):
        yield from _dcmqi(text)
        return
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    lines = [(number, line) for number, line in lines if not line.lstrip().startswith(("#", "//"))]
    if lines and re.match(r"\s*\d+\s", lines[0][1]) and "," not in lines[0][1]:
        yield from (_colored(number, line) for number, line in lines)
    elif lines:
        yield from _with_heading(lines)


def _colored(number: int, line: str) -> Segment:
    """Read a line of ITK-SNAP (number, R, G, B, A, visibility, mesh, "name"), or of Slicer or FreeSurfer."""
    match = _ITK_SNAP.fullmatch(line)
    if match is not None:
        label, red, green, blue, name = match.groups()
    else:
        match = _COLOR_TABLE.fullmatch(line)
        if match is None:
            raise BlueprintError(
                f"line {number} is {line.strip()!r}",
                remedy="write number, name, red, green, blue, or begin with a heading such as number,name,type",
            )
        label, name, red, green, blue = match.groups()
        name = shlex.split(name)[0] if name[0] in "\"'" else name
    return Segment(int(label), name, color=_color(number, (red, green, blue)))


def _with_heading(lines: Sequence[tuple[int, str]]) -> Iterator[Segment]:
    first = lines[0][1]
    delimiter = next((sign for sign in ("\t", ",", ";") if sign in first), ",")
    heading = [_plain(cell) for cell in next(csv.reader([first], delimiter=delimiter))]
    columns = {what: next((each for each in wanted if each in heading), "") for what, wanted in _HEADINGS.items()}
    if columns["number"] == columns["label"] == "label":
        columns["number"] = ""
    if not columns["number"] or not columns["label"]:
        raise BlueprintError(
            f"its heading is {first.strip()!r}",
            remedy="a table has a column for the number (number, index, LabelValue) and one for the name (name)",
        )
    for number, line in lines[1:]:
        cells = [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]
        cells = ["" if cell == _NOT_AVAILABLE else cell for cell in cells]
        row = dict(zip(heading, cells, strict=False))
        yield _segment(number, row, {what: row.get(column, "") for what, column in columns.items()})


def _segment(line: int, row: Mapping[str, str], cells: Mapping[str, str]) -> Segment:
    """Read a row. :param row: the cells by heading. :param cells: the cells by content."""
    codes = {what: _code(row, what) or _concept(cells[what]) for what in _CODES}
    rgb = next((names for names in _COLORS if all(row.get(name) for name in names)), None)
    color = _color(line, [row[name] for name in rgb]) if rgb else cells["color"] or None
    return Segment(
        number=_number(line, cells["number"]),
        label=cells["label"],
        description=cells["description"] or None,
        color=color,
        tracking_id=cells["tracking_id"] or None,
        tracking_uid=cells["tracking_uid"] or None,
        category=codes["category"],
        type=codes["type"],
        modifier=codes["modifier"],
        region=codes["region"],
        region_modifier=codes["region_modifier"],
    )


def _code(row: Mapping[str, str], what: str) -> Code | None:
    """Read a code in three columns, such as Type_CodingScheme, Type_CodeValue and Type_CodeMeaning of 3D Slicer."""
    for name in _HEADINGS[what]:
        scheme, value, meaning = (row.get(name + part, "") for part in _CODE_PARTS)
        if value:
            return Code(value, scheme or "SCT", meaning or value)
    return None


def _concept(text: str) -> Code | str | None:
    """Read a code of SNOMED CT by name or value, or any code as scheme^value^meaning."""
    parts = text.split("^")
    return Code(parts[1], parts[0], parts[2]) if len(parts) == 3 else text or None


def _number(line: int, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise BlueprintError(f"line {line} has the number {text!r}: a label is a whole number") from None


def _color(line: int, parts: Sequence[str]) -> str:
    try:
        red, green, blue = (int(part) for part in parts)
        return "#" + bytes((red, green, blue)).hex()
    except ValueError:
        raise BlueprintError(
            f"line {line} has the colour {' '.join(parts)}: it is three numbers from 0 to 255"
        ) from None


def _plain(heading: str) -> str:
    return re.sub(r"[^a-z0-9]", "", heading.casefold())


def _dcmqi(text: str) -> Iterator[Segment]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise BlueprintError(f"it is not JSON: {error}") from error
    names = _names(document)
    if names is not None:
        yield from (Segment(number, name) for name, number in names)
        return
    groups = document.get("segmentAttributes") if isinstance(document, dict) else document
    if not isinstance(groups, list):
        raise BlueprintError(
            "its JSON has no segmentAttributes, and no labels",
            remedy="give the JSON of dcmqi's itkimage2segimage, nnU-Net's dataset.json, or names and their labels",
        )
    entries = [entry for group in groups for entry in (group if isinstance(group, list) else [group])]
    for place, entry in enumerate(entries, 1):
        if not isinstance(entry, dict) or not isinstance(entry.get("labelID"), int):
            raise BlueprintError(f"item {place} of segmentAttributes has no labelID")
        yield _of_dcmqi(entry)


def _names(document: Any) -> list[tuple[str, int]] | None:
    """Read (name, label) from nnU-Net's dataset.json, old or new, or a plain object of names; None for other JSON.

    :raises BlueprintError: a name has several labels, or a label is not a whole number.
    """
    if not isinstance(document, dict) or "segmentAttributes" in document:
        return None
    labels = document.get("labels", document)
    if not isinstance(labels, dict) or not labels:
        return None
    if all(isinstance(name, str) and number.strip().isdecimal() for number, name in labels.items()):
        return [(name, int(number)) for number, name in labels.items()]
    several = [name for name, number in labels.items() if isinstance(number, list)]
    if several:
        raise BlueprintError(
            f"{several[0]!r} is of several labels: the region overlaps others",
            remedy="name each label of the label map by itself",
        )
    if "labels" not in document and not all(isinstance(number, int) for number in labels.values()):
        return None
    for name, number in labels.items():
        if isinstance(number, bool) or not isinstance(number, int):
            raise BlueprintError(f"{name!r} has the label {number!r}: it is a whole number")
    return list(labels.items())


def _of_dcmqi(entry: Mapping[str, Any]) -> Segment:
    codes = {what: _dcmqi_code(entry.get(key)) for what, key in _DCMQI_CODES.items()}
    rgb = entry.get("recommendedDisplayRGBValue")
    meaning = codes["type"].meaning if codes["type"] else f"Segment {entry['labelID']}"
    return Segment(
        number=entry["labelID"],
        label=str(entry.get("SegmentLabel") or entry.get("SegmentDescription") or meaning),
        description=entry.get("SegmentDescription"),
        color=None if rgb is None else _color(entry["labelID"], [str(part) for part in rgb]),
        algorithm=str(entry.get("SegmentAlgorithmType") or "AUTOMATIC"),
        algorithm_name=str(entry.get("SegmentAlgorithmName") or MODEL),
        tracking_id=entry.get("TrackingIdentifier"),
        tracking_uid=entry.get("TrackingUniqueIdentifier"),
        category=codes["category"],
        type=codes["type"],
        modifier=codes["modifier"],
        region=codes["region"],
        region_modifier=codes["region_modifier"],
    )


def _dcmqi_code(item: Any) -> Code | None:
    if not isinstance(item, dict) or "CodeValue" not in item:
        return None
    return Code(*(str(item.get(key, "")) for key in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")))
