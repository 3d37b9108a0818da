"""explain(): which element set which tag of a header or a series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, overload

from pydicom.dataelem import DataElement
from pydicom.tag import Tag

from derived_series.dicom.blueprints.blueprint import Blueprint, Entry
from derived_series.dicom.blueprints.copy_elements import CopyElement
from derived_series.dicom.blueprints.element import StaticElement, VirtualElement
from derived_series.dicom.blueprints.filling import FillingStrategy
from derived_series.dicom.encoding.private_blocks import placed_tag
from derived_series.dicom.encoding.tags import Key, keyword, number
from derived_series.dicom.factories.base import DicomFactory, NumpyFactory
from derived_series.dicom.series.classic import DerivedSeries
from derived_series.dicom.series.finished import FinishedSeries
from derived_series.dicom.series.header import SeriesHeader
from derived_series.dicom.series.interface import Series
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.shortening import shortened

_VALUE_CHARACTERS = 64
#: Tags that are not shown.
PIXELS = frozenset(
    Tag(name) for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData", "EncapsulatedDocument")
)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of an explanation: a tag of the result and where its value comes from.

    :param element: the repr of the element that set it; :param source: the blueprint that it came with.
    :param origin: whether the value was "Copied" from the parent, "Set" by the blueprint or "Computed".
    :param overrode: "element of blueprint", the latest first.
    :param value: as text; :param varies: whether it may differ by instance.
    """

    tag: str
    keyword: str
    vr: str
    value: str
    varies: bool
    element: str
    source: str
    overrode: tuple[str, ...]
    origin: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """The rows of an explanation in tag order, and the warnings of the build."""

    rows: tuple[Row, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The rows and the warnings as JSON values."""
        tags = [
            {
                "Tag": row.tag,
                "Keyword": row.keyword,
                "VR": row.vr,
                "Value": row.value,
                "VariesByInstance": row.varies,
                "Element": row.element,
                "Blueprint": row.source,
                "Overrode": list(row.overrode),
                "Origin": row.origin,
            }
            for row in self.rows
        ]
        return {"Tags": tags, "Warnings": list(self.warnings)}

    def __str__(self) -> str:
        lines = []
        for row in self.rows:
            mark = "*" if row.varies else " "
            line = f"{row.tag} {row.keyword:<34.34} {row.vr:<2}{mark} {row.value:<40.40}  {row.source}: {row.element}"
            lines.append(line.rstrip())
            lines += [f"{'':>12}overrode {overrode}" for overrode in row.overrode]
        lines += [f"warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)


@overload
def explain(
    what: Blueprint,
    parent: ParentSeries,
    strategy: FillingStrategy = FillingStrategy.DISCARD,
    factory: DicomFactory | None = None,
) -> Explanation: ...


@overload
def explain(what: Series) -> Explanation: ...


def explain(
    what: Blueprint | Series,
    parent: ParentSeries | None = None,
    strategy: FillingStrategy = FillingStrategy.DISCARD,
    factory: DicomFactory | None = None,
) -> Explanation:
    """Say for every tag of the result which element of which blueprint sets it, what it overrode, and the value.

    For a series all values are known; for those that differ by instance it shows the first instance that has one.
    For a blueprint it shows the header for a parent, where a value that depends on the image is "<with the image>".

    :param what: a blueprint or a finished series.
    :param parent: the parent series; required for a blueprint.
    :param strategy: what happens to the parent's tags that a blueprint does not name.
    :param factory: the factory that would make the series; by default a ``NumpyFactory``.
    :raises HeaderError: the parent lacks tags; the error names all of them.
    """
    if isinstance(what, Blueprint):
        if parent is None:
            raise TypeError("explain() of a blueprint needs the parent series: explain(blueprint, parent)")
        return _explain_blueprint(what, parent, strategy, factory or NumpyFactory())
    return _explain_classic(what) if isinstance(what, DerivedSeries) else _explain_finished(what)


def _explain_blueprint(
    blueprint: Blueprint, parent: ParentSeries, strategy: FillingStrategy, factory: DicomFactory
) -> Explanation:
    header = factory.make_series_header(parent, blueprint, strategy)
    later = {entry.element.key: "<with the image>" for entry in header.deferred}
    rows = _rows(header, dict(header.elements), later)
    return Explanation(rows, header.warnings)


def _explain_classic(series: DerivedSeries) -> Explanation:
    keys = {placed_tag(entry.element.key, series.blocks): entry.element.key for entry in series.instanced}
    varying: dict[Key, DataElement] = {}
    for index in range(len(series)):
        for element in series.instance_elements(index):
            varying.setdefault(keys[int(element.tag)], element)
        if len(varying) == len(keys):
            break
    values = {**series.elements, **varying}
    return Explanation(_rows(series.header, values, dict.fromkeys(varying, "")), series.warnings)


def _explain_finished(series: Series) -> Explanation:
    """Explain the first of the finished datasets: by the blueprint if there is one, else by the pipeline."""
    first = series.dataset(0)
    if series.header is not None:
        values = {(int(e.tag), ""): e for e in first if e.tag not in PIXELS and not e.tag.is_private}
        built_tags = series.built_tags if isinstance(series, FinishedSeries) else frozenset()
        others = [series.dataset(index) for index in range(1, len(series))]
        varying = [key for key, element in values.items() if any(each.get(element.tag) != element for each in others)]
        return Explanation(_rows(series.header, values, dict.fromkeys(varying, ""), built_tags), series.warnings)
    rows = tuple(
        Row(number(e.tag), keyword(e.tag), e.VR, _text(e), False, "the pipeline", "the pipeline", (), "Computed")
        for e in first
        if e.tag not in PIXELS
    )
    return Explanation(rows, series.warnings)


def _rows(
    header: SeriesHeader,
    values: dict[Key, DataElement],
    varies: dict[Key, str],
    built_tags: frozenset[int] = frozenset(),
) -> tuple[Row, ...]:
    entries = {entry.element.key: entry for entry in header.blueprint.entries()}
    rows = []
    for key in sorted({*values, *varies}):
        entry = None if key[0] in built_tags else entries.get(key)
        element = values.get(key)
        rows.append(
            Row(
                tag=number(key[0]),
                keyword=keyword(key[0]) or (f"private of {key[1]}" if key[1] else ""),
                vr=element.VR if element is not None else _vr(entry),
                value=_text(element) if element is not None else varies[key],
                varies=key in varies,
                element=_element_text(entry.element) if entry else "the image's encoding",
                source=entry.source if entry else "rules",
                overrode=tuple(f"{_element_text(e.element)} of {e.source}" for e in entry.overrode) if entry else (),
                origin=_origin(entry),
            )
        )
    return tuple(rows)


def _origin(entry: Entry | None) -> str:
    if entry is not None and isinstance(entry.element, CopyElement):
        return "Copied"
    return "Set" if entry is not None and isinstance(entry.element, StaticElement) else "Computed"


def _vr(entry: Entry | None) -> str:
    return (entry.element.VR or "") if entry else ""


def _element_text(element: VirtualElement) -> str:
    public = next(kind.__name__ for kind in type(element).__mro__ if not kind.__name__.startswith("_"))
    return f"{public}({element.describe()})"


def _text(element: DataElement) -> str:
    if element.VR == "SQ":
        return f"{len(element.value or [])} item(s)"
    value = element.value
    if value is None:
        return ""
    text = "\\".join(map(str, value)) if element.VM > 1 else str(value)
    return shortened(text, _VALUE_CHARACTERS)


def dropped(explanation: Explanation, parent: ParentSeries) -> list[dict[str, str]]:
    """The tags of the parent's first instance that the result lacks, as JSON values."""
    kept = {row.tag for row in explanation.rows}
    return [
        {"Tag": number(e.tag), "Keyword": keyword(e.tag) or e.name, "VR": e.VR, "Value": _text(e)}
        for e in parent.pivot
        if number(e.tag) not in kept and e.tag not in PIXELS and e.tag.element != 0
    ]
