"""RT Series and Structure Set modules (PS3.3 C.8.8.1, C.8.8.5), as far as the contours do not decide them."""

from __future__ import annotations

from collections.abc import Mapping

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import RTStructureSetStorage

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.element import DiscardElement, StaticElement
from derived_series.dicom.modules.codes import code_item
from derived_series.dicom.modules.element_lists import copies_or_empty, date_and_time_of_build
from derived_series.errors import BlueprintError

#: Defined terms of RTROIInterpretedType (3006,00A4), PS3.3 C.8.8.8.1.
INTERPRETED_TYPES = frozenset(
    "EXTERNAL PTV CTV GTV TREATED_VOLUME IRRAD_VOLUME BOLUS AVOIDANCE ORGAN MARKER REGISTRATION ISOCENTER "
    "CONTRAST_AGENT CAVITY BRACHY_CHANNEL BRACHY_ACCESSORY BRACHY_SRC_APP BRACHY_CHNL_SHLD SUPPORT FIXATION "
    "DOSE_REGION CONTROL DOSE_MEASUREMENT DEVICE".split()
)

rt_structure_set_blueprint = Blueprint(
    [
        StaticElement("SOPClassUID", "UI", RTStructureSetStorage),
        StaticElement("Modality", "CS", "RTSTRUCT"),
        StaticElement("DerivationCodeSequence", "SQ", [code_item(codes.cid7203.SegmentationImageDerivation)]),
        *copies_or_empty("OperatorsName"),
        StaticElement("StructureSetLabel", "SH", "STRUCTURES"),
        *date_and_time_of_build("StructureSetDate", "StructureSetTime"),
        *(DiscardElement(keyword) for keyword in ("ContentDate", "ContentTime")),
    ]
).named("rt_structure_set")
"""RT Series and Structure Set modules (PS3.3 C.8.8.1, C.8.8.5)."""


def interpreted_types(types: Mapping[int, str]) -> Blueprint:
    """Make the blueprint with the roles of structures in a treatment: ``interpreted_types({1: "GTV", 2: "ORGAN"})``.

    :param types: RTROIInterpretedType by the number of the segment, which is also the number of the ROI.
    :raises BlueprintError: PS3.3 C.8.8.8.1 has no such type.
    """
    items = []
    for number, kind in sorted(types.items()):
        if kind not in INTERPRETED_TYPES:
            raise BlueprintError(
                f"{kind!r} is not an RT ROI interpreted type",
                remedy=f"use one of {', '.join(sorted(INTERPRETED_TYPES))}",
            )
        item = Dataset()
        item.ReferencedROINumber = number
        item.RTROIInterpretedType = kind
        items.append(item)
    return Blueprint([StaticElement("RTROIObservationsSequence", "SQ", items)])
