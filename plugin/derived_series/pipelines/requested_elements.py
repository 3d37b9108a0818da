"""Makes a blueprint of the elements that a request asks for; it takes precedence over any other."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from pydicom.dataset import Dataset

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.element import StaticElement, VirtualElement
from derived_series.dicom.encoding.tags import TagLike, dictionary_vr, to_tag
from derived_series.dicom.modules import derivation
from derived_series.dicom.modules.described_segments import DescribedSegments
from derived_series.errors import BlueprintError, InvalidRequest
from derived_series.kinds import REQUEST_KEYS
from derived_series.kinds.kind import RequestKey


def extra_blueprint(
    replace: Mapping[str, Any] | None = None,
    series_description: str | None = None,
    derived_by: str | None = None,
    described: DescribedSegments = (),
    units: str | None = None,
    pictured: Mapping[str, Any] | None = None,
    of_kinds: Mapping[str, Any] | None = None,
) -> Blueprint:
    """The blueprint of a request's ``Replace``, ``SeriesDescription``, ``Derivation``, and of the keys of kinds.

    :param replace: keyword or "gggg,eeee" -> value; None empties the tag; lists of objects are sequence items.
    :param derived_by: name or value of a code of CID 7203.
    :param described: the segments of a label map, as in the request's ``Segments``: a list of objects with its keys,
        the name of a table, or ``{"Table": text}``.
    :param units: the units of a parametric map's values, in UCUM.
    :param pictured: settings of ``picture(...)`` by name.
    :param of_kinds: the keys that only some kinds take (``Segments``, ``Units``, ``Picture``...), as in the request.
    :raises InvalidRequest: a tag does not exist, or its VR does not allow the value.
    """
    elements: list[VirtualElement] = []
    try:
        for name, value in (replace or {}).items():
            elements.append(_static(_request_tag(name), value))
        if series_description is not None:
            elements.append(StaticElement("SeriesDescription", "LO", series_description))
        extra = Blueprint(elements, name="request")
        if derived_by is not None:
            code = derivation("", derived_by)["DerivationCodeSequence"]
            extra = extra + Blueprint([code], name="request")
        asked = {"Segments": described or None, "Units": units, "Picture": pictured or None, **(of_kinds or {})}
        for key in REQUEST_KEYS:
            if (value := asked.get(key.name)) is not None:
                extra = extra + Blueprint(_elements(key, value), name="request")
        return extra
    except BlueprintError as error:
        raise InvalidRequest(f"the request's tags: {error.message}", remedy=error.remedy) from error


def _elements(key: RequestKey, value: Any) -> Blueprint:
    """The elements for a key of a request, by the module that its kind names."""
    module = importlib.import_module(f"derived_series.dicom.modules.{key.module}")
    elements: Blueprint = module.elements_of_request(value)
    return elements


def _request_tag(name: str) -> TagLike:
    plain = name.strip("()").replace(",", "").replace(" ", "")
    if len(plain) == 8 and all(c in "0123456789abcdefABCDEF" for c in plain):
        return int(plain, 16)
    return name


def _static(tag: TagLike, value: Any) -> StaticElement:
    vr = dictionary_vr(to_tag(tag))
    if vr == "SQ":
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise BlueprintError(f"{tag!r} is a sequence: its value is a list of objects")
        return StaticElement(tag, "SQ", [_item(item) for item in value])
    return StaticElement(tag, vr, value)


def _item(values: Mapping[str, Any]) -> Dataset:
    item = Dataset()
    for name, value in values.items():
        static = _static(_request_tag(name), value)
        item.add(static.data_element(static.value))
    return item
