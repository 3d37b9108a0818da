"""The name and version that this software writes into its objects."""

from __future__ import annotations

from importlib import metadata

#: Manufacturer (0008,0070) of its item in ContributingEquipmentSequence (0018,A001), which marks derived series.
SOFTWARE = "Derived Series for Orthanc"


def version() -> str:
    """The version of the installed package; when it runs from its sources, their branch."""
    try:
        return metadata.version("derived-series-orthanc")
    except metadata.PackageNotFoundError:
        return "mainline"
