"""The kind of object that a blueprint makes, and the request keys that it takes."""

from __future__ import annotations

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.series.header import SeriesHeader
from derived_series.errors import InvalidRequest
from derived_series.kinds import KINDS, REQUEST_KEYS, kind_of, sop_class
from derived_series.kinds.kind import Kind, RequestKey

#: The kind of object for a pipeline's values.
REPORT = next(kind for kind in KINDS if kind.builder == "measurement_report")


def kind_made_by(blueprint: Blueprint | None) -> Kind | None:
    """The kind of object that a blueprint makes; None if only a parent or a function decides."""
    element = blueprint["SOPClassUID"] if blueprint is not None and "SOPClassUID" in blueprint else None
    return kind_of(str(getattr(element, "value", "")), blueprint or ())


def takes_key(blueprint: Blueprint | None, key: RequestKey) -> bool:
    """Whether a blueprint makes a kind of object that a key of the request is for."""
    kind = kind_made_by(blueprint)
    return kind is not None and key in kind.keys


def require_keys_of_kind(header: SeriesHeader, extra: Blueprint) -> None:
    """Refuse keys of a request that are for another kind of object than the header's.

    :param extra: the elements that the request asks for.
    :raises InvalidRequest: a key such as Segments for a kind of object that does not have it.
    """
    kind = kind_of(header.sop_class_uid, header.blueprint)
    for key in REQUEST_KEYS:
        asked = key.keyword in extra and key.keyword in header.blueprint
        if asked and (kind is None or key not in kind.keys):
            takes = ", ".join(each.blueprint for each in KINDS if key in each.keys)
            name = sop_class(header.sop_class_uid).name
            raise InvalidRequest(f'"{key.name}" is for the blueprint {takes}; the blueprint makes a {name}')
