"""What this software calls itself where it leaves its mark."""

from __future__ import annotations

from importlib import metadata

#: Manufacturer (0008,0070) of its item in ContributingEquipmentSequence (0018,A001), by which its series are known.
SOFTWARE = "Derived Series for Orthanc"


def version() -> str:
    """Of the package that is installed; of one that runs from its sources, their branch."""
    try:
        return metadata.version("derived-series-orthanc")
    except metadata.PackageNotFoundError:
        return "mainline"
