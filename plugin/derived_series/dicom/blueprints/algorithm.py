"""Algorithm: what made an image, as objects name it: its maker, name, version, and the files that it goes by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from derived_series.errors import BlueprintError


@dataclass(frozen=True, slots=True)
class Algorithm:
    """What made an image, as ContributingEquipmentSequence (0018,A001) and segments name it.

    :param name: such as ``"TotalSegmentator"``. :param version: of it, such as ``"2.4.0"``.
    :param manufacturer: who made it.
    :param uid: of this version, where its maker gave it one.
    :param family: of CID 7162; artificial intelligence when not given.
    :param files: its weights and tables, absolute or beside the pipeline's file: the result depends on what is in them.
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
