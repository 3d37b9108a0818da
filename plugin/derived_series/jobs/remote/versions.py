"""Comparing the versions at both ends before a job is given to another machine."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Literal, TypeAlias

from derived_series.jobs.pool.launch import digest
from derived_series.software import version

#: ``Same``: the packages below must match too; ``Any``: only the plugin must be the same.
Strictness: TypeAlias = Literal["Same", "Any"]

#: The packages that the result depends on, and how many numbers of their versions must match: what pydicom writes
#: changes with its minor versions, what numpy computes with its major ones.
_PACKAGES: Mapping[str, int] = {"pydicom": 2, "numpy": 1}


def versions() -> dict[str, str]:
    """The versions of the plugin and packages here, without importing them."""
    return {
        "Plugin": version(),
        "Digest": digest(),
        "Python": platform.python_version(),
        **{package: _installed(package) for package in _PACKAGES},
    }


def _installed(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


def difference(ours: Mapping[str, str], theirs: Mapping[str, object], strictness: Strictness) -> str | None:
    """Why a worker's versions do not match, in words; None if they do.

    :param ours: the versions on Orthanc's machine. :param theirs: those on the worker's.
    """
    if theirs.get("Plugin") != ours["Plugin"]:
        return f"it has version {theirs.get('Plugin')} of the plugin, Orthanc has {ours['Plugin']}"
    if theirs.get("Digest") != ours["Digest"]:
        there, here = str(theirs.get("Digest"))[:12], ours["Digest"][:12]
        return f"it has version {ours['Plugin']} of the plugin as Orthanc has, but of other sources ({there}, {here})"
    for package, numbers in _PACKAGES.items() if strictness == "Same" else ():
        there = str(theirs.get(package))
        if there == "none":
            return f"{package} is not installed there, Orthanc has {ours[package]}"
        if there.split(".")[:numbers] != ours[package].split(".")[:numbers]:
            return f"it has {package} {there}, Orthanc has {ours[package]}"
    return None
