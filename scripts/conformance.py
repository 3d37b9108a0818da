"""Writes the tables of docs/conformance.md and docs/authorization.md, and the package's authorization.json.

The tables come from the ready blueprints, and from a series of each kind made with them.

PYTHONPATH=plugin:tests python scripts/conformance.py    # rewrites the tables in the documents, and the package's file
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID

import authorization_matrix
from building import build, ready
from derived_series import ParentSeries
from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.copy_elements import (
    CopyElement,
    CopyOrElseElement,
    InstanceCopyElement,
    PositionCopyElement,
)
from derived_series.dicom.blueprints.element import ABSENT, DiscardElement, StaticElement, VirtualElement
from derived_series.dicom.blueprints.filling import FillingStrategy
from derived_series.dicom.encoding.tags import keyword, number, to_tag
from derived_series.dicom.factories.kinds import FACTORIES
from derived_series.dicom.modules import (
    SOP_common_blueprint,
    contributing_equipment_blueprint,
    general_image_blueprint,
    general_reference_blueprint,
    general_series_blueprint,
)
from derived_series.dicom.series.header_rules import MARK_TAGS, PATIENT_AND_STUDY, PIXEL_TAGS, complete
from derived_series.dicom.validation.attributes import PIXELS
from derived_series.dicom.validation.standard import Module, iod_of, modules_of
from derived_series.kinds import KINDS, sop_class
from derived_series.orthanc.permissions import SHIPPED, authorization, shipped_text
from derived_series.transfer_syntaxes import WRITTEN
from kinds_matrix import FILES, compact, markdown, matrix
from parents_of_kinds import phantom_for
from phantoms import ct_phantom

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "conformance.md"
AUTHORIZATION = DOCUMENT.with_name("authorization.md")
_CHARSET, _CLASS = 0x00080005, 0x00080016
#: In objects with functional groups it stands there.
_THICKNESS = int(to_tag("SliceThickness"))
#: Kinds whose SOP class depends on the image.
_BY_IMAGE = frozenset(kind.blueprint for kind in KINDS if len(kind.sop_classes) > 1)
#: Attributes that the blueprint does not control, in every object that has them at all.
_OTHER_STUDIES = int(to_tag("StudiesContainingOtherReferencedInstancesSequence"))
_RULES = (
    SOP_common_blueprint
    + general_reference_blueprint
    + contributing_equipment_blueprint
    + Blueprint([general_image_blueprint["InstanceNumber"], general_series_blueprint["SeriesNumber"]])
)
_HEADING = "| Tag | Attribute | Type | Presence | Source |\n|---|---|---|---|---|\n"


@dataclass(frozen=True, slots=True)
class Row:
    """One attribute at the top level of an object."""

    tag: int
    type: str
    presence: str
    source: str

    def __str__(self) -> str:
        return f"| {number(self.tag)} | {keyword(self.tag)} | {self.type} | {self.presence} | {self.source} |"


def main() -> int:
    SHIPPED.write_text(shipped_text(), "utf-8")
    for document in (DOCUMENT, AUTHORIZATION):
        new_tables = tables() | table_of_kinds_and_parents()
        document.write_text(updated(document.read_text("utf-8"), new_tables), "utf-8")
    return 0


def updated(text: str, new_tables: Mapping[str, str]) -> str:
    """The document with new tables by name; other tables stay as they are."""

    def table(match: re.Match[str]) -> str:
        return f"{match[1]}\n{new_tables[match[2]]}{match[3]}" if match[2] in new_tables else match[0]

    return re.sub(r"(<!-- table: ([\w ]+) -->)\n.*?(<!-- end -->)", table, text, flags=re.DOTALL)


@lru_cache(maxsize=1)
def tables() -> dict[str, str]:
    """The tables by name, as Markdown, without the slow one of kinds and parents."""
    datasets = objects()
    rows = {name: rows_of(name, dataset) for name, dataset in datasets.items()}
    common = set.intersection(*map(set, rows.values()))
    sections = {"classes": classes(), "transfer syntaxes": _transfer_syntaxes(), "common": _table(common)}
    sections["authorization"] = authorization_matrix.markdown(authorization())
    sections["authorization plugin"] = f"```json\n{shipped_text()}```\n"
    return sections | {name: _table(set(each) - common) for name, each in rows.items()}


def table_of_kinds_and_parents() -> dict[str, str]:
    """The result of each kind for each sort of parent: see ``tables``."""
    return {"kinds and parents": markdown(*compact(matrix()))}


@lru_cache(maxsize=1)
def objects() -> dict[str, Dataset]:
    """An instance of each kind by the name of its blueprint."""
    ct = ParentSeries.from_datasets(ct_phantom(4, 32, 32))
    counts = (np.indices(ct.shape).sum(axis=0) // 16 % 3).astype(np.uint8)
    images = {
        "Labels": counts,
        "Whole numbers": counts,
        "Floats": counts.astype(np.float32) / 2,
        "File": None,
        "Image": None,
    }
    datasets = {}
    for kind in KINDS:
        row = kind.sop_classes[0]
        like_parent = row.copies_acquisition
        parent = ParentSeries.from_datasets(phantom_for(kind.blueprint, 4, 32, 32)) if like_parent else ct
        content: Any = FILES[kind.blueprint] if kind.made_from == "File" else images[kind.made_from]
        factory = FACTORIES[kind.factory]()
        datasets[kind.blueprint] = build(parent, content, blueprint=kind.blueprint, factory=factory).dataset(0)
    return datasets


def rows_of(name: str, dataset: Dataset) -> list[Row]:
    """The attributes of a kind: from its blueprint, from rules, and from the image."""
    parent = ParentSeries.from_datasets(phantom_for(name, 2, 8, 8))
    whole, _ = complete(ready(name), FillingStrategy.DISCARD, parent)
    elements = {int(element.tag): element for element in whole if not isinstance(element, DiscardElement)}
    iod = iod_of(str(dataset.SOPClassUID))
    modules = modules_of(iod) if iod else ()
    multiframe = sop_class(str(dataset.SOPClassUID)).single_instance
    rows = []
    for tag in sorted({*elements, *map(int, dataset.keys())}):
        if tag not in elements or tag in PIXEL_TAGS or (tag == _CLASS and name in _BY_IMAGE):
            if tag in dataset:
                rows.append(_row(tag, None, modules))
        elif tag in dataset or not multiframe or (isinstance(elements[tag], CopyElement) and tag != _THICKNESS):
            rows.append(_row(tag, elements[tag], modules))
    return rows


def _row(tag: int, element: VirtualElement | None, modules: tuple[Module, ...]) -> Row:
    types = [(not m.is_mandatory, a.type) for m in modules for a in m.attributes if a.tag == tag and not a.path]
    optional, kind = min(types, default=(True, "3"))
    presence = "ANAP" if optional else {"1": "ALWAYS", "2": "VNAP"}.get(kind, "ANAP")
    if tag == _CHARSET:
        return Row(tag, kind, "ANAP", "PARENT, else UTF-8")
    if tag in MARK_TAGS:
        return Row(tag, kind, presence, "PARENT: once set, it stays set")
    if element is None:
        return Row(tag, kind, "ALWAYS" if keyword(tag) in PIXELS else presence, "IMAGE")
    if isinstance(element, StaticElement):
        return Row(tag, kind, "ALWAYS" if element.value else "EMPTY", f"FIXED: {_text(element)}")
    if not isinstance(element, CopyElement):
        if tag in PATIENT_AND_STUDY:
            return Row(tag, kind, presence, "PARENT")
        if tag == _OTHER_STUDIES:
            return Row(tag, kind, "ANAP", "AUTO, of inputs of prior studies")
        return Row(tag, kind, "ALWAYS" if tag in _RULES else presence, "AUTO")
    return Row(tag, kind, _presence(element, presence), _source(element))


def _text(element: StaticElement) -> str:
    value = element.value
    if not value:
        return "empty"
    if element.VR == "SQ":
        return ", ".join(str(item.get("CodeMeaning", "an item")) for item in value)
    return "`" + ("\\".join(value) if isinstance(value, list) else str(value)) + "`"


def _presence(element: CopyElement, by_type: str) -> str:
    if isinstance(element, CopyOrElseElement):
        fallback = element.fallback
        return "VNAP" if fallback in (None, "") else by_type if isinstance(fallback, VirtualElement) else "ALWAYS"
    if isinstance(element, PositionCopyElement) and element.Optional:
        return "ANAP" if element.Else is ABSENT else "VNAP" if element.Else is None else "ALWAYS"
    return "ANAP" if element.Optional else "ALWAYS"


def _source(element: CopyElement) -> str:
    if isinstance(element, InstanceCopyElement | PositionCopyElement):
        return "PARENT, by position"
    if isinstance(element, CopyOrElseElement) and element.fallback not in (None, ""):
        other = element.fallback
        return f"PARENT, else {'AUTO' if isinstance(other, VirtualElement) else f'`{other}`'}"
    return "PARENT"


def _table(rows: set[Row]) -> str:
    return _HEADING + "".join(f"{row}\n" for row in sorted(rows, key=lambda row: row.tag))


def classes() -> str:
    """The created SOP classes, by the kind of object."""
    classes = sorted(((row, kind.blueprint) for kind in KINDS for row in kind.sop_classes), key=lambda pair: pair[1])
    lines = [f"| {row.name} | {row.uid} | `{blueprint}` |\n" for row, blueprint in classes]
    return "| SOP class | UID | Blueprint |\n|---|---|---|\n" + "".join(lines)


def _transfer_syntaxes() -> str:
    lines = [f"| {UID(uid).name} | {uid} | `{name}` |\n" for name, uid in WRITTEN.items()]
    return "| Transfer syntax | UID | `TransferSyntax` |\n|---|---|---|\n" + "".join(lines)


if __name__ == "__main__":
    sys.exit(main())
