"""The requirements of PS3.3 for each IOD, from the tables in highdicom, read without importing it.

Only this file knows how highdicom stores them.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from pydicom.datadict import tag_for_keyword

from derived_series.errors import Advice, Choice, DerivedSeriesError

MANDATORY = "M"

#: The versions of highdicom whose tables are known; pyproject.toml allows no others.
_KNOWN = "0.28."


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of a module.

    :param type: 1, 1C, 2, 2C or 3 (PS3.5 7.4). :param path: the keywords of the sequences around it, outermost first.
    """

    keyword: str
    tag: int
    type: str
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Module:
    """A module of an IOD. :param usage: M, C or U (PS3.3 A.1.3)."""

    name: str
    usage: str
    attributes: tuple[Attribute, ...]

    @property
    def is_mandatory(self) -> bool:
        return self.usage == MANDATORY


def _version() -> str:
    """The installed version of highdicom; empty if there is none."""
    try:
        return metadata.version("highdicom")
    except metadata.PackageNotFoundError:
        return ""


@lru_cache(maxsize=3)
def _table(name: str) -> Any:
    version = _version()
    if not version.startswith(_KNOWN):
        raise DerivedSeriesError(
            f"highdicom {version} is installed, and the tables of the standard are known in its versions {_KNOWN}x",
            remedy=f"pip install 'highdicom=={_KNOWN}*', or have nothing validated",
            advice=Advice(Choice.NO_VALIDATION),
        )
    package = importlib.util.find_spec("highdicom")
    for folder in (package.submodule_search_locations or []) if package else []:
        path = Path(folder) / "_standard" / f"{name}.json"
        if path.is_file():
            return json.loads(path.read_text("utf-8"))
    raise DerivedSeriesError(
        f"the table {name} of the standard is not where highdicom keeps it",
        remedy="install a version of highdicom that pyproject.toml allows, or have nothing validated",
        advice=Advice(Choice.NO_VALIDATION),
    )


def iod_of(sop_class_uid: str) -> str | None:
    """The name of a SOP class's IOD, such as ``ct-image``; None if the tables do not have it."""
    iod: str | None = _table("sop_class_iod_map").get(sop_class_uid)
    return iod


@lru_cache(maxsize=64)
def modules_of(iod: str) -> tuple[Module, ...]:
    """The modules of an IOD, in the order of the standard; empty for an unknown IOD."""
    attributes = _table("module_attribute_map")
    return tuple(
        Module(module["key"], module["usage"], _attributes(attributes.get(module["key"], [])))
        for module in _table("iod_module_map").get(iod, [])
    )


def _attributes(rows: list[dict[str, Any]]) -> tuple[Attribute, ...]:
    attributes = []
    for row in rows:
        tag = tag_for_keyword(row["keyword"])
        if tag is not None:
            attributes.append(Attribute(row["keyword"], tag, str(row["type"]), tuple(row["path"])))
    return tuple(attributes)
