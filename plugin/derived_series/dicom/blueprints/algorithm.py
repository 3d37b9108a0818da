"""Algorithm: the name, version, maker and files of what made an image, as DICOM objects name it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from derived_series.errors import BlueprintError


@dataclass(frozen=True, slots=True)
class Algorithm:
    """The algorithm that made an image, as ContributingEquipmentSequence (0018,A001) and segments name it.

    :param name: such as ``"TotalSegmentator"``. :param version: such as ``"2.4.0"``.
    :param manufacturer: who made it.
    :param uid: the UID of this version, if its maker assigned one.
    :param family: a code of CID 7162; artificial intelligence by default.
    :param files: its weights and tables, absolute or relative to the pipeline's file: the result depends on them.
    :raises BlueprintError: a name, version or manufacturer that cannot be written.
    """

    name: str
    version: str
    manufacturer: str
    uid: str | None = None
    family: Code = codes.DCM.ArtificialIntelligence
    files: Sequence[str | Path] = ()

    def __post_init__(self) -> None:
        for what in ("name", "version", "manufacturer"):
            value = getattr(self, what)
            if not isinstance(value, str) or not 0 < len(value) <= 64 or "\\" in value:
                raise BlueprintError(
                    f"the {what} of the algorithm is {value!r}", remedy="give a text of 1 to 64 characters without \\"
                )
